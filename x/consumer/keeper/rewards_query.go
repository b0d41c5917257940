package keeper

import (
	"context"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/types/query"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// Rewards implements types.QueryServer.
func (q queryServer) Rewards(ctx context.Context, req *types.QueryRewardsRequest) (*types.QueryRewardsResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	p, err := q.k.GetProvider(ctx, req.ProviderId)
	if err != nil {
		return nil, err
	}
	account, err := q.k.accounts.AddressCodec().BytesToString(types.RewardAccount(req.ProviderId))
	if err != nil {
		return nil, err
	}
	res := &types.QueryRewardsResponse{
		RewardAccount: account, RewardChannel: p.Config.RewardChannel, RewardReceiver: p.Config.RewardReceiver,
	}
	if work, found, err := q.k.rewardWork(ctx, req.ProviderId); err != nil {
		return nil, err
	} else if found {
		res.Work = work
	}
	registered, err := q.k.rewardDenoms(ctx, p.Config)
	if err != nil {
		return nil, err
	}
	for _, d := range registered {
		book, err := q.k.rewardBook(ctx, req.ProviderId, d.Denom)
		if err != nil {
			return nil, err
		}
		res.Rewards = append(res.Rewards, types.RewardInfo{
			Denom: d.Denom, Registered: true, MinTransfer: d.MinTransfer, Book: book,
		})
	}
	err = q.k.RewardBooks.Walk(ctx, collections.NewPrefixedPairRange[string, string](req.ProviderId),
		func(key bookKey, book types.RewardBook) (bool, error) {
			if _, ok := types.FindRewardDenom(registered, key.K2()); !ok {
				res.Rewards = append(res.Rewards, types.RewardInfo{Denom: key.K2(), MinTransfer: sdkmath.ZeroInt(), Book: book})
			}
			return false, nil
		})
	return res, err
}

// PendingRewards implements types.QueryServer.
func (q queryServer) PendingRewards(
	ctx context.Context, req *types.QueryPendingRewardsRequest,
) (*types.QueryPendingRewardsResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	if _, err := q.k.GetProvider(ctx, req.ProviderId); err != nil {
		return nil, err
	}
	prefix := func(o *query.CollectionsPaginateOptions[rewardKey]) {
		prefix := collections.TriplePrefix[string, string, []byte](req.ProviderId)
		if req.Denom != "" {
			prefix = collections.TripleSuperPrefix[string, string, []byte](req.ProviderId, req.Denom)
		}
		o.Prefix = &prefix
	}
	rewards, page, err := query.CollectionPaginate(ctx, q.k.Rewards, req.Pagination,
		func(key rewardKey, amount sdkmath.Int) (types.PendingReward, error) {
			return types.PendingReward{Denom: key.K2(), Validator: q.k.valString(key.K3()), Amount: amount}, nil
		}, prefix)
	return &types.QueryPendingRewardsResponse{Rewards: rewards, Pagination: page}, err
}

// RewardTransfers implements types.QueryServer.
func (q queryServer) RewardTransfers(
	ctx context.Context, req *types.QueryRewardTransfersRequest,
) (*types.QueryRewardTransfersResponse, error) {
	if req == nil {
		return nil, errNoRequest
	}
	transfers, page, err := query.CollectionFilteredPaginate(ctx, q.k.RewardTransfers, req.Pagination,
		func(_ transferKey, t types.RewardTransfer) (bool, error) {
			return req.ProviderId == "" || req.ProviderId == t.ProviderId, nil
		},
		func(key transferKey, t types.RewardTransfer) (types.RewardTransferInfo, error) {
			return types.RewardTransferInfo{Channel: key.K1(), Sequence: key.K2(), Transfer: t, Amount: t.Sum()}, nil
		})
	return &types.QueryRewardTransfersResponse{Transfers: transfers, Pagination: page}, err
}
