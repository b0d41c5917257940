package localnet

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseInvariants(t *testing.T) {
	report, err := parseInvariants([]byte(`{"height":12,"pages":1,"records":3,"complete":true,"failures":[{"invariant":"pools","object":"p","message":"wrong"}]}`))
	require.NoError(t, err)
	require.Equal(t, "wrong", report.Failures[0].Message)
	for _, bad := range []string{"", "{}", "Error: no"} {
		_, err := parseInvariants([]byte(bad))
		require.Error(t, err, bad)
	}
}
