package keeper

import (
	"context"
	"fmt"
	"slices"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// poolSubject names a pool in events.
func poolSubject(id uint64) string { return fmt.Sprintf("pool %d", id) }

// evaluate brings a delegator's liens, held entries and collateral into agreement: it settles, cuts what the collateral
// cannot back once the debt is paid, holds the shortest prefix of the native unbonding entries that the liens need, releases the others, pays
// out what of a matured entry is not needed, and unstakes what a matured entry backs. It returns the steps it took: one
// for each native delegation or entry, and each position, read.
//
// CONTRACT: not called from inside a staking hook; x/staking works on copies it read before.
func (k *Keeper) evaluate(ctx sdk.Context, delAddr sdk.AccAddress) (steps int, err error) {
	return k.evaluateMember(ctx, delAddr, 0)
}

// evaluateMember is evaluate, which also tops up or shrinks the position in one active pool, if id is not zero. An
// evaluation foresees that the debt will be paid, so if that comes out of native delegations none has to follow it.
func (k *Keeper) evaluateMember(ctx sdk.Context, delAddr sdk.AccAddress, id uint64) (steps int, err error) {
	if err := k.Marked.Remove(ctx, delAddr); err != nil {
		return 1, err
	}
	l, err := k.load(ctx, delAddr)
	if err != nil || !l.stored {
		return 1, err
	}
	if l.bonded, l.delegations, err = k.readBonded(ctx, delAddr, l.minSelf()); err != nil {
		return 1, err
	}
	entries, err := k.readEntries(ctx, delAddr)
	if err != nil {
		return 1, err
	}
	steps = 1 + int(l.delegations) + len(entries) + len(l.refs)

	all := sdkmath.ZeroInt()
	for _, e := range entries {
		all = all.Add(e.balance)
	}
	total := l.bonded.Add(all)
	if l.missing(total).IsPositive() {
		if err := k.ease(ctx, l); err != nil {
			return steps, err
		}
	}
	if l.missing(total).IsPositive() {
		if err := k.collateralLost(ctx, l, total); err != nil {
			return steps, err
		}
	}
	if r := l.find(id); r != nil && r.active() {
		consumer, err := k.Consumers.Get(ctx, r.pool.ClientId)
		if err != nil {
			return steps, err
		}
		if _, err := k.topUp(ctx, l, r, consumer.Config.MaxSlashFractionDoubleSign, total); err != nil {
			return steps, err
		}
	}
	needed, ok := l.needed()
	if !ok {
		needed = total
	}
	matured, err := k.holdPrefix(ctx, l, entries, needed)
	if err != nil {
		return steps, err
	}
	if matured.IsPositive() {
		// What matured entries back leaves too; they are released when it has.
		if err := k.unstakeDown(ctx, l, l.collateral().Sub(matured)); err != nil {
			return steps, err
		}
		// If positions shrank by rounding, or reserve less, less may be needed now; not where all is needed, however much.
		if after, ok := l.needed(); ok && after.LT(needed) {
			if err := k.mark(ctx, delAddr); err != nil {
				return steps, err
			}
		}
	}
	return steps, k.closeEvaluation(ctx, l, len(entries) == 0)
}

// collateralLost cuts positions that nothing backs any more. If less is there than what backed them before, and neither a
// slash, settlement nor rounding in x/staking explains it, collateral has escaped and the delegator is barred from new
// stake. What is needed may also grow, by the dust that others leave in a pool.
func (k *Keeper) collateralLost(ctx sdk.Context, l *ledger, total sdkmath.Int) error {
	lastSlash, err := getItemOr(ctx, k.LastNativeSlash, 0)
	if err != nil {
		return err
	}
	escaped := sdkmath.MinInt(l.backing().Sub(total), l.missing(total))
	if !l.account.Debt.IsPositive() && lastSlash < l.account.EvaluatedHeight && escaped.GT(sdkmath.NewInt(maxRoundingLoss)) {
		l.account.Barred, l.accountDirty = true, true
		k.emit(ctx, &types.EventCollateralEscaped{Delegator: k.delString(l.delAddr), Missing: escaped})
	}
	return k.cut(ctx, l, total)
}

// maxRoundingLoss is how many of the smallest units may go missing without a slash: redelegating between validators with
// broken exchange rates loses up to one each time.
const maxRoundingLoss = 100

// holdPrefix holds the shortest prefix of entries for which bonded + held ≥ needed, releases the others, and pays out
// what is not needed of the last one if it has matured and nobody else holds it. While debt stands no entry is released.
// It sets held(u) and returns the balance of held entries that have matured.
func (k *Keeper) holdPrefix(ctx sdk.Context, l *ledger, entries []entry, needed sdkmath.Int) (matured sdkmath.Int, err error) {
	at := ctx.BlockTime()
	matured, l.held = sdkmath.ZeroInt(), sdkmath.ZeroInt()
	var released []entry
	for _, e := range entries {
		missing := needed.Sub(l.collateral())
		wanted := missing.IsPositive() && e.balance.IsPositive()
		keep := wanted || (e.ours && l.account.Debt.IsPositive() && e.balance.IsPositive())
		switch {
		case keep && !e.ours:
			if err := k.hold(ctx, l.delAddr, e); err != nil {
				return matured, err
			}
		case !keep && e.ours:
			released = append(released, e)
		}
		if !keep {
			continue
		}
		if wanted && !e.shared && e.matured(at) && missing.LT(e.balance) && !l.account.Debt.IsPositive() {
			if err := k.payOut(ctx, l.delAddr, e, e.balance.Sub(missing)); err != nil {
				return matured, err
			}
			e.balance = missing
		}
		l.held = l.held.Add(e.balance)
		if e.matured(at) {
			matured = matured.Add(e.balance)
		}
	}
	// At last: releasing an entry whose time has come completes all free ones of the same validator.
	for _, e := range released {
		if err := k.release(ctx, l.delAddr, e); err != nil {
			return matured, err
		}
	}
	return matured, nil
}

// closeEvaluation stores the ledger; an account with nothing left is deleted. Without entries, and with positions left,
// the payment of the debt changes nothing that this evaluation has not seen to.
func (k *Keeper) closeEvaluation(ctx sdk.Context, l *ledger, noEntries bool) error {
	kept := slices.ContainsFunc(l.refs, func(r *ref) bool { return r.pos.Shares.IsPositive() })
	l.account.Foreseen = noEntries && kept && l.account.Debt.IsPositive()
	l.account.EvaluatedHeight, l.accountDirty, l.evaluated = ctx.BlockHeight(), true, true
	l.setBacking(l.collateral())
	if err := k.save(ctx, l); err != nil {
		return err
	}
	if len(l.refs) > 0 || l.account.Debt.IsPositive() || l.account.Barred {
		return nil
	}
	holds, err := k.delegatorHolds(ctx, l.delAddr)
	if err != nil || len(holds) > 0 {
		return err
	}
	return k.Accounts.Remove(ctx, l.delAddr)
}

// runMarked evaluates marked delegators until the steps are used up, at least one. A delegator whose evaluation fails
// stays marked and waits for the next round, so that it holds up nobody.
func (k *Keeper) runMarked(ctx sdk.Context, steps int) error {
	cursor, err := getItemOr(ctx, k.MarkCursor, nil)
	if err != nil {
		return err
	}
	start, wrapped := cursor, len(cursor) == 0
	for steps > 0 {
		rng := new(collections.Range[sdk.AccAddress])
		if len(cursor) > 0 {
			rng = rng.StartExclusive(cursor)
		}
		if wrapped && len(start) > 0 {
			rng = rng.EndInclusive(start) // one round at most
		}
		batch, err := firstKeys(ctx, k.Marked, rng, min(steps, 100))
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			cursor = nil
			if wrapped {
				break
			}
			wrapped = true
			continue
		}
		for _, delAddr := range batch {
			taken := 1
			k.attempt(ctx, "evaluation", k.delString(delAddr), func(ctx sdk.Context) (err error) {
				taken, err = k.evaluate(ctx, delAddr)
				return err
			})
			steps -= max(taken, 1)
			countSteps(ctx, max(taken, 1))
			cursor = delAddr
			if steps <= 0 {
				break
			}
		}
	}
	if len(cursor) == 0 {
		if len(start) == 0 {
			return nil
		}
		return k.MarkCursor.Remove(ctx)
	}
	return k.MarkCursor.Set(ctx, cursor)
}

// runWalks moves the walks over pools and batches on until the steps are used up, each walk by its share, and returns the
// steps taken. A visit may take more than a walk's share; another walk begins in every block, so that none starves.
func (k *Keeper) runWalks(ctx sdk.Context, steps int) (taken int, err error) {
	ids, err := mapKeys(ctx, k.Walks, nil, steps)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	defer func() { countSteps(ctx, taken) }()
	share := max(steps/len(ids), 1)
	first := int(ctx.BlockHeight() % int64(len(ids)))
	for i := range ids {
		if taken >= steps {
			break
		}
		id := ids[(first+i)%len(ids)]
		k.attempt(ctx, "walk", poolSubject(id), func(ctx sdk.Context) error {
			n, err := k.walk(ctx, id, share)
			taken += n
			return err
		})
	}
	return taken, nil
}

// walk moves one walk on by at most limit steps, at least one member, and returns those it took.
func (k *Keeper) walk(ctx sdk.Context, id uint64, limit int) (taken int, err error) {
	w, err := k.Walks.Get(ctx, id)
	if err != nil {
		return 1, err
	}
	pool, found, err := getOr(ctx, k.Pools, id)
	if err != nil {
		return 1, err
	}
	if !found {
		return 1, k.Walks.Remove(ctx, id)
	}
	rng := collections.NewPrefixedPairRange[uint64, sdk.AccAddress](id)
	if len(w.Cursor) > 0 {
		rng = rng.StartExclusive(w.Cursor)
	}
	members, err := firstKeys(ctx, k.Members, rng, limit)
	if err != nil {
		return 1, err
	}
	visit, stage := k.evaluateMember, "top up"
	switch {
	case pool.IsMatured():
		visit = func(ctx sdk.Context, delAddr sdk.AccAddress, _ uint64) (int, error) { return 1, k.mark(ctx, delAddr) }
	case pool.IsBatch():
		visit, stage = k.settleMember, "settle"
	}
	more := len(members) == limit
	for i, m := range members {
		delAddr, n := m.K2(), 1
		w.Cursor = delAddr
		ok := k.attempt(ctx, stage, k.delString(delAddr), func(ctx sdk.Context) (err error) {
			n, err = visit(ctx, delAddr, id)
			return err
		})
		if !ok {
			// Its budget may be below what the end of the walk would promise: do not raise g this time. It is settled as soon
			// as it can be.
			w.Rate = sdkmath.ZeroInt()
			if err := k.mark(ctx, delAddr); err != nil {
				return taken, err
			}
		}
		if taken += max(n, 1); taken >= limit && i < len(members)-1 {
			more = true
			break
		}
	}
	if !more {
		return max(taken, 1), k.finishWalk(ctx, id, w)
	}
	// Those visited may have been the last, and left an empty pool: then the walk is gone with it.
	if left, err := k.Pools.Has(ctx, id); err != nil || !left {
		return taken, err
	}
	return taken, k.Walks.Set(ctx, id, w)
}

// finishWalk ends a walk that has visited all members, and begins another if one is needed.
func (k *Keeper) finishWalk(ctx sdk.Context, id uint64, w types.PoolWalk) error {
	if err := k.Walks.Remove(ctx, id); err != nil {
		return err
	}
	// Topping up may have shrunk positions, or emptied the pool.
	pool, found, err := getOr(ctx, k.Pools, id)
	if err != nil || !found || pool.IsMatured() {
		return err
	}
	if !pool.Tokens.IsPositive() || (pool.IsBatch() && !pool.SlashIndex.Equal(w.SlashIndex)) {
		// A position that could not be deleted is left; or the batch was slashed while it was walked.
		return k.startWalk(ctx, id, pool)
	}
	if pool.IsBatch() {
		return nil // its members are only settled
	}
	consumer, err := k.Consumers.Get(ctx, pool.ClientId)
	if err != nil {
		return err
	}
	pool.FinishWalk(consumer.Config.MaxSlashFractionDoubleSign, w.Rate, w.SlashIndex)
	if err := k.Pools.Set(ctx, id, pool); err != nil {
		return err
	}
	if pool.NeedsWalk(consumer.Config.MaxSlashFractionDoubleSign) {
		return k.startWalk(ctx, id, pool)
	}
	return nil
}

// startWalk begins a walk that tops up the positions of an active pool, or settles those of a batch; one that runs begins
// anew.
func (k *Keeper) startWalk(ctx context.Context, id uint64, pool types.Pool) error {
	return k.Walks.Set(ctx, id, types.PoolWalk{PoolId: id, Rate: pool.RateFloor(), SlashIndex: pool.SlashIndex})
}

// settleMember settles one member of a batch: what it owes is queued. It returns the steps it took.
func (k *Keeper) settleMember(ctx sdk.Context, delAddr sdk.AccAddress, _ uint64) (steps int, err error) {
	l, err := k.load(ctx, delAddr)
	if err != nil {
		return 1, err
	}
	return 1 + len(l.refs), k.save(ctx, l)
}

// runRatioWalk marks at most limit accounts after a change of the native ratio.
func (k *Keeper) runRatioWalk(ctx sdk.Context, limit int) error {
	running, err := k.RatioWalk.Has(ctx)
	if err != nil || !running {
		return err
	}
	w, err := k.RatioWalk.Get(ctx)
	if err != nil {
		return err
	}
	rng := new(collections.Range[sdk.AccAddress])
	if len(w.Cursor) > 0 {
		rng = rng.StartExclusive(w.Cursor)
	}
	accounts, err := mapKeys(ctx, k.Accounts, rng, limit)
	if err != nil {
		return err
	}
	countSteps(ctx, len(accounts))
	for _, delAddr := range accounts {
		if err := k.mark(ctx, delAddr); err != nil {
			return err
		}
		w.Cursor = delAddr
	}
	if len(accounts) < limit {
		return k.RatioWalk.Remove(ctx)
	}
	return k.RatioWalk.Set(ctx, w)
}
