package keeper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// setRatio lets governance change what a consumer may take for a double sign.
func setRatio(t *testing.T, f *testutil.Fixture, c *testutil.Consumer, to sdkmath.LegacyDec) {
	t.Helper()
	cfg := c.Status().Config
	cfg.MaxSlashFractionDoubleSign = to
	_, err := f.Msgs.UpdateConsumer(f.Ctx, &types.MsgUpdateConsumer{Authority: f.Authority, Config: cfg})
	require.NoError(t, err)
}

// twoLiens returns a delegator with 600 bonded and 400 unbonding, held for budgets of 500 on each of two consumers.
func twoLiens(t *testing.T, f *testutil.Fixture) (val sdk.ValAddress, u sdk.AccAddress, a, b *testutil.Consumer) {
	t.Helper()
	f.SetNativeRatio("0")
	val = f.Validator(1_000_000, 1)
	u = f.Delegator(val, 1_000)
	f.NextBlock()
	all := func(cfg *types.ConsumerConfig) {
		cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec()
		cfg.UnbondingPeriod = 40 * day
	}
	a, b = f.Consumer("07-tendermint-11", all), f.Consumer("07-tendermint-12", all)
	a.Bond(2)
	a.Bond(1)
	b.Bond(1)
	require.NoError(t, a.Stake(u, 1, 500))
	require.NoError(t, b.Stake(u, 1, 500))
	f.NextBlock()
	require.NoError(t, f.Undelegate(u, val, 400))
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	return val, u, a, b
}

// TestUnstakingReleasesWhatALowerRatioFrees: budgets do not follow a ratio that is lowered until they are reserved anew, which
// unstaking does for all of a position. What they needed is released in the same block, and does not wait for the batch.
func TestUnstakingReleasesWhatALowerRatioFrees(t *testing.T) {
	f := testutil.New(t)
	val, u, a, b := twoLiens(t, f)
	f.Skip(testutil.Unbonding + day)
	require.Equal(t, 1, held(f, u, val), "its time has come")
	tenth := sdkmath.LegacyNewDecWithPrec(1, 1)
	setRatio(t, f, a, tenth)
	setRatio(t, f, b, tenth)
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	require.NoError(t, a.Unstake(u, 1, 1))
	require.NoError(t, b.Unstake(u, 1, 1))
	f.NextBlock()
	require.Empty(t, f.Entries(u, val))
	require.Equal(t, "400", f.Balance(u).String())
}

// TestRedelegatingReleasesWhatALowerRatioFrees is the same for cross-redelegation.
func TestRedelegatingReleasesWhatALowerRatioFrees(t *testing.T) {
	f := testutil.New(t)
	val, u, a, _ := twoLiens(t, f)
	setRatio(t, f, a, sdkmath.LegacyNewDecWithPrec(1, 1))
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	require.NoError(t, a.Redelegate(u, 1, 2, 100))
	f.NextBlock()
	require.Zero(t, held(f, u, val))
}

// TestUnstakingReleasesWhatRoundingFrees: every stake rounds its budget up; unstaking reserves for the sum, which is less.
func TestUnstakingReleasesWhatRoundingFrees(t *testing.T) {
	f, val, u := withDelegator(t, "0", 1_000)
	ratio := func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(9, 1) }
	a, b := f.Consumer("07-tendermint-11", ratio), f.Consumer("07-tendermint-12", ratio)
	a.Bond(1)
	b.Bond(1)
	for range 20 {
		require.NoError(t, a.Stake(u, 1, 11)) // reserves 10 each time, 200; for 220 it would be 198
	}
	require.NoError(t, b.Stake(u, 1, 220)) // 198
	f.NextBlock()
	require.NoError(t, f.Undelegate(u, val, 1_000-397)) // 397 bonded, 398 needed
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	require.NoError(t, a.Unstake(u, 1, 10))
	f.NextBlock()
	require.Zero(t, held(f, u, val))
}

// TestReleasingOneEntryPaysNoOther: after a long gap between blocks two entries with one validator have matured; the held one
// has been slashed to nothing, and so the free one is needed. x/staking completes all free entries when one is released.
func TestReleasingOneEntryPaysNoOther(t *testing.T) {
	f, val, u := withDelegator(t, "0", 1_000)
	c := f.Consumer(client, nil)
	c.Bond(1)
	require.NoError(t, c.Stake(u, 1, 400))
	f.NextBlock()
	require.NoError(t, f.Undelegate(u, val, 600))
	f.NextBlock()
	infraction := f.Ctx.BlockHeight()
	f.NextBlock()
	require.NoError(t, f.Undelegate(u, val, 400))
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	f.NextBlockAfter(testutil.Unbonding + day)
	v, err := f.Staking.GetValidator(f.Ctx, val)
	require.NoError(t, err)
	cons, err := v.GetConsAddr()
	require.NoError(t, err)
	_, err = f.Staking.Slash(f.Ctx, cons, infraction, v.ConsensusPower(sdkmath.NewInt(1_000_000)), sdkmath.LegacyOneDec())
	require.NoError(t, err)
	require.NoError(t, f.Provider.Marked.Set(f.Ctx, u))
	f.Provider.NoteNativeSlash(f.Ctx)
	f.NextBlock()
	f.NextBlock()
	require.Equal(t, "400", f.Collateral(u).Collateral.String())
}

// TestMaturityFreesWhatALowerRatioDoes: the ratio was lowered before a held entry matures. What the budgets still hold of the
// higher one backs nothing, so no unstaking would ever free it: they are reserved anew, and the entry is released.
func TestMaturityFreesWhatALowerRatioDoes(t *testing.T) {
	f := testutil.New(t)
	val, u, a, b := twoLiens(t, f)
	tenth := sdkmath.LegacyNewDecWithPrec(1, 1)
	setRatio(t, f, a, tenth)
	setRatio(t, f, b, tenth)
	f.Skip(testutil.Unbonding + 2*day)
	require.Empty(t, f.Entries(u, val))
	require.Equal(t, "400", f.Balance(u).String())
	require.Equal(t, "500", a.Pool(1).Tokens.String())
	require.Equal(t, "500", b.Pool(1).Tokens.String())
}

// TestMaturityUnstakesNothingForALowerRatio is the same with one of two ratios: the other's position pays nothing for it. It was
// unstaked again and again, and the entry was never free.
func TestMaturityUnstakesNothingForALowerRatio(t *testing.T) {
	f := testutil.New(t)
	val, u, a, b := twoLiens(t, f)
	setRatio(t, f, a, sdkmath.LegacyNewDecWithPrec(1, 2)) // 5 reserve it: 505 of 600
	f.Skip(testutil.Unbonding + 2*day)
	require.Empty(t, f.Entries(u, val))
	require.Equal(t, "500", a.Pool(1).Tokens.String())
	require.Equal(t, "500", b.Pool(1).Tokens.String())
}

// TestMaturityFreesWhatRoundingTook: without any change of ratio, what many stakes rounded up held a matured entry for ever.
func TestMaturityFreesWhatRoundingTook(t *testing.T) {
	f, val, u := withDelegator(t, "0", 1_000)
	ratio := func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(9, 1) }
	a, b := f.Consumer("07-tendermint-11", ratio), f.Consumer("07-tendermint-12", ratio)
	a.Bond(1)
	b.Bond(1)
	for range 20 {
		require.NoError(t, a.Stake(u, 1, 11)) // 200 reserved, 198 would do
		require.NoError(t, b.Stake(u, 1, 11))
	}
	f.NextBlock()
	require.NoError(t, f.Undelegate(u, val, 1_000-397)) // 397 bonded, 400 reserved
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	f.Skip(testutil.Unbonding + 2*day)
	require.Empty(t, f.Entries(u, val))
	require.Equal(t, "220", a.Pool(1).Tokens.String())
	require.Equal(t, "220", b.Pool(1).Tokens.String())
}

// TestNativeRatioOfOneMarksNobodyForEver: where a double sign costs all native stake nothing backs a budget, so all that unbonds is
// held until what it was reserved for has ended. Whoever waits for that is not evaluated in every block.
func TestNativeRatioOfOneMarksNobodyForEver(t *testing.T) {
	f, val, u := withDelegator(t, "0", 1_000)
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.UnbondingPeriod = 40 * day })
	c.Bond(1)
	require.NoError(t, c.Stake(u, 1, 500))
	require.NoError(t, f.Undelegate(u, val, 400))
	f.NextBlock()
	require.Zero(t, held(f, u, val), "600 are bonded")
	require.NoError(t, c.Unstake(u, 1, 400))
	f.NextBlock()
	f.SetNativeRatio("1")
	f.Epoch()
	f.Blocks(3)
	require.Equal(t, 1, held(f, u, val))
	f.Skip(testutil.Unbonding + day)
	f.Blocks(3)
	for range 10 {
		f.NextBlock()
		require.False(t, f.Collateral(u).Marked)
	}
	require.Equal(t, 1, held(f, u, val))
	f.Skip(3 * 40 * day)
	require.Empty(t, f.Entries(u, val))
	require.Empty(t, c.Batches())
}

// TestUnstakingWhatTopsUpToNothing: there is no room for any of a slashed position, so nothing is left to unstake. What its lien
// needed is released all the same.
func TestUnstakingWhatTopsUpToNothing(t *testing.T) {
	f := testutil.New(t)
	f.SetNativeRatio("0.9")
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 20 })
	val := f.Validator(1_000_000, 1)
	var crowd []sdk.AccAddress
	for range 40 { // the walk comes to them first
		crowd = append(crowd, f.Delegator(val, 2_000))
	}
	u := f.Delegator(val, 1_000)
	f.NextBlock()
	thousandth := sdkmath.LegacyNewDecWithPrec(1, 3)
	a := f.Consumer("07-tendermint-11", func(cfg *types.ConsumerConfig) {
		cfg.MaxSlashFractionDoubleSign, cfg.MaxSlashFractionDowntime = thousandth, thousandth
	})
	b := f.Consumer("07-tendermint-12", func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() })
	a.Bond(1)
	b.Bond(1)
	f.Epoch()
	for _, m := range crowd {
		require.NoError(t, a.Stake(m, 1, 1_000))
	}
	require.NoError(t, a.Stake(u, 1, 1_000))
	require.NoError(t, b.Stake(u, 1, 99))
	f.Blocks(30)
	require.NoError(t, f.Undelegate(u, val, 5))
	f.Blocks(2)
	require.Equal(t, 1, held(f, u, val))
	slashOnly(t, f, a, 1, "0.001")
	require.NoError(t, f.Provider.Marked.Set(f.Ctx, u)) // as any native action does
	for i := 0; ; i++ {
		f.NextBlock()
		if res := f.Collateral(u); res.Debt.IsZero() && !res.Marked && res.Collateral.Equal(sdkmath.NewInt(999)) {
			break
		}
		require.Less(t, i, 30)
	}
	require.NoError(t, a.Unstake(u, 1, 1))
	f.NextBlock()
	require.Zero(t, held(f, u, val))
}

// TestMaturityLeavesNoPositionToAFractionOfAShare: after a slash g·s rounds up to a unit more than the value, and fewer shares have the
// same value. Nothing was unstaked, and one unit was held for ever.
func TestMaturityLeavesNoPositionToAFractionOfAShare(t *testing.T) {
	f := testutil.New(t)
	f.SetNativeRatio("0")
	val := f.Validator(1_000_000, 1)
	u, w := f.Delegator(val, 1_000), f.Delegator(val, 1_000)
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() })
	c.Bond(1)
	require.NoError(t, c.Stake(w, 1, 300))
	f.NextBlock()
	_, lost := slashOnly(t, f, c, 1, "0.3334")
	require.Equal(t, "100", lost.String())
	f.Blocks(3)
	require.NoError(t, c.Stake(u, 1, 401)) // 601 shares, worth 400, which reserve 401
	f.NextBlock()
	require.NoError(t, f.Undelegate(u, val, 600))
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	f.Skip(4 * testutil.Unbonding)
	require.Empty(t, f.Entries(u, val))
	require.Empty(t, c.Batches())
}

// TestMaturityAmidARaise: a held entry matures before the walk of a raised ratio has come to all positions. What leaves was
// reckoned from what a position had been worth before it shrank to its budget, and so all of it left.
func TestMaturityAmidARaise(t *testing.T) {
	f, val, u := withDelegator(t, "0", 900)
	change := func(cfg *types.ConsumerConfig) {
		cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(6, 1)
		cfg.UnbondingPeriod = 40 * day
	}
	a, b := f.Consumer("07-tendermint-11", change), f.Consumer("07-tendermint-12", change)
	a.Bond(1)
	b.Bond(1)
	require.NoError(t, a.Stake(u, 1, 500)) // 300 each
	require.NoError(t, b.Stake(u, 1, 500))
	f.NextBlock()
	setRatio(t, f, a, sdkmath.LegacyOneDec())
	setRatio(t, f, b, sdkmath.LegacyOneDec())
	f.Skip(a.Status().Raise.EffectiveAt.Sub(f.Ctx.BlockTime()) - testutil.Unbonding + 10*day)
	require.NoError(t, f.Undelegate(u, val, 400))
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	matures := f.Entries(u, val)[0].CompletionTime
	for a.Status().Raise != nil {
		f.NextBlockAfter(day / 4)
	}
	require.True(t, f.Ctx.BlockTime().Before(matures))
	f.Ctx = f.Ctx.WithBlockTime(matures) // the walks begin, and the entry matures
	f.Blocks(3)
	liens := f.Collateral(u).Liens
	require.GreaterOrEqual(t, liens[0].Active.Add(liens[1].Active).Int64(), int64(498), "500 are bonded, and back as much at a ratio of 1")
}

// TestMaturityForeseesThePayment: a debt that the same evaluation finds takes collateral, and with it of what a native slash may
// take. Counting both in full unstaked more than had to be.
func TestMaturityForeseesThePayment(t *testing.T) {
	f, val, u := withDelegator(t, "0.5", 1_000)
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() })
	c.Bond(1)
	f.Epoch()
	require.NoError(t, c.Stake(u, 1, 340))
	f.NextBlock()
	require.NoError(t, f.Undelegate(u, val, 400))
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	f.Skip(testutil.Unbonding - 2*day)
	_, lost := slashOnly(t, f, c, 1, "0.25")
	require.Equal(t, "85", lost.String())
	f.Skip(4 * day)
	require.Equal(t, "255", c.Pool(1).Tokens.String(), "515 are bonded: they back 257")
	require.Empty(t, f.Entries(u, val))
}

// TestNativeSlashCutsNoStakeForALowerRatio: 500 each are still reserved at a ratio of 1, 50 each at today's tenth. Of 1,000 a native
// slash leaves 950, which cover the liens of 500 and that: nothing shrinks.
func TestNativeSlashCutsNoStakeForALowerRatio(t *testing.T) {
	reduction := sdk.DefaultPowerReduction
	sdk.DefaultPowerReduction = sdkmath.OneInt()
	t.Cleanup(func() { sdk.DefaultPowerReduction = reduction })
	f, val, u := withDelegator(t, "0", 1_000)
	one := func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() }
	a, b := f.Consumer("07-tendermint-11", one), f.Consumer("07-tendermint-12", one)
	for _, c := range []*testutil.Consumer{a, b} {
		c.Bond(1)
		require.NoError(t, c.Stake(u, 1, 500))
		f.NextBlock()
		setRatio(t, f, c, sdkmath.LegacyNewDecWithPrec(1, 1))
	}
	f.Blocks(2)
	f.NativeSlash(val, 0, "0.05")
	f.Blocks(3)
	require.Equal(t, "950", f.Collateral(u).Collateral.String())
	require.Equal(t, "500", a.Pool(1).Tokens.String())
	require.Equal(t, "500", b.Pool(1).Tokens.String())
}

// TestTopUpBesideALowerRatio: 500 are still reserved on a, at a ratio of 1, and 50 at today's. A slash on b takes 250 of 1,000: what
// is left needs 375 reserved, for which there is room in the 750, and it does not shrink.
func TestTopUpBesideALowerRatio(t *testing.T) {
	f, _, u := withDelegator(t, "0", 1_000)
	ratio := func(percent int64) func(*types.ConsumerConfig) {
		return func(cfg *types.ConsumerConfig) {
			cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(percent, 2)
		}
	}
	a, b := f.Consumer("07-tendermint-11", ratio(100)), f.Consumer("07-tendermint-12", ratio(50))
	a.Bond(1)
	b.Bond(1)
	require.NoError(t, a.Stake(u, 1, 500))
	require.NoError(t, b.Stake(u, 1, 1_000))
	f.NextBlock()
	setRatio(t, f, a, sdkmath.LegacyNewDecWithPrec(1, 1))
	f.Blocks(2)
	slashOnly(t, f, b, 1, "0.25")
	f.Blocks(5)
	require.Equal(t, "750", f.Collateral(u).Collateral.String())
	require.Equal(t, "500", a.Pool(1).Tokens.String())
	require.Equal(t, "750", b.Pool(1).Tokens.String())
}

// TestUnstakingForeseesThePayment: unstaking finds a debt of 35. Paying it leaves 665 of 700, which back 664 at a native ratio and
// a ratio of a half; counting the debt beside the native part of what pays it left 628.
func TestUnstakingForeseesThePayment(t *testing.T) {
	f, _, u := withDelegator(t, "0.5", 700)
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(5, 1) })
	c.Bond(1)
	f.Epoch()
	require.NoError(t, c.Stake(u, 1, 700))
	f.NextBlock()
	slashOnly(t, f, c, 1, "0.05")
	require.NoError(t, c.Unstake(u, 1, 1))
	f.Blocks(3)
	require.Equal(t, "665", f.Collateral(u).Collateral.String())
	require.Equal(t, "662", c.Pool(1).Tokens.String())
}

// TestUnstakingUnderADebtHoldsMore: a debt waits behind those of others that cannot be paid. 900 are bonded, what is staked; the entry of
// 100 is free. Unstaking reserves more than required(u) leaves room for until the debt is paid, and so the entry is held until then.
func TestUnstakingUnderADebtHoldsMore(t *testing.T) {
	f, val, u := withDelegator(t, "0.5", 1_000)
	var crowd []sdk.AccAddress
	for range 40 {
		crowd = append(crowd, f.Delegator(val, 1_000))
	}
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(5, 1) })
	c.Bond(1)
	c.Bond(2)
	f.Epoch()
	for _, m := range crowd {
		require.NoError(t, c.Stake(m, 2, 1_000))
		f.Unburnable[string(m)] = true
	}
	require.NoError(t, c.Stake(u, 1, 900))
	f.NextBlock()
	require.NoError(t, f.Undelegate(u, val, 100))
	f.NextBlock()
	require.Zero(t, held(f, u, val))
	slashPool(t, f, c, 2, "0.1")
	f.Blocks(5)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 20 })
	f.Blocks(60)
	slashOnly(t, f, c, 1, "0.05")
	require.NoError(t, f.Provider.Marked.Set(f.Ctx, u)) // as any native action does
	waits := func() bool {
		res := f.Collateral(u)
		return res.Debt.IsPositive() && !res.Marked && held(f, u, val) == 0
	}
	for range 20 {
		if waits() {
			break
		}
		f.NextBlock()
	}
	require.True(t, waits(), "it was evaluated, and has not paid")
	before := c.Pool(1).Tokens
	require.NoError(t, c.Unstake(u, 1, 1))
	require.True(t, f.Collateral(u).Marked)
	wasHeld := false
	for i := 0; f.Collateral(u).Debt.IsPositive(); i++ {
		require.Less(t, i, 40)
		f.NextBlock() // and checks the invariants: none is needed and not held
		wasHeld = wasHeld || held(f, u, val) == 1
	}
	require.True(t, wasHeld)
	f.Blocks(3)
	require.Zero(t, held(f, u, val))
	require.Less(t, before.Sub(c.Pool(1).Tokens).Int64(), int64(5))
}
