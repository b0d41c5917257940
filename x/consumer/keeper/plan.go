package keeper

import (
	"context"
	"errors"
	"time"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// getStake returns a stake record; without one, an empty record and false.
func (k *Keeper) getStake(ctx context.Context, providerID string, valAddr []byte) (types.StakeRecord, bool, error) {
	rec, err := k.Stakes.Get(ctx, collections.Join(providerID, valAddr))
	if errors.Is(err, collections.ErrNotFound) {
		return types.NewStakeRecord(), false, nil
	}
	return rec, err == nil, err
}

// storePlan stores changes for the blocks to come.
func (k *Keeper) storePlan(ctx context.Context, changes []change) error {
	for _, c := range changes {
		if err := k.Plan.Set(ctx, c.key(), c.target); err != nil {
			return err
		}
	}
	return nil
}

// nextChanges takes the next part of the stored plan.
func (k *Keeper) nextChanges(ctx sdk.Context) (changes []change, err error) {
	params, err := k.Params.Get(ctx)
	if err != nil {
		return nil, err
	}
	err = k.Plan.Walk(ctx, nil, func(key planKey, target types.Target) (bool, error) {
		changes = append(changes, change{increase: key.K1(), provider: key.K3(), valAddr: key.K2(), target: target})
		return len(changes) >= int(params.MaxEpochOperations), nil
	})
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		if err := k.Plan.Remove(ctx, c.key()); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// carryOut executes a block's part of the plan, which is not stored any more, and puts back what the block had no gas
// for; all of it if executing fails. ok says whether taking it from the plan has succeeded.
func (k *Keeper) carryOut(ctx sdk.Context, changes []change, v *view, ok bool) {
	if !ok || len(changes) == 0 {
		return
	}
	var result outcome
	err := caught(func() error {
		params, err := k.Params.Get(ctx)
		if err != nil {
			return err
		}
		result, err = k.execute(ctx, params, v, changes)
		return err
	})
	if err != nil {
		k.stageFailed(ctx, "execute", err)
		result = outcome{}
	}
	k.stage(ctx, "progress", func(ctx sdk.Context) error {
		if err := k.storePlan(ctx, changes[result.count():]); err != nil {
			return err
		}
		epoch, err := k.Epoch.Get(ctx)
		if err != nil {
			return err
		}
		epoch.Done += result.done
		epoch.Failed += result.failed
		return k.Epoch.Set(ctx, epoch)
	})
}

// planned returns an entry of the stored plan, if there is one.
func (k *Keeper) planned(ctx context.Context, key planKey) (types.Target, bool, error) {
	target, err := k.Plan.Get(ctx, key)
	if errors.Is(err, collections.ErrNotFound) {
		return types.Target{}, false, nil
	}
	return target, err == nil, err
}

func (c change) key() planKey { return collections.Join3(c.increase, []byte(c.valAddr), c.provider) }

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
	rng := new(collections.Range[planKey])
	if increasesOnly {
		rng = rng.Prefix(collections.TriplePrefix[bool, []byte, string](true))
	}
	var keys []planKey
	err := k.Plan.Walk(ctx, rng, func(key planKey, _ types.Target) (bool, error) {
		if key.K3() == providerID {
			keys = append(keys, key)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := k.Plan.Remove(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// outcome is how many changes were executed and how many failed.
type outcome struct{ done, failed uint64 }

func (o outcome) count() int { return int(o.done + o.failed) }

// execute carries out changes, as many as the block's gas allows. It fails only if the module's own state does, and then
// nothing counts. v is the virtual stake of the moment, if it is known; it is of no use afterwards.
//
// What the changes mint and burn is settled once for all of them, so they run in one cache context that counts only if
// every change and the settlement succeed. If one fails, all run again, each in a cache context of its own, so that a
// validator that fails holds up no other. If the settlement fails, each change is settled alone.
func (k *Keeper) execute(ctx sdk.Context, params types.Params, v *view, changes []change) (outcome, error) {
	if len(changes) == 0 {
		return outcome{}, nil
	}
	var cause error
	for _, isolate := range []bool{false, true} {
		result, err := k.attempt(ctx, params, v, changes, isolate)
		if err == nil {
			return result, nil
		}
		v, cause = nil, err // what the attempt did to v does not count
	}
	k.Logger(ctx).Error("changes of virtual stake are settled one by one", "error", cause)

	var result outcome
	for _, c := range changes {
		one, err := k.attempt(ctx, params, nil, []change{c}, true)
		if err == nil {
			result.done += one.done
			result.failed += one.failed
			continue
		}
		if err := k.changeFailed(ctx, c, err); err != nil {
			return outcome{}, err
		}
		result.failed++
	}
	return result, nil
}

// attempt carries out changes and settles them together, in one cache context. If it fails, nothing of it counts.
func (k *Keeper) attempt(ctx sdk.Context, params types.Params, v *view, changes []change, isolate bool) (result outcome, err error) {
	cacheCtx, write := ctx.CacheContext()
	cacheCtx = cacheCtx.WithGasMeter(storetypes.NewInfiniteGasMeter())
	err = caught(func() error {
		if v == nil {
			if v, err = k.lazyView(cacheCtx); err != nil {
				return err
			}
		}
		result, err = k.executeAll(cacheCtx, params, v, changes, isolate)
		return err
	})
	if err != nil {
		return outcome{}, err
	}
	write()
	return result, nil
}

// executeAll carries out changes and settles them. If they are not isolated, the first failure is that of all.
func (k *Keeper) executeAll(ctx sdk.Context, params types.Params, v *view, changes []change, isolate bool) (outcome, error) {
	var (
		result  outcome
		used    storetypes.Gas
		t       = newTally()
		events  = map[string]*types.EventVirtualStakeChanged{}
		ordered []*types.EventVirtualStakeChanged
		// Once for all changes: each conversion copies it to the heap.
		goCtx context.Context = ctx
	)
	run := together(ctx, changeGas)
	if isolate {
		run = apart(ctx, changeGas)
	}
	for i, c := range changes {
		if used >= blockGas {
			break
		}
		if i%orderEvery == 0 {
			k.orderWrites(goCtx)
		}
		m, gas, err := k.executeOne(goCtx, params, v, c, run)
		used += gas
		if err != nil {
			if !isolate {
				return outcome{}, err
			}
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
		t.add(c.provider, weight(v.byID[c.provider].Provider), c.valAddr, m, c.increase)
		event, ok := events[c.provider]
		if !ok {
			event = &types.EventVirtualStakeChanged{ProviderId: c.provider}
			events[c.provider] = event
			ordered = append(ordered, event)
		}
		event.Changes = append(event.Changes, types.VirtualChange{
			Validator: v.operator(c.valAddr), Increase: c.increase, Tokens: m.tokens,
		})
	}
	if err := k.settle(ctx, t); err != nil {
		return outcome{}, err
	}
	k.creditApart(ctx, t.gains)
	for _, event := range ordered {
		ctx.EventManager().EmitEvent(event.ToEvent())
	}
	return result, nil
}

// executeOne carries out one change through run.
func (k *Keeper) executeOne(
	sdkCtx context.Context, params types.Params, v *view, c change, run runner,
) (m moved, used storetypes.Gas, err error) {
	p, ok := v.byID[c.provider]
	if !ok {
		return nothingMoved(), 0, types.ErrProviderNotFound
	}
	val, err := k.viewValidator(sdkCtx, v, c.valAddr)
	if err != nil {
		return nothingMoved(), 0, err
	}
	if err := k.openPurse(sdkCtx, p); err != nil {
		return nothingMoved(), 0, err
	}
	used, err = run(func(ctx context.Context) (err error) {
		if c.increase {
			if m = nothingMoved(); mayRaise(p.Provider, val) {
				m, err = k.raise(ctx, p, val, c.target.Tokens, func(wanted sdkmath.Int) (sdkmath.Int, error) {
					// What the view reads is no part of this change: the room is the same without it.
					return k.roomFor(sdkCtx, params, v, p, val, wanted)
				})
			}
		} else {
			m, err = k.lower(ctx, p, val, c.target.Tokens)
		}
		if err != nil {
			return err
		}
		rec, found, err := k.stakeOf(ctx, c)
		if err != nil || !found {
			return err
		}
		return k.markExecuted(ctx, c, rec, v.height, true)
	})
	if err != nil {
		return nothingMoved(), used, err
	}
	m.gains = k.countPurse(sdkCtx, p, c.valAddr)
	v.follow(p, val, m, c.increase)
	return m, used, nil
}

// stakeOf returns the record of a change's stake, and whether there is one: as the plan has just read it, if the change is
// carried out in the same block.
func (k *Keeper) stakeOf(ctx context.Context, c change) (types.StakeRecord, bool, error) {
	if c.planned != nil {
		return c.planned.rec, c.planned.exists, nil
	}
	return k.getStake(ctx, c.provider, c.valAddr)
}

// mayRaise says whether the provider's stake on the validator may rise: a status may have changed since the plan.
func mayRaise(p types.Provider, val *validatorView) bool {
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
		return k.markExecuted(ctx, c, rec, ownHeight(ctx), false)
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
func (k *Keeper) markExecuted(
	ctx context.Context, c change, rec types.StakeRecord, height meshtypes.Height, changed bool,
) error {
	write := false
	if c.target.Seq > rec.ExecutedSeq {
		rec.ExecutedSeq, rec.ExecutedHeight, rec.ExecutedAmount = c.target.Seq, height, c.target.Amount
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
		return k.releaseValidator(sdk.UnwrapSDKContext(ctx), c.valAddr)
	}
	return nil
}
