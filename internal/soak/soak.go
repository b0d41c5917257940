package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mesh-security/mesh/internal/localnet"
)

// Options say what is run.
type Options struct {
	// Topology is the network: two chains that secure one another.
	Topology *localnet.Topology
	// Home is the network's directory, Report the file to write.
	Home, Report string
	// Duration is how long faults are made, at least; every kind is made once however short it is.
	Duration time.Duration
	// Seed decides which faults are made, where, and what the delegators do.
	Seed uint64
	// WithoutNamespaces leaves out what needs network namespaces or mounts, and keeps all nodes on 127.0.0.1.
	WithoutNamespaces bool
	// Meshd and Rly are the binaries, as in localnet.Options.
	Meshd, Rly string
	// Command is what is printed to reproduce the run.
	Command string
	// Out is where progress is shown.
	Out io.Writer
}

// ErrFailed ends a run in which something was wrong; the report says what.
var ErrFailed = errors.New("the soak failed")

// skewedNode is the validator of each chain that has a clock of its own.
const skewedNode = 3

// soak is one run.
type soak struct {
	Options
	net    *localnet.Network
	chains []*chain
	began  time.Time
	// courier is the second relayer.
	courier *localnet.Courier
	// courierSent is how many transactions it has sent when it was last seen.
	courierSent uint64
	// relayerBusy counts faults that want the relayer dead.
	relayerBusy atomic.Int32
	// clients is held by faults that keep light clients from being updated: two at a time could let them expire.
	clients sync.Mutex

	mu     sync.Mutex
	report Report
}

// chain is one of the chains, with what the run knows of it.
type chain struct {
	*localnet.Chain
	soak  *soak
	index int
	nodes []*node
	// partner is the other chain, ids how this chain provides to it.
	partner *chain
	ids     localnet.PairingState
	clock   clockWatch
}

// node is a node with what is being done to it.
type node struct {
	*localnet.Node
	chain  *chain
	signer *signer
	// busy counts faults that may end the process.
	busy atomic.Int32
	// damaged are parts of the log in which the node may complain of its disk.
	mu      sync.Mutex
	damaged []logPart
}

func (n *node) name() string { return n.chain.ID + " " + n.Moniker }

// missing tells which kinds of fault this machine cannot make, and why.
func missing(ctx context.Context) (map[Kind]bool, []string) {
	without := map[Kind]bool{}
	var reasons []string
	note := func(kinds map[Kind]bool, err error) {
		if err == nil {
			return
		}
		var names []string
		for _, k := range Kinds {
			if kinds[k] {
				without[k] = true
				names = append(names, string(k))
			}
		}
		reasons = append(reasons, fmt.Sprintf("%s: %v", strings.Join(names, ", "), err))
	}
	note(needsNamespaces, localnet.CanIsolate())
	note(needsMount, localnet.CanMount(ctx))
	return without, reasons
}

// Run runs the soak. It ends every process it has started and removes every
// namespace and mount, and writes the report whatever happens.
func Run(ctx context.Context, opts Options) (Report, error) {
	if len(opts.Topology.Chains) != 2 || len(opts.Topology.Pairings) != 2 {
		return Report{}, errors.New("a soak needs two chains that secure one another")
	}
	without, reasons := missing(ctx)
	if len(reasons) > 0 && !opts.WithoutNamespaces {
		return Report{}, fmt.Errorf("this machine cannot make all faults; --without-namespaces does the others\n  %s", strings.Join(reasons, "\n  "))
	}
	if opts.WithoutNamespaces {
		for _, kinds := range []map[Kind]bool{needsNamespaces, needsMount} {
			for k := range kinds {
				without[k] = true
			}
		}
	}
	s := &soak{Options: opts, began: time.Now()}
	s.report = Report{Seed: opts.Seed, Minutes: opts.Duration.Minutes(), Command: opts.Command, Errors: map[string]int{}, Actions: map[string]int{}}
	for _, k := range Kinds {
		if without[k] {
			s.report.NotMade = append(s.report.NotMade, k)
		}
	}
	fmt.Fprintf(s.Out, "Soak with seed %d. To do it again: %s\n", opts.Seed, opts.Command)
	for _, k := range s.report.NotMade {
		fmt.Fprintf(s.Out, "Not made: %s\n", k)
	}
	err := s.run(ctx, without)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.problem("%v", err)
	}
	if s.net != nil {
		if err := s.net.Down(); err != nil {
			s.problem("the end: %v", err)
		}
	}
	s.report.Seconds = time.Since(s.began).Round(time.Millisecond).Seconds()
	s.report.OK = len(s.report.Problems) == 0
	s.report.print(s.Out)
	if err := localnet.WriteJSON(s.Report, s.report); err != nil {
		return s.report, err
	}
	fmt.Fprintf(s.Out, "Report: %s\n", s.Report)
	switch {
	case ctx.Err() != nil:
		return s.report, err
	case !s.report.OK:
		fmt.Fprintf(s.Out, "To do it again: %s\n", opts.Command)
		return s.report, fmt.Errorf("%w: %d problems", ErrFailed, len(s.report.Problems))
	}
	return s.report, nil
}

// run does everything between the first process and the last check.
func (s *soak) run(ctx context.Context, without map[Kind]bool) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	s.say("faults for %s", s.Duration)
	live, stop := context.WithCancel(ctx)
	defer stop()
	var watchers sync.WaitGroup
	watchers.Go(func() { s.watch(live) })
	work, idle := context.WithCancel(ctx)
	defer idle()
	var workers sync.WaitGroup
	for _, w := range s.workers() {
		workers.Go(func() { w.run(work) })
	}
	err := s.torment(ctx, without)
	idle()
	workers.Wait()
	if err != nil {
		return err
	}
	s.say("healed; waiting for both sides to agree")
	if err := s.converged(ctx, "the last fault was healed"); err != nil {
		return err
	}
	s.phase("converged")
	if err := s.accounted(ctx); err != nil {
		return err
	}
	s.phase("accounted for")
	s.say("everybody leaves")
	if err := s.leave(ctx); err != nil {
		return err
	}
	s.phase("left")
	err = s.last(ctx)
	stop()
	watchers.Wait()
	return err
}

// start brings the network up, with the delegators' first stake.
func (s *soak) start(ctx context.Context) error {
	net, err := localnet.Up(ctx, s.Topology, localnet.Options{
		Home: s.Home, Meshd: s.Meshd, Rly: s.Rly, Namespaces: !s.WithoutNamespaces, Progress: localnet.PrintProgress(s.Out),
	})
	if err != nil {
		return err
	}
	s.net = net
	for i, c := range net.Chains() {
		ch := &chain{Chain: c, soak: s, index: i}
		for _, n := range c.Nodes {
			ch.nodes = append(ch.nodes, &node{Node: n, chain: ch})
		}
		s.chains = append(s.chains, ch)
	}
	for i, c := range s.chains {
		c.partner = s.chains[1-i]
		if c.ids, err = net.Pairing(c.ID, c.partner.ID); err != nil {
			return err
		}
	}
	s.say("signers with clocks of their own, the second relayer, the first stake")
	// It begins with blocks of a minute ago, which a node has not got that has come back by state sync.
	if s.courier, err = net.NewCourier(ctx, courierAccount, skewedNode); err != nil {
		return err
	}
	err = each(ctx, s.chains, func(ctx context.Context, c *chain) error {
		if err := c.giveSigner(ctx); err != nil {
			return err
		}
		return c.settleIn(ctx)
	})
	s.phase("started")
	return err
}

// giveSigner moves a validator's key out of its node.
func (c *chain) giveSigner(ctx context.Context) error {
	n := c.nodes[skewedNode]
	height, err := c.Height(ctx)
	if err != nil {
		return err
	}
	if err := n.Stop(); err != nil {
		return err
	}
	if n.signer, err = newSigner(n.Node, c.soak.net.Isolated()); err != nil {
		return err
	}
	if err := n.Start(); err != nil {
		return err
	}
	if err := n.WaitReady(ctx, height, recovery); err != nil {
		return err
	}
	return localnet.WaitFor(ctx, n.name()+" to sign with its own clock", recovery, func(context.Context) (bool, string, error) {
		signed := n.signer.signed.Load()
		return signed > 0, fmt.Sprintf("%d votes", signed), nil
	})
}

// torment makes faults until the time is over and every kind was made.
func (s *soak) torment(ctx context.Context, without map[Kind]bool) error {
	until := time.Now().Add(s.Duration)
	group, ctx := errgroup.WithContext(ctx)
	for _, lane := range NewSchedule(s.Seed, Shape{Nodes: len(s.chains[0].nodes), Skewed: skewedNode, Without: without}) {
		group.Go(func() error {
			for made := 0; ; made++ {
				f := lane.Next()
				inTime := func() bool { return made < lane.Required() || time.Now().Add(f.Hold).Before(until) }
				if made >= lane.Required() && time.Now().After(until) {
					return nil
				}
				if err := s.make(ctx, f, inTime); err != nil {
					return err
				}
				if err := pause(ctx, time.Second); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// make makes one fault, heals it, and waits until all is well again. An error of
// it is a problem of the run, and the next fault would only hide its cause. A
// fault that would last beyond the end is left out.
func (s *soak) make(ctx context.Context, f Fault, inTime func() bool) error {
	a := s.action(f)
	if a.clients {
		s.clients.Lock()
		defer s.clients.Unlock()
	}
	if !inTime() {
		return nil
	}
	if a.clients {
		if err := s.clientsFresh(ctx); err != nil {
			return fmt.Errorf("before %s: %w", f.Kind, err)
		}
	}
	where := f.where([]string{s.chains[0].ID, s.chains[1].ID})
	out := FaultReport{Kind: f.Kind, Where: where, At: s.elapsed()}
	s.say("✗ %s: %s for %s", f.Kind, where, f.Hold)
	err := a.inject(ctx)
	if err == nil {
		err = pause(ctx, f.Hold)
	}
	if err == nil && a.observe != nil {
		out.Seen, err = a.observe(ctx)
	}
	healing := time.Now()
	out.Held = seconds(healing.Sub(s.began)) - out.At
	// Whatever happened, it is healed.
	err = errors.Join(err, a.heal(context.WithoutCancel(ctx)))
	if err == nil && a.recovered != nil {
		var seen string
		seen, err = a.recovered(ctx)
		out.Seen = strings.Trim(out.Seen+"; "+seen, "; ")
	}
	out.Recovery = seconds(time.Since(healing))
	if err != nil {
		err = fmt.Errorf("%s (%s): %w", f.Kind, where, err)
		out.Error = err.Error()
	} else {
		s.say("✓ %s: %s; well again after %.1fs; %s", f.Kind, where, out.Recovery, out.Seen)
	}
	s.mu.Lock()
	s.report.Faults = append(s.report.Faults, out)
	s.mu.Unlock()
	return err
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Millisecond)) / float64(time.Second)
}

func (s *soak) elapsed() float64 { return seconds(time.Since(s.began)) }

func (s *soak) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.Out, "%6.1fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// problem notes what makes the run fail.
func (s *soak) problem(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.say("! %s", text)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.report.Problems, text) {
		s.report.Problems = append(s.report.Problems, text)
	}
}

// phase notes when a part of the run was over.
func (s *soak) phase(name string) {
	at := s.elapsed()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Phases = append(s.report.Phases, PhaseReport{Name: name, At: at})
}

// each does something for all chains at the same time.
func each[T any](ctx context.Context, items []T, do func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, item := range items {
		group.Go(func() error { return do(ctx, item) })
	}
	return group.Wait()
}
