package integration_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	channeltypesv2 "github.com/cosmos/ibc-go/v11/modules/core/04-channel/v2/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

func TestNobodyCanCloseAChannel(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	for c, end := range map[*meshtest.Chain][2]string{
		p.Provider: {meshtypes.PortProvider, p.ProviderChannel},
		p.Consumer: {meshtypes.PortConsumer, p.ConsumerChannel},
	} {
		for _, name := range []string{"alice", "val0", meshtest.RelayerName} {
			a := c.Account(name)
			tx := a.Try(channeltypes.NewMsgChannelCloseInit(end[0], end[1], a.String()))
			require.ErrorIs(t, tx.Err(), meshtypes.ErrChannelClose, "%s on %s", name, c.Name)
		}
		require.Equal(t, channeltypes.OPEN, p.Channel(c).State)
	}
	settle(n, p)
	requireInt(t, 36*one, p.TotalVirtual())
}

func TestNobodyCanOpenASecondChannel(t *testing.T) {
	n, p := pair(t)
	first := p.ConsumerChannel
	err := p.OpenChannel()
	require.ErrorIs(t, err, meshtypes.ErrChannelExists)
	require.Equal(t, first, p.ConsumerChannel)
	require.Equal(t, first, p.ProviderRecord().ChannelId)
	_ = n
}

func TestTwoHandshakesAtOnceLeaveOneChannel(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	p.Register()
	first, second := p.Link().On(cons).Channel(), p.Link().On(cons).Channel()
	require.NoError(t, first.EndpointA.ChanOpenInit())
	require.NoError(t, second.EndpointA.ChanOpenInit(), "nothing is open yet")
	require.NoError(t, first.EndpointB.ChanOpenTry())
	require.NoError(t, second.EndpointB.ChanOpenTry())
	require.NoError(t, second.EndpointA.ChanOpenAck())
	require.ErrorIs(t, first.EndpointA.ChanOpenAck(), meshtypes.ErrChannelExists)
	require.NoError(t, second.EndpointB.ChanOpenConfirm())
	p.ConsumerChannel, p.ProviderChannel = second.EndpointA.ChannelID, second.EndpointB.ChannelID
	p.WaitReady()
	require.Equal(t, second.EndpointB.ChannelID, p.ConsumerRecord().Pairing.ChannelId)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
}

func TestHandshakeRules(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	link := n.Connect(prov, cons)
	p := n.NewPairing(link, prov, cons)
	p.Register()
	stranger := n.Connect(prov, cons) // clients that nobody registered

	relayer := cons.Account(meshtest.RelayerName)
	init := func(port, version string, order channeltypes.Order, connection, counterparty string) *channeltypes.MsgChannelOpenInit {
		return channeltypes.NewMsgChannelOpenInit(port, version, order, []string{connection}, counterparty, relayer.String())
	}
	own := link.On(cons).Connection
	for _, tc := range []struct {
		name string
		msg  sdk.Msg
		want error
	}{
		{"ordered", init(meshtypes.PortConsumer, meshtypes.Version, channeltypes.ORDERED, own, meshtypes.PortProvider), meshtypes.ErrChannelOrder},
		{"other version", init(meshtypes.PortConsumer, "mesh-2", channeltypes.UNORDERED, own, meshtypes.PortProvider), meshtypes.ErrChannelVersion},
		{"transfer's version", init(meshtypes.PortConsumer, "ics20-1", channeltypes.UNORDERED, own, meshtypes.PortProvider), meshtypes.ErrChannelVersion},
		{"counterparty is transfer", init(meshtypes.PortConsumer, meshtypes.Version, channeltypes.UNORDERED, own, "transfer"), meshtypes.ErrChannelPort},
		{"counterparty is a consumer", init(meshtypes.PortConsumer, meshtypes.Version, channeltypes.UNORDERED, own, meshtypes.PortConsumer), meshtypes.ErrChannelPort},
		{"provider opens", init(meshtypes.PortProvider, meshtypes.Version, channeltypes.UNORDERED, own, meshtypes.PortConsumer), meshtypes.ErrChannelInitiator},
	} {
		require.ErrorIs(t, relayer.Try(tc.msg).Err(), tc.want, tc.name)
	}
	unregistered := relayer.Try(init(meshtypes.PortConsumer, meshtypes.Version, channeltypes.UNORDERED, stranger.On(cons).Connection, meshtypes.PortProvider))
	require.Error(t, unregistered.Err(), "a client that is not registered")

	// What the consumer would accept the provider refuses on its own: the consumer side of a registered pairing, the
	// provider side not registered.
	q := n.NewPairing(stranger, prov, cons)
	q.ProviderConfig.ChainId = prov.ChainID
	require.Error(t, cons.Gov(q.MsgAddProvider()), "a chain id may be registered once")
	require.NoError(t, p.OpenChannel())
	p.WaitReady()
}

func TestProviderRefusesAChannelFromAClientItHasNotRegistered(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	cons.MustGov(p.MsgAddProvider())
	n.Step()
	err := p.OpenChannel()
	require.ErrorContains(t, err, "channel open try")
	prov.MustGov(p.MsgAddConsumer())
	n.Step()
	require.NoError(t, p.OpenChannel(), "the attempt before is no obstacle")
	p.WaitReady()
}

func TestNobodyCanSendFromOurPorts(t *testing.T) {
	n, p := pair(t)
	for c, end := range map[*meshtest.Chain][2]string{
		p.Provider: {meshtypes.PortProvider, p.ProviderChannel},
		p.Consumer: {meshtypes.PortConsumer, p.ConsumerChannel},
	} {
		a := c.Account("alice")
		client := p.Link().On(c).Client
		// IBC v1 has no message for it; IBC v2 has one for anybody and any port.
		counterparty := meshtypes.PortConsumer
		if c == p.Consumer {
			counterparty = meshtypes.PortProvider
		}
		payload := channeltypesv2.NewPayload(end[0], counterparty, meshtypes.Version, "application/x-protobuf", []byte{1})
		for _, source := range []string{client, end[1]} {
			msg := channeltypesv2.NewMsgSendPacket(source, uint64(n.Now().Unix()+60), a.String(), payload)
			require.Error(t, a.Try(msg).Err(), "%s over %s", c.Name, source)
		}
	}
}

func TestPacketsOfAStrangersChannelAreRefused(t *testing.T) {
	// A channel that a hostile chain claims: our side never took part in a handshake for it.
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	n.Relayer.Policy = meshtest.HoldAll
	p.RetireOnConsumer()
	n.Steps(2)
	rec := p.ConsumerRecord()
	sendUpdate(t, p, meshtypes.StakeUpdate{
		Session: rec.Pairing.Session, Seq: rec.Pairing.LastSeq + 100, UnbondingPeriod: uint64(u),
		SyncedAt: uint64(p.Provider.LastBlock().Time.UnixNano()),
		Stakes:   []meshtypes.Stake{{Validator: val(p, 0).ValAddress(), Amount: amount(90 * one)}},
	})
	n.Relayer.Policy = meshtest.Perfect
	n.Steps(10)
	requireInt(t, 40*one, stakeRecord(t, p, val(p, 0)).Amount)
}

func TestRetiredChannelIsReplacedAndStateGoesOn(t *testing.T) {
	for name, retire := range map[string]func(*meshtest.Pairing){
		"both sides":              func(p *meshtest.Pairing) { p.RetireOnProvider(); p.RetireOnConsumer() },
		"provider, then consumer": func(p *meshtest.Pairing) { p.RetireOnProvider(); stepBetween(p); p.RetireOnConsumer() },
		"consumer, then provider": func(p *meshtest.Pairing) { p.RetireOnConsumer(); stepBetween(p); p.RetireOnProvider() },
	} {
		t.Run(name, func(t *testing.T) {
			n, p := pair(t)
			p.CrossStake("alice", val(p, 0), 40*one)
			settle(n, p)
			before := session(p)

			// With a listing in flight, and a change that was never sent.
			n.Relayer.Policy = meshtest.HoldAll
			p.CrossStake("alice", val(p, 0), 10*one)
			n.Advance(2 * epoch)
			p.CrossStake("alice", val(p, 1), 10*one)
			retire(p)
			n.Steps(2)
			require.Empty(t, p.ConsumerRecord().Pairing.ChannelId)
			require.Empty(t, p.ProviderRecord().ChannelId)
			n.Relayer.Policy = meshtest.Perfect
			n.Steps(4)
			requireInt(t, 40*one, stakeRecord(t, p, val(p, 0)).Amount, "packets of a retired channel are refused")

			require.NoError(t, p.OpenChannel())
			settle(n, p)
			stored := p.Stored()
			require.Equal(t, p.Totals(), stored)
			require.Equal(t, []string{"50000000", "10000000"}, []string{stored["val0"], stored["val1"]})
			require.Equal(t, before, session(p), "a new channel takes over the session's state")
			p.CrossUnstake("alice", val(p, 0), 50*one)
			n.Until("free", u+round, func() bool { return len(p.Batches()) == 0 })
		})
	}
}

// stepBetween gives the other side some blocks in which it still uses its channel. A provider that has retired its end
// takes no stake meanwhile.
func stepBetween(p *meshtest.Pairing) {
	for range 5 {
		_ = p.TryCrossStake("bob", val(p, 2), 1000)
	}
}

func TestRetiringAChannelWhileTheClientIsExpired(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	expire(n, p)
	p.RetireOnProvider() // the IBC close is impossible now; the module's state must not depend on it
	p.RetireOnConsumer()
	n.Steps(2)
	require.Empty(t, p.ConsumerRecord().Pairing.ChannelId)
	require.Empty(t, p.ProviderRecord().ChannelId)
	recoverClients(t, n, p)
	require.NoError(t, p.OpenChannel())
	p.WaitConverged(2 * round)
	settle(n, p)
	requireInt(t, 36*one, p.TotalVirtual())
}

func TestNoStakeIsTakenWithoutAChannel(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	p.Register()
	require.Equal(t, providertypes.CONSUMER_STATUS_REGISTERED, consumerStatus(p))
	require.ErrorIs(t, p.TryCrossStake("alice", val(p, 0), one), providertypes.ErrConsumerNotActive)
}

func TestTimeoutsOfAHeightNeverHappen(t *testing.T) {
	// Packets time out by time alone: block numbers of another chain mean nothing.
	n, p := pair(t)
	n.Relayer.Policy = meshtest.HoldAll
	p.CrossStake("alice", val(p, 0), 40*one)
	n.Advance(2 * epoch)
	for _, tr := range n.Relayer.InFlight() {
		if tr.IsAck() {
			continue
		}
		require.Equal(t, clienttypes.ZeroHeight(), tr.Packet.TimeoutHeight)
		require.Equal(t, uint64(tr.Time.Add(meshtest.PacketTimeout).UnixNano()), tr.Packet.TimeoutTimestamp)
	}
}
