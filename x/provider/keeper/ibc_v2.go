package keeper

import (
	"context"

	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// A consumer whose configuration names the counterparty of its client is reached over IBC v2. There is no handshake, so
// that configuration takes the place of a channel: it is in use from when governance sets it until it takes it away.

// ConnectIBCV2 gives the keeper IBC v2's keepers, if the chain has it.
// CONTRACT: both or neither is nil.
func (k *Keeper) ConnectIBCV2(clients meshtypes.ClientKeeperV2, sender meshtypes.PacketSenderV2) {
	k.clientsV2, k.senderV2 = clients, sender
}

// CheckClient checks that packets between a client of ours and the other chain's client for us are a consumer's. Error:
// ErrTransport if they are nobody's, or the consumer's go over a channel.
func (k *Keeper) CheckClient(ctx context.Context, clientID, counterparty string) error {
	consumer, found, err := getOr(ctx, k.Consumers, clientID)
	if err != nil {
		return err
	}
	if !found || !consumer.IsLive() || !consumer.Config.UsesV2() || consumer.Config.CounterpartyClient != counterparty {
		return errorsmod.Wrapf(meshtypes.ErrTransport, "over IBC v2, %s to %s", clientID, counterparty)
	}
	return nil
}

// checkCounterparty checks a configuration's counterparty, if it has one, against IBC's. Errors: those of
// CheckCounterparty.
func (k *Keeper) checkCounterparty(ctx sdk.Context, cfg types.ConsumerConfig) error {
	if !cfg.UsesV2() {
		return nil
	}
	return meshtypes.CheckCounterparty(ctx, k.clientsV2, cfg.ClientId, cfg.CounterpartyClient)
}

// checkTransport checks a change of the way a consumer's packets take. One that has a channel keeps it until it is retired.
// Errors: those of CheckCounterparty, ErrChannelExists.
func (k *Keeper) checkTransport(ctx sdk.Context, p types.Pairing, old, cfg types.ConsumerConfig) error {
	if old.CounterpartyClient == cfg.CounterpartyClient {
		return nil
	}
	if p.ChannelId != "" {
		return errorsmod.Wrapf(meshtypes.ErrChannelExists, "%s: retire it first", p.ChannelId)
	}
	return k.checkCounterparty(ctx, cfg)
}

// changeTransport makes a consumer's packets go the way its new configuration says, which is stored already. What is in
// flight the old way counts as lost.
func (k *Keeper) changeTransport(ctx context.Context, old, cfg types.ConsumerConfig) error {
	if old.CounterpartyClient == cfg.CounterpartyClient {
		return nil
	}
	if old.UsesV2() {
		if err := k.lost(ctx, cfg.ClientId, cfg.ClientId); err != nil {
			return err
		}
	}
	if !cfg.UsesV2() {
		return nil
	}
	return k.opened(ctx, cfg.ClientId, cfg.ClientId)
}

// retireClient gives up a consumer's way over IBC v2: its configuration names no counterparty any more.
func (k *Keeper) retireClient(ctx context.Context, consumer types.Consumer) error {
	old := consumer.Config
	consumer.Config.CounterpartyClient = ""
	if err := k.Consumers.Set(ctx, old.ClientId, consumer); err != nil {
		return err
	}
	k.emit(ctx, &types.EventConsumerUpdated{ConsumerId: old.ClientId, Config: consumer.Config})
	return k.changeTransport(ctx, old, consumer.Config)
}

// isOpen says whether packets can be sent to a consumer: over its channel, or over IBC v2.
func (k *Keeper) isOpen(ctx context.Context, clientID string, p types.Pairing) (bool, error) {
	if p.ChannelId != "" {
		return true, nil
	}
	consumer, err := k.Consumers.Get(ctx, clientID)
	return consumer.Config.UsesV2(), err
}
