package keeper

import (
	"context"

	sdk "github.com/cosmos/cosmos-sdk/types"
)

// BeginBlock sums up virtual stake for the modules that ask in every block.
//
// CONTRACT: it runs before x/mint's.
func (k *Keeper) BeginBlock(ctx context.Context) error {
	k.stage(sdk.UnwrapSDKContext(ctx), "supply", k.cacheSupply)
	return nil
}

// EndBlock removes virtual stake that lost its company, ends the epoch or continues its plan, marks validators that have
// changed, sends reports, and collects and sends rewards. Each stage is isolated: none can fail the block or stop another.
//
// CONTRACT: it runs before x/staking's, so that the validator set follows in the same block.
func (k *Keeper) EndBlock(goCtx context.Context) error {
	ctx := sdk.UnwrapSDKContext(goCtx)
	k.stage(ctx, "strays", k.removeStrays)
	due := false
	k.stage(ctx, "clock", func(ctx sdk.Context) (err error) {
		due, err = k.epochDue(ctx)
		return err
	})
	var (
		changes []change
		v       *view
	)
	if due {
		ok := k.stage(ctx, "epoch", func(ctx sdk.Context) (err error) {
			changes, v, err = k.endEpoch(ctx)
			return err
		})
		k.carryOut(ctx, changes, v, ok)
	} else {
		ok := k.stage(ctx, "plan", func(ctx sdk.Context) (err error) {
			changes, err = k.nextChanges(ctx)
			return err
		})
		k.carryOut(ctx, changes, nil, ok)
	}
	if due {
		k.stage(ctx, "rewards due", k.startRewards)
	}
	if k.rewardsMayGoOn(ctx, len(changes)) {
		k.stage(ctx, "rewards", k.workRewards)
	}
	k.stage(ctx, "changed", k.drainChanged)
	k.stage(ctx, "marks", k.markAll)
	k.stage(ctx, "reports", k.sendDueReports)
	k.stage(ctx, "prune", k.pruneFlows)
	k.stage(ctx, "prune slashes", k.pruneSlashes)
	return nil
}
