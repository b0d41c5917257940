package app_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"

	ibctransfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	channeltypesv2 "github.com/cosmos/ibc-go/v11/modules/core/04-channel/v2/types"
	ibctesting "github.com/cosmos/ibc-go/v11/testing"

	"github.com/mesh-security/mesh/app/apptest"
)

func newPath(t *testing.T) (*ibctesting.Coordinator, *ibctesting.Path) {
	t.Helper()
	coordinator := ibctesting.NewCustomAppCoordinator(t, 2, apptest.New)
	chainA, chainB := coordinator.GetChain(ibctesting.GetChainID(1)), coordinator.GetChain(ibctesting.GetChainID(2))
	return coordinator, ibctesting.NewTransferPath(chainA, chainB)
}

func TestTransfer(t *testing.T) {
	_, path := newPath(t)
	path.Setup()
	chainA, chainB := path.EndpointA.Chain, path.EndpointB.Chain
	receiver := chainB.SenderAccounts[1].SenderAccount.GetAddress()

	res, err := chainA.SendMsgs(ibctransfertypes.NewMsgTransfer(
		path.EndpointA.ChannelConfig.PortID, path.EndpointA.ChannelID, ibctesting.TestCoin,
		chainA.SenderAccount.GetAddress().String(), receiver.String(), chainB.GetTimeoutHeight(), 0, "",
	))
	require.NoError(t, err)
	packet, err := ibctesting.ParseV1PacketFromEvents(res.Events)
	require.NoError(t, err)
	require.NoError(t, path.RelayPacket(packet))

	hop := ibctransfertypes.NewHop(path.EndpointB.ChannelConfig.PortID, path.EndpointB.ChannelID)
	voucher := ibctransfertypes.NewDenom(ibctesting.TestCoin.Denom, hop)
	balance := apptest.App(chainB).BankKeeper.GetBalance(chainB.GetContext(), receiver, voucher.IBCDenom())
	require.Equal(t, ibctesting.TestCoin.Amount, balance.Amount)
}

func TestTransferV2(t *testing.T) {
	_, path := newPath(t)
	path.SetupV2()
	chainA, chainB := path.EndpointA.Chain, path.EndpointB.Chain
	sender, receiver := chainA.SenderAccount.GetAddress(), chainB.SenderAccounts[1].SenderAccount.GetAddress()

	data := ibctransfertypes.NewFungibleTokenPacketData(
		ibctesting.TestCoin.Denom, ibctesting.TestCoin.Amount.String(), sender.String(), receiver.String(), "",
	)
	encoded, err := ibctransfertypes.MarshalPacketData(data, ibctransfertypes.V1, ibctransfertypes.EncodingProtobuf)
	require.NoError(t, err)
	payload := channeltypesv2.NewPayload(
		ibctransfertypes.PortID, ibctransfertypes.PortID, ibctransfertypes.V1, ibctransfertypes.EncodingProtobuf, encoded,
	)
	timeout := uint64(chainB.GetContext().BlockTime().Add(time.Hour).Unix())
	packet, err := path.EndpointA.MsgSendPacket(timeout, payload)
	require.NoError(t, err)
	require.NoError(t, path.EndpointA.RelayPacket(packet))

	hop := ibctransfertypes.NewHop(ibctransfertypes.PortID, path.EndpointB.ClientID)
	voucher := ibctransfertypes.NewDenom(ibctesting.TestCoin.Denom, hop)
	balance := apptest.App(chainB).BankKeeper.GetBalance(chainB.GetContext(), receiver, voucher.IBCDenom())
	require.Equal(t, sdk.NewCoin(voucher.IBCDenom(), ibctesting.TestCoin.Amount), balance)
}
