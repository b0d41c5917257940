package keeper

import (
	"context"
	"math"
	"time"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// slashesPerBlock bounds how many old entries of slash logs are dropped in one block.
const slashesPerBlock = 100

// slashKey is a provider and an index of its slash log.
type slashKey = collections.Pair[string, uint64]

// LogSlash adds a slash to the log of each provider with stake on the validator at or since the infraction, and scales
// what is stored of it. The decorator on x/slashing's staking keeper calls it after the slash. A provider for which that
// fails holds up no other; an event says so.
func (k *Keeper) LogSlash(ctx context.Context, slash types.SlashNote) error {
	return safely(func() error { return k.logSlash(sdk.UnwrapSDKContext(ctx), slash) })
}

func (k *Keeper) logSlash(ctx sdk.Context, slash types.SlashNote) error {
	if !slash.Nominal.IsPositive() {
		return nil
	}
	slash.Nominal = sdkmath.LegacyMinDec(slash.Nominal, sdkmath.LegacyOneDec())
	slash.Effective = sdkmath.LegacyMinDec(slash.Effective, sdkmath.LegacyOneDec())
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	for _, p := range providers {
		cacheCtx, write := ctx.CacheContext()
		if err := safely(func() error { return k.logSlashFor(cacheCtx, p, slash) }); err != nil {
			k.stageFailed(ctx, "slash log of "+p.Config.ProviderId, err)
			continue
		}
		write()
	}
	return nil
}

// logSlashFor adds a slash to one provider's log, if it concerns it.
//
// The fraction on the wire is the one by which the amounts of both sides shrink: the effective one where the provider has a
// virtual delegation that lost it, else the nominal one.
func (k *Keeper) logSlashFor(ctx sdk.Context, p types.Provider, slash types.SlashNote) error {
	id := p.Config.ProviderId
	rec, found, err := k.getStake(ctx, id, slash.Validator)
	if err != nil {
		return err
	}
	validator, shares, err := k.virtualStake(ctx, types.VirtualAccount(id), slash.Validator)
	if err != nil {
		return err
	}
	infraction := ownHeight(ctx)
	infraction.Height = uint64(max(slash.Infraction, 0))
	if concerned, err := k.stakedSince(ctx, p, slash.Validator, shares, rec, found, infraction); err != nil || !concerned {
		return err
	}

	fraction := slash.Nominal
	// Shares of a validator that had no tokens were worth nothing: nothing of them could be lost.
	if shares.IsPositive() && (slash.Burned || validator.Tokens.IsPositive()) {
		fraction = slash.Effective
	}
	p.LastIndex++
	entry := meshtypes.SlashEntry{
		Index: p.LastIndex, Operator: slash.Validator, Kind: slash.Kind, Infraction: infraction,
		NominalFraction: slash.Nominal, EffectiveFraction: fraction,
	}
	if err := entry.Validate(); err != nil {
		return err
	}
	record := types.SlashRecord{Entry: entry, LoggedAt: ctx.BlockTime()}
	if err := k.SlashLog.Set(ctx, collections.Join(id, entry.Index), record); err != nil {
		return err
	}
	if err := k.setProvider(ctx, p); err != nil {
		return err
	}
	k.emit(ctx, &types.EventSlashLogged{
		ProviderId: id, Index: entry.Index, Validator: k.valString(slash.Validator), Kind: entry.Kind, Infraction: infraction,
		NominalFraction: entry.NominalFraction, EffectiveFraction: entry.EffectiveFraction,
	})
	return k.scaleStake(ctx, id, slash.Validator, rec, found, fraction)
}

// stakedSince says whether a provider has stake on a validator or had some at or since a height. A set of validators
// signs one block after the height that decided it, so stake that left at a height answers for the next one too. Where
// the record that knew of it has been dropped, that virtual stake has left the validator since is enough: the provider
// refuses what nothing answers for.
func (k *Keeper) stakedSince(
	ctx sdk.Context, p types.Provider, valAddr sdk.ValAddress, shares sdkmath.LegacyDec, rec types.StakeRecord, found bool,
	infraction meshtypes.Height,
) (bool, error) {
	switch {
	case shares.IsPositive(), rec.Amount.IsPositive(), rec.ExecutedAmount.IsPositive():
		return true, nil
	case !rec.ExecutedHeight.IsZero() && infraction.Compare(rec.ExecutedHeight.Next()) <= 0:
		return true, nil
	case p.DroppedHeight.IsZero() || rec.ExecutedSeq > 0:
		return false, nil
	case !found && infraction.Compare(p.DroppedHeight.Next()) > 0:
		return false, nil
	}
	left, _, err := k.Flows.Since(ctx, valAddr, int64(min(infraction.Height, math.MaxInt64))-1)
	if err != nil || !left.IsPositive() {
		return false, err
	}
	// Virtual stake leaves at the end of a block; what has left in this one is what the slash itself took.
	now, _, err := k.Flows.Since(ctx, valAddr, ctx.BlockHeight())
	return left.GT(now), err
}

// scaleStake scales a provider's amounts and planned targets for a validator by a slash, so that what it takes is not
// minted back.
func (k *Keeper) scaleStake(
	ctx sdk.Context, providerID string, valAddr sdk.ValAddress, rec types.StakeRecord, found bool, fraction sdkmath.LegacyDec,
) error {
	if !fraction.IsPositive() {
		return nil
	}
	if found {
		rec.ScaleBySlash(fraction)
		if err := k.Stakes.Set(ctx, collections.Join(providerID, []byte(valAddr)), rec); err != nil {
			return err
		}
	}
	for _, increase := range []bool{false, true} {
		key := collections.Join3(increase, []byte(valAddr), providerID)
		target, planned, err := k.planned(ctx, key)
		if err != nil {
			return err
		}
		if !planned {
			continue
		}
		found = true
		target.ScaleBySlash(fraction)
		if err := k.Plan.Set(ctx, key, target); err != nil {
			return err
		}
	}
	if found {
		k.emit(ctx, &types.EventStakeScaled{ProviderId: providerID, Validator: k.valString(valAddr), Fraction: fraction})
	}
	return nil
}

// slashTail returns the entries of a provider's log that it has not acknowledged, as many as a report takes.
func (k *Keeper) slashTail(ctx context.Context, p types.Provider) (tail []meshtypes.SlashEntry, err error) {
	if p.AckedIndex >= p.LastIndex {
		return nil, nil
	}
	rng := collections.NewPrefixedPairRange[string, uint64](p.Config.ProviderId).StartExclusive(p.AckedIndex)
	err = k.SlashLog.Walk(ctx, rng, func(_ slashKey, record types.SlashRecord) (bool, error) {
		tail = append(tail, record.Entry)
		return len(tail) >= meshtypes.MaxSlashes, nil
	})
	return tail, err
}

// slashesAcknowledged takes the highest index that the provider has recorded. It never falls and is never above what has
// been written.
func (k *Keeper) slashesAcknowledged(ctx context.Context, p types.Provider, slashSeq uint64) types.Provider {
	acked := min(slashSeq, p.LastIndex)
	if acked <= p.AckedIndex {
		return p
	}
	p.AckedIndex = acked
	k.emit(ctx, &types.EventSlashLogAcknowledged{ProviderId: p.Config.ProviderId, AckedIndex: acked})
	return p
}

// slashFactors are the fractions, in the order of the log, that amounts lose by validator (raw operator address).
type slashFactors map[string][]sdkmath.LegacyDec

// factorsAfter returns the fractions of a provider's log behind an index: those of slashes that the provider did not know
// of.
func (k *Keeper) factorsAfter(ctx context.Context, p types.Provider, index uint64) (slashFactors, error) {
	if index >= p.LastIndex {
		return nil, nil
	}
	factors := slashFactors{}
	rng := collections.NewPrefixedPairRange[string, uint64](p.Config.ProviderId).StartExclusive(index)
	err := k.SlashLog.Walk(ctx, rng, func(_ slashKey, record types.SlashRecord) (bool, error) {
		val := string(record.Entry.Operator)
		factors[val] = append(factors[val], record.Entry.EffectiveFraction)
		return false, nil
	})
	return factors, err
}

// apply returns amount·Π(1 − f) for a validator, rounded down at each factor: what is left of an amount that each of the
// slashes met.
func (f slashFactors) apply(val []byte, amount sdkmath.Int) sdkmath.Int {
	for _, fraction := range f[string(val)] {
		amount = types.AfterSlash(amount, fraction)
	}
	return amount
}

// forgetSlashes empties a provider's log: each session begins a new one.
func (k *Keeper) forgetSlashes(ctx context.Context, providerID string) error {
	return k.SlashLog.Clear(ctx, collections.NewPrefixedPairRange[string, uint64](providerID))
}

// pruneSlashes drops entries that are older than twice the unbonding period: no batch answers for them any more. Those
// that were never acknowledged become void. Bounded; the rest waits for the next block.
func (k *Keeper) pruneSlashes(ctx sdk.Context) error {
	own, err := k.staking.UnbondingTime(ctx)
	if err != nil {
		return err
	}
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	budget := slashesPerBlock
	for _, p := range providers {
		if p.FirstIndex > p.LastIndex || budget <= 0 {
			continue
		}
		keep := min(max(own, p.UnbondingPeriod, 0), math.MaxInt64/2)
		dropped, err := k.pruneSlashLog(ctx, p, ctx.BlockTime().Add(-2*keep), budget)
		if err != nil {
			return err
		}
		budget -= dropped
	}
	return nil
}

// pruneSlashLog drops at most limit entries logged before a time from the beginning of a provider's log.
func (k *Keeper) pruneSlashLog(ctx sdk.Context, p types.Provider, before time.Time, limit int) (int, error) {
	first := p.FirstIndex
	rng := collections.NewPrefixedPairRange[string, uint64](p.Config.ProviderId).StartInclusive(first)
	var old []slashKey
	err := k.SlashLog.Walk(ctx, rng, func(key slashKey, record types.SlashRecord) (bool, error) {
		if !record.LoggedAt.Before(before) {
			return true, nil
		}
		old = append(old, key)
		return len(old) >= limit, nil
	})
	if err != nil || len(old) == 0 {
		return 0, err
	}
	for _, key := range old {
		if err := k.SlashLog.Remove(ctx, key); err != nil {
			return 0, err
		}
	}
	event := &types.EventSlashLogPruned{ProviderId: p.Config.ProviderId}
	p.FirstIndex = first + uint64(len(old))
	event.FirstIndex = p.FirstIndex
	if last := p.FirstIndex - 1; last > p.AckedIndex {
		event.Voided = min(last-p.AckedIndex, uint64(len(old)))
	}
	k.emit(ctx, event)
	return len(old), errorsmod.Wrap(k.setProvider(ctx, p), "first index")
}
