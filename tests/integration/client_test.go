package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	"github.com/mesh-security/mesh/internal/meshtest"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// expire lets both clients of a pairing expire.
func expire(n *meshtest.Network, p *meshtest.Pairing) {
	n.Helper()
	n.Relayer.Stopped = true
	link := p.Link()
	n.Until("clients expire", 2*u, func() bool {
		return link.A.ClientStatus() == exported.Expired && link.B.ClientStatus() == exported.Expired
	})
	n.Advance(3 * epoch)
}

// recoverClients replaces both clients' state with that of new ones, by governance.
func recoverClients(t *testing.T, n *meshtest.Network, p *meshtest.Pairing) {
	t.Helper()
	n.Relayer.Stopped = false
	fresh := n.Connect(p.Provider, p.Consumer)
	for _, c := range []*meshtest.Chain{p.Provider, p.Consumer} {
		c.MustGov(clienttypes.NewMsgRecoverClient(c.Authority(), p.Link().On(c).Client, fresh.On(c).Client))
	}
	n.Step()
	require.Equal(t, exported.Active, p.Link().A.ClientStatus())
	require.Equal(t, exported.Active, p.Link().B.ClientStatus())
}

func TestClientExpiredAndRecovered(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	expire(n, p)
	require.True(t, p.TotalVirtual().IsZero())
	require.Equal(t, providertypes.CONSUMER_STATUS_PAUSED, consumerStatus(p))
	require.Equal(t, []providertypes.PauseReason{providertypes.PAUSE_REASON_CLIENT}, p.ConsumerRecord().Consumer.PauseReasons)
	require.ErrorIs(t, p.TryCrossStake("alice", val(p, 1), one), providertypes.ErrConsumerPaused)
	p.CrossUnstake("alice", val(p, 0), 10*one) // leaving always works

	recoverClients(t, n, p)
	p.WaitConverged(time.Hour)
	settle(n, p)
	require.Equal(t, providertypes.CONSUMER_STATUS_ACTIVE, consumerStatus(p))
	requireInt(t, 27*one, p.TotalVirtual())
	p.CrossStake("alice", val(p, 1), one)
	settle(n, p)
}

func TestFrozenClientPausesTheConsumer(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	freeze(t, p.Link().On(p.Provider))
	n.Advance(3 * epoch)
	require.Equal(t, exported.Frozen, p.Link().On(p.Provider).ClientStatus())
	require.Equal(t, providertypes.CONSUMER_STATUS_PAUSED, consumerStatus(p))
	require.ErrorIs(t, p.TryCrossStake("alice", val(p, 1), one), providertypes.ErrConsumerPaused)
	start := n.Now()
	p.CrossUnstake("alice", val(p, 0), 40*one)
	n.AdvanceIn(2*u+time.Minute, 15*time.Second)
	require.Empty(t, p.Batches(), "free after 2U at the latest, with a frozen client")
	require.True(t, p.TotalVirtual().IsZero())
	_ = start
}

func TestACLientThatExpiresOnOneSideOnly(t *testing.T) {
	// The provider's client of the consumer is frozen: acknowledgements and reports stop, updates go on.
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	freeze(t, p.Link().On(p.Consumer))
	p.CrossStake("bob", val(p, 1), 40*one)
	n.Advance(meshtest.Silence + 2*time.Minute)
	require.True(t, p.TotalVirtual().IsZero(), "the consumer hears nothing")
	p.CrossUnstake("alice", val(p, 0), 40*one)
	n.AdvanceIn(2*u+time.Minute, 15*time.Second)
	require.Empty(t, p.Batches())
}
