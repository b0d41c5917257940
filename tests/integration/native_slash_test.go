package integration_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"

	"github.com/mesh-security/mesh/internal/meshtest"
)

// burnt is a provider whose validator val0 has 200 tokens, 180 of them alice's, and a consumer that takes all of what is
// staked on a validator that double-signs. The provider slashes downtime after 25 of 50 blocks.
type burnt struct {
	*testing.T
	n *meshtest.Network
	p *meshtest.Pairing
}

func newBurnt(t *testing.T) *burnt {
	t.Helper()
	n := networkOf(t, meshtest.ChainConfig{
		Name: "prov", InitialHeight: highHeight,
		Validators: []int64{10 * one, 200 * one, 200 * one, 200 * one},
		Delegators: []meshtest.Delegator{
			{Name: "alice", Stakes: []int64{180 * one}}, {Name: "bob", Stakes: []int64{10 * one}}, {Name: "carol", Stakes: []int64{0, 900 * one}},
		},
		Genesis: func(g *meshtest.Genesis) {
			g.SlashingParams(func(p *slashingtypes.Params) { p.SignedBlocksWindow = 50 })
		},
	}, meshtest.ChainConfig{Name: "cons", InitialHeight: 2 * highHeight})
	p := n.NewPairing(n.Connect(n.Chain("prov"), n.Chain("cons")), n.Chain("prov"), n.Chain("cons"))
	p.ConsumerConfig.MaxSlashFractionDoubleSign = meshtest.Dec("1")
	p.SkipBacking = true // all of alice's stake is lost at once
	p.SetUp()
	p.Provider.Account("carol").Queue(p.MsgCrossStake("carol", val(p, 1), 800*one)) // alice's is no third of it
	p.CrossStake("alice", val(p, 0), 160*one)
	settle(n, p)
	require.EqualValues(t, 200, p.Provider.Power(nat(p, 0)))
	return &burnt{T: t, n: n, p: p}
}

// burn proves that the consumer's validator double-signed: all of alice's 160 tokens are burned with the block.
func (b *burnt) burn() {
	b.Helper()
	tx := b.p.Provider.Account("bob").Queue(b.p.MsgSubmitDoubleVote("bob", val(b.p, 0), int64(b.p.Link().On(b.p.Provider).ClientHeight().RevisionHeight)))
	b.n.Step()
	require.NoError(b, tx.Err())
	totals := b.p.Provider.ProviderState().Totals
	requireInt(b.T, 160*one, totals.Burned)
	require.True(b, totals.Debt.IsZero())
}

// tokens returns what everybody has delegated to val0.
func (b *burnt) tokens() map[string]sdkmath.Int {
	out := map[string]sdkmath.Int{}
	for _, who := range []string{"val0", "bob", "alice"} {
		out[who] = b.p.Provider.Delegated(b.p.Provider.Account(who).Address(), nat(b.p, 0))
	}
	return out
}

// requireLost checks that everybody has lost a fraction, all together to one power unit of it.
func (b *burnt) requireLost(before map[string]sdkmath.Int, fraction string) {
	b.Helper()
	f := meshtest.Dec(fraction)
	had, lost := sdkmath.ZeroInt(), sdkmath.ZeroInt()
	for who, have := range b.tokens() {
		had, lost = had.Add(before[who]), lost.Add(before[who].Sub(have))
	}
	require.True(b, lost.Sub(f.MulInt(had).TruncateInt()).Abs().LTE(amount(one)), "%s lost of %s", lost, had)
	for who, have := range b.tokens() {
		share := sdkmath.LegacyNewDecFromInt(lost).MulInt(before[who]).QuoInt(had).TruncateInt()
		require.True(b, before[who].Sub(have).Sub(share).Abs().LTE(amount(2)), "%s has %s of %s", who, have, before[who])
	}
}

// TestNativeDoubleSignAfterASettlementBurn: what a settlement burned has left no entry in x/staking, so a later slash by
// x/evidence for an earlier infraction must not take it from the other delegators.
func TestNativeDoubleSignAfterASettlementBurn(t *testing.T) {
	for _, tc := range []struct {
		name string
		// infraction says how many blocks after the burn it was.
		infraction int64
		power      int64
	}{
		{"long before the burn", -5, 200},
		{"in the block before", -1, 200},
		{"in the block of the burn", 0, 200},
		{"in the block after, whose votes still have the power of before", 1, 200},
		{"two blocks after", 2, 40},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBurnt(t)
			before := b.tokens()
			b.burn()
			at := b.p.Provider.Height()
			b.n.Steps(4)
			require.EqualValues(t, tc.power, b.p.Provider.PowerAt(nat(b.p, 0), at+tc.infraction))
			requireInt(t, 20*one, b.tokens()["alice"])
			require.Equal(t, before["bob"].String(), b.tokens()["bob"].String())
			before = b.tokens()
			b.p.Provider.DoubleSign(nat(b.p, 0), at+tc.infraction)
			b.n.Step()
			require.True(t, b.p.Provider.Validator(nat(b.p, 0)).Jailed)
			b.requireLost(before, "0.05")
			requireInt(t, 38*one, b.p.Provider.Validator(nat(b.p, 0)).Tokens, "5 %% of 40, not of 200")
		})
	}
}

// TestNativeDowntimeAfterASettlementBurn: x/slashing slashes by the power of the last commit, which may be of before the
// burn.
func TestNativeDowntimeAfterASettlementBurn(t *testing.T) {
	b := newBurnt(t)
	v := nat(b.p, 0)
	b.n.Until("the window has filled", 3*round, func() bool { return b.p.Provider.Height() > highHeight+60 })
	v.Absent = true
	b.n.Steps(25) // as many misses as are allowed
	v.Absent = false
	b.n.Step()
	require.False(t, b.p.Provider.Validator(v).Jailed)
	b.burn()
	before := b.tokens()
	v.Absent = true
	b.n.Step()
	require.EqualValues(t, 200, b.p.Provider.PowerAt(v, b.p.Provider.Height()-1))
	require.True(t, b.p.Provider.Validator(v).Jailed, "one miss too many")
	b.requireLost(before, "0.01")
	requireInt(t, 39_600_000, b.p.Provider.Validator(v).Tokens, "1 %% of 40, not of 200")
}

// TestNativeDoubleSignAfterABurnOfEntries: what was burned from an unbonding entry stays in x/staking's sums by the
// entry's initial balance; only what was burned from the delegation is taken off the power.
func TestNativeDoubleSignAfterABurnOfEntries(t *testing.T) {
	b := newBurnt(t)
	infraction := b.p.Provider.Height()
	b.p.Provider.Account("bob").Queue(b.p.Provider.MsgUndelegate("bob", nat(b.p, 0), 4*one))
	b.p.Provider.Account("alice").Send(b.p.Provider.MsgUndelegate("alice", nat(b.p, 0), 100*one))
	b.burn() // 80 from the delegation, 80 from the entry that is held
	b.n.Step()
	requireInt(t, 0, b.tokens()["alice"])
	entries := b.p.Provider.Unbondings("alice")
	require.Len(t, entries, 1)
	requireInt(t, 20*one, entries[0].Balance)

	before := b.tokens()
	b.p.Provider.DoubleSign(nat(b.p, 0), infraction)
	b.n.Step()
	requireInt(t, 15*one, b.p.Provider.Unbondings("alice")[0].Balance, "5 %% of what it was at the infraction")
	requireInt(t, 3_800_000, b.p.Provider.Unbondings("bob")[0].Balance)
	b.requireLost(before, "0.05")
	requireInt(t, 15_200_000, b.p.Provider.Validator(nat(b.p, 0)).Tokens)
}
