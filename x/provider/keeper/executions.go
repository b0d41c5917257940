package keeper

import (
	"context"
	"math"

	"cosmossdk.io/collections"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// clocksPerPacket is how many clocks one packet starts itself, inside the transaction of the relayer that pays for it.
const clocksPerPacket = 20

// noteExecution notes that the consumer executed the listing seq of a validator, or a later one, at the given height: the
// clocks of the batches listed by then start now. After a long outage they may be more than a relayer can pay for: what is
// beyond left, which is shared by all validators of a packet, is started in EndBlock, also as of now.
func (k *Keeper) noteExecution(ctx context.Context, clientID string, validator []byte, session meshtypes.Session, seq uint64, height meshtypes.Height, left *int) error {
	if height.IsZero() {
		return nil // nothing is executed at no height
	}
	rng := collections.NewSuperPrefixedTripleRange[string, []byte, uint64](clientID, validator)
	waiting, err := firstKeys(ctx, k.WaitingBatches, rng, 1)
	if err != nil || len(waiting) == 0 {
		return err
	}
	e := types.Execution{ClientId: clientID, Validator: validator, Session: session, Seq: seq, Height: height, ReceivedAt: now(ctx)}
	last, err := mapKeys(ctx, k.Executions, collections.NewSuperPrefixedTripleRangeReversed[string, []byte, uint64](clientID, validator), 1)
	if err != nil {
		return err
	}
	if len(last) > 0 {
		e.Id = last[0].K3() + 1 // not before what was reported earlier
	} else if *left > 0 {
		started, more, err := k.startExecuted(ctx, e, *left)
		*left -= started
		if err != nil || !more {
			return err
		}
	}
	return k.Executions.Set(ctx, collections.Join3(clientID, validator, e.Id), e)
}

// executed returns the height at which the consumer executed a batch, zero if it has not reported that. It also knows
// what is still to be worked on in EndBlock.
func (k *Keeper) executed(ctx context.Context, pool types.Pool) (height meshtypes.Height, err error) {
	b := pool.Batch
	if b == nil || !b.Closed || !b.ExecutedHeight.IsZero() {
		if b != nil {
			height = b.ExecutedHeight
		}
		return height, nil
	}
	rng := collections.NewSuperPrefixedTripleRange[string, []byte, uint64](pool.ClientId, pool.Validator)
	err = k.Executions.Walk(ctx, rng, func(_ clientValID, e types.Execution) (bool, error) {
		if !covers(e, *b) {
			return false, nil
		}
		height = e.Height
		return true, nil
	})
	return height, err
}

// covers says whether a batch is among those that were executed: it closed before the listing was sent, which is so for
// any listing of a later session.
func covers(e types.Execution, b types.Batch) bool {
	if b.Session == e.Session {
		return b.Closed && b.Seq <= e.Seq
	}
	return b.Closed && b.Session.Provider <= e.Session.Provider && b.Session.Consumer <= e.Session.Consumer
}

// runExecutions starts about limit clocks of batches that were executed. Every consumer has an equal share, so that none
// is held up by another.
func (k *Keeper) runExecutions(ctx sdk.Context, limit int) error {
	first, err := mapKeys(ctx, k.Executions, nil, 1)
	if err != nil || len(first) == 0 {
		return err
	}
	consumers, err := mapKeys(ctx, k.Consumers, nil, math.MaxInt)
	if err != nil {
		return err
	}
	queues := make([][]clientValID, 0, len(consumers))
	for _, clientID := range consumers {
		keys, err := mapKeys(ctx, k.Executions, collections.NewPrefixedTripleRange[string, []byte, uint64](clientID), limit)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			queues = append(queues, keys)
		}
	}
	for _, keys := range queues {
		left := max(limit/len(queues), 1)
		for _, key := range keys {
			if left <= 0 {
				break
			}
			steps := 0
			ok := k.attempt(ctx, "execution", key.K1(), func(ctx sdk.Context) (err error) {
				steps, err = k.applyExecution(ctx, key, left)
				return err
			})
			if !ok {
				// Its batches start at the latest one U after their epoch. It must not be tried for ever.
				if err := k.Executions.Remove(ctx, key); err != nil {
					return err
				}
			}
			left -= max(steps, 1)
			countSteps(ctx, max(steps, 1))
		}
	}
	return nil
}

// applyExecutions starts the clocks of all batches of one validator that were executed. A slash needs to know of each
// until when it answers.
func (k *Keeper) applyExecutions(ctx context.Context, clientID string, validator []byte) error {
	rng := collections.NewSuperPrefixedTripleRange[string, []byte, uint64](clientID, validator)
	keys, err := mapKeys(ctx, k.Executions, rng, math.MaxInt)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if _, err := k.applyExecution(ctx, key, math.MaxInt); err != nil {
			return err
		}
	}
	return nil
}

// applyExecution starts at most limit clocks for an entry of the queue, and takes it from there once there is none left.
// It returns how many clocks it started.
func (k *Keeper) applyExecution(ctx context.Context, key clientValID, limit int) (int, error) {
	e, err := k.Executions.Get(ctx, key)
	if err != nil {
		return 0, err
	}
	started, more, err := k.startExecuted(ctx, e, limit)
	if err != nil || more {
		return started, err
	}
	return started, k.Executions.Remove(ctx, key)
}

// startExecuted starts at most limit clocks of the batches that an execution covers, by our own time of its receipt. It
// returns how many it started and whether there are more.
func (k *Keeper) startExecuted(ctx context.Context, e types.Execution, limit int) (started int, more bool, err error) {
	err = k.eachWaiting(ctx, e.ClientId, e.Validator, func(id uint64, pool types.Pool) (bool, error) {
		b := pool.Batch
		if !covers(e, *b) {
			return false, nil
		}
		if started >= limit {
			more = true
			return true, nil
		}
		started++
		b.ExecutedHeight = e.Height
		if err := k.WaitingBatches.Remove(ctx, collections.Join3(e.ClientId, e.Validator, id)); err != nil {
			return true, err
		}
		// A clock that was forced since the report starts with the report after all.
		if b.StartedAt.IsZero() || e.ReceivedAt.Before(b.StartedAt) {
			if err := k.startBatch(ctx, id, &pool, e.ReceivedAt, false); err != nil {
				return true, err
			}
		}
		return false, k.Pools.Set(ctx, id, pool)
	})
	return started, more, err
}
