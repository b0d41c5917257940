package demo

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// crossing is how long a change may take to reach the other chain and to have
// its effect there, on a busy machine.
const crossing = 2 * time.Minute

// page is more than there is of anything here.
var page = &query.PageRequest{Limit: 1000}

// each does something on both chains, or for both directions, at the same time.
func each[T any](ctx context.Context, items []T, do func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, item := range items {
		group.Go(func() error { return do(ctx, item) })
	}
	return group.Wait()
}

// provided checks what the provider has of a direction: the totals of its pools.
func (d *direction) provided(ctx context.Context) error {
	res, err := d.provider.providing().Pools(ctx, &providertypes.QueryPoolsRequest{ConsumerId: d.ids.ConsumerID, Pagination: page})
	if err != nil {
		return err
	}
	seen := zeros(d.consumer.validators)
	for _, p := range res.Pools {
		if v := d.consumer.number(p.Operator); v >= 0 {
			seen[v] = p.Pool.Tokens
		}
	}
	for v, amount := range d.restaked() {
		what := fmt.Sprintf("%s: total restaked to %s of %s", d.provider.id, d.consumer.label(v), d.consumer.id)
		if err := expect(what, d.provider.show(amount), d.provider.show(seen[v])); err != nil {
			return err
		}
	}
	return nil
}

// received checks that the consumer has stored the provider's totals.
func (d *direction) received(ctx context.Context) error {
	stakes, err := d.stakes(ctx)
	if err != nil {
		return err
	}
	for v, amount := range d.restaked() {
		what := d.consumer.whose(v, "stake reported by "+d.provider.id)
		if err := expect(what, d.provider.show(amount), d.provider.show(stakes[v].Record.Amount)); err != nil {
			return err
		}
	}
	return nil
}

// stakes is what the consumer has of the provider, by validator.
func (d *direction) stakes(ctx context.Context) ([]consumertypes.StakeInfo, error) {
	res, err := d.consumer.consuming().Stakes(ctx, &consumertypes.QueryStakesRequest{ProviderId: d.ids.ProviderID, Pagination: page})
	if err != nil {
		return nil, err
	}
	out := make([]consumertypes.StakeInfo, d.consumer.validators)
	for v := range out {
		out[v].Record.Amount, out[v].Current = math.ZeroInt(), math.ZeroInt()
	}
	for _, s := range res.Stakes {
		if v := d.consumer.number(s.Validator); v >= 0 {
			out[v] = s
		}
	}
	return out, nil
}

// effective checks what came of the stake on the consumer: virtual stake, the
// validators' tokens in x/staking, and their power in CometBFT, each exactly.
func (d *direction) effective(ctx context.Context, allied []math.Int) error {
	c := d.consumer
	stakes, err := d.stakes(ctx)
	if err != nil {
		return err
	}
	powers, err := c.powers(ctx)
	if err != nil {
		return err
	}
	for v, amount := range allied {
		if err := about(c.whose(v, "virtual stake of "+d.provider.id), c, amount, stakes[v].Current, c.slack); err != nil {
			return err
		}
		res, err := c.staking().Validator(ctx, &stakingtypes.QueryValidatorRequest{ValidatorAddr: c.operator(v)})
		if err != nil {
			return err
		}
		all := c.native[v].Add(amount)
		if err := about(c.whose(v, "tokens in x/staking"), c, all, res.Validator.Tokens, c.slack); err != nil {
			return err
		}
		power := powerOf(res.Validator.Tokens)
		if c.away[v] {
			power = 0
		}
		if err := expect(c.whose(v, "voting power in CometBFT"), power, powers[v]); err != nil {
			return err
		}
	}
	return nil
}

// settled waits until a direction is on both chains as the ledger says.
func (d *direction) settled(ctx context.Context) error {
	allied, err := d.allied()
	if err != nil {
		return err
	}
	return await(ctx, crossing, func(ctx context.Context) error {
		if err := d.provided(ctx); err != nil {
			return err
		}
		if err := d.received(ctx); err != nil {
			return err
		}
		return d.effective(ctx, allied)
	})
}

func (d *demo) allSettled(ctx context.Context) error {
	return each(ctx, d.directions, func(ctx context.Context, dir *direction) error { return dir.settled(ctx) })
}

// number is a validator's number on the chain, -1 if it has no such validator.
func (c *chain) number(operator string) int {
	for i, n := range c.Nodes {
		if n.Operator == operator {
			return i
		}
	}
	return -1
}

// delegation is what a delegator has natively on a validator.
func (c *chain) delegation(ctx context.Context, who string, validator int) (math.Int, error) {
	res, err := c.staking().Delegation(ctx, &stakingtypes.QueryDelegationRequest{
		DelegatorAddr: c.Address(who), ValidatorAddr: c.operator(validator),
	})
	if err != nil {
		return math.Int{}, fmt.Errorf("chain %s: delegation of %s: %w", c.id, who, err)
	}
	return res.DelegationResponse.Balance.Amount, nil
}

// balance is what an account holds of the chain's token.
func (c *chain) balance(ctx context.Context, who string) (math.Int, error) {
	return c.Balance(ctx, c.Address(who), c.Denom)
}

// send sends messages in a transaction. It returns by how much the account's
// balance changed apart from the fee.
func (c *chain) send(ctx context.Context, who string, msgs ...sdk.Msg) (*sdk.TxResponse, math.Int, error) {
	before, err := c.balance(ctx, who)
	if err != nil {
		return nil, math.Int{}, err
	}
	res, err := c.Tx(ctx, who, msgs...)
	if err != nil {
		return nil, math.Int{}, err
	}
	fee, err := feeOf(res, c.Denom)
	if err != nil {
		return nil, math.Int{}, err
	}
	after, err := c.balance(ctx, who)
	return res, after.Add(fee).Sub(before), err
}

// feeOf reads a transaction's fee from its events.
func feeOf(res *sdk.TxResponse, denom string) (math.Int, error) {
	for _, e := range res.Events {
		for _, a := range e.Attributes {
			if e.Type == sdk.EventTypeTx && a.Key == sdk.AttributeKeyFee {
				coins, err := sdk.ParseCoinsNormalized(a.Value)
				return coins.AmountOf(denom), err
			}
		}
	}
	return math.Int{}, fmt.Errorf("transaction %s reports no fee", res.TxHash)
}
