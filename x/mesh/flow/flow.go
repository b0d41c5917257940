// Package flow keeps the log of tokens that left and came to a validator without an x/staking unbonding entry.
//
// x/staking burns power at infraction × fraction from whoever is left and assumes that all stake which left since sits
// in an entry. Virtual stake that leaves, and collateral burned by settlement, do not; without a correction the other
// delegators would pay for them (provider.md, Settlement). Totals are cumulative by height, so a slash costs two seeks.
package flow

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	collcodec "cosmossdk.io/collections/codec"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/mesh/types"
)

// Log is the log of one module; its collections live in the module's store.
type Log struct {
	records collections.Map[collections.Pair[[]byte, int64], types.TokenFlow]
	// queue lists the records by height for pruning.
	queue collections.KeySet[collections.Pair[int64, []byte]]
	// last is the height of each validator's newest record: reading that needs no iterator.
	last collections.Map[[]byte, int64]
}

// NewLog declares the log's three collections in sb.
func NewLog(sb *collections.SchemaBuilder, cdc codec.BinaryCodec, records, queue, last collections.Prefix) Log {
	return Log{
		records: collections.NewMap(sb, records, "flow_records",
			collections.PairKeyCodec(collections.BytesKey, collections.Int64Key), tokenFlowValue(cdc)),
		queue: collections.NewKeySet(sb, queue, "flow_queue",
			collections.PairKeyCodec(collections.Int64Key, collections.BytesKey)),
		last: collections.NewMap(sb, last, "flow_last", collections.BytesKey, collections.Int64Value),
	}
}

func tokenFlowValue(cdc codec.BinaryCodec) collcodec.ValueCodec[types.TokenFlow] {
	return codec.CollValue[types.TokenFlow](cdc)
}

// Add records that left and came native tokens left and came to the validator in this block, not below zero.
func (l Log) Add(ctx context.Context, val sdk.ValAddress, left, came sdkmath.Int) error {
	if !left.IsPositive() && !came.IsPositive() {
		return nil
	}
	height := sdk.UnwrapSDKContext(ctx).BlockHeight()
	key := collections.Join([]byte(val), height)
	total, found, err := l.newest(ctx, val, height+1)
	if err != nil {
		return err
	}
	if left.IsPositive() {
		total.Left = total.Left.Add(left)
	}
	if came.IsPositive() {
		total.Came = total.Came.Add(came)
	}
	if err := l.records.Set(ctx, key, total); err != nil {
		return err
	}
	if found == height {
		return nil // queued already
	}
	if err := l.last.Set(ctx, val, height); err != nil {
		return err
	}
	return l.queue.Set(ctx, collections.Join(height, []byte(val)))
}

// Records returns the cumulative totals by validator and height, to look at.
func (l Log) Records() collections.Map[collections.Pair[[]byte, int64], types.TokenFlow] {
	return l.records
}

// Since returns how many tokens left and came at heights from height on, this block included.
func (l Log) Since(ctx context.Context, val sdk.ValAddress, height int64) (left, came sdkmath.Int, err error) {
	now := sdk.UnwrapSDKContext(ctx).BlockHeight()
	total, found, err := l.newest(ctx, val, now+1)
	if err != nil || found < height {
		return sdkmath.ZeroInt(), sdkmath.ZeroInt(), err
	}
	base, _, err := l.newest(ctx, val, height)
	if err != nil {
		return sdkmath.ZeroInt(), sdkmath.ZeroInt(), err
	}
	return total.Left.Sub(base.Left), total.Came.Sub(base.Came), nil
}

// newest returns the newest record below a height and its own height, or zero totals and -1.
func (l Log) newest(ctx context.Context, val sdk.ValAddress, below int64) (types.TokenFlow, int64, error) {
	none := types.TokenFlow{Left: sdkmath.ZeroInt(), Came: sdkmath.ZeroInt()}
	last, err := l.last.Get(ctx, val)
	switch {
	case errors.Is(err, collections.ErrNotFound):
		return none, -1, nil
	case err != nil:
		return types.TokenFlow{}, 0, err
	case last < below:
		total, err := l.records.Get(ctx, collections.Join([]byte(val), last))
		return total, last, err
	}
	rng := collections.NewPrefixedPairRange[[]byte, int64](val).EndExclusive(below).Descending()
	it, err := l.records.Iterate(ctx, rng)
	if err != nil {
		return types.TokenFlow{}, 0, err
	}
	defer it.Close()
	if !it.Valid() {
		return none, -1, nil
	}
	kv, err := it.KeyValue()
	if err != nil {
		return types.TokenFlow{}, 0, err
	}
	return kv.Value, kv.Key.K2(), nil
}

// Prune works through at most limit queued records below a height. Of each validator the newest record below it stays:
// it is the base that later sums are taken from.
func (l Log) Prune(ctx context.Context, below int64, limit int) error {
	var due []collections.Pair[int64, []byte]
	rng := collections.NewPrefixUntilPairRange[int64, []byte](below - 1)
	err := l.queue.Walk(ctx, rng, func(k collections.Pair[int64, []byte]) (bool, error) {
		if len(due) >= limit {
			return true, nil
		}
		due = append(due, k)
		return false, nil
	})
	if err != nil && !errors.Is(err, collections.ErrInvalidIterator) {
		return err
	}
	for _, k := range due {
		// The record before this one is no base any more; this one is, until a later one gets old.
		if _, height, err := l.newest(ctx, k.K2(), k.K1()); err != nil {
			return err
		} else if height >= 0 {
			if err := l.records.Remove(ctx, collections.Join(k.K2(), height)); err != nil {
				return err
			}
		}
		if err := l.queue.Remove(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// Queued says whether records below a height wait for pruning.
func (l Log) Queued(ctx context.Context, below int64) (queued bool, err error) {
	err = l.queue.Walk(ctx, collections.NewPrefixUntilPairRange[int64, []byte](below-1), func(collections.Pair[int64, []byte]) (bool, error) {
		queued = true
		return true, nil
	})
	return queued, err
}

// Clear drops everything: a chain that starts anew at height zero has no infraction that an old record could matter to.
func (l Log) Clear(ctx context.Context) error {
	return errors.Join(l.records.Clear(ctx, nil), l.queue.Clear(ctx, nil), l.last.Clear(ctx, nil))
}

// Export returns all records, ordered by validator and height.
func (l Log) Export(ctx context.Context) (out []types.TokenFlowRecord, err error) {
	err = l.records.Walk(ctx, nil, func(k collections.Pair[[]byte, int64], v types.TokenFlow) (bool, error) {
		out = append(out, types.TokenFlowRecord{Validator: k.K1(), Height: k.K2(), Flow: v})
		return false, nil
	})
	return out, err
}

// Import stores exported records and queues them for pruning.
func (l Log) Import(ctx context.Context, records []types.TokenFlowRecord) error {
	for _, r := range records {
		last, err := l.last.Get(ctx, r.Validator)
		if err != nil && !errors.Is(err, collections.ErrNotFound) {
			return err
		}
		if err != nil || r.Height > last {
			if err := l.last.Set(ctx, r.Validator, r.Height); err != nil {
				return err
			}
		}
		if err := l.records.Set(ctx, collections.Join(r.Validator, r.Height), r.Flow); err != nil {
			return err
		}
		if err := l.queue.Set(ctx, collections.Join(r.Height, r.Validator)); err != nil {
			return err
		}
	}
	return nil
}
