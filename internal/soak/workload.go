package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	errorsmod "cosmossdk.io/errors"
	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	"github.com/cosmos/cosmos-sdk/types/query"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/localnet"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// delegators are the accounts that stake, on both chains.
var delegators = []string{"ann", "ben", "cho"}

const (
	// firstStake is what each delegator stakes natively with each of two validators at the beginning.
	firstStake = 4_000_000
	// mostNative is what a delegator stakes natively at most, so that no validator comes near a third of the power.
	mostNative = 12_000_000
	// answer is how long a delegator waits for a chain under faults.
	answer = 45 * time.Second
)

// page is more than there is of anything here.
var page = &query.PageRequest{Limit: 1000}

// worker is a delegator that never rests.
type worker struct {
	*chain
	who, address string
	rng          *rand.Rand
}

func (s *soak) workers() []*worker {
	var out []*worker
	for _, c := range s.chains {
		for i, who := range delegators {
			rng := rand.New(rand.NewPCG(s.Seed, uint64(100+10*c.index+i)))
			out = append(out, &worker{chain: c, who: who, address: c.Address(who), rng: rng})
		}
	}
	return out
}

// settleIn stakes natively and on the partner, before there are faults.
func (c *chain) settleIn(ctx context.Context) error {
	// The partner's validators are known when its first report has arrived.
	err := await(ctx, c.ID+" to know the validators of "+c.partner.ID, recovery, func(ctx context.Context) error {
		res, err := providertypes.NewQueryClient(c.Conn()).ConsumerValidators(ctx, &providertypes.QueryConsumerValidatorsRequest{ConsumerId: c.ids.ConsumerID, Pagination: page})
		if err != nil {
			return err
		}
		if n := len(res.Validators); n < len(c.partner.nodes) {
			return fmt.Errorf("it knows %d", n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return each(ctx, delegators, func(ctx context.Context, who string) error {
		var msgs []sdk.Msg
		for v := range 2 {
			msgs = append(msgs,
				&stakingtypes.MsgDelegate{DelegatorAddress: c.Address(who), ValidatorAddress: c.nodes[v].Operator, Amount: c.Coin(firstStake)},
				&providertypes.MsgCrossStake{
					Delegator: c.Address(who), ConsumerId: c.ids.ConsumerID, Validator: c.partner.nodes[v].Operator, Amount: c.Coin(firstStake / 4),
				})
		}
		_, err := c.Tx(ctx, who, msgs...)
		return err
	})
}

// run does one thing after the other until ctx ends.
func (w *worker) run(ctx context.Context) {
	for pause(ctx, time.Duration(500+w.rng.IntN(2000))*time.Millisecond) == nil {
		name, build := w.choose()
		ctx, cancel := context.WithTimeout(ctx, answer)
		msgs, err := build(ctx)
		if err == nil && len(msgs) > 0 {
			_, err = w.Tx(ctx, w.who, msgs...)
		}
		cancel()
		if err == nil && len(msgs) == 0 {
			continue // nothing to do it with
		}
		w.soak.count(name, err)
	}
}

// count notes what became of a transaction.
func (s *soak) count(name string, err error) {
	var refusal *localnet.TxError
	key := ""
	switch {
	case err == nil:
	case errors.As(err, &refusal):
		key = fmt.Sprintf("%s/%d", refusal.Codespace, refusal.Code)
		s.checkRefusal(refusal)
	case errors.Is(err, context.Canceled):
		return // the run is over
	default:
		key = "no answer"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if key == "" {
		s.report.Actions[name]++
	} else {
		s.report.Errors[key]++
	}
}

// checkRefusal finds refusals that no module has foreseen.
func (s *soak) checkRefusal(e *localnet.TxError) {
	if unforeseen(e) {
		s.problem("a transaction failed in a way that no module has foreseen: %v", e)
	}
}

// unforeseen tells whether an error is a panic, or was never registered.
func unforeseen(e *localnet.TxError) bool {
	return panicked(e) || e.Codespace == "" || e.Codespace == errorsmod.UndefinedCodespace
}

// panicked tells whether an error is a panic that the chain has recovered.
func panicked(e *localnet.TxError) bool {
	return errors.Is(e, sdkerrors.ErrPanic) || strings.Contains(e.Log, "panic")
}

// choice is something a delegator can do.
type choice struct {
	name   string
	weight int
	build  func(ctx context.Context) ([]sdk.Msg, error)
}

func (w *worker) choose() (string, func(context.Context) ([]sdk.Msg, error)) {
	choices := []choice{
		{"delegate", 4, w.delegate},
		{"undelegate", 3, w.undelegate},
		{"redelegate", 1, w.redelegate},
		{"cancel", 1, w.cancelUnbonding},
		{"cross-stake", 7, w.crossStake},
		{"cross-unstake", 4, w.crossUnstake},
		{"cross-redelegate", 3, w.crossRedelegate},
		{"withdraw", 2, w.withdraw},
		{"several", 2, w.several},
	}
	if w.partner.ids.ProviderID != "" && w.soak.fed(w.chain) {
		choices = append(choices, choice{"post price", 4, w.postPrice})
	}
	all := 0
	for _, c := range choices {
		all += c.weight
	}
	at := w.rng.IntN(all)
	for _, c := range choices {
		if at -= c.weight; at < 0 {
			return c.name, c.build
		}
	}
	panic("the weights add up to more than their sum")
}

// fed tells whether delegators of a chain post the price of its partner's token.
func (s *soak) fed(c *chain) bool {
	for _, p := range s.Topology.Pairings {
		if p.Consumer == c.ID {
			return p.PriceFeed == consumertypes.PriceFeedFeeders
		}
	}
	return false
}

func (w *worker) amount(most int64) sdk.Coin { return w.Coin(1 + w.rng.Int64N(most)) }

func (w *worker) anyOf(c *chain) string { return c.nodes[w.rng.IntN(len(c.nodes))].Operator }

// delegations are the worker's own, in the order of the query.
func (c *chain) delegations(ctx context.Context, address string) (stakingtypes.DelegationResponses, error) {
	res, err := stakingtypes.NewQueryClient(c.Conn()).DelegatorDelegations(ctx, &stakingtypes.QueryDelegatorDelegationsRequest{DelegatorAddr: address, Pagination: page})
	if err != nil {
		return nil, err
	}
	return res.DelegationResponses, nil
}

func (c *chain) unbondings(ctx context.Context, address string) ([]stakingtypes.UnbondingDelegation, error) {
	res, err := stakingtypes.NewQueryClient(c.Conn()).DelegatorUnbondingDelegations(ctx, &stakingtypes.QueryDelegatorUnbondingDelegationsRequest{DelegatorAddr: address, Pagination: page})
	if err != nil {
		return nil, err
	}
	return res.UnbondingResponses, nil
}

func (c *chain) positions(ctx context.Context, address string) ([]providertypes.PositionInfo, error) {
	res, err := providertypes.NewQueryClient(c.Conn()).Positions(ctx, &providertypes.QueryPositionsRequest{Delegator: address, Pagination: page})
	if err != nil {
		return nil, err
	}
	return res.Positions, nil
}

func (w *worker) delegate(ctx context.Context) ([]sdk.Msg, error) {
	held, err := w.delegations(ctx, w.address)
	if err != nil {
		return nil, err
	}
	sum := math.ZeroInt()
	for _, d := range held {
		sum = sum.Add(d.Balance.Amount)
	}
	if sum.GT(math.NewInt(mostNative)) {
		return nil, nil
	}
	return []sdk.Msg{&stakingtypes.MsgDelegate{DelegatorAddress: w.address, ValidatorAddress: w.anyOf(w.chain), Amount: w.amount(1_000_000)}}, nil
}

// oneOf picks an element; false if there is none.
func oneOf[T any](rng *rand.Rand, items []T) (item T, ok bool) {
	if len(items) == 0 {
		return item, false
	}
	return items[rng.IntN(len(items))], true
}

// part is a whole amount, or some of it.
func (w *worker) part(amount math.Int) sdk.Coin {
	if w.rng.IntN(4) > 0 && amount.GT(math.NewInt(1000)) {
		amount = amount.QuoRaw(2 + w.rng.Int64N(4))
	}
	return sdk.NewCoin(w.Denom, amount)
}

func (w *worker) undelegate(ctx context.Context) ([]sdk.Msg, error) {
	held, err := w.delegations(ctx, w.address)
	d, ok := oneOf(w.rng, held)
	if err != nil || !ok {
		return nil, err
	}
	return []sdk.Msg{&stakingtypes.MsgUndelegate{DelegatorAddress: w.address, ValidatorAddress: d.Delegation.ValidatorAddress, Amount: w.part(d.Balance.Amount)}}, nil
}

func (w *worker) redelegate(ctx context.Context) ([]sdk.Msg, error) {
	held, err := w.delegations(ctx, w.address)
	d, ok := oneOf(w.rng, held)
	if err != nil || !ok {
		return nil, err
	}
	return []sdk.Msg{&stakingtypes.MsgBeginRedelegate{
		DelegatorAddress: w.address, ValidatorSrcAddress: d.Delegation.ValidatorAddress, ValidatorDstAddress: w.anyOf(w.chain), Amount: w.part(d.Balance.Amount),
	}}, nil
}

func (w *worker) cancelUnbonding(ctx context.Context) ([]sdk.Msg, error) {
	leaving, err := w.unbondings(ctx, w.address)
	u, ok := oneOf(w.rng, leaving)
	if err != nil || !ok {
		return nil, err
	}
	entry, _ := oneOf(w.rng, u.Entries)
	return []sdk.Msg{&stakingtypes.MsgCancelUnbondingDelegation{
		DelegatorAddress: w.address, ValidatorAddress: u.ValidatorAddress, Amount: w.part(entry.Balance), CreationHeight: entry.CreationHeight,
	}}, nil
}

func (w *worker) crossStake(context.Context) ([]sdk.Msg, error) {
	return []sdk.Msg{&providertypes.MsgCrossStake{
		Delegator: w.address, ConsumerId: w.ids.ConsumerID, Validator: w.anyOf(w.partner), Amount: w.amount(4_000_000),
	}}, nil
}

func (w *worker) crossUnstake(ctx context.Context) ([]sdk.Msg, error) {
	held, err := w.positions(ctx, w.address)
	p, ok := oneOf(w.rng, held)
	if err != nil || !ok {
		return nil, err
	}
	return []sdk.Msg{&providertypes.MsgCrossUnstake{Delegator: w.address, ConsumerId: p.ConsumerId, Validator: p.Operator, Amount: w.part(p.Value)}}, nil
}

func (w *worker) crossRedelegate(ctx context.Context) ([]sdk.Msg, error) {
	held, err := w.positions(ctx, w.address)
	p, ok := oneOf(w.rng, held)
	if err != nil || !ok {
		return nil, err
	}
	return []sdk.Msg{&providertypes.MsgCrossRedelegate{
		Delegator: w.address, ConsumerId: p.ConsumerId, From: p.Operator, To: w.anyOf(w.partner), Amount: w.part(p.Value),
	}}, nil
}

// withdraw takes rewards of either chain.
func (w *worker) withdraw(ctx context.Context) ([]sdk.Msg, error) {
	if w.rng.IntN(2) == 0 {
		return []sdk.Msg{&providertypes.MsgWithdrawRewards{Delegator: w.address, ConsumerId: w.ids.ConsumerID}}, nil
	}
	held, err := w.delegations(ctx, w.address)
	d, ok := oneOf(w.rng, held)
	if err != nil || !ok {
		return nil, err
	}
	return []sdk.Msg{&distrtypes.MsgWithdrawDelegatorReward{DelegatorAddress: w.address, ValidatorAddress: d.Delegation.ValidatorAddress}}, nil
}

// several does two to four things in one transaction.
func (w *worker) several(ctx context.Context) ([]sdk.Msg, error) {
	builds := []func(context.Context) ([]sdk.Msg, error){w.delegate, w.undelegate, w.crossStake, w.crossUnstake, w.crossRedelegate}
	var out []sdk.Msg
	for range 2 + w.rng.IntN(3) {
		msgs, err := builds[w.rng.IntN(len(builds))](ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, msgs...)
	}
	return out, nil
}

// postPrice says what the partner's token is worth: about what it was at first.
func (w *worker) postPrice(context.Context) ([]sdk.Msg, error) {
	price := math.LegacyNewDecWithPrec(1455+w.rng.Int64N(91), 3)
	return []sdk.Msg{&consumertypes.MsgPostPrice{Feeder: w.address, ProviderId: w.partner.ids.ProviderID, Price: price}}, nil
}
