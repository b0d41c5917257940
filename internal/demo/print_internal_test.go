package demo

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mesh-security/mesh/internal/localnet"
)

func TestLayOut(t *testing.T) {
	got := layOut([][]string{
		{"CHAIN", "DELEGATOR", "AMOUNT", "RISE"},
		{"osmosis-local", "alice", "100 OSMO", "+27"},
		{"axelar", "bob – him", "7.5 AXL", ""},
	})
	require.Equal(t, []string{
		"CHAIN           DELEGATOR     AMOUNT   RISE",
		"osmosis-local   alice       100 OSMO    +27",
		"axelar          bob – him    7.5 AXL",
	}, got)
}

func TestTokens(t *testing.T) {
	for amount, want := range map[string]string{
		"0": "0 OSMO", "1": "0.000001 OSMO", "1000000": "1 OSMO", "12500000": "12.5 OSMO", "100000000": "100 OSMO",
		"91111111": "91.111111 OSMO", "-15000000": "−15 OSMO",
	} {
		require.Equal(t, want, tokens(ints(amount)[0], 6, "OSMO"))
	}
	require.Equal(t, "100 X", tokens(ints("100")[0], 0, "X"))
}

func TestPercent(t *testing.T) {
	for want, r := range map[string]*big.Rat{
		"10 %": big.NewRat(1, 10), "80.81 %": big.NewRat(80, 99), "66.67 %": big.NewRat(2, 3), "0 %": new(big.Rat), "100 %": big.NewRat(1, 1),
	} {
		require.Equal(t, want, percent(r))
	}
}

func TestExplain(t *testing.T) {
	err := fmt.Errorf("not so within 2m: %w", expect("axelar-local node0: voting power", 207, 206))
	require.Equal(t, strings.Join([]string{
		"not so within 2m: axelar-local node0: voting power",
		"  expected: 207",
		"  seen:     206",
		"  log files:",
		"    a.log",
		"    b.log",
	}, "\n"), explain(err, []string{"a.log", "b.log"}))

	named := &localnet.StepError{Chain: "axelar-local", Step: "start node0", Log: "/nowhere/node0.log", Err: errors.New("it is gone")}
	require.NotContains(t, explain(named, []string{"a.log"}), "a.log", "it names its log itself")
	require.NoError(t, expect("what", 1, 1))
}
