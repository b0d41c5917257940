package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	clientv2types "github.com/cosmos/ibc-go/v11/modules/core/02-client/v2/types"
	channeltypesv2 "github.com/cosmos/ibc-go/v11/modules/core/04-channel/v2/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// pairV2 is pair over IBC v2: two clients and nothing else between the chains.
func pairV2(t *testing.T) (*meshtest.Network, *meshtest.Pairing) {
	t.Helper()
	n := network(t, "prov", "cons")
	return n, n.PairV2(n.Chain("prov"), n.Chain("cons"))
}

// onlyV2 requires that nothing of the pairing's that is in flight is a packet of IBC v1.
func onlyV2(t *testing.T, n *meshtest.Network) {
	t.Helper()
	for _, tr := range n.Relayer.InFlight() {
		require.False(t, tr.V2 == nil && tr.Packet.SourcePort != "", "%s", tr)
	}
}

func TestStakeOverIBCV2(t *testing.T) {
	n, p := pairV2(t)
	require.Empty(t, p.ConsumerRecord().Pairing.ChannelId)
	require.Empty(t, p.ProviderRecord().ChannelId)
	require.Equal(t, providertypes.CONSUMER_STATUS_ACTIVE, consumerStatus(p))
	require.Equal(t, consumertypes.PROVIDER_STATUS_ACTIVE, providerStatus(p))

	p.CrossStake("alice", val(p, 0), 40*one)
	n.Advance(2 * epoch)
	onlyV2(t, n)
	settle(n, p)
	requireInt(t, 36*one, p.TotalVirtual())
	require.Equal(t, map[string]string{"val0": "40000000"}, p.Stored())

	p.CrossUnstake("alice", val(p, 0), 40*one)
	start := n.Now()
	n.Until("free", 2*u+round, func() bool { return len(p.Batches()) == 0 })
	require.Less(t, n.Now().Sub(start), u+2*round, "the execution was reported")
	require.True(t, p.TotalVirtual().IsZero())
}

func TestIBCV2OverABadNetwork(t *testing.T) {
	n, p := pairV2(t)
	n.Relayer.Shuffle, n.Relayer.Policy = true, n.Unreliable(20, 30, 10, false)
	for range 60 {
		actRandomly(n, p, "alice", "bob", "carol", "dave")
		n.Step()
	}
	n.Relayer.Policy = meshtest.Perfect
	p.WaitConverged(30 * time.Minute)
	settle(n, p)
	require.Equal(t, p.Totals(), p.Stored())
}

func TestIBCV2TimeoutsAreSentAgain(t *testing.T) {
	n, p := pairV2(t)
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if p.IsStakeUpdate(tr) && !tr.IsAck() {
			return meshtest.Drop
		}
		return meshtest.Deliver
	}
	p.CrossStake("alice", val(p, 0), 40*one)
	n.Advance(meshtest.PacketTimeout + 2*epoch)
	require.Positive(t, n.Relayer.TimedOut)
	require.Empty(t, p.Stored())
	n.Relayer.Policy = meshtest.Perfect
	p.WaitConverged(time.Hour)
	require.Equal(t, map[string]string{"val0": "40000000"}, p.Stored())
}

// TestOnePairingOverEachVersion: a chain receives from two providers, one over a channel, one over IBC v2, and one link
// carries a direction over each.
func TestOnePairingOverEachVersion(t *testing.T) {
	n := network(t, "hub", "east", "west")
	hub, east, west := n.Chain("hub"), n.Chain("east"), n.Chain("west")
	link := n.Connect(east, hub)
	link.RegisterCounterparties()
	eastHub, hubEast := n.NewPairing(link, east, hub), n.NewPairing(link, hub, east)
	westHub := n.NewPairing(n.ConnectV2(west, hub), west, hub)
	hubEast.UseV2()
	westHub.UseV2()
	all := []*meshtest.Pairing{eastHub, hubEast, westHub}
	for _, p := range all {
		p.ProviderConfig.MaxPowerRatio = meshtest.Dec("0.15")
		p.SetUp()
	}
	require.NotEmpty(t, eastHub.ConsumerRecord().Pairing.ChannelId)
	require.Empty(t, hubEast.ConsumerRecord().Pairing.ChannelId)
	require.Empty(t, westHub.ConsumerRecord().Pairing.ChannelId)

	versions := map[bool]int{}
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		require.Equal(t, !eastHub.IsStakeUpdate(tr) && !eastHub.IsReport(tr), tr.V2 != nil, "%s", tr)
		versions[tr.V2 != nil]++
		return meshtest.Deliver
	}
	eastHub.CrossStake("alice", val(eastHub, 0), 50*one)
	westHub.CrossStake("alice", val(westHub, 0), 30*one)
	hubEast.CrossStake("alice", val(hubEast, 3), 60*one)
	settle(n, all...)
	requireInt(t, 45*one, eastHub.Virtual(val(eastHub, 0)))
	requireInt(t, 27*one, westHub.Virtual(val(westHub, 0)))
	requireInt(t, 54*one, hubEast.Virtual(val(hubEast, 3)))
	require.Positive(t, versions[false])
	require.Positive(t, versions[true])

	// A pairing over IBC v2 takes no channel, although its client has a connection.
	require.ErrorIs(t, hubEast.OpenChannel(), meshtypes.ErrTransport)
}

// TestNobodyElseSendsFromOurPortsOverIBCV2: IBC v2 has a message by which anybody sends from any port.
func TestNobodyElseSendsFromOurPortsOverIBCV2(t *testing.T) {
	n, p := pairV2(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	for _, side := range []meshtypes.Side{meshtypes.SideProvider, meshtypes.SideConsumer} {
		c := p.Provider
		if side == meshtypes.SideConsumer {
			c = p.Consumer
		}
		end := p.Link().On(c).Path().EndpointA
		var data []byte
		if side == meshtypes.SideProvider {
			data = marshal(t, &meshtypes.StakeUpdate{
				Session: session(p), Seq: p.ConsumerRecord().Pairing.LastSeq + 100, UnbondingPeriod: uint64(u),
				SyncedAt: uint64(c.LastBlock().Time.UnixNano()),
				Stakes:   []meshtypes.Stake{{Validator: val(p, 0).ValAddress(), Amount: amount(90 * one)}},
			})
		} else {
			data = marshal(t, &meshtypes.ConsumerReport{Session: session(p), Seq: 900, FirstIndex: 1})
		}
		timeout := uint64(n.Now().Add(time.Hour).Unix())
		for _, name := range []string{"alice", "val0", meshtest.RelayerName} {
			a := c.Account(name)
			msg := channeltypesv2.NewMsgSendPacket(end.ClientID, timeout, a.String(), meshtypes.NewPayload(side, data))
			require.ErrorIs(t, a.Try(msg).Err(), meshtypes.ErrSigner, "%s on %s", name, c.Name)
			// Nor by naming the module as the signer without its signature.
			forged := channeltypesv2.NewMsgSendPacket(end.ClientID, timeout, side.Address().String(), meshtypes.NewPayload(side, data))
			require.Error(t, a.Try(forged).Err(), "%s on %s", name, c.Name)
		}
		// With the endpoint of the testing package.
		_, err := end.MsgSendPacket(timeout, meshtypes.NewPayload(side, data))
		require.ErrorContains(t, err, meshtypes.ErrSigner.Error())
		// The authority of the module cannot either.
		require.Error(t, c.Gov(channeltypesv2.NewMsgSendPacket(end.ClientID, timeout, c.Authority(), meshtypes.NewPayload(side, data))))
		// From a port of others to ours: what sends from there is nobody's update.
		from := channeltypesv2.NewPayload(transfertypes.PortID, side.Peer().Port(), meshtypes.Version, meshtypes.EncodingProtobuf, data)
		require.Error(t, c.Account("alice").Try(channeltypesv2.NewMsgSendPacket(end.ClientID, timeout, c.Account("alice").String(), from)).Err())
	}
	n.Advance(2 * epoch)
	requireInt(t, 40*one, stakeRecord(t, p, val(p, 0)).Amount)
	requireInt(t, 36*one, p.TotalVirtual())
}

// TestHostileChainOverIBCV2: everything that a hostile provider may send over a channel it may send here; the answers are
// IBC v2's error, or a success that leaves amounts alone.
func TestHostileChainOverIBCV2(t *testing.T) {
	n, p := pairV2(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	n.Relayer.Policy = meshtest.HoldAll
	cases := hostileUpdates(t, p)
	require.NotEmpty(t, cases)
	for _, tc := range cases {
		if len(tc.data) == 0 || len(tc.data) > 256<<10 {
			continue // IBC v2 itself refuses to send it
		}
		p.Provider.SendRawV2(meshtypes.SideProvider, p.ConsumerID, tc.data)
		n.Steps(2)
		var sent *meshtest.Transit
		for _, tr := range n.Relayer.InFlight() {
			if tr.V2 != nil && !tr.IsAck() && string(tr.Packet.Data) == string(tc.data) {
				sent = tr
			}
		}
		require.NotNil(t, sent, tc.name)
		ack, before, after, err := n.Relayer.Receive(sent)
		require.NoError(t, err, tc.name)
		var answer channeltypesv2.Acknowledgement
		require.NoError(t, answer.Unmarshal(ack))
		if !tc.accepted {
			require.False(t, answer.Success(), tc.name)
			require.Equal(t, before, after, tc.name)
		}
	}
}

// TestChangingTheVersion: governance moves a pairing from a channel to IBC v2 and back; state and session go on.
func TestChangingTheVersion(t *testing.T) {
	n, p := pair(t)
	p.Link().RegisterCounterparties()
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	before := session(p)
	counterparties := func(onProvider, onConsumer string) {
		p.UpdateConsumer(func(c *consumerConfig) { c.CounterpartyClient = onProvider })
		p.UpdateProvider(func(c *providerConfig) { c.CounterpartyClient = onConsumer })
	}

	// Not while there is a channel.
	p.ConsumerConfig.CounterpartyClient = p.ProviderID
	require.ErrorIs(t, p.Provider.Gov(&providertypes.MsgUpdateConsumer{Authority: p.Provider.Authority(), Config: p.ConsumerConfig}), meshtypes.ErrChannelExists)
	p.ProviderConfig.CounterpartyClient = p.ConsumerID
	require.ErrorIs(t, p.Consumer.Gov(&consumertypes.MsgUpdateProvider{Authority: p.Consumer.Authority(), Config: p.ProviderConfig}), meshtypes.ErrChannelExists)

	// With a listing in flight and one that was never sent.
	n.Relayer.Policy = meshtest.HoldAll
	p.CrossStake("alice", val(p, 0), 10*one)
	n.Advance(2 * epoch)
	p.CrossStake("alice", val(p, 1), 10*one)
	p.RetireOnProvider()
	p.RetireOnConsumer()
	counterparties(p.ProviderID, p.ConsumerID)
	n.Relayer.Policy = meshtest.Perfect
	settle(n, p)
	require.Equal(t, before, session(p))
	require.Equal(t, map[string]string{"val0": "50000000", "val1": "10000000"}, p.Stored())
	require.Equal(t, providertypes.CONSUMER_STATUS_ACTIVE, consumerStatus(p))

	// Back again, with packets of both directions in flight: they are refused, and their answers do not count.
	n.Relayer.Policy = meshtest.HoldAll
	p.CrossStake("bob", val(p, 2), 5*one)
	n.Advance(2 * epoch)
	counterparties("", "")
	n.Step()
	require.Equal(t, providertypes.CONSUMER_STATUS_REGISTERED, consumerStatus(p))
	require.ErrorIs(t, p.TryCrossStake("bob", val(p, 2), one), providertypes.ErrConsumerNotActive)
	n.Relayer.Policy = meshtest.Perfect
	n.Advance(3 * epoch)
	require.NotContains(t, p.Stored(), "val2")
	require.NoError(t, p.OpenChannel())
	settle(n, p)
	require.Equal(t, before, session(p))
	require.Equal(t, map[string]string{"val0": "50000000", "val1": "10000000", "val2": "5000000"}, p.Stored())
}

// TestSidesChooseIBCV2LongAfterOneAnother: what the first side sends meanwhile fails, at ever longer intervals; but the other
// side's first packet makes everything due at once.
func TestSidesChooseIBCV2LongAfterOneAnother(t *testing.T) {
	for _, first := range []string{"prov", "cons"} {
		t.Run(first, func(t *testing.T) {
			n := network(t, "prov", "cons")
			p := n.NewPairing(n.ConnectV2(n.Chain("prov"), n.Chain("cons")), n.Chain("prov"), n.Chain("cons"))
			p.UseV2()
			provider := func() { p.Provider.MustGov(p.MsgAddConsumer()) }
			consumer := func() { p.Consumer.MustGov(p.MsgAddProvider()); p.SetPrice(p.Price) }
			refused := 0
			n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
				if tr.IsAck() && !tr.AckV2().Success() {
					refused++
				}
				return meshtest.Deliver
			}
			if first == "prov" {
				provider()
				n.Advance(2 * u)
				consumer()
			} else {
				consumer()
				n.Advance(2 * u)
				provider()
			}
			n.Step()
			require.Positive(t, refused)
			n.Until("both sides know each other", 5*epoch, p.Ready)
			p.CrossStake("alice", val(p, 0), 40*one)
			settle(n, p)
			requireInt(t, 36*one, p.TotalVirtual())
		})
	}
}

// TestCounterpartyMustBeRegistered: governance cannot choose IBC v2 with a client whose counterparty is another, is not
// registered, or is proved from another part of the chain's state.
func TestCounterpartyMustBeRegistered(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	p.UseV2()
	require.ErrorIs(t, prov.Gov(p.MsgAddConsumer()), meshtypes.ErrCounterparty)
	require.ErrorIs(t, cons.Gov(p.MsgAddProvider()), meshtypes.ErrCounterparty)

	// Whoever created the clients registers keys of a contract's store.
	for _, c := range []*meshtest.Chain{prov, cons} {
		end := p.Link().On(c)
		relayer := c.Account(meshtest.RelayerName)
		relayer.Send(clientv2types.NewMsgRegisterCounterparty(
			end.Client, [][]byte{[]byte("wasm"), []byte("\x03contract")}, end.Other().Client, relayer.String(),
		))
	}
	require.ErrorIs(t, prov.Gov(p.MsgAddConsumer()), meshtypes.ErrMerklePrefix)
	require.ErrorIs(t, cons.Gov(p.MsgAddProvider()), meshtypes.ErrMerklePrefix)

	// Nor may rewards go over them, whichever way the packets go.
	v1 := n.NewPairing(p.Link(), prov, cons)
	v1.SetUp()
	v1.ConsumerConfig.RewardChannel, v1.ConsumerConfig.RewardSender = v1.ConsumerID, "cosmos1sender"
	v1.ConsumerConfig.RewardDenoms = []string{cons.Denom}
	require.ErrorIs(t, prov.Gov(&providertypes.MsgUpdateConsumer{Authority: prov.Authority(), Config: v1.ConsumerConfig}), meshtypes.ErrMerklePrefix)
	v1.ProviderConfig.RewardChannel, v1.ProviderConfig.RewardReceiver = v1.ProviderID, "cosmos1receiver"
	require.ErrorIs(t, cons.Gov(&consumertypes.MsgUpdateProvider{Authority: cons.Authority(), Config: v1.ProviderConfig}), meshtypes.ErrMerklePrefix)
	v1.RemoveProvider()
	v1.RemoveConsumer()
	n.Until("removed", 2*u+round, func() bool { return consumerStatus(v1) == providertypes.CONSUMER_STATUS_REMOVED })

	q := n.NewPairing(n.ConnectV2(prov, cons), prov, cons)
	q.UseV2()
	q.ConsumerConfig.CounterpartyClient, q.ProviderConfig.CounterpartyClient = p.ProviderID, p.ConsumerID
	require.ErrorIs(t, prov.Gov(q.MsgAddConsumer()), meshtypes.ErrCounterparty)
	require.ErrorIs(t, cons.Gov(q.MsgAddProvider()), meshtypes.ErrCounterparty)
	q.UseV2()
	q.SetUp()
}

// TestIBCV2WithoutClient: with a frozen client nothing can be sent; when it is back everything is.
func TestIBCV2WithoutClient(t *testing.T) {
	n, p := pairV2(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	expire(n, p)
	p.CrossUnstake("alice", val(p, 0), 10*one)
	n.Advance(3 * epoch)
	recoverClients(t, n, p)
	p.WaitConverged(time.Hour)
	settle(n, p)
	require.Equal(t, map[string]string{"val0": "30000000"}, p.Stored())
	require.Equal(t, providertypes.CONSUMER_STATUS_ACTIVE, consumerStatus(p))
}

// TestPairingOverIBCV2IsRemovedAndAddedAgain: both ways of removing it, with a new half of the session each.
func TestPairingOverIBCV2IsRemovedAndAddedAgain(t *testing.T) {
	n, p := pairV2(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	before := session(p)
	p.RemoveProvider()
	n.Advance(3 * epoch)
	require.True(t, p.TotalVirtual().IsZero())
	p.Consumer.MustGov(p.MsgAddProvider())
	p.SetPrice(p.Price)
	n.Step()
	p.WaitReady()
	settle(n, p)
	require.Greater(t, session(p).Consumer, before.Consumer)
	requireInt(t, 36*one, p.TotalVirtual())

	p.RemoveConsumer()
	n.Until("removed", 2*u+round, func() bool { return consumerStatus(p) == providertypes.CONSUMER_STATUS_REMOVED })
	require.True(t, p.TotalVirtual().IsZero())
	p.Provider.MustGov(p.MsgAddConsumer())
	n.Step()
	p.WaitReady()
	require.Greater(t, session(p).Provider, before.Provider)
	p.CrossStake("alice", val(p, 0), 20*one)
	settle(n, p)
	requireInt(t, 18*one, p.TotalVirtual())
}

// TestExportAndImportOverIBCV2: both chains restart from their exports with packets in flight.
func TestExportAndImportOverIBCV2(t *testing.T) {
	n, p := pairV2(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	n.Relayer.Policy = meshtest.HoldAll
	p.CrossStake("alice", val(p, 0), 10*one)
	n.Advance(2 * epoch)
	p.CrossUnstake("alice", val(p, 0), 5*one)
	require.NotEmpty(t, n.Relayer.InFlight())
	p.Provider.Restart()
	p.Consumer.Restart()
	require.Equal(t, p.ProviderID, p.ConsumerRecord().Consumer.Config.CounterpartyClient)
	require.Equal(t, p.ConsumerID, p.ProviderRecord().Config.CounterpartyClient)
	n.Relayer.Policy = meshtest.Perfect
	p.WaitConverged(30 * time.Minute)
	settle(n, p)
	require.Equal(t, map[string]string{"val0": "45000000"}, p.Stored())
	n.Until("free", 2*u+round, func() bool { return len(p.Batches()) == 0 })
}

// TestByHandWithTheEndpointsOfTheTestingPackage: a packet and its answer through the endpoints of ibctesting.
func TestByHandWithTheEndpointsOfTheTestingPackage(t *testing.T) {
	n, p := pairV2(t)
	n.Relayer.Policy = meshtest.HoldAll
	p.CrossStake("alice", val(p, 0), 40*one)
	n.Advance(2 * epoch)
	var update *meshtest.Transit
	for _, tr := range n.Relayer.InFlight() {
		if p.IsStakeUpdate(tr) && !tr.IsAck() && len(tr.StakeUpdate().Stakes) > 0 {
			update = tr
		}
	}
	require.NotNil(t, update)
	path := p.Link().On(p.Provider).Path()
	require.NoError(t, path.EndpointB.UpdateClient())
	ack, err := path.EndpointB.MsgRecvPacketWithAck(*update.V2)
	require.NoError(t, err)
	require.True(t, ack.Success())
	answer, err := meshtypes.UnmarshalStakeUpdateAck(ack.AppAcknowledgements[0])
	require.NoError(t, err)
	require.Equal(t, []meshtypes.StakeCode{meshtypes.STAKE_CODE_STORED}, answer.Codes)
	require.NoError(t, path.EndpointA.MsgAcknowledgePacket(*update.V2, ack))
	n.Relayer.Policy = meshtest.Perfect
	p.WaitConverged(round)
	require.Equal(t, map[string]string{"val0": "40000000"}, p.Stored())
}

// TestRewardsOverTransferV2: rewards go home by transfers over IBC v2, reach delegators, and come back once if they fail.
func TestRewardsOverTransferV2(t *testing.T) {
	n, p := pairV2(t)
	denom := transfertypes.NewDenom(p.Consumer.Denom, transfertypes.NewHop(transfertypes.PortID, p.ConsumerID)).IBCDenom()
	receiver := providertypes.RewardAccount(p.ConsumerID)
	p.UpdateConsumer(func(c *consumerConfig) {
		c.RewardChannel, c.RewardDenoms = p.ConsumerID, []string{p.Consumer.Denom}
		c.RewardSender = consumertypes.RewardAccount(p.ProviderID).String()
	})
	p.UpdateProvider(func(c *providerConfig) {
		c.RewardChannel, c.RewardReceiver, c.RewardRatio = p.ProviderID, receiver.String(), meshtest.Dec("0.7")
	})
	p.CrossStake("alice", val(p, 0), 10*one)
	settle(n, p)
	r := &homePair{&rewardPair{Pairing: p, t: t, net: n, channel: p.ProviderID, denom: denom}, receiver}

	// Dropped at first: refunded, and sent again.
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if isRewards(tr) && !tr.IsAck() {
			require.NotNil(t, tr.V2)
			return meshtest.Drop
		}
		return meshtest.Deliver
	}
	n.Advance(meshtest.PacketTimeout + 10*epoch)
	require.Positive(t, n.Relayer.TimedOut)
	b := r.book()
	require.Equal(t, r.earned().String(), b.Collected.String())
	require.Equal(t, b.InFlight.Add(b.Delivered).String(), r.escrowed().String())
	n.Relayer.Policy = meshtest.Perfect
	delivered := b.Delivered
	n.Until("rewards arrive", time.Hour, func() bool { return r.book().Delivered.GT(delivered) && r.book().Failures == 0 })
	require.Equal(t, r.earned().String(), r.book().Collected.String())

	// What arrives counts for the pool, and the delegator withdraws it.
	r.requireBooks()
	r.withdraw("alice", "")
	require.True(t, r.vouchers("alice").IsPositive())
	require.False(t, r.vouchers("alice").GT(r.home().Book.Received))

	// And home again, over the same client.
	n.Advance(3 * epoch)
	bob := p.Consumer.Account("bob")
	before := p.Consumer.Balance(bob)
	r.withdraw("alice", bob.String())
	n.Until("paid out on the consumer", round, func() bool { return p.Consumer.Balance(bob).GT(before) })

	// In the end everything earned has arrived, once.
	p.RemoveProvider()
	n.Advance(4 * epoch)
	n.Until("all has arrived", round, func() bool { return r.book().InFlight.IsZero() && r.book().Pending.IsZero() })
	require.Equal(t, r.earned().String(), r.book().Collected.String())
	r.requireBooks()
	require.Equal(t, r.earned().String(), r.book().Delivered.String())
	require.Equal(t, r.earned().String(), r.home().Book.Received.String())
	require.True(t, r.home().Book.Community.IsZero())
}

// TestModuleAddressesAreNobodys: what signs packets over IBC v2 is derived from the module's name.
func TestModuleAddressesAreNobodys(t *testing.T) {
	require.Equal(t, authtypes.NewModuleAddress("meshprovider"), meshtypes.SideProvider.Address())
	require.Equal(t, authtypes.NewModuleAddress("meshconsumer"), meshtypes.SideConsumer.Address())
	require.NotEqual(t, meshtypes.SideProvider.Address(), meshtypes.SideConsumer.Address())
}
