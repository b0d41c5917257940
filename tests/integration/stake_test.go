package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"

	"github.com/mesh-security/mesh/internal/meshtest"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

func TestCrossStakeRaisesPowerByTheConvertedDiscountedAmount(t *testing.T) {
	n, p := pair(t)
	before := p.Consumer.Power(val(p, 0))
	native := p.Provider.Delegated(p.Provider.Account("alice").Address(), nat(p, 0))

	p.SetPrice(meshtest.Dec("0.5"))
	p.CrossStake("alice", val(p, 0), 50*one)
	settle(n, p)

	// 50 · 0.5 · (1 − 0.1)
	requireInt(t, 22_500_000, p.Virtual(val(p, 0)))
	require.Equal(t, before+22, p.Consumer.Power(val(p, 0)))
	require.Equal(t, native, p.Provider.Delegated(p.Provider.Account("alice").Address(), nat(p, 0)))
	require.Equal(t, map[string]string{"val0": "50000000"}, p.Stored())
}

func TestDecimalsOfTheTwoTokensMayDiffer(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	p.SkipBacking = true // it assumes equal decimals
	p.ProviderConfig.CollateralDecimals = 8
	p.Price = meshtest.Dec("12.5")
	p.SetUp()
	p.CrossStake("alice", val(p, 1), 50*one+7)
	settle(n, p)
	// 0.5 whole collateral tokens · 12.5 · 0.9 whole native tokens; the last seven units are worth 0.78 of one.
	requireInt(t, 5_625_000, p.Virtual(val(p, 1)))
}

func TestUnstakeLeavesTheConsumerAtOnceAndTheProviderAfterU(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 90*one)
	settle(n, p)
	requireInt(t, 81*one, p.Virtual(val(p, 0)))

	p.CrossUnstake("alice", val(p, 0), 90*one)
	start := n.Now()
	settle(n, p)
	require.True(t, p.Virtual(val(p, 0)).IsZero())
	require.Empty(t, p.Stored())
	active, unbonding := p.Lien("alice")
	require.True(t, active.IsZero())
	requireInt(t, 90*one, unbonding)

	n.Until("the batch matures", u+round, func() bool { return len(p.Batches()) == 0 })
	took := n.Now().Sub(start)
	require.GreaterOrEqual(t, took, u)
	require.Less(t, took, u+2*time.Minute, "once executed is reported, the clock runs for U")
	require.Empty(t, p.Provider.ProviderState().Positions)
	require.Empty(t, p.Provider.ProviderState().Accounts)
}

func TestSeveralDelegatorsShareAPool(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 2), 33*one+1)
	p.CrossStake("bob", val(p, 2), 17*one+3)
	p.CrossStake("carol", val(p, 2), 1001)
	p.CrossStake("bob", val(p, 3), 20*one)
	settle(n, p)
	require.Equal(t, map[string]string{"val2": "50001005", "val3": "20000000"}, p.Totals())
	require.Equal(t, p.Totals(), p.Stored())
	p.CrossUnstake("bob", val(p, 2), 17*one+3)
	p.CrossUnstake("carol", val(p, 2), 1)
	settle(n, p)
	require.Equal(t, map[string]string{"val2": "33001001", "val3": "20000000"}, p.Stored())
}

func TestUnstakingOneOfAHundred(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 100*one)
	settle(n, p)
	p.CrossUnstake("alice", val(p, 0), one)
	settle(n, p)
	active, unbonding := p.Lien("alice")
	requireInt(t, 99*one, active)
	requireInt(t, one, unbonding)
	requireInt(t, 99*one, stakeRecord(t, p, val(p, 0)).Amount)
	n.AdvanceIn(u+round, 30*time.Second)
	active, unbonding = p.Lien("alice")
	requireInt(t, 99*one, active)
	require.True(t, unbonding.IsZero())
}

func TestStakeAndUnstakeThatCancelOutInAnEpochAreStillReported(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	seq := stakeRecord(t, p, val(p, 0)).Seq

	alice := p.Provider.Account("alice")
	alice.Queue(p.MsgCrossUnstake("alice", val(p, 0), 10*one))
	tx := alice.Queue(p.MsgCrossStake("alice", val(p, 0), 10*one))
	n.Step()
	require.NoError(t, tx.Err())
	settle(n, p)
	require.Greater(t, stakeRecord(t, p, val(p, 0)).Seq, seq, "the total is unchanged, the touch is reported")
	requireInt(t, 40*one, stakeRecord(t, p, val(p, 0)).Amount)

	// The batch that the unstake opened must not wait for ever: the same listing executes it.
	n.Until("the batch matures", u+round, func() bool { return len(p.Batches()) == 0 })
}

func TestCollateralBacksLiensOnManyConsumersOnce(t *testing.T) {
	n := network(t, "prov", "conx", "cony")
	prov := n.Chain("prov")
	x, y := n.Pair(prov, n.Chain("conx")), n.Pair(prov, n.Chain("cony"))
	x.CrossStake("alice", val(x, 0), 100*one)
	y.CrossStake("alice", val(y, 1), 100*one) // the same 100 tokens again
	require.ErrorIs(t, x.TryCrossStake("alice", val(x, 0), 1000), providertypes.ErrInsufficientCollateral)
	settle(n, x, y)
	requireInt(t, 90*one, x.Virtual(val(x, 0)))
	requireInt(t, 90*one, y.Virtual(val(y, 1)))
}

func TestBudgetsBoundStakeOnManyConsumers(t *testing.T) {
	// With half of everything slashable on each, two consumers take all: 0.5·100 + 0.5·x + 0.05·100 ≤ 100.
	n := network(t, "prov", "conx", "cony")
	prov := n.Chain("prov")
	x := n.NewPairing(n.Connect(prov, n.Chain("conx")), prov, n.Chain("conx"))
	y := n.NewPairing(n.Connect(prov, n.Chain("cony")), prov, n.Chain("cony"))
	for _, p := range []*meshtest.Pairing{x, y} {
		p.ConsumerConfig.MaxSlashFractionDoubleSign = meshtest.Dec("0.5")
		p.SetUp()
	}
	x.CrossStake("alice", val(x, 0), 100*one)
	require.ErrorIs(t, y.TryCrossStake("alice", val(y, 0), 90*one+2), providertypes.ErrInsufficientCollateral)
	y.CrossStake("alice", val(y, 0), 90*one)
	require.ErrorIs(t, y.TryCrossStake("alice", val(y, 0), 1000), providertypes.ErrInsufficientCollateral)
}

func TestOperatorsSelfDelegationCountsOnlyAboveItsMinimum(t *testing.T) {
	n, p := pair(t)
	op := nat(p, 0).Operator
	ctx := p.Provider.CommittedContext()
	v, err := p.Provider.App.StakingKeeper.GetValidator(ctx, nat(p, 0).ValAddress())
	require.NoError(t, err)
	require.True(t, v.MinSelfDelegation.Equal(sdkmath.OneInt()))

	require.ErrorIs(t, p.TryCrossStake("val0", val(p, 0), 100*one), providertypes.ErrInsufficientCollateral)
	p.CrossStake("val0", val(p, 0), 100*one-1)
	settle(n, p)

	// Raising the minimum has no hook. What counts is the smaller of the one now and the one at the first lien.
	op.Send(editMinSelfDelegation(nat(p, 0), 50*one))
	n.Steps(5)
	p.RequireConverged()
	active, _ := p.Lien("val0")
	requireInt(t, 100*one-1, active)
}

func TestPairingAndPriceThroughRealProposals(t *testing.T) {
	n := network(t, "prov", "cons")
	prov, cons := n.Chain("prov"), n.Chain("cons")
	p := n.NewPairing(n.Connect(prov, cons), prov, cons)
	propose(t, prov, p.MsgAddConsumer())
	propose(t, cons, p.MsgAddProvider(), p.MsgSetPrice(sdkmath.LegacyOneDec()))
	n.Advance(time.Minute)
	require.NoError(t, p.OpenChannel())
	p.WaitReady()
	p.CrossStake("alice", val(p, 0), 10*one)
	settle(n, p)
	requireInt(t, 9*one, p.Virtual(val(p, 0)))
}

// propose submits a proposal with a full deposit, and all validators vote for it.
func propose(t *testing.T, c *meshtest.Chain, msgs ...sdk.Msg) {
	t.Helper()
	proposer := c.Account("alice")
	msg, err := govv1.NewMsgSubmitProposal(
		msgs, sdk.NewCoins(sdk.NewInt64Coin(c.Denom, one)), proposer.String(), "", "title", "summary", false,
	)
	require.NoError(t, err)
	proposer.Send(msg)
	var id uint64
	require.NoError(t, c.App.GovKeeper.Proposals.Walk(c.CommittedContext(), nil, func(k uint64, _ govv1.Proposal) (bool, error) {
		id = max(id, k)
		return false, nil
	}))
	for _, v := range c.Validators {
		v.Operator.Queue(govv1.NewMsgVote(v.Operator.Address(), id, govv1.OptionYes, ""))
	}
}

func TestNativeRewardsAndVoteStayWithTheDelegator(t *testing.T) {
	n, p := pair(t)
	alice := p.Provider.Account("alice")
	p.CrossStake("alice", val(p, 0), 100*one)
	settle(n, p)

	before := p.Provider.Balance(alice)
	alice.Send(withdrawRewards(alice, nat(p, 0)))
	require.True(t, p.Provider.Balance(alice).GT(before), "native rewards are paid")

	msg, err := govv1.NewMsgSubmitProposal(
		nil, sdk.NewCoins(sdk.NewInt64Coin(p.Provider.Denom, one)), alice.String(), "ipfs://x", "title", "summary", false,
	)
	require.NoError(t, err)
	alice.Send(msg)
	alice.Send(govv1.NewMsgVote(alice.Address(), 1, govv1.OptionYes, ""))
	ctx, gov := p.Provider.NextContext(), p.Provider.App.GovKeeper
	proposal, err := gov.Proposals.Get(ctx, 1)
	require.NoError(t, err)
	_, _, tally, err := gov.Tally(ctx, proposal)
	require.NoError(t, err)
	require.Equal(t, "100000000", tally.YesCount, "the whole native delegation votes")
}
