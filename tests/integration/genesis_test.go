package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mesh-security/mesh/internal/meshtest"
)

func TestExportAndImportMidFlightOnBothSides(t *testing.T) {
	for name, restart := range map[string]func(*meshtest.Pairing){
		"provider": func(p *meshtest.Pairing) { p.Provider.Restart() },
		"consumer": func(p *meshtest.Pairing) { p.Consumer.Restart() },
		"both":     func(p *meshtest.Pairing) { p.Provider.Restart(); p.Consumer.Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			n, p := pairOf(t, meshtest.ChainConfig{}, meshtest.ChainConfig{Genesis: func(g *meshtest.Genesis) {
				g.ConsumerParams(func(params *consumerParams) { params.MaxEpochOperations = 1 })
			}})
			alice := p.Provider.Account("alice")
			p.CrossStake("alice", val(p, 0), 60*one)
			p.CrossStake("alice", val(p, 1), 40*one)
			p.CrossStake("bob", val(p, 2), 50*one)
			settle(n, p)

			// A closed batch, an open one, a held entry, two merged ones, a listing in flight, one waiting, a report in
			// flight, a plan half executed.
			p.CrossUnstake("alice", val(p, 0), 10*one)
			alice.Queue(p.Provider.MsgUndelegate("alice", nat(p, 0), 20*one))
			alice.Queue(p.Provider.MsgUndelegate("alice", nat(p, 0), 5*one))
			n.Advance(3 * epoch)
			p.Provider.Account("bob").Queue(p.MsgCrossUnstake("bob", val(p, 2), 7*one))
			alice.Queue(p.MsgCrossUnstake("alice", val(p, 1), 3*one))
			p.Provider.Account("carol").Queue(p.MsgCrossStake("carol", val(p, 3), 2*one))
			n.Until("a plan is half executed", round, func() bool { return len(p.Consumer.ConsumerState().Plan) > 0 })
			n.Relayer.Policy = meshtest.HoldAll
			p.CrossStake("carol", val(p, 3), 9*one)
			n.Advance(2 * epoch)
			p.CrossStake("carol", val(p, 0), 8*one)
			require.NotEmpty(t, p.Provider.ProviderState().Holds)
			require.NotEmpty(t, p.Provider.ProviderState().Outbox)
			require.NotEmpty(t, p.Batches())
			require.NotEmpty(t, n.Relayer.InFlight())

			restart(p)

			n.Relayer.Policy = meshtest.Perfect
			p.WaitConverged(30 * time.Minute)
			settle(n, p)
			require.Equal(t, p.Totals(), p.Stored())
			for _, v := range p.Consumer.Validators {
				requireWorth(t, p, v)
			}
			n.AdvanceIn(2*u+round, 15*time.Second)
			require.Empty(t, p.Batches())
			require.Empty(t, p.Provider.Unbondings("alice"))
			active, _ := p.Lien("alice")
			// 25 left natively. 13 of the lien left by hand; if that was still unbonding when the entry matured, 25 went with it.
			require.True(t, active.LTE(amount(75*one)) && active.GTE(amount(62*one)), "%s", active)
		})
	}
}

func TestExportAndImportBetweenRegistrationAndChannel(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	p.Register()
	prov.Restart()
	cons.Restart()
	n.Steps(2)
	require.NoError(t, p.OpenChannel())
	p.WaitReady()
	p.CrossStake("alice", val(p, 0), 10*one)
	settle(n, p)
	requireInt(t, 9*one, p.TotalVirtual())
}

func TestExportAndImportWhileWindingDownAndRemoved(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	p.RemoveConsumer()
	n.Steps(2)
	p.Provider.Restart()
	p.RemoveProvider()
	n.Step()
	p.Consumer.Restart()
	n.Until("nothing is left", 2*u+round, func() bool { return len(p.Provider.ProviderState().Positions) == 0 })
	p.Provider.Restart()
	p.Consumer.Restart()
	require.True(t, p.TotalVirtual().IsZero())
	p.Provider.MustGov(p.MsgAddConsumer())
	p.Consumer.MustGov(p.MsgAddProvider())
	p.SetPrice(p.Price)
	n.Step()
	reopen(t, n, p)
	p.WaitReady()
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	requireInt(t, 36*one, p.TotalVirtual())
}
