package demo

import (
	"context"
	"fmt"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/mesh-security/mesh/internal/localnet"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// figures are what a chain says of itself after one block.
type figures struct {
	height int64
	epoch  uint64
	// supply is without virtual stake: what the chain's own people have.
	supply math.Int
	// tokens and virtual are the stake of each validator, and what of it stands
	// for tokens of the other chain.
	tokens, virtual []math.Int
	jailed          []bool
	// powers are their voting power in CometBFT's set of the block.
	powers []int64
	// delegators are those of the demo, by name.
	delegators map[string]standing
}

// standing is what a delegator has.
type standing struct {
	// native is its native stake, collateral what of it backs cross-stake, lien
	// how much it backs, debt what it still owes.
	native, collateral, lien, debt math.Int
	// on and leaving are its cross-stake on each validator of the other chain.
	on, leaving []math.Int
}

// figures asks a chain about the state after a block.
func (d *demo) figures(ctx context.Context, c *chain, height int64) (figures, error) {
	ctx = localnet.AtHeight(ctx, height)
	f := figures{
		height: height, tokens: zeros(c.validators), virtual: zeros(c.validators), jailed: make([]bool, c.validators),
		delegators: map[string]standing{},
	}
	epoch, err := c.epoch(ctx)
	if err != nil {
		return f, err
	}
	f.epoch = epoch.Epoch.Number
	stakes, err := d.to(c).stakes(ctx)
	if err != nil {
		return f, err
	}
	supply, err := banktypes.NewQueryClient(c.Conn()).SupplyOf(ctx, &banktypes.QuerySupplyOfRequest{Denom: c.Denom})
	if err != nil {
		return f, err
	}
	f.supply = supply.Amount.Amount
	for v := range f.tokens {
		res, err := c.staking().Validator(ctx, &stakingtypes.QueryValidatorRequest{ValidatorAddr: c.operator(v)})
		if err != nil {
			return f, err
		}
		f.tokens[v], f.virtual[v], f.jailed[v] = res.Validator.Tokens, stakes[v].Current, res.Validator.Jailed
		f.supply = f.supply.Sub(f.virtual[v])
	}
	set, err := c.Validators(ctx, height)
	if err != nil {
		return f, err
	}
	f.powers = make([]int64, c.validators)
	for _, val := range set {
		if v, err := c.byConsensus(val.Address); err != nil {
			return f, err
		} else if v >= 0 {
			f.powers[v] = val.VotingPower
		}
	}
	for _, who := range c.delegators {
		if f.delegators[who.name], err = d.from(c).standing(ctx, who); err != nil {
			return f, err
		}
	}
	return f, nil
}

// standing asks about a delegator at the height that the context names.
func (d *direction) standing(ctx context.Context, who *delegator) (standing, error) {
	c := d.provider
	s := standing{native: math.ZeroInt(), on: zeros(d.consumer.validators), leaving: zeros(d.consumer.validators)}
	address := c.Address(who.name)
	delegations, err := c.staking().DelegatorDelegations(ctx, &stakingtypes.QueryDelegatorDelegationsRequest{DelegatorAddr: address})
	if err != nil {
		return s, err
	}
	for _, r := range delegations.DelegationResponses {
		s.native = s.native.Add(r.Balance.Amount)
	}
	collateral, err := c.providing().Collateral(ctx, &providertypes.QueryCollateralRequest{Delegator: address})
	if err != nil {
		return s, err
	}
	s.collateral, s.lien, s.debt = collateral.Collateral, collateral.MaxLien, collateral.Debt
	positions, err := c.providing().Positions(ctx, &providertypes.QueryPositionsRequest{Delegator: address, Pagination: page})
	if err != nil {
		return s, err
	}
	for _, p := range positions.Positions {
		if v := d.consumer.number(p.Operator); v >= 0 {
			s.on[v] = s.on[v].Add(p.Value)
		}
	}
	unbonding, err := c.providing().Unbonding(ctx, &providertypes.QueryUnbondingRequest{Delegator: address, Pagination: page})
	if err != nil {
		return s, err
	}
	for _, u := range unbonding.Claims {
		if v := d.consumer.number(u.Claim.Operator); v >= 0 {
			s.leaving[v] = s.leaving[v].Add(u.Claim.Value)
		}
	}
	return s, nil
}

// payments are what blocks did to the supply and to an account, read from their
// events.
type payments struct {
	// minted is what x/mint made, fees what the account paid for transactions.
	minted, fees math.Int
}

// payments reads the blocks after one height up to another.
func (c *chain) payments(ctx context.Context, after, upTo int64, account string) (payments, error) {
	p := payments{minted: math.ZeroInt(), fees: math.ZeroInt()}
	for height := after + 1; height <= upTo; height++ {
		res, err := c.RPC().BlockResults(ctx, &height)
		if err != nil {
			return p, fmt.Errorf("chain %s: results of block %d: %w", c.id, height, err)
		}
		for _, e := range res.FinalizeBlockEvents {
			if e.Type != minttypes.EventTypeMint {
				continue
			}
			amount, ok := math.NewIntFromString(attribute(e, sdk.AttributeKeyAmount))
			if !ok {
				return p, fmt.Errorf("chain %s: block %d minted %q", c.id, height, attribute(e, sdk.AttributeKeyAmount))
			}
			p.minted = p.minted.Add(amount)
		}
		for _, tx := range res.TxsResults {
			for _, e := range tx.Events {
				if e.Type != sdk.EventTypeTx || account == "" || attribute(e, sdk.AttributeKeyFeePayer) != account {
					continue
				}
				coins, err := sdk.ParseCoinsNormalized(attribute(e, sdk.AttributeKeyFee))
				if err != nil {
					return p, err
				}
				p.fees = p.fees.Add(coins.AmountOf(c.Denom))
			}
		}
	}
	return p, nil
}

func attribute(e abci.Event, key string) string {
	for _, a := range e.Attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

// firstBlockWith finds the first block after low in whose state something is so, which stays so.
func (c *chain) firstBlockWith(ctx context.Context, low int64, is func(context.Context) (bool, error)) (int64, error) {
	head, err := c.Height(ctx)
	if err != nil {
		return 0, err
	}
	return firstBlock(low, head, func(height int64) (bool, error) { return is(localnet.AtHeight(ctx, height)) })
}

// about compares amounts that may differ by what rounding leaves: a few base units.
func about(what string, c *chain, expected, seen math.Int, slack int64) error {
	if expected.Sub(seen).Abs().LTE(math.NewInt(slack)) {
		return nil
	}
	return expect(what, c.show(expected), c.show(seen))
}

// became spells an amount and what has become of it.
func (c *chain) became(before, after math.Int) []string {
	change := "0"
	if diff := after.Sub(before); !diff.IsZero() {
		change = c.show(diff)
	}
	return []string{c.show(before), change, c.show(after)}
}
