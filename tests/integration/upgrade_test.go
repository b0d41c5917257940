package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// TestUpgradeAddsMeshSecurity: a chain that runs without our modules, with delegations, unbondings and redelegations in
// flight, takes an x/upgrade that adds them. Then it is paired in both directions, and cross-stakes.
func TestUpgradeAddsMeshSecurity(t *testing.T) {
	n := networkOf(t, meshtest.ChainConfig{Name: "stock", Stock: true}, meshtest.ChainConfig{Name: "cons"})
	stock, cons := n.Chain("stock"), n.Chain("cons")
	n.Steps(3)
	alice, dave := stock.Account("alice"), stock.Account("dave")
	unbonded := n.Now()
	alice.Send(stock.MsgUndelegate("alice", stock.Validators[0], 10*one))
	dave.Send(stock.MsgRedelegate("dave", stock.Validators[3], stock.Validators[2], 5*one))
	n.Steps(3) // CometBFT's powers lag behind
	infraction := stock.Height()

	stock.Upgrade()
	require.NoError(t, stock.App.Mesh.Provider.CheckInvariants(stock.CommittedContext()))
	require.NoError(t, stock.App.Mesh.Consumer.CheckInvariants(stock.CommittedContext()))

	// The defaults of the parameters suit a chain with weeks of unbonding; here governance sets shorter ones.
	lending, err := stock.App.Mesh.Provider.Params.Get(stock.CommittedContext())
	require.NoError(t, err)
	require.Equal(t, providertypes.DefaultParams(), lending)
	lending.EpochDuration, lending.PacketTimeout = meshtest.Epoch, meshtest.PacketTimeout
	stock.MustGov(&providertypes.MsgUpdateParams{Authority: stock.Authority(), Params: lending})
	receiving, err := stock.App.Mesh.Consumer.Params.Get(stock.CommittedContext())
	require.NoError(t, err)
	receiving.EpochDuration, receiving.PacketTimeout = meshtest.Epoch, meshtest.PacketTimeout
	receiving.FreshnessMargin, receiving.MaxProviderSilence = meshtest.Margin, meshtest.Silence
	stock.MustGov(&consumertypes.MsgUpdateParams{Authority: stock.Authority(), Params: receiving})
	n.Step()

	out, back := n.Pair(stock, cons), n.Pair(cons, stock)
	out.CrossStake("alice", val(out, 0), 40*one)
	back.CrossStake("bob", val(back, 1), 20*one)
	settle(n, out, back)
	requireInt(t, 36*one, out.Virtual(val(out, 0)))
	requireInt(t, 18*one, back.Virtual(val(back, 1)))

	// What unbonds since before the upgrade is collateral if need be, like what unbonds now.
	balance := stock.Balance(alice)
	alice.Send(stock.MsgUndelegate("alice", stock.Validators[0], 45*one))
	n.Steps(2)
	require.True(t, stock.Held("alice").IsZero(), "45 are left")
	alice.Send(stock.MsgUndelegate("alice", stock.Validators[1], 30*one))
	n.Steps(2)
	require.True(t, stock.Held("alice").IsPositive())
	n.Until("the entry from before the upgrade is paid", meshtest.UnbondingTime+time.Minute, func() bool {
		return stock.Balance(alice).Sub(balance).GTE(amount(10 * one))
	})
	require.GreaterOrEqual(t, n.Now().Sub(unbonded), meshtest.UnbondingTime)

	// An infraction from before the upgrade costs what it did before.
	shares := stock.Delegated(dave.Address(), stock.Validators[2])
	stock.DoubleSign(stock.Validators[2], infraction)
	n.Steps(2)
	requireInt(t, shares.MulRaw(95).QuoRaw(100).Int64(), stock.Delegated(dave.Address(), stock.Validators[2]))
	require.True(t, stock.Validator(stock.Validators[2]).IsJailed())

	// Everything goes on after an export and import, and everybody can leave.
	settle(n, out, back)
	stock.Restart()
	out.CrossUnstake("alice", val(out, 0), 40*one)
	back.CrossUnstake("bob", val(back, 1), 20*one)
	settle(n, out, back)
	require.True(t, out.TotalVirtual().IsZero())
	require.True(t, back.TotalVirtual().IsZero())
	n.Until("all are free", 2*u+round, func() bool { return len(out.Batches())+len(back.Batches()) == 0 })
}

// TestStateSync: nodes that begin from a snapshot of both chains, with stake, unbonding, holds and packets in flight, come to
// the same hash in every block that follows.
func TestStateSync(t *testing.T) {
	n, p := pair(t)
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 80*one)
	settle(n, p)
	p.CrossStake("bob", val(p, 1), 20*one)
	p.CrossUnstake("alice", val(p, 0), 30*one)
	alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 0), 50*one))
	p.Consumer.DoubleSign(val(p, 2), p.Consumer.Height())
	n.Step()

	p.Provider.StateSync()
	p.Consumer.StateSync()
	require.True(t, p.Provider.Held("alice").IsPositive())
	p.CrossUnstake("alice", val(p, 0), 10*one)
	p.CrossStake("carol", val(p, 3), 5*one)
	alice.Send(p.Provider.MsgUndelegate("alice", nat(p, 1), one))
	settle(n, p)
	n.Until("what unbonds is free", 2*u+round, func() bool { return len(p.Batches()) == 0 })
	requireInt(t, 36*one, p.Virtual(val(p, 0)))
}
