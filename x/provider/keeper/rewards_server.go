package keeper

import (
	"context"
	"encoding/binary"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// ConnectTransfer gives the keeper ICS-20's, which is built after it, for rewards that go straight to an address on the
// consumer.
func (k *Keeper) ConnectTransfer(tk types.TransferKeeper) { k.transfer = tk }

// WithdrawRewards pays out what a delegator has earned on a consumer, in any status of it. Errors: ErrInvalidAddress,
// ErrInvalidReceiver, ErrUnknownConsumer, ErrInvalidValidator, ErrNoRewards, ErrRewardTransfer.
func (s msgServer) WithdrawRewards(ctx context.Context, msg *types.MsgWithdrawRewards) (*types.MsgWithdrawRewardsResponse, error) {
	delAddr, err := s.address(msg.Delegator)
	if err != nil {
		return nil, err
	}
	if msg.Receiver != "" {
		if err := types.ValidateReceiver(msg.Receiver); err != nil {
			return nil, err
		}
	}
	consumer, found, err := getOr(ctx, s.k.Consumers, msg.ConsumerId)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errorsmod.Wrapf(types.ErrUnknownConsumer, "%.64q", msg.ConsumerId)
	}
	var operator []byte
	if msg.Validator != "" {
		if operator, err = consumer.Config.ParseValidator(msg.Validator); err != nil {
			return nil, err
		}
	}
	coins, err := s.k.withdrawRewards(ctx, delAddr, msg.ConsumerId, operator)
	if err != nil {
		return nil, err
	}
	res := &types.MsgWithdrawRewardsResponse{Amount: coins}
	if msg.Receiver != "" {
		if res.Sequences, err = s.k.sendHome(sdk.UnwrapSDKContext(ctx), delAddr, msg.ConsumerId, msg.Receiver, coins); err != nil {
			return nil, err
		}
	}
	s.k.emit(ctx, &types.EventRewardsWithdrawn{
		Delegator: msg.Delegator, ConsumerId: msg.ConsumerId, Amount: coins.String(), Receiver: msg.Receiver,
	})
	return res, nil
}

// sendHome sends rewards from the delegator's account to an address on the consumer, each denom the way it came. If a
// transfer fails later ICS-20 itself refunds the delegator. Error: ErrRewardTransfer.
func (k *Keeper) sendHome(ctx sdk.Context, delAddr sdk.AccAddress, clientID, receiver string, coins sdk.Coins) (sequences []uint64, err error) {
	if k.transfer == nil || k.channels == nil {
		return nil, errorsmod.Wrap(types.ErrRewardTransfer, "this chain has no transfers")
	}
	params, err := k.Params.Get(ctx)
	if err != nil {
		return nil, err
	}
	timeout := ctx.BlockTime().Add(params.PacketTimeout)
	for _, coin := range coins {
		book, err := k.RewardBooks.Get(ctx, collections.Join(clientID, coin.Denom))
		if err != nil {
			return nil, err
		}
		at := nanos(timeout)
		if _, isV1 := k.channels.GetChannel(ctx, transfertypes.PortID, book.Channel); !isV1 {
			at = uint64(max(timeout.Unix(), 0)) // IBC v2 counts seconds
		}
		res, err := k.transfer.Transfer(ctx, transfertypes.NewMsgTransfer(
			transfertypes.PortID, book.Channel, coin, k.delString(delAddr), receiver, clienttypes.ZeroHeight(), at, "",
		))
		if err != nil {
			return nil, errorsmod.Wrap(types.ErrRewardTransfer, err.Error())
		}
		sequences = append(sequences, res.Sequence)
	}
	return sequences, nil
}

// maxRewardRecords is how many records of settled rewards a query reads for one delegator.
const maxRewardRecords = 10_000

// Rewards returns what a delegator can withdraw.
func (s queryServer) Rewards(ctx context.Context, req *types.QueryRewardsRequest) (*types.QueryRewardsResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	delAddr, err := s.address(req.Delegator)
	if err != nil {
		return nil, err
	}
	if req.ConsumerId != "" {
		if _, err := s.consumer(ctx, req.ConsumerId); err != nil {
			return nil, err
		}
	}
	cs, err := s.k.claimsOf(ctx, delAddr, req.ConsumerId, nil, maxRewardRecords, false)
	if err != nil {
		return nil, err
	}
	res := &types.QueryRewardsResponse{Total: sdk.Coins{}}
	var all []types.RewardInfo
	var last claim
	for _, c := range cs {
		if !c.total().IsPositive() {
			continue
		}
		coin := sdk.NewCoin(c.denom, c.total())
		res.Total = res.Total.Add(coin)
		if n := len(all); n > 0 && last.clientID == c.clientID && string(last.operator) == string(c.operator) {
			all[n-1].Amount = all[n-1].Amount.Add(coin)
			continue
		}
		last = c
		all = append(all, types.RewardInfo{
			ConsumerId: c.clientID, Operator: s.k.operatorString(ctx, c.clientID, c.operator), Amount: sdk.NewCoins(coin),
		})
	}
	res.Rewards, res.Pagination, err = pageOf(all, req.Pagination)
	return res, err
}

// pageOf returns a page of a list in memory; its keys are offsets.
func pageOf[T any](all []T, req *query.PageRequest) ([]T, *query.PageResponse, error) {
	offset, limit := uint64(0), uint64(query.DefaultLimit)
	if req != nil {
		offset = req.Offset
		if req.Limit > 0 {
			limit = req.Limit
		}
		if len(req.Key) > 0 {
			if len(req.Key) != 8 || req.Offset > 0 {
				return nil, nil, status.Error(codes.InvalidArgument, "page key of another query, or with an offset")
			}
			offset = binary.BigEndian.Uint64(req.Key)
		}
	}
	n := uint64(len(all))
	offset = min(offset, n)
	end := offset + min(limit, n-offset)
	page := &query.PageResponse{}
	if end < n {
		page.NextKey = binary.BigEndian.AppendUint64(nil, end)
	}
	if req != nil && req.CountTotal {
		page.Total = n
	}
	return all[offset:end], page, nil
}

// ConsumerRewards returns what became of a consumer's rewards.
func (s queryServer) ConsumerRewards(ctx context.Context, req *types.QueryConsumerRewardsRequest) (*types.QueryConsumerRewardsResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	if _, err := s.consumer(ctx, req.ConsumerId); err != nil {
		return nil, err
	}
	account := types.RewardAccount(req.ConsumerId)
	rewards, page, err := query.CollectionPaginate(ctx, s.k.RewardBooks, req.Pagination,
		func(key clientDenom, b types.RewardBook) (types.ConsumerReward, error) {
			balance := s.k.bank.GetBalance(ctx, account, key.K2()).Amount
			return types.ConsumerReward{
				Denom: key.K2(), Book: b, Claimable: b.Claimable(), Dust: b.Dust(), Balance: balance, Strangers: balance.Sub(b.Owed()),
			}, nil
		}, query.WithCollectionPaginationPairPrefix[string, string](req.ConsumerId))
	if err != nil {
		return nil, err
	}
	return &types.QueryConsumerRewardsResponse{RewardAccount: s.k.delString(account), Rewards: rewards, Pagination: page}, nil
}
