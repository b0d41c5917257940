package consumer

import (
	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	porttypes "github.com/cosmos/ibc-go/v11/modules/core/05-port/types"

	"github.com/mesh-security/mesh/x/consumer/keeper"
)

// TransferMiddleware is put around the transfer module: it sees which transfers of rewards were delivered and which came
// back. Everything else passes through it.
type TransferMiddleware struct {
	porttypes.IBCModule
	keeper *keeper.Keeper
}

var (
	_ porttypes.IBCModule             = TransferMiddleware{}
	_ porttypes.PacketDataUnmarshaler = TransferMiddleware{}
)

// NewTransferMiddleware returns base, the transfer module or the middlewares around it, with the consumer's around it.
func NewTransferMiddleware(base porttypes.IBCModule, k *keeper.Keeper) TransferMiddleware {
	return TransferMiddleware{IBCModule: base, keeper: k}
}

// OnAcknowledgementPacket implements porttypes.IBCModule. base has refunded the sender after an error acknowledgement.
func (m TransferMiddleware) OnAcknowledgementPacket(
	ctx sdk.Context, channelVersion string, packet channeltypes.Packet, acknowledgement []byte, relayer sdk.AccAddress,
) error {
	if err := m.IBCModule.OnAcknowledgementPacket(ctx, channelVersion, packet, acknowledgement, relayer); err != nil {
		return err
	}
	var ack channeltypes.Acknowledgement
	if err := transfertypes.ModuleCdc.UnmarshalJSON(acknowledgement, &ack); err != nil {
		return err
	}
	return m.keeper.TransferDone(ctx, packet.SourceChannel, packet.Sequence, ack.Success())
}

// OnTimeoutPacket implements porttypes.IBCModule. base has refunded the sender.
func (m TransferMiddleware) OnTimeoutPacket(
	ctx sdk.Context, channelVersion string, packet channeltypes.Packet, relayer sdk.AccAddress,
) error {
	if err := m.IBCModule.OnTimeoutPacket(ctx, channelVersion, packet, relayer); err != nil {
		return err
	}
	return m.keeper.TransferDone(ctx, packet.SourceChannel, packet.Sequence, false)
}

// UnmarshalPacketData implements porttypes.PacketDataUnmarshaler, for middlewares further out.
func (m TransferMiddleware) UnmarshalPacketData(ctx sdk.Context, portID, channelID string, bz []byte) (any, string, error) {
	base, ok := m.IBCModule.(porttypes.PacketDataUnmarshaler)
	if !ok {
		return nil, "", errorsmod.Wrapf(porttypes.ErrInvalidRoute, "%T cannot unmarshal packets", m.IBCModule)
	}
	return base.UnmarshalPacketData(ctx, portID, channelID, bz)
}
