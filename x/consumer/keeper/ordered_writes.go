package keeper

import (
	"context"

	sdk "github.com/cosmos/cosmos-sdk/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
)

// orderEvery is after how many changes of virtual stake the writes of x/distribution are put in order.
const orderEvery = 100

// orderWrites has the caches of x/distribution's store put in order what has been written to them. It changes no state, and
// nothing depends on it: if it fails, the changes take longer.
//
// x/distribution opens an iterator for every change of a delegation, to look for slashes. Each looks through all that the
// caches of its store, the block's and ours, hold unordered, and orders only what is in its own range. What changes of
// delegations write, and what BeginBlock has allocated, is outside of that range, so all of it would be looked through every
// time. Iterators over the ranges that are written to order it once.
func (k *Keeper) orderWrites(ctx context.Context) {
	d := k.distribution
	if d == nil {
		return
	}
	err := caught(func() error {
		d.IterateValidatorOutstandingRewards(ctx, func(sdk.ValAddress, distrtypes.ValidatorOutstandingRewards) bool { return true })
		d.IterateDelegatorStartingInfos(ctx, func(sdk.ValAddress, sdk.AccAddress, distrtypes.DelegatorStartingInfo) bool { return true })
		d.IterateValidatorHistoricalRewards(ctx, func(sdk.ValAddress, uint64, distrtypes.ValidatorHistoricalRewards) bool { return true })
		d.IterateValidatorCurrentRewards(ctx, func(sdk.ValAddress, distrtypes.ValidatorCurrentRewards) bool { return true })
		d.IterateValidatorAccumulatedCommissions(ctx, func(sdk.ValAddress, distrtypes.ValidatorAccumulatedCommission) bool { return true })
		return nil
	})
	if err != nil {
		k.Logger(ctx).Error("writes of x/distribution cannot be put in order", "error", err)
	}
}
