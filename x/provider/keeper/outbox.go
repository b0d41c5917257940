package keeper

import (
	"context"
	"errors"
	"math"
	"time"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// maxRetryDelay is the longest wait before a listing that failed is sent again.
const maxRetryDelay = 24 * time.Hour

// touch notes that what the consumer must know about a validator changed: it is listed in an update, and stays touched
// until a listing sent after the touch is acknowledged.
func (k *Keeper) touch(ctx context.Context, clientID string, validator []byte) error {
	key := collections.Join(clientID, validator)
	e, found, err := getOr(ctx, k.Outbox, key)
	if err != nil {
		return err
	}
	switch {
	case !found:
		e.Oldest = now(ctx)
		if err := k.OutboxByOldest.Set(ctx, collections.Join3(clientID, nanos(e.Oldest), validator)); err != nil {
			return err
		}
	case e.InFlight != 0 && e.Next.IsZero():
		e.Next = now(ctx)
	default:
		return nil
	}
	return k.Outbox.Set(ctx, key, e)
}

// acknowledged clears the oldest touch of a validator; the first touch since the listing was sent becomes the oldest.
func (k *Keeper) acknowledged(ctx context.Context, clientID string, validator []byte, e types.OutboxEntry) error {
	key := collections.Join(clientID, validator)
	if err := k.OutboxByOldest.Remove(ctx, collections.Join3(clientID, nanos(e.Oldest), validator)); err != nil {
		return err
	}
	before := e.Next
	if before.IsZero() {
		before = now(ctx)
	}
	if err := k.departed(ctx, clientID, validator, nanos(before)); err != nil {
		return err
	}
	if e.Next.IsZero() {
		return k.Outbox.Remove(ctx, key)
	}
	if err := k.OutboxByOldest.Set(ctx, collections.Join3(clientID, nanos(e.Next), validator)); err != nil {
		return err
	}
	return k.Outbox.Set(ctx, key, types.OutboxEntry{Oldest: e.Next})
}

// failed makes a listing that timed out, was answered by an error or got lost with its channel due again. With delay it
// waits for doubling intervals, from one epoch up to a day.
func (k *Keeper) failed(ctx context.Context, clientID string, validator []byte, e types.OutboxEntry, delay bool) error {
	// The oldest touch stands: whatever came later is part of the next listing.
	e.InFlight, e.Next, e.RetryAt = 0, time.Time{}, time.Time{}
	if delay {
		params, err := k.Params.Get(ctx)
		if err != nil {
			return err
		}
		wait := params.EpochDuration
		for i := uint32(0); i < e.Retries && wait < maxRetryDelay; i++ {
			wait *= 2
		}
		wait = min(wait, maxRetryDelay)
		e.Retries = min(e.Retries+1, 1_000)
		e.RetryAt = now(ctx).Add(wait)
	} else {
		e.Retries = 0
	}
	return k.Outbox.Set(ctx, collections.Join(clientID, validator), e)
}

// touchPools touches every validator of a consumer that has active stake: at most as many as its registry has.
func (k *Keeper) touchPools(ctx context.Context, clientID string) error {
	keys, err := mapKeys(ctx, k.ActivePools, collections.NewPrefixedPairRange[string, []byte](clientID), types.HardMaxValidators)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := k.touch(ctx, clientID, key.K2()); err != nil {
			return err
		}
	}
	return nil
}

// touchAll touches every validator with active stake, closed batches or an unacknowledged touch, and takes what is in
// flight as lost. It is bounded by the registry's size and follows a new session.
func (k *Keeper) touchAll(ctx context.Context, clientID string) error {
	if err := k.loseInFlight(ctx, clientID); err != nil {
		return err
	}
	if err := k.touchPools(ctx, clientID); err != nil {
		return err
	}
	rng := new(collections.Range[clientValID]).StartInclusive(collections.Join3(clientID, []byte{}, uint64(0)))
	for { // one seek for each validator, however many of its batches wait
		next, err := firstKeys(ctx, k.WaitingBatches, rng, 1)
		if err != nil || len(next) == 0 || next[0].K1() != clientID {
			return err
		}
		validator := next[0].K2()
		if err := k.touch(ctx, clientID, validator); err != nil {
			return err
		}
		rng = new(collections.Range[clientValID]).StartExclusive(collections.Join3(clientID, validator, uint64(math.MaxUint64)))
	}
}

// loseInFlight makes every listing in flight to a consumer due again, without delay.
func (k *Keeper) loseInFlight(ctx context.Context, clientID string) error {
	keys, err := mapKeys(ctx, k.Outbox, collections.NewPrefixedPairRange[string, []byte](clientID), 2*types.HardMaxValidators)
	if err != nil {
		return err
	}
	for _, key := range keys {
		e, err := k.Outbox.Get(ctx, key)
		if err != nil {
			return err
		}
		if e.InFlight == 0 && e.RetryAt.IsZero() {
			continue
		}
		if err := k.failed(ctx, clientID, key.K2(), e, false); err != nil {
			return err
		}
	}
	return nil
}

// syncedAt returns the time of the oldest change that the consumer has not acknowledged, or the block time.
func (k *Keeper) syncedAt(ctx context.Context, clientID string) (time.Time, error) {
	oldest, err := firstKeys(ctx, k.OutboxByOldest, collections.NewPrefixedTripleRange[string, uint64, []byte](clientID), 1)
	if err != nil {
		return time.Time{}, err
	}
	if len(oldest) == 0 {
		return now(ctx), nil
	}
	return fromNanos(oldest[0].K2()), nil
}

// due returns up to limit touched validators of a consumer that can be listed now, in the order of their addresses, and
// whether there are more.
func (k *Keeper) due(ctx context.Context, clientID string, limit int) (due [][]byte, more bool, err error) {
	at := now(ctx)
	rng := collections.NewPrefixedPairRange[string, []byte](clientID)
	err = k.Outbox.Walk(ctx, rng, func(key clientVal, e types.OutboxEntry) (bool, error) {
		if e.InFlight != 0 || e.RetryAt.After(at) {
			return false, nil
		}
		if len(due) >= limit {
			more = true
			return true, nil
		}
		due = append(due, key.K2())
		return false, nil
	})
	return due, more, err
}

// runOutbox sends updates to consumers whose epoch's update is due, at most limit listings in this block, but always one
// packet to one consumer.
func (k *Keeper) runOutbox(ctx sdk.Context, consumers []types.Consumer, limit int) error {
	for _, c := range consumers {
		if limit <= 0 {
			return nil
		}
		clientID := c.Config.ClientId
		p, err := k.Pairings.Get(ctx, clientID)
		if err != nil {
			return err
		}
		if !p.UpdateDue {
			continue
		}
		sent := 0
		ok := k.attempt(ctx, "update", clientID, func(ctx sdk.Context) (err error) {
			sent, err = k.sendUpdates(ctx, clientID, max(limit, 1))
			return err
		})
		if !ok {
			// What is due stays so; the next epoch tries again.
			p.UpdateDue = false
			if err := k.Pairings.Set(ctx, clientID, p); err != nil {
				return err
			}
		}
		limit -= max(sent, 1)
	}
	return nil
}

// sendUpdates sends one consumer the listings that are due, in packets of at most 500, or an empty heartbeat if nothing
// was sent for a quarter of its freshness limit. It returns how many validators it listed.
func (k *Keeper) sendUpdates(ctx sdk.Context, clientID string, limit int) (int, error) {
	p, err := k.Pairings.Get(ctx, clientID)
	if err != nil {
		return 0, err
	}
	p.UpdateDue = false
	open, err := k.isOpen(ctx, clientID, p)
	if err != nil {
		return 0, err
	}
	if !open {
		return 0, k.Pairings.Set(ctx, clientID, p)
	}
	params, err := k.Params.Get(ctx)
	if err != nil {
		return 0, err
	}
	validators, more, err := k.due(ctx, clientID, limit)
	if err != nil {
		return 0, err
	}
	p.UpdateDue = more
	if len(validators) == 0 {
		// The next chance is one epoch from now.
		quiet := ctx.BlockTime().Add(params.EpochDuration).Sub(p.LastSentAt)
		if p.LastSentAt.IsZero() || p.AnnouncedSeq == 0 && p.AnnouncedUnbonding > 0 || quiet > p.FreshnessLimit/4 {
			err = k.sendUpdate(ctx, clientID, &p, nil, params.PacketTimeout)
		}
	}
	listed := len(validators)
	for len(validators) > 0 && err == nil {
		n := min(len(validators), meshtypes.MaxStakes)
		err = k.sendUpdate(ctx, clientID, &p, validators[:n], params.PacketTimeout)
		validators = validators[n:]
	}
	if err != nil {
		return 0, err
	}
	return listed, k.Pairings.Set(ctx, clientID, p)
}

// sendUpdate sends one StakeUpdate that lists the given validators with their newest amounts.
func (k *Keeper) sendUpdate(ctx sdk.Context, clientID string, p *types.Pairing, validators [][]byte, timeout time.Duration) error {
	synced, err := k.syncedAt(ctx, clientID)
	if err != nil {
		return err
	}
	p.LastSeq++
	p.LastSentAt = ctx.BlockTime()
	if p.AnnouncedUnbonding > 0 && p.AnnouncedSeq == 0 {
		p.AnnouncedSeq = p.LastSeq
	}
	update := meshtypes.StakeUpdate{
		Session: p.Session, Seq: p.LastSeq, UnbondingPeriod: uint64(p.UnbondingOnWire()),
		SyncedAt: nanos(synced), SlashSeq: p.SlashSeq,
	}
	for _, validator := range validators {
		amount, err := k.listedAmount(ctx, clientID, validator)
		if err != nil {
			return err
		}
		update.Stakes = append(update.Stakes, meshtypes.Stake{Validator: validator, Amount: amount})
		key := collections.Join(clientID, validator)
		e, err := k.Outbox.Get(ctx, key)
		if err != nil {
			return err
		}
		e.InFlight, e.Next = p.LastSeq, time.Time{}
		if err := k.Outbox.Set(ctx, key, e); err != nil {
			return err
		}
	}
	if err := update.Validate(); err != nil {
		return err
	}
	data, err := update.Marshal()
	if err != nil {
		return err
	}
	if err := k.send(ctx, clientID, *p, data, timeout); err != nil {
		return err
	}
	k.emit(ctx, &types.EventUpdateSent{ConsumerId: clientID, Seq: update.Seq, Stakes: uint32(len(update.Stakes))})
	return nil
}

// listedAmount returns what an update lists for a validator: T of the active pool, less what was redelegated to it and may
// still count elsewhere, times 1 − f of each pending claim, rounded down. What was proved or settled is in T.
func (k *Keeper) listedAmount(ctx context.Context, clientID string, validator []byte) (sdkmath.Int, error) {
	amount, err := k.activeTokens(ctx, clientID, validator)
	if err != nil || !amount.IsPositive() {
		return amount, err
	}
	moved, err := k.movedTo(ctx, clientID, validator)
	if err != nil {
		return amount, err
	}
	if amount = amount.Sub(moved); !amount.IsPositive() {
		return sdkmath.ZeroInt(), nil
	}
	pending, err := k.pendingOf(ctx, clientID, validator)
	if err != nil {
		return amount, err
	}
	for _, rec := range pending {
		if !rec.IsProof() {
			amount = types.MulFloor(amount, sdkmath.LegacyOneDec().Sub(rec.EffectiveFraction))
		}
	}
	return amount, nil
}

// send hands a packet to IBC, over the consumer's channel, or without one over IBC v2. CONTRACT: isOpen.
func (k *Keeper) send(ctx sdk.Context, clientID string, p types.Pairing, data []byte, timeout time.Duration) error {
	if p.ChannelId == "" {
		if k.senderV2 == nil {
			return errorsmod.Wrap(types.ErrNoChannel, "IBC v2 is not connected")
		}
		return meshtypes.SendV2(ctx, k.senderV2, meshtypes.SideProvider, clientID, timeout, data)
	}
	if k.sender == nil {
		return errorsmod.Wrap(types.ErrNoChannel, "IBC is not connected")
	}
	at := uint64(ctx.BlockTime().Add(timeout).UnixNano())
	_, err := k.sender.SendPacket(ctx, types.PortID, p.ChannelId, clienttypes.ZeroHeight(), at, data)
	return err
}

// answered works on one listing of an update that the consumer answered.
func (k *Keeper) answered(ctx sdk.Context, clientID string, p types.Pairing, seq uint64, validator []byte, code meshtypes.StakeCode, height meshtypes.Height, clocks *int) error {
	key := collections.Join(clientID, validator)
	e, err := k.Outbox.Get(ctx, key)
	if errors.Is(err, collections.ErrNotFound) || (err == nil && e.InFlight != seq) {
		return nil // lost with its channel meanwhile, and listed again
	}
	if err != nil {
		return err
	}
	if err := k.acknowledged(ctx, clientID, validator, e); err != nil {
		return err
	}
	switch code {
	case meshtypes.STAKE_CODE_UNKNOWN_VALIDATOR, meshtypes.STAKE_CODE_TOMBSTONED, meshtypes.STAKE_CODE_NOT_REGISTERED:
	default:
		return nil
	}
	// Nothing of it is on the consumer: that counts as executed.
	v, found, err := getOr(ctx, k.Validators, key)
	if err != nil {
		return err
	}
	if found {
		if v.Session != p.Session {
			v.Session, v.ReportSeq, v.ExecutedSeq, v.ExecutedHeight = p.Session, 0, 0, meshtypes.Height{}
		}
		if seq > v.ExecutedSeq {
			v.ExecutedSeq, v.ExecutedHeight = seq, height
		}
		v.Unlisted = code == meshtypes.STAKE_CODE_UNKNOWN_VALIDATOR
		if err := k.Validators.Set(ctx, key, v); err != nil {
			return err
		}
	}
	return k.noteExecution(ctx, clientID, validator, p.Session, seq, height, clocks)
}
