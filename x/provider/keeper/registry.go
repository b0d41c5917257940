package keeper

import (
	"context"

	"cosmossdk.io/collections"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// applyValidator takes one validator of a report into the registry, last writer wins by seq, and notes which batches it
// says are executed.
func (k *Keeper) applyValidator(ctx sdk.Context, consumer types.Consumer, p *types.Pairing, seq uint64, report meshtypes.ValidatorReport, evict *evictor, clocks *int) error {
	cfg := consumer.Config
	key := collections.Join(cfg.ClientId, report.Operator)
	v, known, err := getOr(ctx, k.Validators, key)
	if err != nil {
		return err
	}
	if known && v.Session == p.Session && seq <= v.ReportSeq {
		return nil // a newer report came first
	}
	if !known {
		taken, err := k.registerValidator(ctx, cfg, p, report, evict)
		if err != nil || !taken {
			return err
		}
	}
	if v.Session != p.Session {
		v.Session, v.ExecutedSeq, v.ExecutedHeight = p.Session, 0, meshtypes.Height{}
	}
	v.ReportSeq = seq

	rebonded := !known || (report.Status == meshtypes.VALIDATOR_STATUS_BONDED && v.Status != meshtypes.VALIDATOR_STATUS_BONDED)
	relist := rebonded || v.Unlisted
	v.Unlisted = false
	tombstoned := report.Status == meshtypes.VALIDATOR_STATUS_TOMBSTONED && v.Status != meshtypes.VALIDATOR_STATUS_TOMBSTONED
	if v.Status != meshtypes.VALIDATOR_STATUS_TOMBSTONED { // tombstoned is final
		v.Status = report.Status
	}
	closed := tombstoned && !v.Closed
	v.Closed = v.Closed || tombstoned
	if err := k.applyKey(ctx, cfg, &v, report); err != nil {
		return err
	}

	executed := false
	if report.ExecutedSeq > v.ExecutedSeq && report.ExecutedSeq <= p.LastSeq && // what was never sent cannot be executed
		!report.ExecutedHeight.IsZero() { // nor at no height
		v.ExecutedSeq, v.ExecutedHeight = report.ExecutedSeq, report.ExecutedHeight
		executed = true
	}
	if err := k.Validators.Set(ctx, key, v); err != nil {
		return err
	}
	if executed {
		if err := k.noteExecution(ctx, cfg.ClientId, report.Operator, p.Session, v.ExecutedSeq, v.ExecutedHeight, clocks); err != nil {
			return err
		}
	}
	if closed {
		k.emit(ctx, &types.EventValidatorClosed{ConsumerId: cfg.ClientId, Validator: cfg.FormatValidator(report.Operator)})
	}
	if tombstoned {
		return k.convertPool(ctx, cfg.ClientId, report.Operator)
	}
	if !relist {
		return nil
	}
	// The consumer may not have our amount: it learned of the validator again.
	staked, err := k.ActivePools.Has(ctx, key)
	if err != nil || !staked {
		return err
	}
	return k.touch(ctx, cfg.ClientId, report.Operator)
}

// registerValidator says whether a validator that the registry does not have is taken: only one that is bonded, or that
// has stake of ours, and only if there is room.
func (k *Keeper) registerValidator(ctx context.Context, cfg types.ConsumerConfig, p *types.Pairing, report meshtypes.ValidatorReport, evict *evictor) (bool, error) {
	if report.Status != meshtypes.VALIDATOR_STATUS_BONDED {
		staked, err := k.hasStake(ctx, cfg.ClientId, report.Operator)
		if err != nil || !staked {
			return false, err
		}
	}
	operator := cfg.FormatValidator(report.Operator)
	params, err := k.Params.Get(ctx)
	if err != nil {
		return false, err
	}
	if p.Validators >= params.MaxValidatorsPerConsumer {
		evicted, err := evict.one(ctx, k, cfg.ClientId)
		if err != nil {
			return false, err
		}
		if !evicted {
			k.emit(ctx, &types.EventValidatorIgnored{ConsumerId: cfg.ClientId, Validator: operator, Reason: "the registry is full"})
			return false, nil
		}
		p.Validators--
	}
	p.Validators++
	k.emit(ctx, &types.EventValidatorRegistered{ConsumerId: cfg.ClientId, Validator: operator})
	return true, nil
}

// evictor makes room in a full registry. It scans the registry once for a whole report.
type evictor struct {
	scanned    bool
	candidates [][]byte
}

// one removes a validator that is neither bonded nor closed and has no stake of ours. It says whether there was one.
func (e *evictor) one(ctx context.Context, k *Keeper, clientID string) (bool, error) {
	if !e.scanned {
		e.scanned = true
		rng := collections.NewPrefixedPairRange[string, []byte](clientID)
		err := k.Validators.Walk(ctx, rng, func(key clientVal, v types.ConsumerValidator) (bool, error) {
			if !v.Closed && (v.Status == meshtypes.VALIDATOR_STATUS_UNBONDED || v.Status == meshtypes.VALIDATOR_STATUS_JAILED) {
				e.candidates = append(e.candidates, key.K2())
			}
			return false, nil
		})
		if err != nil {
			return false, err
		}
	}
	for len(e.candidates) > 0 {
		operator := e.candidates[0]
		e.candidates = e.candidates[1:]
		staked, err := k.hasStake(ctx, clientID, operator)
		if err != nil {
			return false, err
		}
		v, found, err := getOr(ctx, k.Validators, collections.Join(clientID, operator))
		if err != nil {
			return false, err
		}
		if staked || !found || v.Status == meshtypes.VALIDATOR_STATUS_BONDED {
			continue
		}
		if err := k.forgetKeys(ctx, clientID, v); err != nil {
			return false, err
		}
		return true, k.Validators.Remove(ctx, collections.Join(clientID, operator))
	}
	return false, nil
}
