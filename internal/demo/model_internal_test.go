package demo

import (
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"

	"github.com/mesh-security/mesh/internal/localnet"
)

func ints(values ...string) []math.Int {
	out := make([]math.Int, len(values))
	for i, v := range values {
		n, ok := math.NewIntFromString(v)
		if !ok {
			panic(v)
		}
		out[i] = n
	}
	return out
}

func spell(amounts []math.Int) []string {
	out := make([]string, len(amounts))
	for i, a := range amounts {
		out[i] = a.String()
	}
	return out
}

func testTerms(t *testing.T, p localnet.PairingSpec, providerDecimals, consumerDecimals uint32) terms {
	t.Helper()
	out, err := newTerms(p, providerDecimals, consumerDecimals, math.LegacyMustNewDecFromStr("0.33"), math.LegacyNewDec(3))
	require.NoError(t, err)
	return out
}

func TestValue(t *testing.T) {
	for _, tc := range []struct {
		name, price, discount string
		provider, consumer    uint32
		amount, want          string
	}{
		{"half less a tenth", "0.5", "0.1", 6, 6, "60000000", "27000000"},
		{"rounded down once, at the end", "0.5", "0.1", 6, 6, "1", "0"},
		{"below a unit", "0.333333333333333333", "0", 6, 6, "4", "1"},
		{"nothing", "2", "0.1", 6, 6, "0", "0"},
		{"more decimals on the consumer", "2", "0.1", 6, 18, "1", "1800000000000"},
		{"fewer decimals on the consumer", "2", "0.1", 18, 6, "999999999999", "1"},
		{"2^63", "1", "0.5", 6, 6, "9223372036854775808", "4611686018427387904"},
		{"10^30", "1000000000000000000", "0", 6, 6, "1000000000000000000000000000000", "1000000000000000000000000000000000000000000000000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := localnet.PairingSpec{Price: tc.price, Discount: tc.discount, MaxCap: "0", MaxPowerRatio: "0"}
			require.Equal(t, tc.want, testTerms(t, p, tc.provider, tc.consumer).value(ints(tc.amount)[0]).String())
		})
	}
}

func TestLimit(t *testing.T) {
	for _, tc := range []struct {
		name, ratio, maxCap, native, want string
	}{
		{"a tenth of all is a ninth of the rest", "0.1", "1000000", "820", "91"},
		{"the cap binds", "0.3", "80", "390", "80"},
		{"the global ratio binds", "0.9", "1000000", "670", "330"},
		{"none allowed", "0", "80", "390", "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := localnet.PairingSpec{Price: "1", Discount: "0", MaxCap: tc.maxCap, MaxPowerRatio: tc.ratio}
			require.Equal(t, tc.want, testTerms(t, p, 6, 6).limit(ints(tc.native)[0]).String())
		})
	}
}

func TestCut(t *testing.T) {
	for _, tc := range []struct {
		name    string
		amounts []string
		limit   string
		want    []string
	}{
		{"within the limit", []string{"3", "4"}, "7", []string{"3", "4"}},
		{"in proportion", []string{"10", "20", "30"}, "30", []string{"5", "10", "15"}},
		{"largest fraction first", []string{"3", "4", "4"}, "10", []string{"3", "4", "3"}},
		{"the first of equal ones", []string{"1", "1", "1"}, "2", []string{"1", "1", "0"}},
		{"to nothing", []string{"5", "6"}, "0", []string{"0", "0"}},
		{"huge", []string{"1000000000000000000000000000000", "2000000000000000000000000000000"}, "9223372036854775808", []string{"3074457345618258603", "6148914691236517205"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			amounts := ints(tc.amounts...)
			got := cut(amounts, ints(tc.limit)[0])
			require.Equal(t, tc.want, spell(got))
			require.Equal(t, tc.amounts, spell(amounts), "what was given stays")
		})
	}
}

func TestAllied(t *testing.T) {
	p := localnet.PairingSpec{Price: "0.5", Discount: "0.1", MaxCap: "80000000", MaxPowerRatio: "0.3"}
	validators := func(restaked ...string) []backing {
		native := ints("180000000", "120000000", "90000000")
		out := make([]backing, len(restaked))
		for i, amount := range ints(restaked...) {
			out[i] = backing{native: native[i], restaked: amount}
		}
		return out
	}
	terms := testTerms(t, p, 6, 6)
	require.Equal(t, []string{"27000000", "31500000", "9000000"}, spell(terms.allied(validators("60000000", "70000000", "20000000"))))

	capped := terms.allied(validators("90000000", "70000000", "60000000"))
	require.Equal(t, []string{"32727273", "25454545", "21818182"}, spell(capped))
	require.Equal(t, "80000000", sum(capped).String())

	// A validator with hardly any native stake cannot be given more than a
	// multiple of it, whatever else is free.
	tiny := []backing{{native: math.NewInt(1), restaked: math.NewInt(1000)}, {native: math.NewInt(1000), restaked: math.NewInt(100)}}
	require.Equal(t, []string{"3", "45"}, spell(terms.allied(tiny)))
}

func TestNewTermsRefusesWords(t *testing.T) {
	_, err := newTerms(localnet.PairingSpec{Price: "much", Discount: "0", MaxCap: "1", MaxPowerRatio: "0.1"}, 6, 6, math.LegacyZeroDec(), math.LegacyZeroDec())
	require.ErrorContains(t, err, `price "much"`)
}
