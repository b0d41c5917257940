package keeper

import (
	"errors"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

func (k *Keeper) importRewards(ctx sdk.Context, gs types.GenesisState) error {
	for _, r := range gs.RewardBooks {
		if err := k.RewardBooks.Set(ctx, collections.Join(r.ProviderId, r.Denom), r.Book); err != nil {
			return err
		}
	}
	for _, r := range gs.Rewards {
		if err := k.Rewards.Set(ctx, collections.Join3(r.ProviderId, r.Denom, r.Validator), r.Amount); err != nil {
			return err
		}
	}
	for _, r := range gs.RewardTransfers {
		if err := k.RewardTransfers.Set(ctx, collections.Join(r.Channel, r.Sequence), r.Transfer); err != nil {
			return err
		}
	}
	for _, r := range gs.RewardWork {
		if err := k.RewardWork.Set(ctx, r.ProviderId, r.Work); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) exportRewards(ctx sdk.Context, gs *types.GenesisState) error {
	return errors.Join(
		k.RewardBooks.Walk(ctx, nil, func(key bookKey, book types.RewardBook) (bool, error) {
			gs.RewardBooks = append(gs.RewardBooks, types.RewardBookEntry{ProviderId: key.K1(), Denom: key.K2(), Book: book})
			return false, nil
		}),
		k.Rewards.Walk(ctx, nil, func(key rewardKey, amount sdkmath.Int) (bool, error) {
			gs.Rewards = append(gs.Rewards, types.RewardEntry{
				ProviderId: key.K1(), Denom: key.K2(), Validator: key.K3(), Amount: amount,
			})
			return false, nil
		}),
		k.RewardTransfers.Walk(ctx, nil, func(key transferKey, transfer types.RewardTransfer) (bool, error) {
			gs.RewardTransfers = append(gs.RewardTransfers, types.RewardTransferEntry{
				Channel: key.K1(), Sequence: key.K2(), Transfer: transfer,
			})
			return false, nil
		}),
		k.RewardWork.Walk(ctx, nil, func(id string, work types.RewardWork) (bool, error) {
			gs.RewardWork = append(gs.RewardWork, types.RewardWorkEntry{ProviderId: id, Work: work})
			return false, nil
		}),
	)
}
