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
	share, spare := sharesOf(int(params.MaxSettlementSteps)), 0
	stages := []struct {
		name string
		run  func(ctx sdk.Context) error
	}{
		{"batch epochs", func(ctx sdk.Context) error { return k.runBatchEpochs(ctx, consumers) }},
		{"executions", func(ctx sdk.Context) error { return k.runExecutions(ctx, share.executions) }},
		{"redelegations", func(ctx sdk.Context) error { return k.runDepartures(ctx, share.departures) }},
		{"slashes", func(ctx sdk.Context) error { return k.runSlashQueue(ctx, share.slashes) }},
		{"batch clocks", func(ctx sdk.Context) error { return k.runBatchQueue(ctx, share.clocks) }},
		{"winding down", func(ctx sdk.Context) error { return k.runWindingDown(ctx, consumers, share.conversions) }},
		{"held entries", func(ctx sdk.Context) error { return k.runHoldQueue(ctx, share.holds) }},
		{"native ratio walk", func(ctx sdk.Context) error { return k.runRatioWalk(ctx, share.ratioWalk) }},
		{"native slashes", func(ctx sdk.Context) error { return k.runNativeSlashes(ctx, share.nativeSlashes) }},
		{"walks", func(ctx sdk.Context) error {
			taken, err := k.runWalks(ctx, share.quarter)
			spare = max(share.quarter-taken, 0)
			return err
		}},
		{"debts", func(ctx sdk.Context) error {
			taken, err := k.runDebts(ctx, share.quarter+spare)
			spare = max(share.quarter+spare-taken, 0)
			return err
		}},
		{"evaluations", func(ctx sdk.Context) error { return k.runMarked(ctx, share.quarter+spare) }},
		{"flows", func(ctx sdk.Context) error { return k.pruneFlows(ctx, share.flows) }},
		{"reward sweep", func(ctx sdk.Context) error { return k.runRewardSweep(ctx, share.sweeps) }},
		{"epoch", func(ctx sdk.Context) error { return k.runEpoch(ctx, params, consumers) }},
		{"updates", func(ctx sdk.Context) error {
			return k.runOutbox(ctx, consumers, max(int(params.MaxSettlementSteps), 500))
		}},
	}
	for _, s := range stages {
		k.attempt(sdkCtx, s.name, "", s.run)
	}
	return nil
}

// shares are how many steps each queue may take in one block.
type shares struct {
	// quarter is for walks, debts and evaluations each.
	quarter int

	executions, departures, slashes, clocks, conversions, holds, ratioWalk, nativeSlashes, flows, sweeps int
}

// sharesOf divides the steps of a block: together at most all of them, unless they are below 1,000, when each queue may still
// take a few.
func sharesOf(steps int) shares {
	percent := func(n, least int) int { return max(steps*n/100, least) }
	return shares{
		quarter:    max(steps/4, 1),
		executions: percent(4, 20), departures: percent(2, 10), slashes: percent(5, 20), clocks: percent(4, 20),
		conversions: percent(2, 1), holds: percent(2, 1), ratioWalk: percent(1, 1), nativeSlashes: percent(1, 1),
		flows: percent(2, 10), sweeps: maxSweptBalances,
	}
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

// runWindingDown converts at most limit pools of consumers that are winding down. Another one is the first in every block,
// so that one whose conversion fails holds up nobody.
func (k *Keeper) runWindingDown(ctx sdk.Context, consumers []types.Consumer, limit int) error {
	for i := range consumers {
		c := consumers[(i+int(ctx.BlockHeight()%int64(len(consumers))))%len(consumers)]
		if c.Status != types.CONSUMER_STATUS_WINDING_DOWN {
			continue
		}
		if limit <= 0 {
			return nil
		}
		k.attempt(ctx, "winding down", c.Config.ClientId, func(ctx sdk.Context) error {
			converted, err := k.windDown(ctx, c, limit)
			limit -= converted
			return err
		})
	}
	return nil
}
