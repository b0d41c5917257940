package keeper

import (
	"context"
	"time"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// FreshnessLimit returns how old a provider's synced_at may get before its virtual stake leaves:
// min(max_provider_silence, min(own unbonding period, U) − margin), not below zero. U counts once it is known.
func FreshnessLimit(params types.Params, ownUnbonding, u time.Duration) time.Duration {
	unbonding := ownUnbonding
	if u > 0 {
		unbonding = min(unbonding, u)
	}
	return max(0, min(params.MaxProviderSilence, unbonding-params.FreshnessMargin))
}

// freshnessLimit is FreshnessLimit for a provider at the moment.
func (k *Keeper) freshnessLimit(ctx context.Context, params types.Params, p types.Provider) (time.Duration, error) {
	own, err := k.staking.UnbondingTime(ctx)
	if err != nil {
		return 0, err
	}
	return FreshnessLimit(params, own, p.UnbondingPeriod), nil
}

// isFresh says whether the provider's totals are known up to a time within the limit, by our clock.
func isFresh(ctx sdk.Context, p types.Provider, limit time.Duration) bool {
	return !p.SyncedAt.IsZero() && ctx.BlockTime().Sub(p.SyncedAt) <= limit
}

// mergeSyncedAt returns max(old, min(received, now)), where received is in unix nanoseconds.
func mergeSyncedAt(old time.Time, received uint64, now time.Time) time.Time {
	at := time.Unix(0, int64(received)).UTC()
	if at.After(now) {
		at = now
	}
	if at.Before(old) {
		return old
	}
	return at
}

// durationOf returns a duration from the wire, which is below 2^63 nanoseconds.
func durationOf(ns uint64) time.Duration { return time.Duration(ns) }
