package localnet

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPIDAlive(t *testing.T) {
	require.True(t, pidOf(os.Getpid()).alive())
	require.False(t, PID{}.alive())
	require.False(t, PID{PID: os.Getpid(), Start: "another process"}.alive(), "the number is in use again")
}

func TestStopAllKillsTheStubborn(t *testing.T) {
	l := launcher{networkID: "test-stubborn"}
	log := filepath.Join(t.TempDir(), "stubborn.log")
	// It ignores the request to end, and so does its child.
	pid, err := l.start(log, nil, "sh", "-c", "trap '' TERM; sleep 60 & echo ready; wait; sleep 60")
	require.NoError(t, err)
	// A child that is about to run its program shows no environment for a moment.
	require.Eventually(t, func() bool {
		return len(lastLines(log, 1)) > 0 && len(marked("test-stubborn")) == 2
	}, 30*time.Second, 10*time.Millisecond)

	require.NoError(t, stopAll([]PID{pid}, 200*time.Millisecond))
	require.False(t, pid.alive())
	require.Eventually(t, func() bool {
		for _, p := range marked("test-stubborn") {
			if p.alive() {
				return false
			}
		}
		return true
	}, 5*time.Second, 10*time.Millisecond)
	require.ErrorContains(t, l.exited(pid), "signal: killed")
}

// The guard ends what a process leaves that was killed. The test binary plays
// the part of meshnet: this test starts itself and kills what it started.
func TestGuard(t *testing.T) {
	const role = "MESHNET_TEST_GUARDED"
	if id := os.Getenv(role); id != "" {
		dir := os.Getenv("MESHNET_TEST_DIR")
		g, err := newGuard(id, dir, filepath.Join(dir, "guard.log"))
		require.NoError(t, err)
		l := launcher{networkID: id, guard: g}
		pid, err := l.start(filepath.Join(dir, "sleep.log"), nil, "sleep", "60")
		require.NoError(t, err)
		if os.Getenv("MESHNET_TEST_DETACH") != "" {
			g.detach()
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "pid"), []byte(strconv.Itoa(pid.PID)), 0o600))
		time.Sleep(time.Minute)
	}

	for _, detached := range []bool{false, true} {
		t.Run("detached="+strconv.FormatBool(detached), func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command(os.Args[0], "-test.run", "^TestGuard$")
			cmd.Env = append(os.Environ(), role+"=guard-"+strconv.Itoa(os.Getpid())+strconv.FormatBool(detached), "MESHNET_TEST_DIR="+dir)
			if detached {
				cmd.Env = append(cmd.Env, "MESHNET_TEST_DETACH=1")
			}
			require.NoError(t, cmd.Start())
			var child PID
			require.Eventually(t, func() bool {
				data, err := os.ReadFile(filepath.Join(dir, "pid"))
				n, convErr := strconv.Atoi(strings.TrimSpace(string(data)))
				child = pidOf(n)
				return err == nil && convErr == nil
			}, 20*time.Second, 20*time.Millisecond)
			t.Cleanup(func() { _ = stopAll([]PID{child}, 0) })
			require.True(t, child.alive())

			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()
			if detached {
				time.Sleep(500 * time.Millisecond)
				require.True(t, child.alive())
				return
			}
			require.Eventually(t, func() bool { return !child.alive() }, 10*time.Second, 50*time.Millisecond)
		})
	}
}

func TestLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	require.Empty(t, lastLines(path, 3))
	require.NoError(t, os.WriteFile(path, []byte("a\nb\nc\nd\n"), 0o600))
	require.Equal(t, []string{"c", "d"}, lastLines(path, 2))
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat(strings.Repeat("x", 99)+"\n", 2000)), 0o600))
	lines := lastLines(path, 3)
	require.Len(t, lines, 3)
	require.Len(t, lines[0], 99)
}

func TestCommandNameHidesSecrets(t *testing.T) {
	name := commandName("/bin/rly", []string{"keys", "restore", "one", "relayer", "word after word", "--home", "x"})
	require.Equal(t, "rly keys restore one relayer", name)
}
