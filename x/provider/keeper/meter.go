package keeper

import (
	"context"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/x/provider/types"
)

// meter returns a consumer's meter.
func (k *Keeper) meter(ctx context.Context, clientID string) (types.SlashMeter, error) {
	m, found, err := getOr(ctx, k.Meters, clientID)
	if err == nil && !found {
		m = types.NewSlashMeter()
	}
	return m, err
}

// currentMeter returns a consumer's meter with what was replenished until now, and with a new window if the running one
// is over. It is not stored.
func (k *Keeper) currentMeter(ctx context.Context, consumer types.Consumer) (types.SlashMeter, error) {
	m, err := k.meter(ctx, consumer.Config.ClientId)
	if err != nil {
		return m, err
	}
	at, policy := now(ctx), consumer.Config.SlashPolicy
	m.Replenish(policy, at, consumer.IsPaused())
	if !m.WindowOver(policy, at) {
		return m, nil
	}
	total := m.Batches
	err = k.ActivePools.Walk(ctx, collections.NewPrefixedPairRange[string, []byte](consumer.Config.ClientId), func(_ clientVal, id uint64) (bool, error) {
		pool, err := k.Pools.Get(ctx, id)
		if err != nil {
			return true, err
		}
		total = total.Add(pool.Tokens)
		return false, nil
	})
	m.WindowStart, m.Total, m.Proved = at, total, sdkmath.ZeroInt()
	return m, err
}

// addToBatches notes that the tokens of a consumer's unmatured batches changed.
func (k *Keeper) addToBatches(ctx context.Context, clientID string, delta sdkmath.Int) error {
	if delta.IsZero() {
		return nil
	}
	m, err := k.meter(ctx, clientID)
	if err != nil {
		return err
	}
	m.Batches = m.Batches.Add(delta)
	return k.Meters.Set(ctx, clientID, m)
}

// freezeMeter brings the meter up to date before a consumer's pause begins or ends: it is not replenished in between.
func (k *Keeper) freezeMeter(ctx context.Context, consumer types.Consumer) error {
	m, found, err := getOr(ctx, k.Meters, consumer.Config.ClientId)
	if err != nil || !found {
		return err
	}
	m.Replenish(consumer.Config.SlashPolicy, now(ctx), consumer.IsPaused())
	return k.Meters.Set(ctx, consumer.Config.ClientId, m)
}
