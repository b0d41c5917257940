package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"

	gogogrpc "github.com/cosmos/gogoproto/grpc"
	"github.com/stretchr/testify/require"

	"github.com/cosmos/cosmos-sdk/client"

	"github.com/mesh-security/mesh/x/mesh/client/cli"
	"github.com/mesh-security/mesh/x/mesh/types"
)

// page is an answer; the node is at another height each time it is asked for the latest.
type page struct {
	failures []types.InvariantFailure
	next     string
	height   int64
}

func (p page) GetFailures() []types.InvariantFailure { return p.failures }
func (p page) GetNextKey() []byte                    { return []byte(p.next) }
func (page) GetRecords() uint64                      { return 10 }
func (p page) GetHeight() int64                      { return p.height }

func TestCheckInvariants(t *testing.T) {
	broken := types.InvariantFailure{Invariant: "pools", Object: "pool 7", Message: "wrong"}
	for _, tc := range []struct {
		name     string
		pages    map[string]page
		args     []string
		expected cli.Report
		heights  []int64
		err      error
	}{
		{
			"all holds, at the height of the first page",
			map[string]page{"": {next: "a"}, "a": {next: "b"}, "b": {}},
			nil,
			cli.Report{Height: 1_000, Pages: 3, Records: 30, Complete: true},
			[]int64{0, 1_000, 1_000},
			nil,
		},
		{
			"at a given height",
			map[string]page{"": {}},
			[]string{"--height", "77"},
			cli.Report{Height: 77, Pages: 1, Records: 10, Complete: true},
			[]int64{77},
			nil,
		},
		{
			"something does not hold",
			map[string]page{"": {next: "a", failures: []types.InvariantFailure{broken}}, "a": {}},
			nil,
			cli.Report{Height: 1_000, Pages: 2, Records: 20, Complete: true, Failures: []types.InvariantFailure{broken}},
			[]int64{0, 1_000},
			cli.ErrBroken,
		},
		{
			"too much does not hold",
			map[string]page{"": {next: "a", failures: make([]types.InvariantFailure, 1_000)}},
			nil,
			cli.Report{Height: 1_000, Pages: 1, Records: 10, Failures: make([]types.InvariantFailure, 1_000)},
			[]int64{0},
			cli.ErrBroken,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var heights []int64
			cmd := cli.NewCheckInvariantsCmd("meshtest", func(ctx context.Context, _ gogogrpc.ClientConn, name string, key []byte, limit uint64) (cli.InvariantsPage, error) {
				require.Equal(t, "pools", name)
				require.Equal(t, uint64(500), limit)
				height, err := client.GetHeightFromMetadataStrict(ctx)
				require.NoError(t, err)
				heights = append(heights, height)
				p, ok := tc.pages[string(key)]
				require.True(t, ok)
				if p.height = height; height == 0 {
					p.height = 1_000
				}
				return p, nil
			})
			var out bytes.Buffer
			clientCtx := client.Context{Output: &out}
			cmd.SetContext(context.WithValue(t.Context(), client.ClientContextKey, &clientCtx))
			cmd.SetArgs(append([]string{"--invariant", "pools", "--limit", "500", "--output", "json"}, tc.args...))
			cmd.SilenceErrors, cmd.SilenceUsage = true, true
			require.ErrorIs(t, cmd.Execute(), tc.err)
			var report cli.Report
			require.NoError(t, json.Unmarshal(out.Bytes(), &report))
			if tc.expected.Failures == nil {
				tc.expected.Failures = []types.InvariantFailure{}
			}
			require.Equal(t, tc.expected, report)
			require.Equal(t, tc.heights, heights)
		})
	}
}

func TestCheckInvariantsFails(t *testing.T) {
	gone := errors.New("the state of that height is gone")
	n := 0
	_, err := cli.CheckInvariants(t.Context(), nil, func(context.Context, gogogrpc.ClientConn, string, []byte, uint64) (cli.InvariantsPage, error) {
		if n++; n == 2 {
			return nil, gone
		}
		return page{next: "a", height: 5}, nil
	}, "", 0, 0)
	require.ErrorIs(t, err, gone)
	require.ErrorContains(t, err, "page 2")
}
