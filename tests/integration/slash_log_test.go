package integration_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// slashLog returns the consumer's slash log for the pairing.
func slashLog(p *meshtest.Pairing) (log []meshtypes.SlashEntry) {
	for _, r := range p.Consumer.ConsumerState().SlashLog {
		if r.ProviderId == p.ProviderID {
			log = append(log, r.Record.Entry)
		}
	}
	return log
}

// recorded returns the slashes of the pairing's consumer that the provider has recorded, by id.
func recorded(p *meshtest.Pairing) (slashes []providertypes.SlashRecord) {
	for _, s := range p.Provider.ProviderState().Slashes {
		if s.ClientId == p.ConsumerID {
			slashes = append(slashes, s)
		}
	}
	return slashes
}

// requireRecorded checks that the provider has recorded every entry of the log exactly once, in order, as it was logged.
func requireRecorded(t *testing.T, p *meshtest.Pairing) []providertypes.SlashRecord {
	t.Helper()
	log, slashes := slashLog(p), recorded(p)
	require.Len(t, slashes, len(log))
	for i, s := range slashes {
		e := log[i]
		require.EqualValues(t, i+1, e.Index)
		require.Equal(t, e.Index, s.LogIndex)
		require.Equal(t, e.Operator, s.Validator)
		require.Equal(t, e.Kind, s.Kind)
		require.Equal(t, e.Infraction, s.Infraction)
		require.Equal(t, e.NominalFraction, s.NominalFraction)
		require.Equal(t, e.EffectiveFraction, s.EffectiveFraction)
	}
	require.EqualValues(t, len(log), p.ProviderRecord().AckedIndex)
	return slashes
}

// slashNow slashes a validator on the consumer for no reason given, by a part of what it has.
func slashNow(t *testing.T, p *meshtest.Pairing, v *meshtest.Validator, fraction string) {
	t.Helper()
	c := p.Consumer
	c.Direct(func(ctx sdk.Context) {
		require.NoError(t, c.App.SlashingKeeper.Slash(ctx, v.ConsAddress(), meshtest.Dec(fraction), c.Power(v), ctx.BlockHeight()))
	})
}

func afterSlash(tokens int64, fraction sdkmath.LegacyDec) sdkmath.Int {
	return consumertypes.AfterSlash(amount(tokens), fraction)
}

// totalOf is the provider's active stake on a validator.
func totalOf(t *testing.T, p *meshtest.Pairing, v *meshtest.Validator) string {
	t.Helper()
	for _, r := range p.Provider.ProviderState().Pools {
		if r.Pool.ClientId == p.ConsumerID && r.Pool.Kind == providertypes.POOL_KIND_ACTIVE && string(r.Pool.Validator) == string(v.ValAddress()) {
			return r.Pool.Tokens.String()
		}
	}
	return "0"
}

func TestDowntimeOnTheConsumerCostsTheProvidersStake(t *testing.T) {
	n, p := thin(t)
	stakeNineTimes(t, n, p)
	v := val(p, 0)
	v.Absent = true
	n.Until("jailed", round*3, func() bool { return p.Consumer.Validator(v).Jailed })
	v.Absent = false
	infraction := p.Consumer.Height() - 2
	virtual := p.Virtual(v)

	log := slashLog(p)
	require.Len(t, log, 1)
	require.Equal(t, meshtypes.SLASH_KIND_DOWNTIME, log[0].Kind)
	require.EqualValues(t, infraction, log[0].Infraction.Height)
	require.Greater(t, infraction, int64(highHeight), "a height, not a power")
	require.Equal(t, meshtest.Dec("0.01"), log[0].NominalFraction)
	require.Equal(t, afterSlash(200*one, log[0].EffectiveFraction).String(), stakeRecord(t, p, v).Amount.String(), "scaled at once")

	settle(n, p)
	slashes := requireRecorded(t, p)
	require.Equal(t, providertypes.SLASH_STATUS_EXECUTED, slashes[0].Status, slashes[0].Reason)
	requireInt(t, 198*one, stakeRecord(t, p, v).Amount)
	require.Equal(t, "198000000", totalOf(t, p, v), "both sides agree")
	require.True(t, p.Virtual(v).LTE(virtual), "%s were %s: nothing is minted back", p.Virtual(v), virtual)
}

func TestDoubleSignOnTheConsumerIsClaimedWithoutProof(t *testing.T) {
	n, p := thin(t)
	stakeNineTimes(t, n, p)
	v := val(p, 0)
	infraction := p.Consumer.Height()
	n.Steps(2)
	p.Consumer.DoubleSign(v, infraction)
	n.Step()
	log := slashLog(p)
	require.Len(t, log, 1)
	require.Equal(t, meshtypes.SLASH_KIND_DOUBLE_SIGN, log[0].Kind)
	require.EqualValues(t, infraction, log[0].Infraction.Height)
	require.Equal(t, meshtest.Dec("0.05"), log[0].NominalFraction)
	require.Equal(t, afterSlash(200*one, log[0].EffectiveFraction).String(), stakeRecord(t, p, v).Amount.String())
	settle(n, p)
	slashes := requireRecorded(t, p)
	require.Equal(t, providertypes.SLASH_STATUS_PENDING, slashes[0].Status, slashes[0].Reason)
	require.True(t, p.Virtual(v).IsZero(), "a tombstoned validator gets nothing")
	require.True(t, stakeRecord(t, p, v).Amount.IsZero())
}

func TestSlashAfterEverythingHasLeftIsLogged(t *testing.T) {
	n, p := thin(t)
	stakeNineTimes(t, n, p)
	v := val(p, 0)
	infraction := p.Consumer.Height()
	unstakeAll(n, p)
	settle(n, p)
	require.True(t, p.Virtual(v).IsZero())
	p.Consumer.DoubleSign(v, infraction)
	n.Step()
	requireLost(t, p, "bob", 10*one, "0.05")
	log := slashLog(p)
	require.Len(t, log, 1)
	require.Equal(t, meshtest.Dec("0.05"), log[0].EffectiveFraction, "without a delegation, the nominal one")
	settle(n, p)
	slashes := requireRecorded(t, p)
	require.Equal(t, providertypes.SLASH_STATUS_PENDING, slashes[0].Status, "the batch answers: %s", slashes[0].Reason)
}

func TestSlashOfAValidatorWithoutStakeConcernsNobody(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	slashNow(t, p, val(p, 1), "0.1")
	n.Advance(round)
	require.Empty(t, slashLog(p))
	require.Empty(t, recorded(p))
	settle(n, p)
	require.Equal(t, "40000000", totalOf(t, p, val(p, 0)))
}

func TestTwoSlashesInOneEpochCrossAsTwo(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	slashNow(t, p, val(p, 0), "0.002")
	slashNow(t, p, val(p, 0), "0.003")
	n.Step()
	require.Len(t, slashLog(p), 2)
	settle(n, p)
	for _, s := range requireRecorded(t, p) {
		require.Equal(t, providertypes.SLASH_STATUS_EXECUTED, s.Status, s.Reason)
	}
	want := amount(40 * one)
	for _, e := range slashLog(p) {
		want = consumertypes.AfterSlash(want, e.EffectiveFraction)
	}
	have := stakeRecord(t, p, val(p, 0)).Amount
	require.True(t, have.Sub(want).Abs().LTE(sdkmath.OneInt()), "%s, to rounding %s", have, want)
	require.Equal(t, have.String(), totalOf(t, p, val(p, 0)))
}

func TestSlashWhileUpdatesAreInFlight(t *testing.T) {
	for _, tc := range []struct {
		name string
		act  func(p *meshtest.Pairing)
		// before is what the consumer knows of, after what the provider has.
		before, after int64
	}{
		{"an increase", func(p *meshtest.Pairing) { p.CrossStake("alice", val(p, 0), 20*one) }, 40 * one, 60 * one},
		{"a decrease", func(p *meshtest.Pairing) { p.CrossUnstake("alice", val(p, 0), 10*one) }, 40 * one, 30 * one},
		{"a full unstake", func(p *meshtest.Pairing) { p.CrossUnstake("alice", val(p, 0), 40*one) }, 40 * one, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, p := pair(t)
			p.CrossStake("alice", val(p, 0), 40*one)
			settle(n, p)
			v := val(p, 0)
			n.Relayer.Policy = meshtest.HoldAll
			tc.act(p)
			n.Advance(2 * epoch)
			slashNow(t, p, v, "0.01")
			n.Step()
			log := slashLog(p)
			require.Len(t, log, 1)
			f := log[0].EffectiveFraction
			require.Equal(t, afterSlash(tc.before, f).String(), stakeRecord(t, p, v).Amount.String())
			// The update was sent before the slash was known: it is scaled when it comes.
			n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
				if p.IsReport(tr) {
					return meshtest.Hold
				}
				return meshtest.Deliver
			}
			n.Until("the update has come", round, func() bool {
				return stakeRecord(t, p, v).Amount.Equal(afterSlash(tc.after, f))
			})
			n.Advance(2 * epoch)
			require.Equal(t, afterSlash(tc.after, f).String(), stakeRecord(t, p, v).Amount.String())
			n.Relayer.Policy = meshtest.Perfect
			settle(n, p)
			requireRecorded(t, p)
			require.Equal(t, totalOf(t, p, v), stakeRecord(t, p, v).Amount.String())
		})
	}
}

// TestSlashesConvergeWhateverIsLostOrReordered: dozens of slashes, with stake coming and leaving, over a relayer that loses,
// holds, repeats and reorders. In the end each slash is recorded once and both sides have the same amounts.
func TestSlashesConvergeWhateverIsLostOrReordered(t *testing.T) {
	for i := range 3 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			n, p := pair(t)
			n.Relayer.Shuffle, n.Relayer.Policy = true, n.Unreliable(25, 35, 15, false)
			for range 25 {
				v := val(p, n.Rand.Intn(3))
				switch n.Rand.Intn(4) {
				case 0:
					_ = p.TryCrossStake("alice", v, int64(1+n.Rand.Intn(20))*one)
				case 1:
					_ = p.TryCrossUnstake("alice", v, int64(1+n.Rand.Intn(10))*one)
				default:
					slashNow(t, p, v, []string{"0.0001", "0.0123", "0.002"}[n.Rand.Intn(3)])
				}
				n.Steps(1 + n.Rand.Intn(12))
			}
			n.Relayer.Policy = meshtest.Perfect
			n.Until("everything has been answered", 10*round, p.Converged)
			settle(n, p)
			requireRecorded(t, p)
			require.NotEmpty(t, slashLog(p))
			for j := range 3 {
				if total := totalOf(t, p, val(p, j)); total != "0" {
					require.Equal(t, total, stakeRecord(t, p, val(p, j)).Amount.String())
				}
			}
		})
	}
}

// TestAReportThatIsLostCarriesItsSlashesAgain: with no validator to report, the tail alone is a reason to send.
func TestAReportThatIsLostCarriesItsSlashesAgain(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if p.IsReport(tr) && !tr.IsAck() {
			return meshtest.Drop
		}
		return meshtest.Deliver
	}
	from := p.Consumer.Height()
	slashNow(t, p, val(p, 0), "0.01")
	n.Until("a report is lost", 10*round, func() bool {
		return len(p.Consumer.EventsSince(from, "mesh.consumer.v1.EventReportFailed")) > 0
	})
	require.Empty(t, recorded(p))
	n.Relayer.Policy = meshtest.Perfect
	n.Until("recorded", 10*round, func() bool { return len(recorded(p)) == 1 })
	settle(n, p)
	requireRecorded(t, p)
}
