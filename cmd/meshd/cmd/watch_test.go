package cmd_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The watchtower is a daemon: it says when it is ready, and SIGTERM is a clean end. Nodes that do not answer do not keep
// it from either, and it makes no home.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	config := filepath.Join(dir, "watch.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
state_file: %s
chains:
  - chain_id: axelar-1
    rpc: ["http://127.0.0.1:1"]
    follow_only: true
`, filepath.Join(dir, "state.json")), 0o600))

	c := exec.Command(os.Args[0], "watch", "--home", home, "--config", config, "--log-format", "json")
	c.Env = append(os.Environ(), envRunMain+"=1")
	stderr, err := c.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill() })
	ready := make(chan struct{})
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if strings.Contains(lines.Text(), `"msg":"watchtower ready"`) {
				close(ready)
			}
		}
	}()
	select {
	case <-ready:
	case <-time.After(time.Minute):
		t.Fatal("never ready")
	}
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait(), "exit code 0")
	require.NoDirExists(t, home)
	require.FileExists(t, filepath.Join(dir, "state.json"))
}

func TestWatchRefuses(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "watch.toml")
	require.NoError(t, os.WriteFile(config, []byte("state_file = \"s\"\n[[chains]]\nchain_id = \"axelar-1\"\n"), 0o600))
	for _, tc := range []struct {
		args   []string
		expErr string
	}{
		{[]string{"watch"}, `required flag(s) "config" not set`},
		{[]string{"watch", "--config", config}, `chain "axelar-1": rpc: missing`},
		{[]string{"watch", "--config", config, "--log-level", "loud"}, "log level"},
		{[]string{"watch", "--config", config, "more"}, "unknown command"},
	} {
		_, err := meshd(t, dir, tc.args...)
		require.ErrorContains(t, err, tc.expErr)
	}
}
