package keeper

import (
	"context"

	"cosmossdk.io/collections"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// initSettlement stores what settlement is working on.
func (k *Keeper) initSettlement(ctx context.Context, g types.GenesisState) error {
	for _, d := range g.Debts {
		if err := k.DebtQueue.Set(ctx, collections.Join(nanos(d.Time), sdk.AccAddress(d.Delegator))); err != nil {
			return err
		}
	}
	if g.DebtCursor != nil {
		if err := k.DebtCursor.Set(ctx, *g.DebtCursor); err != nil {
			return err
		}
	}
	for _, w := range g.NativeSlashWalks {
		if err := k.NativeSlashes.Set(ctx, w.Validator, w); err != nil {
			return err
		}
	}
	for _, r := range g.Rewards {
		if err := k.Rewards.Set(ctx, r.SlashId, r); err != nil {
			return err
		}
	}
	for _, s := range g.Shortfalls {
		if err := k.Shortfalls.Set(ctx, s.Delegator, s); err != nil {
			return err
		}
	}
	for _, h := range g.OwnHeights {
		if err := k.OwnHeights.Set(ctx, h.Height, nanos(h.Time)); err != nil {
			return err
		}
	}
	return nil
}

// exportSettlement exports what settlement is working on.
func (k *Keeper) exportSettlement(ctx context.Context, g *types.GenesisState) error {
	err := k.DebtQueue.Walk(ctx, nil, func(key timeDelegator) (bool, error) {
		g.Debts = append(g.Debts, types.DebtRecord{Time: fromNanos(key.K1()), Delegator: key.K2()})
		return false, nil
	})
	if err != nil {
		return err
	}
	if cursor, err := getItemOr(ctx, k.DebtCursor, types.DebtRecord{}); err != nil {
		return err
	} else if len(cursor.Delegator) > 0 {
		g.DebtCursor = &cursor
	}
	err = k.NativeSlashes.Walk(ctx, nil, func(_ sdk.ValAddress, w types.NativeSlashWalk) (bool, error) {
		g.NativeSlashWalks = append(g.NativeSlashWalks, w)
		return false, nil
	})
	if err != nil {
		return err
	}
	err = k.Rewards.Walk(ctx, nil, func(_ uint64, r types.SubmitterReward) (bool, error) {
		g.Rewards = append(g.Rewards, r)
		return false, nil
	})
	if err != nil {
		return err
	}
	err = k.Shortfalls.Walk(ctx, nil, func(_ sdk.AccAddress, s types.Shortfall) (bool, error) {
		g.Shortfalls = append(g.Shortfalls, s)
		return false, nil
	})
	if err != nil {
		return err
	}
	return k.OwnHeights.Walk(ctx, nil, func(height int64, at uint64) (bool, error) {
		g.OwnHeights = append(g.OwnHeights, types.OwnHeightRecord{Height: height, Time: fromNanos(at)})
		return false, nil
	})
}
