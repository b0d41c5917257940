package keeper_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/mesh/invariant"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/keeper"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// pages asks for all pages of an invariant, and returns what fails and the most records that one read.
func pages(
	tb testing.TB, ctx sdk.Context, k *keeper.Keeper, name string, limit uint64,
) (failures []meshtypes.InvariantFailure, most uint64) {
	tb.Helper()
	queries := keeper.NewQueryServer(k)
	req := &types.QueryInvariantsRequest{Invariant: name, Limit: limit}
	for n := 0; ; n++ {
		require.Less(tb, n, 10_000, "the pages do not end")
		res, err := queries.Invariants(ctx, req)
		require.NoError(tb, err)
		require.Equal(tb, ctx.BlockHeight(), res.Height)
		failures, most = append(failures, res.Failures...), max(most, res.Records)
		if len(res.NextKey) == 0 {
			return failures, most
		}
		require.LessOrEqual(tb, len(res.NextKey), invariant.MaxKeyBytes)
		req.Key = res.NextKey
	}
}

// midFlight returns a chain with stake, unbonding, holds, redelegations, rewards and packets in flight, and three delegators.
func midFlight(tb testing.TB) (*testutil.Fixture, *testutil.Consumer, []sdk.AccAddress) {
	tb.Helper()
	f := testutil.New(tb)
	val := f.Validator(1_000_000, 1)
	us := []sdk.AccAddress{f.Delegator(val, 1_000), f.Delegator(val, 1_000), f.Delegator(val, 1_000)}
	f.NextBlock()
	c := f.Consumer(client, testutil.Rewards)
	c.Bond(3)
	for i, u := range us {
		require.NoError(tb, c.Stake(u, 1+i%2, 900))
		require.NoError(tb, c.Stake(u, 3, 50))
	}
	f.Epoch()
	c.Relay()
	c.Reward(testutil.RewardDenom, testutil.Reward(1, 1_000), testutil.Reward(3, 500))
	require.NoError(tb, c.Redelegate(us[0], 1, 2, 20))
	for _, u := range us {
		require.NoError(tb, c.Unstake(u, 3, 10))
		require.NoError(tb, f.Undelegate(u, val, 900))
	}
	f.NextBlock()
	f.NextBlock()
	return f, c, us
}

func TestInvariantPages(t *testing.T) {
	f, c, us := midFlight(t)
	for _, limit := range []uint64{0, 1, 2, 7, invariant.MaxLimit} {
		failures, _ := pages(t, f.Ctx, f.Provider, "", limit)
		require.Empty(t, failures, "limit %d", limit)
	}
	// A page reads what is asked for, and beyond that one object at most.
	_, most := pages(t, f.Ctx, f.Provider, "", 10)
	require.Less(t, most, uint64(10+30))
	for _, check := range f.Provider.Invariants() {
		failures, _ := pages(t, f.Ctx, f.Provider, check.Name, 3)
		require.Empty(t, failures, check.Name)
	}

	// However the work is divided, the same is found.
	for _, n := range []int{1, 2} {
		id, err := f.Provider.ActivePools.Get(f.Ctx, poolKey(client, n))
		require.NoError(t, err)
		pool := c.Pool(n)
		pool.Shares = pool.Shares.AddRaw(1_000)
		require.NoError(t, f.Provider.Pools.Set(f.Ctx, id, pool))
	}
	require.NoError(t, f.Provider.Accrued.Set(f.Ctx, collections.Join4(us[1], client, testutil.Operator(1), "unone"), sdkmath.OneInt()))
	whole, err := invariant.All(f.Ctx, f.Provider.Invariants())
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(whole), 3)
	require.ErrorIs(t, f.Provider.CheckInvariants(f.Ctx), types.ErrInvariant)
	for _, limit := range []uint64{0, 1, 2, 7, invariant.MaxLimit} {
		failures, _ := pages(t, f.Ctx, f.Provider, "", limit)
		require.Equal(t, whole, failures, "limit %d", limit)
	}
}

func TestInvariantsFindWhatIsBroken(t *testing.T) {
	f, c, us := midFlight(t)
	k := f.Provider
	op := testutil.Operator
	poolID := func(n int) uint64 {
		id, err := k.ActivePools.Get(f.Ctx, poolKey(client, n))
		require.NoError(t, err)
		return id
	}
	one, three := poolID(1), poolID(3)
	var batch uint64
	for _, b := range c.Batches() {
		if !b.Batch.Pool.Batch.Redelegated {
			batch = b.Batch.Id
		}
	}
	require.NotZero(t, batch)
	editPool := func(id uint64, edit func(*types.Pool)) func(ctx sdk.Context) error {
		return func(ctx sdk.Context) error {
			pool, err := k.Pools.Get(ctx, id)
			require.NoError(t, err)
			edit(&pool)
			return k.Pools.Set(ctx, id, pool)
		}
	}
	editPosition := func(edit func(*types.Position)) func(ctx sdk.Context) error {
		return func(ctx sdk.Context) error {
			key := collections.Join(us[0], one)
			pos, err := k.Positions.Get(ctx, key)
			require.NoError(t, err)
			edit(&pos)
			return k.Positions.Set(ctx, key, pos)
		}
	}
	totals := func(edit func(*types.SlashTotals)) func(ctx sdk.Context) error {
		return func(ctx sdk.Context) error {
			sums := types.NewSlashTotals()
			edit(&sums)
			return k.Totals.Set(ctx, sums)
		}
	}
	big := sdkmath.NewInt(1_000_000)
	slash := types.SlashRecord{
		Id: 1, ClientId: client, Validator: op(1), Status: types.SLASH_STATUS_PENDING, DueAt: f.Ctx.BlockTime(),
		Amount: sdkmath.ZeroInt(), Reward: sdkmath.ZeroInt(),
	}
	for _, tc := range []struct {
		invariant, name string
		broken          func(ctx sdk.Context) error
		object          string
	}{
		{keeper.InvariantCollateral, "budget above collateral", editPosition(func(p *types.Position) { p.Budget = big }), us[0].String()},
		{keeper.InvariantCollateral, "arithmetic panics", editPosition(func(p *types.Position) {
			p.Shares = sdkmath.NewIntFromBigInt(types.Scale().BigInt()).Mul(types.Scale())
		}), us[0].String()},
		{keeper.InvariantHolds, "not queued", func(ctx sdk.Context) error { return k.HoldQueue.Clear(ctx, nil) }, "hold of"},
		{keeper.InvariantHolds, "held for nothing", func(ctx sdk.Context) error {
			return k.Positions.Clear(ctx, collections.NewPrefixedPairRange[sdk.AccAddress, uint64](us[0]))
		}, us[0].String()},
		{keeper.InvariantPools, "shares", editPool(one, func(p *types.Pool) { p.Shares = p.Shares.AddRaw(1) }), "pool"},
		{keeper.InvariantPools, "shares without tokens", editPool(three, func(p *types.Pool) { p.Tokens = sdkmath.ZeroInt() }), "pool"},
		{keeper.InvariantPools, "budget", editPosition(func(p *types.Position) { p.Budget = sdkmath.ZeroInt() }), "position of " + us[0].String()},
		{keeper.InvariantPools, "position without pool", func(ctx sdk.Context) error { return k.Pools.Remove(ctx, one) }, "position of"},
		{keeper.InvariantPools, "position without account", func(ctx sdk.Context) error { return k.Accounts.Remove(ctx, us[0]) }, "position of " + us[0].String()},
		{keeper.InvariantPools, "position that is no member", func(ctx sdk.Context) error { return k.Members.Remove(ctx, collections.Join(one, us[0])) }, "position of " + us[0].String()},
		{keeper.InvariantPools, "member without position", func(ctx sdk.Context) error { return k.Positions.Remove(ctx, collections.Join(us[0], one)) }, "position of " + us[0].String()},
		{keeper.InvariantPools, "pool without position", func(ctx sdk.Context) error { return k.Pools.Set(ctx, 999, c.Pool(1)) }, "pool 999"},
		{keeper.InvariantPools, "no active pool", func(ctx sdk.Context) error { return k.ActivePools.Remove(ctx, poolKey(client, 1)) }, "pool"},
		{keeper.InvariantPools, "active pool of another", func(ctx sdk.Context) error { return k.ActivePools.Set(ctx, poolKey(client, 9), one) }, "validator"},
		{keeper.InvariantBatches, "not listed", func(ctx sdk.Context) error { return k.Batches.Clear(ctx, nil) }, "pool"},
		{keeper.InvariantBatches, "not queued", func(ctx sdk.Context) error { return k.BatchQueue.Clear(ctx, nil) }, "pool"},
		{keeper.InvariantBatches, "too old", func(ctx sdk.Context) error {
			return editPool(batch, func(p *types.Pool) { p.Batch.ClosesAt = time.Unix(1, 0).UTC() })(ctx)
		}, "pool"},
		{keeper.InvariantBatches, "waits though open", func(ctx sdk.Context) error {
			return k.WaitingBatches.Set(ctx, collections.Join3(client, op(3), batch))
		}, "pool"},
		{keeper.InvariantBatches, "index leads to a pool", func(ctx sdk.Context) error { return k.Batches.Set(ctx, collections.Join3(client, op(1), one)) }, "pool"},
		{keeper.InvariantBatches, "queued for nothing", func(ctx sdk.Context) error { return k.BatchQueue.Set(ctx, collections.Join(uint64(5), batch)) }, "pool"},
		{keeper.InvariantBatches, "open batch that is none", func(ctx sdk.Context) error {
			return k.OpenBatches.Set(ctx, collections.Join3(client, op(1), uint64(0)), one)
		}, "validator"},
		{keeper.InvariantOutbox, "not ordered", func(ctx sdk.Context) error { return k.OutboxByOldest.Clear(ctx, nil) }, "validator"},
		{keeper.InvariantOutbox, "ordered twice", func(ctx sdk.Context) error {
			return k.OutboxByOldest.Set(ctx, collections.Join3(client, uint64(7), op(3)))
		}, "validator"},
		{keeper.InvariantOutbox, "in flight though never sent", func(ctx sdk.Context) error {
			e := c.Outbox()[string(op(3))]
			e.InFlight = 1_000
			return k.Outbox.Set(ctx, poolKey(client, 3), e)
		}, "validator"},
		{keeper.InvariantMoved, "sum", func(ctx sdk.Context) error { return k.MovedTo.Set(ctx, poolKey(client, 2), big) }, "moves to"},
		{keeper.InvariantMoved, "no sum", func(ctx sdk.Context) error { return k.MovedTo.Remove(ctx, poolKey(client, 2)) }, "move from"},
		{keeper.InvariantMoved, "for ever", func(ctx sdk.Context) error { return k.Outbox.Remove(ctx, poolKey(client, 1)) }, "move from"},
		{keeper.InvariantSlashes, "not queued", func(ctx sdk.Context) error { return k.Slashes.Set(ctx, 1, slash) }, "slash 1"},
		{keeper.InvariantSlashes, "queued without record", func(ctx sdk.Context) error { return k.SlashQueue.Set(ctx, collections.Join(uint64(1), uint64(3))) }, "slash 3"},
		{keeper.InvariantSlashes, "pending without record", func(ctx sdk.Context) error {
			return k.PendingSlashes.Set(ctx, collections.Join3(client, op(1), uint64(4)))
		}, "slash 4"},
		{keeper.InvariantMeters, "batches", func(ctx sdk.Context) error {
			m, err := k.Meters.Get(ctx, client)
			require.NoError(t, err)
			m.Batches = m.Batches.AddRaw(1)
			return k.Meters.Set(ctx, client, m)
		}, client},
		{keeper.InvariantMeters, "batches without any", func(ctx sdk.Context) error { return k.Batches.Clear(ctx, nil) }, client},
		{keeper.InvariantMeters, "flagged", editPool(one, func(p *types.Pool) { p.Flagged = true }), "pool"},
		{keeper.InvariantSettlement, "burned", totals(func(s *types.SlashTotals) { s.Burned = big }), "totals"},
		{keeper.InvariantSettlement, "slashed", totals(func(s *types.SlashTotals) { s.Slashed = big }), "totals"},
		{keeper.InvariantSettlement, "debt", func(ctx sdk.Context) error {
			a, err := k.Accounts.Get(ctx, us[1])
			require.NoError(t, err)
			a.Debt = big
			return k.Accounts.Set(ctx, us[1], a)
		}, us[1].String()},
		{keeper.InvariantSettlement, "queued without debt", func(ctx sdk.Context) error { return k.DebtQueue.Set(ctx, collections.Join(uint64(1), us[2])) }, us[2].String()},
		{keeper.InvariantSettlement, "shortfall", func(ctx sdk.Context) error { return k.Shortfalls.Set(ctx, us[0], types.Shortfall{Amount: big}) }, "totals"},
		{keeper.InvariantRewards, "book", func(ctx sdk.Context) error {
			return k.RewardBooks.Walk(ctx, nil, func(key collections.Pair[string, string], b types.RewardBook) (bool, error) {
				b.Accrued = b.Accrued.Add(big)
				return true, k.RewardBooks.Set(ctx, key, b)
			})
		}, "rewards of " + client},
		{keeper.InvariantRewards, "no book", func(ctx sdk.Context) error { return k.RewardBooks.Clear(ctx, nil) }, "position of"},
		{keeper.InvariantRewards, "accrued without book", func(ctx sdk.Context) error {
			return k.Accrued.Set(ctx, collections.Join4(us[0], client, op(1), "unone"), big)
		}, "rewards of " + us[0].String()},
		{keeper.InvariantRewards, "balance", func(ctx sdk.Context) error {
			coins := f.Bank.GetAllBalances(ctx, types.RewardAccount(client))
			require.NotEmpty(t, coins)
			return f.Bank.SendCoins(ctx, types.RewardAccount(client), us[0], coins)
		}, "rewards of " + client},
		{keeper.InvariantRewards, "account of nobody", func(ctx sdk.Context) error { return k.RewardAccounts.Set(ctx, us[0], client) }, us[0].String()},
		{keeper.InvariantRewards, "no account", func(ctx sdk.Context) error { return k.RewardAccounts.Clear(ctx, nil) }, client},
	} {
		t.Run(tc.invariant+"/"+tc.name, func(t *testing.T) {
			ctx, _ := f.Ctx.CacheContext()
			require.NoError(t, tc.broken(ctx))
			failures, _ := pages(t, ctx, k, tc.invariant, 3)
			require.NotEmpty(t, failures)
			found := false
			for _, failure := range failures {
				require.Equal(t, tc.invariant, failure.Invariant)
				require.NotEmpty(t, failure.Message)
				found = found || strings.HasPrefix(failure.Object, tc.object)
			}
			require.True(t, found, "%v", failures)
			require.ErrorIs(t, k.CheckInvariants(ctx, tc.invariant), types.ErrInvariant)
		})
	}
}

func TestInvariantRequests(t *testing.T) {
	f, _, _ := midFlight(t)
	queries := keeper.NewQueryServer(f.Provider)
	res, err := queries.Invariants(f.Ctx, &types.QueryInvariantsRequest{Invariant: keeper.InvariantPools, Limit: 1})
	require.NoError(t, err)
	key := res.NextKey
	require.NotEmpty(t, key)
	edited := func(field string, value any) []byte {
		var parts map[string]any
		require.NoError(t, json.Unmarshal(key, &parts))
		parts[field] = value
		bz, err := json.Marshal(parts)
		require.NoError(t, err)
		return bz
	}
	for _, tc := range []struct {
		name string
		req  types.QueryInvariantsRequest
		err  error
	}{
		{"unknown", types.QueryInvariantsRequest{Invariant: "none"}, meshtypes.ErrInvariantUnknown},
		{"limit", types.QueryInvariantsRequest{Limit: invariant.MaxLimit + 1}, meshtypes.ErrInvariantLimit},
		{"no JSON", types.QueryInvariantsRequest{Key: []byte("x")}, meshtypes.ErrInvariantKey},
		{"too long", types.QueryInvariantsRequest{Key: make([]byte, invariant.MaxKeyBytes+1)}, meshtypes.ErrInvariantKey},
		{"of another request", types.QueryInvariantsRequest{Key: key}, meshtypes.ErrInvariantKey},
		{"two values", types.QueryInvariantsRequest{Invariant: keeper.InvariantPools, Key: append(append([]byte{}, key...), key...)}, meshtypes.ErrInvariantKey},
		{"unknown field", types.QueryInvariantsRequest{Invariant: keeper.InvariantPools, Key: edited("more", 1)}, meshtypes.ErrInvariantKey},
		{"other check", types.QueryInvariantsRequest{Invariant: keeper.InvariantPools, Key: edited("check", "rewards")}, meshtypes.ErrInvariantKey},
		{"phase", types.QueryInvariantsRequest{Invariant: keeper.InvariantPools, Key: edited("phase", 17)}, meshtypes.ErrInvariantKey},
		{"negative phase", types.QueryInvariantsRequest{Invariant: keeper.InvariantPools, Key: edited("phase", -1)}, meshtypes.ErrInvariantKey},
		{"state", types.QueryInvariantsRequest{Invariant: keeper.InvariantPools, Key: edited("state", map[string]any{"x": 1})}, meshtypes.ErrInvariantKey},
		{"position", types.QueryInvariantsRequest{Invariant: keeper.InvariantPools, Key: edited("state", "AAEC")}, meshtypes.ErrInvariantKey},
		{"height", types.QueryInvariantsRequest{Invariant: keeper.InvariantPools, Key: edited("height", 1)}, meshtypes.ErrInvariantHeight},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := queries.Invariants(f.Ctx, &tc.req)
			require.ErrorIs(t, err, tc.err)
		})
	}
	_, err = queries.Invariants(f.Ctx, nil)
	require.Error(t, err)
	_, err = queries.Invariants(f.Ctx, &types.QueryInvariantsRequest{Invariant: keeper.InvariantPools, Key: key})
	require.NoError(t, err)
}
