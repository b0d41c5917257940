package consumer

import (
	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	channeltypesv2 "github.com/cosmos/ibc-go/v11/modules/core/04-channel/v2/types"
	porttypes "github.com/cosmos/ibc-go/v11/modules/core/05-port/types"
	"github.com/cosmos/ibc-go/v11/modules/core/api"

	"github.com/mesh-security/mesh/x/consumer/keeper"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// IBCModuleV2 connects the keeper to IBC v2. It checks what a handshake settles in IBC v1, finds the provider of a client,
// and hands bytes over.
type IBCModuleV2 struct{ k *keeper.Keeper }

var _ api.IBCModule = (*IBCModuleV2)(nil)

// NewIBCModuleV2 returns the IBC v2 module for the port of the module's name.
func NewIBCModuleV2(k *keeper.Keeper) *IBCModuleV2 { return &IBCModuleV2{k} }

// OnSendPacket refuses whatever the module does not send itself, to a provider whose packets go this way.
func (m *IBCModuleV2) OnSendPacket(
	ctx sdk.Context, sourceClient, destinationClient string, _ uint64, payload channeltypesv2.Payload, signer sdk.AccAddress,
) error {
	if err := meshtypes.CheckSending(meshtypes.SideConsumer, payload, signer); err != nil {
		return err
	}
	return m.k.CheckClient(ctx, sourceClient, destinationClient)
}

// OnRecvPacket applies a StakeUpdate.
func (m *IBCModuleV2) OnRecvPacket(
	ctx sdk.Context, sourceClient, destinationClient string, sequence uint64, payload channeltypesv2.Payload, _ sdk.AccAddress,
) channeltypesv2.RecvPacketResult {
	err := meshtypes.CheckPayload(meshtypes.SideProvider, payload)
	if err == nil {
		err = m.k.CheckClient(ctx, destinationClient, sourceClient)
	}
	var ack []byte
	if err == nil {
		ack, err = m.k.ReceiveUpdate(ctx, destinationClient, payload.Value)
	}
	if err != nil {
		m.k.Logger(ctx).Info("packet refused", "client", destinationClient, "sequence", sequence, "error", err)
		return meshtypes.FailureV2()
	}
	return meshtypes.SuccessV2(ack)
}

// OnAcknowledgementPacket takes the answer to a ConsumerReport. One from a time before the provider's packets went another
// way says nothing any more.
func (m *IBCModuleV2) OnAcknowledgementPacket(
	ctx sdk.Context, sourceClient, destinationClient string, _ uint64, acknowledgement []byte, payload channeltypesv2.Payload, _ sdk.AccAddress,
) error {
	if err := m.k.CheckClient(ctx, sourceClient, destinationClient); err != nil {
		return meshtypes.IgnoreTransport(err)
	}
	return m.k.AcknowledgeReport(ctx, sourceClient, payload.Value, acknowledgement, meshtypes.IsErrorAckV2(acknowledgement))
}

// OnTimeoutPacket takes the timeout of a ConsumerReport.
func (m *IBCModuleV2) OnTimeoutPacket(
	ctx sdk.Context, sourceClient, destinationClient string, _ uint64, payload channeltypesv2.Payload, _ sdk.AccAddress,
) error {
	if err := m.k.CheckClient(ctx, sourceClient, destinationClient); err != nil {
		return meshtypes.IgnoreTransport(err)
	}
	return m.k.TimeoutReport(ctx, sourceClient, payload.Value)
}

// TransferMiddlewareV2 is TransferMiddleware for ICS-20 over IBC v2.
type TransferMiddlewareV2 struct {
	api.IBCModule
	keeper *keeper.Keeper
}

var (
	_ api.IBCModule             = TransferMiddlewareV2{}
	_ api.PacketDataUnmarshaler = TransferMiddlewareV2{}
)

// NewTransferMiddlewareV2 returns base, the transfer module for IBC v2 or the middlewares around it, with the consumer's
// around it.
func NewTransferMiddlewareV2(base api.IBCModule, k *keeper.Keeper) TransferMiddlewareV2 {
	return TransferMiddlewareV2{IBCModule: base, keeper: k}
}

// OnAcknowledgementPacket implements api.IBCModule. base has refunded the sender after an error acknowledgement.
func (m TransferMiddlewareV2) OnAcknowledgementPacket(
	ctx sdk.Context, sourceClient, destinationClient string, sequence uint64, acknowledgement []byte, payload channeltypesv2.Payload,
	relayer sdk.AccAddress,
) error {
	err := m.IBCModule.OnAcknowledgementPacket(ctx, sourceClient, destinationClient, sequence, acknowledgement, payload, relayer)
	if err != nil {
		return err
	}
	return m.keeper.TransferDone(ctx, sourceClient, sequence, !meshtypes.IsErrorAckV2(acknowledgement))
}

// OnTimeoutPacket implements api.IBCModule. base has refunded the sender.
func (m TransferMiddlewareV2) OnTimeoutPacket(
	ctx sdk.Context, sourceClient, destinationClient string, sequence uint64, payload channeltypesv2.Payload, relayer sdk.AccAddress,
) error {
	if err := m.IBCModule.OnTimeoutPacket(ctx, sourceClient, destinationClient, sequence, payload, relayer); err != nil {
		return err
	}
	return m.keeper.TransferDone(ctx, sourceClient, sequence, false)
}

// UnmarshalPacketData implements api.PacketDataUnmarshaler, for middlewares further out.
func (m TransferMiddlewareV2) UnmarshalPacketData(payload channeltypesv2.Payload) (any, error) {
	base, ok := m.IBCModule.(api.PacketDataUnmarshaler)
	if !ok {
		return nil, errorsmod.Wrapf(porttypes.ErrInvalidRoute, "%T cannot unmarshal packets", m.IBCModule)
	}
	return base.UnmarshalPacketData(payload)
}
