package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mesh-security/mesh/internal/meshtest"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

func TestSevenUnbondingClaimsPerValidatorAndAnEighthIsRefused(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 100*one)
	settle(n, p)
	for range 7 {
		p.CrossUnstake("alice", val(p, 0), one)
		n.Advance(2 * epoch)
	}
	require.ErrorIs(t, p.TryCrossUnstake("alice", val(p, 0), one), providertypes.ErrTooManyClaims)
	n.Until("the oldest matures", u+round, func() bool { return len(p.Batches()) < 7 })
	p.CrossUnstake("alice", val(p, 0), one)
}

func TestUnstakesOfOneBatchEpochShareABatch(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 50*one)
	p.CrossStake("bob", val(p, 0), 50*one)
	settle(n, p)
	// To the beginning of a batch epoch.
	end := p.ConsumerRecord().Pairing.BatchEpochEnd
	n.StepBy(end.Sub(n.Now()))
	n.StepBy(time.Second)
	a := p.Provider.Account("alice").Queue(p.MsgCrossUnstake("alice", val(p, 0), 10*one))
	b := p.Provider.Account("bob").Queue(p.MsgCrossUnstake("bob", val(p, 0), 20*one))
	n.StepBy(time.Second)
	require.NoError(t, a.Err())
	require.NoError(t, b.Err())
	require.Len(t, p.Batches(), 1)
	requireInt(t, 30*one, p.Batches()[0].Pool.Tokens)
	n.Until("both are free", u+round, func() bool { return len(p.Batches()) == 0 })
}

func TestTheShorterUnbondingPeriodReportedCounts(t *testing.T) {
	// Registered for 20 minutes, the consumer has 10.
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	p.ConsumerConfig.UnbondingPeriod = 2 * u
	p.SetUp()
	n.Advance(round)
	require.Equal(t, u, p.ConsumerRecord().Pairing.EffectiveUnbonding)
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)
	p.CrossUnstake("alice", val(p, 0), 50*one)
	start := n.Now()
	n.Until("free", u+2*round, func() bool { return len(p.Batches()) == 0 })
	require.Less(t, n.Now().Sub(start), u+2*time.Minute)
}

func TestTheShorterUnbondingPeriodRegisteredCounts(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	p.ConsumerConfig.UnbondingPeriod = u / 2
	p.SetUp()
	n.Advance(round)
	require.Equal(t, u/2, p.ConsumerRecord().Pairing.EffectiveUnbonding)
	require.Equal(t, u/2, p.ProviderRecord().UnbondingPeriod, "the updates carry it")
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)
	p.CrossUnstake("alice", val(p, 0), 50*one)
	n.Until("free", u/2+round, func() bool { return len(p.Batches()) == 0 })
}

func TestConsumerThatReportsAnUnbondingPeriodOfACentury(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)
	hold := n.Relayer.Policy
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if p.IsReport(tr) && !tr.IsAck() && tr.Report().UnbondingPeriod < uint64(50*365*24*time.Hour) {
			return meshtest.Lose // the real ones, so that the lie is the last word
		}
		return hold(tr)
	}
	rec := p.ProviderRecord()
	report := meshtypes.ConsumerReport{
		Session: rec.Session, Seq: rec.LastSeq + 1000, FirstIndex: 1,
		UnbondingPeriod: uint64(100 * 365 * 24 * time.Hour), FreshnessLimit: uint64(100 * 365 * 24 * time.Hour),
	}
	sendReport(t, p, report)
	n.Advance(round)
	pairing := p.ConsumerRecord().Pairing
	require.Equal(t, 100*365*24*time.Hour, pairing.ReportedUnbonding)
	require.Equal(t, u, pairing.EffectiveUnbonding, "never above what is registered, nor above the client's")
	start := n.Now()
	p.CrossUnstake("alice", val(p, 0), 50*one)
	n.Until("free", 2*u+round, func() bool { return len(p.Batches()) == 0 })
	require.LessOrEqual(t, n.Now().Sub(start), 2*u+2*time.Minute)
}

func TestRaisingTheUnbondingPeriodHoldsForOpenBatches(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	p.ConsumerConfig.UnbondingPeriod = u / 2
	p.ConsumerConfig.BatchEpoch = time.Minute
	p.SetUp()
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)
	end := p.ConsumerRecord().Pairing.BatchEpochEnd
	n.Until("a batch epoch begins", round, func() bool { return n.Now().After(end) })
	p.CrossUnstake("alice", val(p, 0), 10*one)
	require.False(t, p.Batches()[0].Pool.Batch.Closed)
	p.UpdateConsumer(func(c *providertypes.ConsumerConfig) { c.UnbondingPeriod = u })
	n.Step()
	start := n.Now()
	n.Until("free", u+round, func() bool { return len(p.Batches()) == 0 })
	require.GreaterOrEqual(t, n.Now().Sub(start), u-30*time.Second, "raising counts at once, for what is open too")
}

func TestLoweringTheUnbondingPeriodWaitsForItsAcknowledgement(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)
	n.Relayer.Policy = updates(p, meshtest.HoldAll)
	p.UpdateConsumer(func(c *providertypes.ConsumerConfig) { c.UnbondingPeriod = u / 2 })
	p.CrossUnstake("alice", val(p, 0), 10*one)
	n.Advance(3 * epoch)
	require.Equal(t, u, p.ConsumerRecord().Pairing.EffectiveUnbonding, "the consumer does not know it yet")
	batches := p.Batches()
	require.Len(t, batches, 1)
	require.Equal(t, u, batches[0].Pool.Batch.Unbonding)
	n.Relayer.Policy = meshtest.Perfect
	n.Until("acknowledged", round, func() bool { return p.ConsumerRecord().Pairing.EffectiveUnbonding == u/2 })
	require.Equal(t, u, p.Batches()[0].Pool.Batch.Unbonding, "an older batch keeps its period")
}
