package keeper_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/keeper"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

const u14 = 14 * day

func only(t *testing.T, c *testutil.Consumer) types.Batch {
	t.Helper()
	batches := c.Batches()
	require.Len(t, batches, 1)
	return *batches[0].Batch.Pool.Batch
}

func TestBatchExecuted(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 1_000))
	f.Epoch()
	c.Relay()
	c.Execute(1)
	require.NoError(t, c.Unstake(u, 1, 400))
	b := only(t, c)
	require.False(t, b.Closed)
	require.Equal(t, c.Pairing().BatchEpochEnd, b.ClosesAt)
	require.Equal(t, u14, b.Unbonding)

	// Listings before closing do not count for it.
	f.Epoch()
	c.Relay()
	require.False(t, only(t, c).Closed)
	require.Equal(t, "600", c.Stored[string(testutil.Operator(1))].Amount.String())
	c.Execute(1)
	require.True(t, only(t, c).StartedAt.IsZero())

	f.NextBlockAfter(b.ClosesAt.Sub(f.Ctx.BlockTime()) - 2*testutil.BlockTime)
	f.NextBlockAfter(2 * testutil.BlockTime) // an epoch of the module ends with the first of them
	c.Relay()
	require.Contains(t, c.Batches()[0].WaitsFor, "end of its batch epoch")
	f.NextBlock()
	require.True(t, only(t, c).Closed)
	require.Contains(t, c.Batches()[0].WaitsFor, "its listing")
	f.Epoch()
	updates := c.Relay()
	require.NotEmpty(t, updates)
	seq := updates[len(updates)-1].Seq
	require.Equal(t, seq, only(t, c).Seq)
	require.Contains(t, c.Batches()[0].WaitsFor, "executed update")

	// An execution of something older, and one of what was never sent, start nothing.
	for _, executed := range []uint64{seq - 1, seq + 1, 1 << 62} {
		r := testutil.ValidatorReport(1)
		r.ExecutedSeq, r.ExecutedHeight = executed, meshtypes.NewHeight(4, 99)
		c.Send(c.Message(r))
		f.NextBlock()
		require.True(t, only(t, c).StartedAt.IsZero(), "%d", executed)
	}
	started := f.Ctx.BlockTime()
	c.Execute(1)
	b = only(t, c)
	require.Equal(t, started, b.StartedAt)
	require.Equal(t, started.Add(u14), b.MaturesAt)
	require.Equal(t, meshtypes.NewHeight(4, c.Height), b.ExecutedHeight)

	f.NextBlockAfter(b.MaturesAt.Sub(f.Ctx.BlockTime()) - time.Second)
	require.Equal(t, "1000", f.Collateral(u).MaxLien.String())
	f.NextBlockAfter(time.Second)
	f.NextBlock()
	require.Equal(t, "600", f.Collateral(u).MaxLien.String())
	f.NextBlock()
	require.Empty(t, c.Batches())
}

// TestBatchForced: whatever the consumer fails to send, the clock starts one U after the batch epoch, and stake is free
// after two.
func TestBatchForced(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 1_000))
	f.NextBlock()
	require.NoError(t, c.Unstake(u, 1, 400))
	b := only(t, c)
	f.NextBlockAfter(b.ClosesAt.Add(u14).Sub(f.Ctx.BlockTime()))
	f.NextBlock()
	b = only(t, c)
	require.Equal(t, b.ClosesAt.Add(u14), b.StartedAt)
	require.Equal(t, b.ClosesAt.Add(2*u14), b.MaturesAt)
	require.True(t, b.ExecutedHeight.IsZero())

	// An execution that is reported late is noted, but moves no clock.
	f.Epoch()
	c.Relay()
	f.Epoch()
	c.Relay()
	c.Execute(1)
	late := only(t, c)
	require.False(t, late.ExecutedHeight.IsZero())
	require.Equal(t, b.MaturesAt, late.MaturesAt)
	f.NextBlockAfter(b.MaturesAt.Sub(f.Ctx.BlockTime()))
	f.NextBlock()
	f.NextBlock()
	require.Empty(t, c.Batches())
	require.Equal(t, "600", f.Collateral(u).MaxLien.String())
}

// TestLongGap: a chain that stood still for months works off everything that is due.
func TestLongGap(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 1_000))
	require.NoError(t, f.Undelegate(u, val, 500))
	require.NoError(t, c.Unstake(u, 1, 400))
	f.NextBlockAfter(100 * day)
	f.NextBlock()
	f.NextBlock()
	require.Equal(t, "400", f.Balance(u).String())
	f.NextBlockAfter(100 * day)
	f.Blocks(3)
	require.Equal(t, "500", f.Balance(u).String())
	require.Equal(t, "500", f.Collateral(u).MaxLien.String())
}

// TestLongGapOfManyBatches: after a time without blocks more events of batches are due than one block works on. They wait their turn,
// which is no broken invariant; one that has still not matured many blocks later is.
func TestLongGapOfManyBatches(t *testing.T) {
	const n = 25
	f, _, u, c := setup(t)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps, p.MaxPositions = 20, 2*n })
	for i := range n {
		c.Bond(1 + i)
	}
	f.Epoch()
	for i := range n {
		require.NoError(t, c.Stake(u, 1+i, 20))
	}
	f.NextBlock()
	for i := range n {
		require.NoError(t, c.Unstake(u, 1+i, 20))
	}
	require.Len(t, c.Batches(), n)
	next := func(d time.Duration) {
		require.NoError(t, f.Staking.TrackHistoricalInfo(f.Ctx))
		f.NextBlockAfter(d) // and checks the invariants
	}
	next(100 * day)
	next(testutil.BlockTime)
	require.Len(t, c.Batches(), n)
	for range 12 {
		next(testutil.BlockTime)
	}
	require.Empty(t, c.Batches())

	require.NoError(t, c.Stake(u, 1, 20))
	f.NextBlock()
	require.NoError(t, c.Unstake(u, 1, 20))
	f.EndBlock, f.NoInvariants = func() error { return nil }, true
	next(100 * day)
	for range 19 {
		next(testutil.BlockTime)
		require.NoError(t, f.Provider.CheckInvariants(f.Ctx))
	}
	next(testutil.BlockTime)
	require.ErrorContains(t, f.Provider.CheckInvariants(f.Ctx), "should have matured")
}

func TestCodesThatCountAsExecuted(t *testing.T) {
	for _, code := range []meshtypes.StakeCode{
		meshtypes.STAKE_CODE_UNKNOWN_VALIDATOR, meshtypes.STAKE_CODE_TOMBSTONED, meshtypes.STAKE_CODE_NOT_REGISTERED,
	} {
		t.Run(code.String(), func(t *testing.T) {
			f, _, u, c := setup(t)
			require.NoError(t, c.Stake(u, 1, 1_000))
			require.NoError(t, c.Unstake(u, 1, 400))
			f.NextBlockAfter(only(t, c).ClosesAt.Sub(f.Ctx.BlockTime()))
			f.NextBlock()
			c.Code = func([]byte) meshtypes.StakeCode { return code }
			f.Epoch()
			c.Relay()
			require.Empty(t, c.Outbox(), "the touch is cleared")
			require.False(t, only(t, c).StartedAt.IsZero())
			require.Equal(t, meshtypes.NewHeight(4, c.Height), only(t, c).ExecutedHeight)
			// A validator that the consumer did not know is listed again once it reports it.
			c.Send(c.Message(testutil.ValidatorReport(1)))
			if code == meshtypes.STAKE_CODE_UNKNOWN_VALIDATOR {
				require.Len(t, c.Outbox(), 1)
			} else {
				require.Empty(t, c.Outbox())
			}
		})
	}
}

func TestUnbondingPeriod(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 1_000))
	f.Epoch()
	c.Relay()
	report := func(d time.Duration) {
		m := c.Message()
		m.UnbondingPeriod = uint64(d)
		_, isError := c.Send(m)
		require.False(t, isError)
	}
	// A century is not believed beyond what is registered.
	report(100 * 365 * day)
	require.Equal(t, u14, c.Pairing().EffectiveUnbonding)

	// A smaller one is announced first.
	report(7 * day)
	p := c.Pairing()
	require.Equal(t, u14, p.EffectiveUnbonding)
	require.Equal(t, 7*day, p.AnnouncedUnbonding)
	require.NoError(t, c.Unstake(u, 1, 100))
	require.Equal(t, u14, only(t, c).Unbonding)
	f.Epoch()
	sent := f.IBC.Take()
	require.Len(t, sent, 1)
	require.EqualValues(t, 7*day, sent[0].Update().UnbondingPeriod)
	require.Equal(t, u14, c.Pairing().EffectiveUnbonding, "not acknowledged")
	c.Acknowledge(sent[0], c.Receive(sent[0]))
	require.Equal(t, 7*day, c.Pairing().EffectiveUnbonding)
	require.Zero(t, c.Pairing().AnnouncedUnbonding)

	// The batch that was open keeps the larger one, also when it closes.
	b := only(t, c)
	f.NextBlockAfter(b.ClosesAt.Sub(f.Ctx.BlockTime()))
	f.NextBlock()
	require.Equal(t, u14, only(t, c).Unbonding)
	require.NoError(t, c.Unstake(u, 1, 100))
	require.Len(t, c.Batches(), 2)
	require.Equal(t, 7*day, c.Batches()[1].Batch.Pool.Batch.Unbonding)

	// A larger one holds at once, and raises what an open batch closes with.
	report(10 * day)
	require.Equal(t, 10*day, c.Pairing().EffectiveUnbonding)
	f.NextBlockAfter(c.Batches()[1].Batch.Pool.Batch.ClosesAt.Sub(f.Ctx.BlockTime()))
	f.NextBlock()
	require.Equal(t, 10*day, c.Batches()[1].Batch.Pool.Batch.Unbonding)

	// Never above the client's.
	f.IBC.Clients[client].State.UnbondingPeriod = 3 * day
	f.Epoch()
	require.Equal(t, 3*day, c.Pairing().AnnouncedUnbonding)
	require.Equal(t, 3*day, c.Pairing().UnbondingOnWire())
}

// TestBatchSharesOfSlashedBatch: whoever joins a batch after it was slashed does not pay for that.
func TestBatchSharesOfSlashedBatch(t *testing.T) {
	f, val, u, c := setup(t)
	v := f.Delegator(val, 1_000)
	require.NoError(t, c.Stake(u, 1, 1_000))
	require.NoError(t, c.Stake(v, 1, 1_000))
	require.NoError(t, c.Unstake(u, 1, 1_000))
	id := c.Batches()[0].Batch.Id
	pool, err := f.Provider.Pools.Get(f.Ctx, id)
	require.NoError(t, err)
	require.Equal(t, types.ScaledRatio(sdkmath.LegacyNewDecWithPrec(10, 2)), pool.BudgetPerShare)
	require.Equal(t, "100", pool.Slash(sdkmath.LegacyNewDecWithPrec(10, 2)).String())
	require.NoError(t, f.Provider.Pools.Set(f.Ctx, id, pool))

	require.NoError(t, c.Unstake(v, 1, 900))
	col := f.Collateral(v)
	require.Equal(t, "1000", col.MaxLien.String())
	require.Equal(t, "0", col.Debt.String())
	col = f.Collateral(u)
	require.Equal(t, "900", col.MaxLien.String())
	require.Equal(t, "100", col.Debt.String())
	require.NoError(t, f.Provider.CheckInvariants(f.Ctx, keeper.InvariantPools))
}

// TestAReportedUnbondingPeriodMakesNoMoreBatches: a consumer that reports hardly any unbonding period and then a long one,
// again and again, makes batches wait that are opened a moment apart. Their number stays that of the registered period.
func TestAReportedUnbondingPeriodMakesNoMoreBatches(t *testing.T) {
	f := testutil.New(t)
	f.SetParams(func(p *types.Params) { p.EpochDuration = time.Minute })
	val := f.Validator(1_000_000, 1)
	var delegators []sdk.AccAddress
	for range 6 {
		delegators = append(delegators, f.Delegator(val, 1_000))
	}
	f.NextBlock()
	const registered = 64 * time.Hour
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.UnbondingPeriod = registered })
	c.Bond(1)
	report := func(d time.Duration) {
		m := c.Message()
		m.UnbondingPeriod = uint64(d)
		_, isError := c.Send(m)
		require.False(t, isError)
	}
	for _, d := range delegators {
		require.NoError(t, c.Stake(d, 1, 1_000))
	}
	f.Epoch()
	c.Relay()
	begin, heights := f.Ctx.BlockTime(), len(export(t, f).Heights)
	for i := range 15 {
		report(1)
		f.Epoch()
		c.Relay()
		require.Equal(t, time.Nanosecond, c.Pairing().EffectiveUnbonding)
		f.NextBlockAfter(c.Pairing().BatchEpochEnd.Sub(f.Ctx.BlockTime()))
		f.NextBlock()
		require.NoError(t, c.Unstake(delegators[i%len(delegators)], 1, 10))
		report(registered)
		require.Equal(t, registered, c.Pairing().EffectiveUnbonding)
		f.Blocks(2)
		require.NoError(t, c.Unstake(delegators[i%len(delegators)], 1, 10))
	}
	passed := f.Ctx.BlockTime().Sub(begin)
	waiting := 0
	for _, b := range c.Batches() {
		if b.Batch.Pool.Batch.Unbonding == registered {
			waiting++
		}
	}
	require.LessOrEqual(t, waiting, int(passed/(registered/types.MinBatchEpochDivisor))+2, "in %s", passed)
	require.Positive(t, waiting)
	// How old a height is stays known for as long as the longest batches wait.
	require.Greater(t, len(export(t, f).Heights), heights)
	require.Greater(t, f.Ctx.BlockTime().Sub(export(t, f).Heights[0].Time), passed)
}

// TestExecutionsAreWorkedOnABoundedNumberPerBlock: after a long outage one report may concern many batches. The relayer
// pays for a few; the other clocks start over the next blocks, all of them as of its receipt.
func TestExecutionsAreWorkedOnABoundedNumberPerBlock(t *testing.T) {
	f := testutil.New(t)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 20 }) // 20 clocks a block
	val := f.Validator(1_000_000, 1)
	const validators, epochs = 5, 14
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(validators)
	d := f.Consumer("another", nil)
	d.Bond(2)
	stake := func(c *testutil.Consumer, n int) {
		u := f.Delegator(val, 1_000)
		require.NoError(t, c.Stake(u, n, 100))
		require.NoError(t, c.Unstake(u, n, 10))
	}
	for range epochs {
		for n := 1; n <= validators; n++ {
			stake(c, n)
		}
		stake(d, 1)
		stake(d, 2)
		f.NextBlockAfter(c.Pairing().BatchEpochEnd.Sub(f.Ctx.BlockTime()))
		f.Blocks(2)
	}
	for range 2 {
		f.Epoch()
		c.Relay()
		d.Relay()
	}
	height := meshtypes.NewHeight(4, 9_000_000)
	reports := func(c *testutil.Consumer, n int) (all []meshtypes.ValidatorReport) {
		for i := 1; i <= n; i++ {
			r := testutil.ValidatorReport(i)
			r.ExecutedSeq, r.ExecutedHeight = c.Seqs[string(r.Operator)], height
			all = append(all, r)
		}
		return all
	}
	f.NextBlock()
	received := f.Ctx.BlockTime()
	before := f.Ctx.GasMeter().GasConsumed()
	ctx := f.Ctx
	f.Ctx = ctx.WithGasMeter(storetypes.NewInfiniteGasMeter()).WithKVGasConfig(storetypes.KVGasConfig())
	_, isError := c.Send(c.Message(reports(c, validators)...))
	require.False(t, isError)
	gas := f.Ctx.GasMeter().GasConsumed()
	f.Ctx = ctx
	require.Equal(t, before, f.Ctx.GasMeter().GasConsumed())
	t.Logf("%d gas", gas)
	require.Less(t, gas, uint64(20*50_000+validators*60_000), "what it costs does not depend on how many batches wait")
	_, isError = d.Send(d.Message(reports(d, 2)...))
	require.False(t, isError)
	require.Len(t, export(t, f).Executions, 4+1)

	started := func(c *testutil.Consumer) (n int) {
		for _, info := range c.Batches() {
			b := info.Batch.Pool.Batch
			if b.StartedAt.IsZero() {
				continue
			}
			n++
			require.Equal(t, received, b.StartedAt)
			require.Equal(t, received.Add(u14), b.MaturesAt)
			require.Equal(t, height, b.ExecutedHeight)
		}
		return n
	}
	require.Equal(t, 20, started(c))
	require.Equal(t, 20, started(d))
	last := c.Batches()[validators*epochs-1]
	require.Contains(t, last.WaitsFor, "its turn")
	f.NextBlock()
	require.Equal(t, 30, started(c), "its share")
	require.Equal(t, 28, started(d), "nobody is held up by another consumer")

	// A restart from genesis in between changes nothing.
	g := export(t, f)
	require.NoError(t, g.Validate())
	require.NotEmpty(t, g.Executions)
	store := f.Store(types.StoreKey)
	f.Clear(types.StoreKey)
	require.NoError(t, f.Provider.InitGenesis(f.Ctx, *g))
	require.Equal(t, store, f.Store(types.StoreKey))

	for want := 50; want < validators*epochs; want += 20 {
		f.NextBlock()
		require.Equal(t, want, started(c))
	}
	f.NextBlock()
	require.Equal(t, validators*epochs, started(c))
	require.Empty(t, export(t, f).Executions)
}

// TestListingIsConstantWork: what it costs to list validators does not depend on how many of their batches wait, nor what
// it costs to learn that the consumer began anew. After either the clocks of all of them start with the report.
func TestListingIsConstantWork(t *testing.T) {
	const validators = 4
	run := func(epochs int, anew bool) (learn, list uint64) {
		f := testutil.New(t)
		val := f.Validator(1_000_000, 1)
		f.NextBlock()
		c := f.Consumer(client, nil)
		c.Bond(validators)
		u := f.Delegator(val, 1_000_000)
		for n := 1; n <= validators; n++ {
			require.NoError(t, c.Stake(u, n, 10_000))
		}
		f.Epoch()
		c.Relay()
		for range epochs {
			for n := 1; n <= validators; n++ {
				w := f.Delegator(val, 100) // a delegator has at most seven claims
				require.NoError(t, c.Stake(w, n, 100))
				require.NoError(t, c.Unstake(w, n, 10))
			}
			f.NextBlockAfter(c.Pairing().BatchEpochEnd.Sub(f.Ctx.BlockTime()))
			f.NextBlock()
		}
		f.IBC.Take() // lost for ever
		require.NoError(t, f.Provider.TouchAll(f.Ctx, client))
		if anew {
			c.Session.Consumer++
			c.Seq, c.Seqs = 0, map[string]uint64{}
			m := c.Message()
			learn = f.StoreGas(func() { c.Send(m) })
			c.Bond(validators)
		}
		f.NextBlockAfter(time.Hour)
		list = f.StoreGas(func() { require.NoError(t, f.Provider.EndBlocker(f.Ctx)) })
		f.Blocks(2)
		updates := c.Relay()
		require.Len(t, updates[len(updates)-1].Stakes, validators)
		waiting := c.Batches()
		require.Len(t, waiting, validators*epochs)
		for _, b := range waiting {
			require.True(t, b.Batch.Pool.Batch.StartedAt.IsZero())
			require.Contains(t, b.WaitsFor, "executed update")
		}
		// What is unstaked and closes now was not in those listings.
		require.NoError(t, c.Unstake(u, 1, 10))
		f.NextBlockAfter(c.Pairing().BatchEpochEnd.Sub(f.Ctx.BlockTime()))
		f.Blocks(2)
		for n := 1; n <= validators; n++ {
			c.Execute(n)
		}
		f.Blocks(5)
		for _, b := range c.Batches() {
			late := b.Batch.Id > waiting[len(waiting)-1].Batch.Id
			require.Equal(t, late, b.Batch.Pool.Batch.StartedAt.IsZero(), "batch %d", b.Batch.Id)
			require.Equal(t, late, b.Batch.Pool.Batch.ExecutedHeight.IsZero(), "batch %d", b.Batch.Id)
		}
		return learn, list
	}
	for _, anew := range []bool{false, true} {
		learnFew, listFew := run(2, anew)
		learn, list := run(12, anew)
		t.Logf("a new session %t: %d gas to learn it, %d to list; with few batches %d, %d", anew, learn, list, learnFew, listFew)
		require.LessOrEqual(t, learn, learnFew*11/10)
		require.LessOrEqual(t, list, listFew*11/10)
	}
}
