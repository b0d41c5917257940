package keeper

import (
	"context"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// savePool stores a pool or batch; one without shares is deleted with its indices.
func (k *Keeper) savePool(ctx context.Context, id uint64, pool types.Pool) error {
	if pool.Shares.IsPositive() {
		return k.Pools.Set(ctx, id, pool)
	}
	if err := k.Pools.Remove(ctx, id); err != nil {
		return err
	}
	if err := k.Walks.Remove(ctx, id); err != nil {
		return err
	}
	if !pool.IsBatch() {
		return k.ActivePools.Remove(ctx, collections.Join(pool.ClientId, pool.Validator))
	}
	return k.dropBatch(ctx, id, pool)
}

// activePool returns the pool that new stake on a consumer's validator joins.
func (k *Keeper) activePool(ctx context.Context, clientID string, validator []byte) (id uint64, pool types.Pool, found bool, err error) {
	id, found, err = getOr(ctx, k.ActivePools, collections.Join(clientID, validator))
	if err != nil || !found {
		return 0, types.Pool{}, false, err
	}
	pool, err = k.Pools.Get(ctx, id)
	return id, pool, err == nil, err
}

// activeTokens returns T of the active pool, zero if there is none: the amount that updates list.
func (k *Keeper) activeTokens(ctx context.Context, clientID string, validator []byte) (sdkmath.Int, error) {
	_, pool, found, err := k.activePool(ctx, clientID, validator)
	if err != nil || !found {
		return sdkmath.ZeroInt(), err
	}
	return pool.Tokens, nil
}

// stake adds amount to the delegator's position on a validator, in memory; the caller checks collateral and saves.
func (k *Keeper) stake(ctx context.Context, l *ledger, cfg types.ConsumerConfig, validator []byte, amount sdkmath.Int) (*ref, sdkmath.Int, error) {
	ratio := cfg.MaxSlashFractionDoubleSign
	key := collections.Join(cfg.ClientId, validator)
	id, found, err := getOr(ctx, k.ActivePools, key)
	if err != nil {
		return nil, sdkmath.Int{}, err
	}
	var r *ref
	switch {
	case !found:
		if id, err = k.NextPoolID.Next(ctx); err != nil {
			return nil, sdkmath.Int{}, err
		}
		if err := k.ActivePools.Set(ctx, key, id); err != nil {
			return nil, sdkmath.Int{}, err
		}
		r = &ref{id: id, pool: types.NewPool(cfg.ClientId, validator, ratio), isNew: true, tokensBefore: sdkmath.ZeroInt()}
		r.pool.Since, _ = k.latestHeight(ctx, cfg.ClientId)
		r.pos = r.pool.NewPosition()
		l.refs = append(l.refs, r)
	default:
		if r = l.find(id); r == nil {
			pool, err := k.Pools.Get(ctx, id)
			if err != nil {
				return nil, sdkmath.Int{}, err
			}
			r = &ref{id: id, pool: pool, pos: pool.NewPosition(), isNew: true, tokensBefore: pool.Tokens}
			l.refs = append(l.refs, r)
		}
		if r.pool.Shares.IsPositive() && !r.pool.BudgetPerShare.IsPositive() {
			return nil, sdkmath.Int{}, errorsmod.Wrapf(types.ErrPoolClosed, "pool %d has no budget left", id)
		}
	}
	shares, err := r.pool.SharesForStake(amount)
	if err != nil {
		return nil, sdkmath.Int{}, err
	}
	budget := r.pool.Reserve(amount, shares, ratio)
	r.pool.Mint(shares, amount)
	r.pos.Shares = r.pos.Shares.Add(shares)
	r.pos.Budget = r.pos.Budget.Add(budget)
	r.poolDirty, r.posDirty = true, true
	return r, shares, nil
}

// topUp raises a position's budget to what its stake should reserve, as far as the collateral allows, else it shrinks
// the position to what the budget backs. What others have reserved too much gives way first. It returns the room that is left.
func (k *Keeper) topUp(ctx context.Context, l *ledger, r *ref, ratio sdkmath.LegacyDec, collateral sdkmath.Int) (sdkmath.Int, error) {
	room := l.room(collateral)
	want := r.pool.Reserve(r.value(), r.pos.Shares, ratio)
	if r.pos.Budget.GTE(want) {
		return room, nil
	}
	if want.Sub(r.pos.Budget).GT(room) {
		if err := k.ease(ctx, l); err != nil {
			return room, err
		}
		room = l.room(collateral)
	}
	grow := sdkmath.MinInt(want.Sub(r.pos.Budget), room)
	r.pos.Budget = r.pos.Budget.Add(grow)
	r.posDirty = true
	room = room.Sub(grow)
	if r.pos.Budget.LT(want) {
		shares := r.pool.SharesBacked(r.pos.Shares, r.pos.Budget, r.value(), ratio)
		room = room.Add(k.shrink(ctx, l, r, shares, r.pos.Budget, ratio))
	}
	return room, nil
}

// ease lowers what active positions have reserved to what today's ratio asks. A ratio that was lowered, and stakes that were
// each rounded up, leave more; it backs nothing.
func (k *Keeper) ease(ctx context.Context, l *ledger) error {
	return k.eachActive(ctx, l, func(r *ref, ratio sdkmath.LegacyDec) error {
		if want := r.pool.Reserve(r.value(), r.pos.Shares, ratio); r.pos.Budget.GT(want) {
			r.pos.Budget, r.posDirty = want, true
		}
		return nil
	})
}

// shrink leaves an active position with the given shares and at most the given budget: the others are burned at once,
// with no batch. It returns how much smaller the budget has become.
func (k *Keeper) shrink(ctx context.Context, l *ledger, r *ref, shares, budget sdkmath.Int, ratio sdkmath.LegacyDec) sdkmath.Int {
	before, budgetBefore := r.value(), r.pos.Budget
	if burned := r.pos.Shares.Sub(shares); burned.IsPositive() {
		r.pool.Burn(burned, r.pool.ValueOf(burned))
		r.pos.Shares = shares
	}
	r.pos.Budget = sdkmath.MinInt(budget, r.pool.Reserve(r.value(), r.pos.Shares, ratio))
	r.poolDirty, r.posDirty = true, true
	if cut := before.Sub(r.value()); cut.IsPositive() {
		k.emit(ctx, &types.EventPositionShrunk{
			Delegator: k.delString(l.delAddr), ConsumerId: r.pool.ClientId,
			Validator: k.operatorString(ctx, r.pool.ClientId, r.pool.Validator), Amount: cut, PoolId: r.id,
		})
	}
	return sdkmath.MaxInt(budgetBefore.Sub(r.pos.Budget), sdkmath.ZeroInt())
}

// unstake moves amount of an active position into the consumer's present batch, in memory except for a batch that it
// opens. The position is first topped up to ratio·value, or shrunk; then both parts reserve ceil(ratio·value), never
// below g·s, and if what that adds does not fit the rest shrinks. It returns the claim, or nil if nothing was left
// to move.
func (k *Keeper) unstake(ctx context.Context, l *ledger, r *ref, amount sdkmath.Int, automatic bool) (*ref, error) {
	claim, moved, err := k.leave(ctx, l, r, amount, false)
	if err != nil || claim == nil {
		return nil, err
	}
	k.emit(ctx, &types.EventCrossUnstake{
		Delegator: k.delString(l.delAddr), ConsumerId: r.pool.ClientId,
		Validator: k.operatorString(ctx, r.pool.ClientId, r.pool.Validator), Amount: moved, BatchId: claim.id, Automatic: automatic,
	})
	return claim, nil
}

// leave is the work of unstake, for unstaked stake or redelegated. It also returns how many tokens have moved.
func (k *Keeper) leave(ctx context.Context, l *ledger, r *ref, amount sdkmath.Int, redelegated bool) (*ref, sdkmath.Int, error) {
	none := sdkmath.ZeroInt()
	consumer, err := k.Consumers.Get(ctx, r.pool.ClientId)
	if err != nil {
		return nil, none, err
	}
	ratio := consumer.Config.MaxSlashFractionDoubleSign
	// What stays and what leaves is reserved at today's ratio and rounded anew: less may be needed, and more until a debt is paid.
	l.eased = l.eased || l.held.IsPositive() || l.account.Debt.IsPositive()
	room, err := k.topUp(ctx, l, r, ratio, l.collateral())
	if err != nil {
		return nil, none, err
	}
	value := r.value()
	if !value.IsPositive() || !amount.IsPositive() {
		return nil, none, nil
	}
	shares := r.pos.Shares
	if amount.LT(value) {
		shares = r.pool.SharesForValue(amount, r.pos.Shares)
	}
	if shares.Equal(r.pos.Shares) {
		amount = value
	}
	reserve := r.pool.Reserve(amount, shares, ratio)
	moved := r.pool.Burn(shares, amount)
	r.pos.Shares = r.pos.Shares.Sub(shares)
	r.poolDirty, r.posDirty = true, true

	// What the position had reserved plus the room goes to the part that leaves, then to the rest.
	available := r.pos.Budget.Add(room)
	reserve = sdkmath.MinInt(reserve, available)
	want := r.pool.Reserve(r.value(), r.pos.Shares, ratio)
	r.pos.Budget = sdkmath.MinInt(want, available.Sub(reserve))
	if r.pos.Budget.LT(want) {
		k.shrink(ctx, l, r, r.pool.SharesBacked(r.pos.Shares, r.pos.Budget, r.value(), ratio), r.pos.Budget, ratio)
	}
	claim, err := k.joinBatch(ctx, l, r.pool, moved, reserve, redelegated)
	return claim, moved, err
}

// cut shrinks active positions at once to what the collateral backs once the debt is paid: first all of them until the
// budgets fit, by k = max(0, (1 − native_ratio)·collateral − unbonding budgets)/active budgets, rounded down; then those
// on a consumer whose lien exceeds the collateral, to collateral − its unbonding part.
func (k *Keeper) cut(ctx context.Context, l *ledger, collateral sdkmath.Int) error {
	active, unbonding := l.budgets()
	limit := l.afterDebt(collateral)
	allowed := sdkmath.MaxInt(types.BudgetRoom(limit, l.nativeRatio).Sub(unbonding), sdkmath.ZeroInt())
	if active.GT(allowed) {
		err := k.eachActive(ctx, l, func(r *ref, ratio sdkmath.LegacyDec) error {
			value := types.MulRatioFloor(r.value(), allowed, active)
			budget := types.MulRatioFloor(r.pos.Budget, allowed, active)
			k.shrink(ctx, l, r, r.pool.SharesBacked(r.pos.Shares, budget, value, ratio), budget, ratio)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, x := range l.liens() {
		target := sdkmath.MaxInt(limit.Sub(x.unbonding), sdkmath.ZeroInt())
		if !x.active.GT(target) {
			continue
		}
		err := k.eachActive(ctx, l, func(r *ref, ratio sdkmath.LegacyDec) error {
			if r.pool.ClientId == x.clientID {
				value := types.MulRatioFloor(r.value(), target, x.active)
				k.shrink(ctx, l, r, r.pool.SharesWorth(r.pos.Shares, value), r.pos.Budget, ratio)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unstakeDown unstakes active positions until collateral would back what stays once the debt is paid and all unbonding has
// ended: for each consumer the active lien above it, pro rata over its positions, rounded up; then all active positions
// likewise until their budgets fit, which first fall to what today's ratio asks.
func (k *Keeper) unstakeDown(ctx context.Context, l *ledger, collateral sdkmath.Int) error {
	limit := l.afterDebt(collateral)
	for _, x := range l.liens() {
		if !x.active.GT(limit) {
			continue
		}
		there := func(r *ref) bool { return r.pool.ClientId == x.clientID }
		if err := k.topUpActive(ctx, l, there); err != nil {
			return err
		}
		active := sdkmath.ZeroInt()
		for _, r := range l.refs {
			if r.active() && there(r) {
				active = active.Add(r.value())
			}
		}
		if !active.GT(limit) {
			continue
		}
		excess := active.Sub(limit)
		err := k.eachActive(ctx, l, func(r *ref, _ sdkmath.LegacyDec) error {
			if !there(r) {
				return nil
			}
			_, err := k.unstake(ctx, l, r, types.MulRatioCeil(r.value(), excess, active), true)
			return err
		})
		if err != nil {
			return err
		}
	}
	active, _ := l.budgets()
	allowed := types.BudgetRoom(limit, l.nativeRatio)
	if !active.GT(allowed) {
		return nil
	}
	if err := k.ease(ctx, l); err != nil {
		return err
	}
	if active, _ = l.budgets(); !active.GT(allowed) {
		return nil
	}
	if err := k.topUpActive(ctx, l, func(*ref) bool { return true }); err != nil {
		return err
	}
	if active, _ = l.budgets(); !active.GT(allowed) {
		return nil
	}
	return k.eachActive(ctx, l, func(r *ref, ratio sdkmath.LegacyDec) error {
		budget := types.MulRatioFloor(r.pos.Budget, allowed, active)
		// Fewer shares may have the same value, and need a smaller budget all the same.
		leaves := r.pos.Shares.Sub(r.pool.SharesBacked(r.pos.Shares, budget, r.value(), ratio))
		if !leaves.IsPositive() || !r.pool.Shares.IsPositive() {
			return nil
		}
		amount := types.MulRatioCeil(leaves, r.pool.Tokens, r.pool.Shares)
		_, err := k.unstake(ctx, l, r, amount, true)
		return err
	})
}

// topUpActive tops up active positions, or shrinks them, as unstaking each would do: how much of them leaves is reckoned from
// what is there then.
func (k *Keeper) topUpActive(ctx context.Context, l *ledger, which func(*ref) bool) error {
	return k.eachActive(ctx, l, func(r *ref, ratio sdkmath.LegacyDec) error {
		if !which(r) {
			return nil
		}
		_, err := k.topUp(ctx, l, r, ratio, l.collateral())
		return err
	})
}

// eachActive calls fn for the delegator's active positions with their consumer's ratio. fn may add claims.
func (k *Keeper) eachActive(ctx context.Context, l *ledger, fn func(r *ref, ratio sdkmath.LegacyDec) error) error {
	for _, r := range append([]*ref(nil), l.refs...) {
		if !r.active() {
			continue
		}
		consumer, err := k.Consumers.Get(ctx, r.pool.ClientId)
		if err != nil {
			return err
		}
		if err := fn(r, consumer.Config.MaxSlashFractionDoubleSign); err != nil {
			return err
		}
	}
	return nil
}

// hasStake says whether anything is staked on, or unbonding from, a consumer's validator.
func (k *Keeper) hasStake(ctx context.Context, clientID string, validator []byte) (bool, error) {
	active, err := k.ActivePools.Has(ctx, collections.Join(clientID, validator))
	if err != nil || active {
		return active, err
	}
	batches, err := firstKeys(ctx, k.Batches, collections.NewSuperPrefixedTripleRange[string, []byte, uint64](clientID, validator), 1)
	return len(batches) > 0, err
}

// mark queues a delegator for evaluation in EndBlock.
func (k *Keeper) mark(ctx context.Context, delAddr sdk.AccAddress) error {
	return k.Marked.Set(ctx, delAddr)
}
