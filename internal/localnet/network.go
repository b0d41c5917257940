package localnet

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
)

// Options say where and with what a network runs.
type Options struct {
	// Home is the network's directory; everything it writes is below it.
	Home string
	// Meshd and Rly are the binaries. Left empty, they are looked for in the
	// directory MESH_BIN, in build/bin of this directory and its parents, and in
	// PATH.
	Meshd string
	Rly   string
	// Namespaces gives every node and relayer a network namespace of its own, so
	// that links can be cut. It needs root; see CanIsolate.
	Namespaces bool
	// Binaries are those of chains that begin with another than Meshd, by chain.
	Binaries map[string]string
	// Running is called when all chains make blocks and before they are connected; may be nil.
	Running func(ctx context.Context, n *Network) error
	// Progress is told what is going on; may be nil.
	Progress Progress
}

// Network is a set of running chains and the relayer between them.
type Network struct {
	layout
	launcher launcher
	report   *reporter

	mu     sync.Mutex
	state  *State
	chains []*Chain
}

// Up starts everything a topology describes and returns once all pairings are
// open. If anything fails, or ctx ends, it ends what it has started; the logs
// stay in the home directory.
func Up(ctx context.Context, topo *Topology, opts Options) (*Network, error) {
	topo.setDefaults()
	if err := topo.Validate(); err != nil {
		return nil, err
	}
	meshd, err := FindBinary("meshd", opts.Meshd)
	if err != nil {
		return nil, err
	}
	rly := ""
	if len(topo.links()) > 0 {
		if rly, err = FindBinary("rly", opts.Rly); err != nil {
			return nil, err
		}
	}
	home, err := filepath.Abs(opts.Home)
	if err != nil {
		return nil, err
	}
	unlock, err := lockHome(home)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := clearHome(home); err != nil {
		return nil, err
	}

	picker := newPortPicker(topo.BasePort)
	defer picker.release()
	ports, err := picker.pickPorts(topo)
	if err != nil {
		return nil, err
	}

	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	self := pidOf(os.Getpid())
	n := &Network{
		layout: layout{home},
		report: newReporter(opts.Progress),
		state: &State{
			Name: topo.Name, ID: hex.EncodeToString(id), Phase: PhaseStarting, Created: time.Now().UTC(),
			Supervisor: &self, Meshd: meshd, Rly: rly,
		},
	}
	n.launcher.networkID = n.state.ID
	n.state.Relayer = RelayerState{Home: n.relayer(), Log: n.log("relayer"), SetupLog: n.log("relayer-setup")}
	if n.launcher.guard, err = newGuard(n.state.ID, home, n.log("guard")); err != nil {
		return nil, err
	}
	if opts.Namespaces {
		err = n.report.step("", "network namespaces", "", func() (string, error) { return "", n.isolate(topo, ports) })
	}
	if err == nil {
		err = n.bringUp(ctx, topo, opts, ports, picker)
	}
	if err != nil {
		n.report.send(Event{Step: "ending what was started"})
		n.state.Phase = PhaseFailed
		return nil, errors.Join(err, n.end())
	}
	return n, nil
}

// firstHeight is how far a chain must be before it is used: ibc cannot prove
// anything about the first blocks.
const firstHeight = 4

func (n *Network) bringUp(ctx context.Context, topo *Topology, opts Options, ports map[string][]Ports, picker *portPicker) error {
	if err := n.save(); err != nil {
		return err
	}
	n.state.Chains = make([]ChainState, len(topo.Chains))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(4) // each makes one meshd process at a time
	for i := range topo.Chains {
		spec := &topo.Chains[i]
		group.Go(func() error {
			return n.report.step(spec.ID, "genesis", n.setupLog(spec.ID), func() (string, error) {
				state, err := n.prepareChain(groupCtx, topo, spec, ports[spec.ID])
				n.state.Chains[i] = state
				return fmt.Sprintf("%d validators, %d accounts", spec.Validators, len(state.Accounts)), err
			})
		})
	}
	if err := group.Wait(); err != nil {
		return cause(ctx, err)
	}
	for _, s := range n.state.Chains {
		chain, err := newChain(n, s)
		if err != nil {
			return stepErr(s.ID, "clients", "", err)
		}
		n.chains = append(n.chains, chain)
	}

	picker.release()
	for _, c := range n.chains {
		for _, node := range c.Nodes {
			if err := node.StartWith(cmp.Or(opts.Binaries[c.ID], n.state.Meshd)); err != nil {
				return err
			}
		}
	}
	group, groupCtx = errgroup.WithContext(ctx)
	for _, c := range n.chains {
		group.Go(func() error {
			return n.report.step(c.ID, "start nodes", c.Nodes[0].Log, func() (string, error) {
				return "RPC " + c.Nodes[0].Ports.rpc(), c.waitReady(groupCtx)
			})
		})
	}
	if err := group.Wait(); err != nil {
		return cause(ctx, err)
	}
	if opts.Running != nil {
		if err := opts.Running(ctx, n); err != nil {
			return cause(ctx, err)
		}
	}
	if err := n.connect(ctx, topo); err != nil {
		return cause(ctx, err)
	}
	if account := topo.Watchtower.Account; account != "" {
		err := n.report.step("", "start watchtower", n.log("watchtower"), func() (string, error) {
			return "signs as " + account, n.setUpWatchtower(account)
		})
		if err != nil {
			return cause(ctx, err)
		}
	}
	n.mu.Lock()
	n.state.Phase = PhaseRunning
	n.mu.Unlock()
	return n.save()
}

// waitReady waits for all nodes together: if one dies the others may wait in vain.
func (c *Chain) waitReady(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range c.Nodes {
		group.Go(func() error { return node.WaitReady(ctx, firstHeight, 2*time.Minute) })
	}
	return group.Wait()
}

// cause prefers the reason why the work was stopped to what that led to.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Open returns the network that runs in a home directory, to be used or ended
// by this process. It leaves the processes alone.
func Open(home string) (*Network, error) {
	home, err := filepath.Abs(home)
	if err != nil {
		return nil, err
	}
	state, err := loadState(home)
	if err != nil {
		return nil, err
	}
	n := &Network{layout: layout{home}, report: newReporter(nil), state: state}
	n.launcher.networkID = state.ID
	for _, s := range state.Chains {
		if len(s.Nodes) == 0 {
			continue // it ended before the chain was made
		}
		chain, err := newChain(n, s)
		if err != nil {
			return nil, err
		}
		n.chains = append(n.chains, chain)
	}
	return n, nil
}

// Home is the network's directory.
func (n *Network) Home() string { return n.home }

// State returns a copy of what is written down about the network.
func (n *Network) State() State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return *n.state
}

// Chains lists the chains in the topology's order.
func (n *Network) Chains() []*Chain { return n.chains }

// Chain returns a chain by id, nil if there is none.
func (n *Network) Chain(id string) *Chain {
	for _, c := range n.chains {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// Pairing returns the pairing in which provider's stake secures consumer.
func (n *Network) Pairing(provider, consumer string) (PairingState, error) {
	for _, p := range n.State().Pairings {
		if p.Provider == provider && p.Consumer == consumer {
			return p, nil
		}
	}
	return PairingState{}, fmt.Errorf("%s does not provide security to %s", provider, consumer)
}

// Detach lets the network outlive this process.
func (n *Network) Detach() error {
	n.mu.Lock()
	n.state.Supervisor = nil
	n.mu.Unlock()
	if err := n.save(); err != nil {
		return err
	}
	n.launcher.guard.detach()
	return nil
}

// Down ends every process of the network and waits until they are gone. Data
// and logs stay.
func (n *Network) Down() error {
	unlock, err := lockHome(n.home)
	if err != nil {
		return err
	}
	defer unlock()
	n.mu.Lock()
	n.state.Phase = PhaseStopped
	n.mu.Unlock()
	return n.end()
}

// end ends all processes: those written down and those that carry the mark.
func (n *Network) end() error {
	n.mu.Lock()
	pids := n.state.processes()
	n.mu.Unlock()
	// The relayer first: without its chains it only fills its log.
	err := stopAll(append(pids, marked(n.state.ID)...), stopGrace)
	err = errors.Join(err, cleanUp(n.state.ID, n.home))
	n.mu.Lock()
	n.state.Supervisor = nil
	n.state.Relayer.Process = nil
	if w := n.state.Watchtower; w != nil {
		n.state.Watchtower = &WatchtowerState{Config: w.Config, Log: w.Log, Account: w.Account}
	}
	for i := range n.state.Chains {
		for j := range n.state.Chains[i].Nodes {
			n.state.Chains[i].Nodes[j].Process = nil
		}
	}
	n.mu.Unlock()
	err = errors.Join(err, n.save())
	n.launcher.guard.detach()
	return err
}

// Watch blocks until ctx ends, or until a process ends that nobody stopped.
// The latter is a *StepError with the process's log.
func (n *Network) Watch(ctx context.Context) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// Another meshnet may have stopped something on purpose.
		state, err := loadState(n.home)
		if err != nil {
			return err
		}
		if state.ID != n.state.ID || state.Phase == PhaseStopped {
			n.launcher.guard.detach() // nothing is left to guard
			return ErrStoppedElsewhere
		}
		for _, c := range state.Chains {
			for _, node := range c.Nodes {
				if node.Process != nil && !node.Process.alive() {
					return stepErr(c.ID, node.Moniker, node.Log, n.launcher.exited(*node.Process))
				}
			}
		}
		if p := state.Relayer.Process; p != nil && !p.alive() {
			return stepErr("", "relayer", state.Relayer.Log, n.launcher.exited(*p))
		}
		if w := state.Watchtower; w != nil && w.Process != nil && !w.Process.alive() {
			return stepErr("", "watchtower", w.Log, n.launcher.exited(*w.Process))
		}
	}
}

func (n *Network) save() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state.save(n.home)
}

func (n *Network) processOf(node *Node) *PID {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.nodeState(node).Process; p != nil {
		pid := *p
		return &pid
	}
	return nil
}

func (n *Network) setProcess(node *Node, pid *PID) error {
	n.mu.Lock()
	n.nodeState(node).Process = pid
	n.mu.Unlock()
	return n.save()
}

func (n *Network) nodeState(node *Node) *NodeState {
	i := slices.IndexFunc(n.state.Chains, func(c ChainState) bool { return c.ID == node.Chain.ID })
	return &n.state.Chains[i].Nodes[node.Index]
}

// clearHome makes room for a new network. It removes only what an earlier one
// has left, and refuses to touch a directory that is something else.
func clearHome(home string) error {
	entries, err := os.ReadDir(home)
	if err != nil {
		return err
	}
	state, err := loadState(home)
	if err != nil {
		if _, statErr := os.Stat(filepath.Join(home, stateFile)); errors.Is(statErr, fs.ErrNotExist) {
			for _, e := range entries {
				if e.Name() != ".lock" {
					return fmt.Errorf("%w: %s is not empty; choose another --home", ErrNotANetwork, home)
				}
			}
			return nil
		}
		return err
	}
	for _, p := range append(state.processes(), marked(state.ID)...) {
		if p.alive() {
			return fmt.Errorf("%w: %s (end it with `meshnet down --home %s`)", ErrAlreadyRunning, home, home)
		}
	}
	if err := cleanUp(state.ID, home); err != nil {
		return err
	}
	for _, name := range []string{"chains", "logs", "relayer", "watchtower", stateFile} {
		if err := os.RemoveAll(filepath.Join(home, name)); err != nil {
			return err
		}
	}
	return nil
}

// Purge removes what a network that was ended has left in its home directory.
func Purge(home string) error {
	unlock, err := lockHome(home)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := loadState(home); err != nil {
		return err
	}
	if err := clearHome(home); err != nil {
		return err
	}
	_ = os.Remove(filepath.Join(home, ".lock"))
	_ = os.Remove(home) // only if nothing else is in it
	return nil
}

// StopStarting ends an `up` that is still at work in another process, which
// then ends what it has started. It reports whether there was one.
func StopStarting(home string, timeout time.Duration) (bool, error) {
	state, err := loadState(home)
	if err != nil {
		return false, err
	}
	if state.Phase != PhaseStarting || state.Supervisor == nil || !state.Supervisor.alive() {
		return false, nil
	}
	if err := syscall.Kill(state.Supervisor.PID, syscall.SIGTERM); err != nil {
		return true, err
	}
	if !waitGone([]PID{*state.Supervisor}, timeout) {
		return true, fmt.Errorf("%w: process %d, which is starting the network, does not end", ErrTimeout, state.Supervisor.PID)
	}
	return true, nil
}

// FindBinary returns the absolute path of a program, given or looked for as Options say.
func FindBinary(name, given string) (string, error) {
	check := func(path string) (string, error) {
		path, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		return exec.LookPath(path)
	}
	if given != "" {
		path, err := check(given)
		if err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrMissingBinary, name, err)
		}
		return path, nil
	}
	if bin := os.Getenv("MESH_BIN"); bin != "" {
		if path, err := check(filepath.Join(bin, name)); err == nil {
			return path, nil
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if path, err := check(filepath.Join(at, "build", "bin", name)); err == nil {
			return path, nil
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	return "", fmt.Errorf("%w: %s is neither in build/bin of %s or a directory above it, nor in PATH; run `make build`, or give its place with --%s",
		ErrMissingBinary, name, dir, name)
}

func moduleAddress(module string) []byte { return authtypes.NewModuleAddress(module) }
