package keeper_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/provider/keeper"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// slashOnly takes a fraction of the active pool of a consumer's n-th validator, which is walked only if that is much.
func slashOnly(t *testing.T, f *testutil.Fixture, c *testutil.Consumer, n int, fraction string) (id uint64, x sdkmath.Int) {
	t.Helper()
	id, err := f.Provider.ActivePools.Get(f.Ctx, poolKey(c.ClientID, n))
	require.NoError(t, err)
	x, err = f.Provider.SlashOne(f.Ctx, id, sdkmath.LegacyMustNewDecFromStr(fraction))
	require.NoError(t, err)
	return id, x
}

// slashPool is slashOnly, and has the pool walked also if that is little.
func slashPool(t *testing.T, f *testutil.Fixture, c *testutil.Consumer, n int, fraction string) sdkmath.Int {
	t.Helper()
	id, x := slashOnly(t, f, c, n, fraction)
	pool, err := f.Provider.Pools.Get(f.Ctx, id)
	require.NoError(t, err)
	require.NoError(t, f.Provider.Walks.Set(f.Ctx, id, types.PoolWalk{PoolId: id, Rate: pool.RateFloor(), SlashIndex: pool.SlashIndex}))
	return x
}

func supply(f *testutil.Fixture) sdkmath.Int { return f.Bank.GetSupply(f.Ctx, testutil.Denom).Amount }

// requireTotals checks the sums: slashed, burned, debt, shortfall.
func requireTotals(t *testing.T, f *testutil.Fixture, slashed, burned, debt, shortfall int64) types.SlashTotals {
	t.Helper()
	res, err := f.Queries.Settlement(f.Ctx, &types.QuerySettlementRequest{})
	require.NoError(t, err)
	s := res.Totals
	require.Equal(t, []int64{slashed, burned, debt, shortfall},
		[]int64{s.Slashed.Int64(), s.Burned.Int64(), s.Debt.Int64(), s.Shortfall.Int64()}, "slashed, burned, debt, shortfall")
	return s
}

func bonded(f *testutil.Fixture, u sdk.AccAddress, val sdk.ValAddress) int64 {
	d, err := f.Staking.GetDelegation(f.Ctx, u, val)
	if err != nil {
		return 0
	}
	v, err := f.Staking.GetValidator(f.Ctx, val)
	require.NoError(f, err)
	return v.TokensFromShares(d.Shares).TruncateInt64()
}

// TestSlashIsBurned: in one block the positions are settled, the native delegation shrinks, and the coins are burned.
func TestSlashIsBurned(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 1_000))
	f.NextBlock()
	before := supply(f)
	require.Equal(t, "100", slashPool(t, f, c, 1, "0.1").String())
	f.NextBlock()
	require.EqualValues(t, 900, bonded(f, u, val))
	require.Equal(t, "100", before.Sub(supply(f)).String())
	s := requireTotals(t, f, 100, 100, 0, 0)
	require.Equal(t, "100", s.Owed.String())
	require.Zero(t, s.Debtors)
	col := f.Collateral(u)
	require.Equal(t, []string{"900", "900", "90", "0"}, []string{col.Collateral.String(), col.MaxLien.String(), col.Budgets.String(), col.Debt.String()})
	require.False(t, col.Barred)
	require.NoError(t, c.Unstake(u, 1, 900))
}

// TestFiveConsumers: collateral 10,000, native ratio 0, liens 10,000 and 4×5,750 at 30 % on five consumers, 9,900 reserved,
// and a slash of 1,725 on one of the 5,750.
func TestFiveConsumers(t *testing.T) {
	f, _, u := withDelegator(t, "0", 10_000)
	var cs []*testutil.Consumer
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		c := f.Consumer(id, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(30, 2) })
		c.Bond(1)
		cs = append(cs, c)
	}
	require.NoError(t, cs[0].Stake(u, 1, 10_000))
	for _, c := range cs[1:] {
		require.NoError(t, c.Stake(u, 1, 5_750))
	}
	require.Equal(t, "9900", f.Collateral(u).Budgets.String())
	require.Equal(t, "1725", slashPool(t, f, cs[2], 1, "0.3").String())
	f.Blocks(3)
	requireTotals(t, f, 1_725, 1_725, 0, 0)
	col := f.Collateral(u)
	require.Equal(t, "8275", col.Collateral.String())
	require.Equal(t, "8275", col.MaxLien.String(), "the lien of 10,000 was cut to the collateral")
	require.True(t, col.Budgets.LTE(col.Collateral), "%s", col.Budgets)
	require.False(t, col.Barred, "a slash explains it")
	for _, l := range col.Liens {
		require.True(t, l.Lien.LTE(col.Collateral))
	}
	// What the cut freed went to the position that was slashed: 8,275 − 2,483 − 3×1,725 = 617 at 30 %.
	require.Equal(t, "2056", cs[2].Pool(1).Tokens.String())
	for i, c := range cs {
		if i == 1 || i > 2 {
			require.Equal(t, "5750", c.Pool(1).Tokens.String())
		}
	}
}

// TestOneWhoseStakeCannotBeBurned: a delegator whose stake cannot be taken reverts nothing for the others, is retried, and
// pays when it can.
func TestOneWhoseStakeCannotBeBurned(t *testing.T) {
	f := testutil.New(t)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 40 })
	val := f.Validator(1_000_000, 1)
	var us []sdk.AccAddress
	for range 30 {
		us = append(us, f.Delegator(val, 1_000))
	}
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(1)
	for _, u := range us {
		require.NoError(t, c.Stake(u, 1, 1_000))
	}
	f.NextBlock()
	// The first in the queue, and one whose delegations cannot even be read.
	f.Unburnable[string(us[0])], f.Unburnable[string(us[7])] = true, true
	require.Equal(t, "3000", slashPool(t, f, c, 1, "0.1").String())
	f.Blocks(40)
	requireTotals(t, f, 3_000, 2_800, 200, 0)
	for i, u := range us {
		want := int64(900)
		if i == 0 || i == 7 {
			want = 1_000
		}
		require.Equal(t, want, bonded(f, u, val), "%d", i)
	}
	f.Unburnable[string(us[7])] = false
	f.Blocks(3)
	require.EqualValues(t, 900, bonded(f, us[7], val))
	debts, err := f.Queries.Debts(f.Ctx, &types.QueryDebtsRequest{})
	require.NoError(t, err)
	require.Len(t, debts.Debts, 1)
	require.Equal(t, us[0].String(), debts.Debts[0].Delegator)
	require.Equal(t, "100", debts.Debts[0].Amount.String())
	// Nothing is forgiven meanwhile.
	f.Skip(2 * day)
	requireTotals(t, f, 3_000, 2_900, 100, 0)
	// It cannot take more stake than what is left after its debt.
	require.ErrorIs(t, c.Stake(us[0], 1, 1_000), types.ErrInsufficientCollateral)
	f.Unburnable[string(us[0])] = false
	f.NextBlock()
	requireTotals(t, f, 3_000, 3_000, 0, 0)
	require.EqualValues(t, 900, bonded(f, us[0], val))
}

// TestDelegationsCannotBeRead: the whole visit fails; the others are paid.
func TestDelegationsCannotBeRead(t *testing.T) {
	f, val, u, c := setup(t)
	w := f.Delegator(val, 1_000)
	require.NoError(t, c.Stake(u, 1, 1_000))
	require.NoError(t, c.Stake(w, 1, 1_000))
	f.NextBlock()
	slashPool(t, f, c, 1, "0.1")
	require.NoError(t, c.Unstake(u, 1, 10)) // settles u
	f.Broken[string(u)] = true
	f.NoInvariants = true
	f.Blocks(3)
	require.EqualValues(t, 900, bonded(f, w, val))
	requireTotals(t, f, 200, 100, 100, 0)
	f.Broken[string(u)] = false
	f.NoInvariants = false
	f.NextBlock()
	requireTotals(t, f, 200, 200, 0, 0)
}

// TestOrderOfBurns: bonded delegations, held entries, then the other entries, the latest completion first.
func TestOrderOfBurns(t *testing.T) {
	f, val, u := withDelegator(t, "0", 1_000)
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() })
	c.Bond(1)
	require.NoError(t, c.Stake(u, 1, 500))
	f.NextBlock()
	for range 3 {
		require.NoError(t, f.Undelegate(u, val, 300))
		f.NextBlockAfter(time.Hour)
	}
	// 100 bonded; of three entries of 300 the two latest are held.
	require.Equal(t, 2, held(f, u, val))
	created := f.Entries(u, val)[0].InitialBalance
	// 400 of the collateral go to a debt: 100 of the delegation, the whole latest entry.
	require.Equal(t, "400", slashPool(t, f, c, 1, "0.8").String())
	f.NextBlock()
	requireTotals(t, f, 400, 400, 0, 0)
	require.Zero(t, bonded(f, u, val))
	entries := f.Entries(u, val)
	require.Equal(t, []int64{300, 300, 0}, []int64{entries[0].Balance.Int64(), entries[1].Balance.Int64(), entries[2].Balance.Int64()})
	for _, e := range entries {
		require.Equal(t, created, e.InitialBalance, "x/staking's slashes go by it")
	}
	// What is left backs the lien of 100 with one entry.
	require.Equal(t, 1, held(f, u, val))
	f.Skip(70 * day) // it leaves when the entry matures
	require.Empty(t, f.Entries(u, val))
	require.Equal(t, "600", f.Balance(u).String())
	require.Empty(t, export(t, f).Accounts)
}

// TestUndelegatedBetweenSlashAndSettlement: what the delegator took away natively after the slash has become an entry that
// was not held, and pays.
func TestUndelegatedBetweenSlashAndSettlement(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 1_000))
	f.NextBlock()
	require.Equal(t, "100", slashPool(t, f, c, 1, "0.1").String())
	require.NoError(t, f.Undelegate(u, val, 1_000))
	f.NextBlock()
	requireTotals(t, f, 100, 100, 0, 0)
	require.EqualValues(t, 900, f.Entries(u, val)[0].Balance.Int64())
	require.Equal(t, "900", f.Collateral(u).Collateral.String())
	require.NoError(t, c.Unstake(u, 1, 900))
	f.Skip(40 * day)
	require.Equal(t, "900", f.Balance(u).String())
}

// TestUndelegatedByAContractInEndBlock: after this module's EndBlock, so that the entry is first seen a block later.
func TestUndelegatedByAContractInEndBlock(t *testing.T) {
	f, val, u, c := setup(t)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 20 })
	require.NoError(t, c.Stake(u, 1, 1_000))
	f.NextBlock()
	f.Unburnable[string(u)] = true // its turn does not come in this block
	require.Equal(t, "100", slashPool(t, f, c, 1, "0.1").String())
	f.Late = func() {
		require.NoError(t, f.Undelegate(u, val, 1_000))
		delete(f.Unburnable, string(u))
	}
	f.NextBlock()
	requireTotals(t, f, 100, 0, 100, 0)
	f.NextBlock()
	requireTotals(t, f, 100, 100, 0, 0)
	require.EqualValues(t, 900, f.Entries(u, val)[0].Balance.Int64())
	require.Equal(t, 1, held(f, u, val))
}

// TestSettlementSpreadOver180Validators: a debt is paid from 180 delegations and as many entries, few steps a block; in
// every block no more is taken than the steps allow, and others are paid meanwhile.
func TestSettlementSpreadOver180Validators(t *testing.T) {
	f := testutil.New(t)
	f.SetNativeRatio("0")
	f.SetParams(func(p *types.Params) { p.MaxNativeDelegations, p.MaxSettlementSteps = 5, 200 })
	vals := []sdk.ValAddress{f.Validator(1_000_000, 1)}
	for range 180 {
		vals = append(vals, f.Validator(1_000, 1))
	}
	u := f.Delegator(vals[0], 1_800)
	w := f.Delegator(vals[0], 1_000)
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() })
	c.Bond(2)
	require.NoError(t, c.Stake(u, 1, 1_800))
	require.NoError(t, c.Stake(w, 2, 1_000))
	for i, v := range vals[1:] {
		require.NoError(t, f.Redelegate(u, vals[0], v, 10))
		if i%2 == 0 {
			require.NoError(t, f.Undelegate(u, v, 4))
		}
	}
	f.Blocks(3)
	f.NoInvariants = true // they take long; checked at the end
	slashPool(t, f, c, 1, "0.9")
	slashPool(t, f, c, 2, "0.5")
	paid := func() int64 { return export(t, f).Totals.Burned.Int64() }
	blocks := 0
	for last := int64(0); paid() < 1_620+500; blocks++ {
		f.NextBlock()
		now := paid()
		require.Greater(t, now, last, "every block takes something")
		require.Less(t, now-last, int64(1_500), "and not all at once")
		last = now
		require.Less(t, blocks, 50)
		if blocks == 0 {
			// Acting meanwhile settles, and is allowed.
			require.NoError(t, c.Unstake(w, 2, 100))
		}
	}
	require.Greater(t, blocks, 1)
	f.Blocks(3)
	requireTotals(t, f, 2_120, 2_120, 0, 0)
	require.Equal(t, "180", f.Collateral(u).Collateral.String())
	require.NoError(t, f.Provider.CheckInvariants(f.Ctx))
}

// operatorSetup returns an operator with 1,000 in its own validator and a minimum of 400, and 600 of cross-stake.
func operatorSetup(t *testing.T) (*testutil.Fixture, sdk.ValAddress, sdk.AccAddress, *testutil.Consumer) {
	t.Helper()
	f := testutil.New(t)
	f.SetNativeRatio("0")
	f.Validator(1_000_000, 1)
	val := f.Validator(1_000, 400)
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() })
	c.Bond(1)
	u := sdk.AccAddress(val)
	require.NoError(t, c.Stake(u, 1, 600))
	f.NextBlock()
	return f, val, u, c
}

func jailed(t *testing.T, f *testutil.Fixture, val sdk.ValAddress) bool {
	t.Helper()
	v, err := f.Staking.GetValidator(f.Ctx, val)
	require.NoError(t, err)
	return v.Jailed
}

// TestOperatorBelowItsMinimum: an operator's own delegation is taken down to its minimum, then its entries, and only then
// the rest, which jails it.
func TestOperatorBelowItsMinimum(t *testing.T) {
	f, val, u, c := operatorSetup(t)
	require.Equal(t, "300", slashPool(t, f, c, 1, "0.5").String())
	f.NextBlock()
	require.EqualValues(t, 700, bonded(f, u, val))
	require.False(t, jailed(t, f, val))
	// 300 above the minimum become an entry, which pays before the minimum does.
	require.NoError(t, f.Undelegate(u, val, 300))
	f.NextBlock()
	require.Equal(t, "150", slashPool(t, f, c, 1, "0.5").String())
	f.NextBlock()
	require.EqualValues(t, 400, bonded(f, u, val))
	require.EqualValues(t, 150, f.Entries(u, val)[0].Balance.Int64())
	require.False(t, jailed(t, f, val))
	requireTotals(t, f, 450, 450, 0, 0)

	// A native slash takes what backed the rest: now the minimum pays, and the validator is jailed.
	f.NextBlock()
	require.Equal(t, "150", slashPool(t, f, c, 1, "1").String())
	require.NoError(t, f.Staking.SetUnbondingDelegation(f.Ctx, withoutBalance(t, f, u, val)))
	f.NextBlock()
	requireTotals(t, f, 600, 600, 0, 0)
	require.EqualValues(t, 250, bonded(f, u, val))
	require.True(t, jailed(t, f, val))
	f.Blocks(3)
}

// withoutBalance burns the balance of a delegation's entries, as a slash does, and returns the record.
func withoutBalance(t *testing.T, f *testutil.Fixture, u sdk.AccAddress, val sdk.ValAddress) stakingtypes.UnbondingDelegation {
	t.Helper()
	ubd, err := f.Staking.GetUnbondingDelegation(f.Ctx, u, val)
	require.NoError(t, err)
	for i, e := range ubd.Entries {
		require.NoError(t, f.Bank.BurnCoins(f.Ctx, stakingtypes.NotBondedPoolName, sdk.NewCoins(sdk.NewCoin(testutil.Denom, e.Balance))))
		ubd.Entries[i].Balance = sdkmath.ZeroInt()
	}
	return ubd
}

// TestOperatorRaisesItsMinimumOverADebt: the smaller of the present minimum and that of the first lien counts.
func TestOperatorRaisesItsMinimumOverADebt(t *testing.T) {
	f, val, u, c := operatorSetup(t)
	require.Equal(t, "480", slashPool(t, f, c, 1, "0.8").String())
	v, err := f.Staking.GetValidator(f.Ctx, val)
	require.NoError(t, err)
	v.MinSelfDelegation = sdkmath.NewInt(1_000)
	require.NoError(t, f.Staking.SetValidator(f.Ctx, v))
	require.NoError(t, c.Unstake(u, 1, 1)) // it is settled: it owes
	f.NextBlock()
	requireTotals(t, f, 480, 480, 0, 0)
	require.EqualValues(t, 520, bonded(f, u, val))
	require.Equal(t, "120", f.Collateral(u).Collateral.String())
	// It is below the minimum it set itself: x/staking jails it for that.
	require.True(t, jailed(t, f, val))
}

// TestUnstakeOneOfHundredAfterASlash: the rest keeps what it can back, and nothing more is owed than was slashed.
func TestUnstakeOneOfHundredAfterASlash(t *testing.T) {
	f := testutil.New(t)
	val := f.Validator(1_000_000, 1)
	u := f.Delegator(val, 100)
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(1)
	require.NoError(t, c.Stake(u, 1, 100))
	f.NextBlock()
	require.Equal(t, "10", slashPool(t, f, c, 1, "0.1").String())
	require.NoError(t, c.Unstake(u, 1, 1))
	col := f.Collateral(u)
	require.Equal(t, "10", col.Debt.String())
	require.Equal(t, "90", col.MaxLien.String())
	require.Equal(t, "10", col.Budgets.String(), "9 for 89 that stay, 1 for the one that leaves")
	require.True(t, slashPool(t, f, c, 1, "0.1").IsZero(), "nobody is known to hold a budget before the walk")
	f.NextBlock()
	// Then what stays has its budget again.
	require.Equal(t, "8", slashPool(t, f, c, 1, "0.1").String())
	f.Blocks(2)
	requireTotals(t, f, 18, 19, 0, 0) // both rounded up
	require.EqualValues(t, 81, bonded(f, u, val))
}

// TestShortfall: only what nothing at all is left to pay is a shortfall, and then it holds up nobody.
func TestShortfall(t *testing.T) {
	f := testutil.New(t)
	f.SetNativeRatio("0")
	rich := f.Validator(1_000_000_000, 1)
	val := f.Validator(10_000_000, 1)
	u := f.Delegator(val, 1_000)
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() })
	c.Bond(1)
	require.NoError(t, c.Stake(u, 1, 1_000))
	f.NextBlock()
	// Its turn does not come before a native slash takes nine tenths.
	f.Unburnable[string(u)] = true
	require.Equal(t, "800", slashPool(t, f, c, 1, "0.8").String())
	f.NextBlock()
	f.NativeSlash(val, 0, "0.9")
	f.NextBlock()
	require.EqualValues(t, 100, bonded(f, u, val))
	requireTotals(t, f, 800, 0, 800, 0)
	// While the delegation cannot be taken, nothing is forgiven.
	f.Blocks(3)
	requireTotals(t, f, 800, 0, 800, 0)
	delete(f.Unburnable, string(u))
	f.NextBlock()
	requireTotals(t, f, 800, 100, 0, 700)
	res, err := f.Queries.Shortfalls(f.Ctx, &types.QueryShortfallsRequest{})
	require.NoError(t, err)
	require.Equal(t, []types.ShortfallView{{Delegator: u.String(), Amount: sdkmath.NewInt(700)}}, res.Shortfalls)
	col := f.Collateral(u)
	require.Equal(t, []string{"0", "0", "0"}, []string{col.Debt.String(), col.MaxLien.String(), col.Collateral.String()})
	require.False(t, col.Barred, "slashes explain it")
	require.Empty(t, export(t, f).Pools)
	// It may begin anew.
	f.Fund(u, sdkmath.NewInt(500))
	require.NoError(t, f.Delegate(u, rich, 500))
	require.NoError(t, c.Stake(u, 1, 500))
	f.NextBlock()
}

// TestShortfallEvent: it is emitted once.
func TestShortfallEvent(t *testing.T) {
	f := testutil.New(t)
	f.SetNativeRatio("0")
	f.Validator(1_000_000_000, 1)
	val := f.Validator(10_000_000, 1)
	u := f.Delegator(val, 1_000)
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() })
	c.Bond(1)
	require.NoError(t, c.Stake(u, 1, 1_000))
	f.NextBlock()
	f.NativeSlash(val, 0, "1")
	slashPool(t, f, c, 1, "1")
	require.NoError(t, f.Provider.EndBlocker(f.Ctx))
	require.EqualValues(t, 1, countEvents(f, "mesh.provider.v1.EventShortfall"))
	require.NoError(t, f.Provider.EndBlocker(f.Ctx))
	require.EqualValues(t, 1, countEvents(f, "mesh.provider.v1.EventShortfall"))
	requireTotals(t, f, 1_000, 0, 0, 1_000)
	f.NextBlock()
}

func countEvents(f *testutil.Fixture, kind string) (n int) {
	for _, e := range f.Ctx.EventManager().Events() {
		if e.Type == kind {
			n++
		}
	}
	return n
}

// TestExchangeRates: with validators slashed before, what is burned is exactly what is owed, to the unit.
func TestExchangeRates(t *testing.T) {
	for _, fraction := range []string{"0.000001", "0.333333", "0.07", "0.999"} {
		t.Run(fraction, func(t *testing.T) {
			f := testutil.New(t)
			f.SetNativeRatio("0")
			val := f.Validator(1_000_000_000, 1)
			us := []sdk.AccAddress{f.Delegator(val, 1_000_003), f.Delegator(val, 7_777_777), f.Delegator(val, 13)}
			f.NextBlock()
			f.NativeSlash(val, 0, fraction)
			c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() })
			c.Bond(1)
			staked := false
			for _, u := range us {
				if n := f.Collateral(u).Bonded.Int64(); n > 0 {
					require.NoError(t, c.Stake(u, 1, n))
					staked = true
				}
			}
			require.True(t, staked)
			f.NextBlock()
			for _, part := range []string{"0.01", "0.377", "0.9"} {
				slashPool(t, f, c, 1, part)
				before := supply(f)
				f.Blocks(2)
				s := export(t, f).Totals
				require.Equal(t, s.Owed.String(), s.Burned.String())
				require.True(t, s.Debt.IsZero() && s.Shortfall.IsZero())
				require.True(t, before.GT(supply(f)))
			}
		})
	}
}

// TestCommunityPool: slashed collateral goes there if governance wants it; if that fails it is burned.
func TestCommunityPool(t *testing.T) {
	f, val, u, c := setup(t)
	f.SetParams(func(p *types.Params) { p.SlashDestination = types.SLASH_DESTINATION_COMMUNITY_POOL })
	require.NoError(t, c.Stake(u, 1, 1_000))
	f.NextBlock()
	before := supply(f)
	require.NoError(t, f.Undelegate(u, val, 980)) // from a delegation and an entry
	slashPool(t, f, c, 1, "0.1")
	f.NextBlock()
	requireTotals(t, f, 100, 100, 0, 0)
	require.Equal(t, before.String(), supply(f).String())
	pool, err := f.Distr.FeePool.Get(f.Ctx)
	require.NoError(t, err)
	require.Equal(t, "100.000000000000000000"+testutil.Denom, pool.CommunityPool.String())

	f.Provider.ConnectDistribution(brokenDistribution{})
	slashPool(t, f, c, 1, "0.1")
	f.NextBlock()
	requireTotals(t, f, 190, 190, 0, 0)
	require.Equal(t, "90", before.Sub(supply(f)).String())
}

type brokenDistribution struct{ types.DistributionKeeper }

// TestRewards: submitters are paid from the first burns, the oldest slash first; who cannot receive coins gets nothing.
func TestRewards(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 1_000))
	f.NextBlock()
	first, second := f.Address(), f.Address()
	blocked := authtypes.NewModuleAddress(stakingtypes.BondedPoolName)
	for id, r := range map[uint64]types.SubmitterReward{
		3: {SlashId: 3, Submitter: first, Left: sdkmath.NewInt(30)},
		4: {SlashId: 4, Submitter: blocked, Left: sdkmath.NewInt(30)},
		5: {SlashId: 5, Submitter: second, Left: sdkmath.NewInt(80)},
	} {
		require.NoError(t, f.Provider.Rewards.Set(f.Ctx, id, r))
	}
	require.NoError(t, f.Provider.NextSlashID.Set(f.Ctx, 9))
	res, err := f.Queries.Settlement(f.Ctx, &types.QuerySettlementRequest{})
	require.NoError(t, err)
	require.Equal(t, "140", res.Rewards.String())
	before := supply(f)
	slashPool(t, f, c, 1, "0.1")
	f.NextBlock()
	s := requireTotals(t, f, 100, 100, 0, 0)
	require.Equal(t, "30", f.Balance(first).String())
	require.Equal(t, "70", f.Balance(second).String())
	require.Equal(t, "100", s.Rewarded.String())
	require.Equal(t, before.String(), supply(f).String())
	left := export(t, f).Rewards
	require.Equal(t, []types.SubmitterReward{{SlashId: 5, Submitter: second, Left: sdkmath.NewInt(10)}}, left)
	slashPool(t, f, c, 1, "0.1")
	f.NextBlock()
	s = requireTotals(t, f, 190, 190, 0, 0)
	require.Equal(t, "80", f.Balance(second).String())
	require.Equal(t, "110", s.Rewarded.String())
	require.Equal(t, "80", before.Sub(supply(f)).String())
	require.Empty(t, export(t, f).Rewards)
}

// TestBatchIsSettledByItsWalk: nobody in it is topped up, its g does not rise, and without tokens it is deleted.
func TestBatchIsSettledByItsWalk(t *testing.T) {
	f, val, u, c := setup(t)
	w := f.Delegator(val, 1_000)
	for _, x := range []sdk.AccAddress{u, w} {
		require.NoError(t, c.Stake(x, 1, 1_000))
		require.NoError(t, c.Unstake(x, 1, 1_000))
	}
	id := c.Batches()[0].Batch.Id
	x, err := f.Provider.SlashOne(f.Ctx, id, sdkmath.LegacyNewDecWithPrec(5, 2))
	require.NoError(t, err)
	require.Equal(t, "100", x.String())
	require.NoError(t, f.Provider.Walks.Set(f.Ctx, id, types.PoolWalk{PoolId: id, Rate: sdkmath.ZeroInt(), SlashIndex: sdkmath.ZeroInt()}))
	pool, err := f.Provider.Pools.Get(f.Ctx, id)
	require.NoError(t, err)
	f.Blocks(2)
	requireTotals(t, f, 100, 100, 0, 0)
	after, err := f.Provider.Pools.Get(f.Ctx, id)
	require.NoError(t, err)
	require.Equal(t, pool.BudgetPerShare, after.BudgetPerShare)
	require.Equal(t, pool.Tokens, after.Tokens)
	require.Empty(t, export(t, f).Walks)
	require.EqualValues(t, 950, bonded(f, u, val))

	// All of it: 5 % twice more, and the rest by hand, since no more than the budgets can be taken.
	after.Tokens = sdkmath.ZeroInt()
	require.NoError(t, f.Provider.Pools.Set(f.Ctx, id, after))
	require.NoError(t, f.Provider.Walks.Set(f.Ctx, id, types.PoolWalk{PoolId: id, Rate: sdkmath.ZeroInt(), SlashIndex: after.SlashIndex}))
	m, err := f.Provider.Meters.Get(f.Ctx, c.ClientID)
	require.NoError(t, err)
	m.Batches = sdkmath.ZeroInt()
	require.NoError(t, f.Provider.Meters.Set(f.Ctx, c.ClientID, m))
	f.Blocks(2)
	require.Empty(t, export(t, f).Pools)
	require.Empty(t, export(t, f).Positions)
}

// TestNativeSlashWalk: whoever a native slash hits is evaluated: by a delegation, an entry, or a redelegation, also one to
// a validator that is gone; those without liens are passed over.
func TestNativeSlashWalk(t *testing.T) {
	f := testutil.New(t)
	f.SetNativeRatio("0")
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 100 })
	other := f.Validator(500_000_000, 1)
	val := f.Validator(100_000_000, 1)
	gone := f.Validator(1_000, 1)
	var us []sdk.AccAddress
	for range 12 {
		us = append(us, f.Delegator(val, 1_000_000))
		f.Delegator(val, 5) // without liens
	}
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(1)
	infraction := f.Ctx.BlockHeight()
	v, err := f.Staking.GetValidator(f.Ctx, val)
	require.NoError(t, err)
	power := v.ConsensusPower(f.Staking.PowerReduction(f.Ctx))
	for _, u := range us {
		require.NoError(t, c.Stake(u, 1, 1_000_000))
	}
	f.NextBlock()
	for i, u := range us {
		switch i % 3 {
		case 1:
			require.NoError(t, f.Undelegate(u, val, 1_000_000))
		case 2:
			require.NoError(t, f.Redelegate(u, val, other, 1_000_000))
		}
	}
	// A validator that a redelegation went to, and from which everything has left again.
	stranger := f.Delegator(val, 1_000)
	require.NoError(t, f.Redelegate(stranger, val, gone, 1_000))
	f.NextBlock()
	require.NoError(t, f.Undelegate(stranger, gone, 1_000))
	require.NoError(t, f.Undelegate(sdk.AccAddress(gone), gone, 1_000))
	_, err = f.Staking.GetValidator(f.Ctx, gone)
	require.ErrorIs(t, err, stakingtypes.ErrNoValidatorFound, "it had no power")
	f.NextBlock()

	f.NativeSlashPower(val, f.Ctx.BlockHeight()-infraction, power, "0.2")
	require.Len(t, export(t, f).NativeSlashWalks, 1)
	res, err := f.Queries.Settlement(f.Ctx, &types.QuerySettlementRequest{})
	require.NoError(t, err)
	require.Len(t, res.NativeSlashWalks, 1)
	blocks := 0
	for ; len(export(t, f).NativeSlashWalks) > 0; blocks++ {
		f.NextBlock()
		require.Less(t, blocks, 100)
	}
	require.Greater(t, blocks, 3, "page by page")
	f.Blocks(3)
	for i, u := range us {
		col := f.Collateral(u)
		// x/staking counts whole units of power.
		require.InDelta(t, 800_000, col.Collateral.Int64(), 5, "%d", i)
		require.Equal(t, col.Collateral.String(), col.MaxLien.String(), "%d", i)
		require.False(t, col.Barred)
	}
	require.InDelta(t, 9_600_000, c.Pool(1).Tokens.Int64(), 60)
}

// TestNativeSlashWalkGoesOn: a slash while the walk runs does not send it back to its beginning.
func TestNativeSlashWalkGoesOn(t *testing.T) {
	f := testutil.New(t)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 40 })
	f.Validator(500_000_000, 1)
	val := f.Validator(100_000_000, 1)
	for range 10 {
		f.Delegator(val, 1_000)
	}
	f.NextBlock()
	f.NativeSlash(val, 0, "0.01")
	f.Blocks(3)
	w := export(t, f).NativeSlashWalks[0]
	require.NotEmpty(t, w.NextKey)
	f.NativeSlash(val, 0, "0.01")
	again := export(t, f).NativeSlashWalks[0]
	require.Equal(t, w.NextKey, again.NextKey)
	require.True(t, again.Again)
	f.Blocks(60)
	require.Empty(t, export(t, f).NativeSlashWalks)
	require.NoError(t, f.Provider.MarkSlashed(f.Ctx, sdk.ConsAddress("unknown, 20 bytes....")))
	require.Empty(t, export(t, f).NativeSlashWalks)
}

// TestFlowsOfBurns: burned delegations are logged, entries are not, and old records go when no slash can ask for them.
func TestFlowsOfBurns(t *testing.T) {
	f, val, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 1_000))
	f.NextBlock()
	require.NoError(t, f.Undelegate(u, val, 960))
	at := f.Ctx.BlockHeight()
	slashPool(t, f, c, 1, "0.1")
	f.NextBlock()
	left, came, err := f.Provider.Flow.Since(f.Ctx, val, at)
	require.NoError(t, err)
	require.Equal(t, []string{"40", "0"}, []string{left.String(), came.String()}, "60 came from the entry")
	left, _, err = f.Provider.Flow.Since(f.Ctx, val, at+1)
	require.NoError(t, err)
	require.True(t, left.IsZero())
	require.Len(t, export(t, f).OwnHeights, 1)
	f.Skip(testutil.Unbonding - time.Hour)
	require.Len(t, export(t, f).OwnHeights, 1)
	f.Skip(3 * time.Hour)
	require.Empty(t, export(t, f).OwnHeights)
	queued, err := f.Provider.Flow.Queued(f.Ctx, f.Ctx.BlockHeight())
	require.NoError(t, err)
	require.False(t, queued)
	require.Len(t, export(t, f).Flows, 1, "the base of later sums")
}

// TestNativeSlashAfterABurn: a later native slash takes its fraction of everybody, as if what was burned had gone through
// an entry.
func TestNativeSlashAfterABurn(t *testing.T) {
	f := testutil.New(t)
	f.SetNativeRatio("0")
	f.Validator(1_000_000_000, 1)
	val := f.Validator(10_000_000, 1)
	u := f.Delegator(val, 10_000_000)
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() })
	c.Bond(1)
	require.NoError(t, c.Stake(u, 1, 9_000_000))
	f.NextBlock()
	infraction := f.Ctx.BlockHeight()
	slashPool(t, f, c, 1, "1")
	f.NextBlock()
	require.EqualValues(t, 1_000_000, bonded(f, u, val))
	left, _, err := f.Provider.Flow.Since(f.Ctx, val, infraction)
	require.NoError(t, err)
	require.Equal(t, "9000000", left.String(), "what the decorator takes off the power")
}

// TestDebtsByAge: the query and the queue agree, page by page.
func TestDebtsByAge(t *testing.T) {
	f, val, _, c := setup(t)
	var us []sdk.AccAddress
	for range 5 {
		us = append(us, f.Delegator(val, 1_000))
	}
	slices.Reverse(us) // not in the order of addresses
	for _, u := range us {
		require.NoError(t, c.Stake(u, 1, 1_000))
		f.Unburnable[string(u)] = true
	}
	f.NextBlock()
	slashOnly(t, f, c, 1, "0.001")
	require.NoError(t, f.Provider.Walks.Clear(f.Ctx, nil))
	start := f.Ctx.BlockTime()
	for _, u := range us {
		require.NoError(t, c.Unstake(u, 1, 1)) // settles one in each block
		f.NextBlock()
	}
	var got []string
	page := &query.PageRequest{Limit: 2}
	for {
		res, err := f.Queries.Debts(f.Ctx, &types.QueryDebtsRequest{Pagination: page})
		require.NoError(t, err)
		for _, d := range res.Debts {
			got = append(got, d.Delegator)
			require.Equal(t, "1", d.Amount.String())
		}
		if page.Key = res.Pagination.NextKey; page.Key == nil {
			break
		}
	}
	var want []string
	for _, u := range us {
		want = append(want, u.String())
	}
	require.Equal(t, want, got)
	res, err := f.Queries.Settlement(f.Ctx, &types.QuerySettlementRequest{})
	require.NoError(t, err)
	require.Equal(t, start, res.OldestDebt)
	require.EqualValues(t, 5, res.Totals.Debtors)
	_, err = f.Queries.Debts(f.Ctx, nil)
	require.Error(t, err)
	_, err = f.Queries.Shortfalls(f.Ctx, nil)
	require.Error(t, err)
}

// TestSettlementGenesis exports with debts, a cursor, rewards, shortfalls, walks and flows in flight, imports that into a
// fresh store, and goes on to the same end.
func TestSettlementGenesis(t *testing.T) {
	f, late := midSettlement(t)
	g := export(t, f)
	require.NoError(t, g.Validate())
	require.NotEmpty(t, g.Debts)
	require.NotNil(t, g.DebtCursor)
	require.NotEmpty(t, g.Rewards)
	require.NotEmpty(t, g.Shortfalls)
	require.NotEmpty(t, g.NativeSlashWalks)
	require.NotEmpty(t, g.OwnHeights)
	require.NotEmpty(t, g.Flows)
	bz, err := f.Codec.MarshalJSON(g)
	require.NoError(t, err)
	var again types.GenesisState
	require.NoError(t, f.Codec.UnmarshalJSON(bz, &again))
	before := f.Store(types.StoreKey)
	f.Clear(types.StoreKey)
	require.NoError(t, f.Provider.InitGenesis(f.Ctx, again))
	require.Equal(t, before, f.Store(types.StoreKey), "every key and value")
	require.Equal(t, g, export(t, f))
	for _, u := range late {
		delete(f.Unburnable, string(u))
	}
	f.Blocks(60)
	s := export(t, f).Totals
	require.True(t, s.Debt.IsZero())
	require.Equal(t, s.Owed.String(), s.Burned.Add(s.Shortfall).String())
}

// midSettlement returns a chain in the middle of settling, and the delegators of whom most cannot be made to pay.
func midSettlement(t *testing.T) (*testutil.Fixture, []sdk.AccAddress) {
	t.Helper()
	f := testutil.New(t)
	f.SetNativeRatio("0")
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 20 })
	f.Validator(1_000_000_000, 1)
	val := f.Validator(100_000_000, 1)
	poor := f.Validator(2_000_000, 1)
	u, w := f.Delegator(val, 1_000), f.Delegator(poor, 1_000)
	late := []sdk.AccAddress{u}
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() })
	c.Bond(2)
	require.NoError(t, c.Stake(w, 2, 1_000))
	require.NoError(t, c.Stake(u, 1, 1_000))
	for range 12 {
		x := f.Delegator(val, 1_000)
		require.NoError(t, c.Stake(x, 1, 1_000))
		late = append(late, x)
	}
	f.Blocks(3)
	f.NativeSlash(poor, 0, "1")
	slashPool(t, f, c, 2, "1")
	f.Blocks(6)
	for _, x := range late {
		f.Unburnable[string(x)] = true
	}
	require.NoError(t, f.Provider.Rewards.Set(f.Ctx, 1, types.SubmitterReward{SlashId: 1, Submitter: f.Address(), Left: sdkmath.NewInt(5_000)}))
	require.NoError(t, f.Provider.NextSlashID.Set(f.Ctx, 2))
	slashPool(t, f, c, 1, "0.2")
	f.Blocks(5)
	// Two can be paid now; the steps do not suffice for the others in one block.
	delete(f.Unburnable, string(late[1]))
	delete(f.Unburnable, string(late[2]))
	f.Blocks(12)
	f.NativeSlash(val, 0, "0.0001")
	for range 20 {
		f.NextBlock()
		if has, err := f.Provider.DebtCursor.Has(f.Ctx); err == nil && has {
			return f, late
		}
	}
	require.Fail(t, "no block leaves the cursor behind a debtor that is stuck")
	return nil, nil
}

func TestSettlementGenesisRefused(t *testing.T) {
	f, _ := midSettlement(t)
	for name, change := range map[string]func(g *types.GenesisState){
		"sum missing":           func(g *types.GenesisState) { g.Totals.Slashed = sdkmath.Int{} },
		"sum negative":          func(g *types.GenesisState) { g.Totals.Burned = sdkmath.NewInt(-1) },
		"sums do not add up":    func(g *types.GenesisState) { g.Totals.Owed = g.Totals.Owed.AddRaw(1) },
		"rewarded beyond burns": func(g *types.GenesisState) { g.Totals.Rewarded = g.Totals.Burned.AddRaw(1) },
		"debtors":               func(g *types.GenesisState) { g.Totals.Debtors++ },
		"debt not queued":       func(g *types.GenesisState) { g.Debts = g.Debts[1:] },
		"debt twice":            func(g *types.GenesisState) { g.Debts[1] = g.Debts[0] },
		"debt of nobody":        func(g *types.GenesisState) { g.Debts[0].Delegator = []byte("nobody") },
		"debt at another time":  func(g *types.GenesisState) { g.Debts[0].Time = g.Debts[0].Time.Add(1) },
		"debts out of order":    func(g *types.GenesisState) { slices.Reverse(g.Debts) },
		"cursor":                func(g *types.GenesisState) { g.DebtCursor = &types.DebtRecord{} },
		"walk twice":            func(g *types.GenesisState) { g.NativeSlashWalks = append(g.NativeSlashWalks, g.NativeSlashWalks[0]) },
		"walk's stage":          func(g *types.GenesisState) { g.NativeSlashWalks[0].Stage = 3 },
		"reward of the future":  func(g *types.GenesisState) { g.Rewards[0].SlashId = g.NextSlashId },
		"reward of nothing":     func(g *types.GenesisState) { g.Rewards[0].Left = sdkmath.ZeroInt() },
		"reward of nobody":      func(g *types.GenesisState) { g.Rewards[0].Submitter = nil },
		"shortfall sum":         func(g *types.GenesisState) { g.Shortfalls[0].Amount = g.Shortfalls[0].Amount.AddRaw(1) },
		"shortfall twice":       func(g *types.GenesisState) { g.Shortfalls = append(g.Shortfalls, g.Shortfalls[0]) },
		"own heights":           func(g *types.GenesisState) { g.OwnHeights = append(g.OwnHeights, g.OwnHeights[0]) },
	} {
		g := export(t, f)
		require.NoError(t, g.Validate(), name)
		change(g)
		require.ErrorIs(t, g.Validate(), types.ErrInvalidGenesis, name)
	}
}

// TestSettlementInvariantsSeeErrors: each is broken once.
func TestSettlementInvariantsSeeErrors(t *testing.T) {
	for name, breaks := range map[string]func(t *testing.T, f *testutil.Fixture, u sdk.AccAddress){
		"forgiven": func(t *testing.T, f *testutil.Fixture, u sdk.AccAddress) {
			t.Helper()
			a, err := f.Provider.Accounts.Get(f.Ctx, u)
			require.NoError(t, err)
			a.Debt = a.Debt.SubRaw(1)
			require.NoError(t, f.Provider.Accounts.Set(f.Ctx, u, a))
		},
		"not queued": func(t *testing.T, f *testutil.Fixture, _ sdk.AccAddress) {
			t.Helper()
			require.NoError(t, f.Provider.DebtQueue.Clear(f.Ctx, nil))
		},
		"queued twice": func(t *testing.T, f *testutil.Fixture, u sdk.AccAddress) {
			t.Helper()
			require.NoError(t, f.Provider.DebtQueue.Set(f.Ctx, collections.Join(uint64(1), u)))
		},
		"slashed more": func(t *testing.T, f *testutil.Fixture, _ sdk.AccAddress) {
			t.Helper()
			s, err := f.Provider.Totals.Get(f.Ctx)
			require.NoError(t, err)
			s.Slashed = s.Slashed.AddRaw(100)
			require.NoError(t, f.Provider.Totals.Set(f.Ctx, s))
		},
		"shortfalls": func(t *testing.T, f *testutil.Fixture, u sdk.AccAddress) {
			t.Helper()
			require.NoError(t, f.Provider.Shortfalls.Set(f.Ctx, u, types.Shortfall{Delegator: u, Amount: sdkmath.OneInt()}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, late := midSettlement(t)
			require.NoError(t, f.Provider.CheckInvariants(f.Ctx, keeper.InvariantSettlement))
			breaks(t, f, late[0])
			require.ErrorIs(t, f.Provider.CheckInvariants(f.Ctx, keeper.InvariantSettlement), types.ErrInvariant)
		})
	}
}

// TestCollateralSlashedUnderUnbondingStake: what a native slash took from under stake that is unbonding cannot be cut, and
// stays missing; that is no escape, however often it is looked at.
func TestCollateralSlashedUnderUnbondingStake(t *testing.T) {
	f := testutil.New(t)
	f.Validator(500_000_000, 1)
	val := f.Validator(10_000_000, 1)
	u := f.Delegator(val, 1_000_000)
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(1)
	require.NoError(t, c.Stake(u, 1, 1_000_000))
	require.NoError(t, c.Unstake(u, 1, 1_000_000))
	f.NextBlock()
	f.NativeSlash(val, 0, "0.5")
	f.Blocks(3)
	require.Equal(t, "500000", f.Collateral(u).Collateral.String())
	for range 3 {
		require.NoError(t, f.Undelegate(u, val, 100_000))
		f.Blocks(2)
		require.False(t, f.Collateral(u).Barred)
	}
	require.Equal(t, 3, held(f, u, val))
	// What goes missing on top of it is one.
	d, err := f.Staking.GetDelegation(f.Ctx, u, val)
	require.NoError(t, err)
	require.NoError(t, f.Staking.RemoveDelegation(f.Ctx, d))
	d.DelegatorAddress = f.Address().String()
	require.NoError(t, f.Staking.SetDelegation(f.Ctx, d))
	require.NoError(t, f.Provider.Marked.Set(f.Ctx, u))
	f.Blocks(2)
	require.True(t, f.Collateral(u).Barred)
}

// TestWalkOfAPoolThatItEmpties: where many walks share the steps of a block, and the one member that a walk has a step for
// leaves an empty pool, the walk is gone with the pool, and the chain can be started from an export of that height.
func TestWalkOfAPoolThatItEmpties(t *testing.T) {
	f := testutil.New(t)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 20 })
	val := f.Validator(1_000_000, 1)
	us := []sdk.AccAddress{f.Delegator(val, 100_000), f.Delegator(val, 100_000)}
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyOneDec() })
	c.Bond(20)
	for n := range 20 {
		require.NoError(t, c.Stake(us[n%2], n+1, 1_000))
	}
	f.NextBlock()
	for n := range 20 {
		slashPool(t, f, c, n+1, "1")
	}
	for block := range 40 {
		f.NextBlock()
		require.NoError(t, export(t, f).Validate(), "block %d", block)
	}
	require.Empty(t, export(t, f).Pools)
}
