package provider

import (
	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	channeltypesv2 "github.com/cosmos/ibc-go/v11/modules/core/04-channel/v2/types"
	"github.com/cosmos/ibc-go/v11/modules/core/api"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/keeper"
	"github.com/mesh-security/mesh/x/provider/types"
)

var _ api.IBCModule = (*IBCModuleV2)(nil)

// IBCModuleV2 carries the provider's packets over IBC v2. It only finds the consumer of a client and checks what a
// handshake settles in IBC v1; the rest is in keeper/relay.go.
type IBCModuleV2 struct{ k *keeper.Keeper }

// NewIBCModuleV2 returns the provider's IBC v2 module.
func NewIBCModuleV2(k *keeper.Keeper) *IBCModuleV2 { return &IBCModuleV2{k} }

// OnSendPacket refuses whatever the module does not send itself, to a consumer whose packets go this way.
func (m *IBCModuleV2) OnSendPacket(
	ctx sdk.Context, sourceClient, destinationClient string, _ uint64, payload channeltypesv2.Payload, signer sdk.AccAddress,
) error {
	if err := meshtypes.CheckSending(meshtypes.SideProvider, payload, signer); err != nil {
		return err
	}
	return m.k.CheckClient(ctx, sourceClient, destinationClient)
}

// OnRecvPacket works on a ConsumerReport.
func (m *IBCModuleV2) OnRecvPacket(
	ctx sdk.Context, sourceClient, destinationClient string, sequence uint64, payload channeltypesv2.Payload, _ sdk.AccAddress,
) channeltypesv2.RecvPacketResult {
	err := meshtypes.CheckPayload(meshtypes.SideConsumer, payload)
	if err == nil {
		err = m.k.CheckClient(ctx, destinationClient, sourceClient)
	}
	var ack []byte
	if err == nil {
		ack, err = m.k.ReceiveReport(ctx, destinationClient, payload.Value)
	}
	if err != nil {
		m.k.Logger(ctx).Info("report refused", "client", destinationClient, "sequence", sequence, "error", err)
		return meshtypes.FailureV2()
	}
	return meshtypes.SuccessV2(ack)
}

// OnAcknowledgementPacket works on the answer to a StakeUpdate. One from a time before the consumer's packets went another
// way does not count.
func (m *IBCModuleV2) OnAcknowledgementPacket(
	ctx sdk.Context, sourceClient, destinationClient string, _ uint64, acknowledgement []byte, payload channeltypesv2.Payload, _ sdk.AccAddress,
) error {
	if err := m.k.CheckClient(ctx, sourceClient, destinationClient); err != nil {
		return meshtypes.IgnoreTransport(err)
	}
	if meshtypes.IsErrorAckV2(acknowledgement) {
		return m.k.FailUpdate(ctx, sourceClient, payload.Value, "the consumer answered with an error")
	}
	return m.k.AcknowledgeUpdate(ctx, sourceClient, payload.Value, acknowledgement)
}

// OnTimeoutPacket makes the listings of a StakeUpdate due again.
func (m *IBCModuleV2) OnTimeoutPacket(
	ctx sdk.Context, sourceClient, destinationClient string, _ uint64, payload channeltypesv2.Payload, _ sdk.AccAddress,
) error {
	if err := m.k.CheckClient(ctx, sourceClient, destinationClient); err != nil {
		return meshtypes.IgnoreTransport(err)
	}
	return m.k.FailUpdate(ctx, sourceClient, payload.Value, "timeout")
}

var (
	_ api.IBCModule             = (*TransferMiddlewareV2)(nil)
	_ api.PacketDataUnmarshaler = (*TransferMiddlewareV2)(nil)
)

// TransferMiddlewareV2 is TransferMiddleware for ICS-20 over IBC v2.
type TransferMiddlewareV2 struct {
	api.IBCModule
	k *keeper.Keeper
}

// NewTransferMiddlewareV2 returns the middleware before base, which is ICS-20's module for IBC v2 or another middleware
// before it.
func NewTransferMiddlewareV2(base api.IBCModule, k *keeper.Keeper) *TransferMiddlewareV2 {
	return &TransferMiddlewareV2{base, k}
}

// OnRecvPacket lets ICS-20 credit the packet first. What it refused, or will only answer later, is not looked at.
func (m *TransferMiddlewareV2) OnRecvPacket(
	ctx sdk.Context, sourceClient, destinationClient string, sequence uint64, payload channeltypesv2.Payload, relayer sdk.AccAddress,
) channeltypesv2.RecvPacketResult {
	result := m.IBCModule.OnRecvPacket(ctx, sourceClient, destinationClient, sequence, payload, relayer)
	if result.Status != channeltypesv2.PacketStatus_Success {
		return result
	}
	data, err := transfertypes.UnmarshalPacketData(payload.Value, payload.Version, payload.Encoding)
	if err != nil {
		return result
	}
	m.k.ReceiveTransfer(ctx, keeper.Transfer{
		SourcePort: payload.SourcePort, SourceChannel: sourceClient,
		DestPort: payload.DestinationPort, DestChannel: destinationClient, Data: data,
	})
	return result
}

// UnmarshalPacketData decodes a payload as base does.
func (m *TransferMiddlewareV2) UnmarshalPacketData(payload channeltypesv2.Payload) (any, error) {
	base, ok := m.IBCModule.(api.PacketDataUnmarshaler)
	if !ok {
		return nil, errorsmod.Wrapf(types.ErrRewardTransfer, "%T does not decode packets", m.IBCModule)
	}
	return base.UnmarshalPacketData(payload)
}
