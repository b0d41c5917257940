package provider

import (
	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	porttypes "github.com/cosmos/ibc-go/v11/modules/core/05-port/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	"github.com/mesh-security/mesh/x/provider/keeper"
	"github.com/mesh-security/mesh/x/provider/types"
)

var (
	_ porttypes.IBCModule             = (*TransferMiddleware)(nil)
	_ porttypes.PacketDataUnmarshaler = (*TransferMiddleware)(nil)
)

// TransferMiddleware stands before ICS-20 and sees what it has credited: transfers to reward accounts are rewards. It
// never changes an acknowledgement, and passes everything else through.
type TransferMiddleware struct {
	porttypes.IBCModule
	k *keeper.Keeper
}

// NewTransferMiddleware returns the middleware before base, which is ICS-20's module or another middleware before it.
func NewTransferMiddleware(base porttypes.IBCModule, k *keeper.Keeper) *TransferMiddleware {
	return &TransferMiddleware{base, k}
}

// OnRecvPacket lets ICS-20 credit the packet first. What it refused, or will only answer later, is not looked at.
func (m *TransferMiddleware) OnRecvPacket(ctx sdk.Context, channelVersion string, packet channeltypes.Packet, relayer sdk.AccAddress) exported.Acknowledgement {
	ack := m.IBCModule.OnRecvPacket(ctx, channelVersion, packet, relayer)
	if ack == nil || !ack.Success() {
		return ack
	}
	data, err := transfertypes.UnmarshalPacketData(packet.GetData(), channelVersion, "")
	if err != nil {
		return ack
	}
	m.k.ReceiveTransfer(ctx, keeper.Transfer{
		SourcePort: packet.SourcePort, SourceChannel: packet.SourceChannel,
		DestPort: packet.DestinationPort, DestChannel: packet.DestinationChannel, Data: data,
	})
	return ack
}

// UnmarshalPacketData decodes a packet as base does.
func (m *TransferMiddleware) UnmarshalPacketData(ctx sdk.Context, portID, channelID string, bz []byte) (any, string, error) {
	base, ok := m.IBCModule.(porttypes.PacketDataUnmarshaler)
	if !ok {
		return nil, "", errorsmod.Wrapf(types.ErrRewardTransfer, "%T does not decode packets", m.IBCModule)
	}
	return base.UnmarshalPacketData(ctx, portID, channelID, bz)
}
