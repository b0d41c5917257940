package keeper_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// shortenU makes the consumer report a tiny unbonding period, and acknowledge the update that announces it.
func (s *slasher) shortenU(to time.Duration) {
	s.Helper()
	m := s.c.Message()
	m.UnbondingPeriod = uint64(to)
	ack, isError := s.c.Send(m)
	require.False(s, isError || ack.Refused)
	s.f.Epoch()
	s.c.Relay()
	require.Equal(s, to, s.c.Pairing().EffectiveUnbonding)
}

// TestLaterKeyAndAShorterU: a consumer that reports a later key, and then a shorter unbonding period, cannot prove

// anything with that key any earlier.
func TestLaterKeyAndAShorterU(t *testing.T) {
	s := newSlasher(t, nil)
	s.rotate(1, 101, latest+1)
	s.shortenU(time.Second)
	s.client(latest + 1_000)
	require.ErrorIs(t, s.dry(testutil.ConsensusKey(101), latest+500), types.ErrKeyNotProving)
}

// TestMassProofAndAShorterU: nor does that shorten the time for a veto of mass proofs.
func TestMassProofAndAShorterU(t *testing.T) {
	s := newSlasher(t, nil)
	s.shortenU(time.Second)
	s.client(latest + 1_000)
	rec, err := s.prove(2, latest+500)
	require.NoError(t, err)
	require.Equal(t, pending, rec.Status)
	require.Equal(t, s.f.Ctx.BlockTime().Add(3*day), rec.DueAt)
}

// TestDustOfOthersIsNoEscape: rounding when others unstake raises the value of who stays. That is no collateral lost.
func TestDustOfOthersIsNoEscape(t *testing.T) {
	f := testutil.New(t)
	val := f.Validator(500_000_000, 1)
	u, w := f.Delegator(val, 1_000_000), f.Delegator(val, 100_000)
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(1)
	require.NoError(t, c.Stake(u, 1, 1_000_000))
	require.NoError(t, c.Stake(w, 1, 10_000))
	f.NextBlock()
	slashPool(t, f, c, 1, "0.01")
	f.Blocks(3)
	require.Equal(t, "990000", f.Collateral(u).MaxLien.String())
	require.Equal(t, "990000", f.Collateral(u).Collateral.String())
	for range 300 {
		require.NoError(t, c.Unstake(w, 1, 1))
	}
	f.NextBlock()
	require.Equal(t, "990291", f.Collateral(u).MaxLien.String())
	require.NoError(t, f.Undelegate(u, val, 1))
	f.NextBlock()
	col := f.Collateral(u)
	require.False(t, col.Barred)
	require.True(t, col.MaxLien.LTE(col.Collateral), "%s", col.MaxLien)
	// What goes missing of the collateral is an escape all the same.
	d, err := f.Staking.GetDelegation(f.Ctx, u, val)
	require.NoError(t, err)
	require.NoError(t, f.Staking.RemoveDelegation(f.Ctx, d))
	d.DelegatorAddress = f.Address().String()
	require.NoError(t, f.Staking.SetDelegation(f.Ctx, d))
	require.NoError(t, f.Provider.Marked.Set(f.Ctx, u))
	f.NextBlock()
	require.True(t, f.Collateral(u).Barred)
}

// TestManySettlements: however often a position is settled, its budget covers what its pool may take.
func TestManySettlements(t *testing.T) {
	f := testutil.New(t)
	val := f.Validator(500_000_000, 1)
	u, w := f.Delegator(val, 1_000_000), f.Delegator(val, 10_000_000)
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(1)
	require.NoError(t, c.Stake(u, 1, 1_000))
	require.NoError(t, c.Stake(w, 1, 1_000_000))
	f.NextBlock()
	id, err := f.Provider.ActivePools.Get(f.Ctx, poolKey(c.ClientID, 1))
	require.NoError(t, err)
	for range 60 {
		_, err := f.Provider.SlashOne(f.Ctx, id, dec("0.000001"))
		require.NoError(t, err)
		require.NoError(t, f.Provider.Marked.Set(f.Ctx, u))
		f.NextBlock()
	}
}

// TestExecutedAtNoHeight: a report of an execution without height is none.
func TestExecutedAtNoHeight(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 1_000))
	f.Epoch()
	c.Relay()
	require.NoError(t, c.Unstake(u, 1, 500))
	f.Skip(day)
	for range 3 {
		f.Epoch()
		c.Relay()
	}
	r := testutil.ValidatorReport(1)
	r.ExecutedSeq = c.Seqs[string(r.Operator)]
	ack, isError := c.Send(c.Message(r))
	require.False(t, isError || ack.Refused)
	f.NextBlock()
	require.Len(t, c.Batches(), 1)
	require.True(t, c.Batches()[0].Batch.Pool.Batch.StartedAt.IsZero())
}

// TestVetoedProofIsProvedAgain: what governance took away is not executed without another veto, when the window is over.
func TestVetoedProofIsProvedAgain(t *testing.T) {
	s := newSlasher(t, nil)
	rec, err := s.prove(2, offence)
	require.NoError(t, err)
	require.Equal(t, pending, rec.Status)
	_, err = s.f.Msgs.VetoSlash(s.f.Ctx, &types.MsgVetoSlash{Authority: s.f.Authority, SlashId: rec.Id})
	require.NoError(t, err)
	rec, err = s.f.Provider.RecordProof(s.f.Ctx, client, testutil.Operator(1), at(offence), s.w, true)
	require.NoError(t, err)
	require.Equal(t, pending, rec.Status)
	_, err = s.f.Msgs.VetoSlash(s.f.Ctx, &types.MsgVetoSlash{Authority: s.f.Authority, SlashId: rec.Id})
	require.NoError(t, err)
	s.f.Skip(8 * day)
	rec, err = s.prove(1, offence)
	require.NoError(t, err)
	require.Equal(t, pending, rec.Status)
}

// TestManyWalksOfDearMembers: walks share the steps of a block, however many there are and however much their members

// have natively.
func TestManyWalksOfDearMembers(t *testing.T) {
	f := testutil.New(t)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 40 })
	var vals []sdk.ValAddress
	for range 20 {
		vals = append(vals, f.Validator(1_000_000, 1))
	}
	c := f.Consumer(client, nil)
	c.Bond(10)
	for n := 1; n <= 10; n++ {
		u := f.Account(sdkmath.NewInt(20_000))
		for _, val := range vals {
			require.NoError(t, f.Delegate(u, val, 1_000))
		}
		require.NoError(t, c.Stake(u, n, 10_000))
	}
	f.Blocks(10)
	for n := 1; n <= 10; n++ {
		slashPool(t, f, c, n, "0.1")
	}
	f.NextBlock()
	settled := export(t, f).Totals.Roundings
	require.Positive(t, settled)
	require.LessOrEqual(t, settled, uint64(2), "a quarter of 40 steps, and one visit of 22")
	f.Blocks(60)
	totals := requireTotals(t, f, 10_000, 10_000, 0, 0)
	require.EqualValues(t, 10, totals.Roundings)
}
