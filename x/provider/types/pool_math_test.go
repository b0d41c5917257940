package types_test

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/x/provider/types"
)

func i(s string) sdkmath.Int {
	n, ok := sdkmath.NewIntFromString(s)
	if !ok {
		panic(s)
	}
	return n
}

func d(s string) sdkmath.LegacyDec { return sdkmath.LegacyMustNewDecFromStr(s) }

// big1 is 10^30.
const (
	e30    = "1000000000000000000000000000000"
	two63  = "9223372036854775808"
	two128 = "340282366920938463463374607431768211456"
)

func TestMul(t *testing.T) {
	for _, tc := range []struct{ amount, fraction, floor, ceil string }{
		{"0", "0.1", "0", "0"},
		{"1", "0", "0", "0"},
		{"1", "1", "1", "1"},
		{"1", "0.05", "0", "1"},
		{"100", "0.05", "5", "5"},
		{"101", "0.05", "5", "6"},
		{"99", "0.05", "4", "5"},
		{two63, "0.5", "4611686018427387904", "4611686018427387904"},
		{two63, "0.333333333333333333", "3074457345618258599", "3074457345618258600"},
		{e30, "0.000000000000000001", "1000000000000", "1000000000000"},
		{"1", "0.000000000000000001", "0", "1"},
		{two128, "1", two128, two128},
	} {
		require.Equal(t, tc.floor, types.MulFloor(i(tc.amount), d(tc.fraction)).String(), "floor %v", tc)
		require.Equal(t, tc.ceil, types.MulCeil(i(tc.amount), d(tc.fraction)).String(), "ceil %v", tc)
	}
	require.Equal(t, "3", types.MulRatioFloor(i("10"), i("1"), i("3")).String())
	require.Equal(t, "4", types.MulRatioCeil(i("10"), i("1"), i("3")).String())
	require.Equal(t, two128, types.MulRatioFloor(i(two128), i(two128), i(two128)).String())
}

func TestScaled(t *testing.T) {
	require.Equal(t, "1"+zeros(36), types.Scale().String())
	require.Equal(t, "5"+zeros(34), types.ScaledRatio(d("0.05")).String())
	require.Equal(t, "1"+zeros(18), types.ScaledRatio(d("0.000000000000000001")).String())
	third := types.ScaledQuoFloor(i("1"), i("3"))
	require.Equal(t, "0", types.ScaledMulFloor(i("3"), third).String())
	require.Equal(t, "1", types.ScaledMulCeil(i("3"), third).String())
	// What does not fit 256 bits stands for "more than any amount" and does not panic.
	require.True(t, types.ScaledQuoFloor(i(two128), i("1")).GT(i(two128)))
	require.NotPanics(t, func() { types.MulRatioFloor(types.ScaledQuoFloor(i(two128), i("1")), i(two128), i("1")) })
}

func zeros(n int) string {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil).String()[1:]
}

func pool(tokens, shares string) types.Pool {
	p := types.NewPool("c", []byte{1}, d("0.1"))
	p.Tokens, p.Shares = i(tokens), i(shares)
	return p
}

func TestShares(t *testing.T) {
	for _, tc := range []struct {
		name, tokens, shares, amount, want string
		err                                error
	}{
		{"first stake is 1:1", "0", "0", "7", "7", nil},
		{"first stake of one", "0", "0", "1", "1", nil},
		{"first stake of 2^63", "0", "0", two63, two63, nil},
		{"first stake of 10^30", "0", "0", e30, e30, nil},
		{"unslashed pool is exact", e30, e30, "12345678901234567890", "12345678901234567890", nil},
		{"after a slash of half, rounded down", "50", "100", "3", "6", nil},
		{"after a slash of a third", "2", "3", "1", "1", nil},
		{"after a rise by rounding", "4", "3", "1", "0", types.ErrAmountTooSmall},
		{"tokens all gone", "0", "3", "1", "", types.ErrPoolClosed},
		{"2^128 at once", "0", "0", two128, "", types.ErrAmountTooLarge},
		{"2^128 together", two63, two63, "340282366920938463463374607431768211455", "", types.ErrAmountTooLarge},
		{"shares past 2^128", "1", e30, e30, "", types.ErrAmountTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := pool(tc.tokens, tc.shares).SharesForStake(i(tc.amount))
			if tc.err != nil {
				require.ErrorIs(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, got.String())
		})
	}
	p := pool("50", "100")
	require.Equal(t, "5", p.ValueOf(i("11")).String())
	require.Equal(t, "0", p.ValueOf(i("1")).String())
	require.Equal(t, "0", pool("0", "0").ValueOf(i("0")).String())
	require.Equal(t, "10", p.SharesForValue(i("5"), i("11")).String())
	require.Equal(t, "5", pool("70", "100").SharesForValue(i("3"), i("100")).String(), "4.3 rounded up")
	require.Equal(t, "4", pool("70", "100").SharesForValue(i("3"), i("4")).String(), "never more than there are")
}

func TestBurnTakesAllWithTheLastShare(t *testing.T) {
	p := pool("101", "100")
	require.Equal(t, "99", p.Burn(i("99"), i("99")).String())
	require.Equal(t, "2", p.Burn(i("1"), i("1")).String())
	require.True(t, p.Tokens.IsZero() && p.Shares.IsZero())
}

func TestSlash(t *testing.T) {
	for _, tc := range []struct {
		name, tokens, shares, ratio, fraction, x, left, gLeft string
	}{
		{"whole ratio", "1000", "1000", "0.1", "0.1", "100", "900", "0"},
		{"half of the ratio", "1000", "1000", "0.1", "0.05", "50", "950", "5" + zeros(34)},
		{"more than the ratio is capped by g", "1000", "1000", "0.1", "1", "100", "900", "0"},
		{"x rounded down", "999", "999", "0.1", "0.1", "99", "900", "900900900900900900900900900900900"},
		{"dust takes nothing", "9", "9", "0.1", "0.1", "0", "9", "1" + zeros(35)},
		{"nothing there", "0", "0", "0.1", "0.1", "0", "0", "1" + zeros(35)},
		{"one", "1", "1", "1", "1", "1", "0", "0"},
		{"10^30", e30, e30, "0.05", "0.05", "5" + zeros(28), "95" + zeros(28), "0"},
		{"2^63", two63, two63, "0.5", "0.5", "4611686018427387904", "4611686018427387904", "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := pool(tc.tokens, tc.shares)
			p.BudgetPerShare = types.ScaledRatio(d(tc.ratio))
			require.Equal(t, tc.x, p.Slash(d(tc.fraction)).String())
			require.Equal(t, tc.left, p.Tokens.String())
			require.Equal(t, tc.gLeft, p.BudgetPerShare.String())
		})
	}
}

// TestSlashProperties: whatever is slashed, no position owes more than it reserved, what all owe covers what the pool
// lost, and the promise g·s never exceeds a budget by a whole token.
func TestSlashProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ratio := sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(1, 1000).Draw(t, "ratio"), 3)
		p := types.NewPool("c", []byte{1}, ratio)
		var positions []types.Position
		top := rapid.SampledFrom([]string{"1", "100", "1000000", two63, e30}).Draw(t, "top")
		for range rapid.IntRange(1, 6).Draw(t, "positions") {
			amount := types.MulRatioFloor(i(top), sdkmath.NewInt(rapid.Int64Range(1, 1_000_000).Draw(t, "amount")), sdkmath.NewInt(1_000_000)).AddRaw(1)
			shares, err := p.SharesForStake(amount)
			require.NoError(t, err)
			pos := p.NewPosition()
			pos.Budget = p.Reserve(amount, shares, ratio)
			pos.Shares = shares
			p.Mint(shares, amount)
			positions = append(positions, pos)
		}
		lost := sdkmath.ZeroInt()
		for range rapid.IntRange(1, 5).Draw(t, "slashes") {
			g := p.BudgetPerShare
			before := p.Tokens
			x := p.Slash(sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(1, 1000).Draw(t, "fraction"), 3))
			lost = lost.Add(x)
			require.Equal(t, before.Sub(x).String(), p.Tokens.String())
			require.False(t, p.BudgetPerShare.IsNegative())
			require.True(t, p.BudgetPerShare.LTE(g))
		}
		owed := sdkmath.ZeroInt()
		for _, pos := range positions {
			budget := pos.Budget
			x := p.Settle(&pos)
			require.True(t, x.LTE(budget))
			owed = owed.Add(x)
			require.True(t, pos.Budget.GTE(types.ScaledMulFloor(pos.Shares, p.BudgetPerShare)), "budget %s g·s %s", pos.Budget, types.ScaledMulCeil(pos.Shares, p.BudgetPerShare))
			require.True(t, p.Settle(&pos).IsZero())
		}
		require.True(t, owed.GTE(lost), "owed %s, lost %s", owed, lost)
		require.True(t, owed.Sub(lost).LTE(sdkmath.NewInt(int64(len(positions)))))
	})
}

func TestWalkThreshold(t *testing.T) {
	p := pool("1000", "1000")
	require.False(t, p.NeedsWalk(d("0.1")))
	p.Slash(d("0.009")) // g = 0.091, 0.9·ratio·T/S = 0.08919
	require.False(t, p.NeedsWalk(d("0.1")))
	p.Slash(d("0.002")) // x = 1: g = 0.090, threshold 0.0891
	require.False(t, p.NeedsWalk(d("0.1")))
	p.Slash(d("0.002")) // g = 0.089, threshold 0.08901
	require.True(t, p.NeedsWalk(d("0.1")))

	rate, j := p.RateFloor(), p.SlashIndex
	q := p
	q.FinishWalk(d("0.1"), rate, j)
	require.Equal(t, "989"+zeros(32), q.BudgetPerShare.String(), "0.1·0.989")
	require.False(t, q.NeedsWalk(d("0.1")))
	// A slash during the walk is not forgotten.
	p.Slash(d("0.01"))
	p.FinishWalk(d("0.1"), rate, j)
	require.Equal(t, "899"+zeros(32), p.BudgetPerShare.String(), "0.0989 − 0.009")
	p.LowerRatio(d("0.05"))
	require.Equal(t, "49"+zeros(33), p.BudgetPerShare.String(), "0.05·0.98")
	p.LowerRatio(d("0.5"))
	require.Equal(t, "49"+zeros(33), p.BudgetPerShare.String(), "never up")
}

func TestReserve(t *testing.T) {
	p := pool("100", "100") // g = 0.1
	require.Equal(t, "1", p.Reserve(i("1"), i("1"), d("0.05")).String())
	require.Equal(t, "10", p.Reserve(i("100"), i("100"), d("0.05")).String(), "never below g·s")
	require.Equal(t, "20", p.Reserve(i("100"), i("100"), d("0.2")).String())
	require.Equal(t, "0", p.Reserve(i("0"), i("0"), d("0.2")).String())
}

func TestSharesBacked(t *testing.T) {
	p := pool("100", "100")
	p.BudgetPerShare = types.ScaledRatio(d("0.05"))
	for _, tc := range []struct{ s, budget, maxValue, ratio, want string }{
		{"100", "5", "100", "0.05", "100"},
		{"99", "5", "99", "0.05", "99"},
		{"99", "4", "99", "0.05", "80"},
		{"99", "0", "99", "0.05", "0"},
		{"99", "5", "50", "0.05", "50"},
		{"99", "5", "0", "0.05", "0"},
		{"99", "9", "99", "0.3", "30"},
		{"99", "3", "99", "0", "60"}, // g·s
	} {
		require.Equal(t, tc.want, p.SharesBacked(i(tc.s), i(tc.budget), i(tc.maxValue), d(tc.ratio)).String(), "%v", tc)
	}
	p.BudgetPerShare = sdkmath.ZeroInt()
	require.Equal(t, "99", p.SharesBacked(i("99"), i("0"), i("99"), d("0")).String())
}

func TestRequiredAndNeeded(t *testing.T) {
	for _, tc := range []struct {
		name, debt, maxLien, budgets, collateral, ratio string
		required, needed, room                          string
	}{
		{"nothing", "0", "0", "0", "1000", "0.05", "50", "0", "950"},
		{"the lien counts", "0", "900", "90", "1000", "0.05", "900", "900", "950"},
		{"the budgets count", "0", "100", "951", "1000", "0.05", "1001", "1002", "950"},
		{"the native part rounded up", "0", "0", "0", "1001", "0.05", "51", "0", "950"},
		{"debt comes on top", "7", "900", "90", "1000", "0.05", "907", "907", "950"},
		{"debt beside budgets", "7", "0", "943", "1000", "0.05", "1000", "1000", "950"},
		{"native ratio one", "0", "10", "0", "1000", "1", "1000", "10", "0"},
		{"one", "0", "1", "1", "1", "0", "1", "1", "1"},
		{"2^63", "0", two63, "461168601842738791", two63, "0.05", two63, two63, "8762203435012037017"},
		{"10^30", "0", e30, "0", e30, "0.05", e30, e30, "95" + zeros(28)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ratio := d(tc.ratio)
			require.Equal(t, tc.required, types.Required(i(tc.debt), i(tc.maxLien), i(tc.budgets), i(tc.collateral), ratio).String())
			needed, ok := types.NeededCollateral(i(tc.debt), i(tc.maxLien), i(tc.budgets), ratio)
			require.True(t, ok)
			require.Equal(t, tc.needed, needed.String())
			require.Equal(t, tc.room, types.BudgetRoom(i(tc.collateral), ratio).String())
		})
	}
	_, ok := types.NeededCollateral(i("0"), i("10"), i("1"), d("1"))
	require.False(t, ok, "nothing can be reserved")
}

// TestNeededIsSmallest: NeededCollateral is the smallest collateral that satisfies Required.
func TestNeededIsSmallest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) sdkmath.Int { return sdkmath.NewInt(rapid.Int64Range(0, 1_000_000).Draw(t, name)) }
		debt, lien, budgets := draw("debt"), draw("lien"), draw("budgets")
		ratio := sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(0, 999).Draw(t, "ratio"), 3)
		c, ok := types.NeededCollateral(debt, lien, budgets, ratio)
		require.True(t, ok)
		require.True(t, types.Required(debt, lien, budgets, c, ratio).LTE(c))
		if c.IsPositive() {
			less := c.SubRaw(1)
			require.True(t, types.Required(debt, lien, budgets, less, ratio).GT(less))
		}
		if debt.Add(lien).LTE(c) {
			require.True(t, types.BudgetRoom(c, ratio).GTE(debt.Add(budgets)))
		}
	})
}
