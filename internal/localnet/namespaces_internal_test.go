package localnet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newTestNetwork is a network of which nothing runs.
func newTestNetwork(tb testing.TB, nodes int) (*Network, *Topology) {
	tb.Helper()
	home := tb.TempDir()
	topo := &Topology{Chains: []ChainSpec{{ID: "one", Prefix: "one", Denom: "uone", Validators: nodes}}}
	topo.setDefaults()
	state := ChainState{ID: "one", Prefix: "one", Denom: "uone", MinGasPrice: "0"}
	n := &Network{layout: layout{home}, state: &State{ID: fmt.Sprintf("t%07d", os.Getpid()), Chains: []ChainState{state}}}
	for i := range nodes {
		n.state.Chains[0].Nodes = append(n.state.Chains[0].Nodes, NodeState{Moniker: moniker(i), Home: n.node("one", i), Ports: Ports{RPC: 26657, GRPC: 9090}})
	}
	return n, topo
}

// open makes the chain of a test network.
func (n *Network) open(tb testing.TB) *Chain {
	tb.Helper()
	chain, err := newChain(n, n.state.Chains[0])
	require.NoError(tb, err)
	n.chains = []*Chain{chain}
	return chain
}

// reachable tells whether a machine answers at an address, if only by refusing.
func reachable(address string) bool {
	conn, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil || errors.Is(err, syscall.ECONNREFUSED)
}

func TestLinksAreCutAndMended(t *testing.T) {
	if err := CanIsolate(); err != nil {
		t.Skip(err)
	}
	n, topo := newTestNetwork(t, 3)
	t.Cleanup(func() { _ = removeNamespaces(n.state.ID) })
	ports := map[string][]Ports{"one": make([]Ports, 3)}
	require.NoError(t, n.isolate(topo, ports))
	for i := range n.state.Chains[0].Nodes {
		n.state.Chains[0].Nodes[i].Ports.Host = ports["one"][i].Host
	}
	c := n.open(t)
	require.NoError(t, n.isolateRelayer(RelayerAccount, 0))
	require.Len(t, namespacesOf(n.state.ID), 5, "a switch, three nodes, a relayer")

	check := func(want ...bool) {
		t.Helper()
		for i, node := range c.Nodes {
			require.Eventually(t, func() bool { return reachable(node.Ports.address(node.Ports.RPC)) == want[i] },
				30*time.Second, 50*time.Millisecond, "%s, want %t", node.Moniker, want[i])
		}
	}
	check(true, true, true)
	require.NoError(t, c.Nodes[1].Cut())
	check(true, false, true)
	require.NoError(t, c.Nodes[1].Mend())
	check(true, true, true)
	require.NoError(t, c.Split(c.Nodes[0], c.Nodes[2]))
	check(false, true, false)
	require.NoError(t, c.Join(c.Nodes[0], c.Nodes[2]))
	check(true, true, true)
	relayer := addressIn(n.state.Namespaces.FirstPart, relayerFirst) + ":1"
	require.Eventually(t, func() bool { return reachable(relayer) }, 30*time.Second, 50*time.Millisecond)
	require.NoError(t, n.CutRelayer(c))
	require.Eventually(t, func() bool { return !reachable(relayer) }, 30*time.Second, 50*time.Millisecond)
	require.NoError(t, n.MendRelayer(c))
	require.Eventually(t, func() bool { return reachable(relayer) }, 30*time.Second, 50*time.Millisecond)

	program, args := n.within(RelayerAccount, "rly", "start")
	require.Equal(t, "ip", program)
	require.Equal(t, []string{"netns", "exec", n.namespace(RelayerAccount), "rly", "start"}, args)

	require.NoError(t, cleanUp(n.state.ID, n.home))
	require.Empty(t, namespacesOf(n.state.ID))
	link := hostLink(n.state.ID, 0)
	require.Eventually(t, func() bool { _, err := net.InterfaceByName(link); return err != nil },
		30*time.Second, 50*time.Millisecond, "the link to this machine is gone too")
}

func TestWithoutNamespaces(t *testing.T) {
	n, _ := newTestNetwork(t, 1)
	c := n.open(t)
	require.False(t, n.Isolated())
	require.ErrorIs(t, c.Nodes[0].Cut(), ErrNoNamespaces)
	require.NoError(t, n.isolateRelayer(RelayerAccount, 0))
	program, args := n.within("anybody", "rly", "start")
	require.Equal(t, "rly", program)
	require.Equal(t, []string{"start"}, args)
	require.Equal(t, "tcp://127.0.0.1:26657", c.Nodes[0].RPCAddress())
	require.Empty(t, namespacesOf(""), "no network has no name")
}

func TestDiskOfItsOwn(t *testing.T) {
	if err := CanMount(t.Context()); err != nil {
		t.Skip(err)
	}
	n, _ := newTestNetwork(t, 1)
	node := n.open(t).Nodes[0]
	t.Cleanup(func() { _ = cleanUp(n.state.ID, n.home) })
	inner := filepath.Join(node.DataDir(), "some.db", "CURRENT")
	require.NoError(t, os.MkdirAll(filepath.Dir(inner), 0o750))
	require.NoError(t, os.WriteFile(inner, []byte("kept"), 0o600))
	require.False(t, node.DataMounted())

	require.NoError(t, node.MountData(1<<20))
	require.True(t, node.DataMounted())
	data, err := os.ReadFile(inner)
	require.NoError(t, err)
	require.Equal(t, "kept", string(data))
	large := filepath.Join(node.DataDir(), "large")
	require.ErrorIs(t, os.WriteFile(large, make([]byte, 2<<20), 0o600), syscall.ENOSPC)
	require.NoError(t, node.ResizeData(8<<20))
	require.NoError(t, os.WriteFile(large, make([]byte, 2<<20), 0o600))

	require.NoError(t, cleanUp(n.state.ID, n.home))
	require.False(t, node.DataMounted())
}

func TestMountPoints(t *testing.T) {
	text := "proc /proc proc rw 0 0\nmeshnet /net/chains/a/node1/data tmpfs rw 0 0\n" +
		"meshnet /net/chains/a/node1/data/deeper tmpfs rw 0 0\nmeshnet /network/data tmpfs rw 0 0\nmeshnet /net/with\\040space tmpfs rw 0 0\nshort\n"
	require.Equal(t, []string{"/net/with space", "/net/chains/a/node1/data/deeper", "/net/chains/a/node1/data"}, mountPoints(text, "/net/"))
	require.Empty(t, mountPoints(text, "/elsewhere"))
}

func TestNamesOfInterfacesAreShort(t *testing.T) {
	const most = 15 // of Linux
	id := "0123456789abcdef"
	for _, name := range []string{hostLink(id, 99), bridge(99), farBridge(99), nodePort(99, maxValidators), relayerPort(courierMember, 99), relayerPort(RelayerAccount, 99)} {
		require.LessOrEqual(t, len(name), most, name)
	}
}
