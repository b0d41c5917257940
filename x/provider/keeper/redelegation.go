package keeper

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

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

// CheckMoved checks that the sums of what is not listed yet agree with the moves, and that nothing is left out for ever: the
// validator left is touched, or its departure is noted.
func (k *Keeper) CheckMoved(ctx context.Context) error {
	sums := map[string]sdkmath.Int{}
	err := k.Moved.Walk(ctx, nil, func(key movedKey, amount sdkmath.Int) (bool, error) {
		if !amount.IsPositive() {
			return true, broken("%s was moved from %X to %X", amount, key.K2(), key.K4())
		}
		to := key.K1() + "/" + string(key.K4())
		if sum, ok := sums[to]; ok {
			amount = sum.Add(amount)
		}
		sums[to] = amount
		touched, err := k.Outbox.Has(ctx, collections.Join(key.K1(), key.K2()))
		if err != nil || touched {
			return false, err
		}
		before, noted, err := getOr(ctx, k.Departures, collections.Join(key.K1(), key.K2()))
		if err == nil && (!noted || before <= key.K3()) {
			err = broken("moves from %X of %s are left out for ever", key.K2(), key.K1())
		}
		return err != nil, err
	})
	if err != nil {
		return err
	}
	err = k.MovedTo.Walk(ctx, nil, func(key clientVal, sum sdkmath.Int) (bool, error) {
		to := key.K1() + "/" + string(key.K2())
		if want, ok := sums[to]; !ok || !want.Equal(sum) {
			return true, broken("%s left out for %X of %s, %s moved", sum, key.K2(), key.K1(), want)
		}
		delete(sums, to)
		return false, nil
	})
	if err == nil && len(sums) > 0 {
		err = broken("%d validators have moves without a sum", len(sums))
	}
	return err
}
