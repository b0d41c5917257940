package localnet

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// layout is where things are in a network's home directory.
type layout struct{ home string }

func (l layout) chain(id string) string          { return filepath.Join(l.home, "chains", id) }
func (l layout) client(id string) string         { return filepath.Join(l.chain(id), "client") }
func (l layout) node(id string, i int) string    { return filepath.Join(l.chain(id), moniker(i)) }
func (l layout) log(name string) string          { return filepath.Join(l.home, "logs", name+".log") }
func (l layout) setupLog(id string) string       { return l.log(id + "-setup") }
func (l layout) nodeLog(id string, i int) string { return l.log(id + "-" + moniker(i)) }
func (l layout) relayer() string                 { return filepath.Join(l.home, "relayer") }

func moniker(i int) string { return fmt.Sprintf("node%d", i) }

func tcp(port int) string { return fmt.Sprintf("tcp://127.0.0.1:%d", port) }

// cometSettings are a node's values in config.toml.
func cometSettings(c *ChainSpec, ports Ports, peers []string) []setting {
	// A block takes its round trips plus the pause; the timeouts only matter
	// when a proposer is down, and are long enough for a loaded machine.
	const patience = Duration(2 * time.Second)
	return []setting{
		{"rpc", "laddr", tcp(ports.RPC)},
		{"rpc", "pprof_laddr", ""},
		{"rpc", "cors_allowed_origins", []string{"*"}},
		{"p2p", "laddr", tcp(ports.P2P)},
		{"p2p", "persistent_peers", strings.Join(peers, ",")},
		{"p2p", "addr_book_strict", false},
		{"p2p", "allow_duplicate_ip", true},
		{"p2p", "pex", false},
		{"consensus", "timeout_propose", patience},
		{"consensus", "timeout_prevote", patience / 2},
		{"consensus", "timeout_precommit", patience / 2},
		{"consensus", "timeout_commit", c.BlockTime},
		{"instrumentation", "prometheus", false},
	}
}

// appSettings are a node's values in app.toml.
func appSettings(c *ChainSpec, ports Ports) []setting {
	settings := []setting{
		{"", "minimum-gas-prices", c.MinGasPrice + c.Denom},
		{"grpc", "enable", true},
		{"grpc", "address", fmt.Sprintf("127.0.0.1:%d", ports.GRPC)},
		{"api", "enable", ports.API != 0},
	}
	if ports.API != 0 {
		settings = append(settings,
			setting{"api", "address", tcp(ports.API)},
			setting{"api", "enabled-unsafe-cors", true})
	}
	return settings
}

// clientSettings are the values in client.toml of the directory that `meshnet
// exec` gives to the meshd command.
func clientSettings(c *ChainSpec, ports Ports) []setting {
	return []setting{
		{"", "chain-id", c.ID},
		{"", "keyring-backend", "test"},
		{"", "output", "json"},
		{"", "node", tcp(ports.RPC)},
		{"", "broadcast-mode", "sync"},
	}
}
