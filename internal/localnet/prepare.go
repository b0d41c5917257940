package localnet

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/cosmos/cosmos-sdk/crypto/codec"
	cryptotypes "github.com/cosmos/cosmos-sdk/crypto/types"

	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
)

// prepareChain writes everything the nodes of a chain need: homes made by
// `meshd init`, one genesis for all, configuration, and a keyring.
func (n *Network) prepareChain(ctx context.Context, topo *Topology, c *ChainSpec, ports []Ports) (ChainState, error) {
	state := ChainState{
		ID: c.ID, Prefix: c.Prefix, Denom: c.Denom, Decimals: *c.Decimals, MinGasPrice: c.MinGasPrice,
		BlockTime: time.Duration(c.BlockTime), EpochLength: time.Duration(c.EpochLength),
		Unbonding: time.Duration(c.UnbondingTime), ClientHome: n.client(c.ID), SetupLog: n.setupLog(c.ID),
	}
	enc, err := newEncoding(c.Prefix)
	if err != nil {
		return state, err
	}
	if state.Accounts, err = chainAccounts(topo, c, enc); err != nil {
		return state, err
	}

	meshd := func(args ...string) error {
		env := []string{"MESHD_BECH32_PREFIX=" + c.Prefix}
		return n.launcher.run(ctx, n.setupLog(c.ID), env, n.state.Meshd, args...)
	}
	var keys []cryptotypes.PubKey
	for i := range c.Validators {
		home := n.node(c.ID, i)
		if err := meshd("init", moniker(i), "--chain-id", c.ID, "--default-denom", c.Denom, "--home", home); err != nil {
			return state, err
		}
		node := NodeState{Moniker: moniker(i), Home: home, Log: n.nodeLog(c.ID, i), Ports: ports[i]}
		key, err := node.readKeys(enc, state.Accounts[i])
		if err != nil {
			return state, err
		}
		keys = append(keys, key)
		state.Nodes = append(state.Nodes, node)
	}

	first := filepath.Join(n.node(c.ID, 0), "config", "genesis.json")
	doc, err := readGenesis(first)
	if err != nil {
		return state, err
	}
	if err := buildGenesis(doc, topo, c, enc, state.Accounts, keys); err != nil {
		return state, err
	}
	for i, node := range state.Nodes {
		if err := doc.write(filepath.Join(node.Home, "config", "genesis.json")); err != nil {
			return state, err
		}
		if err := editTOML(filepath.Join(node.Home, "config", "config.toml"), cometSettings(c, node.Ports, state.peers(i))); err != nil {
			return state, err
		}
		if err := editTOML(filepath.Join(node.Home, "config", "app.toml"), appSettings(c, node.Ports)); err != nil {
			return state, err
		}
	}
	if err := n.prepareClient(c, enc, state); err != nil {
		return state, err
	}
	return state, meshd("genesis", "validate", first, "--home", state.Nodes[0].Home)
}

// prepareClient makes the directory that gives the meshd command its keys and
// the address of the first node.
func (n *Network) prepareClient(c *ChainSpec, enc *encoding, state ChainState) error {
	config := filepath.Join(state.ClientHome, "config")
	if err := os.MkdirAll(config, 0o750); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(state.Nodes[0].Home, "config", "client.toml"))
	if err != nil {
		return err
	}
	path := filepath.Join(config, "client.toml")
	if err := os.WriteFile(path, data, 0o600); err != nil { //nolint:gosec // below the directory that the user names
		return err
	}
	if err := editTOML(path, clientSettings(c, state.Nodes[0].Ports)); err != nil {
		return err
	}
	return storeKeys(enc.codec, state.ClientHome, state.Accounts)
}

// readKeys fills in what follows from the keys that `meshd init` has made.
func (s *NodeState) readKeys(enc *encoding, operator AccountState) (cryptotypes.PubKey, error) {
	nodeKey, err := p2p.LoadNodeKey(filepath.Join(s.Home, "config", "node_key.json"))
	if err != nil {
		return nil, err
	}
	s.NodeID = string(nodeKey.ID())
	if s.Operator, err = enc.operatorOf(operator.Address); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(s.Home, "config", "priv_validator_key.json"))
	if err != nil {
		return nil, err
	}
	var key privval.FilePVKey
	if err := cmtjson.Unmarshal(data, &key); err != nil {
		return nil, err
	}
	if s.Consensus, err = enc.consensus.BytesToString(key.Address); err != nil {
		return nil, err
	}
	return codec.FromCmtPubKeyInterface(key.PubKey)
}

// peers are the other nodes of a chain, as CometBFT writes them.
func (s ChainState) peers(self int) []string {
	var out []string
	for i, node := range s.Nodes {
		if i != self {
			out = append(out, node.NodeID+"@"+node.Ports.p2p())
		}
	}
	return out
}
