package keeper

import (
	"context"
	"errors"
	"time"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// CheckInvariants checks everything of invariants.md that concerns this module. It is unbounded work, for tests and
// for a query on a node that serves nobody else. Errors wrap ErrInvariant.
func (k *Keeper) CheckInvariants(ctx context.Context) error {
	return errors.Join(
		k.CheckCollateral(ctx),
		k.CheckPools(ctx),
		k.CheckHolds(ctx),
		k.CheckBatches(ctx),
		k.CheckOutbox(ctx),
		k.CheckMoved(ctx),
		k.CheckSlashes(ctx),
		k.CheckMeters(ctx),
		k.CheckSettlement(ctx),
		k.CheckRewards(ctx),
	)
}

func broken(format string, args ...any) error {
	return errorsmod.Wrapf(types.ErrInvariant, format, args...)
}

// CheckCollateral checks invariant 1 for every delegator that is not waiting for evaluation. Without debt:
// required(u) ≤ collateral(u). With debt: what its pools and batches could still take plus what it owes is at most what
// its bonded stake, and all its entries, can pay. Unbonding stake alone may exceed what lost collateral left: then nothing is
// active on a consumer whose lien does, nor on any if the budgets do, and every native entry is held.
func (k *Keeper) CheckCollateral(ctx context.Context) error {
	return k.eachSettled(ctx, func(_ sdk.Context, l *ledger, entries []entry, slack sdkmath.Int) error {
		required, collateral := l.required(), l.collateral()
		if l.account.Debt.IsPositive() {
			required, collateral = l.account.Debt.Add(l.allBudgets()), l.bonded
			for _, e := range entries {
				collateral = collateral.Add(e.balance)
			}
		}
		if limit := collateral.Add(slack); required.GT(limit) {
			for _, r := range l.refs {
				if r.active() && l.exceeds(r.pool.ClientId, limit) {
					return broken("%s: %s required, %s collateral, %s debt", k.delString(l.delAddr), required, collateral, l.account.Debt)
				}
			}
			for _, e := range entries {
				if !e.ours && e.balance.IsPositive() {
					return broken("%s: %s required, %s collateral, but an entry of %s is not held", k.delString(l.delAddr), required, collateral, e.balance)
				}
			}
		}
		return nil
	})
}

// exceeds says whether a consumer's lien, the budgets, or the debt with them, are more than the limit: then nothing of the
// delegator's stake there may be active.
func (l *ledger) exceeds(clientID string, limit sdkmath.Int) bool {
	if l.account.Debt.IsPositive() {
		return true
	}
	lien := sdkmath.ZeroInt()
	for _, x := range l.liens() {
		if x.clientID == clientID {
			lien = x.total()
		}
	}
	return types.Required(l.account.Debt, lien, l.allBudgets(), l.collateral(), l.nativeRatio).GT(limit)
}

// CheckHolds checks that what is held is the shortest prefix that is needed, to the rounding of x/staking, that every marker has its entry on hold,
// and that the queue lists those not worked on.
func (k *Keeper) CheckHolds(ctx context.Context) error {
	err := k.eachSettled(ctx, func(_ sdk.Context, l *ledger, entries []entry, slack sdkmath.Int) error {
		needed, _ := l.needed()
		counted := l.bonded
		for _, e := range entries {
			wanted := e.balance.IsPositive() && needed.GT(counted)
			if needed.Sub(counted).Abs().LTE(slack) {
				counted = counted.Add(e.balance)
				continue
			}
			if !e.ours && l.owed.IsPositive() {
				continue // it is held as soon as the delegator is settled, and not before it is needed
			}
			if e.ours && !wanted && !l.account.Debt.IsPositive() {
				return broken("%s: an entry of %s at %s is held but not needed", k.delString(l.delAddr), e.balance, e.completion)
			}
			if !e.ours && wanted {
				return broken("%s: an entry of %s at %s is needed but not held", k.delString(l.delAddr), e.balance, e.completion)
			}
			counted = counted.Add(e.balance)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return k.Holds.Walk(ctx, nil, func(key holdKey, h types.Hold) (bool, error) {
		queued, err := k.HoldQueue.Has(ctx, collections.Join4(key.K4(), key.K1(), key.K2(), key.K3()))
		if err == nil && queued == h.Matured {
			err = broken("hold of %s at %s: queued %t, matured %t", k.delString(h.Delegator), h.CompletionTime, queued, h.Matured)
		}
		return err != nil, err
	})
}

// eachSettled calls fn for every account that is not marked, settled in memory, with its native side read. While accounts
// are walked after a change of the native ratio or a native slash there are none.
func (k *Keeper) eachSettled(ctx context.Context, fn func(ctx sdk.Context, l *ledger, entries []entry, slack sdkmath.Int) error) error {
	lastSlash, err := getItemOr(ctx, k.LastNativeSlash, 0)
	if err != nil {
		return err
	}
	ratioWalk, err := k.RatioWalk.Has(ctx)
	if err != nil || ratioWalk {
		return err
	}
	if slashWalks, err := mapKeys(ctx, k.NativeSlashes, nil, 1); err != nil || len(slashWalks) > 0 {
		return err
	}
	accounts, err := mapKeys(ctx, k.Accounts, nil, 1<<31)
	if err != nil {
		return err
	}
	for _, delAddr := range accounts {
		marked, err := k.Marked.Has(ctx, delAddr)
		if err != nil {
			return err
		}
		cacheCtx, _ := sdk.UnwrapSDKContext(ctx).CacheContext()
		before, err := k.Positions.Iterate(ctx, collections.NewPrefixedPairRange[sdk.AccAddress, uint64](delAddr))
		if err != nil {
			return err
		}
		waiting := false // for the walk over a matured batch to mark it
		for ; before.Valid(); before.Next() {
			key, err := before.Key()
			if err != nil {
				return errors.Join(err, before.Close())
			}
			pool, err := k.Pools.Get(ctx, key.K2())
			if err != nil {
				return errors.Join(err, before.Close())
			}
			waiting = waiting || pool.IsMatured()
		}
		if err := before.Close(); err != nil {
			return err
		}
		l, err := k.load(cacheCtx, delAddr)
		if err != nil {
			return err
		}
		unwalked := k.stakingPages == nil && lastSlash > 0 && lastSlash >= l.account.EvaluatedHeight
		if marked || waiting || unwalked {
			continue
		}
		if err := k.loadNative(cacheCtx, l); err != nil {
			return err
		}
		entries, err := k.readEntries(cacheCtx, delAddr)
		if err != nil {
			return err
		}
		slack, err := k.roundable(cacheCtx, delAddr)
		if err != nil {
			return err
		}
		if err := fn(cacheCtx, l, entries, slack.Add(l.dust())); err != nil {
			return err
		}
	}
	return nil
}

// dust returns by how much the delegator's liens have grown by what rounding took from others who joined or left: a share
// was worth 1 at first, and J is what slashes took of it.
func (l *ledger) dust() sdkmath.Int {
	dust := sdkmath.ZeroInt()
	for _, r := range l.refs {
		if grown := r.value().Sub(types.ScaledMulFloor(r.pos.Shares, types.Scale().Sub(r.pool.SlashIndex))); r.counts() && grown.IsPositive() {
			dust = dust.Add(grown)
		}
	}
	return dust
}

// roundable returns by how many of the smallest units x/staking's rounding may have changed the delegator's collateral since
// it was evaluated, without anything that tells us: one for each delegation to a validator whose shares are not worth one
// token each, when others come and go there.
func (k *Keeper) roundable(ctx context.Context, delAddr sdk.AccAddress) (sdkmath.Int, error) {
	n := sdkmath.ZeroInt()
	var inner error
	err := k.staking.IterateDelegatorDelegations(ctx, delAddr, func(d stakingtypes.Delegation) bool {
		var valAddr sdk.ValAddress
		if valAddr, inner = k.staking.ValidatorAddressCodec().StringToBytes(d.ValidatorAddress); inner != nil {
			return true
		}
		var v stakingtypes.Validator
		if v, inner = k.staking.GetValidator(ctx, valAddr); inner != nil {
			return true
		}
		if !v.DelegatorShares.Equal(sdkmath.LegacyNewDecFromInt(v.Tokens)) {
			n = n.AddRaw(1)
		}
		return false
	})
	return n, errors.Join(err, inner)
}

// CheckPools checks every pool and batch: its shares are the sum of its positions', |T − Σ values| is at most their
// number, T and S are zero together, every position's budget is at least g·s to
// rounding, and all indices agree with the records.
func (k *Keeper) CheckPools(ctx context.Context) error {
	type sum struct {
		shares, values sdkmath.Int
		n              int64
	}
	sums := map[uint64]*sum{}
	// Each settlement rounds what is owed up, and so takes up to one more out of the budget than g fell by; it was paid in
	// excess, so the pool loses nothing. The settlement that is due is one more.
	totals, err := getItemOr(ctx, k.Totals, types.NewSlashTotals())
	if err != nil {
		return err
	}
	deficit := sdkmath.NewIntFromUint64(totals.Roundings).AddRaw(1)
	err = k.Positions.Walk(ctx, nil, func(key delegatorPool, pos types.Position) (bool, error) {
		id := key.K2()
		pool, err := k.Pools.Get(ctx, id)
		if err != nil {
			return true, broken("position of %s: pool %d: %s", k.delString(key.K1()), id, err)
		}
		s := sums[id]
		if s == nil {
			s = &sum{sdkmath.ZeroInt(), sdkmath.ZeroInt(), 0}
			sums[id] = s
		}
		s.shares, s.values, s.n = s.shares.Add(pos.Shares), s.values.Add(pool.ValueOf(pos.Shares)), s.n+1
		if account, err := k.Accounts.Has(ctx, key.K1()); err != nil || !account {
			return true, broken("position of %s without account: %v", k.delString(key.K1()), err)
		}
		if member, err := k.Members.Has(ctx, collections.Join(id, key.K1())); err != nil || !member {
			return true, broken("position of %s in pool %d is not among its members: %v", k.delString(key.K1()), id, err)
		}
		settled := pos
		pool.Settle(&settled)
		if least := types.ScaledMulFloor(pos.Shares, pool.BudgetPerShare).Sub(deficit); settled.Budget.LT(least) {
			return true, broken("position of %s in pool %d: budget %s, at least %s promised", k.delString(key.K1()), id, settled.Budget, least)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	members := 0
	err = k.Members.Walk(ctx, nil, func(poolDelegator) (bool, error) { members++; return false, nil })
	if err != nil {
		return err
	}
	err = k.Pools.Walk(ctx, nil, func(id uint64, pool types.Pool) (bool, error) {
		s := sums[id]
		if s == nil || !s.shares.Equal(pool.Shares) {
			return true, broken("pool %d: %s shares, positions have %v", id, pool.Shares, s)
		}
		members -= int(s.n)
		if diff := pool.Tokens.Sub(s.values).Abs(); diff.GT(sdkmath.NewInt(s.n)) {
			return true, broken("pool %d: %s tokens, %d positions are worth %s", id, pool.Tokens, s.n, s.values)
		}
		walking, err := k.Walks.Has(ctx, id)
		if err != nil {
			return true, err
		}
		if pool.Tokens.IsPositive() != pool.Shares.IsPositive() && !walking {
			return true, broken("pool %d: %s tokens but %s shares", id, pool.Tokens, pool.Shares)
		}
		if pool.IsBatch() {
			return false, nil
		}
		active, found, err := getOr(ctx, k.ActivePools, collections.Join(pool.ClientId, pool.Validator))
		if err != nil || !found || active != id {
			return true, broken("pool %d is not the validator's active pool: %d, %v", id, active, err)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	if members != 0 {
		return broken("%d members without position", members)
	}
	return k.ActivePools.Walk(ctx, nil, func(key clientVal, id uint64) (bool, error) {
		pool, err := k.Pools.Get(ctx, id)
		if err != nil || pool.IsBatch() {
			return true, broken("active pool %d of %s: %v", id, key.K1(), err)
		}
		return false, nil
	})
}

// CheckBatches checks that every batch's next event is queued, that none is older than 2U beyond its batch epoch and a
// minute, and that the indices agree with the records.
func (k *Keeper) CheckBatches(ctx context.Context) error {
	at := now(ctx)
	batches, waiting, queued := 0, 0, 0
	err := k.Pools.Walk(ctx, nil, func(id uint64, pool types.Pool) (bool, error) {
		if !pool.IsBatch() {
			return false, nil
		}
		batches++
		b := *pool.Batch
		key := collections.Join3(pool.ClientId, pool.Validator, id)
		if listed, err := k.Batches.Has(ctx, key); err != nil || !listed {
			return true, broken("batch %d is not listed: %v", id, err)
		}
		if due, ok := batchDue(b); ok {
			queued++
			if found, err := k.BatchQueue.Has(ctx, collections.Join(nanos(due), id)); err != nil || !found {
				return true, broken("batch %d: event at %s is not queued: %v", id, due, err)
			}
		}
		if !b.Matured && at.After(b.LatestMaturity().Add(time.Minute)) {
			return true, broken("batch %d should have matured at %s", id, b.LatestMaturity())
		}
		wait, err := k.WaitingBatches.Has(ctx, key)
		if err != nil {
			return true, err
		}
		if wait != (b.Closed && !b.Matured && b.ExecutedHeight.IsZero()) {
			return true, broken("batch %d: waiting %t, closed %t, executed at %s", id, wait, b.Closed, b.ExecutedHeight)
		}
		if !wait {
			return false, nil
		}
		waiting++
		p, err := k.Pairings.Get(ctx, pool.ClientId)
		if err != nil {
			return true, err
		}
		if b.Seq == 0 {
			return true, broken("batch %d is closed and has no seq", id)
		}
		if b.Session == p.Session && b.Seq > p.LastSeq || p.LastSeq == 0 {
			// It still has to be listed, so the validator must be touched.
			if touched, err := k.Outbox.Has(ctx, collections.Join(pool.ClientId, pool.Validator)); err != nil || !touched {
				return true, broken("batch %d is closed and not listed, but its validator is not touched: %v", id, err)
			}
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	err = errors.Join(
		k.Batches.Walk(ctx, nil, func(clientValID) (bool, error) { batches--; return false, nil }),
		k.WaitingBatches.Walk(ctx, nil, func(clientValID) (bool, error) { waiting--; return false, nil }),
		k.BatchQueue.Walk(ctx, nil, func(timePool) (bool, error) { queued--; return false, nil }),
	)
	if err != nil {
		return err
	}
	if batches != 0 || waiting != 0 || queued != 0 {
		return broken("indices of batches have %d, %d, %d entries too few", batches, waiting, queued)
	}
	return k.OpenBatches.Walk(ctx, nil, func(key clientValID, id uint64) (bool, error) {
		pool, err := k.Pools.Get(ctx, id)
		if err != nil || !pool.IsBatch() || pool.Batch.Closed ||
			openBatchKey(pool.ClientId, pool.Validator, pool.Batch.Epoch, pool.Batch.Redelegated).K3() != key.K3() {
			return true, broken("open batch %d of %s: %v", id, key.K1(), err)
		}
		return false, nil
	})
}

// CheckOutbox checks that the order by oldest touch agrees with the entries, and that nothing is in flight that was
// never sent.
func (k *Keeper) CheckOutbox(ctx context.Context) error {
	entries := 0
	err := k.Outbox.Walk(ctx, nil, func(key clientVal, e types.OutboxEntry) (bool, error) {
		entries++
		if found, err := k.OutboxByOldest.Has(ctx, collections.Join3(key.K1(), nanos(e.Oldest), key.K2())); err != nil || !found {
			return true, broken("outbox of %s: %X is not in the order by oldest touch: %v", key.K1(), key.K2(), err)
		}
		p, err := k.Pairings.Get(ctx, key.K1())
		if err != nil {
			return true, err
		}
		if e.InFlight > p.LastSeq || (e.InFlight == 0 && !e.Next.IsZero()) {
			return true, broken("outbox of %s: %X: in flight %d of %d", key.K1(), key.K2(), e.InFlight, p.LastSeq)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	if err := k.OutboxByOldest.Walk(ctx, nil, func(clientTimeVal) (bool, error) { entries--; return false, nil }); err != nil {
		return err
	}
	if entries != 0 {
		return broken("the order by oldest touch has %d entries too few", entries)
	}
	return nil
}
