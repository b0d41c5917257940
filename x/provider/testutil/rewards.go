package testutil

import (
	"context"
	"fmt"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	porttypes "github.com/cosmos/ibc-go/v11/modules/core/05-port/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider"
	"github.com/mesh-security/mesh/x/provider/types"
)

const (
	// RewardChannel is our end of the transfer channel that Rewards registers.
	RewardChannel = "channel-77"
	// ConsumerChannel is the other end.
	ConsumerChannel = "channel-5"
	// RewardSender is the account that Rewards registers.
	RewardSender = "consumer1rewards"
	// RewardDenom is a denom of the consumer that Rewards registers.
	RewardDenom = "uconsumer"
	// HomeDenom is our bond denom as the consumer has it.
	HomeDenom = "transfer/" + ConsumerChannel + "/" + Denom
)

// Rewards registers everything that a consumer needs to send rewards.
func Rewards(c *types.ConsumerConfig) {
	c.RewardChannel, c.RewardSender, c.RewardDenoms = RewardChannel, RewardSender, []string{RewardDenom, HomeDenom}
}

// Voucher returns what a denom of the consumer is called here when it came over a channel.
func Voucher(denom, channel string) string {
	d := transfertypes.ExtractDenomFromPath(denom)
	return transfertypes.NewDenom(d.Base, append([]transfertypes.Hop{transfertypes.NewHop("transfer", channel)}, d.Trace...)...).IBCDenom()
}

// ICS20 stands for ICS-20: it credits packets, and keeps the messages that send tokens away.
type ICS20 struct {
	porttypes.IBCModule
	f *Fixture
	// Ack, if set, is answered instead of crediting anything; it may return nil.
	Ack func() exported.Acknowledgement
	// Sent are the transfers away; their coins wait in an account of that name.
	Sent []*transfertypes.MsgTransfer
	// SendError makes sending fail.
	SendError error
}

// OnRecvPacket credits what the packet brings: a token that comes home loses its hop, any other is minted as a voucher.
func (i *ICS20) OnRecvPacket(ctx sdk.Context, version string, p channeltypes.Packet, _ sdk.AccAddress) exported.Acknowledgement {
	if i.Ack != nil {
		return i.Ack()
	}
	data, err := transfertypes.UnmarshalPacketData(p.Data, version, "")
	if err != nil {
		return channeltypes.NewErrorAcknowledgement(err)
	}
	receiver, err := i.f.Accounts.AddressCodec().StringToBytes(data.Receiver)
	if err != nil {
		return channeltypes.NewErrorAcknowledgement(err)
	}
	amount, ok := sdkmath.NewIntFromString(data.Token.Amount)
	if !ok {
		return channeltypes.NewErrorAcknowledgement(transfertypes.ErrInvalidAmount)
	}
	denom := Voucher(data.Token.Denom.Path(), p.DestinationChannel)
	if data.Token.Denom.HasPrefix(p.SourcePort, p.SourceChannel) {
		denom = transfertypes.NewDenom(data.Token.Denom.Base, data.Token.Denom.Trace[1:]...).IBCDenom()
	}
	coins := sdk.NewCoins(sdk.NewCoin(denom, amount))
	require.NoError(i.f, i.f.Bank.MintCoins(ctx, minttypes.ModuleName, coins))
	require.NoError(i.f, i.f.Bank.SendCoinsFromModuleToAccount(ctx, minttypes.ModuleName, receiver, coins))
	return channeltypes.NewResultAcknowledgement([]byte{1})
}

// Escrow is where tokens wait that went away.
var Escrow = sdk.AccAddress("escrow______________")

// Transfer implements types.TransferKeeper.
func (i *ICS20) Transfer(ctx context.Context, msg *transfertypes.MsgTransfer) (*transfertypes.MsgTransferResponse, error) {
	if i.SendError != nil {
		return nil, i.SendError
	}
	sender, err := i.f.Accounts.AddressCodec().StringToBytes(msg.Sender)
	if err != nil {
		return nil, err
	}
	if err := i.f.Bank.SendCoins(ctx, sender, Escrow, sdk.NewCoins(msg.Token)); err != nil {
		return nil, err
	}
	i.Sent = append(i.Sent, msg)
	return &transfertypes.MsgTransferResponse{Sequence: uint64(len(i.Sent))}, nil
}

// connectTransfer gives the module an ICS-20, and stands before it.
func (f *Fixture) connectTransfer() {
	f.ICS20 = &ICS20{f: f}
	f.Provider.ConnectTransfer(f.ICS20)
	f.Transfers = provider.NewTransferMiddleware(f.ICS20, f.Provider)
}

// Reward is an entry of a memo for the consumer's n-th validator.
func Reward(n int, amount int64) meshtypes.Reward {
	return meshtypes.Reward{Validator: OperatorString(n), Amount: sdkmath.NewInt(amount)}
}

// TransferPacket is an ICS-20 packet as a test describes it.
type TransferPacket struct {
	Denom, Amount, Sender, Receiver, Memo string
	// Channel is our end of the channel it comes over.
	Channel string
}

// RewardPacket returns what the consumer sends as rewards of its validators, in one denom.
func (c *Consumer) RewardPacket(denom string, rewards ...meshtypes.Reward) TransferPacket {
	c.f.Helper()
	sum := sdkmath.ZeroInt()
	for _, r := range rewards {
		sum = sum.Add(r.Amount)
	}
	memo, err := meshtypes.MarshalRewardMemo(rewards)
	require.NoError(c.f, err)
	return TransferPacket{
		Denom: denom, Amount: sum.String(), Sender: RewardSender, Receiver: types.RewardAccount(c.ClientID).String(), Memo: memo,
		Channel: RewardChannel,
	}
}

// ReceiveTransfer hands a packet to ICS-20, and returns its acknowledgement; as in IBC, only a successful one keeps what
// was written.
func (f *Fixture) ReceiveTransfer(p TransferPacket) (ack exported.Acknowledgement) {
	f.Helper()
	data := transfertypes.NewFungibleTokenPacketData(p.Denom, p.Amount, p.Sender, p.Receiver, p.Memo)
	packet := channeltypes.NewPacket(data.GetBytes(), 1, transfertypes.PortID, ConsumerChannel, transfertypes.PortID, p.Channel, clienttypes.ZeroHeight(), 1)
	_ = f.Try(func(ctx sdk.Context) error {
		ack = f.Transfers.OnRecvPacket(ctx, transfertypes.V1, packet, nil)
		if ack == nil || !ack.Success() {
			return fmt.Errorf("not successful")
		}
		return nil
	})
	return ack
}

// Reward sends rewards to validators and requires that they are taken, or at least not refused.
func (c *Consumer) Reward(denom string, rewards ...meshtypes.Reward) {
	c.f.Helper()
	require.True(c.f, c.f.ReceiveTransfer(c.RewardPacket(denom, rewards...)).Success())
}

// Withdraw pays out what a delegator has earned on the consumer; n is a validator, or 0 for all.
func (c *Consumer) Withdraw(addr sdk.AccAddress, n int) (paid sdk.Coins, err error) {
	msg := &types.MsgWithdrawRewards{Delegator: addr.String(), ConsumerId: c.ClientID}
	if n > 0 {
		msg.Validator = OperatorString(n)
	}
	err = c.f.Try(func(ctx sdk.Context) error {
		res, err := c.f.Msgs.WithdrawRewards(ctx, msg)
		if err == nil {
			paid = res.Amount
		}
		return err
	})
	return paid, err
}

// Claimable returns what a delegator can withdraw on the consumer.
func (c *Consumer) Claimable(addr sdk.AccAddress) sdk.Coins {
	c.f.Helper()
	res, err := c.f.Queries.Rewards(c.f.Ctx, &types.QueryRewardsRequest{Delegator: addr.String(), ConsumerId: c.ClientID})
	require.NoError(c.f, err)
	return res.Total
}

// Book returns what became of the consumer's rewards in a denom of this chain.
func (c *Consumer) Book(denom string) types.ConsumerReward {
	c.f.Helper()
	res, err := c.f.Queries.ConsumerRewards(c.f.Ctx, &types.QueryConsumerRewardsRequest{ConsumerId: c.ClientID})
	require.NoError(c.f, err)
	for _, r := range res.Rewards {
		if r.Denom == denom {
			return r
		}
	}
	return types.ConsumerReward{Denom: denom, Book: types.NewRewardBook(), Claimable: sdkmath.ZeroInt(), Dust: sdkmath.ZeroInt(), Balance: sdkmath.ZeroInt(), Strangers: sdkmath.ZeroInt()}
}

// CommunityPool returns the community pool's whole coins of a denom.
func (f *Fixture) CommunityPool(denom string) sdkmath.Int {
	f.Helper()
	pool, err := f.Distr.FeePool.Get(f.Ctx)
	require.NoError(f, err)
	return pool.CommunityPool.AmountOf(denom).TruncateInt()
}
