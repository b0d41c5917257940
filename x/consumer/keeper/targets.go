package keeper

import (
	"bytes"
	"context"
	"math/big"
	"slices"
	"strings"
	"time"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// change is one entry of the plan.
type change struct {
	increase bool
	provider string
	valAddr  sdk.ValAddress
	target   types.Target
	// planned is what the plan was made from, in the block in which it was made; nil afterwards.
	planned *entry
}

// entry is one provider's stake on one validator while the plan is made.
type entry struct {
	val    string
	rec    types.StakeRecord
	exists bool // the record does
	want   *big.Int
	price  sdkmath.LegacyDec
}

// makePlan computes the targets of all providers together and returns the changes they need, decreases first. What needs
// no change is marked as executed at once.
func (k *Keeper) makePlan(ctx sdk.Context, params types.Params) ([]change, *view, error) {
	v, err := k.newView(ctx)
	if err != nil {
		return nil, nil, err
	}
	parts := make([][]entry, len(v.providers))
	for i, p := range v.providers {
		parts[i], err = k.planProvider(ctx, params, v, p)
		if err != nil {
			return nil, nil, err
		}
	}
	if err := applyCaps(params, v, parts); err != nil {
		k.Logger(ctx).Error("caps failed", "error", err)
		k.emit(ctx, &types.EventPlanFailed{Reason: err.Error()})
		for i, p := range v.providers {
			v.fallBack(p, parts[i])
		}
	}
	var decreases, increases []change
	for i, p := range v.providers {
		down, up, err := k.diff(ctx, params, v, p, parts[i])
		if err != nil {
			return nil, nil, err
		}
		decreases, increases = append(decreases, down...), append(increases, up...)
	}
	sortChanges(decreases)
	sortChanges(increases)
	return append(decreases, increases...), v, nil
}

// sortChanges sorts the changes of a phase by validator, then provider, as the plan stores them: what a block writes per
// validator it writes once for all providers.
func sortChanges(changes []change) {
	slices.SortFunc(changes, func(a, b change) int {
		if order := bytes.Compare(a.valAddr, b.valAddr); order != 0 {
			return order
		}
		return strings.Compare(a.provider, b.provider)
	})
}

// planProvider computes what a provider wants on each validator before caps. If that fails, each amount falls back to
// what needs no price. Freshness is looked at before, on its own: it counts whatever else fails.
func (k *Keeper) planProvider(ctx sdk.Context, params types.Params, v *view, p *providerView) ([]entry, error) {
	entries, err := k.entries(ctx, v, p)
	if err != nil {
		return nil, err
	}
	if err := k.refresh(ctx, params, p); err != nil {
		return nil, err
	}
	before := p.Provider
	_, err = isolated(ctx, blockGas, func(ctx sdk.Context) error { return k.want(ctx, params, v, p, entries) })
	if err != nil {
		k.Logger(ctx).Error("provider's plan failed", "provider", p.id(), "error", err)
		k.emit(ctx, &types.EventPlanFailed{ProviderId: p.id(), Reason: err.Error()})
		p.Provider = before
		v.fallBack(p, entries)
	}
	return entries, nil
}

// fallBack fills in what a provider wants where that cannot be computed: what needs neither price nor caps and never
// rises, and nothing where nothing may be.
func (v *view) fallBack(p *providerView, entries []entry) {
	for i := range entries {
		e := &entries[i]
		e.want, e.price = new(big.Int), e.rec.Price
		if p.mayStake(v.validators[e.val]) {
			e.want = types.Fallback(p.on(e.val), e.rec.Amount, e.rec.ExecutedAmount)
		}
	}
}

// mayStake says whether a provider may have virtual stake on a validator at all.
func (p *providerView) mayStake(val *validatorView) bool {
	return p.Status != types.PROVIDER_STATUS_REMOVED && p.Fresh && val.exists && !val.tombstoned
}

// refresh notes whether the provider's totals are still fresh.
func (k *Keeper) refresh(ctx sdk.Context, params types.Params, p *providerView) error {
	limit, err := k.freshnessLimit(ctx, params, p.Provider)
	if err != nil {
		return err
	}
	if fresh := isFresh(ctx, p.Provider, limit); fresh != p.Fresh {
		p.Fresh = fresh
		k.emit(ctx, &types.EventFreshness{ProviderId: p.id(), Fresh: fresh, SyncedAt: p.SyncedAt})
	}
	return nil
}

// entries lists a provider's records, and virtual stake without one, in the order of operator addresses.
func (k *Keeper) entries(ctx context.Context, v *view, p *providerView) ([]entry, error) {
	var entries []entry
	seen := make(map[string]bool, len(p.current))
	err := k.Stakes.Walk(ctx, collections.NewPrefixedPairRange[string, []byte](p.id()),
		func(key stakeKey, rec types.StakeRecord) (bool, error) {
			seen[string(key.K2())] = true
			entries = append(entries, entry{val: string(key.K2()), rec: rec, exists: true})
			return false, nil
		})
	if err != nil {
		return nil, err
	}
	for i := range entries {
		if _, err := k.viewValidator(ctx, v, sdk.ValAddress(entries[i].val)); err != nil {
			return nil, err
		}
	}
	for _, val := range v.sortedValidators() {
		if _, ok := p.current[val]; ok && !seen[val] {
			entries = append(entries, entry{val: val, rec: types.NewStakeRecord()})
		}
	}
	return entries, nil
}

// want fills in what the provider wants on each validator, and updates its price.
func (k *Keeper) want(ctx sdk.Context, params types.Params, v *view, p *providerView, entries []entry) error {
	removed := p.Status == types.PROVIDER_STATUS_REMOVED
	in := types.WantInput{
		Threshold:          params.RebalanceThreshold,
		Discount:           p.Config.Discount,
		NativeDecimals:     params.NativeDecimals,
		CollateralDecimals: p.Config.CollateralDecimals,
	}
	if !removed {
		price, mayRise, err := k.nextPrice(ctx, params, p.Provider)
		if err != nil {
			k.emit(ctx, &types.EventPriceUnusable{ProviderId: p.id(), Reason: err.Error()})
		} else {
			in.Price, in.Usable, p.Price = price, true, price
			in.MayRise = mayRise && p.Status != types.PROVIDER_STATUS_PAUSED
		}
	}
	for i := range entries {
		e := &entries[i]
		if !p.mayStake(v.validators[e.val]) {
			e.want, e.price = new(big.Int), e.rec.Price
			continue
		}
		in.Amount, in.Executed, in.ReferencePrice = e.rec.Amount, e.rec.ExecutedAmount, e.rec.Price
		in.Current = p.on(e.val)
		in.Changed = e.rec.Seq != e.rec.ExecutedSeq
		e.want, e.price = types.Want(in)
	}
	return nil
}

// applyCaps lowers the wants of all providers together to the caps.
func applyCaps(params types.Params, v *view, parts [][]entry) error {
	return safely(func() error { return lowerToCaps(params, v, parts) })
}

func lowerToCaps(params types.Params, v *view, parts [][]entry) error {
	vals := v.sortedValidators()
	index := make(map[string]int, len(vals))
	validatorCaps := make([]*big.Int, len(vals))
	byValidator := make([][]types.Wanted, len(vals))
	for i, val := range vals {
		index[val] = i
		validatorCaps[i] = validatorCap(params, v.validators[val]).BigInt()
	}
	providerCaps := make([]*big.Int, len(v.providers))
	for i, p := range v.providers {
		p.Cap = v.providerCap(p)
		providerCaps[i] = p.Cap.BigInt()
		for _, e := range parts[i] {
			j := index[e.val]
			byValidator[j] = append(byValidator[j], types.Wanted{Validator: j, Provider: i, Tokens: e.want})
		}
	}
	var wanted []types.Wanted
	for _, w := range byValidator {
		wanted = append(wanted, w...)
	}
	types.ApplyCaps(wanted, validatorCaps, providerCaps, v.globalCap(params).BigInt())
	return nil
}

// diff compares a provider's targets with its virtual stake. It saves the provider, marks as executed what needs no
// change, jails validators whose decrease has failed for too long, and drops records that say nothing any more.
func (k *Keeper) diff(
	ctx sdk.Context, params types.Params, v *view, p *providerView, entries []entry,
) (decreases, increases []change, err error) {
	limit, err := k.freshnessLimit(ctx, params, p.Provider)
	if err != nil {
		return nil, nil, err
	}
	for i := range entries {
		e := &entries[i]
		val, current := v.validators[e.val], p.on(e.val)
		target := types.Target{Tokens: sdkmath.NewIntFromBigInt(e.want), Seq: e.rec.Seq, Amount: e.rec.Amount, Price: e.price}
		c := change{provider: p.id(), valAddr: val.addr, target: target, planned: e}
		_, delegated := p.current[e.val]
		switch {
		case current.GT(target.Tokens), delegated && target.Tokens.IsZero():
			// A delegation worth nothing leaves too, with all its shares.
			decreases = append(decreases, c)
			k.holdIfOverdue(ctx, e.rec, c, limit)
			continue
		case current.LT(target.Tokens) && !isDust(val, target.Tokens.Sub(current)):
			c.increase = true
			increases = append(increases, c)
			continue
		}
		if !e.exists {
			continue
		}
		if err := k.markExecuted(ctx, c, e.rec, v.height, false); err != nil {
			return nil, nil, err
		}
	}
	if err := k.pruneStakes(ctx, params, v, p, entries); err != nil {
		return nil, nil, err
	}
	return decreases, increases, k.Providers.Set(ctx, p.id(), p.Provider)
}

// isDust says whether a difference is what rounding leaves at a rate other than 1:1.
func isDust(val *validatorView, diff sdkmath.Int) bool {
	return diff.LTE(sdkmath.OneInt()) && val.virtual.IsPositive() &&
		!sdkmath.LegacyNewDecFromInt(val.validator.Tokens).Equal(val.validator.DelegatorShares)
}

// pruneStakes drops the records of a removed provider whose virtual stake is gone and of which nothing is left to report,
// and, where records fill more than half of what may be kept, those without stake. The seq dropped is remembered.
func (k *Keeper) pruneStakes(ctx context.Context, params types.Params, v *view, p *providerView, entries []entry) error {
	removed := p.Status == types.PROVIDER_STATUS_REMOVED
	if !removed && p.Stakes <= params.MaxValidatorsPerProvider/2 {
		return nil
	}
	for i := range entries {
		e := &entries[i]
		if !e.exists || p.on(e.val).IsPositive() {
			continue
		}
		val := v.validators[e.val]
		gone := !val.exists || val.tombstoned
		if !removed && (e.rec.Seq != e.rec.ExecutedSeq || (!gone && e.rec.Amount.IsPositive())) {
			continue
		}
		key := collections.Join(p.id(), []byte(e.val))
		dirty, err := k.Dirty.Has(ctx, key)
		if err != nil {
			return err
		}
		if dirty && (!removed || p.IsOpen()) {
			continue
		}
		if err := k.Stakes.Remove(ctx, key); err != nil {
			return err
		}
		e.exists = false
		if dirty { // nobody is left to tell
			if err := k.Dirty.Remove(ctx, key); err != nil {
				return err
			}
		}
		p.FloorSeq = max(p.FloorSeq, e.rec.Seq)
		p.DroppedHeight = ownHeight(sdk.UnwrapSDKContext(ctx))
		if p.Stakes > 0 {
			p.Stakes--
		}
	}
	return nil
}

// holdIfOverdue jails the validator of a decrease that has been failing for half the freshness limit, and keeps it in
// jail until the decrease is executed.
func (k *Keeper) holdIfOverdue(ctx sdk.Context, rec types.StakeRecord, c change, limit time.Duration) {
	if rec.FailingSince.IsZero() || ctx.BlockTime().Sub(rec.FailingSince) < limit/2 {
		return
	}
	_, err := isolated(ctx, blockGas, func(ctx sdk.Context) error { return k.holdValidator(ctx, c.valAddr, c.provider) })
	if err != nil {
		k.Logger(ctx).Error("validator cannot be jailed", "validator", c.valAddr, "error", err)
		k.emit(ctx, &types.EventStageFailed{Stage: "jail", Reason: err.Error()})
	}
}
