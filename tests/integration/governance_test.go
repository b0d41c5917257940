package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

// votingPeriod is a bit more than x/gov's of the chains.
const votingPeriod = 40 * time.Second

// ask submits a proposal without messages, with its full deposit, and returns its id.
func ask(c *meshtest.Chain, proposer string) uint64 {
	c.Helper()
	a := c.Account(proposer)
	deposit := sdk.NewCoins(sdk.NewInt64Coin(c.Denom, one))
	msg, err := govv1.NewMsgSubmitProposal(nil, deposit, a.String(), "ipfs://x", "a question", "yes or no", false)
	require.NoError(c, err)
	id, err := c.App.GovKeeper.ProposalID.Peek(c.CommittedContext())
	require.NoError(c, err)
	a.Send(msg)
	return id
}

// vote votes by transactions of one block.
func vote(n *meshtest.Network, id uint64, option govv1.VoteOption, voters ...*meshtest.Account) {
	n.Helper()
	for _, v := range voters {
		v.Queue(govv1.NewMsgVote(v.Address(), id, option, ""))
	}
	n.Step()
}

// requireOutcome steps until the vote has ended.
func requireOutcome(n *meshtest.Network, c *meshtest.Chain, id uint64, status govv1.ProposalStatus, yes, no int64) {
	n.Helper()
	n.Advance(votingPeriod)
	proposal, err := c.App.GovKeeper.Proposals.Get(c.CommittedContext(), id)
	require.NoError(n, err)
	require.Equal(n, status.String(), proposal.Status.String())
	require.Equal(n, govv1.NewTallyResult(amount(yes), amount(0), amount(no), amount(0)), *proposal.FinalTallyResult)
}

// TestProposalDependsOnTheGovernanceWeight: with the same votes a proposal on the consumer fails as long as allied stake
// has no weight, and passes when it has. The query says so before the vote has ended.
func TestProposalDependsOnTheGovernanceWeight(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 100*one)
	settle(n, p)
	requireInt(t, 90*one, p.Virtual(val(p, 0)))

	query := func(id uint64) (*consumertypes.QueryTallyResponse, error) {
		_, q := queries(p.Consumer)
		return q.Tally(context.Background(), &consumertypes.QueryTallyRequest{ProposalId: id})
	}
	for _, tc := range []struct {
		weight  string
		status  govv1.ProposalStatus
		counted int64
	}{
		{"0", govv1.StatusRejected, 0},
		{"0.3", govv1.StatusRejected, 27 * one},
		{"0.5", govv1.StatusPassed, 45 * one},
		{"1", govv1.StatusPassed, 90 * one},
	} {
		p.UpdateProvider(func(c *consumertypes.ProviderConfig) { c.GovernanceWeight = meshtest.Dec(tc.weight) })
		id := ask(p.Consumer, "alice")
		vote(n, id, govv1.OptionYes, val(p, 0).Operator)
		vote(n, id, govv1.OptionNo, val(p, 1).Operator)

		res, err := query(id)
		require.NoError(t, err)
		for _, c := range []struct {
			count  consumertypes.TallyCount
			part   int64
			passes bool
		}{
			{res.InForce, tc.counted, tc.status == govv1.StatusPassed}, {res.Native, 0, false}, {res.Full, 90 * one, true},
		} {
			requireInt(t, 160*one+c.part, c.count.Yes)
			requireInt(t, 190*one, c.count.No)
			requireInt(t, 350*one+c.part, c.count.Voted)
			requireInt(t, 600*one+c.part, c.count.Total)
			require.Equal(t, c.passes, c.count.Passes)
		}
		requireOutcome(n, p.Consumer, id, tc.status, 160*one+tc.counted, 190*one)

		_, err = query(id)
		require.ErrorContains(t, err, consumertypes.ErrProposalNotVoting.Error(), "votes of a proposal that has ended are gone")
	}
	_, err := query(77)
	require.ErrorContains(t, err, consumertypes.ErrProposalNotFound.Error())
}

// TestVotesOnTheProviderStayWhatTheyAre: a lien takes nothing from its delegator's vote at home, and overriding the
// validator works as ever, whatever weight the consumer gives.
func TestVotesOnTheProviderStayWhatTheyAre(t *testing.T) {
	n, p := pair(t)
	p.UpdateProvider(func(c *consumertypes.ProviderConfig) { c.GovernanceWeight = meshtest.Dec("1") })
	for _, stake := range []int64{0, 100 * one} {
		if stake > 0 {
			p.CrossStake("alice", val(p, 0), stake)
			settle(n, p)
			require.True(t, p.TotalVirtual().IsPositive())
		}
		id := ask(p.Provider, "bob")
		vote(n, id, govv1.OptionYes, nat(p, 0).Operator)
		vote(n, id, govv1.OptionNo, p.Provider.Account("alice"), nat(p, 1).Operator)
		// 100 of the first validator's own; 60 + 40 of alice's, and 100 + 50 of the second's.
		requireOutcome(n, p.Provider, id, govv1.StatusRejected, 100*one, 250*one)
	}
}

// TestVetoThresholdBoundsWeights: it is that of the chain's own x/gov.
func TestVetoThresholdBoundsWeights(t *testing.T) {
	_, p := pair(t)
	p.Consumer.Direct(func(ctx sdk.Context) {
		params, err := p.Consumer.App.GovKeeper.Params.Get(ctx)
		require.NoError(t, err)
		params.VetoThreshold = "0.2"
		require.NoError(t, p.Consumer.App.GovKeeper.Params.Set(ctx, params))
	})
	config := p.ProviderConfig // 0.3 of all power
	config.GovernanceWeight = meshtest.Dec("0.7")
	update := func() error {
		return p.Consumer.Gov(&consumertypes.MsgUpdateProvider{Authority: p.Consumer.Authority(), Config: config})
	}
	require.ErrorIs(t, update(), consumertypes.ErrWeightSum)
	config.GovernanceWeight = meshtest.Dec("0.6")
	require.NoError(t, update())
}
