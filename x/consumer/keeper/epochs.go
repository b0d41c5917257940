package keeper

import (
	"time"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// heightsPerBlock and flowsPerBlock bound how many old records are dropped in one block.
const (
	heightsPerBlock = 10
	flowsPerBlock   = 500
)

// epochDue says whether the epoch ends in this block: the first whose time is a whole epoch after its start.
func (k *Keeper) epochDue(ctx sdk.Context) (bool, error) {
	params, err := k.Params.Get(ctx)
	if err != nil {
		return false, err
	}
	epoch, err := k.Epoch.Get(ctx)
	if err != nil {
		return false, err
	}
	return !ctx.BlockTime().Before(epoch.Start.Add(params.EpochDuration)), nil
}

// endEpoch makes a new plan, which replaces what is left of the old one. It returns the changes of the first block, with
// the virtual stake they were planned on, and stores the others.
func (k *Keeper) endEpoch(ctx sdk.Context) ([]change, *view, error) {
	params, err := k.Params.Get(ctx)
	if err != nil {
		return nil, nil, err
	}
	epoch, err := k.Epoch.Get(ctx)
	if err != nil {
		return nil, nil, err
	}
	if epoch.ReportDue {
		// The last plan took the whole epoch: what it has done is reported at last.
		if err := k.sendReports(ctx); err != nil {
			return nil, nil, err
		}
	}
	if err := k.Plan.Clear(ctx, nil); err != nil {
		return nil, nil, err
	}
	changes, v, err := k.makePlan(ctx, params)
	if err != nil {
		return nil, nil, err
	}
	event := &types.EventEpochEnded{Number: epoch.Number + 1}
	for _, c := range changes {
		if c.increase {
			event.Increases++
		} else {
			event.Decreases++
		}
	}
	k.emit(ctx, event)

	next := types.EpochState{
		Number: epoch.Number + 1, Start: ctx.BlockTime(), ReportDue: true, Planned: uint64(len(changes)),
	}
	if err := k.Heights.Set(ctx, ctx.BlockHeight(), uint64(ctx.BlockTime().UnixNano())); err != nil {
		return nil, nil, err
	}
	first := min(len(changes), int(params.MaxEpochOperations))
	if err := k.storePlan(ctx, changes[first:]); err != nil {
		return nil, nil, err
	}
	return changes[:first], v, k.Epoch.Set(ctx, next)
}

// pruneFlows drops flow records that no slash can ask for any more: older than the unbonding period and the evidence age
// together, and below any height that evidence may have.
func (k *Keeper) pruneFlows(ctx sdk.Context) error {
	unbonding, err := k.staking.UnbondingTime(ctx)
	if err != nil {
		return err
	}
	below := ctx.BlockHeight()
	if evidence := ctx.ConsensusParams().Evidence; evidence != nil {
		unbonding += max(evidence.MaxAgeDuration, 0)
		below -= max(evidence.MaxAgeNumBlocks, 0)
	}
	horizon := ctx.BlockTime().Add(-unbonding)

	// The highest known height before the horizon; of those below it only the newest is of use later.
	var old []int64
	err = k.Heights.Walk(ctx, nil, func(height int64, at uint64) (bool, error) {
		if time.Unix(0, int64(at)).After(horizon) || len(old) >= heightsPerBlock {
			return true, nil
		}
		old = append(old, height)
		return false, nil
	})
	if err != nil || len(old) == 0 {
		return err
	}
	newest := old[len(old)-1]
	for _, height := range old[:len(old)-1] {
		if err := k.Heights.Remove(ctx, height); err != nil {
			return err
		}
	}
	return k.Flows.Prune(ctx, min(below, newest), flowsPerBlock)
}
