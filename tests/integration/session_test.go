package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// reopen opens a channel again if one of the sides has none, after giving up the other's.
func reopen(t *testing.T, n *meshtest.Network, p *meshtest.Pairing) {
	t.Helper()
	prov, cons := p.ConsumerRecord().Pairing.ChannelId, p.ProviderRecord().ChannelId
	if prov != "" && cons != "" {
		return
	}
	if prov != "" {
		p.RetireOnProvider()
	}
	if cons != "" {
		p.RetireOnConsumer()
	}
	n.Steps(2)
	require.NoError(t, p.OpenChannel())
}

func TestConsumerRemovesAndAddsThePairingAgain(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	p.CrossStake("bob", val(p, 1), 20*one)
	settle(n, p)
	before := session(p)

	p.RemoveProvider()
	n.Advance(3 * epoch)
	require.Equal(t, consumertypes.PROVIDER_STATUS_REMOVED, providerStatus(p))
	require.True(t, p.TotalVirtual().IsZero(), "all virtual stake leaves at the next epoch")
	p.CrossUnstake("bob", val(p, 1), 5*one)
	n.Advance(round)

	p.Consumer.MustGov(p.MsgAddProvider())
	p.SetPrice(p.Price)
	n.Step()
	reopen(t, n, p)
	p.WaitReady()
	settle(n, p)
	require.Greater(t, session(p).Consumer, before.Consumer)
	require.Equal(t, before.Provider, session(p).Provider)
	require.Equal(t, map[string]string{"val0": "40000000", "val1": "15000000"}, p.Stored(), "without anybody acting")
	requireInt(t, 495*one/10, p.TotalVirtual())
	n.Until("bob's part is free", 2*u+round, func() bool { return len(p.Batches()) == 0 })
}

func TestProviderRemovesAndAddsThePairingAgain(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	p.CrossStake("bob", val(p, 1), 20*one)
	settle(n, p)
	before := session(p)

	p.RemoveConsumer()
	n.Step()
	require.Equal(t, providertypes.CONSUMER_STATUS_WINDING_DOWN, consumerStatus(p))
	require.Error(t, p.TryCrossStake("alice", val(p, 0), one))
	require.Error(t, p.Provider.Gov(p.MsgAddConsumer()), "not before it is removed")
	settle(n, p)
	require.True(t, p.TotalVirtual().IsZero())
	require.Len(t, p.Batches(), 2, "every pool has become a batch")
	n.Until("wound down", u+round, func() bool { return consumerStatus(p) == providertypes.CONSUMER_STATUS_REMOVED })
	require.Empty(t, p.Provider.ProviderState().Positions)

	p.Provider.MustGov(p.MsgAddConsumer())
	n.Step()
	reopen(t, n, p)
	p.WaitReady()
	require.Greater(t, session(p).Provider, before.Provider)
	require.Equal(t, before.Consumer, session(p).Consumer)
	p.CrossStake("alice", val(p, 2), 30*one)
	settle(n, p)
	require.Equal(t, map[string]string{"val2": "30000000"}, p.Stored())
	requireInt(t, 27*one, p.TotalVirtual())
}

func TestBothSidesRemoveAndAddThePairingAgain(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	before := session(p)
	p.RemoveConsumer()
	p.RemoveProvider()
	n.Until("wound down", 2*u+round, func() bool { return consumerStatus(p) == providertypes.CONSUMER_STATUS_REMOVED })
	require.True(t, p.TotalVirtual().IsZero())

	p.Provider.MustGov(p.MsgAddConsumer())
	p.Consumer.MustGov(p.MsgAddProvider())
	p.SetPrice(p.Price)
	n.Step()
	reopen(t, n, p)
	p.WaitReady()
	require.Greater(t, session(p).Provider, before.Provider)
	require.Greater(t, session(p).Consumer, before.Consumer)
	p.CrossStake("alice", val(p, 1), 30*one)
	settle(n, p)
	require.Equal(t, map[string]string{"val1": "30000000"}, p.Stored())
}

func TestPacketsOfAnOldSessionAreRefusedAfterReRegistration(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)

	// An update of the old session is in flight while the consumer registers the provider anew.
	n.Relayer.Policy = meshtest.HoldAll
	p.CrossStake("alice", val(p, 0), 50*one)
	n.Advance(epoch)
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if p.IsStakeUpdate(tr) {
			return meshtest.Hold
		}
		return meshtest.Deliver
	}
	p.RemoveProvider()
	n.Advance(2 * epoch)
	p.Consumer.MustGov(p.MsgAddProvider())
	p.SetPrice(p.Price)
	n.Step()
	require.Empty(t, p.Stored())
	n.Relayer.Policy = meshtest.Perfect
	reopen(t, n, p)
	p.WaitReady()
	settle(n, p)
	require.Equal(t, map[string]string{"val0": "90000000"}, p.Stored())
}

func TestWindingDownWhileNothingIsRelayed(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 90*one)
	settle(n, p)
	n.Relayer.Policy = meshtest.HoldAll
	p.RemoveConsumer()
	start := n.Now()
	n.Until("wound down", 2*u+round, func() bool { return consumerStatus(p) == providertypes.CONSUMER_STATUS_REMOVED })
	require.GreaterOrEqual(t, n.Now().Sub(start), 2*u)
	require.True(t, p.TotalVirtual().IsZero())
	active, unbonding := p.Lien("alice")
	require.True(t, active.IsZero() && unbonding.IsZero())
}

func TestRemovedProviderWithABacklogAnswersNotRegisteredOnlyWhenNothingIsLeft(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{}, meshtest.ChainConfig{Genesis: func(g *meshtest.Genesis) {
		g.ConsumerParams(func(params *consumerParams) { params.MaxEpochOperations = 1 })
	}})
	for i := range 4 {
		p.CrossStake("alice", val(p, i), 20*one)
	}
	settle(n, p)
	requireInt(t, 72*one, p.TotalVirtual())
	p.RemoveProvider()
	p.CrossUnstake("alice", val(p, 0), 20*one)
	n.Advance(time.Minute)
	require.True(t, p.TotalVirtual().IsZero())
	n.Until("executed counts from the answer", u+round, func() bool { return len(p.Batches()) == 0 })
}
