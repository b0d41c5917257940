package keeper

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/x/provider/types"
)

// CheckSlashes checks that every slash has its place in the queue and, while it is pending, in its validator's list; that
// a validator has no more pending claims than allowed; and that only executed slashes took something.
func (k *Keeper) CheckSlashes(ctx context.Context) error {
	next, err := k.NextSlashID.Peek(ctx)
	if err != nil {
		return err
	}
	queued, pending := 0, 0
	claims := map[string]int{}
	err = k.Slashes.Walk(ctx, nil, func(id uint64, rec types.SlashRecord) (bool, error) {
		if id != rec.Id || id >= next {
			return true, broken("slash %d is stored as %d, the next is %d", rec.Id, id, next)
		}
		queued++
		if found, err := k.SlashQueue.Has(ctx, collections.Join(nanos(rec.DueAt), id)); err != nil || !found {
			return true, broken("slash %d is not queued for %s: %v", id, rec.DueAt, err)
		}
		listed, err := k.PendingSlashes.Has(ctx, collections.Join3(rec.ClientId, rec.Validator, id))
		if err != nil || listed != rec.IsPending() || rec.IsPending() != rec.SettledAt.IsZero() {
			return true, broken("slash %d: status %s, settled at %s, listed %t: %v", id, rec.Status, rec.SettledAt, listed, err)
		}
		if rec.IsPending() {
			pending++
			if key := rec.ClientId + "/" + string(rec.Validator); !rec.IsProof() {
				if claims[key]++; claims[key] > types.MaxPendingSlashes {
					return true, broken("more than %d claims of %X are pending", types.MaxPendingSlashes, rec.Validator)
				}
			}
		}
		if rec.Status != types.SLASH_STATUS_EXECUTED && (rec.Amount.IsPositive() || rec.Reward.IsPositive()) {
			return true, broken("slash %d is %s but took %s", id, rec.Status, rec.Amount)
		}
		if rec.Reward.MulRaw(100).GT(rec.Amount.MulRaw(rewardPercent)) {
			return true, broken("slash %d: reward of %s for %s", id, rec.Reward, rec.Amount)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	err = errors.Join(
		k.SlashQueue.Walk(ctx, nil, func(timeSlash) (bool, error) { queued--; return false, nil }),
		k.PendingSlashes.Walk(ctx, nil, func(clientValID) (bool, error) { pending--; return false, nil }),
	)
	if err == nil && (queued != 0 || pending != 0) {
		err = broken("queue and list of pending slashes have %d, %d entries too few", queued, pending)
	}
	return err
}

// CheckMeters checks that meters count what unmatured batches hold, and that no pool that takes stake is flagged: new
// stake would share the flag's protection.
func (k *Keeper) CheckMeters(ctx context.Context) error {
	batches := map[string]sdkmath.Int{}
	err := k.Pools.Walk(ctx, nil, func(id uint64, pool types.Pool) (bool, error) {
		switch {
		case !pool.IsBatch() && pool.Flagged:
			return true, broken("pool %d takes stake although it was punished for double signing", id)
		case !pool.IsLeaving():
			return false, nil
		}
		if _, found := batches[pool.ClientId]; !found {
			batches[pool.ClientId] = sdkmath.ZeroInt()
		}
		batches[pool.ClientId] = batches[pool.ClientId].Add(pool.Tokens)
		return false, nil
	})
	if err != nil {
		return err
	}
	return k.Consumers.Walk(ctx, nil, func(clientID string, _ types.Consumer) (bool, error) {
		m, err := k.meter(ctx, clientID)
		if err != nil {
			return true, err
		}
		want, found := batches[clientID]
		if !found {
			want = sdkmath.ZeroInt()
		}
		if !m.Batches.Equal(want) || m.Used.IsNegative() || m.Proved.IsNegative() || m.Total.IsNegative() {
			return true, broken("meter of %s: %s in batches, they have %s; used %s of %s, proved %s", clientID, m.Batches, want, m.Used, m.Total, m.Proved)
		}
		return false, nil
	})
}
