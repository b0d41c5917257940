package keeper

import (
	"context"
	"errors"

	"github.com/cosmos/gogoproto/proto"

	"cosmossdk.io/collections"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
)

// eventMessage is what EmitTypedEvent takes.
type eventMessage = proto.Message

// stepsKey is the key of a counter in a context.
type stepsKey struct{}

// countSteps adds to the steps of the block, if somebody counts them.
func countSteps(ctx context.Context, n int) {
	if steps, ok := ctx.Value(stepsKey{}).(*int); ok {
		*steps += n
	}
}

// newGasMeter returns a meter without limit, of its own.
func newGasMeter() storetypes.GasMeter { return storetypes.NewInfiniteGasMeter() }

// getOr returns the value under key, or the zero value and false if there is none.
func getOr[K, V any](ctx context.Context, m collections.Map[K, V], key K) (v V, found bool, err error) {
	v, err = m.Get(ctx, key)
	if errors.Is(err, collections.ErrNotFound) {
		return v, false, nil
	}
	return v, err == nil, err
}

// getItemOr returns the item's value, or def if it was never set.
func getItemOr[V any](ctx context.Context, item collections.Item[V], def V) (V, error) {
	v, err := item.Get(ctx)
	if errors.Is(err, collections.ErrNotFound) {
		return def, nil
	}
	return v, err
}

// firstKeys returns up to limit keys of the set within rng. Callers may change the set afterwards.
func firstKeys[K any](ctx context.Context, set collections.KeySet[K], rng collections.Ranger[K], limit int) (keys []K, err error) {
	if limit <= 0 {
		return nil, nil
	}
	err = set.Walk(ctx, rng, func(key K) (bool, error) {
		keys = append(keys, key)
		return len(keys) >= limit, nil
	})
	return keys, err
}

// mapKeys returns up to limit keys of the map within rng. Callers may change the map afterwards.
func mapKeys[K, V any](ctx context.Context, m collections.Map[K, V], rng collections.Ranger[K], limit int) (keys []K, err error) {
	if limit <= 0 {
		return nil, nil
	}
	err = m.Walk(ctx, rng, func(key K, _ V) (bool, error) {
		keys = append(keys, key)
		return len(keys) >= limit, nil
	})
	return keys, err
}

// firstValue returns the first value of the map within rng; false if there is none.
func firstValue[K, V any](ctx context.Context, m collections.Map[K, V], rng collections.Ranger[K]) (v V, found bool, err error) {
	err = m.Walk(ctx, rng, func(_ K, first V) (bool, error) {
		v, found = first, true
		return true, nil
	})
	return v, found, err
}

// untilTime is the range of pairs whose first part is at or below end.
func untilTime(end uint64) collections.Ranger[timePool] {
	return collections.NewPrefixUntilPairRange[uint64, uint64](end)
}

// dueHolds is the range of queued holds whose completion time is at or before end.
func dueHolds(end uint64) collections.Ranger[holdQueueKey] {
	return collections.NewPrefixUntilQuadRange[uint64, sdk.AccAddress, sdk.ValAddress, uint64](end)
}
