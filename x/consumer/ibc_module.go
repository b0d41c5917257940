package consumer

import (
	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	porttypes "github.com/cosmos/ibc-go/v11/modules/core/05-port/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	"github.com/mesh-security/mesh/x/consumer/keeper"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// IBCModule connects the keeper to IBC v1. It checks handshakes, finds the provider of a channel, and hands bytes over.
type IBCModule struct{ k *keeper.Keeper }

var _ porttypes.IBCModule = (*IBCModule)(nil)

// NewIBCModule returns the IBC module for the port of the module's name.
func NewIBCModule(k *keeper.Keeper) *IBCModule { return &IBCModule{k} }

// OnChanOpenInit checks the first step, which this side takes. An empty version means ours.
func (m *IBCModule) OnChanOpenInit(
	ctx sdk.Context, order channeltypes.Order, connectionHops []string, portID, _ string,
	counterparty channeltypes.Counterparty, version string,
) (string, error) {
	if version == "" {
		version = meshtypes.Version
	}
	_, err := m.k.CheckChannel(ctx, meshtypes.ChannelEnd{
		Order: order, ConnectionHops: connectionHops, Port: portID, CounterpartyPort: counterparty.PortId, Version: version,
	})
	if err != nil {
		return "", err
	}
	return version, nil
}

// OnChanOpenTry refuses a channel that the other side opens.
func (m *IBCModule) OnChanOpenTry(
	sdk.Context, channeltypes.Order, []string, string, string, channeltypes.Counterparty, string,
) (string, error) {
	return "", errorsmod.Wrap(meshtypes.ErrChannelInitiator, "this is the consumer's side")
}

// OnChanOpenAck takes the channel into use, if the pairing has not got one meanwhile.
func (m *IBCModule) OnChanOpenAck(ctx sdk.Context, portID, channelID, _, counterpartyVersion string) error {
	if counterpartyVersion != meshtypes.Version {
		return errorsmod.Wrapf(meshtypes.ErrChannelVersion, "got %q, want %q", counterpartyVersion, meshtypes.Version)
	}
	end, err := m.k.StoredChannel(ctx, portID, channelID)
	if err != nil {
		return err
	}
	p, err := m.k.CheckChannel(ctx, end)
	if err != nil {
		return err
	}
	return m.k.OpenChannel(ctx, p, channelID)
}

// OnChanOpenConfirm is a step of the other side.
func (m *IBCModule) OnChanOpenConfirm(sdk.Context, string, string) error {
	return errorsmod.Wrap(meshtypes.ErrChannelInitiator, "this is the consumer's side")
}

// OnChanCloseInit refuses: users cannot close the channel.
func (m *IBCModule) OnChanCloseInit(sdk.Context, string, string) error {
	return meshtypes.ErrChannelClose
}

// OnChanCloseConfirm follows the other side, which has given the channel up.
func (m *IBCModule) OnChanCloseConfirm(ctx sdk.Context, _, channelID string) error {
	return m.k.DropChannel(ctx, channelID)
}

// OnRecvPacket applies a StakeUpdate.
func (m *IBCModule) OnRecvPacket(
	ctx sdk.Context, _ string, packet channeltypes.Packet, _ sdk.AccAddress,
) exported.Acknowledgement {
	providerID, err := m.k.ProviderOfChannel(ctx, packet.GetDestChannel())
	if err != nil {
		return channeltypes.NewErrorAcknowledgement(err)
	}
	result, err := m.k.ReceiveUpdate(ctx, providerID, packet.GetData())
	if err != nil {
		m.k.Logger(ctx).Info("packet refused", "provider", providerID, "error", err)
		return channeltypes.NewErrorAcknowledgement(err)
	}
	return channeltypes.NewResultAcknowledgement(result)
}

// OnAcknowledgementPacket takes the answer to a ConsumerReport. One over a retired channel says nothing any more.
func (m *IBCModule) OnAcknowledgementPacket(
	ctx sdk.Context, _ string, packet channeltypes.Packet, acknowledgement []byte, _ sdk.AccAddress,
) error {
	providerID, err := m.k.ProviderOfChannel(ctx, packet.GetSourceChannel())
	if err != nil {
		return ignoreUnknown(err)
	}
	result, failed, err := meshtypes.ParseAck(acknowledgement)
	return m.k.AcknowledgeReport(ctx, providerID, packet.GetData(), result, failed || err != nil)
}

// OnTimeoutPacket takes the timeout of a ConsumerReport.
func (m *IBCModule) OnTimeoutPacket(ctx sdk.Context, _ string, packet channeltypes.Packet, _ sdk.AccAddress) error {
	providerID, err := m.k.ProviderOfChannel(ctx, packet.GetSourceChannel())
	if err != nil {
		return ignoreUnknown(err)
	}
	return m.k.TimeoutReport(ctx, providerID, packet.GetData())
}

func ignoreUnknown(err error) error {
	if errorsmod.IsOf(err, meshtypes.ErrChannelUnknown) {
		return nil
	}
	return err
}

// SetICS4Wrapper implements porttypes.IBCModule: packets go through the top of the stack.
func (m *IBCModule) SetICS4Wrapper(wrapper porttypes.ICS4Wrapper) { m.k.SetPacketSender(wrapper) }
