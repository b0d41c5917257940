package keeper

import (
	"context"
	"errors"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// CheckChannel returns the provider of a channel that is being opened: unordered, of our version, between the right
// ports, over a connection whose client is that of a registered provider that has no open channel.
func (k *Keeper) CheckChannel(ctx sdk.Context, end meshtypes.ChannelEnd) (types.Provider, error) {
	if k.connections == nil {
		return types.Provider{}, types.ErrNotConnected
	}
	clientID, err := end.Check(ctx, k.connections, meshtypes.SideConsumer)
	if err != nil {
		return types.Provider{}, err
	}
	p, err := k.liveProvider(ctx, clientID)
	if err != nil {
		return types.Provider{}, err
	}
	if p.Config.UsesV2() {
		return types.Provider{}, errorsmod.Wrapf(meshtypes.ErrTransport, "over IBC v2, to %s", p.Config.CounterpartyClient)
	}
	if p.ChannelId != "" {
		return types.Provider{}, errorsmod.Wrap(meshtypes.ErrChannelExists, p.ChannelId)
	}
	return p, nil
}

// StoredChannel returns a channel as IBC has it, for the check of a later step of its handshake.
func (k *Keeper) StoredChannel(ctx sdk.Context, portID, channelID string) (meshtypes.ChannelEnd, error) {
	if k.channels == nil {
		return meshtypes.ChannelEnd{}, types.ErrNotConnected
	}
	channel, ok := k.channels.GetChannel(ctx, portID, channelID)
	if !ok {
		return meshtypes.ChannelEnd{}, errorsmod.Wrap(meshtypes.ErrChannelUnknown, channelID)
	}
	return meshtypes.ChannelEnd{
		Order: channel.Ordering, ConnectionHops: channel.ConnectionHops, Port: portID,
		CounterpartyPort: channel.Counterparty.PortId, Version: channel.Version,
	}, nil
}

// OpenChannel takes a channel into use.
func (k *Keeper) OpenChannel(ctx sdk.Context, p types.Provider, channelID string) error {
	p.ChannelId = channelID
	p = k.opened(ctx, p, channelID)
	if err := k.setProvider(ctx, p); err != nil {
		return err
	}
	return k.Channels.Set(ctx, channelID, p.Config.ProviderId)
}

// ProviderOfChannel returns the provider whose open channel it is, or ErrChannelUnknown: also for a retired one.
func (k *Keeper) ProviderOfChannel(ctx context.Context, channelID string) (string, error) {
	providerID, err := k.Channels.Get(ctx, channelID)
	if errors.Is(err, collections.ErrNotFound) {
		return "", errorsmod.Wrap(meshtypes.ErrChannelUnknown, channelID)
	}
	return providerID, err
}

// RetireChannel gives up a provider's channel: its reports in flight count as not sent, its packets are refused, and a
// new channel may be opened, which takes over the session's state. It is closed if that is possible. Of a provider that is
// reached over IBC v2, also a removed one, it gives up that. Error: ErrNoChannel if there is neither.
func (k *Keeper) RetireChannel(ctx sdk.Context, providerID string) error {
	p, err := k.GetProvider(ctx, providerID)
	if err != nil {
		return err
	}
	if p.Config.UsesV2() {
		return k.retireClient(ctx, p)
	}
	if p.ChannelId == "" {
		return errorsmod.Wrap(types.ErrNoChannel, providerID)
	}
	channelID := p.ChannelId
	if err := k.DropChannel(ctx, channelID); err != nil {
		return err
	}
	if k.channels != nil {
		_, err := isolated(ctx, changeGas, func(ctx sdk.Context) error {
			return k.channels.ChanCloseInit(ctx, types.ModuleName, channelID)
		})
		if err != nil {
			k.Logger(ctx).Info("retired channel stays open in IBC", "channel", channelID, "error", err)
		}
	}
	return nil
}

// DropChannel forgets a channel that was retired, or closed by the other side. One that is not in use is none of ours.
func (k *Keeper) DropChannel(ctx sdk.Context, channelID string) error {
	providerID, err := k.ProviderOfChannel(ctx, channelID)
	if errors.Is(err, meshtypes.ErrChannelUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := k.GetProvider(ctx, providerID)
	if err != nil {
		return err
	}
	if err := k.unsend(ctx, providerID); err != nil {
		return err
	}
	p.ChannelId, p.ReportInFlight = "", 0
	if err := k.setProvider(ctx, p); err != nil {
		return err
	}
	k.emit(ctx, &types.EventChannelRetired{ProviderId: providerID, ChannelId: channelID})
	return k.Channels.Remove(ctx, channelID)
}
