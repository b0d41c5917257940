package testutil

import (
	"context"
	"errors"
	"time"

	sdk "github.com/cosmos/cosmos-sdk/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	clientv2types "github.com/cosmos/ibc-go/v11/modules/core/02-client/v2/types"
	connectiontypes "github.com/cosmos/ibc-go/v11/modules/core/03-connection/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	channeltypesv2 "github.com/cosmos/ibc-go/v11/modules/core/04-channel/v2/types"
	"github.com/cosmos/ibc-go/v11/modules/core/api"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// Client is an IBC client as the fakes know it.
type Client struct {
	State  *ibctm.ClientState
	Status exported.Status
}

// Packet is a packet that the module sent.
type Packet struct {
	Channel string
	Timeout time.Time
	Data    []byte
}

// Update decodes the packet.
func (p Packet) Update() meshtypes.StakeUpdate {
	u, err := meshtypes.UnmarshalStakeUpdate(p.Data)
	if err != nil {
		panic(err)
	}
	return u
}

// IBC stands for IBC's keepers. It is not part of the chain's state: failed transactions do not take it back.
type IBC struct {
	Clients     map[string]*Client
	Connections map[string]string // connection id to client id
	Channels    map[string]channeltypes.Channel
	Sent        []Packet
	// SendError makes sending fail.
	SendError error
	// Closed lists channels closed by the module.
	Closed []string
	// Counterparties are IBC v2's, by client.
	Counterparties map[string]clientv2types.CounterpartyInfo
	// SentV2 are the packets sent over IBC v2.
	SentV2 []*channeltypesv2.MsgSendPacket
	// V2 is the module that packets over IBC v2 are routed to.
	V2 api.IBCModule
	// Module is the light client module, over a store of the fixture's chain. Only clients that were initialised in it are
	// known to it.
	Module exported.LightClientModule
}

var (
	_ types.ClientKeeper     = (*IBC)(nil)
	_ types.ConnectionKeeper = (*IBC)(nil)
	_ types.ChannelKeeper    = (*IBC)(nil)

	_ meshtypes.ClientKeeperV2 = (*IBC)(nil)
	_ meshtypes.PacketSenderV2 = SenderV2{}
)

// NewIBC returns an IBC without clients.
func NewIBC() *IBC {
	return &IBC{
		Clients: map[string]*Client{}, Connections: map[string]string{}, Channels: map[string]channeltypes.Channel{},
		Counterparties: map[string]clientv2types.CounterpartyInfo{},
	}
}

// AddClient adds a client that tracks a chain, and a connection of the same name with "connection-" before it.
func (i *IBC) AddClient(clientID, chainID string, unbonding time.Duration) {
	i.Clients[clientID] = &Client{
		State:  &ibctm.ClientState{ChainId: chainID, UnbondingPeriod: unbonding, LatestHeight: clienttypes.NewHeight(clienttypes.ParseChainID(chainID), 1_000_000)},
		Status: exported.Active,
	}
	i.Connections["connection-"+clientID] = clientID
}

// GetClientState implements types.ClientKeeper.
func (i *IBC) GetClientState(_ sdk.Context, clientID string) (exported.ClientState, bool) {
	c, found := i.Clients[clientID]
	if !found {
		return nil, false
	}
	return c.State, true
}

// GetClientStatus implements types.ClientKeeper.
func (i *IBC) GetClientStatus(_ sdk.Context, clientID string) exported.Status {
	if c, found := i.Clients[clientID]; found {
		return c.Status
	}
	return exported.Unknown
}

// GetClientLatestHeight implements types.ClientKeeper.
func (i *IBC) GetClientLatestHeight(_ sdk.Context, clientID string) clienttypes.Height {
	if c, found := i.Clients[clientID]; found {
		return c.State.LatestHeight
	}
	return clienttypes.ZeroHeight()
}

// Route implements types.ClientKeeper.
func (i *IBC) Route(sdk.Context, string) (exported.LightClientModule, error) { return i.Module, nil }

// GetConnection implements types.ConnectionKeeper.
func (i *IBC) GetConnection(_ sdk.Context, connectionID string) (connectiontypes.ConnectionEnd, bool) {
	clientID, found := i.Connections[connectionID]
	return connectiontypes.ConnectionEnd{ClientId: clientID, State: connectiontypes.OPEN}, found
}

// GetChannel implements types.ChannelKeeper.
func (i *IBC) GetChannel(_ sdk.Context, _, channelID string) (channeltypes.Channel, bool) {
	c, found := i.Channels[channelID]
	return c, found
}

// ChanCloseInit implements types.ChannelKeeper.
func (i *IBC) ChanCloseInit(ctx sdk.Context, portID, channelID string) error {
	c, found := i.GetChannel(ctx, portID, channelID)
	if !found {
		return channeltypes.ErrChannelNotFound
	}
	if i.GetClientStatus(ctx, i.Connections[c.ConnectionHops[0]]) != exported.Active {
		return clienttypes.ErrClientNotActive
	}
	c.State = channeltypes.CLOSED
	i.Channels[channelID] = c
	i.Closed = append(i.Closed, channelID)
	return nil
}

// SendPacket implements types.ChannelKeeper.
func (i *IBC) SendPacket(ctx sdk.Context, _, channel string, _ clienttypes.Height, timeout uint64, data []byte) (uint64, error) {
	if i.SendError != nil {
		return 0, i.SendError
	}
	c, found := i.Channels[channel]
	if !found || c.State != channeltypes.OPEN {
		return 0, errors.New("channel is not open")
	}
	if i.GetClientStatus(ctx, i.Connections[c.ConnectionHops[0]]) != exported.Active {
		return 0, clienttypes.ErrClientNotActive
	}
	i.Sent = append(i.Sent, Packet{channel, time.Unix(0, int64(timeout)).UTC(), data})
	return uint64(len(i.Sent)), nil
}

// AddCounterparty registers a client's counterparty as relayers of Cosmos chains do.
func (i *IBC) AddCounterparty(clientID, counterparty string) {
	i.Counterparties[clientID] = clientv2types.NewCounterpartyInfo([][]byte{[]byte(exported.StoreKey), {}}, counterparty)
}

// GetClientCounterparty implements meshtypes.ClientKeeperV2.
func (i *IBC) GetClientCounterparty(_ sdk.Context, clientID string) (clientv2types.CounterpartyInfo, bool) {
	info, found := i.Counterparties[clientID]
	return info, found
}

// SenderV2 stands for IBC v2's channel keeper.
type SenderV2 struct{ *IBC }

// SendPacket implements meshtypes.PacketSenderV2: as IBC v2 does it asks the module of the port, and refuses what is out of
// its bounds.
func (s SenderV2) SendPacket(goCtx context.Context, msg *channeltypesv2.MsgSendPacket) (*channeltypesv2.MsgSendPacketResponse, error) {
	ctx := sdk.UnwrapSDKContext(goCtx)
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	at := time.Unix(int64(msg.TimeoutTimestamp), 0)
	if !at.After(ctx.BlockTime()) || at.After(ctx.BlockTime().Add(channeltypesv2.MaxTimeoutDelta)) {
		return nil, channeltypesv2.ErrInvalidTimeout
	}
	if s.GetClientStatus(ctx, msg.SourceClient) != exported.Active {
		return nil, clienttypes.ErrClientNotActive
	}
	if s.SendError != nil {
		return nil, s.SendError
	}
	sequence := uint64(len(s.SentV2) + 1)
	signer := sdk.MustAccAddressFromBech32(msg.Signer)
	if err := s.V2.OnSendPacket(ctx, msg.SourceClient, s.Counterparties[msg.SourceClient].ClientId, sequence, msg.Payloads[0], signer); err != nil {
		return nil, err
	}
	s.SentV2 = append(s.SentV2, msg)
	return &channeltypesv2.MsgSendPacketResponse{Sequence: sequence}, nil
}

// TakeV2 returns the packets sent over IBC v2 since the last call.
func (i *IBC) TakeV2() []*channeltypesv2.MsgSendPacket {
	sent := i.SentV2
	i.SentV2 = nil
	return sent
}

// Take returns the packets sent since the last call.
func (i *IBC) Take() []Packet {
	sent := i.Sent
	i.Sent = nil
	return sent
}
