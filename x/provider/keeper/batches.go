package keeper

import (
	"context"
	"errors"
	"time"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// joinBatch adds tokens with their budget, which leave a pool, to the consumer's present batch for the validator, and
// returns the claim. A batch that is worth so little per share that the tokens would mint none is left alone; another is
// opened.
func (k *Keeper) joinBatch(ctx context.Context, l *ledger, from types.Pool, tokens, budget sdkmath.Int, redelegated bool) (*ref, error) {
	clientID, validator := from.ClientId, from.Validator
	r, err := k.openBatch(ctx, l, clientID, validator, redelegated, false)
	if err != nil {
		return nil, err
	}
	shares, err := r.pool.SharesForStake(tokens)
	if errors.Is(err, types.ErrPoolClosed) || errors.Is(err, types.ErrAmountTooSmall) || errors.Is(err, types.ErrAmountTooLarge) {
		if r, err = k.openBatch(ctx, l, clientID, validator, redelegated, true); err != nil {
			return nil, err
		}
		shares, err = r.pool.SharesForStake(tokens)
	}
	if err != nil {
		return nil, err
	}
	perShare := types.BudgetPerShareOf(budget, shares)
	if !r.pool.Shares.IsPositive() || perShare.LT(r.pool.BudgetPerShare) {
		r.pool.BudgetPerShare = perShare
	}
	r.pool.Inherit(from, !r.pool.Shares.IsPositive())
	r.pool.Mint(shares, tokens)
	r.pos.Shares = r.pos.Shares.Add(shares)
	r.pos.Budget = r.pos.Budget.Add(budget)
	r.poolDirty, r.posDirty = true, true
	return r, nil
}

// openBatch returns the delegator's part of the batch that unstakes join now, empty if it has none. The batch is created
// if there is none in the consumer's present batch epoch, or if another is wanted.
func (k *Keeper) openBatch(ctx context.Context, l *ledger, clientID string, validator []byte, redelegated, another bool) (*ref, error) {
	pairing, err := k.Pairings.Get(ctx, clientID)
	if err != nil {
		return nil, err
	}
	key := openBatchKey(clientID, validator, pairing.BatchEpoch, redelegated)
	id, found, err := getOr(ctx, k.OpenBatches, key)
	if err != nil {
		return nil, err
	}
	if found && !another {
		r := l.find(id)
		if r == nil {
			pool, err := k.Pools.Get(ctx, id)
			if err != nil {
				return nil, err
			}
			r = &ref{id: id, pool: pool, pos: pool.NewPosition(), isNew: true, tokensBefore: pool.Tokens}
			l.refs = append(l.refs, r)
		}
		// What joins answers for the U that counts now, also if U is lowered again before the batch closes.
		r.pool.Batch.Unbonding = max(r.pool.Batch.Unbonding, pairing.EffectiveUnbonding)
		return r, nil
	}
	if id, err = k.NextPoolID.Next(ctx); err != nil {
		return nil, err
	}
	pool := types.NewPool(clientID, validator, sdkmath.LegacyZeroDec())
	pool.Kind = types.POOL_KIND_BATCH
	pool.Batch = &types.Batch{
		Epoch: pairing.BatchEpoch, ClosesAt: pairing.BatchEpochEnd, Unbonding: pairing.EffectiveUnbonding, Redelegated: redelegated,
	}
	if err := k.OpenBatches.Set(ctx, key, id); err != nil {
		return nil, err
	}
	if err := k.Batches.Set(ctx, collections.Join3(clientID, validator, id)); err != nil {
		return nil, err
	}
	if err := k.BatchQueue.Set(ctx, collections.Join(nanos(pairing.BatchEpochEnd), id)); err != nil {
		return nil, err
	}
	k.emit(ctx, &types.EventBatchOpened{
		BatchId: id, ConsumerId: clientID, Validator: k.operatorString(ctx, clientID, validator), ClosesAt: pairing.BatchEpochEnd,
	})
	r := &ref{id: id, pool: pool, pos: pool.NewPosition(), isNew: true, tokensBefore: sdkmath.ZeroInt()}
	l.refs = append(l.refs, r)
	return r, nil
}

// openBatchKey is the key of the batch of an epoch that unstakes join, or redelegations: their claims are kept apart.
func openBatchKey(clientID string, validator []byte, epoch uint64, redelegated bool) clientValID {
	id := epoch << 1
	if redelegated {
		id++
	}
	return collections.Join3(clientID, validator, id)
}

// dropBatch removes the indices of a batch that nobody has a claim on any more.
func (k *Keeper) dropBatch(ctx context.Context, id uint64, pool types.Pool) error {
	key := collections.Join3(pool.ClientId, pool.Validator, id)
	if err := k.Batches.Remove(ctx, key); err != nil {
		return err
	}
	if err := k.WaitingBatches.Remove(ctx, key); err != nil {
		return err
	}
	if due, ok := batchDue(*pool.Batch); ok {
		if err := k.BatchQueue.Remove(ctx, collections.Join(nanos(due), id)); err != nil {
			return err
		}
	}
	openKey := openBatchKey(pool.ClientId, pool.Validator, pool.Batch.Epoch, pool.Batch.Redelegated)
	open, found, err := getOr(ctx, k.OpenBatches, openKey)
	if err != nil || !found || open != id {
		return err
	}
	return k.OpenBatches.Remove(ctx, openKey)
}

// batchDue returns when the batch's next event is: closing, the forced start of its clock, maturity, the end of its delay.
func batchDue(b types.Batch) (time.Time, bool) {
	switch {
	case b.Matured:
		return time.Time{}, false
	case !b.Closed:
		return b.ClosesAt, true
	case b.StartedAt.IsZero():
		return b.ClosesAt.Add(b.Unbonding), true
	case b.DelayedUntil.After(b.MaturesAt):
		return b.DelayedUntil, true
	default:
		return b.MaturesAt, true
	}
}

// convertPool turns the active pool of a validator into an unbonding batch, in one step: positions refer to it as
// before. It closes at once, since nobody joins it.
func (k *Keeper) convertPool(ctx context.Context, clientID string, validator []byte) error {
	id, pool, found, err := k.activePool(ctx, clientID, validator)
	if err != nil || !found {
		return err
	}
	pairing, err := k.Pairings.Get(ctx, clientID)
	if err != nil {
		return err
	}
	if err := k.ActivePools.Remove(ctx, collections.Join(clientID, validator)); err != nil {
		return err
	}
	pool.Kind = types.POOL_KIND_BATCH
	pool.Batch = &types.Batch{
		Epoch: pairing.BatchEpoch, Converted: true, ClosesAt: now(ctx), Unbonding: pairing.EffectiveUnbonding,
	}
	if err := k.Batches.Set(ctx, collections.Join3(clientID, validator, id)); err != nil {
		return err
	}
	if err := k.addToBatches(ctx, clientID, pool.Tokens); err != nil {
		return err
	}
	k.emit(ctx, &types.EventBatchOpened{
		BatchId: id, ConsumerId: clientID, Validator: k.operatorString(ctx, clientID, validator), ClosesAt: now(ctx), Converted: true,
	})
	return k.closeBatch(ctx, id, pool)
}

// closeBatch ends the time in which unstakes join a batch, fixes its U and touches the validator. The batch's seq is that
// of the next packet: listings of the validator from it on count for the batch, so that listing need not look for batches.
func (k *Keeper) closeBatch(ctx context.Context, id uint64, pool types.Pool) error {
	pairing, err := k.Pairings.Get(ctx, pool.ClientId)
	if err != nil {
		return err
	}
	b := pool.Batch
	b.Closed, b.Session, b.Seq = true, pairing.Session, pairing.LastSeq+1
	b.Unbonding = max(b.Unbonding, pairing.EffectiveUnbonding)
	openKey := openBatchKey(pool.ClientId, pool.Validator, b.Epoch, b.Redelegated)
	open, found, err := getOr(ctx, k.OpenBatches, openKey)
	if err != nil {
		return err
	}
	if found && open == id {
		if err := k.OpenBatches.Remove(ctx, openKey); err != nil {
			return err
		}
	}
	if err := k.WaitingBatches.Set(ctx, collections.Join3(pool.ClientId, pool.Validator, id)); err != nil {
		return err
	}
	if err := k.BatchQueue.Set(ctx, collections.Join(nanos(b.ClosesAt.Add(b.Unbonding)), id)); err != nil {
		return err
	}
	if err := k.touch(ctx, pool.ClientId, pool.Validator); err != nil {
		return err
	}
	k.emit(ctx, &types.EventBatchClosed{BatchId: id, Unbonding: b.Unbonding})
	return k.Pools.Set(ctx, id, pool)
}

// startBatch starts a batch's clock at the given time, which is not in the future.
func (k *Keeper) startBatch(ctx context.Context, id uint64, pool *types.Pool, at time.Time, forced bool) error {
	b := pool.Batch
	if due, ok := batchDue(*b); ok {
		if err := k.BatchQueue.Remove(ctx, collections.Join(nanos(due), id)); err != nil {
			return err
		}
	}
	b.StartedAt = at
	b.MaturesAt = at.Add(b.Unbonding)
	k.emit(ctx, &types.EventBatchStarted{BatchId: id, MaturesAt: b.MaturesAt, Forced: forced})
	return k.BatchQueue.Set(ctx, collections.Join(nanos(b.MaturesAt), id))
}

// matureBatch makes a batch's lien fall and queues its members for evaluation.
func (k *Keeper) matureBatch(ctx context.Context, id uint64, pool types.Pool) error {
	if pool.IsLeaving() {
		if err := k.addToBatches(ctx, pool.ClientId, pool.Tokens.Neg()); err != nil {
			return err
		}
	}
	pool.Batch.Matured = true
	if err := k.WaitingBatches.Remove(ctx, collections.Join3(pool.ClientId, pool.Validator, id)); err != nil {
		return err
	}
	if err := k.Walks.Set(ctx, id, types.PoolWalk{PoolId: id, Rate: sdkmath.ZeroInt(), SlashIndex: sdkmath.ZeroInt()}); err != nil {
		return err
	}
	k.emit(ctx, &types.EventBatchMatured{BatchId: id})
	return k.Pools.Set(ctx, id, pool)
}

// runBatchQueue works on at most limit events of batches that are due. After a long time without a block a batch may have
// several.
func (k *Keeper) runBatchQueue(ctx sdk.Context, limit int) error {
	for limit > 0 {
		due, err := firstKeys(ctx, k.BatchQueue, untilTime(nanos(ctx.BlockTime())), limit)
		if err != nil || len(due) == 0 {
			return err
		}
		limit -= len(due)
		countSteps(ctx, len(due))
		for _, key := range due {
			if k.attempt(ctx, "batch", poolSubject(key.K2()), func(ctx sdk.Context) error { return k.batchEvent(ctx, key) }) {
				continue
			}
			// Try again in a while instead of at once, so that it holds up nobody.
			if err := k.requeueBatch(ctx, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// batchEvent works on one event of a batch whose time has come.
func (k *Keeper) batchEvent(ctx sdk.Context, key timePool) error {
	id := key.K2()
	if err := k.BatchQueue.Remove(ctx, key); err != nil {
		return err
	}
	pool, found, err := getOr(ctx, k.Pools, id)
	if err != nil || !found || pool.Batch == nil {
		return err
	}
	if next, ok := batchDue(*pool.Batch); !ok || next.After(ctx.BlockTime()) {
		return nil // queued again under its new time
	}
	switch b := pool.Batch; {
	case !b.Closed:
		return k.closeBatch(ctx, id, pool)
	case b.StartedAt.IsZero():
		// The consumer has not reported the execution for one U after the batch epoch.
		if err := k.startBatch(ctx, id, &pool, b.ClosesAt.Add(b.Unbonding), true); err != nil {
			return err
		}
		return k.Pools.Set(ctx, id, pool)
	default:
		return k.matureOrDelay(ctx, id, pool)
	}
}

// matureOrDelay works on a batch whose clock has run out: it matures unless a pending slash delays it.
func (k *Keeper) matureOrDelay(ctx sdk.Context, id uint64, pool types.Pool) error {
	until, err := k.delayedUntil(ctx, pool)
	if err != nil {
		return err
	}
	if !until.After(ctx.BlockTime()) {
		return k.matureBatch(ctx, id, pool)
	}
	k.emit(ctx, &types.EventBatchDelayed{BatchId: id, Until: until})
	return k.delayBatch(ctx, id, pool, until)
}

// requeueBatch puts a batch whose event failed behind the others.
func (k *Keeper) requeueBatch(ctx sdk.Context, key timePool) error {
	if err := k.BatchQueue.Remove(ctx, key); err != nil {
		return err
	}
	return k.BatchQueue.Set(ctx, collections.Join(nanos(ctx.BlockTime().Add(time.Minute)), key.K2()))
}

// eachWaiting calls fn for the closed, unexecuted batches of a validator until it says to stop. Their number is bounded
// by how many batch epochs 2U has.
func (k *Keeper) eachWaiting(ctx context.Context, clientID string, validator []byte, fn func(id uint64, pool types.Pool) (stop bool, err error)) error {
	rng := collections.NewSuperPrefixedTripleRange[string, []byte, uint64](clientID, validator)
	var ids []uint64
	err := k.WaitingBatches.Walk(ctx, rng, func(key clientValID) (bool, error) {
		ids = append(ids, key.K3())
		return false, nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		pool, err := k.Pools.Get(ctx, id)
		if err != nil {
			return err
		}
		if stop, err := fn(id, pool); err != nil || stop {
			return err
		}
	}
	return nil
}
