package integration_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// crowded returns a pairing whose provider has 600 made-up validators of the consumer in its registry besides the real
// ones, with cross-stake on every one of them.
func crowded(t *testing.T) (*meshtest.Network, *meshtest.Pairing) {
	t.Helper()
	const made = 600
	prov := meshtest.ChainConfig{Genesis: func(g *meshtest.Genesis) {
		g.ProviderParams(func(p *providerParams) {
			p.MaxValidatorsPerConsumer, p.MaxPositions = 1000, 1000
		})
	}}
	n, p := pairOf(t, prov, meshtest.ChainConfig{})
	for first := 0; first < made; first += 200 {
		report := meshtypes.ConsumerReport{
			Session: p.ProviderRecord().Session, Seq: 1_000_000 + uint64(first), FirstIndex: 1,
			UnbondingPeriod: uint64(u), FreshnessLimit: uint64(meshtest.Silence),
		}
		for i := range 200 {
			report.Validators = append(report.Validators, meshtypes.ValidatorReport{
				Operator: operator(first + i), Status: meshtypes.VALIDATOR_STATUS_BONDED,
				ConsensusKey: meshtypes.ConsensusKey{Type: "ed25519", Key: bytes.Repeat([]byte{7}, 32)},
			})
		}
		sendReport(t, p, report)
		n.Steps(4)
	}
	require.Len(t, p.Registry(), made+4)
	alice := p.Provider.Account("alice")
	for first := 0; first < made; first += 100 {
		var msgs []sdk.Msg
		for i := range 100 {
			msgs = append(msgs, &providertypes.MsgCrossStake{
				Delegator: alice.String(), ConsumerId: p.ConsumerID,
				Validator: p.ConsumerConfig.FormatValidator(operator(first + i)), Amount: p.Coin(1000),
			})
		}
		alice.Queue(msgs...)
	}
	for i := range p.Consumer.Validators {
		p.Provider.Account("bob").Queue(p.MsgCrossStake("bob", val(p, i), 10*one))
	}
	return n, p
}

func TestMoreThanFiveHundredValidatorsAreListedInTwoPackets(t *testing.T) {
	n, p := crowded(t)
	var sizes []int
	n.Relayer.Policy = updates(p, func(tr *meshtest.Transit) meshtest.Fate {
		if !tr.IsAck() {
			sizes = append(sizes, len(tr.StakeUpdate().Stakes))
		}
		return meshtest.Deliver
	})
	n.Advance(time.Minute)
	slices.Sort(sizes)
	require.Equal(t, []int{104, 500}, sizes[len(sizes)-2:], "%v", sizes)
	requireInt(t, 36*one, p.TotalVirtual())
	require.Empty(t, p.Provider.ProviderState().Outbox, "unknown validators are answered and done")
}

func TestOneOfTwoChunksLostForEver(t *testing.T) {
	n, p := crowded(t)
	var lost uint64
	n.Relayer.Policy = updates(p, func(tr *meshtest.Transit) meshtest.Fate {
		if !tr.IsAck() && len(tr.StakeUpdate().Stakes) > 200 {
			lost = tr.Packet.Sequence
			return meshtest.Lose
		}
		return meshtest.Deliver
	})
	n.Advance(time.Minute)
	require.NotZero(t, lost)
	inOutbox := len(p.Provider.ProviderState().Outbox)
	require.Equal(t, 500, inOutbox)
	listed := 0
	for _, v := range p.Consumer.Validators {
		if p.Virtual(v).IsPositive() {
			listed++
		}
	}
	require.Less(t, listed, 4, "some of the real ones were in the lost chunk")

	// What was in the lost chunk stays unacknowledged, so in time the whole provider is no longer fresh.
	n.AdvanceIn(meshtest.Silence+time.Minute, 10*time.Second)
	require.True(t, p.TotalVirtual().IsZero())
	// Nobody is locked in.
	start := n.Now()
	for i := range p.Consumer.Validators {
		p.Provider.Account("bob").Queue(p.MsgCrossUnstake("bob", val(p, i), 10*one))
	}
	n.Until("bob is free", 2*u+round, func() bool {
		active, unbonding := p.Lien("bob")
		return active.IsZero() && unbonding.IsZero()
	})
	require.LessOrEqual(t, n.Now().Sub(start), 2*u+2*time.Minute)

	// Governance retires the channel: what was in flight counts as timed out.
	n.Relayer.Policy = meshtest.Perfect
	p.RetireOnProvider()
	p.RetireOnConsumer()
	n.Steps(2)
	require.NoError(t, p.OpenChannel())
	p.CrossStake("bob", val(p, 1), 10*one)
	n.Until("everything is answered", 10*time.Minute, func() bool { return len(p.Provider.ProviderState().Outbox) == 0 })
	n.Until("power is back", round, func() bool { return p.TotalVirtual().Equal(amount(9 * one)) })
}

func TestManyValidatorsAreReportedInChunks(t *testing.T) {
	cons := meshtest.ChainConfig{Delegators: []meshtest.Delegator{}, Genesis: func(g *meshtest.Genesis) {
		g.StakingParams(func(p *stakingParams) { p.MaxValidators = 10 })
	}}
	for range 230 {
		cons.Validators = append(cons.Validators, 10*one)
	}
	n, p := pairOf(t, meshtest.ChainConfig{}, cons)
	settle(n, p)
	require.Len(t, p.Registry(), 10, "only validators that have been bonded are kept")
}
