package localnet

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStateRoundTrip(t *testing.T) {
	home := t.TempDir()
	self := pidOf(os.Getpid())
	state := &State{
		Name: "x", ID: "id", Phase: PhaseRunning, Created: time.Unix(1, 0).UTC(),
		Chains:  []ChainState{{ID: "one", Nodes: []NodeState{{Moniker: "node0", Ports: Ports{RPC: 1}, Process: &self}, {}}}},
		Relayer: RelayerState{Process: &self},
	}
	require.NoError(t, state.save(home))
	loaded, err := loadState(home)
	require.NoError(t, err)
	require.Equal(t, state, loaded)
	require.Equal(t, []PID{self, self}, loaded.processes())

	entries, err := os.ReadDir(home)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file stays")
}

func TestLoadStateBad(t *testing.T) {
	home := t.TempDir()
	_, err := loadState(home)
	require.ErrorIs(t, err, ErrNotANetwork)
	require.ErrorContains(t, err, "meshnet up")

	for _, text := range []string{"{", `{"version": 99}`} {
		require.NoError(t, os.WriteFile(filepath.Join(home, stateFile), []byte(text), 0o600))
		_, err = loadState(home)
		require.ErrorIs(t, err, ErrNotANetwork, text)
	}
}

func TestClearHome(t *testing.T) {
	home := t.TempDir()
	require.NoError(t, clearHome(home), "empty")

	stranger := filepath.Join(home, "thesis.txt")
	require.NoError(t, os.WriteFile(stranger, nil, 0o600))
	require.ErrorIs(t, clearHome(home), ErrNotANetwork)

	sleep := exec.Command("sleep", "60")
	require.NoError(t, sleep.Start())
	pid := pidOf(sleep.Process.Pid)
	state := &State{ID: "id", Relayer: RelayerState{Process: &pid}}
	require.NoError(t, state.save(home))
	require.NoError(t, os.MkdirAll(filepath.Join(home, "chains", "one"), 0o755))
	require.ErrorIs(t, clearHome(home), ErrAlreadyRunning)

	require.NoError(t, sleep.Process.Kill())
	_ = sleep.Wait()
	require.NoError(t, clearHome(home))
	require.NoDirExists(t, filepath.Join(home, "chains"))
	require.FileExists(t, stranger, "only what a network has left is removed")
}

func TestLockHome(t *testing.T) {
	home := t.TempDir()
	unlock, err := lockHome(home)
	require.NoError(t, err)
	_, err = lockHome(home)
	require.ErrorIs(t, err, ErrHomeInUse)
	unlock()
	unlock, err = lockHome(home)
	require.NoError(t, err)
	unlock()
}

func TestUpRefusals(t *testing.T) {
	topo, err := ParseTopology([]byte(goodTopology))
	require.NoError(t, err)
	missing := filepath.Join(t.TempDir(), "meshd")
	_, err = Up(t.Context(), topo, Options{Home: t.TempDir(), Meshd: missing})
	require.ErrorIs(t, err, ErrMissingBinary)
	require.ErrorContains(t, err, missing)

	program, err := exec.LookPath("true")
	require.NoError(t, err)
	_, err = Up(t.Context(), topo, Options{Home: t.TempDir(), Meshd: program, Rly: missing})
	require.ErrorIs(t, err, ErrMissingBinary)

	t.Chdir(t.TempDir())
	t.Setenv("PATH", "")
	t.Setenv("MESH_BIN", "")
	_, err = Up(t.Context(), topo, Options{Home: t.TempDir()})
	require.ErrorIs(t, err, ErrMissingBinary)
	require.ErrorContains(t, err, "make build")
}

// A meshd that fails: the error names chain, step and log, and nothing stays.
func TestUpFailure(t *testing.T) {
	home := t.TempDir()
	program, err := exec.LookPath("false")
	require.NoError(t, err)
	topo, err := ParseTopology([]byte(goodTopology))
	require.NoError(t, err)
	_, err = Up(t.Context(), topo, Options{Home: home, Meshd: program, Rly: program})
	var step *StepError
	require.ErrorAs(t, err, &step)
	require.Contains(t, []string{"one", "two"}, step.Chain)
	require.Equal(t, "genesis", step.Step)
	require.FileExists(t, step.Log)

	state, err := loadState(home)
	require.NoError(t, err)
	require.Equal(t, PhaseFailed, state.Phase)
	require.Empty(t, marked(state.ID))
}
