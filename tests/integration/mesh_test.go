package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mesh-security/mesh/internal/meshtest"
)

// bothWays sets up both directions over one link.
func bothWays(t *testing.T, n *meshtest.Network, a, b string, ratio string) (ab, ba *meshtest.Pairing) {
	t.Helper()
	link := n.Connect(n.Chain(a), n.Chain(b))
	ab, ba = n.NewPairing(link, n.Chain(a), n.Chain(b)), n.NewPairing(link, n.Chain(b), n.Chain(a))
	for _, p := range []*meshtest.Pairing{ab, ba} {
		p.ProviderConfig.MaxPowerRatio = meshtest.Dec(ratio)
		p.SetUp()
	}
	return ab, ba
}

func TestBothDirectionsAtOnce(t *testing.T) {
	n := network(t, "osmo", "axel")
	ab, ba := bothWays(t, n, "osmo", "axel", "0.3")
	ab.SetPrice(meshtest.Dec("0.5"))
	ba.SetPrice(meshtest.Dec("2"))
	for _, name := range []string{"alice", "bob"} {
		ab.Provider.Account(name).Queue(ab.MsgCrossStake(name, val(ab, 0), 40*one))
		ba.Provider.Account(name).Queue(ba.MsgCrossStake(name, val(ba, 1), 20*one))
	}
	settle(n, ab, ba)
	requireInt(t, 36*one, ab.Virtual(val(ab, 0)))
	requireInt(t, 72*one, ba.Virtual(val(ba, 1)))

	// Virtual stake backs nothing: nobody can restake what was only lent.
	require.EqualValues(t, 0, ba.Provider.Held("alice").Int64())
	n.Relayer.Shuffle, n.Relayer.Policy = true, n.Unreliable(20, 30, 10, false)
	for range 40 {
		actRandomly(n, ab, "alice", "bob", "carol", "dave")
		actRandomly(n, ba, "alice", "bob", "carol", "dave")
		n.Step()
	}
	n.Relayer.Policy = meshtest.Perfect
	ab.WaitConverged(30 * time.Minute)
	ba.WaitConverged(30 * time.Minute)
	settle(n, ab, ba)
}

func TestConsumerOfTwoProvidersAndProviderOfOne(t *testing.T) {
	n := network(t, "hub", "east", "west")
	hub := n.Chain("hub")
	eastHub, hubEast := bothWays(t, n, "east", "hub", "0.15")
	westHub := n.NewPairing(n.Connect(n.Chain("west"), hub), n.Chain("west"), hub)
	westHub.ProviderConfig.MaxPowerRatio = meshtest.Dec("0.15")
	westHub.SetUp()
	all := []*meshtest.Pairing{eastHub, hubEast, westHub}

	eastHub.CrossStake("alice", val(eastHub, 0), 50*one)
	westHub.CrossStake("alice", val(westHub, 0), 30*one)
	westHub.CrossStake("bob", val(westHub, 2), 20*one)
	hubEast.CrossStake("alice", val(hubEast, 3), 60*one)
	settle(n, all...)
	requireInt(t, 45*one, eastHub.Virtual(val(eastHub, 0)))
	requireInt(t, 27*one, westHub.Virtual(val(westHub, 0)))
	requireInt(t, 54*one, hubEast.Virtual(val(hubEast, 3)))
	require.EqualValues(t, 160+45+27, hub.Power(hub.Validators[0]), "secured by the sum of its allies' stake")

	// One ally falls silent: only its part leaves.
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if westHub.IsStakeUpdate(tr) {
			return meshtest.Hold
		}
		return meshtest.Deliver
	}
	n.Advance(meshtest.Silence + time.Minute)
	require.True(t, westHub.TotalVirtual().IsZero())
	requireInt(t, 45*one, eastHub.TotalVirtual())
	n.Relayer.Policy = meshtest.Perfect
	n.Until("it is back", 10*time.Minute, func() bool { return westHub.TotalVirtual().Equal(amount(45 * one)) })

	// Random actions on all of them, over a bad network, with a restart of the hub in between.
	n.Relayer.Shuffle, n.Relayer.Policy = true, n.Unreliable(20, 30, 10, false)
	for i := range 40 {
		for _, p := range all {
			actRandomly(n, p, "alice", "bob", "carol", "dave")
		}
		n.Step()
		if i == 20 {
			hub.Restart()
		}
	}
	n.Relayer.Policy = meshtest.Perfect
	for _, p := range all {
		p.WaitConverged(30 * time.Minute)
	}
	settle(n, all...)
	for _, p := range all {
		require.NotEmpty(t, p.Stored())
	}
}

func TestAHubWithTwoProvidersRemovesOne(t *testing.T) {
	n := network(t, "hub", "east", "west")
	hub := n.Chain("hub")
	var pairings []*meshtest.Pairing
	for _, name := range []string{"east", "west"} {
		p := n.NewPairing(n.Connect(n.Chain(name), hub), n.Chain(name), hub)
		p.ProviderConfig.MaxPowerRatio = meshtest.Dec("0.15")
		p.SetUp()
		p.CrossStake("alice", val(p, 0), 50*one)
		pairings = append(pairings, p)
	}
	settle(n, pairings...)
	east, west := pairings[0], pairings[1]
	east.RemoveProvider()
	n.Advance(3 * epoch)
	require.True(t, east.TotalVirtual().IsZero())
	requireInt(t, 45*one, west.TotalVirtual())
	start := n.Now()
	east.CrossUnstake("alice", val(east, 0), 50*one)
	n.Until("free", 2*u+round, func() bool { return len(east.Batches()) == 0 })
	require.Less(t, n.Now().Sub(start), u+round, "not registered counts as executed")
}
