package keeper

import (
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/mesh/invariant"
	"github.com/mesh-security/mesh/x/provider/types"
)

// CrossRedelegate moves cross-stake to another validator of the same consumer, with effect at once. What leaves goes into
// a batch that answers for the validator left: its budgets count beside those of the new position, its lien does not.
func (s msgServer) CrossRedelegate(ctx context.Context, msg *types.MsgCrossRedelegate) (*types.MsgCrossRedelegateResponse, error) {
	delAddr, err := s.address(msg.Delegator)
	if err != nil {
		return nil, err
	}
	if err := s.checkAmount(ctx, msg.Amount); err != nil {
		return nil, err
	}
	params, err := s.k.Params.Get(ctx)
	if err != nil {
		return nil, err
	}
	consumer, to, err := s.k.stakeTarget(ctx, msg.ConsumerId, msg.To)
	if err != nil {
		return nil, err
	}
	from, err := consumer.Config.ParseValidator(msg.From)
	if err != nil {
		return nil, err
	}
	if string(from) == string(to) {
		return nil, errorsmod.Wrap(types.ErrSameValidator, msg.To)
	}
	l, r, err := s.k.loadPosition(ctx, delAddr, msg.ConsumerId, from)
	if err != nil {
		return nil, errorsmod.Wrap(err, msg.From)
	}
	value := r.value()
	switch {
	case l.account.Barred:
		return nil, errorsmod.Wrap(types.ErrBarred, msg.Delegator)
	case msg.Amount.Amount.GT(value):
		return nil, errorsmod.Wrapf(types.ErrInsufficientStake, "%s, of %s", msg.Amount.Amount, value)
	case msg.Amount.Amount.LT(sdkmath.MinInt(params.MinCrossStake, value)):
		return nil, errorsmod.Wrapf(types.ErrAmountTooSmall, "%s, at least %s", msg.Amount.Amount, params.MinCrossStake)
	}
	if err := s.k.checkClaims(ctx, l, msg.ConsumerId, from, true); err != nil {
		return nil, err
	}
	if err := s.k.loadForStake(ctx, l, params); err != nil {
		return nil, err
	}
	positions := l.positionCount()
	claim, moved, err := s.k.leave(ctx, l, r, msg.Amount.Amount, true)
	if err != nil {
		return nil, err
	}
	if claim == nil {
		return nil, errorsmod.Wrapf(types.ErrInsufficientStake, "nothing of %s is backed any more", value)
	}
	joined, shares, err := s.k.stake(ctx, l, consumer.Config, to, moved)
	if err != nil {
		return nil, err
	}
	if n := l.positionCount(); n > positions && n > params.MaxPositions {
		return nil, errorsmod.Wrapf(types.ErrTooManyPositions, "at most %d", params.MaxPositions)
	}
	if required := l.required(); required.GT(l.collateral()) {
		return nil, errorsmod.Wrapf(types.ErrInsufficientCollateral, "%s of collateral, %s would be required", l.collateral(), required)
	}
	if err := s.k.noteMoved(ctx, msg.ConsumerId, from, to, moved); err != nil {
		return nil, err
	}
	res := &types.MsgCrossRedelegateResponse{
		Amount: moved, Shares: shares, BatchId: claim.id, LatestMaturity: claim.pool.Batch.LatestMaturity(),
	}
	if err := s.k.save(ctx, l); err != nil {
		return nil, err
	}
	s.k.emit(ctx, &types.EventCrossRedelegate{
		Delegator: msg.Delegator, ConsumerId: msg.ConsumerId, From: msg.From, To: msg.To,
		Amount: moved, BatchId: claim.id, PoolId: joined.id,
	})
	return res, nil
}

// noteMoved keeps redelegated stake out of what is listed for the validator joined until a listing of the one left that
// was sent after the move is acknowledged: the consumer must not count it twice.
func (k *Keeper) noteMoved(ctx context.Context, clientID string, from, to []byte, amount sdkmath.Int) error {
	key := collections.Join4(clientID, from, nanos(now(ctx)), to)
	before, _, err := getOr(ctx, k.Moved, key)
	if err != nil {
		return err
	}
	if before.IsNil() {
		before = sdkmath.ZeroInt()
	}
	if err := k.Moved.Set(ctx, key, before.Add(amount)); err != nil {
		return err
	}
	return k.addMovedTo(ctx, clientID, to, amount)
}

// movedTo returns what was redelegated to a validator and is not listed yet, in provider tokens.
func (k *Keeper) movedTo(ctx context.Context, clientID string, to []byte) (sdkmath.Int, error) {
	amount, err := k.MovedTo.Get(ctx, collections.Join(clientID, to))
	if errors.Is(err, collections.ErrNotFound) {
		return sdkmath.ZeroInt(), nil
	}
	return amount, err
}

func (k *Keeper) addMovedTo(ctx context.Context, clientID string, to []byte, amount sdkmath.Int) error {
	sum, err := k.movedTo(ctx, clientID, to)
	if err != nil {
		return err
	}
	key := collections.Join(clientID, to)
	if sum = sum.Add(amount); sum.IsPositive() {
		return k.MovedTo.Set(ctx, key, sum)
	}
	return k.MovedTo.Remove(ctx, key)
}

// departed notes that the consumer has acknowledged what left a validator before a time: EndBlock lists it where it went.
func (k *Keeper) departed(ctx context.Context, clientID string, from []byte, before uint64) error {
	first, err := mapKeys(ctx, k.Moved, collections.NewSuperPrefixedQuadRange[string, []byte, uint64, []byte](clientID, from), 1)
	if err != nil || len(first) == 0 || first[0].K3() >= before {
		return err
	}
	return k.Departures.Set(ctx, collections.Join(clientID, from), before)
}

// runDepartures works on at most limit moves whose leaving was acknowledged: what was moved is listed from now on.
func (k *Keeper) runDepartures(ctx sdk.Context, limit int) error {
	keys, err := mapKeys(ctx, k.Departures, nil, limit)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if limit <= 0 {
			return nil
		}
		before, err := k.Departures.Get(ctx, key)
		if err != nil {
			return err
		}
		moved, err := k.movedBefore(ctx, key.K1(), key.K2(), before, limit)
		if err != nil {
			return err
		}
		for _, m := range moved {
			if err := k.arrive(ctx, m); err != nil {
				return err
			}
		}
		if len(moved) < limit {
			if err := k.Departures.Remove(ctx, key); err != nil {
				return err
			}
		}
		limit -= max(len(moved), 1)
	}
	return nil
}

// movedBefore returns at most limit keys of what left a validator before a time.
func (k *Keeper) movedBefore(ctx context.Context, clientID string, from []byte, before uint64, limit int) (keys []movedKey, err error) {
	rng := collections.NewSuperPrefixedQuadRange[string, []byte, uint64, []byte](clientID, from)
	err = k.Moved.Walk(ctx, rng, func(key movedKey, _ sdkmath.Int) (bool, error) {
		if key.K3() >= before || len(keys) >= limit {
			return true, nil
		}
		keys = append(keys, key)
		return false, nil
	})
	return keys, err
}

// arrive ends the time in which a move is left out of what is listed.
func (k *Keeper) arrive(ctx context.Context, key movedKey) error {
	amount, err := k.Moved.Get(ctx, key)
	if err != nil {
		return err
	}
	if err := k.Moved.Remove(ctx, key); err != nil {
		return err
	}
	clientID, from, to := key.K1(), key.K2(), key.K4()
	if err := k.addMovedTo(ctx, clientID, to, amount.Neg()); err != nil {
		return err
	}
	k.emit(ctx, &types.EventRedelegationArrived{
		ConsumerId: clientID, From: k.operatorString(ctx, clientID, from), To: k.operatorString(ctx, clientID, to), Amount: amount,
	})
	return k.touch(ctx, clientID, to)
}

// dropMoved forgets at most limit moves of a consumer that is being removed. It says whether there are more.
func (k *Keeper) dropMoved(ctx context.Context, clientID string, limit int) (more bool, err error) {
	keys, err := mapKeys(ctx, k.Moved, collections.NewPrefixedQuadRange[string, []byte, uint64, []byte](clientID), limit)
	if err != nil {
		return false, err
	}
	for _, key := range keys {
		amount, err := k.Moved.Get(ctx, key)
		if err != nil {
			return false, err
		}
		if err := k.Moved.Remove(ctx, key); err != nil {
			return false, err
		}
		if err := k.addMovedTo(ctx, clientID, key.K4(), amount.Neg()); err != nil {
			return false, err
		}
	}
	if len(keys) >= limit {
		return true, nil
	}
	return false, k.Departures.Clear(ctx, collections.NewPrefixedPairRange[string, []byte](clientID))
}

// initMoved stores redelegations that are not listed yet, with their sums.
func (k *Keeper) initMoved(ctx context.Context, g *types.GenesisState) error {
	for _, m := range g.Moved {
		if err := k.Moved.Set(ctx, collections.Join4(m.ClientId, m.From, nanos(m.Time), m.To), m.Amount); err != nil {
			return err
		}
		if err := k.addMovedTo(ctx, m.ClientId, m.To, m.Amount); err != nil {
			return err
		}
	}
	for _, d := range g.Departures {
		if err := k.Departures.Set(ctx, collections.Join(d.ClientId, d.From), nanos(d.Before)); err != nil {
			return err
		}
	}
	return nil
}

// exportMoved returns redelegations that are not listed yet.
func (k *Keeper) exportMoved(ctx context.Context, g *types.GenesisState) error {
	err := k.Moved.Walk(ctx, nil, func(key movedKey, amount sdkmath.Int) (bool, error) {
		g.Moved = append(g.Moved, types.MovedStake{
			ClientId: key.K1(), From: key.K2(), Time: fromNanos(key.K3()), To: key.K4(), Amount: amount,
		})
		return false, nil
	})
	if err != nil {
		return err
	}
	return k.Departures.Walk(ctx, nil, func(key clientVal, before uint64) (bool, error) {
		g.Departures = append(g.Departures, types.DepartureRecord{ClientId: key.K1(), From: key.K2(), Before: fromNanos(before)})
		return false, nil
	})
}

// movedSum is a sum of what is not listed yet, with what the moves add up to.
type movedSum struct {
	Client    string      `json:"client"`
	Validator []byte      `json:"validator"`
	Kept      sdkmath.Int `json:"kept"`
	Sum       sdkmath.Int `json:"sum"`
}

// movedInvariant says that the sums of what is not listed yet agree with the moves, and that nothing is left out for ever: the
// validator left is touched, or its departure is noted.
func (k *Keeper) movedInvariant() invariant.Check {
	name := func(key movedKey) string { return "move from " + consumerVal(key.K1(), key.K2()) }
	sumName := func(s *movedSum) string { return "moves to " + consumerVal(s.Client, s.Validator) }
	return invariant.Check{Name: InvariantMoved, Phases: []invariant.Phase{
		invariant.Each(k.Moved, name, k.checkMove),
		invariant.Grouped(k.MovedTo,
			func(key clientVal) string { return "moves to " + consumerVal(key.K1(), key.K2()) },
			func(key clientVal, sum sdkmath.Int) *movedSum {
				return &movedSum{key.K1(), key.K2(), sum, sdkmath.ZeroInt()}
			}, sumName,
			[]func(*invariant.Page, *[]byte, []*movedSum) bool{
				func(p *invariant.Page, after *[]byte, sums []*movedSum) bool {
					byKey := make(map[string]*movedSum, len(sums))
					for _, s := range sums {
						byKey[s.Client+"/"+string(s.Validator)] = s
					}
					return invariant.Walk(p, k.Moved, after, name, func(key movedKey, amount sdkmath.Int) error {
						if s := byKey[key.K1()+"/"+string(key.K4())]; s != nil {
							s.Sum = s.Sum.Add(amount)
						}
						return nil
					})
				},
			},
			func(_ *invariant.Page, s *movedSum) error {
				if !s.Sum.Equal(s.Kept) {
					return fmt.Errorf("%s left out, %s moved", s.Kept, s.Sum)
				}
				return nil
			}),
	}}
}

func (k *Keeper) checkMove(p *invariant.Page, key movedKey, amount sdkmath.Int) error {
	p.Spend(3)
	if !amount.IsPositive() {
		return fmt.Errorf("%s was moved to %X", amount, key.K4())
	}
	if kept, err := k.MovedTo.Has(p.Context(), collections.Join(key.K1(), key.K4())); err != nil || !kept {
		return errors.Join(fmt.Errorf("no sum of what was moved to %X", key.K4()), err)
	}
	left := collections.Join(key.K1(), key.K2())
	touched, err := k.Outbox.Has(p.Context(), left)
	if err != nil || touched {
		return err
	}
	before, noted, err := getOr(p.Context(), k.Departures, left)
	if err == nil && (!noted || before <= key.K3()) {
		err = errors.New("it is left out for ever")
	}
	return err
}
