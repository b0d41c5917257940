package keeper

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// What comes in here is the same over every transport: bytes from a provider, an acknowledgement's result, a timeout.
// Nothing of it may panic.

// ReceiveUpdate applies a provider's StakeUpdate and returns the result of the acknowledgement. An error is for an error
// acknowledgement: then nothing may be written.
func (k *Keeper) ReceiveUpdate(ctx sdk.Context, providerID string, bz []byte) (ack []byte, err error) {
	err = safely(func() error {
		update, err := meshtypes.UnmarshalStakeUpdate(bz)
		if err != nil {
			return err
		}
		answer, err := k.applyUpdate(ctx, providerID, update)
		if err != nil {
			return err
		}
		ack, err = answer.Marshal()
		return err
	})
	return ack, err
}

func (k *Keeper) applyUpdate(ctx sdk.Context, providerID string, update meshtypes.StakeUpdate) (*meshtypes.StakeUpdateAck, error) {
	p, err := k.GetProvider(ctx, providerID)
	if err != nil {
		return nil, err
	}
	p, _, err = k.learn(ctx, p, update.Session)
	if err != nil {
		return nil, err
	}
	ack := &meshtypes.StakeUpdateAck{Echo: update.Session, Current: p.Session, Seq: update.Seq, Height: ownHeight(ctx)}
	event := &types.EventUpdateReceived{ProviderId: providerID, Seq: update.Seq}
	if !p.Session.Accepts(meshtypes.SideConsumer, update.Session) {
		ack.Refused, event.Refused = true, true
		k.emit(ctx, event)
		return ack, nil
	}
	if p.Status == types.PROVIDER_STATUS_REMOVED {
		left, err := k.hasVirtualStake(ctx, providerID)
		if err != nil {
			return nil, err
		}
		if left {
			return nil, errorsmod.Wrap(types.ErrProviderLeaving, providerID)
		}
		for range update.Stakes {
			ack.Codes = append(ack.Codes, meshtypes.STAKE_CODE_NOT_REGISTERED)
		}
		k.emit(ctx, event)
		return ack, nil
	}

	params, err := k.Params.Get(ctx)
	if err != nil {
		return nil, err
	}
	if update.Seq > p.LastUpdateSeq {
		p.LastUpdateSeq = update.Seq
		p.UnbondingPeriod = durationOf(update.UnbondingPeriod)
	}
	p.SyncedAt = mergeSyncedAt(p.SyncedAt, update.SyncedAt, ctx.BlockTime())
	var factors slashFactors
	if len(update.Stakes) > 0 {
		if factors, err = k.factorsAfter(ctx, p, update.SlashSeq); err != nil {
			return nil, err
		}
	}
	for _, stake := range update.Stakes {
		stake.Amount = factors.apply(stake.Validator, stake.Amount)
		code, err := k.storeStake(ctx, params, &p, stake, update.Seq)
		if err != nil {
			return nil, err
		}
		if code == meshtypes.STAKE_CODE_STORED {
			event.Stored++
		}
		ack.Codes = append(ack.Codes, code)
	}
	k.emit(ctx, event)
	return ack, k.setProvider(ctx, p)
}

// storeStake stores one amount, less what slashes took that the provider did not know of, if it is newer than the one stored. An unknown or tombstoned validator counts as
// executed on the other side, so these codes are given only when none of the provider's stake is left on it.
func (k *Keeper) storeStake(
	ctx context.Context, params types.Params, p *types.Provider, stake meshtypes.Stake, seq uint64,
) (meshtypes.StakeCode, error) {
	providerID, valAddr := p.Config.ProviderId, sdk.ValAddress(stake.Validator)
	rec, exists, err := k.getStake(ctx, providerID, valAddr)
	if err != nil {
		return 0, err
	}
	switch {
	case exists && seq <= rec.Seq:
		return meshtypes.STAKE_CODE_STALE, nil
	case !exists && seq <= p.FloorSeq:
		return 0, errorsmod.Wrapf(types.ErrListingTooOld, "seq %d of %s, a record up to %d was dropped", seq, k.valString(valAddr), p.FloorSeq)
	}

	validator, err := k.staking.GetValidator(ctx, valAddr)
	if errors.Is(err, stakingtypes.ErrNoValidatorFound) {
		return meshtypes.STAKE_CODE_UNKNOWN_VALIDATOR, k.voidStake(ctx, providerID, valAddr, rec, exists, seq)
	}
	if err != nil {
		return 0, err
	}
	if consAddr, err := validator.GetConsAddr(); err == nil && k.isTombstoned(ctx, consAddr) {
		_, shares, err := k.virtualStake(ctx, types.VirtualAccount(providerID), valAddr)
		if err != nil {
			return 0, err
		}
		if !shares.IsPositive() {
			return meshtypes.STAKE_CODE_TOMBSTONED, k.voidStake(ctx, providerID, valAddr, rec, exists, seq)
		}
	}
	if !exists {
		if p.Stakes >= params.MaxValidatorsPerProvider {
			return meshtypes.STAKE_CODE_UNKNOWN_VALIDATOR, nil
		}
		p.Stakes++
	}
	rec.Amount, rec.Seq = stake.Amount, seq
	return meshtypes.STAKE_CODE_STORED, k.Stakes.Set(ctx, collections.Join(providerID, stake.Validator), rec)
}

// voidStake empties a record of a validator that takes no stake any more. The seq counts as executed for the provider,
// whom the code tells so.
func (k *Keeper) voidStake(
	ctx context.Context, providerID string, valAddr sdk.ValAddress, rec types.StakeRecord, exists bool, seq uint64,
) error {
	if !exists {
		return nil
	}
	rec.Amount, rec.ExecutedAmount = sdkmath.ZeroInt(), sdkmath.ZeroInt()
	rec.Seq = seq
	return k.Stakes.Set(ctx, collections.Join(providerID, []byte(valAddr)), rec)
}

// AcknowledgeReport takes the result of the acknowledgement of a report (failed for an error acknowledgement). What is
// malformed counts as an error: the report is sent again.
func (k *Keeper) AcknowledgeReport(ctx sdk.Context, providerID string, packet, result []byte, failed bool) error {
	return safely(func() error {
		p, report, err := k.sentReport(ctx, providerID, packet)
		if err != nil {
			return err
		}
		if failed {
			return k.lostIfCurrent(ctx, p, report, "error acknowledgement")
		}
		ack, err := meshtypes.UnmarshalReportAck(result)
		if err != nil {
			return k.lostIfCurrent(ctx, p, report, err.Error())
		}
		p, learned, err := k.learn(ctx, p, ack.Current)
		if err != nil || learned {
			return err // learning has marked everything, to be sent without delay
		}
		switch {
		case report.Session != p.Session:
			return nil // of an older session: nothing of it is in flight any more
		case ack.Refused:
			return k.reportLost(ctx, p, report, "session refused")
		case ack.Echo != report.Session || ack.Seq != report.Seq:
			return k.reportLost(ctx, p, report, "acknowledgement of another packet")
		}
		return k.reportDelivered(ctx, k.slashesAcknowledged(ctx, p, ack.SlashSeq), report)
	})
}

// TimeoutReport takes the timeout of a report.
func (k *Keeper) TimeoutReport(ctx sdk.Context, providerID string, packet []byte) error {
	return safely(func() error {
		p, report, err := k.sentReport(ctx, providerID, packet)
		if err != nil {
			return err
		}
		return k.lostIfCurrent(ctx, p, report, "timeout")
	})
}

// sentReport returns the provider and a report that we have sent it.
func (k *Keeper) sentReport(ctx context.Context, providerID string, packet []byte) (types.Provider, meshtypes.ConsumerReport, error) {
	p, err := k.GetProvider(ctx, providerID)
	if err != nil {
		return p, meshtypes.ConsumerReport{}, err
	}
	report, err := meshtypes.UnmarshalReport(packet)
	return p, report, err
}

func (k *Keeper) lostIfCurrent(ctx sdk.Context, p types.Provider, report meshtypes.ConsumerReport, reason string) error {
	if report.Session != p.Session {
		return nil
	}
	return k.reportLost(ctx, p, report, reason)
}
