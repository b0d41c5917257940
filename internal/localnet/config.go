package localnet

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
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

// loopback is the address of nodes that have none of their own.
const loopback = "127.0.0.1"

// address is where a port of the node is reached, as host:port.
func (p Ports) address(port int) string {
	return net.JoinHostPort(p.host(), strconv.Itoa(port))
}

func (p Ports) host() string {
	if p.Host == "" {
		return loopback
	}
	return p.Host
}

func (p Ports) rpc() string  { return "tcp://" + p.address(p.RPC) }
func (p Ports) http() string { return "http://" + p.address(p.RPC) }
func (p Ports) p2p() string  { return p.address(p.P2P) }
func (p Ports) grpc() string { return p.address(p.GRPC) }
func (p Ports) api() string  { return "http://" + p.address(p.API) }

// cometSettings are a node's values in config.toml.
func cometSettings(c *ChainSpec, ports Ports, peers []string) []setting {
	// A block takes its round trips plus the pause; the timeouts only matter
	// when a proposer is down, and are long enough for a loaded machine.
	const patience = Duration(2 * time.Second)
	return []setting{
		{"rpc", "laddr", ports.rpc()},
		{"rpc", "pprof_laddr", ""},
		{"rpc", "cors_allowed_origins", []string{"*"}},
		{"p2p", "laddr", "tcp://" + ports.p2p()},
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

// keptSnapshots is how many snapshots a node keeps: enough that one lives as long as another node fetches it.
const keptSnapshots = 4

// appSettings are a node's values in app.toml.
func appSettings(c *ChainSpec, ports Ports) []setting {
	settings := []setting{
		{"", "minimum-gas-prices", c.MinGasPrice + c.Denom},
		{"grpc", "enable", true},
		{"grpc", "address", ports.grpc()},
		{"api", "enable", ports.API != 0},
	}
	if c.SnapshotInterval != 0 {
		settings = append(settings,
			setting{"state-sync", "snapshot-interval", c.SnapshotInterval},
			setting{"state-sync", "snapshot-keep-recent", keptSnapshots})
	}
	if ports.API != 0 {
		settings = append(settings,
			setting{"api", "address", "tcp://" + ports.address(ports.API)},
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
		{"", "node", ports.rpc()},
		{"", "broadcast-mode", "sync"},
	}
}
