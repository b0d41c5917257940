package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mesh-security/mesh/internal/localnet"
)

func TestLogFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		return path
	}
	state := localnet.State{
		Chains: []localnet.ChainState{
			{ID: "one", SetupLog: file("one-setup"), Nodes: []localnet.NodeState{{Moniker: "node0", Log: file("one-node0")}}},
			{ID: "one-two", SetupLog: file("one-two-setup"), Nodes: []localnet.NodeState{{Moniker: "node0", Log: filepath.Join(dir, "none")}}},
		},
		Relayer: localnet.RelayerState{Log: file("relayer"), SetupLog: file("relayer-setup")},
	}
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"relayer", "relayer-setup", "one-setup", "one-node0", "one-two-setup"}},
		{[]string{"one"}, []string{"one-setup", "one-node0"}},
		{[]string{"one", "node0"}, []string{"one-node0"}},
		{[]string{"one-two"}, []string{"one-two-setup"}},
		{[]string{"relayer", "setup"}, []string{"relayer-setup"}},
	} {
		files, err := logFiles(state, tc.args)
		require.NoError(t, err)
		var names []string
		for _, f := range files {
			names = append(names, filepath.Base(f))
		}
		require.Equal(t, tc.want, names, tc.args)
	}
	for _, args := range [][]string{{"three"}, {"one", "node7"}, {"one-two", "node0"}, {"one", "node0", "x"}} {
		_, err := logFiles(state, args)
		require.ErrorContains(t, err, "there are: relayer, relayer setup, one setup, one node0", args)
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(path, []byte("a\nb\nc\nunfini"), 0o600))
	var out bytes.Buffer
	tl := &tail{path: path, label: "log", out: &out}
	require.NoError(t, tl.last(2, false))
	require.Equal(t, "b\nc\n", out.String())

	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteString("shed\nd\n")
	require.NoError(t, err)
	require.NoError(t, file.Close())
	out.Reset()
	require.NoError(t, tl.more(true))
	require.NoError(t, tl.more(true))
	require.Equal(t, "log | unfinished\nlog | d\n", out.String())
}
