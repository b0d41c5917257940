package bench_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	govkeeper "github.com/cosmos/cosmos-sdk/x/gov/keeper"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"

	"github.com/mesh-security/mesh/app"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

// tallyTime is the limit of a tally against the SDK's own.
const tallyTime = 1.2

// BenchmarkTally is the tally of a proposal in a chain of 200 validators on which ten providers have stake, against the
// SDK's own on the same state. The fewer vote the more weighs what weights cost; every operator votes at least.
//
// Weights are all zero, all the same, or all different.
func BenchmarkTally(b *testing.B) {
	weights := []struct {
		name   string
		weight func(provider int) string
	}{
		{"zero", func(int) string { return "0" }},
		{"same", func(int) string { return "0.5" }},
		{"different", func(p int) string { return sdkmath.LegacyNewDecWithPrec(int64(p+1), 1).String() }},
	}
	votes := []struct {
		name       string
		delegators int
	}{
		{"200", 0}, {"2000", 1_800}, {"10200", delegators},
	}
	c := newChain(b)
	partners := make([]*partner, providers)
	for i := range partners {
		partners[i] = c.pairProvider(i)
	}
	c.block()
	for _, p := range partners {
		c.update(p, func(int) int64 { return virtualLow })
	}
	c.epoch()
	for !c.planDone(c.next()) {
		c.block()
	}
	for i, v := range votes {
		c.vote(uint64(i+1), v.delegators)
	}
	for _, w := range weights {
		for i, p := range partners {
			c.setWeight(p, w.weight(i))
		}
		c.block()
		for i, v := range votes {
			b.Run(w.name+"/"+v.name, func(b *testing.B) { c.benchmarkTally(b, uint64(i+1), w.name == "zero") })
		}
	}
}

func (c *chain) benchmarkTally(b *testing.B, proposalID uint64, nothing bool) {
	b.Helper()
	gov := c.app.GovKeeper
	proposal, err := gov.Proposals.Get(c.next(), proposalID)
	require.NoError(b, err)
	var (
		ours  = c.app.Mesh.Tally()
		base  = govkeeper.NewDefaultCalculateVoteResultsAndVotingPower(c.app.StakingKeeper)
		total = map[bool]sdkmath.Int{}
	)
	run := func(ours bool, tally govkeeper.CalculateVoteResultsAndVotingPowerFn) func() span {
		return func() span {
			ctx := c.next()
			return spanOf(func() { _, total[ours], _, err = tally(ctx, *gov, proposal) })
		}
	}
	gas := func(tally govkeeper.CalculateVoteResultsAndVotingPowerFn) uint64 {
		return c.gasOf(c.next(), func(ctx sdk.Context) {
			_, _, _, err := tally(ctx, *gov, proposal)
			require.NoError(b, err)
		})
	}
	contest{ours: side{run: run(true, ours)}, base: side{run: run(false, base)}, turn: 3, limit: tallyTime}.run(b)
	require.NoError(b, err)
	reportGas(b, gas(ours), gas(base), 0)

	virtual, err := c.consumer().SumVirtualSupply(c.next())
	require.NoError(b, err)
	require.True(b, virtual.Bonded.IsPositive())
	left := total[false].Sub(total[true])
	if nothing {
		require.Equal(b, virtual.Bonded.String(), left.String())
	} else {
		require.True(b, left.IsPositive() && left.LT(virtual.Bonded), "%s of %s do not count", left, virtual.Bonded)
	}
}

// vote makes a proposal on which all operators and so many delegators have voted.
func (c *chain) vote(proposalID uint64, delegators int) {
	c.Helper()
	var (
		ctx     = c.deferred()
		gov     = c.app.GovKeeper
		options = []govv1.VoteOption{govv1.OptionYes, govv1.OptionNo, govv1.OptionAbstain, govv1.OptionNoWithVeto}
		count   = 0
	)
	add := func(voter sdk.AccAddress) {
		require.NoError(c, gov.Votes.Set(ctx, collections.Join(proposalID, voter), govv1.NewVote(
			proposalID, voter, govv1.NewNonSplitVoteOption(options[count%len(options)]), "",
		)))
		count++
	}
	for _, operator := range c.operators {
		add(sdk.AccAddress(operator))
	}
	for i := range delegators {
		add(delegator(i).addr)
	}
	require.NoError(c, gov.Proposals.Set(ctx, proposalID, govv1.Proposal{Id: proposalID, Status: govv1.StatusVotingPeriod}))
	c.block()
}

// setWeight changes a provider's governance weight.
func (c *chain) setWeight(p *partner, weight string) {
	c.Helper()
	provider, err := c.consumer().GetProvider(c.next(), p.client)
	require.NoError(c, err)
	provider.Config.GovernanceWeight = sdkmath.LegacyMustNewDecFromStr(weight)
	c.run(&consumertypes.MsgUpdateProvider{Authority: app.Authority(), Config: provider.Config})
}
