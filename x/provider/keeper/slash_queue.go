package keeper

import (
	"context"
	"fmt"
	"time"

	"cosmossdk.io/collections"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// slashRetry is when a slash whose execution failed is tried again.
const slashRetry = time.Minute

// runSlashQueue works on slashes that are due until the steps are used up, at least one: a step is a pool or batch read.
// One that fails is tried again later and holds up no other.
func (k *Keeper) runSlashQueue(ctx sdk.Context, steps int) error {
	for steps > 0 {
		due, err := firstKeys(ctx, k.SlashQueue, untilTime(nanos(ctx.BlockTime())), 1)
		if err != nil || len(due) == 0 {
			return err
		}
		id, taken := due[0].K2(), 1
		ok := k.attempt(ctx, "slash", fmt.Sprintf("slash %d", id), func(ctx sdk.Context) (err error) {
			taken, err = k.slashEvent(ctx, due[0])
			return err
		})
		if !ok {
			if err := k.retrySlash(ctx, due[0]); err != nil {
				return err
			}
		}
		steps -= max(taken, 1)
		countSteps(ctx, max(taken, 1))
	}
	return nil
}

// slashEvent executes a slash whose time has come, or forgets a settled one. It returns the steps it took.
func (k *Keeper) slashEvent(ctx sdk.Context, key timeSlash) (int, error) {
	id := key.K2()
	rec, found, err := getOr(ctx, k.Slashes, id)
	if err != nil {
		return 1, err
	}
	if !found || !rec.IsPending() {
		if rec.Status == types.SLASH_STATUS_VETOED {
			if err := k.VetoedProofs.Remove(ctx, collections.Join3(rec.ClientId, rec.Validator, id)); err != nil {
				return 1, err
			}
		}
		if err := k.Slashes.Remove(ctx, id); err != nil {
			return 1, err
		}
		return 1, k.SlashQueue.Remove(ctx, key)
	}
	consumer, err := k.Consumers.Get(ctx, rec.ClientId)
	if err != nil {
		return 1, err
	}
	if rec.IsProof() {
		return k.executeProof(ctx, consumer, &rec)
	}
	return k.executeClaim(ctx, consumer, &rec)
}

// retrySlash puts a slash whose event failed behind the others.
func (k *Keeper) retrySlash(ctx sdk.Context, key timeSlash) error {
	rec, found, err := getOr(ctx, k.Slashes, key.K2())
	if err != nil {
		return err
	}
	if !found {
		return k.SlashQueue.Remove(ctx, key)
	}
	return k.moveSlash(ctx, &rec, nanos(ctx.BlockTime().Add(slashRetry)))
}

// releaseBatches makes the batches of a validator that wait for a slash due now: a slash was settled before its time.
func (k *Keeper) releaseBatches(ctx context.Context, clientID string, validator []byte) error {
	stake, err := k.stakeOf(ctx, clientID, validator)
	if err != nil {
		return err
	}
	for _, s := range stake {
		if s.pool.Batch == nil || s.pool.Batch.Matured || !s.pool.Batch.DelayedUntil.After(now(ctx)) {
			continue
		}
		if err := k.delayBatch(ctx, s.id, s.pool, now(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// delayBatch keeps a batch whose clock has run out from maturing until the given time.
func (k *Keeper) delayBatch(ctx context.Context, id uint64, pool types.Pool, until time.Time) error {
	if due, ok := batchDue(*pool.Batch); ok {
		if err := k.BatchQueue.Remove(ctx, collections.Join(nanos(due), id)); err != nil {
			return err
		}
	}
	pool.Batch.DelayedUntil = until
	if due, ok := batchDue(*pool.Batch); ok {
		if err := k.BatchQueue.Set(ctx, collections.Join(nanos(due), id)); err != nil {
			return err
		}
	}
	return k.Pools.Set(ctx, id, pool)
}

// delayedUntil returns how long a batch whose clock has run out waits for pending slashes that it answers for: until
// they are due, but for each at most its batch_delay after the batch's own maturity.
func (k *Keeper) delayedUntil(ctx context.Context, pool types.Pool) (until time.Time, err error) {
	pending, err := k.pendingOf(ctx, pool.ClientId, pool.Validator)
	if err != nil {
		return until, err
	}
	at := now(ctx)
	for _, rec := range pending {
		if _, hit := answering([]stakeOn{{pool: pool}}, rec); len(hit) == 0 {
			continue
		}
		due := rec.DueAt
		if !due.After(at) {
			due = at.Add(slashRetry) // the queue has not come to it
		}
		if latest := pool.Batch.MaturesAt.Add(rec.BatchDelay); due.After(latest) {
			due = latest
		}
		if due.After(until) {
			until = due
		}
	}
	return until, nil
}
