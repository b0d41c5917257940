package localnet

import (
	"context"
	"path/filepath"
	"sync"
	"time"
)

// Courier is a relayer beside the network's own, with another account and
// through other nodes: whatever both relay arrives twice.
type Courier struct {
	n    *Network
	lane *lane
	args []string
	log  string

	mu  sync.Mutex
	pid *PID
}

const courierMember = "courier"

// NewCourier sets up a second relayer on the links of a running network. It signs with a network-wide account and asks the
// node of each chain that has the given index. It is not started.
func (n *Network) NewCourier(ctx context.Context, account string, node int) (*Courier, error) {
	state := n.State()
	chains := n.linked(linksOf(state.Links))
	r := &lane{n: n, account: account, home: filepath.Join(n.relayer(), courierMember), log: n.log("courier-setup"), chains: chains}
	cfg := relayerConfig(account, chains, nil)
	for _, c := range chains {
		chain := cfg.Chains[c.ID]
		chain.Value.RPCAddr = c.Nodes[min(node, len(c.Nodes)-1)].Ports.http()
		cfg.Chains[c.ID] = chain
	}
	cfg.Paths = paths(state.Links)
	if err := r.setUp(ctx, cfg); err != nil {
		return nil, err
	}
	if err := n.isolateRelayer(courierMember, 1); err != nil {
		return nil, err
	}
	return &Courier{n: n, lane: r, args: state.Relayer.Args, log: n.log(courierMember)}, nil
}

func linksOf(states []LinkState) []link {
	out := make([]link, len(states))
	for i, s := range states {
		out[i] = link{s.A, s.B}
	}
	return out
}

// Start starts relaying, if it does not already.
func (c *Courier) Start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pid != nil && c.pid.alive() {
		return nil
	}
	args := append(append([]string{}, c.args...), "--home", c.lane.home)
	program, args := c.n.within(courierMember, c.n.state.Rly, args...)
	pid, err := c.n.launcher.start(c.log, nil, program, args...)
	if err != nil {
		return stepErr("", "start "+courierMember, c.log, err)
	}
	c.pid = &pid
	return nil
}

// Stop ends it.
func (c *Courier) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pid == nil {
		return nil
	}
	if err := stopAll([]PID{*c.pid}, 5*time.Second); err != nil {
		return stepErr("", "stop "+courierMember, c.log, err)
	}
	c.pid = nil
	return nil
}
