package keeper

import (
	"time"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// duration turns nanoseconds from the wire, below 2^63, into a duration.
func duration(ns uint64) time.Duration { return time.Duration(ns) }

// runEpoch ends the module's epoch if its time has come: every consumer's client is looked at, raises take effect, the
// native ratio is compared, and updates become due. It counts by block time; a long gap between blocks is one epoch.
func (k *Keeper) runEpoch(ctx sdk.Context, params types.Params, consumers []types.Consumer) error {
	epoch, err := getItemOr(ctx, k.Epoch, types.EpochState{})
	if err != nil {
		return err
	}
	at := ctx.BlockTime()
	if epoch.Number == 0 {
		k.attempt(ctx, "native ratio", "", k.adjustNativeRatio)
		return k.Epoch.Set(ctx, types.EpochState{Number: 1, Start: at})
	}
	if at.Before(epoch.Start.Add(params.EpochDuration)) {
		return nil
	}
	if err := k.Epoch.Set(ctx, types.EpochState{Number: epoch.Number + 1, Start: at}); err != nil {
		return err
	}
	k.attempt(ctx, "native ratio", "", k.adjustNativeRatio)
	k.attempt(ctx, "reward sweep", "", func(ctx sdk.Context) error { return k.startRewardSweep(ctx) })
	for _, c := range consumers {
		k.attempt(ctx, "consumer epoch", c.Config.ClientId, func(ctx sdk.Context) error {
			return k.endConsumerEpoch(ctx, c.Config.ClientId)
		})
	}
	k.emit(ctx, &types.EventEpochEnded{Number: epoch.Number})
	return nil
}

// endConsumerEpoch does a consumer's part of the epoch's end.
func (k *Keeper) endConsumerEpoch(ctx sdk.Context, clientID string) error {
	consumer, err := k.Consumers.Get(ctx, clientID)
	if err != nil || !consumer.IsLive() { // removed in this block
		return err
	}
	if err := k.applyRaise(ctx, &consumer); err != nil {
		return err
	}
	if err := k.checkClientStatus(ctx, consumer); err != nil {
		return err
	}
	p, err := k.Pairings.Get(ctx, clientID)
	if err != nil {
		return err
	}
	k.adjustUnbonding(ctx, consumer.Config, &p)
	p.UpdateDue = true
	return k.Pairings.Set(ctx, clientID, p)
}

// runBatchEpochs ends the batch epochs whose time has come. Batches of the one that ended close by their own clock.
func (k *Keeper) runBatchEpochs(ctx sdk.Context, consumers []types.Consumer) error {
	for _, c := range consumers {
		p, err := k.Pairings.Get(ctx, c.Config.ClientId)
		if err != nil {
			return err
		}
		if ctx.BlockTime().Before(p.BatchEpochEnd) {
			continue
		}
		k.attempt(ctx, "batch epoch", c.Config.ClientId, func(ctx sdk.Context) error {
			p.BatchEpoch++
			p.BatchEpochEnd = ctx.BlockTime().Add(c.Config.BatchEpochFor(p.EffectiveUnbonding))
			if err := k.Pairings.Set(ctx, c.Config.ClientId, p); err != nil {
				return err
			}
			return k.recordHeight(ctx, c.Config.ClientId, p)
		})
	}
	return nil
}

// adjustNativeRatio takes over the chain's own double-sign fraction. Then all accounts are walked: after a raise more of
// their collateral is needed, after a fall less, so that held entries may go.
func (k *Keeper) adjustNativeRatio(ctx sdk.Context) error {
	if k.slashing == nil {
		return nil
	}
	ratio, err := k.slashing.SlashFractionDoubleSign(ctx)
	if err != nil {
		return err
	}
	old, err := getItemOr(ctx, k.NativeRatio, sdkmath.LegacyZeroDec())
	if err != nil || ratio.Equal(old) {
		return err
	}
	if err := k.NativeRatio.Set(ctx, ratio); err != nil {
		return err
	}
	k.emit(ctx, &types.EventNativeRatio{Ratio: ratio})
	if ratio.GT(old) {
		k.NoteNativeSlash(ctx)
	}
	return k.RatioWalk.Set(ctx, types.RatioWalk{})
}
