package localnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A network can have a network namespace for each node and relayer, so that
// links between them can be cut. All are plugged into a switch, which is a
// namespace too: no firewall of the machine sees their traffic, and everything
// is gone when the namespaces are. For each chain the switch has a bridge, and a
// second one, the far side, for a part of the chain that is split off. This
// process reaches the nodes through a link of its own to each bridge.
//
// Everything carries the network's id in its name, so that whoever finds it can
// remove it.

// ErrNoNamespaces is why a machine cannot isolate nodes.
var ErrNoNamespaces = errors.New("no network namespaces")

const (
	namespacePrefix = "meshnet-"
	switchName      = "switch"
	// hostPort is the interface of the switch that leads to this process.
	hostPort = "host"
)

// Addresses are taken from the range that is reserved for tests of networks, a
// part of 256 for each chain.
const (
	addressRange = "198.18"
	hostAddress  = 1
	relayerFirst = 2
	nodeFirst    = 10
)

// namespaceOf is the namespace of one member of a network.
func namespaceOf(networkID, member string) string { return namespacePrefix + networkID + "-" + member }

func (n *Network) namespace(member string) string { return namespaceOf(n.state.ID, member) }

func nodeMember(chain string, node int) string { return chain + "-" + moniker(node) }

// Interfaces of the switch. Their names have at most 15 letters.
func bridge(chain int) string         { return fmt.Sprintf("near%d", chain) }
func farBridge(chain int) string      { return fmt.Sprintf("far%d", chain) }
func nodePort(chain, node int) string { return fmt.Sprintf("c%dn%d", chain, node) }
func relayerPort(member string, chain int) string {
	return fmt.Sprintf("%.8s-c%d", member, chain)
}

// hostLink is this machine's end of the link to a chain's bridge.
func hostLink(networkID string, chain int) string { return fmt.Sprintf("mn%.8sc%d", networkID, chain) }

// ip runs a command of iproute2.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func ips(commands ...[]string) error {
	for _, args := range commands {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

// CanIsolate tells whether this machine and this user can make network
// namespaces with links and bridges. If not, the error says why.
func CanIsolate() error {
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("%w: %w", ErrNoNamespaces, err)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: only root can make them", ErrNoNamespaces)
	}
	name := namespaceOf("probe", fmt.Sprint(os.Getpid()))
	if err := ip("netns", "add", name); err != nil {
		return fmt.Errorf("%w: %w", ErrNoNamespaces, err)
	}
	err := ips(
		[]string{"-n", name, "link", "add", "name", "veth0", "type", "veth", "peer", "name", "veth1"},
		[]string{"-n", name, "link", "add", "name", "bridge0", "type", "bridge"},
		[]string{"-n", name, "link", "set", "dev", "veth0", "master", "bridge0"},
	)
	if err = errors.Join(err, ip("netns", "del", name)); err != nil {
		return fmt.Errorf("%w: %w", ErrNoNamespaces, err)
	}
	return nil
}

// freeRange finds a third octet for each of n chains that no interface of this
// machine uses, so that several networks can run at a time.
func freeRange(n int) (int, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return 0, err
	}
	for first := 0; first+n <= 255; first += n {
		taken := slices.ContainsFunc(addresses, func(a net.Addr) bool {
			for i := range n {
				if strings.HasPrefix(a.String(), fmt.Sprintf("%s.%d.", addressRange, first+i)) {
					return true
				}
			}
			return false
		})
		if !taken {
			return first, nil
		}
	}
	return 0, fmt.Errorf("%w: no free addresses in %s.0.0/16", ErrNoNamespaces, addressRange)
}

func addressIn(part, host int) string { return fmt.Sprintf("%s.%d.%d", addressRange, part, host) }

// isolate makes the namespaces of a network and gives every node its address.
func (n *Network) isolate(topo *Topology, ports map[string][]Ports) error {
	if err := CanIsolate(); err != nil {
		return err
	}
	part, err := freeRange(len(topo.Chains))
	if err != nil {
		return err
	}
	n.state.Namespaces = &NamespaceState{FirstPart: part}
	if err := n.save(); err != nil {
		return err
	}
	sw := n.namespace(switchName)
	if err := ip("netns", "add", sw); err != nil {
		return err
	}
	for i := range topo.Chains {
		link := hostLink(n.state.ID, i)
		err := ips(
			[]string{"-n", sw, "link", "add", "name", bridge(i), "type", "bridge"},
			[]string{"-n", sw, "link", "add", "name", farBridge(i), "type", "bridge"},
			[]string{"-n", sw, "link", "set", "dev", bridge(i), "up"},
			[]string{"-n", sw, "link", "set", "dev", farBridge(i), "up"},
			[]string{"link", "add", "name", link, "type", "veth", "peer", "name", hostPort + fmt.Sprint(i), "netns", sw},
			[]string{"-n", sw, "link", "set", "dev", hostPort + fmt.Sprint(i), "master", bridge(i), "up"},
			[]string{"addr", "add", addressIn(part+i, hostAddress) + "/24", "dev", link},
			[]string{"link", "set", "dev", link, "up"},
		)
		if err != nil {
			return err
		}
		c := &topo.Chains[i]
		for j := range ports[c.ID] {
			host := addressIn(part+i, nodeFirst+j)
			ports[c.ID][j].Host = host
			member := nodeMember(c.ID, j)
			if err := n.addMember(member); err != nil {
				return err
			}
			if err := n.plug(member, nodePort(i, j), "eth0", i, host); err != nil {
				return err
			}
		}
	}
	return nil
}

// addMember makes a namespace.
func (n *Network) addMember(member string) error {
	ns := n.namespace(member)
	return ips([]string{"netns", "add", ns}, []string{"-n", ns, "link", "set", "dev", "lo", "up"})
}

// plug connects a namespace with a chain's bridge.
func (n *Network) plug(member, port, device string, chain int, host string) error {
	sw, ns := n.namespace(switchName), n.namespace(member)
	return ips(
		[]string{"-n", sw, "link", "add", "name", port, "type", "veth", "peer", "name", device, "netns", ns},
		[]string{"-n", sw, "link", "set", "dev", port, "master", bridge(chain), "up"},
		[]string{"-n", ns, "addr", "add", host + "/24", "dev", device},
		[]string{"-n", ns, "link", "set", "dev", device, "up"},
	)
}

// isolateRelayer gives a relayer a namespace with a link to every chain. index
// tells relayers apart.
func (n *Network) isolateRelayer(member string, index int) error {
	if n.state.Namespaces == nil {
		return nil
	}
	if err := n.addMember(member); err != nil {
		return err
	}
	for i := range n.chains {
		host := addressIn(n.state.Namespaces.FirstPart+i, relayerFirst+index)
		if err := n.plug(member, relayerPort(member, i), fmt.Sprintf("eth%d", i), i, host); err != nil {
			return err
		}
	}
	return nil
}

// within is the command that runs a program in a member's namespace, or the
// program itself if the network has none.
func (n *Network) within(member, program string, args ...string) (string, []string) {
	if n.state.Namespaces == nil {
		return program, args
	}
	return "ip", append([]string{"netns", "exec", n.namespace(member), program}, args...)
}

// Isolated tells whether nodes have namespaces of their own.
func (n *Network) Isolated() bool { return n.state.Namespaces != nil }

func (n *Network) setPort(port string, args ...string) error {
	if n.state.Namespaces == nil {
		return ErrNoNamespaces
	}
	return ip(append([]string{"-n", n.namespace(switchName), "link", "set", "dev", port}, args...)...)
}

func (n *Network) chainIndex(c *Chain) int { return slices.Index(n.chains, c) }

// Cut unplugs the node from the network; Mend plugs it in again.
func (n *Node) Cut() error {
	net := n.Chain.net
	return net.setPort(nodePort(net.chainIndex(n.Chain), n.Index), "down")
}

// Mend ends what Cut has begun.
func (n *Node) Mend() error {
	net := n.Chain.net
	return net.setPort(nodePort(net.chainIndex(n.Chain), n.Index), "up")
}

// Split moves nodes to the far side: they reach one another and nobody else.
func (c *Chain) Split(far ...*Node) error { return c.move(farBridge(c.net.chainIndex(c)), far) }

// Join brings nodes back from the far side.
func (c *Chain) Join(far ...*Node) error { return c.move(bridge(c.net.chainIndex(c)), far) }

func (c *Chain) move(to string, nodes []*Node) error {
	var errs []error
	for _, node := range nodes {
		errs = append(errs, c.net.setPort(nodePort(c.net.chainIndex(c), node.Index), "master", to))
	}
	return errors.Join(errs...)
}

// CutRelayer takes the relayer's link to a chain away; MendRelayer brings it back.
func (n *Network) CutRelayer(c *Chain) error {
	return n.setPort(relayerPort(RelayerAccount, n.chainIndex(c)), "down")
}

// MendRelayer ends what CutRelayer has begun.
func (n *Network) MendRelayer(c *Chain) error {
	return n.setPort(relayerPort(RelayerAccount, n.chainIndex(c)), "up")
}

// removeNamespaces removes every namespace of a network, and with them all links and bridges.
func removeNamespaces(networkID string) error {
	var errs []error
	for _, name := range namespacesOf(networkID) {
		errs = append(errs, ip("netns", "del", name))
	}
	return errors.Join(errs...)
}

// namespacesOf lists the namespaces of a network that are left.
func namespacesOf(networkID string) []string {
	if networkID == "" {
		return nil
	}
	entries, err := os.ReadDir("/run/netns")
	if err != nil {
		return nil // there are none
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), namespaceOf(networkID, "")) {
			out = append(out, e.Name())
		}
	}
	return out
}

// mountsBelow lists what is mounted below a directory, the deepest first.
func mountsBelow(dir string) []string {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil
	}
	return mountPoints(string(data), dir)
}

// mountPoints reads the mount points below a directory from the text of /proc/mounts.
func mountPoints(text, dir string) []string {
	var out []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[1])
		if strings.HasPrefix(point, filepath.Clean(dir)+"/") {
			out = append(out, point)
		}
	}
	slices.Reverse(out)
	return out
}

// cleanUp removes what a network has made outside its directory: namespaces, and
// mounts below the directory. There may be nothing.
func cleanUp(networkID, home string) error {
	errs := []error{removeNamespaces(networkID)}
	for _, point := range mountsBelow(home) {
		errs = append(errs, unmount(point))
	}
	return errors.Join(errs...)
}

func unmount(point string) error {
	if out, err := exec.Command("umount", point).CombinedOutput(); err != nil {
		return fmt.Errorf("umount %s: %w: %s", point, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// MountData puts the node's data on a disk of its own, in memory, of so many
// bytes. The node must not run. The disk goes with the network.
func (n *Node) MountData(bytes int64) error {
	if n.Running() {
		return fmt.Errorf("%s of %s runs", n.Moniker, n.Chain.ID)
	}
	data, aside := n.DataDir(), n.DataDir()+".before"
	if err := os.Rename(data, aside); err != nil {
		return err
	}
	if err := os.Mkdir(data, 0o750); err != nil {
		return err
	}
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d,mode=750", bytes), "meshnet", data).CombinedOutput() //nolint:gosec // below the network's directory
	if err != nil {
		return errors.Join(fmt.Errorf("mount a disk at %s: %w: %s", data, err, strings.TrimSpace(string(out))),
			os.Remove(data), os.Rename(aside, data))
	}
	if err := os.CopyFS(data, os.DirFS(aside)); err != nil {
		return err
	}
	return os.RemoveAll(aside)
}

// ResizeData gives the disk that MountData has mounted another size, in bytes.
func (n *Node) ResizeData(bytes int64) error {
	out, err := exec.Command("mount", "-o", fmt.Sprintf("remount,size=%d", bytes), n.DataDir()).CombinedOutput() //nolint:gosec // below the network's directory
	if err != nil {
		return fmt.Errorf("resize the disk at %s: %w: %s", n.DataDir(), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// DataMounted tells whether MountData has been called.
func (n *Node) DataMounted() bool {
	return slices.Contains(mountsBelow(n.Home), n.DataDir())
}

// DataDir is the node's data directory.
func (n *Node) DataDir() string { return filepath.Join(n.Home, "data") }

// CanMount tells whether this machine and this user can mount a disk in memory.
func CanMount(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "meshnet-mount")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	out, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", "size=1m", "meshnet", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot mount a disk in memory: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return unmount(dir)
}
