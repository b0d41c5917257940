package localnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"

	connectiontypes "github.com/cosmos/ibc-go/v11/modules/core/03-connection/types"
)

// The relayer's configuration file, as github.com/cosmos/relayer/v2 reads it.
type (
	rlyConfig struct {
		Global rlyGlobal           `yaml:"global"`
		Chains map[string]rlyChain `yaml:"chains"`
		Paths  map[string]rlyPath  `yaml:"paths"`
	}
	rlyGlobal struct {
		APIListenAddr   string `yaml:"api-listen-addr"`
		Timeout         string `yaml:"timeout"`
		Memo            string `yaml:"memo"`
		LightCacheSize  int    `yaml:"light-cache-size"`
		LogLevel        string `yaml:"log-level"`
		ICS20MemoLimit  int    `yaml:"ics20-memo-limit"`
		MaxReceiverSize int    `yaml:"max-receiver-size"`
	}
	rlyChain struct {
		Type  string        `yaml:"type"`
		Value rlyChainValue `yaml:"value"`
	}
	rlyChainValue struct {
		Key             string        `yaml:"key"`
		ChainID         string        `yaml:"chain-id"`
		RPCAddr         string        `yaml:"rpc-addr"`
		AccountPrefix   string        `yaml:"account-prefix"`
		KeyringBackend  string        `yaml:"keyring-backend"`
		GasAdjustment   float64       `yaml:"gas-adjustment"`
		GasPrices       string        `yaml:"gas-prices"`
		MinGasAmount    int           `yaml:"min-gas-amount"`
		MaxGasAmount    int           `yaml:"max-gas-amount"`
		Debug           bool          `yaml:"debug"`
		Timeout         string        `yaml:"timeout"`
		BlockTimeout    string        `yaml:"block-timeout"`
		OutputFormat    string        `yaml:"output-format"`
		SignMode        string        `yaml:"sign-mode"`
		ExtraCodecs     []string      `yaml:"extra-codecs"`
		CoinType        int           `yaml:"coin-type"`
		Algorithm       string        `yaml:"signing-algorithm"`
		Broadcast       string        `yaml:"broadcast-mode"`
		MinLoopDuration time.Duration `yaml:"min-loop-duration"`
	}
	rlyPath struct {
		Src    rlyPathEnd `yaml:"src"`
		Dst    rlyPathEnd `yaml:"dst"`
		Filter rlyFilter  `yaml:"src-channel-filter"`
	}
	rlyPathEnd struct {
		ChainID      string `yaml:"chain-id"`
		ClientID     string `yaml:"client-id,omitempty"`
		ConnectionID string `yaml:"connection-id,omitempty"`
	}
	rlyFilter struct {
		Rule     string   `yaml:"rule"`
		Channels []string `yaml:"channel-list"`
	}
)

// relayerConfig is the configuration of a relayer that signs with an account,
// before it has made anything.
func relayerConfig(account string, chains []*Chain, links []link) rlyConfig {
	cfg := rlyConfig{
		// No debug server: it would need a port and nobody asks it.
		Global: rlyGlobal{Timeout: "10s", LightCacheSize: 20, LogLevel: "info", MaxReceiverSize: 150},
		Chains: map[string]rlyChain{},
		Paths:  map[string]rlyPath{},
	}
	for _, c := range chains {
		cfg.Chains[c.ID] = rlyChain{Type: "cosmos", Value: rlyChainValue{
			Key: account, ChainID: c.ID, RPCAddr: c.Nodes[0].Ports.http(),
			AccountPrefix: c.Prefix, KeyringBackend: "test", GasAdjustment: 1.5,
			GasPrices: c.MinGasPrice.String() + c.Denom, Timeout: "10s", OutputFormat: "json",
			SignMode: "direct", ExtraCodecs: []string{}, CoinType: 118, Algorithm: "secp256k1", Broadcast: "batch",
			MinLoopDuration: max(200*time.Millisecond, c.BlockTime/4), // one second is the relayer's default
		}}
	}
	for _, l := range links {
		cfg.Paths[l.name()] = rlyPath{Src: rlyPathEnd{ChainID: l.a}, Dst: rlyPathEnd{ChainID: l.b}}
	}
	return cfg
}

// lane is a relayer with a home and an account of its own. One relays; each link
// is set up by another, so that none waits for the rest.
type lane struct {
	n            *Network
	account      string
	home, log    string
	chains       []*Chain
	connectionID map[string]string // of each chain, once there is one
}

// mainLane is the relayer that makes the clients and relays in the end.
func (n *Network) mainLane(chains []*Chain) *lane {
	return &lane{n: n, account: RelayerAccount, home: n.relayer(), log: n.state.Relayer.SetupLog, chains: chains}
}

// setupLane is the relayer that sets up the i-th link.
func (n *Network) setupLane(i int, l LinkState) *lane {
	name := fmt.Sprintf("setup-%s", l.Path)
	return &lane{
		n: n, account: setupAccount(i), home: filepath.Join(n.relayer(), name), log: n.log("relayer-" + name),
		chains: []*Chain{n.Chain(l.A), n.Chain(l.B)}, connectionID: map[string]string{},
	}
}

func (r *lane) configPath() string { return filepath.Join(r.home, "config", "config.yaml") }

func (r *lane) write(cfg rlyConfig) error {
	data, err := yaml.Marshal(cfg)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.configPath()), 0o750); err != nil {
		return err
	}
	return os.WriteFile(r.configPath(), data, 0o600)
}

func (r *lane) read() (rlyConfig, error) {
	var cfg rlyConfig
	data, err := os.ReadFile(r.configPath())
	if err != nil {
		return cfg, err
	}
	return cfg, yaml.Unmarshal(data, &cfg)
}

// rly runs a relayer command to its end.
func (r *lane) rly(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, ErrTimeout)
	defer cancel()
	args = append(args, "--home", r.home)
	err := r.n.launcher.run(ctx, r.log, nil, r.n.state.Rly, args...)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// setUp gives the relayer its configuration and keys.
func (r *lane) setUp(ctx context.Context, cfg rlyConfig) error {
	if err := r.write(cfg); err != nil {
		return err
	}
	for _, c := range r.chains {
		account, err := c.account(r.account)
		if err != nil {
			return err
		}
		if err := r.rly(ctx, "keys", "restore", c.ID, r.account, account.Mnemonic); err != nil {
			return err
		}
	}
	return nil
}

// linked are the chains that have a link.
func (n *Network) linked(links []link) []*Chain {
	var chains []*Chain
	for _, c := range n.chains {
		if slices.ContainsFunc(links, func(l link) bool { return l.a == c.ID || l.b == c.ID }) {
			chains = append(chains, c)
		}
	}
	return chains
}

// paths is what the relayer is to relay on: links with their clients and connections.
func paths(links []LinkState) map[string]rlyPath {
	out := map[string]rlyPath{}
	for _, l := range links {
		out[l.Path] = rlyPath{
			Src: rlyPathEnd{ChainID: l.A, ClientID: l.AClient, ConnectionID: l.AConnection},
			Dst: rlyPathEnd{ChainID: l.B, ClientID: l.BClient, ConnectionID: l.BConnection},
		}
	}
	return out
}

// createClients makes the light clients that two chains have of one another.
func (r *lane) createClients(ctx context.Context, l link, trustingPercent int) (LinkState, error) {
	state := LinkState{Path: l.name(), A: l.a, B: l.b}
	if err := r.rly(ctx, "transact", "clients", l.name(), "--client-tp-percentage", strconv.Itoa(trustingPercent)); err != nil {
		return state, err
	}
	cfg, err := r.read()
	if err != nil {
		return state, err
	}
	path := cfg.Paths[l.name()]
	state.AClient, state.BClient = path.Src.ClientID, path.Dst.ClientID
	if state.AClient == "" || state.BClient == "" {
		return state, errors.New("the relayer reports no clients")
	}
	return state, nil
}

// openConnection makes a connection out of the clients of a link, and notes it there.
func (r *lane) openConnection(ctx context.Context, state *LinkState) error {
	if err := r.n.settle(ctx, state.A, state.B); err != nil {
		return err
	}
	if err := r.rly(ctx, "transact", "connection", state.Path, "--timeout", "10s", "--max-retries", "10"); err != nil {
		return err
	}
	cfg, err := r.read()
	if err != nil {
		return err
	}
	path := cfg.Paths[state.Path]
	// Not as the relayer wrote it there: of several connections that a block confirms it takes any for its own.
	path.Src.ConnectionID, path.Dst.ConnectionID, err = connectionOf(ctx, connectiontypes.NewQueryClient(r.n.Chain(state.A).Conn()), state.AClient)
	if err != nil {
		return err
	}
	cfg.Paths[state.Path] = path
	r.n.mu.Lock()
	state.AConnection, state.BConnection = path.Src.ConnectionID, path.Dst.ConnectionID
	r.n.mu.Unlock()
	r.connectionID[state.A], r.connectionID[state.B] = path.Src.ConnectionID, path.Dst.ConnectionID
	// The relayer opens channels from a path's source. The way back is the same
	// path with its ends exchanged; it is not relayed on, only opened from.
	cfg.Paths[reversed(state.Path)] = rlyPath{Src: path.Dst, Dst: path.Src}
	return r.write(cfg)
}

// connectionOf finds the open connection of a light client on its chain: the id there, and the one on the other chain.
func connectionOf(ctx context.Context, chain connectiontypes.QueryClient, client string) (string, string, error) {
	ids, err := chain.ClientConnections(ctx, &connectiontypes.QueryClientConnectionsRequest{ClientId: client})
	if err != nil {
		return "", "", err
	}
	for _, id := range ids.ConnectionPaths {
		res, err := chain.Connection(ctx, &connectiontypes.QueryConnectionRequest{ConnectionId: id})
		if err != nil {
			return "", "", err
		}
		if res.Connection.State == connectiontypes.OPEN {
			return id, res.Connection.Counterparty.ConnectionId, nil
		}
	}
	return "", "", fmt.Errorf("%s has no open connection", client)
}

// settle waits until what was done last can be proved: the relayer looks at the
// block before the latest, and a proof of a block is in the next one's header.
func (n *Network) settle(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		if err := n.Chain(id).WaitBlocks(ctx, 2); err != nil {
			return err
		}
	}
	return nil
}

func reversed(path string) string { return path + "--reversed" }

// openChannel opens an unordered channel on a link, the handshake beginning on
// the chain from. It returns the channel's ids on from and on the other chain.
func (r *lane) openChannel(ctx context.Context, path, from, fromPort, toPort, version string) (string, string, error) {
	last := r.chains[1]
	if from != r.chains[0].ID {
		path, last = reversed(path), r.chains[0]
	}
	// The relayer takes any channel of these ports for its own that the other chain
	// confirms: one at a time, and the one before must be some blocks ago.
	last.confirming.Lock()
	defer last.confirming.Unlock()
	if err := r.n.settle(ctx, r.chains[0].ID, r.chains[1].ID); err != nil {
		return "", "", err
	}
	err := r.rly(ctx, "transact", "channel", path, "--src-port", fromPort, "--dst-port", toPort,
		"--order", "unordered", "--version", version, "--override", "--timeout", "10s", "--max-retries", "10")
	if err != nil {
		return "", "", err
	}
	return r.n.Chain(from).openChannelOn(ctx, r.connectionID[from], fromPort)
}

// RelayerRunning reports whether the relayer's process is alive.
func (n *Network) RelayerRunning() bool {
	n.mu.Lock()
	p := n.state.Relayer.Process
	n.mu.Unlock()
	return p != nil && p.alive()
}

// StartRelayer starts relaying on every link.
func (n *Network) StartRelayer() error {
	if n.RelayerRunning() || len(n.state.Links) == 0 {
		return nil
	}
	args := append([]string{}, n.state.Relayer.Args...)
	program, args := n.within(RelayerAccount, n.state.Rly, append(args, "--home", n.relayer())...)
	pid, err := n.launcher.start(n.state.Relayer.Log, nil, program, args...)
	if err != nil {
		return stepErr("", "start relayer", n.state.Relayer.Log, err)
	}
	return n.setRelayer(&pid)
}

// StopRelayer ends the relayer; what it would have relayed waits on the chains.
func (n *Network) StopRelayer() error { return n.endRelayer(5 * time.Second) }

// KillRelayer ends the relayer without giving it time for anything.
func (n *Network) KillRelayer() error { return n.endRelayer(0) }

func (n *Network) endRelayer(grace time.Duration) error {
	n.mu.Lock()
	p := n.state.Relayer.Process
	n.mu.Unlock()
	if p == nil {
		return nil
	}
	if err := stopAll([]PID{*p}, grace); err != nil {
		return stepErr("", "stop relayer", n.state.Relayer.Log, err)
	}
	return n.setRelayer(nil)
}

func (n *Network) setRelayer(pid *PID) error {
	n.mu.Lock()
	n.state.Relayer.Process = pid
	n.mu.Unlock()
	return n.save()
}

// clientRefresh is how old a light client may get before the relayer updates it
// without need: early enough that it lives for most of the shortest trusting
// period if the relayer stops. Left to itself the relayer lets two thirds pass.
func (t *Topology) clientRefresh() Duration {
	var shortest Duration
	for _, c := range t.Chains {
		if shortest == 0 || c.UnbondingTime < shortest {
			shortest = c.UnbondingTime
		}
	}
	return max(Duration(time.Second), shortest*Duration(t.Relayer.TrustingPercent)/100/6)
}

// startArgs are the arguments with which the relayer relays on all links.
func startArgs(links []LinkState, flush, refresh Duration) []string {
	args := []string{"start"}
	for _, l := range links {
		args = append(args, l.Path)
	}
	return append(args, "--flush-interval", flush.String(), "--time-threshold", refresh.String(), "--block-history", "50")
}
