package keeper

import (
	"context"
	"errors"
	"time"

	"cosmossdk.io/collections"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// getStake returns a stake record; without one, an empty record and false.
func (k *Keeper) getStake(ctx context.Context, providerID string, valAddr []byte) (types.StakeRecord, bool, error) {
	rec, err := k.Stakes.Get(ctx, collections.Join(providerID, valAddr))
	if errors.Is(err, collections.ErrNotFound) {
		return types.NewStakeRecord(), false, nil
	}
	return rec, err == nil, err
}

// carryOut executes the first changes of a new plan and stores the others for the blocks to come.
func (k *Keeper) carryOut(ctx sdk.Context, params types.Params, v *view, changes []change) (types.EpochState, error) {
	now := min(len(changes), int(params.MaxEpochOperations))
	done, err := k.executeIn(ctx, params, v, changes[:now])
	if err != nil {
		return types.EpochState{}, err
	}
	for _, c := range changes[done.count():] {
		if err := k.Plan.Set(ctx, c.key(), c.target); err != nil {
			return types.EpochState{}, err
		}
	}
	return types.EpochState{Planned: uint64(len(changes)), Done: done.done, Failed: done.failed}, nil
}

// continuePlan executes the next part of the stored plan.
func (k *Keeper) continuePlan(ctx sdk.Context) error {
	params, err := k.Params.Get(ctx)
	if err != nil {
		return err
	}
	var changes []change
	err = k.Plan.Walk(ctx, nil, func(key planKey, target types.Target) (bool, error) {
		changes = append(changes, change{increase: key.K1(), provider: key.K2(), valAddr: key.K3(), target: target})
		return len(changes) >= int(params.MaxEpochOperations), nil
	})
	if err != nil || len(changes) == 0 {
		return err
	}
	result, err := k.execute(ctx, params, changes)
	if err != nil {
		return err
	}
	for _, c := range changes[:result.count()] {
		if err := k.Plan.Remove(ctx, c.key()); err != nil {
			return err
		}
	}
	epoch, err := k.Epoch.Get(ctx)
	if err != nil {
		return err
	}
	epoch.Done += result.done
	epoch.Failed += result.failed
	return k.Epoch.Set(ctx, epoch)
}

// planned returns an entry of the stored plan, if there is one.
func (k *Keeper) planned(ctx context.Context, key planKey) (types.Target, bool, error) {
	target, err := k.Plan.Get(ctx, key)
	if errors.Is(err, collections.ErrNotFound) {
		return types.Target{}, false, nil
	}
	return target, err == nil, err
}

func (c change) key() planKey { return collections.Join3(c.increase, c.provider, []byte(c.valAddr)) }

// planEmpty says whether the plan has been executed.
func (k *Keeper) planEmpty(ctx context.Context) (bool, error) {
	it, err := k.Plan.Iterate(ctx, nil)
	if err != nil {
		return false, err
	}
	defer it.Close()
	return !it.Valid(), nil
}

// dropPlan drops what is planned for a provider: only the increases, or all.
func (k *Keeper) dropPlan(ctx context.Context, providerID string, increasesOnly bool) error {
	if err := k.Plan.Clear(ctx, collections.NewSuperPrefixedTripleRange[bool, string, []byte](true, providerID)); err != nil {
		return err
	}
	if increasesOnly {
		return nil
	}
	return k.Plan.Clear(ctx, collections.NewSuperPrefixedTripleRange[bool, string, []byte](false, providerID))
}

// outcome is how many changes were executed and how many failed.
type outcome struct{ done, failed uint64 }

func (o outcome) count() int { return int(o.done + o.failed) }

// execute carries out changes, as many as the block's gas allows. It fails only if the module's own state does.
func (k *Keeper) execute(ctx sdk.Context, params types.Params, changes []change) (outcome, error) {
	v, err := k.newView(ctx)
	if err != nil {
		return outcome{}, err
	}
	return k.executeIn(ctx, params, v, changes)
}

// executeIn is execute with the virtual stake of the moment given, which it keeps up to date.
//
// Each change runs in its own cache context, so that a validator that fails holds up no other. What they mint and burn is
// settled once for all of them; all of them are in one cache context more, so that they count only if the settlement
// succeeds. Should it fail, each change is tried again and settled alone.
func (k *Keeper) executeIn(ctx sdk.Context, params types.Params, v *view, changes []change) (outcome, error) {
	if len(changes) == 0 {
		return outcome{}, nil
	}
	cacheCtx, write := ctx.CacheContext()
	result, err := k.executeTogether(cacheCtx, params, v, changes)
	if err == nil {
		write()
		return result, nil
	}
	k.Logger(ctx).Error("changes of virtual stake are settled one by one", "error", err)

	result = outcome{}
	for _, c := range changes {
		// What the attempt above did to v does not count.
		if v, err = k.newView(ctx); err != nil {
			return outcome{}, err
		}
		cacheCtx, write := ctx.CacheContext()
		r, err := k.executeTogether(cacheCtx, params, v, []change{c})
		if err == nil {
			write()
			result.done += r.done
			result.failed += r.failed
			continue
		}
		if err := k.changeFailed(ctx, c, err); err != nil {
			return outcome{}, err
		}
		result.failed++
	}
	return result, nil
}

// executeTogether carries out changes and settles them together. An error means that nothing of it may count.
func (k *Keeper) executeTogether(ctx sdk.Context, params types.Params, v *view, changes []change) (outcome, error) {
	var (
		result  outcome
		used    storetypes.Gas
		t       = newTally()
		report  = map[string]*types.EventVirtualStakeChanged{}
		ordered []*types.EventVirtualStakeChanged
	)
	for _, c := range changes {
		if used >= blockGas {
			break
		}
		m, gas, err := k.executeOne(ctx, params, v, c)
		used += gas
		if err != nil {
			if err := k.changeFailed(ctx, c, err); err != nil {
				return outcome{}, err
			}
			result.failed++
			continue
		}
		result.done++
		if !m.tokens.IsPositive() && !m.shares.IsPositive() {
			continue
		}
		t.add(c.valAddr, m, c.increase)
		event, ok := report[c.provider]
		if !ok {
			event = &types.EventVirtualStakeChanged{ProviderId: c.provider}
			report[c.provider] = event
			ordered = append(ordered, event)
		}
		event.Changes = append(event.Changes, types.VirtualChange{
			Validator: k.valString(c.valAddr), Increase: c.increase, Tokens: m.tokens,
		})
	}
	if err := safely(func() error { return k.settle(ctx, t) }); err != nil {
		return outcome{}, err
	}
	for _, event := range ordered {
		k.emit(ctx, event)
	}
	return result, nil
}

// executeOne carries out one change in its own cache context.
func (k *Keeper) executeOne(ctx sdk.Context, params types.Params, v *view, c change) (m moved, used storetypes.Gas, err error) {
	p, ok := v.byID[c.provider]
	if !ok {
		return nothingMoved(), 0, types.ErrProviderNotFound
	}
	val, err := k.viewValidator(ctx, v, c.valAddr)
	if err != nil {
		return nothingMoved(), 0, err
	}
	used, err = isolated(ctx, changeGas, func(ctx sdk.Context) error {
		var err error
		if c.increase {
			if m = nothingMoved(); k.mayRaise(p.Provider, val) {
				m, err = k.raise(ctx, c.provider, c.valAddr, c.target.Tokens, v.room(params, p, val))
			}
		} else {
			m, err = k.lower(ctx, c.provider, c.valAddr, c.target.Tokens)
		}
		if err != nil {
			return err
		}
		rec, found, err := k.getStake(ctx, c.provider, c.valAddr)
		if err != nil || !found {
			return err
		}
		return k.markExecuted(ctx, c, rec, true)
	})
	if err != nil {
		return nothingMoved(), used, err
	}
	if c.increase {
		v.moved(p, val, m.tokens)
	} else {
		v.moved(p, val, m.tokens.Neg())
	}
	return m, used, nil
}

// mayRaise says whether the provider's stake on the validator may rise: a status may have changed since the plan.
func (k *Keeper) mayRaise(p types.Provider, val *validatorView) bool {
	return val.exists && !val.tombstoned &&
		p.Status != types.PROVIDER_STATUS_REMOVED && p.Status != types.PROVIDER_STATUS_PAUSED
}

// changeFailed notes a change that failed: an event; of a decrease, since when it does; an increase counts as executed.
func (k *Keeper) changeFailed(ctx sdk.Context, c change, cause error) error {
	k.Logger(ctx).Error("change of virtual stake failed",
		"provider", c.provider, "validator", k.valString(c.valAddr), "increase", c.increase, "error", cause)
	k.emit(ctx, &types.EventChangeFailed{
		ProviderId: c.provider, Validator: k.valString(c.valAddr), Increase: c.increase, Reason: cause.Error(),
	})
	rec, found, err := k.getStake(ctx, c.provider, c.valAddr)
	if err != nil {
		return err
	}
	if c.increase {
		if !found {
			return nil
		}
		return k.markExecuted(ctx, c, rec, false)
	}
	if !found {
		if err := k.countStake(ctx, c.provider); err != nil {
			return err
		}
	} else if !rec.FailingSince.IsZero() {
		return nil
	}
	rec.FailingSince = ctx.BlockTime()
	return k.Stakes.Set(ctx, collections.Join(c.provider, []byte(c.valAddr)), rec)
}

// countStake counts one more record of a provider.
func (k *Keeper) countStake(ctx context.Context, providerID string) error {
	p, err := k.Providers.Get(ctx, providerID)
	if err != nil {
		return err
	}
	p.Stakes++
	return k.Providers.Set(ctx, providerID, p)
}

// markExecuted notes that a provider's virtual stake on a validator is at most its target: executed_seq rises to the seq
// the target was computed from, and only then executed_height changes and the validator is marked for the next report.
// The target's price becomes the reference if something was changed or reported. The record is written only if it changes.
func (k *Keeper) markExecuted(ctx sdk.Context, c change, rec types.StakeRecord, changed bool) error {
	write := false
	if c.target.Seq > rec.ExecutedSeq {
		rec.ExecutedSeq, rec.ExecutedHeight, rec.ExecutedAmount = c.target.Seq, ownHeight(ctx), c.target.Amount
		if err := k.Dirty.Set(ctx, collections.Join(c.provider, []byte(c.valAddr)), types.DirtyValidator{}); err != nil {
			return err
		}
		changed, write = true, true
	}
	if changed && !rec.Price.Equal(c.target.Price) {
		rec.Price = c.target.Price
		write = true
	}
	failed := !rec.FailingSince.IsZero()
	if !write && !failed {
		return nil
	}
	rec.FailingSince = time.Time{}
	if err := k.Stakes.Set(ctx, collections.Join(c.provider, []byte(c.valAddr)), rec); err != nil {
		return err
	}
	if failed {
		return k.releaseValidator(ctx, c.valAddr)
	}
	return nil
}
