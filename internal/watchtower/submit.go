package watchtower

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	sdk "github.com/cosmos/cosmos-sdk/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

const (
	maxAttemptBackoff = 10 * time.Minute
	attemptTimeout    = time.Minute
	// settledBlocks is how many blocks after a transaction's timeout a node must have, so that it has indexed all before.
	settledBlocks = 2
)

// submitter carries evidence about the other chains to one chain.
type submitter struct {
	to        *chain
	chains    map[string]*chain
	store     *Store
	metrics   *Metrics
	log       *slog.Logger
	now       func() time.Time
	poll      time.Duration
	retention time.Duration
	dryRun    bool
	wake      chan struct{}

	looks map[string]look // by evidence
}

// look says when it is asked again who is backed.
type look struct {
	next  time.Time
	times int
}

// run submits until the context ends.
func (s *submitter) run(ctx context.Context) {
	for {
		if _, err := guarded(func() (struct{}, error) { return struct{}{}, s.step(ctx) }); err != nil && ctx.Err() == nil {
			s.log.Error("submitting", "err", err)
		}
		s.metrics.open.WithLabelValues(s.to.cfg.ChainID).Set(float64(s.store.Open(s.to.cfg.ChainID)))
		timer := time.NewTimer(s.poll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// step does what is due. At most one transaction is on its way to a chain: the next needs the sequence that it leaves.
func (s *submitter) step(ctx context.Context) error {
	chainID := s.to.cfg.ChainID
	found := s.store.Evidence(chainID)
	for _, f := range found {
		for _, target := range s.store.Targets(f.Hash, chainID) {
			sub, _ := s.store.Submission(f.Hash, target)
			if sub.Status != StatusSent {
				continue
			}
			if open, err := s.resolve(ctx, f, target, sub); err != nil || open {
				return err
			}
		}
	}
	for _, f := range found {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.now().Sub(f.Evidence.Time) > s.retention {
			continue
		}
		s.look(ctx, f)
		for _, target := range s.store.Targets(f.Hash, chainID) {
			sub, _ := s.store.Submission(f.Hash, target)
			if sub.Status != StatusPending || s.now().Before(sub.NextTry) {
				continue
			}
			if sent, err := s.attempt(ctx, f, target, sub); err != nil || sent {
				return err
			}
		}
	}
	maps.DeleteFunc(s.looks, func(hash string, _ look) bool {
		return !slices.ContainsFunc(found, func(f Found) bool { return f.Hash == hash })
	})
	return nil
}

func (s *submitter) logOf(f Found) *slog.Logger {
	return s.log.With("evidence", f.Hash, "kind", f.Evidence.Kind, "offending_chain", f.Evidence.ChainID, "height", f.Evidence.Height)
}

func (s *submitter) count(f Found, result string) {
	s.metrics.submissions.WithLabelValues(s.to.cfg.ChainID, f.Evidence.ChainID, string(f.Evidence.Kind), result).Inc()
}

// look asks the chain where the offenders are backed, and asks again, ever more rarely, as long as the evidence is kept:
// the registry may learn of a key later, and stake may come while the client is still behind the infraction.
func (s *submitter) look(ctx context.Context, f Found) {
	seen := s.looks[f.Hash]
	if s.now().Before(seen.next) {
		return
	}
	seen.times++
	seen.next = s.now().Add(backoff(s.poll, maxAttemptBackoff, seen.times))
	s.looks[f.Hash] = seen

	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	err := s.to.nodes.try(ctx, func(ctx context.Context, at nodeStatus) error {
		conn := s.to.connect(ctx, at)
		consumers, err := conn.consumers(ctx, f.Evidence.ChainID)
		if err != nil {
			return err
		}
		for _, consumerID := range consumers {
			target := targetOf(s.to.cfg.ChainID, consumerID)
			if _, ok := s.store.Submission(f.Hash, target); ok {
				continue
			}
			operators, err := conn.backed(ctx, consumerID, f.Evidence.Offenders())
			if err != nil {
				return err
			}
			if len(operators) == 0 {
				s.logOf(f).Debug("no offender is backed", "consumer", consumerID)
				continue
			}
			s.logOf(f).Info("offender is backed", "consumer", consumerID, "operators", operators)
			sub := Submission{Status: StatusPending, ConsumerID: consumerID, UpdatedAt: s.now()}
			if err := s.store.SetSubmission(f.Hash, target, sub); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.logOf(f).Warn("cannot ask who is backed", "err", err)
	}
}

// attempt tries to submit once. It returns whether a transaction may be on its way.
func (s *submitter) attempt(ctx context.Context, f Found, target string, sub Submission) (sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	log := s.logOf(f).With("consumer", sub.ConsumerID)
	sub.Attempts++
	var failed error
	if f.Evidence, failed = s.complete(ctx, f); failed == nil {
		failed = s.to.nodes.try(ctx, func(ctx context.Context, at nodeStatus) error {
			if at.catchingUp {
				return fmt.Errorf("%w: is catching up", errMissing)
			}
			conn := s.to.connect(ctx, at)
			msgs, err := s.messages(ctx, conn, f.Evidence, sub.ConsumerID)
			if err != nil {
				return err
			}
			if s.dryRun {
				return nil
			}
			tx, err := s.to.sign(ctx, conn, msgs...)
			if err != nil {
				return err
			}
			// On disk first: whatever happens now, the transaction is not forgotten.
			sub.Status, sub.Result, sub.TxHash = StatusSent, resultSent, tx.hash
			sub.FromHeight, sub.TimeoutHeight, sub.UpdatedAt = tx.from, tx.timeout, s.now()
			if err := s.store.SetSubmission(f.Hash, target, sub); err != nil {
				sub.Status = StatusPending
				return err
			}
			err = broadcast(ctx, at, tx.bytes)
			var refused *chainError
			if errors.As(err, &refused) {
				sub.Status = StatusPending // it is in no mempool
				return refused
			}
			log.Info("submitted", "tx", tx.hash, "messages", len(msgs), "gas", tx.gas, "timeout_height", tx.timeout, "node", at.name)
			if err != nil {
				log.Warn("broadcast failed, the transaction may have been taken", "tx", tx.hash, "err", err)
				s.to.nodes.failed(at.node, fmt.Errorf("%w: %w", errNode, err))
			}
			return nil
		})
	}
	if s.dryRun && failed == nil {
		log.Info("dry run: would submit")
		s.count(f, resultDryRun)
		return false, s.finish(f, target, sub, StatusDone, resultDryRun, nil)
	}
	if sub.Status == StatusSent {
		return true, nil
	}
	return false, s.conclude(log, f, target, sub, failed)
}

// conclude stores what a failure means.
func (s *submitter) conclude(log *slog.Logger, f Found, target string, sub Submission, failed error) error {
	status, result := StatusPending, resultFailed
	var refused *chainError
	if errors.As(failed, &refused) {
		status, result = judge(refused)
	}
	s.count(f, result)
	switch status {
	case StatusDone:
		log.Info("nothing to submit any more", "result", result, "err", failed)
	case StatusRefused:
		log.Error("evidence is refused", "err", failed)
	default:
		wait := backoff(s.poll, maxAttemptBackoff, sub.Attempts)
		sub.NextTry = s.now().Add(wait)
		log.Warn("cannot submit", "attempt", sub.Attempts, "retry_in", wait, "err", failed)
	}
	return s.finish(f, target, sub, status, result, failed)
}

func (s *submitter) finish(f Found, target string, sub Submission, status Status, result string, err error) error {
	sub.Status, sub.Result, sub.Error, sub.UpdatedAt = status, result, "", s.now()
	if err != nil {
		sub.Error = err.Error()[:min(len(err.Error()), 1000)]
	}
	return s.store.SetSubmission(f.Hash, target, sub)
}

// resolve finds out what became of a transaction. It returns true while that is open.
func (s *submitter) resolve(ctx context.Context, f Found, target string, sub Submission) (open bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	log := s.logOf(f).With("consumer", sub.ConsumerID, "tx", sub.TxHash)
	var in *included
	over := false
	failed := s.to.nodes.try(ctx, func(ctx context.Context, at nodeStatus) error {
		in, err = find(ctx, at, sub)
		over = at.latest >= sub.TimeoutHeight+settledBlocks
		return err
	})
	switch {
	case failed != nil:
		log.Warn("cannot ask about a transaction", "err", failed)
		return true, nil
	case in == nil && !over:
		return true, nil
	case in == nil:
		log.Warn("transaction was never included and cannot be any more")
		s.count(f, resultNotHeard)
		return false, s.finish(f, target, sub, StatusPending, resultNotHeard, nil)
	case in.err == nil:
		log.Info("proof is accepted", "included_at", in.height)
		s.count(f, resultAccepted)
		return false, s.finish(f, target, sub, StatusDone, resultAccepted, nil)
	default:
		return false, s.conclude(log, f, target, sub, fmt.Errorf("in block %d: %w", in.height, in.err))
	}
}

// complete reads the header that the chain itself has beside a conflicting one.
func (s *submitter) complete(ctx context.Context, f Found) (*Evidence, error) {
	ev := f.Evidence
	if ev.Complete() {
		return ev, nil
	}
	block, err := s.chains[ev.ChainID].nodes.lightBlock(ctx, ev.Height)
	if err != nil {
		return ev, fmt.Errorf("header %d of %s: %w", ev.Height, ev.ChainID, err)
	}
	if bytes.Equal(block.Hash(), ev.Headers[0].Hash()) {
		return ev, fmt.Errorf("header %d of %s is the conflicting one itself", ev.Height, ev.ChainID)
	}
	whole := *ev
	whole.Headers = append(whole.Headers[:1:1], block)
	return &whole, s.store.Complete(f.Hash, &whole)
}

// messages are what proves the evidence to one provider: client updates if it needs them, and the proof.
func (s *submitter) messages(ctx context.Context, conn connection, ev *Evidence, consumerID string) ([]sdk.Msg, error) {
	client, err := conn.client(ctx, consumerID)
	if err != nil {
		return nil, err
	}
	consumer := s.chains[ev.ChainID].nodes
	var msgs []sdk.Msg
	// Misbehaviour needs no update: its headers are verified from what the client has, and it must not be told which of
	// them is true.
	if ev.Kind == KindDoubleVote && client.behind(ev.ChainID, ev.Height) {
		if client.status != exported.Active {
			return nil, fmt.Errorf("client %s is at height %s and %s: it cannot be updated to %d",
				consumerID, client.state.LatestHeight, client.status, ev.Height)
		}
		headers, err := conn.updates(ctx, client, consumer, ev.Height)
		if err != nil { // the height itself may be pruned
			if headers, err = conn.updatesToLatest(ctx, client, consumer, ev.Height, err); err != nil {
				return nil, err
			}
		}
		for _, header := range headers {
			msg, err := clienttypes.NewMsgUpdateClient(consumerID, header, s.to.address)
			if err != nil {
				return nil, err
			}
			msgs = append(msgs, msg)
		}
	}
	if ev.Kind == KindDoubleVote {
		return append(msgs, &providertypes.MsgSubmitDoubleVote{
			Submitter: s.to.address, ConsumerId: consumerID, Evidence: ev.DoubleVote, ChainId: ev.ChainID,
		}), nil
	}
	misbehaviour, err := conn.misbehaviour(ctx, client, consumer, ev, s.now())
	if err != nil {
		return nil, err
	}
	return append(msgs, &providertypes.MsgSubmitMisbehaviour{
		Submitter: s.to.address, ConsumerId: consumerID, Misbehaviour: misbehaviour,
	}), nil
}
