package keeper

import (
	"context"
	"errors"
	"time"

	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// A provider whose configuration names the counterparty of its client is reached over IBC v2. There is no handshake, so
// that configuration takes the place of a channel: it is in use from when governance sets it until it takes it away.

// ConnectIBCV2 connects the keeper to IBC v2, if the chain has it.
// CONTRACT: both or neither is nil.
func (k *Keeper) ConnectIBCV2(clients meshtypes.ClientKeeperV2, sender meshtypes.PacketSenderV2) {
	k.clientsV2, k.senderV2 = clients, sender
}

// CheckClient checks that packets between a client of ours and the other chain's client for us are a provider's, which may
// be removed: it is still answered. Error: ErrTransport if they are nobody's, or the provider's go over a channel.
func (k *Keeper) CheckClient(ctx context.Context, clientID, counterparty string) error {
	p, err := k.GetProvider(ctx, clientID)
	if err != nil && !errors.Is(err, types.ErrProviderNotFound) {
		return err
	}
	if err != nil || !p.Config.UsesV2() || p.Config.CounterpartyClient != counterparty {
		return errorsmod.Wrapf(meshtypes.ErrTransport, "over IBC v2, %s to %s", clientID, counterparty)
	}
	return nil
}

// checkTransport checks the way that a configuration chooses for packets. A provider that has a channel keeps it until it
// is retired. Errors: those of CheckCounterparty, ErrChannelExists.
func (k *Keeper) checkTransport(ctx sdk.Context, channelID string, config types.ProviderConfig) error {
	if !config.UsesV2() {
		return nil
	}
	if channelID != "" {
		return errorsmod.Wrapf(meshtypes.ErrChannelExists, "%s: retire it first", channelID)
	}
	return meshtypes.CheckCounterparty(ctx, k.clientsV2, config.ProviderId, config.CounterpartyClient)
}

// changeTransport makes a provider's packets go the way its configuration says, which was old. What is in flight the old
// way counts as not sent. It returns the provider, which is still to be stored.
func (k *Keeper) changeTransport(ctx sdk.Context, p types.Provider, old types.ProviderConfig) (types.Provider, error) {
	if old.CounterpartyClient == p.Config.CounterpartyClient {
		return p, nil
	}
	id := p.Config.ProviderId
	if old.UsesV2() {
		if err := k.unsend(ctx, id); err != nil {
			return p, err
		}
		p.ReportInFlight = 0
		k.emit(ctx, &types.EventChannelRetired{ProviderId: id, ChannelId: id})
	}
	if p.Config.UsesV2() {
		p = k.opened(ctx, p, id)
	}
	return p, nil
}

// retireClient gives up a provider's way over IBC v2: its configuration names no counterparty any more.
func (k *Keeper) retireClient(ctx sdk.Context, p types.Provider) error {
	old := p.Config
	p.Config.CounterpartyClient = ""
	k.emit(ctx, &types.EventProviderUpdated{ProviderId: old.ProviderId})
	p, err := k.changeTransport(ctx, p, old)
	if err != nil {
		return err
	}
	return k.setProvider(ctx, p)
}

// opened notes that packets can be sent to a provider, over a channel or a client. It returns the provider, which is still
// to be stored.
func (k *Keeper) opened(ctx sdk.Context, p types.Provider, channelID string) types.Provider {
	p.Retries, p.RetryAt = 0, time.Time{}
	if p.Status == types.PROVIDER_STATUS_REGISTERED {
		p.Status = types.PROVIDER_STATUS_ACTIVE
	}
	k.emit(ctx, &types.EventChannelOpened{ProviderId: p.Config.ProviderId, ChannelId: channelID})
	return p
}

// send hands a packet to IBC, over the provider's channel or over IBC v2.
func (k *Keeper) send(ctx sdk.Context, params types.Params, p types.Provider, bz []byte) error {
	if p.Config.UsesV2() {
		if k.senderV2 == nil {
			return types.ErrNotConnected
		}
		return meshtypes.SendV2(ctx, k.senderV2, meshtypes.SideConsumer, p.Config.ProviderId, params.PacketTimeout, bz)
	}
	return k.sendV1(ctx, params, p.ChannelId, bz)
}
