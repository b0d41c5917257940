package localnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	stateFile    = "state.json"
	stateVersion = 1
)

// Phase is how far a network has come.
type Phase string

// The phases of a network.
const (
	PhaseStarting Phase = "starting"
	PhaseRunning  Phase = "running"
	PhaseStopped  Phase = "stopped"
	PhaseFailed   Phase = "failed"
)

// State is what meshnet writes down about a network, so that another process
// can find, use and end it. All paths are absolute.
type State struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`
	ID      string    `json:"id"`
	Phase   Phase     `json:"phase"`
	Created time.Time `json:"created"`
	// Supervisor is the process that brings the network up or stays attached.
	Supervisor *PID           `json:"supervisor,omitempty"`
	Meshd      string         `json:"meshd"`
	Rly        string         `json:"rly"`
	Chains     []ChainState   `json:"chains"`
	Links      []LinkState    `json:"links,omitempty"`
	Pairings   []PairingState `json:"pairings,omitempty"`
	Transfers  []ChannelState `json:"transfers,omitempty"`
	Relayer    RelayerState   `json:"relayer"`
	// Watchtower is nil if the topology has none.
	Watchtower *WatchtowerState `json:"watchtower,omitempty"`
	// Namespaces is nil if all nodes are in this machine's own namespace.
	Namespaces *NamespaceState `json:"namespaces,omitempty"`
}

// NamespaceState is what is written down about a network's namespaces.
type NamespaceState struct {
	// FirstPart is the third part of the addresses of the first chain's nodes;
	// the other chains' follow.
	FirstPart int `json:"first_part"`
}

// ChainState is what is written down about a chain.
type ChainState struct {
	ID          string         `json:"id"`
	Prefix      string         `json:"prefix"`
	Denom       string         `json:"denom"`
	Decimals    uint32         `json:"decimals"`
	MinGasPrice string         `json:"min_gas_price"`
	BlockTime   time.Duration  `json:"block_time_ns"`
	EpochLength time.Duration  `json:"epoch_length_ns"`
	Unbonding   time.Duration  `json:"unbonding_time_ns"`
	ClientHome  string         `json:"client_home"`
	SetupLog    string         `json:"setup_log"`
	Nodes       []NodeState    `json:"nodes"`
	Accounts    []AccountState `json:"accounts"`
}

// NodeState is what is written down about a node.
type NodeState struct {
	Moniker string `json:"moniker"`
	Home    string `json:"home"`
	Log     string `json:"log"`
	NodeID  string `json:"node_id"`
	Ports   Ports  `json:"ports"`
	Process *PID   `json:"process,omitempty"`
	// Operator and Consensus are the addresses of the node's validator.
	Operator  string `json:"operator"`
	Consensus string `json:"consensus"`
}

// AccountState is a named account. Mnemonics of a local network are no secret.
type AccountState struct {
	Name     string `json:"name"`
	Address  string `json:"address"`
	Mnemonic string `json:"mnemonic"`
}

// LinkState is a pair of chains with clients and a connection.
type LinkState struct {
	Path        string `json:"path"`
	A           string `json:"a"`
	B           string `json:"b"`
	AClient     string `json:"a_client"`
	BClient     string `json:"b_client"`
	AConnection string `json:"a_connection"`
	BConnection string `json:"b_connection"`
}

// PairingState is one direction of security: delegators of Provider secure
// Consumer.
type PairingState struct {
	Provider string `json:"provider"`
	Consumer string `json:"consumer"`
	// ConsumerID is how the provider calls the consumer (its local client), and
	// ProviderID how the consumer calls the provider.
	ConsumerID      string `json:"consumer_id"`
	ProviderID      string `json:"provider_id"`
	ProviderChannel string `json:"provider_channel"`
	ConsumerChannel string `json:"consumer_channel"`
	// ProviderTransfer and ConsumerTransfer are the ends of the transfer channel
	// over which rewards come; empty if there is none.
	ProviderTransfer string `json:"provider_transfer,omitempty"`
	ConsumerTransfer string `json:"consumer_transfer,omitempty"`
	// The governance proposals that registered the pairing.
	ProviderProposal uint64 `json:"provider_proposal"`
	ConsumerProposal uint64 `json:"consumer_proposal"`
}

// ChannelState is an ICS-20 channel.
type ChannelState struct {
	A        string `json:"a"`
	B        string `json:"b"`
	AChannel string `json:"a_channel"`
	BChannel string `json:"b_channel"`
}

// RelayerState is what is written down about the relayer.
type RelayerState struct {
	Home     string   `json:"home"`
	Log      string   `json:"log"`
	SetupLog string   `json:"setup_log"`
	Args     []string `json:"args,omitempty"`
	Process  *PID     `json:"process,omitempty"`
}

// WatchtowerState is what is written down about the watchtower.
type WatchtowerState struct {
	Config string `json:"config"`
	Log    string `json:"log"`
	// Account is the name of the account that signs what it submits.
	Account string `json:"account"`
	Process *PID   `json:"process,omitempty"`
}

// loadState reads the state file of a home directory.
func loadState(home string) (*State, error) {
	path := filepath.Join(home, stateFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s does not exist (start one with `meshnet up --topology FILE --home %s`)", ErrNotANetwork, path, home)
	}
	if err != nil {
		return nil, err
	}
	state := new(State)
	if err := json.Unmarshal(data, state); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNotANetwork, path, err)
	}
	if state.Version != stateVersion {
		return nil, fmt.Errorf("%w: %s has version %d, this meshnet writes %d", ErrNotANetwork, path, state.Version, stateVersion)
	}
	return state, nil
}

// save writes the state in one step, so that no reader sees half of it.
func (s *State) save(home string) error {
	s.Version = stateVersion
	return WriteJSON(filepath.Join(home, stateFile), s)
}

// WriteJSON puts a value into a file in one step, so that nobody reads half of
// it; it makes the directory.
func WriteJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(append(data, '\n')); err != nil {
		_ = tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// processes returns every process the state knows.
func (s *State) processes() []PID {
	var out []PID
	if s.Relayer.Process != nil {
		out = append(out, *s.Relayer.Process)
	}
	if s.Watchtower != nil && s.Watchtower.Process != nil {
		out = append(out, *s.Watchtower.Process)
	}
	for _, c := range s.Chains {
		for _, n := range c.Nodes {
			if n.Process != nil {
				out = append(out, *n.Process)
			}
		}
	}
	return out
}

// lockHome makes sure that one process at a time starts or ends the network of
// a home directory. The lock goes with the process that holds it.
func lockHome(home string) (unlock func(), err error) {
	if err := os.MkdirAll(home, 0o750); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(home, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%w: another meshnet is working in %s", ErrHomeInUse, home)
	}
	return func() { _ = file.Close() }, nil
}
