package keeper

import (
	"context"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// initRewards stores what became of rewards; the index of reward accounts is built from the consumers.
func (k *Keeper) initRewards(ctx context.Context, g types.GenesisState) error {
	for _, c := range g.Consumers {
		id := c.Consumer.Config.ClientId
		if err := k.RewardAccounts.Set(ctx, types.RewardAccount(id), id); err != nil {
			return err
		}
	}
	for _, b := range g.RewardBooks {
		if err := k.RewardBooks.Set(ctx, collections.Join(b.ClientId, b.Denom), b.Book); err != nil {
			return err
		}
	}
	for _, a := range g.Accrued {
		if err := k.Accrued.Set(ctx, collections.Join4(sdk.AccAddress(a.Delegator), a.ClientId, a.Validator, a.Denom), a.Amount); err != nil {
			return err
		}
	}
	if g.RewardSweep != nil {
		return k.RewardSweep.Set(ctx, *g.RewardSweep)
	}
	return nil
}

// exportRewards exports what became of rewards.
func (k *Keeper) exportRewards(ctx context.Context, g *types.GenesisState) error {
	err := k.RewardBooks.Walk(ctx, nil, func(key clientDenom, b types.RewardBook) (bool, error) {
		g.RewardBooks = append(g.RewardBooks, types.RewardBookRecord{ClientId: key.K1(), Denom: key.K2(), Book: b})
		return false, nil
	})
	if err != nil {
		return err
	}
	err = k.Accrued.Walk(ctx, nil, func(key accruedKey, amount sdkmath.Int) (bool, error) {
		g.Accrued = append(g.Accrued, types.AccruedReward{
			Delegator: key.K1(), ClientId: key.K2(), Validator: key.K3(), Denom: key.K4(), Amount: amount,
		})
		return false, nil
	})
	if err != nil {
		return err
	}
	running, err := k.RewardSweep.Has(ctx)
	if err != nil || !running {
		return err
	}
	w, err := k.RewardSweep.Get(ctx)
	g.RewardSweep = &w
	return err
}
