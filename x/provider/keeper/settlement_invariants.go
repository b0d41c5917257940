package keeper

import (
	"context"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// CheckSettlement checks invariant 4: burned + debt + shortfall is what positions were charged; that and what they are
// still to be charged is what pools and batches lost, to the roundings of settlements and one for each position. The queue
// lists exactly the debtors, and the sums agree with the records.
func (k *Keeper) CheckSettlement(ctx context.Context) error {
	t, err := getItemOr(ctx, k.Totals, types.NewSlashTotals())
	if err != nil {
		return err
	}
	if paid := t.Burned.Add(t.Debt).Add(t.Shortfall); !paid.Equal(t.Owed) || t.Rewarded.GT(t.Burned) {
		return broken("%s burned, of which %s rewarded, %s debt and %s shortfall are not %s owed", t.Burned, t.Rewarded, t.Debt, t.Shortfall, t.Owed)
	}
	unsettled, positions := sdkmath.ZeroInt(), uint64(0)
	err = k.Positions.Walk(ctx, nil, func(key delegatorPool, pos types.Position) (bool, error) {
		pool, err := k.Pools.Get(ctx, key.K2())
		unsettled, positions = unsettled.Add(pool.Owed(pos)), positions+1
		return false, err
	})
	if err != nil {
		return err
	}
	off := t.Owed.Add(unsettled).Sub(t.Slashed).Abs()
	if off.GT(sdkmath.NewIntFromUint64(t.Roundings + positions)) {
		return broken("%s owed and %s to settle of %s slashed, with %d roundings and %d positions", t.Owed, unsettled, t.Slashed, t.Roundings, positions)
	}
	debt, debtors := sdkmath.ZeroInt(), uint64(0)
	err = k.Accounts.Walk(ctx, nil, func(delAddr sdk.AccAddress, a types.Account) (bool, error) {
		if !a.Debt.IsPositive() {
			return false, nil
		}
		debt, debtors = debt.Add(a.Debt), debtors+1
		if queued, err := k.DebtQueue.Has(ctx, debtKey(delAddr, a)); err != nil || !queued {
			return true, broken("debt of %s since %s is not queued: %v", k.delString(delAddr), a.DebtSince, err)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	queued := uint64(0)
	err = k.DebtQueue.Walk(ctx, nil, func(timeDelegator) (bool, error) { queued++; return false, nil })
	if err != nil {
		return err
	}
	if !debt.Equal(t.Debt) || debtors != t.Debtors || queued != debtors {
		return broken("%d accounts owe %s; the sums say %d and %s, the queue has %d", debtors, debt, t.Debtors, t.Debt, queued)
	}
	short := sdkmath.ZeroInt()
	err = k.Shortfalls.Walk(ctx, nil, func(_ sdk.AccAddress, s types.Shortfall) (bool, error) {
		short = short.Add(s.Amount)
		return false, nil
	})
	if err == nil && !short.Equal(t.Shortfall) {
		err = broken("shortfalls of %s, the sums say %s", short, t.Shortfall)
	}
	return err
}
