package keeper_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

const day = 24 * time.Hour

func held(f *testutil.Fixture, addr sdk.AccAddress, val sdk.ValAddress) (n int) {
	for _, e := range f.Entries(addr, val) {
		if e.OnHold() {
			n++
		}
	}
	return n
}

func TestTwoUndelegationsInOneBlockMerge(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 900))
	require.NoError(t, f.Undelegate(u, val, 50))
	require.NoError(t, f.Undelegate(u, val, 60))
	f.NextBlock()
	require.Len(t, f.Entries(u, val), 1)
	require.Equal(t, "110", f.Entries(u, val)[0].Balance.String())
	require.Equal(t, 1, held(f, u, val))
	col := f.Collateral(u)
	require.Equal(t, "890", col.Bonded.String())
	require.Equal(t, "110", col.Held.String())
	require.Contains(t, col.Entries[0].Reason, "held")
	require.Nil(t, col.Entries[0].Until, "active stake needs it")
	require.Equal(t, "10", col.Entries[0].Needed.String())
}

func TestShortestPrefixIsHeld(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 700))
	var begun []int64
	for range 4 {
		begun = append(begun, f.Ctx.BlockHeight())
		require.NoError(t, f.Undelegate(u, val, 100))
		f.NextBlockAfter(day)
	}
	// 600 bonded, 100 missing: the latest entry is held, the others are not.
	entries := f.Entries(u, val)
	require.Len(t, entries, 4)
	for i, e := range entries {
		require.Equal(t, i == 3, e.OnHold(), "entry %d", i)
	}
	// Cancelling it natively brings the tokens back; nothing is needed.
	require.NoError(t, f.CancelUndelegation(u, val, begun[3], 100))
	f.NextBlock()
	require.Zero(t, held(f, u, val))
	// Cancelling part of a held entry leaves the rest held.
	require.NoError(t, f.Undelegate(u, val, 150))
	height := f.Ctx.BlockHeight()
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	require.NoError(t, f.CancelUndelegation(u, val, height, 60))
	f.NextBlock()
	require.Equal(t, "90", f.Entries(u, val)[3].Balance.String())
	require.Equal(t, 1, held(f, u, val))
	// Cancelled and undelegated again in one block: another entry, held anew.
	require.NoError(t, f.CancelUndelegation(u, val, height, 90))
	require.NoError(t, f.Undelegate(u, val, 90))
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
}

func TestSevenEntries(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 1_000))
	for range 7 {
		require.NoError(t, f.Undelegate(u, val, 10))
		f.NextBlock()
	}
	require.Equal(t, 7, held(f, u, val))
	require.ErrorIs(t, f.Undelegate(u, val, 10), stakingtypes.ErrMaxUnbondingDelegationEntries)
	// They stay when their time has come, until what they back has unbonded on the consumer.
	f.Skip(testutil.Unbonding + 2*time.Hour)
	require.Equal(t, 7, held(f, u, val))
	require.Equal(t, "930", c.Pool(1).Tokens.String(), "what they back leaves the consumer")
	f.Skip(30 * day)
	require.Empty(t, f.Entries(u, val))
	require.Equal(t, "70", f.Balance(u).String())
	require.Equal(t, "930", f.Collateral(u).MaxLien.String())
}

func TestMaturedWhileHeldPaysOutWhatIsNotNeeded(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 700))
	require.NoError(t, f.Undelegate(u, val, 500))
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	until := f.Ctx.BlockTime().Add(testutil.Unbonding)
	require.Zero(t, f.Balance(u).Int64())
	f.Skip(testutil.Unbonding + time.Hour)
	// 500 bonded + 200 of the entry back 700; the other 300 are paid, and 200 leave the consumer.
	require.Equal(t, "300", f.Balance(u).String())
	e := f.Entries(u, val)[0]
	require.Equal(t, "200", e.Balance.String())
	require.Equal(t, "500", e.InitialBalance.String())
	require.Equal(t, "500", c.Pool(1).Tokens.String())
	col := f.Collateral(u)
	require.NotNil(t, col.Entries[0].Until)
	require.True(t, col.Entries[0].Until.After(until))
	f.Skip(30 * day)
	require.Equal(t, "500", f.Balance(u).String())
	require.Empty(t, f.Entries(u, val))
	require.Equal(t, "500", f.Collateral(u).MaxLien.String())
	require.Equal(t, "500", f.Collateral(u).Bonded.String())
}

// TestMaturedWhileAnotherHoldsPaysNothing: of 500 that another module holds too 300 are not needed here. They are not ours to pay.
func TestMaturedWhileAnotherHoldsPaysNothing(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 700))
	require.NoError(t, f.Undelegate(u, val, 500))
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	others := func(n int64) {
		ubd, err := f.Staking.GetUnbondingDelegation(f.Ctx, u, val)
		require.NoError(t, err)
		require.Len(t, ubd.Entries, 1)
		ubd.Entries[0].UnbondingOnHoldRefCount += n
		require.NoError(t, f.Staking.SetUnbondingDelegation(f.Ctx, ubd))
	}
	others(1)
	f.Skip(testutil.Unbonding + 2*day)
	require.Equal(t, "0", f.Balance(u).String())
	require.Equal(t, "500", c.Pool(1).Tokens.String(), "what is left backs it")
	f.Skip(3 * testutil.Unbonding)
	require.Equal(t, "0", f.Balance(u).String())
	require.Equal(t, 1, held(f, u, val), "by the other")
}

// TestMaturedWhileHeldCountsWhatIsUnbonding: what unbonds already is not unstaked a second time.
func TestMaturedWhileHeldCountsWhatIsUnbonding(t *testing.T) {
	f, val, u := withDelegator(t, "0", 1_000)
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.UnbondingPeriod = 40 * day })
	c.Bond(1)
	require.NoError(t, c.Stake(u, 1, 1_000))
	f.NextBlock()
	require.NoError(t, f.Undelegate(u, val, 300))
	require.NoError(t, c.Unstake(u, 1, 300))
	begin := f.Ctx.BlockTime()
	f.Skip(testutil.Unbonding + time.Hour)
	require.Equal(t, 1, held(f, u, val), "its lien has not ended")
	require.Equal(t, "700", c.Pool(1).Tokens.String(), "the rest stays: 700 are bonded")
	f.Epoch()
	c.Relay()
	c.Execute(1)
	until := f.Collateral(u).Entries[0].Until
	require.NotNil(t, until)
	for len(f.Entries(u, val)) > 0 {
		require.Less(t, f.Ctx.BlockTime().Sub(begin), 90*day)
		f.NextBlockAfter(time.Hour)
	}
	require.WithinDuration(t, *until, f.Ctx.BlockTime(), 2*time.Hour)
	require.Equal(t, "300", f.Balance(u).String())
	require.Equal(t, "700", c.Pool(1).Tokens.String())
}

// TestLongerPeriodNotSum: leaving both chains takes the longer of the two unbonding periods.
func TestLongerPeriodNotSum(t *testing.T) {
	for _, unbonding := range []time.Duration{7 * day, 35 * day} {
		t.Run(unbonding.String(), func(t *testing.T) {
			f := testutil.New(t)
			val := f.Validator(1_000_000, 1)
			u := f.Delegator(val, 1_000)
			f.NextBlock()
			c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.UnbondingPeriod = unbonding })
			c.Bond(1)
			require.NoError(t, c.Stake(u, 1, 1_000))
			f.Epoch()
			c.Relay()
			begin := f.Ctx.BlockTime()
			require.NoError(t, f.Undelegate(u, val, 1_000))
			require.NoError(t, c.Unstake(u, 1, 1_000))
			for f.Balance(u).IsZero() {
				f.Epoch()
				c.Relay()
				c.Execute(1)
				require.Less(t, f.Ctx.BlockTime().Sub(begin), 60*day)
			}
			took := f.Ctx.BlockTime().Sub(begin)
			require.Equal(t, "1000", f.Balance(u).String())
			require.Less(t, took, max(unbonding, testutil.Unbonding)+unbonding/64+3*time.Hour)
		})
	}
}

// TestSpreadOverManyValidators: whoever spreads its stake over more delegations than are allowed for new stake is still
// read in full, and can take nothing out that its liens need.
func TestSpreadOverManyValidators(t *testing.T) {
	f := testutil.New(t)
	f.SetParams(func(p *types.Params) { p.MaxNativeDelegations, p.MaxSettlementSteps = 5, 20 })
	vals := []sdk.ValAddress{f.Validator(1_000_000, 1)}
	for range 180 {
		vals = append(vals, f.Validator(1_000, 1))
	}
	u := f.Delegator(vals[0], 1_800)
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(1)
	require.NoError(t, c.Stake(u, 1, 1_800))
	for _, v := range vals[1:] {
		require.NoError(t, f.Redelegate(u, vals[0], v, 10))
	}
	f.NextBlock()
	require.ErrorIs(t, c.Stake(u, 1, 1), types.ErrTooManyDelegations)
	require.Equal(t, "1800", f.Collateral(u).Bonded.String())
	require.Equal(t, "1800", c.Pool(1).Tokens.String())
	for _, v := range vals[1:] {
		require.NoError(t, f.Undelegate(u, v, 10))
	}
	f.NextBlock()
	for _, v := range vals[1:] {
		require.Equal(t, 1, held(f, u, v))
	}
	require.Equal(t, "1800", f.Collateral(u).Held.String())
}

// TestOtherModulesHold: we never release what another module holds.
func TestOtherModulesHold(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 1_000))
	require.NoError(t, f.Undelegate(u, val, 100))
	f.NextBlock()
	ubd, err := f.Staking.GetUnbondingDelegation(f.Ctx, u, val)
	require.NoError(t, err)
	ubd.Entries[0].UnbondingOnHoldRefCount++
	require.NoError(t, f.Staking.SetUnbondingDelegation(f.Ctx, ubd))
	require.NoError(t, c.Unstake(u, 1, 1_000))
	f.Skip(40 * day)
	require.EqualValues(t, 1, f.Entries(u, val)[0].UnbondingOnHoldRefCount)
	require.Zero(t, f.Balance(u).Int64())
	found, err := f.Provider.Accounts.Has(f.Ctx, u)
	require.NoError(t, err)
	require.False(t, found)
}

// TestSlashedToZero: entries that x/staking slashes, without telling us, are survived.
func TestSlashedToZero(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 500))
	require.NoError(t, f.Undelegate(u, val, 1_000))
	f.NextBlock()
	require.Equal(t, 1, held(f, u, val))
	infraction := f.Ctx.BlockHeight() - 1
	f.NextBlock()
	v, err := f.Staking.GetValidator(f.Ctx, val)
	require.NoError(t, err)
	cons, err := v.GetConsAddr()
	require.NoError(t, err)
	_, err = f.Staking.Slash(f.Ctx, cons, infraction, v.ConsensusPower(sdk.DefaultPowerReduction), sdkmath.LegacyOneDec())
	require.NoError(t, err)
	require.True(t, f.Entries(u, val)[0].Balance.IsZero())
	f.Provider.NoteNativeSlash(f.Ctx)
	require.NoError(t, f.Provider.Marked.Set(f.Ctx, u))
	f.NextBlock()
	col := f.Collateral(u)
	require.Equal(t, "0", col.Collateral.String())
	require.Equal(t, "0", col.MaxLien.String(), "nothing backs it any more")
	require.False(t, col.Barred)
	f.Skip(22 * day)
	require.Empty(t, f.Entries(u, val))
	require.Empty(t, export(t, f).Accounts)
}

// TestCollateralEscaped: collateral that went without an entry and without a slash bars the delegator.
func TestCollateralEscaped(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 800))
	require.NoError(t, c.Stake(u, 2, 200))
	f.NextBlock()
	// Another module moves the delegation away.
	d, err := f.Staking.GetDelegation(f.Ctx, u, val)
	require.NoError(t, err)
	other := f.Address()
	require.NoError(t, f.Staking.RemoveDelegation(f.Ctx, d))
	d.DelegatorAddress, d.Shares = other.String(), sdkmath.LegacyNewDec(600)
	require.NoError(t, f.Staking.SetDelegation(f.Ctx, d))
	d.DelegatorAddress, d.Shares = u.String(), sdkmath.LegacyNewDec(400)
	require.NoError(t, f.Staking.SetDelegation(f.Ctx, d))
	f.NextBlock()
	col := f.Collateral(u)
	require.True(t, col.Barred)
	require.Equal(t, "400", col.MaxLien.String())
	require.Equal(t, "320", c.Pool(1).Tokens.String())
	require.Equal(t, "80", c.Pool(2).Tokens.String())
	require.ErrorIs(t, c.Stake(u, 1, 1), types.ErrBarred)
	require.NoError(t, c.Unstake(u, 1, 320))
	require.NoError(t, c.Unstake(u, 2, 80))
	f.Skip(40 * day)
	require.ErrorIs(t, c.Stake(u, 1, 1), types.ErrBarred, "for good")
}

// TestNativeRatio: a change is followed by a walk over all accounts.
func TestNativeRatio(t *testing.T) {
	f := testutil.New(t)
	f.SetNativeRatio("0")
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 20 }) // a walk of one account a block
	val := f.Validator(1_000_000, 1)
	var us []sdk.AccAddress
	for range 5 {
		us = append(us, f.Delegator(val, 1_000))
	}
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() })
	c.Bond(1)
	for _, u := range us {
		require.NoError(t, c.Stake(u, 1, 900))
		require.NoError(t, f.Undelegate(u, val, 100))
	}
	f.NextBlock()
	require.Zero(t, held(f, us[0], val))
	f.SetNativeRatio("0.1")
	f.Epoch()
	f.Blocks(12)
	for _, u := range us {
		require.Equal(t, 1, held(f, u, val), "900 + 0.1·1,000 are needed")
	}
	require.Equal(t, "4500", c.Pool(1).Tokens.String())
	f.SetNativeRatio("0")
	f.Epoch()
	require.Equal(t, "0.000000000000000000", f.Collateral(us[0]).NativeRatio.String())
	f.Blocks(12)
	require.Zero(t, held(f, us[0], val))
	require.Zero(t, held(f, us[4], val))
}

// TestMessageBetweenMaturityAndTheWalk: whoever acts after a batch has matured and before the walk has come to it takes itself
// out of the batch; what the batch held is released all the same.
func TestMessageBetweenMaturityAndTheWalk(t *testing.T) {
	f := testutil.New(t)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 20 })
	val := f.Validator(10_000_000, 1)
	members := make([]sdk.AccAddress, 20)
	for i := range members {
		members[i] = f.Delegator(val, 1_000)
	}
	slices.SortFunc(members, func(a, b sdk.AccAddress) int { return bytes.Compare(a, b) })
	last := members[len(members)-1]
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.UnbondingPeriod = 40 * day })
	c.Bond(1)
	c.Bond(2)
	for _, u := range members {
		require.NoError(t, c.Stake(u, 1, 900))
	}
	require.NoError(t, c.Stake(last, 2, 10))
	f.NextBlock()
	require.NoError(t, f.Undelegate(last, val, 950))
	for _, u := range members {
		require.NoError(t, c.Unstake(u, 1, 900))
	}
	for end := f.Ctx.BlockTime().Add(testutil.Unbonding + day); f.Ctx.BlockTime().Before(end); {
		f.NextBlockAfter(day)
	}
	require.Equal(t, 1, held(f, last, val), "its time has come, its lien has not ended")
	for len(c.Batches()) == 0 || !c.Batches()[0].Batch.Pool.IsMatured() {
		require.NotEmpty(t, c.Batches())
		f.NextBlockAfter(day)
	}
	require.Equal(t, 1, held(f, last, val), "the walk has not come to it")
	require.NoError(t, c.Unstake(last, 2, 1))
	f.Blocks(10)
	require.Len(t, c.Batches(), 1, "all are released but the one unstaked last")
	require.Empty(t, f.Entries(last, val))
	require.Equal(t, "950", f.Balance(last).String())
}
