package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"

	"github.com/mesh-security/mesh/internal/meshtest"
)

// updates makes the relayer treat the StakeUpdates of a pairing, and their answers, by policy.
func updates(p *meshtest.Pairing, policy func(*meshtest.Transit) meshtest.Fate) func(*meshtest.Transit) meshtest.Fate {
	return func(t *meshtest.Transit) meshtest.Fate {
		if p.IsStakeUpdate(t) {
			return policy(t)
		}
		return meshtest.Deliver
	}
}

func TestQuietPairingStaysFreshLongerThanTheSilenceLimit(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	from := p.Provider.Height() + 1
	for range 12 {
		n.Advance(meshtest.Silence / 4)
		requireInt(t, 36*one, p.Virtual(val(p, 0)))
	}
	sent := len(p.Provider.EventsSince(from, channeltypes.EventTypeSendPacket))
	require.GreaterOrEqual(t, sent, 11, "a heartbeat each quarter of the limit")
	require.LessOrEqual(t, sent, 16, "and not more")
	require.True(t, p.ProviderRecord().Fresh)
}

func TestPowerLeavesWhenNothingIsRelayedAndReturns(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	p.CrossStake("bob", val(p, 1), 20*one)
	settle(n, p)
	before := p.Consumer.Power(val(p, 0))

	n.Relayer.Policy = meshtest.HoldAll
	n.Advance(meshtest.Silence - time.Minute)
	requireInt(t, 54*one, p.TotalVirtual(), "not yet")
	n.Advance(2 * time.Minute)
	require.True(t, p.TotalVirtual().IsZero())
	require.Equal(t, before-36, p.Consumer.Power(val(p, 0)))
	require.False(t, p.ProviderRecord().Fresh)
	require.Equal(t, map[string]string{"val0": "40000000", "val1": "20000000"}, p.Stored(), "amounts are kept")

	n.Relayer.Policy = meshtest.Perfect
	n.Until("power is back", 30*time.Minute, func() bool { return p.TotalVirtual().Equal(amount(54 * one)) })
	require.Equal(t, before, p.Consumer.Power(val(p, 0)))
}

func TestPowerLeavesWhenOnlyOldChangesStayUnacknowledged(t *testing.T) {
	// Heartbeats go on, but one listing never arrives: synced_at stays at its touch.
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	n.Relayer.Policy = updates(p, func(tr *meshtest.Transit) meshtest.Fate {
		if !tr.IsAck() && len(tr.StakeUpdate().Stakes) > 0 {
			return meshtest.Lose
		}
		return meshtest.Deliver
	})
	p.CrossUnstake("alice", val(p, 0), 40*one)
	n.Advance(meshtest.Silence + time.Minute)
	require.True(t, p.TotalVirtual().IsZero(), "a provider that cannot tell of an unstake loses its power")
}

func TestNoStakeIsLockedLongerThanTwiceUIfNothingGetsThrough(t *testing.T) {
	for name, kill := range map[string]func(*meshtest.Relayer){
		"packets held":    func(r *meshtest.Relayer) { r.Policy = meshtest.HoldAll },
		"packets dropped": func(r *meshtest.Relayer) { r.Policy = meshtest.DropAll },
		"relayer dead":    func(r *meshtest.Relayer) { r.Stopped = true },
	} {
		t.Run(name, func(t *testing.T) {
			n, p := pair(t)
			p.CrossStake("alice", val(p, 0), 90*one)
			settle(n, p)
			kill(n.Relayer)
			start := n.Now()
			p.CrossUnstake("alice", val(p, 0), 60*one)
			n.AdvanceIn(2*u-time.Minute, 15*time.Second)
			_, unbonding := p.Lien("alice")
			requireInt(t, 60*one, unbonding, "nothing was executed: it takes the forced clock")
			n.Until("released by force", 3*time.Minute, func() bool {
				_, unbonding := p.Lien("alice")
				return unbonding.IsZero()
			})
			require.Less(t, n.Now().Sub(start), 2*u+2*time.Minute)
			require.True(t, p.TotalVirtual().IsZero(), "no power outlives its backing")
		})
	}
}

func TestConsumerThatNeverExecutesCannotLockStakeLongerThanTwiceU(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 90*one)
	settle(n, p)
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if p.IsReport(tr) && !tr.IsAck() {
			return meshtest.Drop // it takes the update, and never says that it executed
		}
		return meshtest.Deliver
	}
	start := n.Now()
	p.CrossUnstake("alice", val(p, 0), 60*one)
	n.Until("released by force", 2*u+2*time.Minute, func() bool { return len(p.Batches()) == 0 })
	require.GreaterOrEqual(t, n.Now().Sub(start), 2*u)
}

func TestConsumerThatAnswersOnlyErrors(t *testing.T) {
	for name, alsoSilent := range map[string]bool{"and sends no reports": true, "but keeps reporting": false} {
		t.Run(name, func(t *testing.T) {
			n, p := pair(t)
			p.CrossStake("alice", val(p, 0), 90*one)
			settle(n, p)
			var updatesSent int
			n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
				switch {
				case p.IsStakeUpdate(tr) && !tr.IsAck():
					if len(tr.StakeUpdate().Stakes) > 0 {
						updatesSent++
					}
					n.Relayer.Answer(tr, channeltypes.NewErrorAcknowledgement(errNo))
					return meshtest.Lose
				case p.IsReport(tr) && !tr.IsAck() && alsoSilent:
					return meshtest.Drop
				}
				return meshtest.Deliver
			}
			start := n.Now()
			p.CrossUnstake("alice", val(p, 0), 60*one)
			n.Until("released by force", 2*u+2*time.Minute, func() bool { return len(p.Batches()) == 0 })
			require.GreaterOrEqual(t, n.Now().Sub(start), 2*u)
			require.Less(t, updatesSent, 12, "it is asked less and less often")
			require.True(t, p.TotalVirtual().IsZero(), "its own freshness rule took the power away")

			n.Relayer.Policy = meshtest.Perfect
			p.WaitConverged(2 * time.Hour)
			settle(n, p)
			requireInt(t, 27*one, p.Virtual(val(p, 0)))
		})
	}
}

func TestClockOfTheProviderMayBeAheadOrBehind(t *testing.T) {
	for name, skew := range map[string]time.Duration{"ahead": 45 * time.Second, "behind": -45 * time.Second} {
		t.Run(name, func(t *testing.T) {
			n := network(t, "prov", "cons")
			n.Chain("prov").Skew = skew
			n.Step()
			if skew < 0 {
				n.StepBy(time.Minute) // time does not run backwards
			}
			p := n.Pair(n.Chain("prov"), n.Chain("cons"))
			p.CrossStake("alice", val(p, 0), 40*one)
			settle(n, p)
			rec := p.ProviderRecord()
			require.False(t, rec.SyncedAt.After(p.Consumer.LastBlock().Time), "synced_at is never ahead of the own clock")
			n.Advance(2 * meshtest.Silence)
			requireInt(t, 36*one, p.Virtual(val(p, 0)))
			n.Relayer.Policy = meshtest.HoldAll
			n.Advance(meshtest.Silence + 2*time.Minute)
			require.True(t, p.TotalVirtual().IsZero())
		})
	}
}
