package flow_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/runtime"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	"github.com/cosmos/cosmos-sdk/testutil"
	sdk "github.com/cosmos/cosmos-sdk/types"
	moduletestutil "github.com/cosmos/cosmos-sdk/types/module/testutil"

	"github.com/mesh-security/mesh/x/mesh/flow"
)

func newLog(t *testing.T) (sdk.Context, flow.Log) {
	t.Helper()
	key := storetypes.NewKVStoreKey("flow")
	ctx := testutil.DefaultContextWithDB(t, key, storetypes.NewTransientStoreKey("t")).Ctx
	sb := collections.NewSchemaBuilder(runtime.NewKVStoreService(key))
	log := flow.NewLog(
		sb, moduletestutil.MakeTestEncodingConfig().Codec, collections.NewPrefix(1), collections.NewPrefix(2), collections.NewPrefix(3),
	)
	_, err := sb.Build()
	require.NoError(t, err)
	return ctx, log
}

func requireSince(t *testing.T, ctx sdk.Context, log flow.Log, val sdk.ValAddress, height, left, came int64) {
	t.Helper()
	l, c, err := log.Since(ctx, val, height)
	require.NoError(t, err)
	require.Equal(t, []int64{left, came}, []int64{l.Int64(), c.Int64()}, "since %d", height)
}

func TestSinceCountsTheHeightItself(t *testing.T) {
	ctx, log := newLog(t)
	a, b := sdk.ValAddress("a"), sdk.ValAddress("ab") // one key is the other's prefix
	add := func(height int64, val sdk.ValAddress, left, came int64) {
		require.NoError(t, log.Add(ctx.WithBlockHeight(height), val, sdkmath.NewInt(left), sdkmath.NewInt(came)))
	}
	requireSince(t, ctx, log, a, 0, 0, 0)
	const h = 1_000_000_000 // far larger than any amount
	add(h, a, 5, 0)
	add(h, a, 2, 1) // twice in a block
	add(h, b, 100, 100)
	add(h+3, a, 0, 10)
	add(h+4, a, 0, 0) // nothing: no record
	ctx = ctx.WithBlockHeight(h + 9)
	requireSince(t, ctx, log, a, 0, 7, 11)
	requireSince(t, ctx, log, a, h, 7, 11)
	requireSince(t, ctx, log, a, h+1, 0, 10)
	requireSince(t, ctx, log, a, h+3, 0, 10)
	requireSince(t, ctx, log, a, h+4, 0, 0)
	requireSince(t, ctx, log, b, h, 100, 100)
	records, err := log.Export(ctx)
	require.NoError(t, err)
	require.Len(t, records, 3)
}

func TestPruneKeepsTheBase(t *testing.T) {
	ctx, log := newLog(t)
	val := sdk.ValAddress("validator")
	for h := int64(10); h <= 100; h += 10 {
		require.NoError(t, log.Add(ctx.WithBlockHeight(h), val, sdkmath.NewInt(1), sdkmath.NewInt(2)))
	}
	ctx = ctx.WithBlockHeight(105)
	for range 3 { // bounded: two records a call
		require.NoError(t, log.Prune(ctx, 60, 2))
	}
	records, err := log.Export(ctx)
	require.NoError(t, err)
	require.Equal(t, int64(50), records[0].Height, "the newest below 60 stays")
	require.Len(t, records, 6)
	requireSince(t, ctx, log, val, 60, 5, 10)
	requireSince(t, ctx, log, val, 100, 1, 2)

	require.NoError(t, log.Prune(ctx, 1000, 100))
	records, err = log.Export(ctx)
	require.NoError(t, err)
	require.Len(t, records, 1)
	require.NoError(t, log.Add(ctx.WithBlockHeight(2000), val, sdkmath.NewInt(7), sdkmath.ZeroInt()))
	requireSince(t, ctx.WithBlockHeight(2000), log, val, 1500, 7, 0)

	// Import gives the same sums and prunes on.
	records, err = log.Export(ctx)
	require.NoError(t, err)
	ctx2, log2 := newLog(t)
	require.NoError(t, log2.Import(ctx2, records))
	requireSince(t, ctx2.WithBlockHeight(2000), log2, val, 1500, 7, 0)
	require.NoError(t, log2.Prune(ctx2, 3000, 100))
	again, err := log2.Export(ctx2)
	require.NoError(t, err)
	require.Len(t, again, 1)
}

func TestImportInAnyOrder(t *testing.T) {
	ctx, log := newLog(t)
	val := sdk.ValAddress("validator")
	for h := int64(10); h <= 30; h += 10 {
		require.NoError(t, log.Add(ctx.WithBlockHeight(h), val, sdkmath.NewInt(1), sdkmath.NewInt(2)))
	}
	records, err := log.Export(ctx)
	require.NoError(t, err)
	slices.Reverse(records)

	ctx, log = newLog(t)
	require.NoError(t, log.Import(ctx, records))

	ctx = ctx.WithBlockHeight(40)
	require.NoError(t, log.Add(ctx, val, sdkmath.NewInt(5), sdkmath.ZeroInt()))
	requireSince(t, ctx, log, val, 20, 7, 4)
	requireSince(t, ctx, log, val, 31, 5, 0)
}

// TestClearedLogBeginsAnew checks that nothing is left that leads to a record dropped.
func TestClearedLogBeginsAnew(t *testing.T) {
	ctx, log := newLog(t)
	val := sdk.ValAddress("a")
	require.NoError(t, log.Add(ctx.WithBlockHeight(1_000_000), val, sdkmath.NewInt(5), sdkmath.ZeroInt()))
	require.NoError(t, log.Clear(ctx))
	requireSince(t, ctx.WithBlockHeight(1_000_001), log, val, 0, 0, 0)
	require.NoError(t, log.Add(ctx.WithBlockHeight(7), val, sdkmath.NewInt(3), sdkmath.ZeroInt()))
	requireSince(t, ctx.WithBlockHeight(8), log, val, 0, 3, 0)
}
