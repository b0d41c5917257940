package wiring

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sdkmath "cosmossdk.io/math"
)

func TestCorrectPower(t *testing.T) {
	for name, tc := range map[string]struct {
		power                 int64
		left, came, reduction int64
		want                  int64
	}{
		"nothing":                  {100, 0, 0, 1_000_000, 100},
		"left":                     {10_000, 9_000_000_000, 0, 1_000_000, 1_000},
		"came":                     {1_000, 0, 9_000_000_000, 1_000_000, 10_000},
		"both":                     {1_000, 500_000_000, 200_000_000, 1_000_000, 700},
		"as much as came":          {1_000, 77, 77, 1_000_000, 1_000},
		"up, little left":          {10, 400_000, 0, 1_000_000, 10},
		"up, much left":            {10, 999_999, 0, 1_000_000, 10},
		"up, little came":          {10, 0, 1, 1_000_000, 11},
		"up, much came":            {10, 0, 600_000, 1_000_000, 11},
		"a whole unit":             {10, 1_000_000, 0, 1_000_000, 9},
		"not below nothing":        {10, 10_400_000, 0, 1_000_000, 0},
		"more than there was":      {10, 11_000_000, 0, 1_000_000, 0},
		"all":                      {10, 10_000_000, 0, 1_000_000, 0},
		"another reduction":        {10, 3, 0, 1, 7},
		"more than power can hold": {math.MaxInt64, 0, math.MaxInt64, 1, math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			got := correctPower(tc.power, sdkmath.NewInt(tc.left), sdkmath.NewInt(tc.came), sdkmath.NewInt(tc.reduction))
			require.Equal(t, tc.want, got)
		})
	}
}

// TestCorrectPowerIsExactToOneUnit: CometBFT knows of whole units only, rounded down, and x/staking takes no others.
func TestCorrectPowerIsExactToOneUnit(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		reduction := rapid.Int64Range(1, 1_000_000).Draw(r, "reduction")
		there := rapid.Int64Range(0, 1<<50).Draw(r, "tokens at the infraction")
		left := rapid.Int64Range(0, there).Draw(r, "left")
		came := rapid.Int64Range(0, 1<<50).Draw(r, "came")
		got := correctPower(there/reduction, sdkmath.NewInt(left), sdkmath.NewInt(came), sdkmath.NewInt(reduction))
		off := sdkmath.NewInt(got).MulRaw(reduction).SubRaw(there - left + came).Abs()
		require.True(r, off.LT(sdkmath.NewInt(reduction)), "%d units of %d are off by %s", got, reduction, off)
	})
}
