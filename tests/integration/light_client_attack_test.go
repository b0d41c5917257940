package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	"github.com/mesh-security/mesh/internal/meshtest"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// attack is a consumer of seven validators, of which those with the numbers 2 to 5 sign both of two conflicting headers:
// 0 votes for nil in the second, 1 is absent from the second and 6 from the first.
type attack struct {
	*testing.T
	n *meshtest.Network
	p *meshtest.Pairing
	// a and b are what the attackers sign.
	a, b meshtest.Fork
}

var (
	attackers = []int{2, 3, 4, 5}
	bystander = []int{0, 1, 6}
)

// newAttack has alice stake so much on each attacker and carol on each of the others, and lets the attackers sign at a
// height that the client has not seen.
func newAttack(t *testing.T, onAttackers, onOthers int64) *attack {
	t.Helper()
	n := networkOf(t, meshtest.ChainConfig{
		Name: "prov",
		Delegators: []meshtest.Delegator{
			{Name: "alice", Stakes: []int64{600 * one}}, {Name: "carol", Stakes: []int64{0, 600 * one}}, {Name: "bob", Stakes: []int64{100 * one}},
		},
	}, meshtest.ChainConfig{
		Name: "cons", InitialHeight: highHeight,
		Validators: []int64{100 * one, 100 * one, 100 * one, 100 * one, 100 * one, 100 * one, 100 * one},
		Delegators: []meshtest.Delegator{},
	})
	p := n.NewPairing(n.Connect(n.Chain("prov"), n.Chain("cons")), n.Chain("prov"), n.Chain("cons"))
	p.ProviderConfig.MaxPowerRatio = meshtest.Dec("0.05") // powers stay about equal: five of seven are two thirds
	p.SetUp()
	for _, i := range attackers {
		p.Provider.Account("alice").Queue(p.MsgCrossStake("alice", val(p, i), onAttackers))
	}
	for _, i := range bystander {
		p.Provider.Account("carol").Queue(p.MsgCrossStake("carol", val(p, i), onOthers))
	}
	n.Step()
	settle(n, p)
	n.Relayer.Stopped = true
	// A part of alice's stake leaves: its batch answers too.
	p.CrossUnstake("alice", val(p, 2), onAttackers/4)
	n.Steps(3)
	height := p.Consumer.Height()
	require.Greater(t, height, int64(p.Link().On(p.Provider).ClientHeight().RevisionHeight))
	return &attack{
		T: t, n: n, p: p,
		a: meshtest.Fork{Height: height, App: 1, Absent: []*meshtest.Validator{val(p, 6)}},
		b: meshtest.Fork{Height: height, App: 2, Nil: []*meshtest.Validator{val(p, 0)}, Absent: []*meshtest.Validator{val(p, 1)}},
	}
}

// stakeOn returns what is staked on, or leaving, a validator of the consumer.
func (a *attack) stakeOn(i int) sdkmath.Int {
	sum := sdkmath.ZeroInt()
	for _, r := range a.p.Provider.ProviderState().Pools {
		if r.Pool.ClientId == a.p.ConsumerID && sdk.ValAddress(r.Pool.Validator).Equals(val(a.p, i).ValAddress()) && !r.Pool.IsMatured() {
			sum = sum.Add(r.Pool.Tokens)
		}
	}
	return sum
}

func (a *attack) client() exported.Status { return a.p.Link().On(a.p.Provider).ClientStatus() }

// submit proves the attack and checks what that does at once, whoever is slashed when.
func (a *attack) submit() {
	a.Helper()
	require.Equal(a, exported.Active, a.client())
	a.p.Provider.Account("bob").Send(a.p.MsgSubmitMisbehaviour("bob", a.a, a.b))
	require.Equal(a, exported.Frozen, a.client())
	rec := a.p.ConsumerRecord().Consumer
	require.Equal(a, providertypes.CONSUMER_STATUS_PAUSED, rec.Status)
	require.True(a, rec.HasPauseReason(providertypes.PAUSE_REASON_MISBEHAVIOUR))
	for _, i := range append(bystander, attackers...) {
		require.ErrorIs(a, a.p.TryCrossStake("bob", val(a.p, i), one), providertypes.ErrConsumerPaused)
	}
	require.ErrorIs(a, a.p.Provider.Account("bob").Try(a.p.MsgSubmitMisbehaviour("bob", a.a, a.b)).Err(), providertypes.ErrAlreadyPunished)
}

// requireSlashed checks that exactly these validators were slashed for it, by the double-sign fraction, and are closed.
func (a *attack) requireSlashed(before map[int]sdkmath.Int, slashed ...int) {
	a.Helper()
	was := map[int]bool{}
	for _, i := range slashed {
		was[i] = true
	}
	for i := range 7 {
		want := before[i]
		if was[i] {
			want = want.Sub(meshtest.Dec("0.05").MulInt(want).TruncateInt())
		}
		diff := want.Sub(a.stakeOn(i)).Abs()
		require.True(a, diff.LTE(sdkmath.NewInt(2)), "validator %d has %s, not %s", i, a.stakeOn(i), want) // pool and batch round
		reg, known := a.p.Registered(val(a.p, i))
		require.True(a, known)
		require.Equal(a, was[i], reg.Closed, "validator %d", i)
	}
}

func (a *attack) stakes() map[int]sdkmath.Int {
	out := map[int]sdkmath.Int{}
	for i := range 7 {
		out[i] = a.stakeOn(i)
	}
	return out
}

// everybodyLeaves takes all stake back while the client is frozen, and checks that it is free after 2U.
func (a *attack) everybodyLeaves() {
	a.Helper()
	for _, i := range append(bystander, attackers...) {
		for _, del := range []string{"alice", "carol"} {
			for _, r := range a.p.Provider.ProviderState().Positions {
				for _, pool := range a.p.Provider.ProviderState().Pools {
					if pool.Id == r.PoolId && pool.Pool.Kind == providertypes.POOL_KIND_ACTIVE &&
						sdk.ValAddress(pool.Pool.Validator).Equals(val(a.p, i).ValAddress()) &&
						a.p.Provider.Account(del).Address().Equals(sdk.AccAddress(r.Delegator)) {
						a.p.CrossUnstake(del, val(a.p, i), pool.Pool.ValueOf(r.Position.Shares).Int64())
					}
				}
			}
		}
	}
	a.n.AdvanceIn(2*u+u/3+time.Minute, 15*time.Second) // the mass delay may come on top
	state := a.p.Provider.ProviderState()
	require.Empty(a, state.Positions)
	require.Empty(a, state.Pools)
	require.Empty(a, state.Accounts)
	require.Empty(a, state.Holds)
	require.True(a, state.Totals.Debt.IsZero())
	require.Equal(a, state.Totals.Owed.String(), state.Totals.Burned.String(), "nobody fell short")
	require.True(a, state.Totals.Owed.Sub(state.Totals.Slashed).Abs().LTE(sdkmath.NewIntFromUint64(state.Totals.Roundings)))
	require.True(a, a.p.TotalVirtual().IsZero(), "the consumer hears nothing any more, and lets go")
}

// TestLightClientAttack: whoever signed both headers for a block is slashed, pool and batch, and closed; who was absent
// or voted for nil is not. The client is frozen, the consumer paused, and everybody can leave.
func TestLightClientAttack(t *testing.T) {
	a := newAttack(t, 20*one, 190*one) // 80 of 650: no third
	before := a.stakes()
	supply := a.p.Provider.Account("alice")
	staked := a.p.Provider.Delegated(supply.Address(), nat(a.p, 0))
	a.submit()
	a.n.Step()
	a.requireSlashed(before, attackers...)
	var slashes []providertypes.SlashRecord
	for _, s := range recorded(a.p) {
		require.Equal(t, providertypes.SLASH_ORIGIN_MISBEHAVIOUR, s.Origin)
		require.Equal(t, providertypes.SLASH_STATUS_EXECUTED, s.Status, s.Reason)
		require.Equal(t, meshtypes.NewHeight(1, uint64(a.a.Height)), s.Infraction)
		slashes = append(slashes, s)
	}
	require.Len(t, slashes, len(attackers))
	// Alice alone pays, all of it; of that the submitter gets at most 5 %.
	a.n.Until("burned", round, func() bool { return a.p.Provider.ProviderState().Totals.Debt.IsZero() })
	a.n.Steps(5)
	totals := a.p.Provider.ProviderState().Totals
	lost := staked.Sub(a.p.Provider.Delegated(supply.Address(), nat(a.p, 0)))
	requireInt(t, 4*one, totals.Slashed)
	require.Equal(t, totals.Burned.String(), lost.String())
	require.True(t, totals.Burned.Sub(totals.Slashed).Abs().LTE(sdkmath.NewInt(8)), "%s", totals.Burned)
	require.True(t, totals.Rewarded.IsPositive() && totals.Rewarded.MulRaw(20).LTE(totals.Burned), "%s", totals.Rewarded)
	requireInt(t, 600*one, a.p.Provider.Delegated(a.p.Provider.Account("carol").Address(), nat(a.p, 1)))
	a.everybodyLeaves()
}

// TestLightClientAttackByMoreThanAThird: what is beyond a third of the stake waits for a veto. Governance takes one of the
// slashes back; the others are executed after the delay, batches that wait included, also if their owner wants to leave.
func TestLightClientAttackByMoreThanAThird(t *testing.T) {
	a := newAttack(t, 80*one, 60*one) // 320 of 500
	before := a.stakes()
	a.submit()
	a.n.Steps(3)
	// The first of them is no third alone; with the second it is.
	var waiting, done []providertypes.SlashRecord
	for _, s := range recorded(a.p) {
		if s.Status == providertypes.SLASH_STATUS_PENDING {
			waiting = append(waiting, s)
		} else {
			done = append(done, s)
		}
	}
	require.Len(t, waiting, 2)
	require.Len(t, done, 2)
	number := func(s providertypes.SlashRecord) int {
		for i := range 7 {
			if val(a.p, i).ValAddress().Equals(sdk.ValAddress(s.Validator)) {
				return i
			}
		}
		return -1
	}
	first, second := number(waiting[0]), number(waiting[1])
	for i := range 7 {
		reg, _ := a.p.Registered(val(a.p, i))
		require.Equal(t, i >= 2 && i <= 5, reg.Closed, "closed while it waits")
	}
	require.Equal(t, before[first].String(), a.stakeOn(first).String(), "nothing is taken before the delay is over")
	// Leaving does not help against what waits.
	for _, i := range []int{first, second} {
		pool := before[i]
		if i == 2 {
			pool = pool.Sub(amount(20 * one))
		}
		a.p.CrossUnstake("alice", val(a.p, i), pool.Int64())
	}
	a.p.Provider.MustGov(&providertypes.MsgVetoSlash{Authority: a.p.Provider.Authority(), SlashId: waiting[0].Id})
	a.n.Step()
	require.Equal(t, waiting[1].RecordedAt.Add(u/3), waiting[1].DueAt)
	require.Greater(t, waiting[1].DueAt.Sub(a.n.Now()), u/6, "it still waits")
	for a.n.Now().Before(waiting[1].DueAt) {
		require.Equal(t, before[second].String(), a.stakeOn(second).String())
		a.n.Step()
	}
	a.n.Advance(30 * time.Second)
	a.requireSlashed(before, number(done[0]), number(done[1]), second)
	require.Equal(t, before[first].String(), a.stakeOn(first).String(), "vetoed")
	a.n.Until("burned", round, func() bool { return a.p.Provider.ProviderState().Totals.Debt.IsZero() })
	a.everybodyLeaves()
}

// TestRollbackOfTheConsumerUnderItsOldChainID: after a rollback every honest validator has signed two blocks at the same
// heights, and anyone can prove it. What is proved up to a third is lost; the rest waits until governance takes it back and
// raises the height from which evidence counts. Then nothing of it can be proved again, and everything goes on.
func TestRollbackOfTheConsumerUnderItsOldChainID(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{}, meshtest.ChainConfig{InitialHeight: highHeight})
	p.SkipBacking = true // collateral is lost
	for i := range 4 {
		p.Provider.Account("alice").Queue(p.MsgCrossStake("alice", val(p, i), 10*one))
	}
	n.Step()
	settle(n, p)
	height := int64(p.Link().On(p.Provider).ClientHeight().RevisionHeight)
	require.Greater(t, height, int64(highHeight))
	for i := range 4 {
		p.Provider.Account("bob").Send(p.MsgSubmitDoubleVote("bob", val(p, i), height))
	}
	slashes := recorded(p)
	require.Len(t, slashes, 4)
	require.Equal(t, providertypes.SLASH_STATUS_EXECUTED, slashes[0].Status, "a quarter of the stake")
	requireInt(t, one/2, slashes[0].Amount)
	for i, s := range slashes[1:] {
		require.Equal(t, providertypes.SLASH_STATUS_PENDING, s.Status, "%d", i)
		require.Equal(t, "10000000", totalOf(t, p, val(p, i+1)))
		require.ErrorIs(t, p.TryCrossStake("alice", val(p, i+1), one), providertypes.ErrValidatorClosed)
	}
	p.Provider.MustGov(&providertypes.MsgSetEvidenceMinHeight{
		Authority: p.Provider.Authority(), ConsumerId: p.ConsumerID, ChainId: p.Consumer.ChainID, Height: uint64(height + 1),
	})
	for _, s := range slashes[1:] {
		p.Provider.MustGov(&providertypes.MsgVetoSlash{Authority: p.Provider.Authority(), SlashId: s.Id})
	}
	n.Step()
	for i := range 4 {
		err := p.Provider.Account("bob").Try(p.MsgSubmitDoubleVote("bob", val(p, i), height)).Err()
		require.ErrorIs(t, err, providertypes.ErrEvidenceMinHeight)
	}
	settle(n, p)
	for i := 1; i < 4; i++ {
		require.Equal(t, "10000000", totalOf(t, p, val(p, i)))
		p.CrossStake("alice", val(p, i), one)
	}
	settle(n, p)
	requireInt(t, 33*one*9/10, p.TotalVirtual())
	// A real double sign after it still counts.
	height = int64(p.Link().On(p.Provider).ClientHeight().RevisionHeight)
	p.Provider.Account("bob").Send(p.MsgSubmitDoubleVote("bob", val(p, 1), height))
	for i := 1; i < 4; i++ {
		if i != 1 {
			p.CrossUnstake("alice", val(p, i), 11*one)
		}
	}
	n.AdvanceIn(2*u+u/3+time.Minute, 15*time.Second)
	state := p.Provider.ProviderState()
	require.Empty(t, state.Positions)
	require.Empty(t, state.Pools)
	require.Equal(t, state.Totals.Owed.String(), state.Totals.Burned.String())
	require.True(t, p.TotalVirtual().IsZero())
}
