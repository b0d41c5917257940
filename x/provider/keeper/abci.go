package keeper

import (
	"context"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// EndBlocker does the module's work of a block in stages, each isolated: whatever fails is rolled back, reported in an
// event and leaves the others alone. max_settlement_steps bounds all of them together; each has its own part, so that
// none starves: a quarter each for walks, debts and evaluations, the rest for slashes, clocks and conversions. What walks
// leave debts may take, and what both leave evaluations.
func (k *Keeper) EndBlocker(ctx context.Context) error {
	sdkCtx := sdk.UnwrapSDKContext(ctx)
	params, err := k.Params.Get(ctx)
	if err != nil {
		k.Logger(ctx).Error("params not found", "error", err)
		return nil // the module has no state
	}
	consumers, err := k.liveConsumers(ctx)
	if err != nil {
		k.Logger(ctx).Error("consumers not readable", "error", err)
		return nil
	}
	steps := int(params.MaxSettlementSteps)
	quarter, spare := max(steps/4, 1), 0
	stages := []struct {
		name string
		run  func(ctx sdk.Context) error
	}{
		{"batch epochs", func(ctx sdk.Context) error { return k.runBatchEpochs(ctx, consumers) }},
		{"executions", func(ctx sdk.Context) error { return k.runExecutions(ctx, max(steps/20, 20)) }},
		{"redelegations", func(ctx sdk.Context) error { return k.runDepartures(ctx, max(steps/40, 10)) }},
		{"slashes", func(ctx sdk.Context) error { return k.runSlashQueue(ctx, max(steps/10, 20)) }},
		{"batch clocks", func(ctx sdk.Context) error { return k.runBatchQueue(ctx, max(steps/20, 20)) }},
		{"winding down", func(ctx sdk.Context) error { return k.runWindingDown(ctx, consumers, max(steps/20, 1)) }},
		{"held entries", func(ctx sdk.Context) error { return k.runHoldQueue(ctx, max(steps/20, 1)) }},
		{"native ratio walk", func(ctx sdk.Context) error { return k.runRatioWalk(ctx, max(steps/40, 1)) }},
		{"native slashes", func(ctx sdk.Context) error { return k.runNativeSlashes(ctx, max(steps/40, 1)) }},
		{"walks", func(ctx sdk.Context) error {
			taken, err := k.runWalks(ctx, quarter)
			spare = max(quarter-taken, 0)
			return err
		}},
		{"debts", func(ctx sdk.Context) error {
			taken, err := k.runDebts(ctx, quarter+spare)
			spare = max(quarter+spare-taken, 0)
			return err
		}},
		{"evaluations", func(ctx sdk.Context) error { return k.runMarked(ctx, quarter+spare) }},
		{"flows", func(ctx sdk.Context) error { return k.pruneFlows(ctx, max(steps/10, 10)) }},
		{"reward sweep", func(ctx sdk.Context) error { return k.runRewardSweep(ctx, maxSweptBalances) }},
		{"epoch", func(ctx sdk.Context) error { return k.runEpoch(ctx, params, consumers) }},
		{"updates", func(ctx sdk.Context) error { return k.runOutbox(ctx, consumers, max(steps, 500)) }},
	}
	for _, s := range stages {
		k.attempt(sdkCtx, s.name, "", s.run)
	}
	return nil
}

// liveConsumers returns the consumers that are not removed, in the order of their ids.
func (k *Keeper) liveConsumers(ctx context.Context) (live []types.Consumer, err error) {
	err = k.Consumers.Walk(ctx, nil, func(_ string, c types.Consumer) (bool, error) {
		if c.IsLive() {
			live = append(live, c)
		}
		return false, nil
	})
	return live, err
}

// runWindingDown converts pools of consumers that are winding down.
func (k *Keeper) runWindingDown(ctx sdk.Context, consumers []types.Consumer, limit int) error {
	for _, c := range consumers {
		if c.Status != types.CONSUMER_STATUS_WINDING_DOWN {
			continue
		}
		k.attempt(ctx, "winding down", c.Config.ClientId, func(ctx sdk.Context) error { return k.windDown(ctx, c, limit) })
	}
	return nil
}
