package keeper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// lowerRatio lets governance lower what a consumer may take for a double sign.
func lowerRatio(t *testing.T, f *testutil.Fixture, c *testutil.Consumer, to sdkmath.LegacyDec) {
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
	for end := f.Ctx.BlockTime().Add(testutil.Unbonding + day); f.Ctx.BlockTime().Before(end); {
		f.NextBlockAfter(day)
	}
	require.Equal(t, 1, held(f, u, val), "its time has come")
	tenth := sdkmath.LegacyNewDecWithPrec(1, 1)
	lowerRatio(t, f, a, tenth)
	lowerRatio(t, f, b, tenth)
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
	lowerRatio(t, f, a, sdkmath.LegacyNewDecWithPrec(1, 1))
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	require.NoError(t, a.Redelegate(u, 1, 2, 100))
	f.NextBlock()
	require.Zero(t, held(f, u, val))
}

// TestUnstakingReleasesWhatRoundingFrees: every stake rounds its budget up; unstaking reserves for the sum, which is less.
func TestUnstakingReleasesWhatRoundingFrees(t *testing.T) {
	f := testutil.New(t)
	f.SetNativeRatio("0")
	val := f.Validator(1_000_000, 1)
	u := f.Delegator(val, 1_000)
	f.NextBlock()
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
	f := testutil.New(t)
	f.SetNativeRatio("0")
	val := f.Validator(1_000_000, 1)
	u := f.Delegator(val, 1_000)
	f.NextBlock()
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
