package types

import (
	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	connectiontypes "github.com/cosmos/ibc-go/v11/modules/core/03-connection/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
)

// ConnectionKeeper is what the handshake reads of IBC's connections.
type ConnectionKeeper interface {
	GetConnection(ctx sdk.Context, connectionID string) (connectiontypes.ConnectionEnd, bool)
}

// ChannelEnd is one end of a channel as a handshake step presents it.
type ChannelEnd struct {
	Order            channeltypes.Order
	ConnectionHops   []string
	Port             string
	CounterpartyPort string
	Version          string
}

// Check returns the client id of the channel's connection if the end keeps the rules of protocol.md: unordered, the
// version spoken here, the right ports on both ends, one hop over a known connection. That the client is a registered
// one, and that the pairing has no open channel, is for the caller to check.
func (e ChannelEnd) Check(ctx sdk.Context, ck ConnectionKeeper, own Side) (clientID string, err error) {
	port, counterpartyPort := PortProvider, PortConsumer
	if own == SideConsumer {
		port, counterpartyPort = counterpartyPort, port
	}
	if e.Order != channeltypes.UNORDERED {
		return "", errorsmod.Wrapf(ErrChannelOrder, "got %s", e.Order)
	}
	if e.Version != Version {
		return "", errorsmod.Wrapf(ErrChannelVersion, "got %q, want %q", e.Version, Version)
	}
	if e.Port != port {
		return "", errorsmod.Wrapf(ErrChannelPort, "own port is %q, want %q", e.Port, port)
	}
	if e.CounterpartyPort != counterpartyPort {
		return "", errorsmod.Wrapf(ErrChannelPort, "counterparty port is %q, want %q", e.CounterpartyPort, counterpartyPort)
	}
	if len(e.ConnectionHops) != 1 {
		return "", errorsmod.Wrapf(ErrChannelHops, "got %d", len(e.ConnectionHops))
	}
	conn, ok := ck.GetConnection(ctx, e.ConnectionHops[0])
	if !ok {
		return "", errorsmod.Wrap(ErrConnection, e.ConnectionHops[0])
	}
	return conn.ClientId, nil
}
