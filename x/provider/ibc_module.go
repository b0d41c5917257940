package provider

import (
	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	porttypes "github.com/cosmos/ibc-go/v11/modules/core/05-port/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/keeper"
)

var _ porttypes.IBCModule = (*IBCModule)(nil)

// IBCModule carries the provider's packets over IBC v1. It only finds the consumer of a channel and wraps
// acknowledgements; the rest is in keeper/relay.go.
type IBCModule struct{ k *keeper.Keeper }

// NewIBCModule returns the provider's IBC v1 module.
func NewIBCModule(k *keeper.Keeper) *IBCModule { return &IBCModule{k} }

// OnChanOpenInit refuses: the consumer's side opens the channel.
func (*IBCModule) OnChanOpenInit(sdk.Context, channeltypes.Order, []string, string, string, channeltypes.Counterparty, string) (string, error) {
	return "", meshtypes.ErrChannelInitiator
}

// OnChanOpenTry accepts a channel for a registered consumer that has none.
func (m *IBCModule) OnChanOpenTry(
	ctx sdk.Context, order channeltypes.Order, connectionHops []string, portID, _ string,
	counterparty channeltypes.Counterparty, counterpartyVersion string,
) (string, error) {
	_, err := m.k.CheckChannel(ctx, meshtypes.ChannelEnd{
		Order: order, ConnectionHops: connectionHops, Port: portID,
		CounterpartyPort: counterparty.PortId, Version: counterpartyVersion,
	})
	if err != nil {
		return "", err
	}
	return meshtypes.Version, nil
}

// OnChanOpenAck refuses: it would follow a handshake begun on our side.
func (*IBCModule) OnChanOpenAck(sdk.Context, string, string, string, string) error {
	return meshtypes.ErrChannelInitiator
}

// OnChanOpenConfirm checks again, since other handshakes may have gone on meanwhile, and opens the channel.
func (m *IBCModule) OnChanOpenConfirm(ctx sdk.Context, portID, channelID string) error {
	end, err := m.k.ChannelEnd(ctx, portID, channelID)
	if err != nil {
		return err
	}
	clientID, err := m.k.CheckChannel(ctx, end)
	if err != nil {
		return err
	}
	return m.k.OpenChannel(ctx, clientID, channelID)
}

// OnChanCloseInit refuses: users cannot close the channel.
func (*IBCModule) OnChanCloseInit(sdk.Context, string, string) error {
	return meshtypes.ErrChannelClose
}

// OnChanCloseConfirm notes that the consumer's side retired the channel.
func (m *IBCModule) OnChanCloseConfirm(ctx sdk.Context, _, channelID string) error {
	return m.k.ChannelClosed(ctx, channelID)
}

// OnRecvPacket works on a ConsumerReport.
func (m *IBCModule) OnRecvPacket(ctx sdk.Context, channelVersion string, packet channeltypes.Packet, _ sdk.AccAddress) exported.Acknowledgement {
	clientID, err := m.k.ConsumerOfChannel(ctx, packet.DestinationChannel)
	if err == nil && channelVersion != meshtypes.Version {
		err = errorsmod.Wrap(meshtypes.ErrChannelVersion, channelVersion)
	}
	var ack []byte
	if err == nil {
		ack, err = m.k.ReceiveReport(ctx, clientID, packet.Data)
	}
	if err != nil {
		m.k.Logger(ctx).Info("report refused", "channel", packet.DestinationChannel, "sequence", packet.Sequence, "error", err)
		return channeltypes.NewErrorAcknowledgement(err)
	}
	return channeltypes.NewResultAcknowledgement(ack)
}

// OnAcknowledgementPacket works on the answer to a StakeUpdate. One that came over a retired channel does not count.
func (m *IBCModule) OnAcknowledgementPacket(ctx sdk.Context, _ string, packet channeltypes.Packet, acknowledgement []byte, _ sdk.AccAddress) error {
	clientID, err := m.k.ConsumerOfChannel(ctx, packet.SourceChannel)
	if err != nil {
		return nil //nolint:nilerr // its listings were lost with the channel
	}
	result, isError, err := meshtypes.ParseAck(acknowledgement)
	if err != nil {
		return m.k.FailUpdate(ctx, clientID, packet.Data, err.Error())
	}
	if isError {
		return m.k.FailUpdate(ctx, clientID, packet.Data, "the consumer answered with an error")
	}
	return m.k.AcknowledgeUpdate(ctx, clientID, packet.Data, result)
}

// OnTimeoutPacket makes the listings of a StakeUpdate due again.
func (m *IBCModule) OnTimeoutPacket(ctx sdk.Context, _ string, packet channeltypes.Packet, _ sdk.AccAddress) error {
	clientID, err := m.k.ConsumerOfChannel(ctx, packet.SourceChannel)
	if err != nil {
		return nil //nolint:nilerr // its listings were lost with the channel
	}
	return m.k.FailUpdate(ctx, clientID, packet.Data, "timeout")
}

// SetICS4Wrapper makes the module send through a middleware above it.
func (m *IBCModule) SetICS4Wrapper(wrapper porttypes.ICS4Wrapper) { m.k.SetPacketSender(wrapper) }
