package app_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mesh-security/mesh/app"
)

func TestValidateBech32Prefix(t *testing.T) {
	testCases := []struct {
		name   string
		prefix string
		valid  bool
	}{
		{"default", app.DefaultBech32Prefix, true},
		{"letters", "osmo", true},
		{"digit after a letter", "side2", true},
		{"empty", "", false},
		{"digit first", "2side", false},
		{"upper case", "Osmo", false},
		{"separator of valoper", "osmo-", false},
		{"space", "os mo", false},
		{"too long", strings.Repeat("a", 21), false},
	}
	for _, tc := range testCases {
		t.Run(tc.name, func(t *testing.T) {
			err := app.ValidateBech32Prefix(tc.prefix)
			if tc.valid {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "invalid bech32 prefix")
			}
		})
	}
}
