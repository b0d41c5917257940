package localnet

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gopkg.in/yaml.v3"
)

// The watchtower's configuration file, as `meshd watch` reads it.
type (
	towerConfig struct {
		StateFile    string       `yaml:"state_file"`
		PollInterval string       `yaml:"poll_interval"`
		Keyring      towerKeyring `yaml:"keyring"`
		Chains       []towerChain `yaml:"chains"`
	}
	towerKeyring struct {
		Backend string `yaml:"backend"`
		Dir     string `yaml:"dir"`
	}
	towerChain struct {
		ChainID      string   `yaml:"chain_id"`
		RPC          []string `yaml:"rpc"`
		Bech32Prefix string   `yaml:"bech32_prefix"`
		GasPrice     string   `yaml:"gas_price"`
		Key          string   `yaml:"key"`
	}
)

func (l layout) watchtower() string { return filepath.Join(l.home, "watchtower") }

// towerConfig lets the watchtower follow every chain, through all of its nodes. Named accounts have one key on all
// chains, so any chain's keyring will do.
func (n *Network) towerConfig(account string) towerConfig {
	cfg := towerConfig{
		StateFile:    filepath.Join(n.watchtower(), "state.json"),
		PollInterval: time.Second.String(),
		Keyring:      towerKeyring{Backend: "test", Dir: n.chains[0].clientHome},
	}
	for _, c := range n.chains {
		chain := towerChain{ChainID: c.ID, Bech32Prefix: c.Prefix, GasPrice: c.MinGasPrice.String() + c.Denom, Key: account}
		for _, node := range c.Nodes {
			chain.RPC = append(chain.RPC, node.Ports.http())
		}
		cfg.Chains = append(cfg.Chains, chain)
	}
	return cfg
}

// setUpWatchtower writes the configuration of a watchtower whose transactions an account signs, and starts it.
func (n *Network) setUpWatchtower(account string) error {
	data, err := yaml.Marshal(n.towerConfig(account))
	if err != nil {
		return err
	}
	config := filepath.Join(n.watchtower(), "config.yaml")
	if err := os.MkdirAll(n.watchtower(), 0o750); err != nil {
		return err
	}
	if err := os.WriteFile(config, data, 0o600); err != nil {
		return err
	}
	n.mu.Lock()
	n.state.Watchtower = &WatchtowerState{Config: config, Log: n.log("watchtower"), Account: account}
	n.mu.Unlock()
	return n.StartWatchtower()
}

// WatchtowerRunning reports whether the watchtower's process is alive.
func (n *Network) WatchtowerRunning() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.state.Watchtower
	return w != nil && w.Process != nil && w.Process.alive()
}

// StartWatchtower starts the watchtower, if the topology has one.
func (n *Network) StartWatchtower() error {
	if n.WatchtowerRunning() {
		return nil
	}
	w := n.State().Watchtower
	if w == nil {
		return fmt.Errorf("the topology has no watchtower")
	}
	pid, err := n.launcher.start(w.Log, nil, n.state.Meshd, "watch", "--config", w.Config)
	if err != nil {
		return stepErr("", "start watchtower", w.Log, err)
	}
	return n.setWatchtower(&pid)
}

// StopWatchtower ends the watchtower; it remembers its place.
func (n *Network) StopWatchtower() error {
	w := n.State().Watchtower
	if w == nil || w.Process == nil {
		return nil
	}
	if err := stopAll([]PID{*w.Process}, 5*time.Second); err != nil {
		return stepErr("", "stop watchtower", w.Log, err)
	}
	return n.setWatchtower(nil)
}

func (n *Network) setWatchtower(pid *PID) error {
	n.mu.Lock()
	w := *n.state.Watchtower // others may hold the old one
	w.Process = pid
	n.state.Watchtower = &w
	n.mu.Unlock()
	return n.save()
}
