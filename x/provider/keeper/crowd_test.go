package keeper_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/provider/keeper"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

const (
	// crowdSize is how many delegators have a position in the pool that is slashed.
	crowdSize = 100_000
	// crowdTokens is what each of them has staked natively, and all of it on the consumer.
	crowdTokens = 1_000
	// crowdGas bounds what a block's work may read and write while the queues drain, in gas: 1,000 steps.
	crowdGas = 30_000_000
)

// member returns the address of a delegator of the crowd, in the order in which walks visit them.
func member(i int) sdk.AccAddress {
	addr := make([]byte, 20)
	copy(addr, "crowd")
	binary.BigEndian.PutUint64(addr[12:], uint64(i))
	return addr
}

// crowd writes the delegations of so many delegators as x/staking and x/distribution would have them, and their positions
// in a pool of the consumer's first validator as this module would.
func crowd(t *testing.T, f *testutil.Fixture, val sdk.ValAddress, size int) {
	t.Helper()
	ctx := f.Ctx
	each, all := sdkmath.NewInt(crowdTokens), sdkmath.NewInt(crowdTokens).MulRaw(int64(size))
	current, err := f.Distr.GetValidatorCurrentRewards(ctx, val)
	require.NoError(t, err)
	last, err := f.Distr.GetValidatorHistoricalRewards(ctx, val, current.Period-1)
	require.NoError(t, err)
	for i := range size {
		// Each has a period of its own, or references to one would be too many.
		period := current.Period + uint64(i)
		history := distrtypes.NewValidatorHistoricalRewards(last.CumulativeRewardRatio, 1)
		if i == size-1 {
			history.ReferenceCount = 2 // the current period refers to it too
		}
		require.NoError(t, f.Distr.SetValidatorHistoricalRewards(ctx, val, period, history))
		start := distrtypes.NewDelegatorStartingInfo(period, sdkmath.LegacyNewDecFromInt(each), uint64(ctx.BlockHeight()))
		require.NoError(t, f.Distr.SetDelegatorStartingInfo(ctx, val, member(i), start))
		delegation := stakingtypes.NewDelegation(member(i).String(), val.String(), sdkmath.LegacyNewDecFromInt(each))
		require.NoError(t, f.Staking.SetDelegation(ctx, delegation))
	}
	last.ReferenceCount--
	require.NoError(t, f.Distr.SetValidatorHistoricalRewards(ctx, val, current.Period-1, last))
	current.Period += uint64(size)
	require.NoError(t, f.Distr.SetValidatorCurrentRewards(ctx, val, current))

	v, err := f.Staking.GetValidator(ctx, val)
	require.NoError(t, err)
	require.NoError(t, f.Staking.DeleteValidatorByPowerIndex(ctx, v))
	v.Tokens, v.DelegatorShares = v.Tokens.Add(all), v.DelegatorShares.Add(sdkmath.LegacyNewDecFromInt(all))
	require.NoError(t, f.Staking.SetValidator(ctx, v))
	require.NoError(t, f.Staking.SetValidatorByPowerIndex(ctx, v))
	coins := sdk.NewCoins(sdk.NewCoin(testutil.Denom, all))
	require.NoError(t, f.Bank.MintCoins(ctx, minttypes.ModuleName, coins))
	require.NoError(t, f.Bank.SendCoinsFromModuleToModule(ctx, minttypes.ModuleName, stakingtypes.BondedPoolName, coins))

	g, err := f.Provider.ExportGenesis(ctx)
	require.NoError(t, err)
	ratio := testutil.Config(client).MaxSlashFractionDoubleSign
	pool := types.NewPool(client, testutil.Operator(1), ratio)
	pool.Since = at(stakedAt)
	for i := range size {
		pos := pool.NewPosition()
		pos.Shares, pos.Budget = each, pool.Reserve(each, each, ratio)
		pool.Mint(each, each)
		g.Positions = append(g.Positions, types.PositionRecord{Delegator: member(i), PoolId: g.NextPoolId, Position: pos})
		g.Accounts = append(g.Accounts, types.AccountRecord{Delegator: member(i), Account: types.Account{
			Debt: sdkmath.ZeroInt(), MinSelfDelegation: sdkmath.ZeroInt(), EvaluatedHeight: ctx.BlockHeight(),
		}})
	}
	g.Pools = append(g.Pools, types.PoolRecord{Id: g.NextPoolId, Pool: pool})
	g.NextPoolId++
	require.NoError(t, f.Provider.InitGenesis(ctx, *g))
}

// TestSlashOfAHundredThousandPositions: a proof slashes a pool in constant work; then the queues drain with at most
// max_settlement_steps a block, and every delegator can act before its turn, in it and after it. In the end everybody has
// paid what it owed.
func TestSlashOfAHundredThousandPositions(t *testing.T) {
	f := testutil.NewLarge(t)
	f.NoInvariants = true // they read everybody: once is enough
	val := f.Validator(1_000_000_000, 1)
	whale := f.Delegator(val, 1_000_000_000)
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(2)
	require.NoError(t, c.Stake(whale, 2, 900_000_000)) // the crowd's is no third of it
	f.NextBlock()
	crowd(t, f, val, crowdSize)
	f.NextBlock()
	f.Epoch()
	c.Relay()
	f.IBC.Clients[client].State.LatestHeight.RevisionHeight = latest
	params, err := f.Provider.Params.Get(f.Ctx)
	require.NoError(t, err)

	// Actors have something on the other validator too, and something free to stake natively.
	actors := []int{0, 1, crowdSize / 2, crowdSize/2 + 1, crowdSize - 2, crowdSize - 1}
	for _, i := range actors {
		f.Fund(member(i), sdkmath.NewInt(5_000))
		require.NoError(t, f.Delegate(member(i), val, 1_500))
		require.NoError(t, c.Stake(member(i), 2, 400))
	}
	f.NextBlock()
	before := supply(f)

	_, err = f.Provider.RecordProof(f.Ctx, client, testutil.Operator(1), at(offence), nil, true)
	require.NoError(t, err)
	// Whoever acts before its turn is settled at once, and paid for when its debt's turn comes.
	act := func(i int) {
		u := member(i)
		require.NoError(t, c.Unstake(u, 2, 100))
		require.NoError(t, c.Stake(u, 2, 50))
		require.NoError(t, f.Delegate(u, val, 100))
		require.NoError(t, f.Undelegate(u, val, 200))
	}
	settled := func(i int) bool {
		return !slices.ContainsFunc(owedBy(t, f, member(i)), sdkmath.Int.IsPositive)
	}
	debtOf := func(i int) int64 {
		a, err := f.Provider.Accounts.Get(f.Ctx, member(i))
		require.NoError(t, err)
		return a.Debt.Int64()
	}
	for _, i := range []int{0, crowdSize / 2, crowdSize - 1} {
		require.False(t, settled(i))
		act(i)
		require.True(t, settled(i))
		require.EqualValues(t, 100, debtOf(i), "it is in the queue")
		act(i) // and can act there
	}

	blocks, mostSteps, mostGas := 0, 0, uint64(0)
	f.EndBlock = func() (err error) {
		steps := 0
		ctx := f.Ctx
		gas := f.StoreGas(func() { err = f.Provider.EndBlocker(keeper.WithSteps(f.Ctx, &steps)) })
		f.Ctx = ctx
		require.LessOrEqual(t, steps, int(params.MaxSettlementSteps), "block %d", blocks)
		require.LessOrEqual(t, gas, uint64(crowdGas), "block %d", blocks)
		blocks, mostSteps, mostGas = blocks+1, max(mostSteps, steps), max(mostGas, gas)
		return err
	}
	idle := 0
	for idle < 2 {
		f.NextBlock()
		s, err := f.Queries.Settlement(f.Ctx, &types.QuerySettlementRequest{})
		require.NoError(t, err)
		marked, err := f.Provider.Marked.Iterate(f.Ctx, nil)
		require.NoError(t, err)
		if s.PoolWalks == 0 && s.Totals.Debtors == 0 && !marked.Valid() {
			idle++
		}
		require.NoError(t, marked.Close())
		require.Less(t, blocks, 20_000, "the queue does not drain")
		if blocks%200 == 0 && blocks <= 1_000 && idle == 0 { // others act while it drains; an account has at most seven entries
			for _, i := range []int{1, crowdSize - 2, crowdSize/2 + 1} {
				u := member(i)
				require.NoError(t, f.Delegate(u, val, 7))
				require.NoError(t, f.Undelegate(u, val, 7))
				require.NoError(t, c.Stake(u, 2, 1))
				require.NoError(t, c.Unstake(u, 2, 1))
			}
		}
	}
	t.Logf("%d blocks, at most %d steps and %d gas each", blocks, mostSteps, mostGas)
	require.Greater(t, blocks, crowdSize/int(params.MaxSettlementSteps), "a step is at most one delegator")

	const owed = crowdSize * crowdTokens / 10
	requireTotals(t, f, owed, owed, 0, 0)
	require.EqualValues(t, owed, before.Sub(supply(f)).Int64(), "what was owed is burned")
	require.NoError(t, f.Provider.CheckInvariants(f.Ctx, keeper.InvariantSettlement))
	require.NoError(t, f.Provider.CheckInvariants(f.Ctx, keeper.InvariantPools))
	for i := range crowdSize {
		if !slices.Contains(actors, i) {
			require.EqualValues(t, crowdTokens*9/10, bonded(f, member(i), val), "delegator %d", i)
		}
	}
	// The last one can still act, and so can the first.
	act(0)
	act(crowdSize - 1)
}

// owedBy returns what each position of a delegator owes that is not settled.
func owedBy(t *testing.T, f *testutil.Fixture, u sdk.AccAddress) (owed []sdkmath.Int) {
	t.Helper()
	it, err := f.Provider.Positions.Iterate(f.Ctx, collections.NewPrefixedPairRange[sdk.AccAddress, uint64](u))
	require.NoError(t, err)
	keys, err := it.KeyValues()
	require.NoError(t, err)
	for _, kv := range keys {
		pool, err := f.Provider.Pools.Get(f.Ctx, kv.Key.K2())
		require.NoError(t, err)
		owed = append(owed, pool.Owed(kv.Value))
	}
	return owed
}

// TestQueuesShareTheStepsOfABlock: all queues together stay within max_settlement_steps.
func TestQueuesShareTheStepsOfABlock(t *testing.T) {
	for _, limit := range []int{1_000, 1_001, 5_555, 1_000_000} {
		require.LessOrEqual(t, keeper.MostSteps(limit), limit)
	}
}

// TestWindingDownIsBoundedForAllConsumersTogether: with the smallest limit one pool is converted in a block, however many
// consumers are removed at once.
func TestWindingDownIsBoundedForAllConsumersTogether(t *testing.T) {
	f := testutil.New(t)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 20 })
	val := f.Validator(1_000_000, 1)
	u := f.Delegator(val, 10_000)
	f.NextBlock()
	var consumers []*testutil.Consumer
	for _, id := range []string{"a", "b", "c"} {
		c := f.Consumer(id, nil)
		c.Bond(2)
		require.NoError(t, c.Stake(u, 1, 100))
		require.NoError(t, c.Stake(u, 2, 100))
		consumers = append(consumers, c)
	}
	f.NextBlock()
	for _, c := range consumers {
		_, err := f.Msgs.RemoveConsumer(f.Ctx, &types.MsgRemoveConsumer{Authority: f.Authority, ConsumerId: c.ClientID})
		require.NoError(t, err)
	}
	for left := 6; left > 0; left-- {
		active := 0
		for _, r := range export(t, f).Pools {
			if !r.Pool.IsBatch() {
				active++
			}
		}
		require.Equal(t, left, active)
		f.NextBlock()
	}
	f.Skip(62 * day)
	for _, c := range consumers {
		require.Equal(t, types.CONSUMER_STATUS_REMOVED, c.Status().Status)
	}
}
