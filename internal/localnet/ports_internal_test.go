package localnet

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPickPorts(t *testing.T) {
	topo, err := ParseTopology([]byte(goodTopology))
	require.NoError(t, err)

	p := newPortPicker(0)
	defer p.release()
	ports, err := p.pickPorts(topo)
	require.NoError(t, err)

	other := newPortPicker(p.listeners[0].Addr().(*net.TCPAddr).Port)
	defer other.release()
	otherPorts, err := other.pickPorts(topo)
	require.NoError(t, err, "two networks at a time")

	seen := map[int]bool{}
	for _, all := range []map[string][]Ports{ports, otherPorts} {
		require.Len(t, all["one"], 1)
		require.Len(t, all["two"], 2)
		for id, nodes := range all {
			for i, n := range nodes {
				require.Equal(t, i == 0, n.API != 0, "%s node%d: only the first node serves REST", id, i)
				n.each(func(_ string, port int) {
					if port != 0 {
						require.False(t, seen[port], "port %d twice", port)
						seen[port] = true
					}
				})
			}
		}
	}
	require.Len(t, seen, 2*(4+4+3))
}

func TestPickPortsGivenAndTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	topo, err := ParseTopology([]byte(goodTopology))
	require.NoError(t, err)
	topo.Chains[0].Ports.RPC = port

	p := newPortPicker(0)
	defer p.release()
	_, err = p.pickPorts(topo)
	require.ErrorIs(t, err, ErrPortTaken)
	require.ErrorContains(t, err, "chain one ports.rpc")

	require.NoError(t, l.Close())
	ports, err := p.pickPorts(topo)
	require.NoError(t, err)
	require.Equal(t, port, ports["one"][0].RPC)
}

func TestReleaseFreesPorts(t *testing.T) {
	p := newPortPicker(0)
	port, err := p.any()
	require.NoError(t, err)
	require.ErrorIs(t, newPortPicker(0).fixed(port), ErrPortTaken)
	p.release()
	require.NoError(t, p.fixed(port))
	p.release()
}
