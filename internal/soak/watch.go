package soak

import (
	"context"
	"sync"
	"time"

	"github.com/mesh-security/mesh/internal/localnet"
)

// clockTolerance is how far a chain's clock may be ahead of the true one, and
// behind it while it makes blocks: a block is as old as its votes.
const clockTolerance = 5 * time.Second

// clockWatch is how far a chain's clock was off.
type clockWatch struct {
	mu            sync.Mutex
	height        int64
	ahead, behind time.Duration
}

// see takes note of a block that is seen for the first time at a moment.
func (w *clockWatch) see(height int64, block, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if height <= w.height {
		return
	}
	w.height = height
	w.ahead = max(w.ahead, block.Sub(now))
	w.behind = max(w.behind, now.Sub(block))
}

func (w *clockWatch) worst() (ahead, behind time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ahead, w.behind
}

// watch looks at chains and processes until the run is over: clocks, and
// processes that end although nobody killed them. It starts those again.
func (s *soak) watch(ctx context.Context) {
	var wg sync.WaitGroup
	for _, c := range s.chains {
		wg.Go(func() {
			for pause(ctx, time.Second) == nil {
				c.look(ctx)
			}
		})
	}
	wg.Go(func() {
		for pause(ctx, time.Second) == nil {
			s.supervise()
		}
	})
	wg.Wait()
}

func (c *chain) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	height, block, err := c.Head(ctx)
	if err == nil {
		c.clock.see(height, block, time.Now())
	}
}

// supervise starts again what has ended by itself.
func (s *soak) supervise() {
	for _, c := range s.chains {
		for _, n := range c.nodes {
			if n.busy.Load() > 0 || n.Running() || n.PID() == 0 || n.busy.Load() > 0 {
				continue
			}
			s.problem("%s ended by itself (log: %s)", n.name(), n.Log)
			if err := n.Start(); err != nil {
				s.problem("%s: %v", n.name(), err)
			}
		}
	}
	if s.relayerBusy.Load() == 0 && !s.net.RelayerRunning() && s.relayerBusy.Load() == 0 && s.net.State().Phase == localnet.PhaseRunning {
		s.note("the relayer ended by itself at %.0fs and was started again", s.elapsed())
		if err := s.net.StartRelayer(); err != nil {
			s.problem("%v", err)
		}
	}
}

// note keeps what is no failure.
func (s *soak) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.addNote(format, args...)
}
