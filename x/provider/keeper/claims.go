package keeper

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// recordClaims records the entries of a report's slash log, each exactly once and in order. What was recorded before is
// skipped, and a gap ends the list: the consumer fills it next time. Nothing a consumer claims is an error here; what
// cannot be applied is recorded as refused, so that the log goes on.
func (k *Keeper) recordClaims(ctx sdk.Context, consumer types.Consumer, p *types.Pairing, report meshtypes.ConsumerReport) error {
	if report.FirstIndex > p.SlashSeq+1 {
		p.SlashSeq = report.FirstIndex - 1 // the consumer has forgotten what is below
		// It has scaled its amounts by what is void now, and nobody knows whose: all are listed again.
		if err := k.touchPools(ctx, consumer.Config.ClientId); err != nil {
			return err
		}
	}
	for _, entry := range report.Slashes {
		if entry.Index <= p.SlashSeq {
			continue
		}
		if entry.Index > p.SlashSeq+1 {
			return nil
		}
		if err := k.recordClaim(ctx, consumer, *p, entry); err != nil {
			return err
		}
		p.SlashSeq = entry.Index
	}
	return nil
}

// recordClaim records one entry of a consumer's slash log.
func (k *Keeper) recordClaim(ctx sdk.Context, consumer types.Consumer, p types.Pairing, entry meshtypes.SlashEntry) error {
	cfg := consumer.Config
	rec := types.SlashRecord{
		ClientId: cfg.ClientId, Validator: entry.Operator, Origin: types.SLASH_ORIGIN_CLAIM, Kind: entry.Kind,
		Infraction: entry.Infraction, NominalFraction: entry.NominalFraction, EffectiveFraction: entry.EffectiveFraction,
		Session: p.Session, LogIndex: entry.Index, RecordedAt: ctx.BlockTime(), BatchDelay: cfg.SlashPolicy.UnprovenDelay,
		Status: types.SLASH_STATUS_PENDING, Amount: sdkmath.ZeroInt(), Reward: sdkmath.ZeroInt(),
	}
	rec.DueAt = ctx.BlockTime().Add(cfg.SlashPolicy.UnprovenDelay)
	if rec.Kind == meshtypes.SLASH_KIND_DOUBLE_SIGN {
		rec.DueAt = ctx.BlockTime().Add(p.EffectiveUnbonding)
	}
	status, reason, err := k.judgeClaim(ctx, consumer, p, rec)
	if err != nil {
		return err
	}
	if rec, err = k.recordSlash(ctx, cfg, rec); err != nil {
		return err
	}
	if status == types.SLASH_STATUS_PENDING {
		return nil
	}
	return k.settleSlash(ctx, cfg, &rec, status, reason)
}

// judgeClaim says what becomes of a claim when it arrives: it is pending, or refused or recognised for a reason.
func (k *Keeper) judgeClaim(ctx sdk.Context, consumer types.Consumer, p types.Pairing, rec types.SlashRecord) (types.SlashStatus, string, error) {
	known, err := k.Validators.Has(ctx, collections.Join(rec.ClientId, rec.Validator))
	if err != nil {
		return 0, "", err
	}
	if !known {
		return types.SLASH_STATUS_REFUSED, reasonUnknown, nil
	}
	if latest, ok := k.latestHeight(ctx, rec.ClientId); ok && rec.Infraction.Compare(latest) > 0 {
		return types.SLASH_STATUS_REFUSED, reasonFuture, nil
	}
	switch err := k.checkEvidenceAge(ctx, rec.ClientId, p, types.ChainRecord{}, rec.Infraction); {
	case errors.Is(err, types.ErrEvidenceTooOld):
		return types.SLASH_STATUS_REFUSED, reasonTooOld, nil
	case err != nil:
		return 0, "", err
	}
	stake, err := k.stakeOf(ctx, rec.ClientId, rec.Validator)
	if err != nil {
		return 0, "", err
	}
	if status, reason := judge(stake, rec); status != types.SLASH_STATUS_PENDING {
		return status, reason, nil
	}
	if consumer.IsPaused() && rec.Kind != meshtypes.SLASH_KIND_DOUBLE_SIGN {
		return types.SLASH_STATUS_REFUSED, reasonPaused, nil
	}
	pending, err := k.pendingOf(ctx, rec.ClientId, rec.Validator)
	if err != nil {
		return 0, "", err
	}
	claims := 0
	for _, o := range pending {
		if !o.IsProof() {
			claims++
		}
	}
	if claims >= types.MaxPendingSlashes {
		return types.SLASH_STATUS_REFUSED, reasonTooMany, nil
	}
	return types.SLASH_STATUS_PENDING, "", nil
}

// judge says whether a claim has stake to take from.
func judge(stake []stakeOn, rec types.SlashRecord) (types.SlashStatus, string) {
	switch answers, hit := answering(stake, rec); {
	case len(answers) == 0:
		return types.SLASH_STATUS_REFUSED, reasonNothing
	case len(hit) == 0:
		return types.SLASH_STATUS_RECOGNISED, reasonPunished
	}
	return types.SLASH_STATUS_PENDING, ""
}

// executeClaim takes what a claim may take: of each pool or batch at most the downtime fraction per window, and all
// together at most the meter. Beyond the meter it is refused and the consumer paused. While the consumer is paused
// downtime is refused and a double sign waits. It returns the steps it took.
func (k *Keeper) executeClaim(ctx sdk.Context, consumer types.Consumer, rec *types.SlashRecord) (steps int, err error) {
	cfg := consumer.Config
	if consumer.IsPaused() && rec.Kind == meshtypes.SLASH_KIND_DOUBLE_SIGN && consumer.IsLive() {
		params, err := k.Params.Get(ctx)
		if err != nil {
			return 1, err
		}
		return 1, k.moveSlash(ctx, rec, nanos(ctx.BlockTime().Add(params.EpochDuration)))
	}
	switch {
	case !consumer.IsLive():
		return 1, k.settleSlash(ctx, cfg, rec, types.SLASH_STATUS_REFUSED, reasonRemoved)
	case consumer.IsPaused():
		return 1, k.settleSlash(ctx, cfg, rec, types.SLASH_STATUS_REFUSED, reasonPaused)
	}
	stake, err := k.stakeOf(ctx, cfg.ClientId, rec.Validator)
	if err != nil {
		return 1, err
	}
	steps = 1 + len(stake)
	if status, reason := judge(stake, *rec); status != types.SLASH_STATUS_PENDING {
		return steps, k.settleSlash(ctx, cfg, rec, status, reason)
	}
	_, hit := answering(stake, *rec)
	fractions, wanted := claimFractions(ctx, cfg, *rec, hit)
	m, err := k.currentMeter(ctx, consumer)
	if err != nil {
		return steps, err
	}
	if available := m.Available(cfg.SlashPolicy); wanted.GT(available) {
		if err := k.Meters.Set(ctx, cfg.ClientId, m); err != nil {
			return steps, err
		}
		k.emit(ctx, &types.EventMeterExceeded{ConsumerId: cfg.ClientId, SlashId: rec.Id, Wanted: wanted, Available: available})
		if err := k.settleSlash(ctx, cfg, rec, types.SLASH_STATUS_REFUSED, reasonMeter); err != nil {
			return steps, err
		}
		return steps, k.pause(ctx, consumer, types.PAUSE_REASON_SLASHES)
	}
	m.Used = m.Used.Add(wanted)
	if err := k.Meters.Set(ctx, cfg.ClientId, m); err != nil {
		return steps, err
	}
	if err := k.slashStake(ctx, cfg, rec, hit, fractions); err != nil {
		return steps, err
	}
	if err := k.settleSlash(ctx, cfg, rec, types.SLASH_STATUS_EXECUTED, ""); err != nil {
		return steps, err
	}
	if rec.Kind != meshtypes.SLASH_KIND_DOUBLE_SIGN {
		return steps, nil
	}
	// As after a proof: what is flagged takes no new stake, which the flag would protect.
	if err := k.closeForGood(ctx, cfg, rec.Validator); err != nil {
		return steps, err
	}
	if err := k.convertPool(ctx, cfg.ClientId, rec.Validator); err != nil {
		return steps, err
	}
	recognised, err := k.recognise(ctx, cfg, *rec)
	return steps + recognised, err
}

// claimFractions returns the fraction that a claim takes of each pool or batch, and what it takes of all together: of
// the pool at most the effective fraction, of batches at most the nominal one, of each at most what is left of the
// downtime limit in the running window.
func claimFractions(ctx context.Context, cfg types.ConsumerConfig, rec types.SlashRecord, hit []stakeOn) (fractions []sdkmath.LegacyDec, wanted sdkmath.Int) {
	wanted = sdkmath.ZeroInt()
	for _, s := range hit {
		fraction := rec.EffectiveFraction
		if s.pool.IsBatch() {
			fraction = rec.NominalFraction
		}
		left := s.pool.UnprovenLeft(cfg.MaxSlashFractionDowntime, cfg.SlashPolicy.UnprovenWindow, now(ctx))
		fraction = sdkmath.LegacyMinDec(fraction, left)
		fractions = append(fractions, fraction)
		wanted = wanted.Add(s.pool.SlashAmount(fraction))
	}
	return fractions, wanted
}
