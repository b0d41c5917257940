package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// highHeight is where chains begin in these tests: heights far above any power, so that one taken for the other shows.
const highHeight = 50_000_000

// thin returns a pairing whose consumer has a validator val0 with 20 native tokens, half of them bob's, on which
// virtual stake may be nine times that. The consumer slashes downtime after 25 of 50 blocks.
func thin(t *testing.T) (*meshtest.Network, *meshtest.Pairing) {
	t.Helper()
	return pairOf(t, meshtest.ChainConfig{}, meshtest.ChainConfig{
		InitialHeight: highHeight,
		Validators:    []int64{10 * one, 200 * one, 200 * one, 200 * one},
		Delegators:    []meshtest.Delegator{{Name: "bob", Stakes: []int64{10 * one}}},
		Genesis: func(g *meshtest.Genesis) {
			g.ConsumerParams(func(p *consumerParams) { p.MaxValidatorMultiple = sdkmath.LegacyNewDec(10) })
			g.SlashingParams(func(p *slashingtypes.Params) { p.SignedBlocksWindow = 50 })
		},
	})
}

// stakeNineTimes puts 180 virtual tokens on val0.
func stakeNineTimes(t *testing.T, n *meshtest.Network, p *meshtest.Pairing) {
	t.Helper()
	p.CrossStake("alice", val(p, 0), 100*one)
	p.CrossStake("val0", val(p, 0), 90*one)
	p.CrossStake("bob", val(p, 0), 10*one)
	settle(n, p)
	requireInt(t, 180*one, p.Virtual(val(p, 0)))
	require.EqualValues(t, 200, p.Consumer.Power(val(p, 0)))
}

func unstakeAll(n *meshtest.Network, p *meshtest.Pairing) {
	n.Helper()
	p.Provider.Account("alice").Queue(p.MsgCrossUnstake("alice", val(p, 0), 100*one))
	p.Provider.Account("val0").Queue(p.MsgCrossUnstake("val0", val(p, 0), 90*one))
	p.Provider.Account("bob").Queue(p.MsgCrossUnstake("bob", val(p, 0), 10*one))
}

// requireLost checks that an account on the consumer lost a fraction of a delegation to val0, to one power unit.
func requireLost(t *testing.T, p *meshtest.Pairing, who string, before int64, fraction string) {
	t.Helper()
	have := p.Consumer.Delegated(p.Consumer.Account(who).Address(), val(p, 0))
	lost := meshtest.Dec(fraction).MulInt64(before).TruncateInt()
	diff := amount(before).Sub(lost).Sub(have).Abs()
	require.True(t, diff.LTE(amount(one)), "%s has %s of %d, should have lost %s", who, have, before, lost)
}

func TestDoubleSignAfterNinetyPercentLeftVirtuallyCostsNativesTheNominalFraction(t *testing.T) {
	n, p := thin(t)
	stakeNineTimes(t, n, p)
	infraction := p.Consumer.Height()
	require.EqualValues(t, 200, p.Consumer.PowerAt(val(p, 0), infraction))
	unstakeAll(n, p)
	settle(n, p)
	require.EqualValues(t, 20, p.Consumer.Power(val(p, 0)))

	p.Consumer.DoubleSign(val(p, 0), infraction)
	n.Step()
	require.True(t, p.Consumer.Validator(val(p, 0)).Jailed)
	requireLost(t, p, "val0", 10*one, "0.05")
	requireLost(t, p, "bob", 10*one, "0.05")
	// Exactly: the total is 5 % of 20, within one power unit.
	requireInt(t, 19*one, p.Consumer.Validator(val(p, 0)).Tokens)
}

func TestDoubleSignBeforeVirtualStakeCameCostsEverybodyTheNominalFraction(t *testing.T) {
	n, p := thin(t)
	n.Steps(3)
	infraction := p.Consumer.Height()
	stakeNineTimes(t, n, p)
	p.Consumer.DoubleSign(val(p, 0), infraction)
	n.Step()
	requireLost(t, p, "val0", 10*one, "0.05")
	requireLost(t, p, "bob", 10*one, "0.05")
	virtual := p.Virtual(val(p, 0))
	require.True(t, virtual.IsZero() || virtual.Sub(amount(171*one)).Abs().LTE(amount(one)), "%s", virtual)
	// A tombstoned validator gets nothing.
	n.Advance(round)
	require.True(t, p.Virtual(val(p, 0)).IsZero())
	reg, ok := p.Registered(val(p, 0))
	require.True(t, ok)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_TOMBSTONED, reg.Status)
	require.ErrorIs(t, p.TryCrossStake("carol", val(p, 0), one), providertypes.ErrValidatorTombstoned)
}

func TestDoubleSignWhilePartLeftAndPartCame(t *testing.T) {
	n, p := thin(t)
	stakeNineTimes(t, n, p)
	infraction := p.Consumer.Height()
	unstakeAll(n, p)
	settle(n, p)
	p.CrossStake("carol", val(p, 0), 30*one)
	p.CrossStake("dave", val(p, 0), 20*one)
	settle(n, p)
	requireInt(t, 45*one, p.Virtual(val(p, 0)))
	p.Consumer.DoubleSign(val(p, 0), infraction)
	n.Step()
	requireLost(t, p, "val0", 10*one, "0.05")
	requireLost(t, p, "bob", 10*one, "0.05")
}

func TestDoubleSignWithNativeEntriesAndVirtualStakeThatLeft(t *testing.T) {
	n, p := thin(t)
	stakeNineTimes(t, n, p)
	infraction := p.Consumer.Height()
	unstakeAll(n, p)
	p.Consumer.Account("bob").Send(p.Consumer.MsgUndelegate("bob", val(p, 0), 4*one))
	settle(n, p)
	p.Consumer.DoubleSign(val(p, 0), infraction)
	n.Step()
	requireLost(t, p, "val0", 10*one, "0.05")
	requireLost(t, p, "bob", 6*one, "0.05")
	entries := p.Consumer.Unbondings("bob")
	require.Len(t, entries, 1)
	requireInt(t, 3_800_000, entries[0].Balance)
}

func TestDowntimeInTheBlockAfterNinetyPercentLeftCostsNativesTheNominalFraction(t *testing.T) {
	n, p := thin(t)
	stakeNineTimes(t, n, p)
	v := val(p, 0)
	n.Until("the window has filled", round*3, func() bool { return p.Consumer.Height() > highHeight+60 })

	// As many misses as are allowed.
	v.Absent = true
	n.Steps(25)
	v.Absent = false
	n.Step()
	require.False(t, p.Consumer.Validator(v).Jailed)

	unstakeAll(n, p)
	n.Until("virtual stake has left", round, func() bool { return p.Virtual(v).IsZero() })
	// The next block carries the votes on the one in which it left, at the old power.
	v.Absent = true
	n.Step()
	require.EqualValues(t, 200, p.Consumer.PowerAt(v, p.Consumer.Height()-1))
	require.True(t, p.Consumer.Validator(v).Jailed, "one miss too many")
	requireLost(t, p, "val0", 10*one, "0.01")
	requireInt(t, 19_800_000, p.Consumer.Validator(v).Tokens)
	settle(n, p)
}

func TestDowntimeScalesTheAmountOnRecordAndNothingIsMintedBack(t *testing.T) {
	n, p := thin(t)
	stakeNineTimes(t, n, p)
	v := val(p, 0)
	v.Absent = true
	n.Until("jailed", round*3, func() bool { return p.Consumer.Validator(v).Jailed })
	v.Absent = false
	requireLost(t, p, "val0", 10*one, "0.01")
	virtual := p.Virtual(v)
	require.True(t, virtual.Sub(amount(178_200_000)).Abs().LTE(amount(one)), "%s", virtual)
	n.Advance(6 * epoch)
	require.Equal(t, virtual.String(), p.Virtual(v).String(), "a jailed validator keeps its stake, and the gap is not minted back")
	reg, ok := p.Registered(v)
	require.True(t, ok)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_JAILED, reg.Status)
	// Stake on it is still possible, and leaving too.
	p.CrossUnstake("alice", v, 99*one) // of 100, of which the slash took one
	n.Until("executed", round, func() bool { return p.Virtual(v).LT(virtual) })
}

func TestTombstonedValidatorWithoutVirtualStake(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	p.Consumer.DoubleSign(val(p, 2), p.Consumer.Height())
	n.Advance(round)
	reg, ok := p.Registered(val(p, 2))
	require.True(t, ok)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_TOMBSTONED, reg.Status)
	require.ErrorIs(t, p.TryCrossStake("alice", val(p, 2), one), providertypes.ErrValidatorTombstoned)
	requireInt(t, 36*one, p.TotalVirtual())
	settle(n, p)
}

func TestTombstonedWhileAStakeIncreaseIsInFlight(t *testing.T) {
	n, p := pair(t)
	n.Relayer.Policy = updates(p, meshtest.HoldAll)
	p.CrossStake("alice", val(p, 1), 40*one)
	n.Advance(2 * epoch)
	p.Consumer.DoubleSign(val(p, 1), p.Consumer.Height())
	n.Step()
	n.Relayer.Policy = meshtest.Perfect
	n.Advance(round)
	require.True(t, p.TotalVirtual().IsZero())
	require.Empty(t, p.Provider.ProviderState().Outbox)
	require.ErrorIs(t, p.TryCrossUnstake("alice", val(p, 1), 40*one), providertypes.ErrNoPosition)
	require.Len(t, p.Batches(), 1, "the report of the tombstone turned the pool into a batch")
	start := n.Now()
	n.Until("free", 2*u+round, func() bool { return len(p.Batches()) == 0 })
	require.Less(t, n.Now().Sub(start), u+round, "the answer tombstoned counts as executed")
}

func TestValidatorSlashedToNothingGivesUpItsVirtualStakeAndIsRemoved(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{}, meshtest.ChainConfig{
		Validators: []int64{10 * one, 200 * one, 200 * one, 200 * one},
		Delegators: []meshtest.Delegator{{Name: "bob", Stakes: []int64{10 * one}}},
		Genesis: func(g *meshtest.Genesis) {
			g.SlashingParams(func(p *slashingtypes.Params) { p.SlashFractionDoubleSign = sdkmath.LegacyOneDec() })
		},
	})
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	requireInt(t, 36*one, p.Virtual(val(p, 0)))
	p.Consumer.DoubleSign(val(p, 0), p.Consumer.Height())
	n.Step()
	require.True(t, p.Consumer.Validator(val(p, 0)).Tokens.IsZero())
	n.Advance(3 * epoch)
	for _, d := range delegations(t, p.Consumer, p.VirtualAccount()) {
		require.Fail(t, "virtual shares are left", "%v", d)
	}
	n.AdvanceIn(u+round, 15*time.Second)
	n.Until("free", 2*u+round, func() bool { return len(p.Batches()) == 0 })
	require.Empty(t, p.Provider.ProviderState().Positions)
}

func TestValidatorWhoseLastNativeDelegationLeavesKeepsNoVirtualStake(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 3), 40*one)
	settle(n, p)
	requireInt(t, 36*one, p.Virtual(val(p, 3)))
	p.Consumer.Account("val3").Queue(p.Consumer.MsgUndelegate("val3", val(p, 3), 100*one))
	p.Consumer.Account("dave").Queue(p.Consumer.MsgUndelegate("dave", val(p, 3), 20*one))
	n.Steps(2)
	require.True(t, p.Virtual(val(p, 3)).IsZero())
	n.AdvanceIn(u+round, 15*time.Second)
	_, err := p.Consumer.App.StakingKeeper.GetValidator(p.Consumer.CommittedContext(), val(p, 3).ValAddress())
	require.Error(t, err, "the validator is removed")
	require.EqualValues(t, 0, p.Consumer.Power(val(p, 3)))
	p.CrossUnstake("alice", val(p, 3), 40*one)
	n.Until("free", 2*u+round, func() bool { return len(p.Batches()) == 0 })
}

func TestADecreaseThatKeepsFailingHoldsUpNobodyAndJailsTheValidator(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	p.CrossStake("alice", val(p, 1), 40*one)
	settle(n, p)
	// Withdrawing rewards fails from now on, and with it whatever changes the delegation.
	breakRewards(t, p, val(p, 0))
	from := p.Consumer.Height()
	p.CrossUnstake("alice", val(p, 0), 40*one)
	p.CrossUnstake("alice", val(p, 1), 10*one)
	n.Until("the other one leaves", round, func() bool { return p.Virtual(val(p, 1)).Equal(amount(27 * one)) })
	requireInt(t, 36*one, p.Virtual(val(p, 0)))
	require.NotEmpty(t, p.Consumer.EventsSince(from, "mesh.consumer.v1.EventChangeFailed"))
	reg, _ := p.Registered(val(p, 0))
	require.Less(t, reg.ExecutedSeq, stakeRecord(t, p, val(p, 0)).Seq, "not reported as executed")

	n.Until("half the freshness limit has passed", meshtest.Silence, func() bool { return p.Consumer.Validator(val(p, 0)).Jailed })
	op := p.Consumer.Account("val0")
	require.Error(t, op.Try(slashingtypes.NewMsgUnjail(val(p, 0).String())).Err(), "not before the stake is gone")

	repairRewards(t, p, val(p, 0))
	n.Advance(3 * epoch)
	require.True(t, p.Virtual(val(p, 0)).IsZero())
	op.Send(slashingtypes.NewMsgUnjail(val(p, 0).String()))
	settle(n, p)
}
