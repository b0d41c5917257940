package types_test

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/x/consumer/types"
)

func dec(s string) sdkmath.LegacyDec { return sdkmath.LegacyMustNewDecFromStr(s) }

func integer(s string) sdkmath.Int {
	i, ok := sdkmath.NewIntFromString(s)
	if !ok {
		panic(s)
	}
	return i
}

func TestValue(t *testing.T) {
	const two63, e30, max128 = "9223372036854775808", "1000000000000000000000000000000", "340282366920938463463374607431768211455"
	for name, tc := range map[string]struct {
		amount, price, discount string
		native, collateral      uint32
		want                    string
	}{
		"one to one":                       {"1000000", "1", "0", 6, 6, "1000000"},
		"price":                            {"1000000", "0.45", "0", 6, 6, "450000"},
		"discount":                         {"1000000", "1", "0.1", 6, 6, "900000"},
		"price and discount":               {"1000000", "0.45", "0.1", 6, 6, "405000"},
		"rounded down once":                {"3", "0.5", "0.5", 6, 6, "0"},
		"rounded down, not nearest":        {"199", "0.01", "0", 6, 6, "1"},
		"two roundings would give nothing": {"10", "0.1", "0", 6, 6, "1"},
		"more native decimals":             {"1", "1", "0", 18, 6, "1000000000000"},
		"more collateral decimals":         {"1000000000000000000", "2", "0", 6, 18, "2000000"},
		"more collateral decimals, down":   {"1999999999999", "1", "0", 6, 18, "1"},
		"price before decimals":            {"999999999999", "3", "0", 6, 18, "2"},
		"zero":                             {"0", "1000000000000000000", "0", 30, 0, "0"},
		"one, smallest price":              {"1", "0.000000000000000001", "0", 18, 0, "1"},
		"one, highest price":               {"1", "1000000000000000000", "0", 0, 0, "1000000000000000000"},
		"2^63":                             {two63, "0.333333333333333333", "0", 6, 6, "3074457345618258599"},
		"10^30":                            {e30, "0.000001", "0.25", 6, 18, "750000000000"},
		"largest of everything":            {max128, "1000000000000000000", "0", 30, 0, max128 + "000000000000000000000000000000000000000000000000"},
		"largest discount":                 {two63, "1", "0.999999999999999999", 6, 6, "9"},
	} {
		t.Run(name, func(t *testing.T) {
			got := types.Value(integer(tc.amount), dec(tc.price), dec(tc.discount), tc.native, tc.collateral)
			require.Equal(t, tc.want, got.String())
		})
	}
}

func TestCaps(t *testing.T) {
	for name, tc := range map[string]struct {
		ratio string
		base  string
		want  string
	}{
		"a quarter":       {"0.25", "300", "100"},
		"rounded down":    {"0.25", "299", "99"},
		"nothing":         {"0", "1000", "0"},
		"no base":         {"0.25", "0", "0"},
		"negative base":   {"0.25", "-5", "0"},
		"one third, less": {"0.333333333333333333", "1000000", "499999"},
		"one":             {"0.5", "1", "1"},
		"10^30":           {"0.1", "1000000000000000000000000000000", "111111111111111111111111111111"},
	} {
		t.Run(name, func(t *testing.T) {
			limit := types.RatioCap(dec(tc.ratio), integer(tc.base))
			require.Equal(t, tc.want, limit.String())
			// With the cap used up the share is at most the ratio, and with one token more it is not.
			if base := integer(tc.base); base.IsPositive() {
				share := func(x *big.Int) bool {
					i := sdkmath.NewIntFromBigInt(x)
					whole := new(big.Int).Mul(i.Add(base).BigInt(), dec(tc.ratio).BigInt())
					return new(big.Int).Mul(x, big.NewInt(1_000_000_000_000_000_000)).Cmp(whole) <= 0
				}
				require.True(t, share(limit))
				require.False(t, share(new(big.Int).Add(limit, big.NewInt(1))))
			}
		})
	}
	c := types.ProviderConfig{MaxCap: sdkmath.NewInt(50), MaxPowerRatio: dec("0.25")}
	require.Equal(t, "50", types.ProviderCap(c, sdkmath.NewInt(300)).String())
	require.Equal(t, "40", types.ProviderCap(c, sdkmath.NewInt(120)).String())
	require.Equal(t, "0", types.MultipleCap(dec("3"), sdkmath.NewInt(-1)).String())
	require.Equal(t, "0", types.MultipleCap(dec("0"), sdkmath.NewInt(5)).String())
	require.Equal(t, "7", types.MultipleCap(dec("1.5"), sdkmath.NewInt(5)).String())
}

func TestAfterSlash(t *testing.T) {
	for _, tc := range [][3]string{
		{"100", "0.05", "95"},
		{"1", "0.000000000000000001", "0"},
		{"99", "0.01", "98"},
		{"100", "0", "100"},
		{"100", "1", "0"},
		{"100", "1.5", "0"},
		{"9223372036854775808", "0.5", "4611686018427387904"},
		{"1000000000000000000000000000000", "0.1", "900000000000000000000000000000"},
	} {
		require.Equal(t, tc[2], types.AfterSlash(integer(tc[0]), dec(tc[1])).String(), "%v", tc)
	}
}

func TestFallback(t *testing.T) {
	for _, tc := range [][4]string{ // current, amount, executed → target
		{"100", "50", "100", "50"},
		{"100", "100", "100", "100"},
		{"100", "200", "100", "100"},
		{"100", "0", "100", "0"},
		{"100", "5", "0", "0"},
		{"0", "5", "5", "0"},
		{"100", "1", "3", "33"},
		{"1000000000000000000000000000000", "1", "9223372036854775808", "108420217248"},
	} {
		require.Equal(t, tc[3], types.Fallback(integer(tc[0]), integer(tc[1]), integer(tc[2])).String(), "%v", tc)
	}
}

func TestWant(t *testing.T) {
	base := types.WantInput{
		Amount: sdkmath.NewInt(1000), Executed: sdkmath.NewInt(1000), Current: sdkmath.NewInt(1000),
		Price: dec("1"), Usable: true, MayRise: true, ReferencePrice: dec("1"),
		Threshold: dec("0.05"), Discount: dec("0"), NativeDecimals: 6, CollateralDecimals: 6,
	}
	for name, tc := range map[string]struct {
		change func(*types.WantInput)
		want   string
		price  string
	}{
		"nothing changed":                {func(*types.WantInput) {}, "1000", "1"},
		"price rise below threshold":     {func(in *types.WantInput) { in.Price = dec("1.0499") }, "1000", "1"},
		"price rise at threshold":        {func(in *types.WantInput) { in.Price = dec("1.05") }, "1050", "1.05"},
		"price fall below threshold":     {func(in *types.WantInput) { in.Price = dec("0.951") }, "1000", "1"},
		"price fall at threshold":        {func(in *types.WantInput) { in.Price = dec("0.95") }, "950", "0.95"},
		"price falls by 90 %":            {func(in *types.WantInput) { in.Price = dec("0.1") }, "100", "0.1"},
		"amount changed, small price":    {func(in *types.WantInput) { in.Changed, in.Price = true, dec("1.01") }, "1010", "1.01"},
		"first price":                    {func(in *types.WantInput) { in.ReferencePrice, in.Price = dec("0"), dec("1.01") }, "1010", "1.01"},
		"no threshold":                   {func(in *types.WantInput) { in.Threshold, in.Price = dec("0"), dec("1.001") }, "1001", "1.001"},
		"may not rise":                   {func(in *types.WantInput) { in.MayRise, in.Price = false, dec("2") }, "1000", "2"},
		"may not rise, falls":            {func(in *types.WantInput) { in.MayRise, in.Price = false, dec("0.5") }, "500", "0.5"},
		"may not rise, decrease":         {func(in *types.WantInput) { in.MayRise, in.Changed, in.Amount = false, true, sdkmath.NewInt(10) }, "10", "1"},
		"no price":                       {func(in *types.WantInput) { in.Usable, in.Price = false, sdkmath.LegacyDec{} }, "1000", "1"},
		"no price, decrease":             {func(in *types.WantInput) { in.Usable, in.Amount = false, sdkmath.NewInt(250) }, "250", "1"},
		"no price, increase":             {func(in *types.WantInput) { in.Usable, in.Amount = false, sdkmath.NewInt(9999) }, "1000", "1"},
		"capped before: value in full":   {func(in *types.WantInput) { in.Current = sdkmath.NewInt(10) }, "1000", "1"},
		"small price while capped below": {func(in *types.WantInput) { in.Current, in.Price = sdkmath.NewInt(10), dec("1.01") }, "1000", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			in := base
			tc.change(&in)
			got, price := types.Want(in)
			require.Equal(t, tc.want, got.String())
			require.Equal(t, dec(tc.price).String(), price.String())
		})
	}
}

func bigs(values ...int64) []*big.Int {
	out := make([]*big.Int, len(values))
	for i, v := range values {
		out[i] = big.NewInt(v)
	}
	return out
}

func TestScale(t *testing.T) {
	for name, tc := range map[string]struct {
		values []int64
		limit  int64
		want   []int64
	}{
		"within":                       {[]int64{1, 2, 3}, 6, []int64{1, 2, 3}},
		"none":                         {nil, 0, []int64{}},
		"zero limit":                   {[]int64{1, 2}, 0, []int64{0, 0}},
		"negative limit":               {[]int64{1, 2}, -1, []int64{0, 0}},
		"exact":                        {[]int64{10, 20, 30}, 30, []int64{5, 10, 15}},
		"ties: the first":              {[]int64{1, 1, 1}, 2, []int64{1, 1, 0}},
		"ties: the first one":          {[]int64{1, 1, 1}, 1, []int64{1, 0, 0}},
		"largest remainder first":      {[]int64{10, 15, 5}, 10, []int64{3, 5, 2}},
		"zeros get nothing":            {[]int64{0, 7, 0, 7, 7}, 10, []int64{0, 4, 0, 3, 3}},
		"remainders 0.8, 0.4, 0.8":     {[]int64{4, 2, 4}, 7, []int64{3, 1, 3}},
		"one token among many, larger": {[]int64{1, 1, 2}, 1, []int64{0, 0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			values := bigs(tc.values...)
			types.Scale(values, big.NewInt(tc.limit))
			require.Equal(t, len(tc.want), len(values))
			for i := range values {
				require.Equal(t, tc.want[i], values[i].Int64(), "%d: %v", i, values)
			}
		})
	}
}

func TestScaleIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "n")
		values, before := make([]*big.Int, n), make([]*big.Int, n)
		sum := new(big.Int)
		for i := range values {
			v := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 24).Draw(t, "v"))
			values[i], before[i] = v, new(big.Int).Set(v)
			sum.Add(sum, v)
		}
		limit := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 25).Draw(t, "limit"))
		types.Scale(values, limit)
		got := new(big.Int)
		for i, v := range values {
			if v.Sign() < 0 || v.Cmp(before[i]) > 0 {
				t.Fatalf("%d: %s became %s", i, before[i], v)
			}
			got.Add(got, v)
		}
		want := limit
		if sum.Cmp(limit) < 0 {
			want = sum
		}
		if got.Cmp(want) != 0 {
			t.Fatalf("sum is %s, not %s", got, want)
		}
	})
}

func TestApplyCapsInOrder(t *testing.T) {
	// Two providers on two validators. Validator 0 may have 100, provider 0 may have 60, all together 90.
	wanted := []types.Wanted{
		{Validator: 0, Provider: 0, Tokens: big.NewInt(150)},
		{Validator: 0, Provider: 1, Tokens: big.NewInt(50)},
		{Validator: 1, Provider: 0, Tokens: big.NewInt(45)},
		{Validator: 1, Provider: 1, Tokens: big.NewInt(15)},
	}
	types.ApplyCaps(wanted, bigs(100, 1000), bigs(60, 1000), big.NewInt(90))
	// After the validator's: 75, 25, 45, 15. After provider 0's (120 → 60): 37.5 and 22.5, the tie to the first: 38, 25, 22, 15.
	// After the one of all (100 → 90): 34.2, 22.5, 19.8, 13.5; what is left, two, to 0.8 and to the first 0.5.
	for i, want := range []int64{34, 23, 20, 13} {
		require.Equal(t, want, wanted[i].Tokens.Int64(), "%d", i)
	}
}
