package system_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// report is build/demo/report.json. It is spelled out here, not taken from the
// demo: others read the file too.
type report struct {
	Chains []struct {
		ChainID           string           `json:"chain_id"`
		NativeBonded      int64            `json:"native_bonded"`
		VirtualBonded     int64            `json:"virtual_bonded"`
		VirtualByProvider map[string]int64 `json:"virtual_by_provider"`
	} `json:"chains"`
	Steps []struct {
		Name   string `json:"name"`
		OK     bool   `json:"ok"`
		Detail string `json:"detail"`
	} `json:"steps"`
	Seconds float64 `json:"seconds"`
}

type status struct {
	Phase  string `json:"phase"`
	Chains []struct {
		Nodes []process `json:"nodes"`
	} `json:"chains"`
	Relayer process `json:"relayer"`
}

type process struct {
	State string `json:"state"`
	PID   int    `json:"pid"`
}

func meshnet(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	bin := os.Getenv("MESH_BIN")
	if bin == "" {
		t.Skip("MESH_BIN is not set; run `make test-system`")
	}
	return exec.CommandContext(t.Context(), filepath.Join(bin, "meshnet"), args...)
}

// statusOf asks how the network in a directory is.
func statusOf(t *testing.T, home string) status {
	t.Helper()
	out, err := meshnet(t, "--home", home, "status", "--output", "json").Output()
	require.NoError(t, err)
	var s status
	require.NoError(t, json.Unmarshal(out, &s))
	return s
}

// requireEnded checks that no process of the network is left: neither one it
// knows, nor one that works in its directory.
func requireEnded(t *testing.T, home, phase string) {
	t.Helper()
	s := statusOf(t, home)
	require.Equal(t, phase, s.Phase)
	for _, c := range s.Chains {
		for _, n := range c.Nodes {
			require.NotEqual(t, "running", n.State)
		}
	}
	require.NotEqual(t, "running", s.Relayer.State)
	require.Empty(t, processesOf(t, home))
}

// processesOf lists processes that were started with a path below home.
func processesOf(t *testing.T, home string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	var out []string
	for _, file := range files {
		cmdline, err := os.ReadFile(file)
		if err == nil && bytes.Contains(cmdline, []byte(home)) {
			out = append(out, string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
		}
	}
	return out
}

// TestDemo runs the demo, failures, slashes and lies included, and checks what it
// says about the chains in the end.
func TestDemo(t *testing.T) {
	t.Parallel() // it waits more than it works
	home := filepath.Join(t.TempDir(), "network")
	file := filepath.Join(t.TempDir(), "report.json")
	cmd := meshnet(t, "demo", "--home", home, "--report", file)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	require.NoError(t, cmd.Run())

	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var r report
	require.NoError(t, json.Unmarshal(data, &r))

	var names []string
	for _, s := range r.Steps {
		names = append(names, s.Name)
		require.Truef(t, s.OK, "step %s: %s", s.Name, s.Detail)
		require.NotEmpty(t, s.Detail, s.Name)
	}
	require.Equal(t, []string{
		"start", "pairing", "validator sets", "native delegation", "cross-stake", "voting power", "third chain",
		"native stake untouched", "security", "cap", "leave", "relayer outage", "node restart", "double sign", "proof",
		"rewards", "governance weight", "price", "cap zero", "downtime", "held", "free", "unjail", "final security",
		"hostile consumer", "all free",
	}, names)

	require.Len(t, r.Chains, 3)
	// What is left when alice (100 OSMO, at home and across) and bob (20 AXL) have left, node1 of axelar-local has signed
	// twice and node2 of osmosis-local was away, at the prices and caps of the demo's topology, but for the price of an AXL
	// that has halved, before axelar-local turns hostile:
	//   osmosis-local  600 + 90 + 60 − 5 % of 40 = 748 OSMO; on node2 219.5 and 0.9 · 1 · 30 AXL = 27 OSMO; 1 % of its 246 whole
	//                  units of power is burned, 2.190548 OSMO of it osmosis-local's own; its allies have 0.9 · (20 + 10 + 29.700609) AXL
	//   axelar-local   300 + 30 + 40 − 100 (node1) − 2.46/246.5 of 30 = 269.700609 AXL; 75 OSMO · 0.5 · 0.9 = 33.75 AXL
	//   juno-local     60 + 50 JUNO; its caps are zero
	osmosis, axelar, juno := r.Chains[0], r.Chains[1], r.Chains[2]
	const dust = 20 // base units, of shares that are not worth whole ones
	require.Equal(t, "osmosis-local", osmosis.ChainID)
	require.InDelta(t, 745_809_452, osmosis.NativeBonded, dust)
	require.InDelta(t, 53_730_548, osmosis.VirtualBonded, dust)
	require.Equal(t, map[string]int64{"axelar-local": osmosis.VirtualBonded}, osmosis.VirtualByProvider)
	require.Equal(t, "axelar-local", axelar.ChainID)
	require.InDelta(t, 269_700_609, axelar.NativeBonded, dust)
	require.InDelta(t, 33_750_000, axelar.VirtualBonded, dust)
	require.Equal(t, map[string]int64{"osmosis-local": axelar.VirtualBonded}, axelar.VirtualByProvider)
	require.Equal(t, "juno-local", juno.ChainID)
	require.Equal(t, int64(110_000_000), juno.NativeBonded)
	require.Zero(t, juno.VirtualBonded)
	require.Empty(t, juno.VirtualByProvider)
	require.Positive(t, r.Seconds)

	requireEnded(t, home, "stopped")
}

// TestDemoInterrupted stops the demo while it starts, as Ctrl-C does.
func TestDemoInterrupted(t *testing.T) {
	for _, tc := range []struct {
		name, running string
	}{
		{"while a chain is made", " init "},
		{"while nodes run", " start "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			home := filepath.Join(t.TempDir(), "network")
			file := filepath.Join(t.TempDir(), "report.json")
			cmd := meshnet(t, "demo", "--keep", "--home", home, "--report", file)
			var stderr strings.Builder
			cmd.Stdout, cmd.Stderr = io.Discard, &stderr
			require.NoError(t, cmd.Start())
			done := make(chan error, 1)
			go func() { done <- cmd.Wait() }()

			require.Eventually(t, func() bool {
				return slices.ContainsFunc(processesOf(t, home), func(p string) bool { return strings.Contains(p, tc.running) })
			}, 2*time.Minute, 20*time.Millisecond, "it never came to%s", tc.running)
			require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
			select {
			case err := <-done:
				var exit *exec.ExitError
				require.True(t, errors.As(err, &exit), "%v", err)
				require.Equal(t, 130, exit.ExitCode(), stderr.String())
			case <-time.After(time.Minute):
				require.NoError(t, cmd.Process.Kill())
				t.Fatal("it does not end")
			}
			require.Contains(t, stderr.String(), "interrupted")
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			var r report
			require.NoError(t, json.Unmarshal(data, &r))
			require.Len(t, r.Steps, 1)
			require.False(t, r.Steps[0].OK)
			requireEnded(t, home, "failed")
		})
	}
}
