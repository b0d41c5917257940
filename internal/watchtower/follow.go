package watchtower

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sort"
	"time"

	cmttypes "github.com/cometbft/cometbft/types"
)

const (
	// chunk is how many headers a node gives at once.
	chunk = 20
	// saveInterval is how often progress goes to disk while nothing is found.
	saveInterval = time.Second
	// conflictPause is how long nodes that disagree are not compared again.
	conflictPause = time.Minute
)

func (s nodeStatus) covers(height int64) error {
	if height < s.earliest || height > s.latest {
		return fmt.Errorf("%w: %s has %d to %d, not %d", errMissing, s.name, s.earliest, s.latest, height)
	}
	return nil
}

// follower reads one chain's blocks.
type follower struct {
	cfg       *ChainConfig
	nodes     *nodes
	store     *Store
	metrics   *Metrics
	log       *slog.Logger
	now       func() time.Time
	retention time.Duration
	poll      time.Duration
	// found is called after new evidence is on disk.
	found func()

	savedAt      time.Time
	compareAfter time.Time
	behindLogged bool
	// agreed is the last height at which two nodes, by name, had the same header.
	agreed   map[[2]string]int64
	failures int
}

// run follows the chain until the context ends.
func (f *follower) run(ctx context.Context) {
	for {
		more, err := guarded(func() (bool, error) { return f.step(ctx) })
		if ctx.Err() != nil {
			return
		}
		wait := f.poll
		switch {
		case err != nil:
			f.failures++
			wait = backoff(f.poll, maxNodeBackoff, f.failures)
			f.log.Warn("cannot follow", "retry_in", wait, "err", err)
		case more:
			wait = 0
			f.failures = 0
		default:
			f.failures = 0
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

// guarded turns a panic into an error: what nodes answer must not end the program.
func guarded[T any](fn func() (T, error)) (out T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return fn()
}

// sleep waits and returns false if the context ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// step works on at most one chunk of blocks. It returns whether more are known to be there.
func (f *follower) step(ctx context.Context) (more bool, err error) {
	up, err := f.nodes.poll(ctx)
	if err != nil {
		return false, err
	}
	earliest, latest := up[0].earliest, up[0].latest
	for _, at := range up[1:] {
		earliest, latest = min(earliest, at.earliest), max(latest, at.latest)
	}
	chainID := f.cfg.ChainID
	height, ok := f.store.Height(chainID)
	if !ok {
		start, err := f.start(ctx, up)
		if err != nil {
			return false, fmt.Errorf("where to begin: %w", err)
		}
		height = start - 1
		f.store.Advance(chainID, height)
		if err := f.store.Save(); err != nil {
			return false, err
		}
		f.log.Info("begins to follow", "height", start, "latest", latest)
	}
	if height+1 < earliest {
		missed := earliest - height - 1
		f.log.Error("blocks are pruned everywhere: evidence in them is missed", "from", height+1, "to", earliest-1, "blocks", missed)
		f.metrics.skipped.WithLabelValues(chainID).Add(float64(missed))
		height = earliest - 1
		f.store.Advance(chainID, height)
	}
	if height > latest && !f.behindLogged {
		f.log.Warn("nodes are behind what was followed already", "height", height, "latest", latest)
	}
	f.behindLogged = height > latest
	if height < latest {
		if height, err = f.advance(ctx, up, height+1, min(height+chunk, latest)); err != nil {
			f.observe(height, latest)
			return false, err
		}
	}
	f.observe(height, latest)
	if height < latest {
		return true, f.saveSometimes()
	}
	if len(up) > 1 && !f.now().Before(f.compareAfter) {
		if err := f.compare(ctx, up); err != nil {
			f.log.Warn("cannot compare nodes", "err", err)
		}
	}
	return false, f.saveSometimes()
}

func (f *follower) observe(height, latest int64) {
	chainID := f.cfg.ChainID
	f.metrics.height.WithLabelValues(chainID).Set(float64(height))
	f.metrics.chainHeight.WithLabelValues(chainID).Set(float64(latest))
	f.metrics.lag.WithLabelValues(chainID).Set(float64(max(0, latest-height)))
}

func (f *follower) saveSometimes() error {
	now := f.now()
	if now.Sub(f.savedAt) < saveInterval {
		return nil
	}
	f.savedAt = now
	return f.store.Save()
}

// advance works on the blocks from..to, by the first node that has them, and returns the last height worked on.
func (f *follower) advance(ctx context.Context, up []nodeStatus, from, to int64) (int64, error) {
	var errs []error
	for _, at := range up {
		if at.covers(from) != nil {
			continue
		}
		last, found, err := f.read(ctx, at, from, min(to, at.latest))
		if err != nil {
			if ctx.Err() != nil {
				return from - 1, ctx.Err()
			}
			f.nodes.failed(at.node, err)
			errs = append(errs, fmt.Errorf("%s: %w", at.name, err))
			continue
		}
		if err := f.record(found...); err != nil {
			return from - 1, err
		}
		f.store.Advance(f.cfg.ChainID, last)
		return last, nil
	}
	return from - 1, errors.Join(append(errs, fmt.Errorf("%w: height %d", errMissing, from))...)
}

// record stores what was found, new or not.
func (f *follower) record(found ...*Evidence) error {
	added, err := f.store.Record(f.now(), found...)
	if err != nil {
		return err
	}
	for _, ev := range added {
		f.metrics.evidence.WithLabelValues(ev.ChainID, string(ev.Kind)).Inc()
		f.log.Warn("evidence found", "kind", ev.Kind, "height", ev.Height, "evidence", ev.Hash(), "offenders", hexAddresses(ev.Offenders()))
	}
	if len(added) > 0 {
		f.found()
	}
	return nil
}

func hexAddresses(addresses [][]byte) []string {
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = cmttypes.Address(a).String()
	}
	return out
}

var noEvidence = cmttypes.EvidenceList(nil).Hash()

// read returns the evidence in the blocks from..to, or in as many of them as the node gives, and the last height read.
func (f *follower) read(ctx context.Context, at nodeStatus, from, to int64) (last int64, found []*Evidence, err error) {
	res, err := nonNil(at.BlockchainInfo(ctx, from, to))
	if err != nil {
		return 0, nil, err
	}
	last = from - 1
	for i := len(res.BlockMetas) - 1; i >= 0; i-- { // highest first
		meta := res.BlockMetas[i]
		if meta == nil || meta.Header.Height != last+1 || meta.Header.Height > to {
			break
		}
		header := &meta.Header
		if header.ChainID != f.cfg.ChainID || !bytes.Equal(header.Hash(), meta.BlockID.Hash) {
			return 0, nil, fmt.Errorf("%w: header %d does not match its hash", errNode, header.Height)
		}
		if len(header.EvidenceHash) > 0 && !bytes.Equal(header.EvidenceHash, noEvidence) {
			inBlock, err := f.evidenceIn(ctx, at, header)
			if err != nil {
				return 0, nil, err
			}
			found = append(found, inBlock...)
		}
		last = header.Height
	}
	if last < from {
		return 0, nil, fmt.Errorf("%w: does not give header %d", errNode, from)
	}
	return last, found, nil
}

func (f *follower) evidenceIn(ctx context.Context, at nodeStatus, header *cmttypes.Header) ([]*Evidence, error) {
	res, err := at.block(ctx, header.Height)
	if err != nil {
		return nil, err
	}
	list := res.Block.Evidence.Evidence
	for _, ev := range list { // before hashing, which cannot stand everything
		if ev == nil || ev.ValidateBasic() != nil {
			return nil, fmt.Errorf("%w: malformed evidence in block %d", errNode, header.Height)
		}
	}
	if !bytes.Equal(list.Hash(), header.EvidenceHash) {
		return nil, fmt.Errorf("%w: evidence of block %d does not match its hash", errNode, header.Height)
	}
	var out []*Evidence
	for _, ev := range list {
		translated, err := evidenceFrom(f.cfg.ChainID, header.Time, ev)
		if err != nil {
			// The chain accepted it, so it will not change: going on is all that is left.
			f.log.Error("evidence in a block is skipped", "height", header.Height, "err", err)
			continue
		}
		if f.now().Sub(translated.Time) > f.retention {
			f.log.Info("old evidence is skipped", "height", header.Height, "time", translated.Time)
			continue
		}
		out = append(out, translated)
	}
	return out, nil
}

// start is where a first start begins: the configured height, or the oldest block whose evidence the chain itself would
// still take, as far as a node has it, and at most MaxBackfill blocks back.
func (f *follower) start(ctx context.Context, up []nodeStatus) (int64, error) {
	if f.cfg.StartHeight > 0 {
		return f.cfg.StartHeight, nil
	}
	oldest := up[0] // the node that goes back furthest
	for _, at := range up[1:] {
		if at.earliest < oldest.earliest {
			oldest = at
		}
	}
	start, err := f.withinAge(ctx, oldest)
	if err != nil {
		f.nodes.failed(oldest.node, err)
		return 0, err
	}
	return start, nil
}

func (f *follower) withinAge(ctx context.Context, at nodeStatus) (int64, error) {
	latest := at.latest
	if latest == 0 { // no block yet
		return 1, nil
	}
	params, err := nonNil(at.ConsensusParams(ctx, &latest))
	if err != nil {
		return 0, err
	}
	lowest := max(at.earliest, latest-f.cfg.MaxBackfill+1)
	horizon := f.now().Add(-min(params.ConsensusParams.Evidence.MaxAgeDuration, f.retention))
	// The first height whose block is not older. Pruning may take the lowest ones away meanwhile.
	var failed error
	n := sort.Search(int(latest-lowest+1), func(i int) bool {
		if failed != nil {
			return true
		}
		height := lowest + int64(i)
		res, err := nonNil(at.Header(ctx, &height))
		if err == nil && res.Header == nil {
			err = fmt.Errorf("%w: has no header %d", errNode, height)
		}
		if err != nil {
			failed = err
			return true
		}
		return !res.Header.Time.Before(horizon)
	})
	if failed != nil {
		return 0, failed
	}
	return min(lowest+int64(n), latest), nil
}
