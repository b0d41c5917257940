package localnet

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// Status is how a network is right now.
type Status struct {
	Name  string `json:"name"`
	Home  string `json:"home"`
	Phase Phase  `json:"phase"`
	// Healthy: every process runs, every chain makes blocks, every client is
	// active and every channel open.
	Healthy   bool            `json:"healthy"`
	Problems  []string        `json:"problems"`
	Chains    []ChainStatus   `json:"chains"`
	Links     []LinkStatus    `json:"links"`
	Pairings  []PairingStatus `json:"pairings"`
	Transfers []ChannelState  `json:"transfers"`
	Relayer   ProcessStatus   `json:"relayer"`
	// Watchtower is nil if the network has none.
	Watchtower *ProcessStatus `json:"watchtower,omitempty"`
}

// ProcessStatus is how a process is.
type ProcessStatus struct {
	// State is running, stopped (on purpose) or dead.
	State string `json:"state"`
	PID   int    `json:"pid"`
	Log   string `json:"log"`
}

// ChainStatus is how a chain is.
type ChainStatus struct {
	ID              string         `json:"chain_id"`
	Prefix          string         `json:"prefix"`
	Denom           string         `json:"denom"`
	Height          int64          `json:"height"`
	LatestBlockTime time.Time      `json:"latest_block_time"`
	RPC             string         `json:"rpc"`
	GRPC            string         `json:"grpc"`
	API             string         `json:"api"`
	Nodes           []NodeStatus   `json:"nodes"`
	Accounts        []AccountState `json:"accounts"`
}

// NodeStatus is how a node is.
type NodeStatus struct {
	Moniker string `json:"moniker"`
	ProcessStatus
	Height      int64  `json:"height"`
	VotingPower int64  `json:"voting_power"`
	RPC         string `json:"rpc"`
	P2P         string `json:"p2p"`
	GRPC        string `json:"grpc"`
	Operator    string `json:"operator"`
	Consensus   string `json:"consensus"`
}

// LinkStatus is how the light clients are that two chains have of one another.
type LinkStatus struct {
	LinkState
	AStatus string `json:"a_status"`
	BStatus string `json:"b_status"`
}

// PairingStatus is how a pairing is.
type PairingStatus struct {
	PairingState
	// ProviderClient and ConsumerClient are the status of the light client that
	// the provider and the consumer has of the other.
	ProviderClient string `json:"provider_client"`
	ConsumerClient string `json:"consumer_client"`
	Channel        string `json:"channel"`
}

// Status asks every node, client and channel.
func (n *Network) Status(ctx context.Context) (out Status) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	state := n.State()
	out = Status{
		Name: state.Name, Home: n.home, Phase: state.Phase, Problems: []string{},
		Chains: make([]ChainStatus, len(n.chains)), Links: make([]LinkStatus, len(state.Links)), Pairings: make([]PairingStatus, len(state.Pairings)),
		Transfers: state.Transfers, Relayer: processStatus(state.Relayer.Process, state.Relayer.Log),
	}
	var mu sync.Mutex
	problem := func(format string, args ...any) {
		mu.Lock()
		out.Problems = append(out.Problems, fmt.Sprintf(format, args...))
		mu.Unlock()
	}
	if state.Phase == PhaseStopped || state.Phase == PhaseFailed {
		// Everything else follows from this.
		defer func() { out.Problems = []string{fmt.Sprintf("the network has %s", ended[state.Phase])} }()
	}
	if len(state.Links) > 0 && out.Relayer.State != "running" {
		problem("the relayer is %s (log: %s)", out.Relayer.State, out.Relayer.Log)
	}
	if w := state.Watchtower; w != nil {
		s := processStatus(w.Process, w.Log)
		if out.Watchtower = &s; s.State != "running" {
			problem("the watchtower is %s (log: %s)", s.State, s.Log)
		}
	}
	var wg sync.WaitGroup
	for i, c := range n.chains {
		wg.Go(func() { out.Chains[i] = c.status(ctx, problem) })
	}
	for i, l := range state.Links {
		wg.Go(func() { out.Links[i] = n.linkStatus(ctx, l, problem) })
	}
	for i, p := range state.Pairings {
		wg.Go(func() { out.Pairings[i] = n.pairingStatus(ctx, p, problem) })
	}
	wg.Wait()
	for i := range out.Pairings {
		out.Pairings[i].useClients(out.Links)
	}
	out.Healthy = len(out.Problems) == 0
	return out
}

var ended = map[Phase]string{PhaseStopped: "been ended", PhaseFailed: "failed to come up"}

func processStatus(p *PID, log string) ProcessStatus {
	switch {
	case p == nil:
		return ProcessStatus{State: "stopped", Log: log}
	case p.alive():
		return ProcessStatus{State: "running", PID: p.PID, Log: log}
	default:
		return ProcessStatus{State: "dead", PID: p.PID, Log: log}
	}
}

func (c *Chain) status(ctx context.Context, problem func(string, ...any)) ChainStatus {
	first := c.Nodes[0].Ports
	out := ChainStatus{
		ID: c.ID, Prefix: c.Prefix, Denom: c.Denom, Accounts: c.accounts,
		RPC:  first.http(),
		GRPC: first.grpc(),
		API:  first.api(),
	}
	power := map[string]int64{}
	if validators, err := c.Validators(ctx, 0); err == nil {
		for _, v := range validators {
			if address, err := c.enc.consensus.BytesToString(v.Address); err == nil {
				power[address] = v.VotingPower
			}
		}
	}
	for _, node := range c.Nodes {
		s := NodeStatus{
			Moniker: node.Moniker, ProcessStatus: processStatus(node.process(), node.Log),
			VotingPower: power[node.Consensus], Operator: node.Operator, Consensus: node.Consensus,
			RPC: node.Ports.http(),
			P2P: node.Ports.p2p(), GRPC: node.Ports.grpc(),
		}
		if s.State != "running" {
			problem("chain %s: %s is %s (log: %s)", c.ID, s.Moniker, s.State, s.Log)
		} else if status, err := node.rpc.Status(ctx); err != nil {
			problem("chain %s: %s does not answer: %v (log: %s)", c.ID, s.Moniker, err, s.Log)
		} else {
			s.Height = status.SyncInfo.LatestBlockHeight
			if s.Height > out.Height {
				out.Height, out.LatestBlockTime = s.Height, status.SyncInfo.LatestBlockTime
			}
		}
		out.Nodes = append(out.Nodes, s)
	}
	if age := time.Since(out.LatestBlockTime); out.Height > 0 && age > c.patience(1) {
		problem("chain %s: the last block is %s old", c.ID, age.Round(time.Second))
	}
	return out
}

func (n *Network) linkStatus(ctx context.Context, l LinkState, problem func(string, ...any)) LinkStatus {
	client := func(chain, id string) string {
		status := "unknown"
		if c := n.Chain(chain); c != nil {
			res, err := clienttypes.NewQueryClient(c.Conn()).ClientStatus(ctx, &clienttypes.QueryClientStatusRequest{ClientId: id})
			if err == nil {
				status = res.Status
			}
		}
		if status != exported.Active.String() {
			problem("chain %s: client %s of the other end of %s is %s", chain, id, l.Path, status)
		}
		return status
	}
	return LinkStatus{LinkState: l, AStatus: client(l.A, l.AClient), BStatus: client(l.B, l.BClient)}
}

func (n *Network) pairingStatus(ctx context.Context, p PairingState, problem func(string, ...any)) PairingStatus {
	out := PairingStatus{PairingState: p, ProviderClient: "unknown", ConsumerClient: "unknown", Channel: "unknown"}
	if consumer := n.Chain(p.Consumer); consumer != nil {
		res, err := channeltypes.NewQueryClient(consumer.Conn()).Channel(ctx, &channeltypes.QueryChannelRequest{
			PortId: meshtypes.PortConsumer, ChannelId: p.ConsumerChannel,
		})
		if err == nil && res.Channel != nil {
			out.Channel = strings.TrimPrefix(res.Channel.State.String(), "STATE_")
		}
	}
	if out.Channel != "OPEN" {
		problem("pairing %s→%s: channel %s is %s", p.Provider, p.Consumer, p.ConsumerChannel, out.Channel)
	}
	return out
}

// useClients takes the status of the pairing's clients from its link.
func (p *PairingStatus) useClients(links []LinkStatus) {
	for _, l := range links {
		switch {
		case l.A == p.Provider && l.B == p.Consumer:
			p.ProviderClient, p.ConsumerClient = l.AStatus, l.BStatus
		case l.B == p.Provider && l.A == p.Consumer:
			p.ProviderClient, p.ConsumerClient = l.BStatus, l.AStatus
		}
	}
}
