package keeper

import (
	"context"
	"fmt"
	"slices"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// rewardPercent is the part of a proved slash that its submitter gets at most.
const rewardPercent = 5

// proof is a proved double sign or light-client attack by one validator.
type proof struct {
	origin     types.SlashOrigin
	operator   []byte
	infraction meshtypes.Height
	submitter  sdk.AccAddress
}

// stakeOn is one pool or batch on a consumer's validator.
type stakeOn struct {
	id   uint64
	pool types.Pool
}

// stakeOf returns the active pool and the batches on a validator, after applying what was reported of their execution.
// There are at most as many batches as batch epochs in 2U, and those that are being walked after they matured.
func (k *Keeper) stakeOf(ctx context.Context, clientID string, validator []byte) (stake []stakeOn, err error) {
	if err := k.applyExecutions(ctx, clientID, validator); err != nil {
		return nil, err
	}
	id, pool, found, err := k.activePool(ctx, clientID, validator)
	if err != nil {
		return nil, err
	}
	if found {
		stake = append(stake, stakeOn{id, pool})
	}
	rng := collections.NewSuperPrefixedTripleRange[string, []byte, uint64](clientID, validator)
	err = k.Batches.Walk(ctx, rng, func(key clientValID) (bool, error) {
		pool, err := k.Pools.Get(ctx, key.K3())
		stake = append(stake, stakeOn{key.K3(), pool})
		return err != nil, err
	})
	return stake, err
}

// answering returns the stake that answers for a slash, and the part of it that the slash may take from: all of it, or
// for double signing what was not punished for that before.
func answering(stake []stakeOn, rec types.SlashRecord) (answers, hit []stakeOn) {
	for _, s := range stake {
		if !s.pool.Answers(rec.Infraction, rec.RecordedAt) {
			continue
		}
		answers = append(answers, s)
		if !s.pool.Flagged || rec.Kind != meshtypes.SLASH_KIND_DOUBLE_SIGN {
			hit = append(hit, s)
		}
	}
	return answers, hit
}

// pendingOf returns the pending slashes of a validator, oldest first. Their number is bounded: MaxPendingSlashes claims,
// and proofs, each of which hits a pool or batch that no other does.
func (k *Keeper) pendingOf(ctx context.Context, clientID string, validator []byte) (pending []types.SlashRecord, err error) {
	rng := collections.NewSuperPrefixedTripleRange[string, []byte, uint64](clientID, validator)
	err = k.PendingSlashes.Walk(ctx, rng, func(key clientValID) (bool, error) {
		rec, err := k.Slashes.Get(ctx, key.K3())
		pending = append(pending, rec)
		return err != nil, err
	})
	return pending, err
}

// recordProof records a proof that was verified, and closes the validator to new stake. With atOnce it is also executed,
// unless it goes beyond what may be proved in one window, or governance has taken away another of the validator: then it
// waits for a veto. Otherwise EndBlock executes it. What
// waits has no other effect yet, so that a veto takes everything back. Errors: ErrNothingAnswers, ErrAlreadyPunished (also
// if a proof that waits is about the same stake).
func (k *Keeper) recordProof(ctx sdk.Context, consumer types.Consumer, p proof, atOnce bool) (types.SlashRecord, error) {
	clientID, fraction := consumer.Config.ClientId, consumer.Config.MaxSlashFractionDoubleSign
	rec := types.SlashRecord{
		ClientId: clientID, Validator: p.operator, Origin: p.origin, Kind: meshtypes.SLASH_KIND_DOUBLE_SIGN,
		Infraction: p.infraction, NominalFraction: fraction, EffectiveFraction: fraction,
		RecordedAt: ctx.BlockTime(), DueAt: ctx.BlockTime(), Status: types.SLASH_STATUS_PENDING,
		Amount: sdkmath.ZeroInt(), Reward: sdkmath.ZeroInt(), Submitter: p.submitter,
	}
	stake, err := k.stakeOf(ctx, clientID, p.operator)
	if err != nil {
		return rec, err
	}
	answers, hit := answering(stake, rec)
	if len(answers) == 0 {
		return rec, errorsmod.Wrapf(types.ErrNothingAnswers, "%s at %s", consumer.Config.FormatValidator(p.operator), p.infraction)
	}
	pending, err := k.pendingOf(ctx, clientID, p.operator)
	if err != nil {
		return rec, err
	}
	// What a proof that waits is about is not proved twice.
	hit = slices.DeleteFunc(hit, func(s stakeOn) bool {
		return slices.ContainsFunc(pending, func(o types.SlashRecord) bool {
			return o.IsProof() && s.pool.Answers(o.Infraction, o.RecordedAt)
		})
	})
	if len(hit) == 0 {
		return rec, errorsmod.Wrap(types.ErrAlreadyPunished, consumer.Config.FormatValidator(p.operator))
	}
	m, err := k.currentMeter(ctx, consumer)
	if err != nil {
		return rec, err
	}
	for _, s := range hit {
		m.Proved = m.Proved.Add(s.pool.Tokens)
	}
	if err := k.Meters.Set(ctx, clientID, m); err != nil {
		return rec, err
	}
	pairing, err := k.Pairings.Get(ctx, clientID)
	if err != nil {
		return rec, err
	}
	// Batches wait for a proof that is to be executed, also if others are before it in the queue.
	rec.BatchDelay = consumer.Config.SlashPolicy.MassDelayFor(consumer.Config.LongestUnbonding(pairing.EffectiveUnbonding))
	vetoed, err := firstKeys(ctx, k.VetoedProofs, collections.NewSuperPrefixedTripleRange[string, []byte, uint64](clientID, p.operator), 1)
	if err != nil {
		return rec, err
	}
	mass := m.IsMass() || len(vetoed) > 0 // a veto is not undone by proving the same once more
	if mass {
		rec.DueAt = ctx.BlockTime().Add(rec.BatchDelay)
	}
	if rec.Closed, err = k.closeValidator(ctx, consumer.Config, p.operator); err != nil {
		return rec, err
	}
	if rec, err = k.recordSlash(ctx, consumer.Config, rec); err != nil {
		return rec, err
	}
	if mass {
		k.emit(ctx, &types.EventMassSlash{ConsumerId: clientID, SlashId: rec.Id, DueAt: rec.DueAt})
		return rec, nil
	}
	if !atOnce {
		return rec, nil
	}
	_, err = k.executeProof(ctx, consumer, &rec)
	return rec, err
}

// recordSlash gives a slash its id, stores and queues it, and touches the validator.
func (k *Keeper) recordSlash(ctx sdk.Context, cfg types.ConsumerConfig, rec types.SlashRecord) (types.SlashRecord, error) {
	var err error
	if rec.Id, err = k.NextSlashID.Next(ctx); err != nil {
		return rec, err
	}
	event := &types.EventSlashRecorded{
		SlashId: rec.Id, ConsumerId: rec.ClientId, Validator: cfg.FormatValidator(rec.Validator), Origin: rec.Origin,
		Kind: rec.Kind, Infraction: rec.Infraction, DueAt: rec.DueAt,
	}
	if len(rec.Submitter) > 0 {
		event.Submitter = k.delString(rec.Submitter)
	}
	k.emit(ctx, event)
	if err := k.PendingSlashes.Set(ctx, collections.Join3(rec.ClientId, rec.Validator, rec.Id)); err != nil {
		return rec, err
	}
	if err := k.SlashQueue.Set(ctx, collections.Join(nanos(rec.DueAt), rec.Id)); err != nil {
		return rec, err
	}
	if err := k.Slashes.Set(ctx, rec.Id, rec); err != nil {
		return rec, err
	}
	return rec, k.touch(ctx, rec.ClientId, rec.Validator)
}

// moveSlash gives a slash another time, as unix nanoseconds, and stores it.
func (k *Keeper) moveSlash(ctx context.Context, rec *types.SlashRecord, due uint64) error {
	if err := k.SlashQueue.Remove(ctx, collections.Join(nanos(rec.DueAt), rec.Id)); err != nil {
		return err
	}
	rec.DueAt = fromNanos(due)
	if err := k.SlashQueue.Set(ctx, collections.Join(due, rec.Id)); err != nil {
		return err
	}
	return k.Slashes.Set(ctx, rec.Id, *rec)
}

// settleSlash ends the life of a pending slash: it leaves the pending factor, batches no longer wait for it, the
// validator is listed again, and it is forgotten after 2U.
func (k *Keeper) settleSlash(ctx sdk.Context, cfg types.ConsumerConfig, rec *types.SlashRecord, status types.SlashStatus, reason string) error {
	at := ctx.BlockTime()
	early := rec.DueAt.After(at)
	rec.Status, rec.Reason, rec.SettledAt = status, reason, at
	if err := k.PendingSlashes.Remove(ctx, collections.Join3(rec.ClientId, rec.Validator, rec.Id)); err != nil {
		return err
	}
	pairing, err := k.Pairings.Get(ctx, rec.ClientId)
	if err != nil {
		return err
	}
	if err := k.moveSlash(ctx, rec, nanos(at.Add(2*cfg.LongestUnbonding(pairing.EffectiveUnbonding)))); err != nil {
		return err
	}
	k.emit(ctx, &types.EventSlashSettled{
		SlashId: rec.Id, ConsumerId: rec.ClientId, Validator: cfg.FormatValidator(rec.Validator),
		Status: status, Reason: reason, Amount: rec.Amount,
	})
	if early {
		if err := k.releaseBatches(ctx, rec.ClientId, rec.Validator); err != nil {
			return err
		}
	}
	return k.touch(ctx, rec.ClientId, rec.Validator)
}

// executeProof turns the pool into a batch, closes the validator, and slashes and flags what answers for the infraction
// and has no flag yet. It returns the steps it took.
func (k *Keeper) executeProof(ctx sdk.Context, consumer types.Consumer, rec *types.SlashRecord) (steps int, err error) {
	cfg := consumer.Config
	if err := k.closeForGood(ctx, cfg, rec.Validator); err != nil {
		return 1, err
	}
	if err := k.convertPool(ctx, cfg.ClientId, rec.Validator); err != nil {
		return 1, err
	}
	stake, err := k.stakeOf(ctx, cfg.ClientId, rec.Validator)
	if err != nil {
		return 1, err
	}
	steps = 1 + len(stake)
	answers, hit := answering(stake, *rec)
	switch {
	case len(answers) == 0:
		return steps, k.settleSlash(ctx, cfg, rec, types.SLASH_STATUS_REFUSED, reasonNothing)
	case len(hit) == 0:
		return steps, k.settleSlash(ctx, cfg, rec, types.SLASH_STATUS_RECOGNISED, reasonPunished)
	}
	fractions := make([]sdkmath.LegacyDec, len(hit))
	for i := range hit {
		// What the record says, unless governance has lowered it since.
		fractions[i] = sdkmath.LegacyMinDec(rec.NominalFraction, cfg.MaxSlashFractionDoubleSign)
	}
	if err := k.slashStake(ctx, cfg, rec, hit, fractions); err != nil {
		return steps, err
	}
	if err := k.reward(ctx, rec); err != nil {
		return steps, err
	}
	if err := k.settleSlash(ctx, cfg, rec, types.SLASH_STATUS_EXECUTED, ""); err != nil {
		return steps, err
	}
	recognised, err := k.recognise(ctx, cfg, *rec)
	return steps + recognised, err
}

// Reasons of slashes that were refused or recognised.
const (
	reasonNothing     = "no stake answers for it"
	reasonPunished    = "what answers for it was punished for double signing"
	reasonUnknown     = "unknown validator"
	reasonFuture      = "height is above the client's latest"
	reasonTooOld      = "infraction is too old"
	reasonTooMany     = "too many slashes of the validator are pending"
	reasonPaused      = "consumer is paused"
	reasonMeter       = "beyond the meter"
	reasonRemoved     = "consumer is removed"
	reasonVetoed      = "vetoed"
	reasonRecognition = "recognised: slash %d"
)

// slashStake takes a fraction of each pool or batch, whatever number of positions they have, and adds what they lost to
// the record. A double sign flags them. CONTRACT: stake is as stored.
func (k *Keeper) slashStake(ctx sdk.Context, cfg types.ConsumerConfig, rec *types.SlashRecord, stake []stakeOn, fractions []sdkmath.LegacyDec) error {
	lost, ofBatches := sdkmath.ZeroInt(), sdkmath.ZeroInt()
	for i, s := range stake {
		if !fractions[i].IsPositive() {
			continue
		}
		x := s.pool.Slash(fractions[i])
		if rec.Kind == meshtypes.SLASH_KIND_DOUBLE_SIGN {
			s.pool.Flagged = true
		} else if !x.IsPositive() {
			continue
		}
		if x.IsPositive() && !rec.IsProof() {
			s.pool.UseUnproven(fractions[i], cfg.SlashPolicy.UnprovenWindow, ctx.BlockTime())
		}
		if err := k.Pools.Set(ctx, s.id, s.pool); err != nil {
			return err
		}
		if !x.IsPositive() {
			continue
		}
		lost = lost.Add(x)
		if s.pool.IsLeaving() {
			ofBatches = ofBatches.Add(x)
		}
		k.emit(ctx, &types.EventPoolSlashed{SlashId: rec.Id, PoolId: s.id, Fraction: fractions[i], Amount: x})
		if err := k.walkSlashed(ctx, cfg, s); err != nil {
			return err
		}
	}
	rec.Amount = rec.Amount.Add(lost)
	if err := k.addToBatches(ctx, cfg.ClientId, ofBatches.Neg()); err != nil {
		return err
	}
	return k.noteSlashed(ctx, lost)
}

// walkSlashed starts the walk that settles the positions of a slashed pool or batch, if budgets have become too small or
// nothing is left. A walk that runs goes on, or slashes without end would keep it from finishing; what it passed is
// settled when it is next touched.
func (k *Keeper) walkSlashed(ctx context.Context, cfg types.ConsumerConfig, s stakeOn) error {
	if s.pool.Tokens.IsPositive() {
		running, err := k.Walks.Has(ctx, s.id)
		if err != nil || running || !s.pool.NeedsWalk(cfg.MaxSlashFractionDoubleSign) {
			return err
		}
	}
	return k.startWalk(ctx, s.id, s.pool)
}

// reward notes what the submitter of a proof gets from the first burns: a part of the slash, at most what the parameters
// allow, and nothing if it is the operator.
func (k *Keeper) reward(ctx context.Context, rec *types.SlashRecord) error {
	if len(rec.Submitter) == 0 || string(rec.Submitter) == string(rec.Validator) {
		return nil
	}
	params, err := k.Params.Get(ctx)
	if err != nil {
		return err
	}
	rec.Reward = sdkmath.MinInt(rec.Amount.MulRaw(rewardPercent).QuoRaw(100), params.SubmitterRewardMax)
	if !rec.Reward.IsPositive() {
		return nil
	}
	return k.Rewards.Set(ctx, rec.Id, types.SubmitterReward{SlashId: rec.Id, Submitter: rec.Submitter, Left: rec.Reward})
}

// recognise settles the pending double-sign claims of a validator for which all stake that answers has been punished now.
// It returns the steps it took.
func (k *Keeper) recognise(ctx sdk.Context, cfg types.ConsumerConfig, by types.SlashRecord) (steps int, err error) {
	pending, err := k.pendingOf(ctx, by.ClientId, by.Validator)
	if err != nil || len(pending) == 0 {
		return 0, err
	}
	stake, err := k.stakeOf(ctx, by.ClientId, by.Validator)
	if err != nil {
		return 0, err
	}
	for _, rec := range pending {
		if rec.IsProof() || rec.Kind != meshtypes.SLASH_KIND_DOUBLE_SIGN {
			continue
		}
		if _, hit := answering(stake, rec); len(hit) > 0 {
			continue
		}
		if err := k.settleSlash(ctx, cfg, &rec, types.SLASH_STATUS_RECOGNISED, fmt.Sprintf(reasonRecognition, by.Id)); err != nil {
			return len(pending), err
		}
	}
	return len(pending), nil
}

// closeForGood closes a validator to new stake for what is executed: no veto of a proof that waits opens it again.
func (k *Keeper) closeForGood(ctx context.Context, cfg types.ConsumerConfig, operator []byte) error {
	if _, err := k.closeValidator(ctx, cfg, operator); err != nil {
		return err
	}
	pending, err := k.pendingOf(ctx, cfg.ClientId, operator)
	if err != nil {
		return err
	}
	for _, rec := range pending {
		if !rec.Closed {
			continue
		}
		rec.Closed = false
		if err := k.Slashes.Set(ctx, rec.Id, rec); err != nil {
			return err
		}
	}
	return nil
}

// closeValidator closes a validator to new stake until it is opened again, and says whether it was open.
func (k *Keeper) closeValidator(ctx context.Context, cfg types.ConsumerConfig, operator []byte) (bool, error) {
	key := collections.Join(cfg.ClientId, operator)
	v, found, err := getOr(ctx, k.Validators, key)
	if err != nil || !found || v.Closed {
		return false, err
	}
	v.Closed = true
	k.emit(ctx, &types.EventValidatorClosed{ConsumerId: cfg.ClientId, Validator: cfg.FormatValidator(operator)})
	return true, k.Validators.Set(ctx, key, v)
}
