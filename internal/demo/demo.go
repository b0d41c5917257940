package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mesh-security/mesh/internal/localnet"
)

// Options say where the demo runs and what it leaves.
type Options struct {
	// Topology is the network; newWorld says what it must look like.
	Topology *localnet.Topology
	// Home is the network's directory, Report the file to write.
	Home   string
	Report string
	// Keep leaves the network running.
	Keep bool
	// Meshd and Rly are the binaries, as in localnet.Options.
	Meshd, Rly string
	// Hostile is the binary of a chain that lies; it is looked for as the others.
	Hostile string
	// Out is where progress is shown.
	Out io.Writer
}

// ErrFailed ends a demo in which a step failed; the step has been shown.
var ErrFailed = errors.New("the demo failed")

// demo is one run.
type demo struct {
	Options
	*printer
	*world
	net     *localnet.Network
	began   time.Time
	report  Report
	leaving []*departure
	// powersBefore is the voting power on both chains before any restaking.
	powersBefore [][]int64
	// crime is the double sign, absent the validator that was stopped.
	crime  *offence
	absent int
	// since is the third chain's height before anybody staked to it.
	since int64
	// freed are those who took their stake back from the third chain.
	freed []*release
}

// step is one thing to show. It prints its tables itself and returns in a line
// what they prove.
type step struct {
	name  string
	title string
	run   func(context.Context) (detail string, err error)
}

func (d *demo) steps() []step {
	return []step{
		{"start", "Three chains and a relayer start; governance registers who secures whom", d.start},
		{"pairing", "All pairings are open", d.pairing},
		{"validator sets", "Each chain has reported its validators to those that secure it", d.registries},
		{"native delegation", "Delegators stake at home, as always", d.delegate},
		{"cross-stake", "They stake the same tokens again, to validators of the other chain", d.crossStake},
		{"voting power", "CometBFT's validator sets grow by exactly that stake", d.votingPower},
		{"third chain", "They stake them once more, to a third chain: both secure it together", d.stakeAgain},
		{"native stake untouched", "At home nothing changed: delegations, rewards and votes", d.untouched},
		{"security", "What secures each chain", d.security},
		{"cap", "More is restaked than the caps allow: all are cut in proportion", d.reachCaps},
		{"leave", "Two delegators leave both chains at once", d.leave},
		{"relayer outage", "The relayer is killed while stake goes up and down", d.outage},
		{"node restart", "A validator is killed in the middle of an epoch", d.restart},
		{"double sign", "A validator signs two blocks of one height, and its own chain punishes it", d.doubleSign},
		{"proof", "The watchtower carries the proof to the chain whose delegators backed it", d.proof},
		{"rewards", "Rewards of the third chain come home and are withdrawn", d.rewardsHome},
		{"governance weight", "Whether allied stake votes decides a proposal", d.weigh},
		{"price", "Prices halve, one posted by feeders and one proved from the third chain, and voting power follows", d.halve},
		{"cap zero", "Governance sets the caps to zero: all virtual stake is gone in one epoch", d.capZero},
		{"downtime", "A validator is away until it is jailed, and the small slash crosses", d.downtime},
		{"held", "One period is over, but a lien stands: nothing is paid yet", d.held},
		{"free", "Both are free after the longer of the two periods, not the sum", d.free},
		{"unjail", "The validator comes back", d.unjail},
		{"final security", "What secures each chain after all this", d.final},
		{"hostile consumer", "A chain turns hostile: it claims slashes that never happened", d.turnHostile},
		{"all free", "Those who took their stake back from the third chain are free", d.allFree},
	}
}

// Run runs the demo. It ends every process it has started, unless it is to keep
// them, and writes the report whatever happens.
func Run(ctx context.Context, opts Options) (Report, error) {
	w, err := newWorld(opts.Topology)
	if err != nil {
		return Report{}, err
	}
	if opts.Hostile, err = localnet.FindBinary("meshd-hostile", opts.Hostile); err != nil {
		return Report{}, err
	}
	d := &demo{Options: opts, printer: newPrinter(opts.Out), world: w, began: time.Now()}
	d.report.Chains = make([]ChainReport, len(w.everyChain()))
	for i, c := range w.everyChain() {
		d.report.Chains[i] = ChainReport{ChainID: c.id, VirtualByProvider: map[string]Amount{}}
	}
	fmt.Fprintf(d.w, "%s\nReal nodes, a real relayer; every step is checked against the chains' state.\n",
		d.paint(bold, "Mesh Security: "+w.chains[0].id+" and "+w.chains[1].id+" secure one another, and "+w.third.id))
	err = d.runSteps(ctx)
	d.report.Seconds = time.Since(d.began).Round(time.Millisecond).Seconds()
	err = errors.Join(err, localnet.WriteJSON(opts.Report, d.report))
	return d.report, errors.Join(err, d.finish(ctx, err))
}

func (d *demo) runSteps(ctx context.Context) error {
	steps := d.steps()
	for i, s := range steps {
		d.heading(i+1, len(steps), s.title)
		began := time.Now()
		detail, err := s.run(ctx)
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
			detail = err.Error()
		case err != nil:
			detail = explain(err, d.logs())
		}
		d.report.Steps = append(d.report.Steps, StepReport{Name: s.name, OK: err == nil, Detail: detail})
		switch {
		case ctx.Err() != nil:
			return err
		case err != nil:
			d.failed(detail)
			d.problems(ctx)
			return fmt.Errorf("%w at step %q", ErrFailed, s.name)
		default:
			d.passed(detail, time.Since(began))
		}
	}
	return nil
}

// finish ends the network, or says how to use it.
func (d *demo) finish(ctx context.Context, err error) error {
	fmt.Fprintln(d.w)
	if err == nil {
		fmt.Fprintf(d.w, "%s %d steps in %.0f seconds. Report: %s\n",
			d.paint(green, "All passed:"), len(d.report.Steps), d.report.Seconds, relative(d.Report))
	} else if ctx.Err() == nil {
		fmt.Fprintf(d.w, "%s after %.0f seconds. Report: %s\n", d.paint(red, "Failed"), d.report.Seconds, relative(d.Report))
	}
	if d.net == nil {
		return nil
	}
	if d.Keep && ctx.Err() == nil {
		if err := d.net.Detach(); err != nil {
			return errors.Join(err, d.net.Down())
		}
		d.usage()
		return nil
	}
	if err := d.net.Down(); err != nil {
		return err
	}
	fmt.Fprintf(d.w, "The network has been ended; data and logs are in %s.\n", relative(d.Home))
	return nil
}

// problems shows what is wrong with the network as a whole, such as a process
// that is gone.
func (d *demo) problems(ctx context.Context) {
	if d.net == nil {
		return
	}
	for _, p := range d.net.Status(ctx).Problems {
		d.note("! %s", p)
	}
}

// logs are the files to read when something fails.
func (d *demo) logs() []string {
	if d.net == nil {
		return nil
	}
	state := d.net.State()
	var out []string
	for _, c := range state.Chains {
		for _, n := range c.Nodes {
			out = append(out, relative(n.Log))
		}
	}
	return append(out, relative(state.Relayer.Log))
}

// usage says what can be done with the network that is left running.
func (d *demo) usage() {
	meshnet := "meshnet"
	if exe, err := os.Executable(); err == nil {
		meshnet = relative(exe)
	}
	meshnet += " --home " + relative(d.Home)
	rows := [][]string{{"CHAIN", "RPC", "GRPC", "REST"}}
	for _, c := range d.net.Status(context.Background()).Chains {
		rows = append(rows, []string{c.ID, c.RPC, c.GRPC, c.API})
	}
	fmt.Fprintf(d.w, "\n%s\n", d.paint(bold, "The network goes on running"))
	d.table(rows)

	p := d.directions[0]
	exec := meshnet + " exec " + p.provider.id + " -- "
	bob := p.provider.Address("bob")
	validator := p.consumer.Nodes[1].Operator
	amount := "5000000" + p.provider.Denom
	for _, example := range [][2]string{
		{"How it is", meshnet + " status"},
		{"What bob has restaked", exec + "query meshprovider positions " + bob},
		{"What backs it", exec + "query meshprovider collateral " + bob},
		{"Restake more", exec + fmt.Sprintf("tx meshprovider cross-stake %s %s %s --from bob --yes", p.ids.ConsumerID, validator, amount)},
		{"Take it back", exec + fmt.Sprintf("tx meshprovider cross-unstake %s %s %s --from bob --yes", p.ids.ConsumerID, validator, amount)},
		{"When it is free", exec + "query meshprovider unbonding " + bob},
		{"Security of " + p.consumer.id, meshnet + " exec " + p.consumer.id + " -- query meshconsumer security"},
		{"What the nodes print", meshnet + " logs " + p.provider.id + " -f"},
		{"End it", meshnet + " down"},
	} {
		fmt.Fprintf(d.w, "\n%s%s\n%s  %s\n", indent, d.paint(faint, example[0]+":"), indent, example[1])
	}
}

// await repeats a check until it passes. After the timeout it returns what the
// check said last.
func await(ctx context.Context, timeout time.Duration, check func(context.Context) error) error {
	var last error
	err := localnet.WaitFor(ctx, "the check", timeout, func(ctx context.Context) (bool, string, error) {
		err := check(ctx)
		if errors.Is(err, localnet.ErrGiveUp) {
			return false, "", err
		}
		// Running out of time says nothing about the chain.
		if code := status.Code(err); code != codes.DeadlineExceeded && code != codes.Canceled && ctx.Err() == nil {
			last = err
		}
		return err == nil, "", nil
	})
	if errors.Is(err, localnet.ErrTimeout) && last != nil {
		return fmt.Errorf("not so within %s: %w", timeout, last)
	}
	return err
}

// relative shortens a path below the working directory.
func relative(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}
