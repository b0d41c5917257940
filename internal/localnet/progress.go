package localnet

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Event tells how a network is getting on.
type Event struct {
	// Elapsed is the time since the network began to come up.
	Elapsed time.Duration
	// Chain is empty for what concerns no single chain.
	Chain string
	Step  string
	// Detail says what came of a finished step.
	Detail string
	// Took is how long a finished step took; 0 for one that begins.
	Took time.Duration
	// Err is why a step failed.
	Err  error
	Done bool
}

// Progress receives events; calls do not overlap.
type Progress func(Event)

// PrintProgress writes a line for each event.
func PrintProgress(w io.Writer) Progress {
	return func(e Event) {
		who := e.Chain
		if who == "" {
			who = "network"
		}
		head := fmt.Sprintf("%6.1fs  %-16s", e.Elapsed.Seconds(), who)
		switch {
		case e.Err != nil:
			fmt.Fprintf(w, "%s ✗ %s\n", head, e.Step)
		case !e.Done:
			fmt.Fprintf(w, "%s · %s …\n", head, e.Step)
		case e.Detail != "":
			fmt.Fprintf(w, "%s ✓ %s: %s (%.1fs)\n", head, e.Step, e.Detail, e.Took.Seconds())
		default:
			fmt.Fprintf(w, "%s ✓ %s (%.1fs)\n", head, e.Step, e.Took.Seconds())
		}
	}
}

// reporter times steps and passes them on, one at a time.
type reporter struct {
	mu    sync.Mutex
	to    Progress
	start time.Time
}

func newReporter(to Progress) *reporter {
	if to == nil {
		to = func(Event) {}
	}
	return &reporter{to: to, start: time.Now()}
}

func (r *reporter) send(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Elapsed = time.Since(r.start)
	r.to(e)
}

// step runs one step of the work. An error comes back with chain, step and log.
func (r *reporter) step(chain, name, log string, do func() (detail string, err error)) error {
	r.send(Event{Chain: chain, Step: name})
	began := time.Now()
	detail, err := do()
	if err != nil {
		err = stepErr(chain, name, log, err)
	}
	r.send(Event{Chain: chain, Step: name, Detail: detail, Err: err, Took: time.Since(began), Done: true})
	return err
}
