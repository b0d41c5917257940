package integration_test

import (
	"bytes"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/internal/meshtest"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// TestByzantineConsumer: a consumer whose module says whatever it likes, at any time, in packets that are well formed. It
// takes no more than the meter, halts nothing, and locks nobody in.
func TestByzantineConsumer(t *testing.T) {
	n, p := pair(t)
	p.SkipBacking = true // it need not execute what it reports
	staked := int64(80 * one)
	p.CrossStake("alice", val(p, 0), 60*one)
	p.CrossStake("bob", val(p, 1), 20*one)
	settle(n, p)
	start := n.Now()
	answers := func(tr *meshtest.Transit) meshtest.Fate {
		// What its module never sent, its chain does not want answered.
		if tr.IsAck() && tr.Packet.SourcePort == meshtypes.PortConsumer {
			return meshtest.Lose
		}
		return meshtest.Deliver
	}
	n.Relayer.Policy = answers

	for range 80 {
		for range 1 + n.Rand.Intn(3) {
			sendReport(t, p, byzantineReport(n.Rand, p))
		}
		switch n.Rand.Intn(5) {
		case 0:
			_ = p.TryCrossStake("carol", val(p, n.Rand.Intn(4)), 1+n.Rand.Int63n(one))
		case 1:
			_ = p.TryCrossUnstake("alice", val(p, 0), 1+n.Rand.Int63n(one))
		case 2:
			n.Advance(time.Duration(n.Rand.Int63n(int64(2 * epoch))))
		}
		n.Step()
	}

	// Full at the start, replenished linearly; carol has staked a little since.
	policy := p.ConsumerConfig.SlashPolicy
	spans := sdkmath.LegacyNewDec(int64(n.Now().Sub(start))).QuoInt64(int64(policy.UnprovenWindow)).Add(sdkmath.LegacyOneDec())
	most := policy.UnprovenLimit.Mul(spans).MulInt64(staked + 20*one)
	slashed := p.Provider.ProviderState().Totals.Slashed
	require.True(t, sdkmath.LegacyNewDecFromInt(slashed).LTE(most), "%s of at most %s", slashed, most)
	require.True(t, slashed.IsPositive(), "nothing was claimed")

	// Everybody leaves, whatever it says or does not say.
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if tr.Packet.SourcePort == meshtypes.PortConsumer {
			return meshtest.Lose
		}
		return answers(tr)
	}
	leavers := []string{"alice", "bob", "carol"}
	n.Until("all have left", u+round, func() bool { // claims fill up, so it may take more than one attempt
		left := false
		for _, del := range leavers {
			left = leave(p, del) || left
		}
		return !left
	})
	n.Until("all are free", 2*u+2*u/3+round, func() bool { return len(p.Batches()) == 0 })
	for _, del := range leavers {
		active, unbonding := p.Lien(del)
		require.True(t, active.IsZero() && unbonding.IsZero(), del)
	}
}

// byzantineReport returns a report that is well formed and otherwise anything.
func byzantineReport(r *rand.Rand, p *meshtest.Pairing) meshtypes.ConsumerReport {
	pairing := p.ConsumerRecord().Pairing
	height := func() meshtypes.Height {
		return meshtypes.NewHeight(uint64(r.Intn(3)), uint64(r.Int63n(p.Consumer.Height()*2)))
	}
	fraction := func() sdkmath.LegacyDec { return sdkmath.LegacyNewDecWithPrec(1+r.Int63n(1000), 3) }
	report := meshtypes.ConsumerReport{
		Session: pairing.Session, Seq: pairing.LastReportSeq + 1 + uint64(r.Intn(3)), FirstIndex: 1,
		UnbondingPeriod: uint64(r.Int63n(int64(3 * u))), FreshnessLimit: uint64(r.Int63n(int64(u))),
	}
	if r.Intn(10) == 0 {
		report.Session.Consumer += uint64(r.Intn(3)) - 1
	}
	if r.Intn(10) == 0 {
		report.FirstIndex = 1 + pairing.SlashSeq + uint64(r.Intn(5))
	}
	for i := range 4 {
		if r.Intn(2) == 0 {
			continue
		}
		v := meshtypes.ValidatorReport{
			Operator: val(p, i).ValAddress(), Status: meshtypes.ValidatorStatus(1 + r.Intn(3)),
			ConsensusKey: meshtypes.ConsensusKey{Type: "ed25519", Key: make([]byte, 32)},
			KeyHeight:    height(), ExecutedSeq: uint64(r.Int63n(1_000)), ExecutedHeight: height(),
		}
		r.Read(v.ConsensusKey.Key)
		if r.Intn(40) == 0 {
			v.Status = meshtypes.VALIDATOR_STATUS_TOMBSTONED
		}
		report.Validators = append(report.Validators, v)
	}
	slices.SortFunc(report.Validators, func(a, b meshtypes.ValidatorReport) int { return bytes.Compare(a.Operator, b.Operator) })
	for i := range r.Intn(4) {
		nominal := fraction()
		report.Slashes = append(report.Slashes, meshtypes.SlashEntry{
			Index: max(report.FirstIndex, pairing.SlashSeq+1) + uint64(i), Operator: val(p, r.Intn(4)).ValAddress(),
			Kind: meshtypes.SlashKind(1 + r.Intn(3)), Infraction: height(),
			NominalFraction: nominal, EffectiveFraction: nominal.Mul(fraction()),
		})
	}
	return report
}

// TestByzantineProvider: a provider whose module claims whatever it likes. It gets no more than its cap, and nothing once
// it is removed.
func TestByzantineProvider(t *testing.T) {
	n, p := pair(t)
	p.SkipBacking = true
	limit := amount(50 * one)
	p.UpdateProvider(func(c *providerConfig) { c.MaxCap = limit })
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if tr.IsAck() && tr.Packet.SourcePort == meshtypes.PortProvider {
			return meshtest.Lose
		}
		return meshtest.Deliver
	}
	highest := sdkmath.ZeroInt()
	for range 80 {
		for range 1 + n.Rand.Intn(3) {
			sendUpdate(t, p, byzantineUpdate(n.Rand, p))
		}
		if n.Rand.Intn(15) == 0 {
			p.Consumer.DoubleSign(val(p, n.Rand.Intn(2)), p.Consumer.Height())
		}
		if n.Rand.Intn(3) == 0 {
			n.Advance(epoch)
		}
		n.Step()
		require.True(t, p.TotalVirtual().LTE(limit.AddRaw(4)), "%s", p.TotalVirtual())
		highest = sdkmath.MaxInt(highest, p.TotalVirtual())
	}
	require.True(t, highest.IsPositive(), "it never had any power")
	p.RemoveProvider()
	n.Advance(3 * epoch)
	require.True(t, p.TotalVirtual().IsZero())
}

// byzantineUpdate returns an update that is well formed and otherwise anything.
func byzantineUpdate(r *rand.Rand, p *meshtest.Pairing) meshtypes.StakeUpdate {
	provider := p.ProviderRecord()
	update := meshtypes.StakeUpdate{
		Session: provider.Session, Seq: uint64(1 + r.Int63n(1_000_000)), UnbondingPeriod: uint64(r.Int63n(int64(3 * u))),
		SyncedAt: uint64(p.Consumer.LastBlock().Time.Add(time.Duration(r.Int63n(int64(4*u))) - 2*u).UnixNano()),
		SlashSeq: uint64(r.Intn(4)),
	}
	if r.Intn(10) == 0 {
		update.Session.Provider += uint64(r.Intn(3)) - 1
	}
	for i := range p.Consumer.Validators {
		if r.Intn(2) == 0 {
			continue
		}
		update.Stakes = append(update.Stakes, meshtypes.Stake{
			Validator: val(p, i).ValAddress(), Amount: pow2(uint(r.Intn(128))),
		})
	}
	slices.SortFunc(update.Stakes, func(a, b meshtypes.Stake) int { return bytes.Compare(a.Validator, b.Validator) })
	return update
}

// leave takes back all that an account has on the consumer with validators that can still be left, and says whether that is
// anything.
func leave(p *meshtest.Pairing, del string) bool {
	msgs := p.MsgsLeave(del)
	for _, msg := range msgs {
		p.Provider.Account(del).Queue(msg)
	}
	return len(msgs) > 0
}
