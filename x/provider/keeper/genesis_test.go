package keeper_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// TestGenesisMidFlight exports with stake, unbonding, holds, queues, walks and the outbox in flight, imports into a
// fresh store beside x/staking's own genesis, and goes on to the same end.
func TestGenesisMidFlight(t *testing.T) {
	f := testutil.New(t)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 20 })
	val := f.Validator(1_000_000, 1)
	var us []sdk.AccAddress
	for range 6 {
		us = append(us, f.Delegator(val, 1_000))
	}
	f.NextBlock()
	c := f.Consumer(client, nil)
	d := f.Consumer("d", nil)
	c.Bond(3)
	d.Bond(1)
	for i, u := range us {
		require.NoError(t, c.Stake(u, 1+i%3, 600))
		require.NoError(t, d.Stake(u, 1, 500))
	}
	f.Epoch()
	c.Relay()
	f.IBC.Take() // d's stay in flight
	for _, u := range us {
		require.NoError(t, c.Unstake(u, 1+int(u[19]-us[0][19])%3, 100))
		require.NoError(t, f.Undelegate(u, val, 700))
	}
	f.NextBlockAfter(6 * time.Hour)
	f.NextBlock()
	f.Epoch()
	require.NoError(t, c.Unstake(us[0], 1, 50))
	require.NoError(t, d.Unstake(us[0], 1, 50))
	require.NoError(t, c.Redelegate(us[0], 1, 2, 20))
	require.NoError(t, f.Provider.Departures.Set(f.Ctx, poolKey(client, 1), uint64(f.Ctx.BlockTime().UnixNano())))
	_, err := f.Msgs.RetireChannel(f.Ctx, &types.MsgRetireChannel{Authority: f.Authority, ConsumerId: "d"})
	require.NoError(t, err)
	f.Skip(20*24*time.Hour + 20*time.Hour)
	f.SetNativeRatio("0.06")
	f.Skip(5 * time.Hour)
	require.NoError(t, f.Provider.Flow.Add(f.Ctx, val, sdkmath.NewInt(5), sdkmath.NewInt(7)))
	f.Provider.NoteNativeSlash(f.Ctx)
	for _, u := range us {
		require.NoError(t, f.Provider.Marked.Set(f.Ctx, u))
	}
	require.NoError(t, f.Provider.MarkCursor.Set(f.Ctx, us[2]))
	id, err := f.Provider.ActivePools.Get(f.Ctx, poolKey("d", 1))
	require.NoError(t, err)
	require.NoError(t, f.Provider.Walks.Set(f.Ctx, id, types.PoolWalk{PoolId: id, Cursor: us[1], Rate: types.Scale(), SlashIndex: sdkmath.ZeroInt()}))
	require.NoError(t, f.Provider.RatioWalk.Set(f.Ctx, types.RatioWalk{Cursor: us[3]}))

	g := export(t, f)
	require.NoError(t, g.Validate())
	require.NotEmpty(t, g.Pools)
	require.NotEmpty(t, g.Holds)
	require.NotEmpty(t, g.Outbox)
	require.NotEmpty(t, g.Walks)
	require.NotEmpty(t, g.Heights)
	require.NotEmpty(t, g.Flows)
	require.NotEmpty(t, g.Channels)
	require.NotEmpty(t, g.Marked)
	require.NotEmpty(t, g.Moved)

	// Through JSON, as a chain's export goes.
	bz, err := f.Codec.MarshalJSON(g)
	require.NoError(t, err)
	var again types.GenesisState
	require.NoError(t, f.Codec.UnmarshalJSON(bz, &again))
	before := f.Store(types.StoreKey)
	f.Clear(types.StoreKey)
	require.Empty(t, f.Store(types.StoreKey))
	require.NoError(t, f.Provider.InitGenesis(f.Ctx, again))
	require.Equal(t, before, f.Store(types.StoreKey), "every key and value, indices and queues included")
	require.Equal(t, g, export(t, f))

	// It goes on.
	require.NoError(t, f.Provider.MarkCursor.Remove(f.Ctx))
	f.NoInvariants = true // of a slash that was only noted
	f.Skip(40 * day)
	for _, u := range us {
		require.True(t, f.Balance(u).IsPositive())
	}
	require.NoError(t, f.Provider.CheckInvariants(f.Ctx))
}

func TestGenesisRefused(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 500))
	require.NoError(t, c.Unstake(u, 1, 100))
	f.NextBlock()
	for name, change := range map[string]func(g *types.GenesisState){
		"params":                 func(g *types.GenesisState) { g.Params.MaxPositions = 0 },
		"native ratio":           func(g *types.GenesisState) { g.NativeRatio = sdkmath.LegacyNewDec(2) },
		"no next pool id":        func(g *types.GenesisState) { g.NextPoolId = 0 },
		"next pool id taken":     func(g *types.GenesisState) { g.NextPoolId = g.Pools[0].Id },
		"consumer twice":         func(g *types.GenesisState) { g.Consumers = append(g.Consumers, g.Consumers[0]) },
		"consumer without chain": func(g *types.GenesisState) { g.Consumers[0].Consumer.Chains = nil },
		"bad config":             func(g *types.GenesisState) { g.Consumers[0].Consumer.Config.ValidatorPrefix = "" },
		"pool twice":             func(g *types.GenesisState) { g.Pools = append(g.Pools, g.Pools[0]) },
		"pool of nobody":         func(g *types.GenesisState) { g.Pools[0].Pool.ClientId = "x" },
		"pool negative":          func(g *types.GenesisState) { g.Pools[0].Pool.Tokens = sdkmath.NewInt(-1) },
		"pool number missing":    func(g *types.GenesisState) { g.Pools[0].Pool.SlashIndex = sdkmath.Int{} },
		"pool without shares":    func(g *types.GenesisState) { g.Pools[0].Pool.Shares = sdkmath.ZeroInt() },
		"pool's shares wrong":    func(g *types.GenesisState) { g.Pools[0].Pool.Shares = g.Pools[0].Pool.Shares.AddRaw(1) },
		"pool without kind":      func(g *types.GenesisState) { g.Pools[0].Pool.Kind = 0 },
		"batch without clock":    func(g *types.GenesisState) { g.Pools[1].Pool.Batch = nil },
		"second active pool":     func(g *types.GenesisState) { g.Pools[1].Pool.Kind, g.Pools[1].Pool.Batch = types.POOL_KIND_ACTIVE, nil },
		"moved of nobody":        func(g *types.GenesisState) { g.Moved = []types.MovedStake{moved(f)}; g.Moved[0].ClientId = "x" },
		"moved twice":            func(g *types.GenesisState) { g.Moved = []types.MovedStake{moved(f), moved(f)} },
		"moved to itself":        func(g *types.GenesisState) { g.Moved = []types.MovedStake{moved(f)}; g.Moved[0].To = g.Moved[0].From },
		"moved nothing": func(g *types.GenesisState) {
			g.Moved = []types.MovedStake{moved(f)}
			g.Moved[0].Amount = sdkmath.ZeroInt()
		},
		"departure of nobody": func(g *types.GenesisState) {
			g.Departures = []types.DepartureRecord{{ClientId: "x", From: testutil.Operator(1), Before: f.Ctx.BlockTime()}}
		},
		"departure without time": func(g *types.GenesisState) {
			g.Departures = []types.DepartureRecord{{ClientId: client, From: testutil.Operator(1)}}
		},
		"position twice":         func(g *types.GenesisState) { g.Positions = append(g.Positions, g.Positions[0]) },
		"position without pool":  func(g *types.GenesisState) { g.Positions[0].PoolId = 77 },
		"position in the future": func(g *types.GenesisState) { g.Positions[0].Position.SlashIndex = sdkmath.OneInt() },
		"position no account":    func(g *types.GenesisState) { g.Accounts = nil },
		"account twice":          func(g *types.GenesisState) { g.Accounts = append(g.Accounts, g.Accounts[0]) },
		"backing negative":       func(g *types.GenesisState) { g.Accounts[0].Account.Backing = sdkmath.NewInt(-1) },
		"debt negative":          func(g *types.GenesisState) { g.Accounts[0].Account.Debt = sdkmath.NewInt(-1) },
		"validator twice":        func(g *types.GenesisState) { g.Validators = append(g.Validators, g.Validators[0]) },
		"validator of nobody":    func(g *types.GenesisState) { g.Validators[0].ClientId = "x" },
		"outbox of nobody":       func(g *types.GenesisState) { g.Outbox[0].ClientId = "x" },
		"channel of nobody":      func(g *types.GenesisState) { g.Channels[0].ClientId = "x" },
		"execution of nobody":    func(g *types.GenesisState) { g.Executions[0].ClientId = "x" },
		"execution twice":        func(g *types.GenesisState) { g.Executions = append(g.Executions, g.Executions[0]) },
		"execution without seq":  func(g *types.GenesisState) { g.Executions[0].Seq = 0 },
		"execution without time": func(g *types.GenesisState) { g.Executions[0].ReceivedAt = time.Time{} },
		"height of nobody":       func(g *types.GenesisState) { g.Heights[0].ClientId = "x" },
		"hold of nobody":         func(g *types.GenesisState) { g.Holds = []types.Hold{{}} },
		"walk over nothing":      func(g *types.GenesisState) { g.Walks = []types.PoolWalk{{PoolId: 99}} },
		"marked twice":           func(g *types.GenesisState) { g.Marked = [][]byte{{1}, {1}} },
		"session too large": func(g *types.GenesisState) {
			g.Consumers[0].Pairing.Session = meshtypes.Session{Provider: 1 << 63}
		},
	} {
		g := export(t, f)
		g.Executions = []types.Execution{{ClientId: client, Validator: testutil.Operator(1), Seq: 1, ReceivedAt: f.Ctx.BlockTime()}}
		require.NoError(t, g.Validate(), name)
		change(g)
		require.Error(t, g.Validate(), name)
	}
	require.NoError(t, types.DefaultGenesis().Validate())
}

// moved is a redelegation that is not listed yet.
func moved(f *testutil.Fixture) types.MovedStake {
	return types.MovedStake{
		ClientId: client, From: testutil.Operator(1), To: testutil.Operator(2), Time: f.Ctx.BlockTime(), Amount: sdkmath.OneInt(),
	}
}
