package wiring

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

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
		"nearest, down":            {10, 400_000, 0, 1_000_000, 10},
		"nearest, half up":         {10, 500_000, 0, 1_000_000, 10},
		"nearest, up":              {10, 0, 600_000, 1_000_000, 11},
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
