package meshtest

import (
	"time"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"

	abci "github.com/cometbft/cometbft/abci/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	commitmenttypes "github.com/cosmos/ibc-go/v11/modules/core/23-commitment/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"
	ibctesting "github.com/cosmos/ibc-go/v11/testing"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// Link is a connection between two chains, with a client on each.
type Link struct {
	A, B *End
	// NoKeepAlive lets the clients expire if nothing else updates them.
	NoKeepAlive bool
}

// End is one end of a link.
type End struct {
	Chain *Chain
	// Client tracks the other chain; Connection is over it.
	Client, Connection string
	// Trusting is the client's trusting period.
	Trusting time.Duration

	link *Link
}

// Other returns the other end.
func (e *End) Other() *End {
	if e.link.A == e {
		return e.link.B
	}
	return e.link.A
}

// Link returns the link that e is an end of.
func (e *End) Link() *Link { return e.link }

// On returns the link's end on a chain.
func (l *Link) On(c *Chain) *End {
	if l.A.Chain == c {
		return l.A
	}
	return l.B
}

// Connect creates clients and a connection between two chains. Each client has the other chain's unbonding period and
// trusts for two thirds of it.
func (n *Network) Connect(a, b *Chain) *Link {
	n.Helper()
	return n.ConnectFor(a, b, 0)
}

// ConnectFor is Connect with the clients' trusting period; 0 means two thirds of the unbonding period.
func (n *Network) ConnectFor(a, b *Chain, trusting time.Duration) *Link {
	n.Helper()
	path := ibctesting.NewPath(a.TestChain, b.TestChain).DisableUniqueChannelIDs()
	path.EndpointA.ClientConfig = b.clientConfig(trusting)
	path.EndpointB.ClientConfig = a.clientConfig(trusting)
	path.SetupConnections()
	return n.addLink(path, a, b, trusting)
}

// ConnectV2 creates clients on two chains and registers each as the other's counterparty: all that IBC v2 needs. There is
// no connection.
func (n *Network) ConnectV2(a, b *Chain) *Link {
	n.Helper()
	path := ibctesting.NewPath(a.TestChain, b.TestChain).DisableUniqueChannelIDs()
	path.EndpointA.ClientConfig, path.EndpointB.ClientConfig = b.clientConfig(0), a.clientConfig(0)
	path.SetupV2()
	return n.addLink(path, a, b, 0)
}

// RegisterCounterparties makes a link fit for IBC v2 as well.
func (l *Link) RegisterCounterparties() { l.A.path("", "").SetupCounterparties() }

// Path returns ibctesting's view of the link, with e as endpoint A.
func (e *End) Path() *ibctesting.Path { return e.path(meshtypes.PortConsumer, meshtypes.PortProvider) }

// addLink notes what a path connects.
func (n *Network) addLink(path *ibctesting.Path, a, b *Chain, trusting time.Duration) *Link {
	n.Helper()
	l := &Link{}
	l.A = &End{
		Chain: a, Client: path.EndpointA.ClientID, Connection: path.EndpointA.ConnectionID,
		Trusting: b.clientConfig(trusting).TrustingPeriod, link: l,
	}
	l.B = &End{
		Chain: b, Client: path.EndpointB.ClientID, Connection: path.EndpointB.ConnectionID,
		Trusting: a.clientConfig(trusting).TrustingPeriod, link: l,
	}
	n.links = append(n.links, l)
	return l
}

// clientConfig is the configuration of a client that tracks c.
func (c *Chain) clientConfig(trusting time.Duration) *ibctesting.TendermintConfig {
	c.Helper()
	unbonding, err := c.App.StakingKeeper.UnbondingTime(c.CommittedContext())
	require.NoError(c, err)
	if trusting == 0 {
		trusting = unbonding * 2 / 3
	}
	return &ibctesting.TendermintConfig{
		TrustLevel:      ibctm.DefaultTrustLevel,
		TrustingPeriod:  trusting,
		UnbondingPeriod: unbonding,
		MaxClockDrift:   time.Minute,
	}
}

// path returns ibctesting's view of the link, with e as endpoint A.
func (e *End) path(portA, portB string) *ibctesting.Path {
	p := ibctesting.NewPath(e.Chain.TestChain, e.Other().Chain.TestChain).DisableUniqueChannelIDs()
	p.EndpointA.ClientID, p.EndpointB.ClientID = e.Client, e.Other().Client
	p.EndpointA.ConnectionID, p.EndpointB.ConnectionID = e.Connection, e.Other().Connection
	p.EndpointA.ChannelConfig = &ibctesting.ChannelConfig{PortID: portA, Version: meshtypes.Version, Order: channeltypes.UNORDERED}
	p.EndpointB.ChannelConfig = &ibctesting.ChannelConfig{PortID: portB, Version: meshtypes.Version, Order: channeltypes.UNORDERED}
	return p
}

// Channel returns ibctesting's path for opening a mesh channel, with e as the initiating end: the consumer's port here,
// the provider's port there.
func (e *End) Channel() *ibctesting.Path {
	return e.path(meshtypes.PortConsumer, meshtypes.PortProvider)
}

// OpenTransfer opens an ICS-20 channel over the link and returns its ids at both ends.
func (l *Link) OpenTransfer() (channelA, channelB string) {
	p := l.A.path(transfertypes.PortID, transfertypes.PortID)
	for _, c := range []*ibctesting.ChannelConfig{p.EndpointA.ChannelConfig, p.EndpointB.ChannelConfig} {
		c.Version = transfertypes.V1
	}
	p.CreateChannels()
	return p.EndpointA.ChannelID, p.EndpointB.ChannelID
}

// end returns the end of a link that a connection of a chain is.
func (n *Network) end(c *Chain, connection string) *End {
	return n.findEnd(func(e *End) bool { return e.Chain == c && connection != "" && e.Connection == connection })
}

// endOfClient returns the end of a link whose client it is.
func (n *Network) endOfClient(c *Chain, client string) *End {
	return n.findEnd(func(e *End) bool { return e.Chain == c && e.Client == client })
}

func (n *Network) findEnd(is func(*End) bool) *End {
	for _, l := range n.links {
		for _, e := range []*End{l.A, l.B} {
			if is(e) {
				return e
			}
		}
	}
	return nil
}

// ClientStatus returns the status that the client has in the next block.
func (e *End) ClientStatus() exported.Status {
	ctx := e.Chain.CommittedContext().WithBlockTime(e.Chain.ProposedHeader.Time)
	return e.Chain.App.IBCKeeper.ClientKeeper.GetClientStatus(ctx, e.Client)
}

// ClientHeight returns the client's latest height.
func (e *End) ClientHeight() clienttypes.Height {
	e.Chain.Helper()
	h, ok := e.Chain.App.IBCKeeper.ClientKeeper.GetClientLatestHeight(e.Chain.CommittedContext(), e.Client), true
	require.True(e.Chain, ok && !h.IsZero(), "client %s has no height", e.Client)
	return h
}

// clientAge returns how old the client's newest header is.
func (e *End) clientAge() time.Duration {
	e.Chain.Helper()
	ctx := e.Chain.CommittedContext()
	state, ok := e.Chain.App.IBCKeeper.ClientKeeper.GetClientConsensusState(ctx, e.Client, e.ClientHeight())
	require.True(e.Chain, ok, "client %s has no consensus state", e.Client)
	tm, ok := state.(*ibctm.ConsensusState)
	require.True(e.Chain, ok)
	return e.Chain.ProposedHeader.Time.Sub(tm.Timestamp)
}

// MsgUpdateClient returns the message that brings the client to the other chain's newest header; nil if it is there.
func (e *End) MsgUpdateClient() sdk.Msg {
	e.Chain.Helper()
	source := e.Other().Chain
	trusted := e.ClientHeight()
	header := *source.LatestCommittedHeader // IBCClientHeader writes to what it gets
	if uint64(header.Header.Height) <= trusted.RevisionHeight {
		return nil
	}
	h, err := source.IBCClientHeader(&header, trusted)
	require.NoError(e.Chain, err)
	msg, err := clienttypes.NewMsgUpdateClient(e.Client, h, e.Chain.relayerAccount().String())
	require.NoError(e.Chain, err)
	return msg
}

// proven says whether the chain has a header over the state of a block.
func (e *End) proven(height int64) bool {
	return e.Chain.LatestCommittedHeader.Header.Height > max(height, e.Chain.firstHeight)
}

// proof returns a proof of an IBC key's value or absence here that the newest header verifies, and its height.
func (e *End) proof(key []byte) ([]byte, clienttypes.Height) {
	c := e.Chain
	c.Helper()
	height := c.LatestCommittedHeader.Header.Height
	res, err := c.TestChain.App.Query(c.CommittedContext(), &abci.RequestQuery{
		Path:   "store/" + exported.StoreKey + "/key",
		Height: height - 1,
		Data:   key,
		Prove:  true,
	})
	require.NoError(c, err)
	require.Zero(c, res.Code, res.Log)
	merkle, err := commitmenttypes.ConvertProofs(res.ProofOps)
	require.NoError(c, err)
	bz, err := c.Codec.Marshal(&merkle)
	require.NoError(c, err)
	return bz, clienttypes.NewHeight(clienttypes.ParseChainID(c.ChainID), uint64(height))
}

// channelState returns the state of the packet's channel at this end.
func (e *End) channelState(t *Transit) channeltypes.State {
	if t.V2 != nil {
		return channeltypes.OPEN // clients are not closed
	}
	port, channel := t.Packet.SourcePort, t.Packet.SourceChannel
	if t.sender() != e {
		port, channel = t.Packet.DestinationPort, t.Packet.DestinationChannel
	}
	ch, ok := e.Chain.App.IBCKeeper.ChannelKeeper.GetChannel(e.Chain.CommittedContext(), port, channel)
	if !ok {
		return channeltypes.UNINITIALIZED
	}
	return ch.State
}

// TransferChannel opens an ICS-20 channel.
func (e *End) TransferChannel() *ibctesting.Path {
	p := e.path(transfertypes.PortID, transfertypes.PortID)
	p.EndpointA.ChannelConfig.Version = transfertypes.V1
	p.EndpointB.ChannelConfig.Version = transfertypes.V1
	p.CreateChannels()
	return p
}
