package integration_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

func TestAtAFullCapEverybodyIsCutInProportion(t *testing.T) {
	n, p := pair(t)
	p.UpdateProvider(func(c *providerConfig) { c.MaxCap = amount(30 * one) })
	p.CrossStake("alice", val(p, 0), 50*one)
	p.CrossStake("bob", val(p, 1), 25*one)
	settle(n, p)
	requireInt(t, 20*one, p.Virtual(val(p, 0)))
	requireInt(t, 10*one, p.Virtual(val(p, 1)))
	require.Equal(t, p.Totals(), p.Stored(), "the amounts on record are not cut")

	// Room again: the rest comes without anybody acting.
	p.UpdateProvider(func(c *providerConfig) { c.MaxCap = amount(60 * one) })
	n.Advance(3 * epoch)
	requireInt(t, 40*one, p.Virtual(val(p, 0)))
	requireInt(t, 20*one, p.Virtual(val(p, 1)))
}

func TestAtAFullCapOneValidatorUpAndAnotherDownInTheSameEpoch(t *testing.T) {
	n, p := pair(t)
	p.UpdateProvider(func(c *providerConfig) { c.MaxCap = amount(72 * one) })
	p.CrossStake("alice", val(p, 0), 50*one)
	p.CrossStake("bob", val(p, 1), 30*one)
	settle(n, p)
	requireInt(t, 72*one, p.TotalVirtual())

	from := p.Consumer.Height()
	p.Provider.Account("alice").Queue(p.MsgCrossUnstake("alice", val(p, 0), 20*one))
	p.Provider.Account("bob").Queue(p.MsgCrossStake("bob", val(p, 1), 20*one))
	n.Until("executed", round, func() bool { return p.Virtual(val(p, 0)).Equal(amount(27 * one)) })
	requireInt(t, 45*one, p.Virtual(val(p, 1)), "in the same epoch")
	requireInt(t, 72*one, p.TotalVirtual())
	require.Empty(t, p.Consumer.EventsSince(from, "mesh.consumer.v1.EventChangeFailed"))
	settle(n, p)
}

func TestShareOfBondedTokensIsBounded(t *testing.T) {
	n, p := pair(t)
	// 0.1/0.9 of 600 native tokens.
	p.UpdateProvider(func(c *providerConfig) { c.MaxPowerRatio = meshtest.Dec("0.1") })
	p.CrossStake("alice", val(p, 0), 100*one)
	settle(n, p)
	native := nativeBonded(p.Consumer, p)
	want := native.QuoRaw(9)
	require.Equal(t, want.String(), p.TotalVirtual().String())
	n.Advance(5 * epoch)
	require.Equal(t, want.String(), p.TotalVirtual().String(), "its own virtual stake does not widen it")
}

func TestAllProvidersTogetherAreBounded(t *testing.T) {
	n := networkOf(t, meshtest.ChainConfig{Name: "provx"}, meshtest.ChainConfig{Name: "provy"},
		meshtest.ChainConfig{Name: "cons", Genesis: func(g *meshtest.Genesis) {
			g.ConsumerParams(func(params *consumerParams) { params.GlobalMaxPowerRatio = meshtest.Dec("0.1") })
		}})
	cons := n.Chain("cons")
	x := n.NewPairing(n.Connect(n.Chain("provx"), cons), n.Chain("provx"), cons)
	y := n.NewPairing(n.Connect(n.Chain("provy"), cons), n.Chain("provy"), cons)
	for _, p := range []*meshtest.Pairing{x, y} {
		p.ProviderConfig.MaxPowerRatio = meshtest.Dec("0.15")
		p.SetUp()
	}
	x.CrossStake("alice", val(x, 0), 100*one)
	y.CrossStake("alice", val(y, 1), 50*one)
	settle(n, x, y)
	total := nativeBonded(x.Consumer, x, y).QuoRaw(9)
	have := x.TotalVirtual().Add(y.TotalVirtual())
	require.Equal(t, total.String(), have.String())
	diff := x.TotalVirtual().Sub(y.TotalVirtual().MulRaw(2)).Abs()
	require.True(t, diff.LTE(amount(2)), "in proportion: %s and %s", x.TotalVirtual(), y.TotalVirtual())
}

func TestOneKeyCannotGetTheWholeCap(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{}, meshtest.ChainConfig{
		Validators: []int64{100 * one, 100 * one, 100 * one, 5 * one},
		Delegators: []meshtest.Delegator{{Name: "alice"}},
	})
	p.CrossStake("alice", val(p, 3), 100*one)
	settle(n, p)
	requireInt(t, 15*one, p.Virtual(val(p, 3)), "three times its native stake")
}

func TestCapSetToZeroWithManyValidatorsAndDelegatorsIsGoneInOneEpoch(t *testing.T) {
	const (
		validators = 60
		delegators = 40
	)
	prov, cons := meshtest.ChainConfig{}, meshtest.ChainConfig{Delegators: []meshtest.Delegator{}}
	for range validators {
		cons.Validators = append(cons.Validators, 10*one)
	}
	for i := range delegators {
		prov.Delegators = append(prov.Delegators, meshtest.Delegator{Name: fmt.Sprintf("d%d", i), Stakes: []int64{10 * one}})
	}
	prov.Delegators = append(prov.Delegators, meshtest.Delegator{Name: "alice"})
	n, p := pairOf(t, prov, cons)
	for i := range delegators {
		name := fmt.Sprintf("d%d", i)
		for j := range 6 {
			p.Provider.Account(name).Queue(p.MsgCrossStake(name, val(p, (i*6+j)%validators), one))
		}
	}
	settle(n, p)
	require.Len(t, p.Stored(), validators)
	require.True(t, p.TotalVirtual().IsPositive())

	p.UpdateProvider(func(c *providerConfig) { c.MaxCap = sdkmath.ZeroInt() })
	ends := p.Consumer.ConsumerState().Epoch.Start.Add(epoch)
	n.StepBy(max(ends.Sub(n.Now()), time.Second))
	n.Step()
	require.True(t, p.TotalVirtual().IsZero())
	n.Step()
	for _, v := range p.Consumer.Validators {
		require.EqualValues(t, 10, p.Consumer.Power(v))
	}
}

func TestPriceRiseBetweenStakeAndUnstakeEverybodyLeavesInFull(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 60*one)
	p.CrossStake("bob", val(p, 0), 30*one)
	p.CrossStake("bob", val(p, 1), 20*one)
	settle(n, p)
	p.SetPrice(meshtest.Dec("2"))
	n.Advance(15 * epoch)
	requireInt(t, 162*one, p.Virtual(val(p, 0)))
	p.CrossUnstake("alice", val(p, 0), 60*one)
	p.SetPrice(meshtest.Dec("3"))
	p.CrossUnstake("bob", val(p, 0), 30*one)
	p.CrossUnstake("bob", val(p, 1), 20*one)
	settle(n, p)
	require.True(t, p.TotalVirtual().IsZero())
	for _, name := range []string{"alice", "bob"} {
		_, unbonding := p.Lien(name)
		require.False(t, unbonding.IsZero())
	}
	n.Until("all are free", u+round, func() bool { return len(p.Batches()) == 0 })
	p.CrossStake("alice", val(p, 0), 100*one)
}

func TestPriceRisesAreClampedPerEpochAndFallsAreNot(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)
	requireInt(t, 45*one, p.TotalVirtual())

	p.SetPrice(meshtest.Dec("2"))
	last := p.TotalVirtual()
	for range 12 {
		n.StepBy(epoch)
		now := p.TotalVirtual()
		require.True(t, now.LTE(last.MulRaw(11).QuoRaw(10).AddRaw(2)), "from %s to %s in an epoch", last, now)
		last = now
	}
	requireInt(t, 90*one, last)

	p.SetPrice(meshtest.Dec("0.2")) // −90 % in one epoch
	n.StepBy(epoch)
	n.Step()
	requireInt(t, 9*one, p.TotalVirtual())
}

func TestASmallPriceChangeMovesNothing(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)
	p.SetPrice(meshtest.Dec("1.005"))
	n.Advance(4 * epoch)
	requireInt(t, 45*one, p.TotalVirtual())
	p.SetPrice(meshtest.Dec("1.05"))
	n.Advance(4 * epoch)
	requireInt(t, 47_250_000, p.TotalVirtual())
}

func TestWithoutAPriceNothingMovesUp(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	p.Price = sdkmath.LegacyZeroDec()
	p.SetUp()
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)
	require.True(t, p.TotalVirtual().IsZero())
	require.Equal(t, map[string]string{"val0": "50000000"}, p.Stored())
	p.CrossUnstake("alice", val(p, 0), 20*one)
	n.Until("leaving needs no price", u+round, func() bool { return len(p.Batches()) == 0 })
	p.SetPrice(sdkmath.LegacyOneDec())
	n.Advance(3 * epoch)
	requireInt(t, 27*one, p.TotalVirtual())
}

func TestAnOldPriceLetsTargetsFallAndNotRise(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{}, meshtest.ChainConfig{Genesis: func(g *meshtest.Genesis) {
		g.ConsumerParams(func(params *consumerParams) { params.MaxPriceAge = 5 * time.Minute })
	}})
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)
	n.Advance(5 * time.Minute)
	requireInt(t, 45*one, p.TotalVirtual(), "what is there stays")
	p.CrossStake("bob", val(p, 1), 20*one)
	p.CrossUnstake("alice", val(p, 0), 20*one)
	settle(n, p)
	requireInt(t, 27*one, p.Virtual(val(p, 0)), "decreases are executed")
	require.True(t, p.Virtual(val(p, 1)).IsZero(), "increases wait")
	require.NotEmpty(t, p.Consumer.EventsSince(1, "mesh.consumer.v1.EventPriceUnusable"))
	p.SetPrice(sdkmath.LegacyOneDec())
	n.Advance(3 * epoch)
	requireInt(t, 18*one, p.Virtual(val(p, 1)))
}

func TestPausedProvidersTargetsOnlyFall(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)
	p.Consumer.MustGov(&consumertypes.MsgPauseProvider{Authority: p.Consumer.Authority(), ProviderId: p.ProviderID})
	p.CrossStake("bob", val(p, 1), 20*one)
	p.CrossUnstake("alice", val(p, 0), 20*one)
	settle(n, p)
	requireInt(t, 27*one, p.Virtual(val(p, 0)))
	require.True(t, p.Virtual(val(p, 1)).IsZero())
	p.Consumer.MustGov(&consumertypes.MsgResumeProvider{Authority: p.Consumer.Authority(), ProviderId: p.ProviderID})
	n.Advance(3 * epoch)
	requireInt(t, 18*one, p.Virtual(val(p, 1)))
}

func TestPausedConsumerTakesNoNewStakeAndLetsEverybodyLeave(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	guardian := prov.Account("dave")
	p.ConsumerConfig.Guardian = guardian.String()
	p.SetUp()
	p.CrossStake("alice", val(p, 0), 50*one)

	pause := &providertypes.MsgPauseConsumer{Signer: guardian.String(), ConsumerId: p.ConsumerID}
	guardian.Send(pause)
	require.Equal(t, providertypes.CONSUMER_STATUS_PAUSED, consumerStatus(p))
	require.ErrorIs(t, p.TryCrossStake("alice", val(p, 0), one), providertypes.ErrConsumerPaused)
	p.CrossUnstake("alice", val(p, 0), 10*one)
	settle(n, p)
	requireInt(t, 36*one, p.TotalVirtual(), "a pause takes no power away")
	n.Until("free", u+round, func() bool { return len(p.Batches()) == 0 })

	resume := &providertypes.MsgResumeConsumer{Authority: guardian.String(), ConsumerId: p.ConsumerID}
	require.ErrorIs(t, guardian.Try(resume).Err(), providertypes.ErrUnauthorized, "the guardian can do nothing else")
	resume.Authority = prov.Authority()
	prov.MustGov(resume)
	p.CrossStake("alice", val(p, 0), one)
}

func TestNothingIsExecutedBeyondTheBlockLimitAndThePlanGoesOn(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{}, meshtest.ChainConfig{Genesis: func(g *meshtest.Genesis) {
		g.ConsumerParams(func(params *consumerParams) { params.MaxEpochOperations = 1; params.EpochDuration = 30 * time.Second })
	}})
	for i := range 4 {
		p.CrossStake("alice", val(p, i), 20*one)
	}
	p.WaitConverged(round)
	before := p.TotalVirtual()
	for range 20 {
		n.Step()
		now := p.TotalVirtual()
		require.True(t, now.Sub(before).LTE(amount(18*one)), "one validator in a block")
		before = now
	}
	requireInt(t, 72*one, before)
}
