package keeper_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"

	"github.com/mesh-security/mesh/wiring"
	"github.com/mesh-security/mesh/x/consumer/types"
)

const proposalID = 7

// Options by short names.
const (
	yes     = govv1.OptionYes
	no      = govv1.OptionNo
	veto    = govv1.OptionNoWithVeto
	abstain = govv1.OptionAbstain
)

// connectGov gives x/gov its parameters, connects the module to it as wiring does, and opens the vote on a proposal.
func (f *fixture) connectGov() {
	f.t.Helper()
	require.NoError(f.t, f.gov.Params.Set(f.ctx, govv1.DefaultParams()))
	f.k.SetVetoThreshold(wiring.VetoThreshold(f.gov))
	f.k.SetTallies(wiring.NewTallies(f.gov, f.staking, f.k))
	require.NoError(f.t, f.gov.Proposals.Set(f.ctx, proposalID, govv1.Proposal{Id: proposalID, Status: govv1.StatusVotingPeriod}))
}

func (f *fixture) vote(voter sdk.AccAddress, option govv1.VoteOption) {
	f.t.Helper()
	vote := govv1.NewVote(proposalID, voter, govv1.NewNonSplitVoteOption(option), "")
	require.NoError(f.t, f.gov.Votes.Set(f.ctx, collections.Join[uint64, sdk.AccAddress](proposalID, voter), vote))
}

// operator is the account of a validator's operator.
func (f *fixture) operator(i int) sdk.AccAddress { return sdk.AccAddress(f.vals[i].addr) }

// weigh changes a provider's governance weight.
func (f *fixture) weigh(id, weight string) error {
	c := f.provider(id).Config
	c.GovernanceWeight = dec(weight)
	_, err := f.msg.UpdateProvider(f.ctx, &types.MsgUpdateProvider{Authority: authority, Config: c})
	return err
}

// tally asks the query, and compares it with what x/gov itself finds.
func (f *fixture) tally() *types.QueryTallyResponse {
	f.t.Helper()
	r := require.New(f.t)
	res, err := f.query.Tally(f.ctx, &types.QueryTallyRequest{ProposalId: proposalID})
	r.NoError(err)
	proposal, err := f.gov.Proposals.Get(f.ctx, proposalID)
	r.NoError(err)
	cacheCtx, _ := f.ctx.CacheContext()
	passes, _, counts, err := f.gov.Tally(cacheCtx, proposal)
	r.NoError(err)
	r.Equal(passes, res.InForce.Passes)
	r.Equal(govv1.NewTallyResult(res.InForce.Yes, res.InForce.Abstain, res.InForce.No, res.InForce.NoWithVeto), counts)
	return res
}

// requireCount compares a tally with whole tokens: yes, no, veto, abstain, and all power.
func requireCount(tb testing.TB, have types.TallyCount, yes, no, veto, abstain, total float64) {
	tb.Helper()
	for what, c := range map[string]struct {
		want float64
		have sdkmath.Int
	}{
		"yes": {yes, have.Yes}, "no": {no, have.No}, "veto": {veto, have.NoWithVeto}, "abstain": {abstain, have.Abstain},
		"voted": {yes + no + veto + abstain, have.Voted}, "total": {total, have.Total},
	} {
		require.Equal(tb, sdkmath.NewInt(int64(c.want*float64(oneToken))).String(), c.have.String(), what)
	}
}

// TestVirtualStakeVotesByItsWeight: with its validator, as far as the weight goes; the quorum is of the same total.
func TestVirtualStakeVotesByItsWeight(t *testing.T) {
	for _, tc := range []struct {
		weight  string
		counted float64
	}{{"0", 0}, {"0.25", 75}, {"0.5", 150}, {"1", 300}} {
		t.Run(tc.weight, func(t *testing.T) {
			f := newFixture(t, 1000, 2000, 500)
			f.connectGov()
			f.addProvider(provider1, nil)
			require.NoError(t, f.weigh(provider1, tc.weight))
			f.update(provider1, map[int]int64{0: 300, 2: 100})
			f.epoch()
			f.requireVirtual(provider1, 0, 300)
			f.vote(f.operator(0), yes)
			f.vote(f.operator(1), no)

			res := f.tally()
			requireCount(t, res.Native, 1000, 2000, 0, 0, 3500)
			requireCount(t, res.Full, 1300, 2000, 0, 0, 3900)
			requireCount(t, res.InForce, 1000+tc.counted, 2000, 0, 0, 3500+tc.counted*4/3)

			power, err := wiring.NewGovStaking(f.staking, f.k).TotalValidatorPower(f.ctx)
			require.NoError(t, err)
			require.Equal(t, res.InForce.Total.String(), power.String())
		})
	}
}

// TestDelegatorOverridesItsValidator: what votes itself is taken off the validator; with all native stake taken off,
// virtual stake is left, at its weight.
func TestDelegatorOverridesItsValidator(t *testing.T) {
	f := newFixture(t, 1000, 2000)
	f.connectGov()
	f.addProvider(provider1, nil)
	alice := f.delegate('a', 0, sdkmath.NewInt(400*oneToken))
	bob := f.delegate('b', 0, sdkmath.NewInt(600*oneToken))
	f.update(provider1, map[int]int64{0: 300})
	f.epoch()

	f.vote(f.operator(0), yes)
	f.vote(alice, no)
	weights := []struct {
		weight  string
		counted float64
	}{{"0", 0}, {"0.5", 150}, {"1", 300}}
	for _, w := range weights {
		counted := w.counted
		require.NoError(t, f.weigh(provider1, w.weight))
		requireCount(t, f.tally().InForce, 1600+counted, 400, 0, 0, 4000+counted)
	}
	f.vote(bob, abstain)
	for _, w := range weights {
		counted := w.counted
		require.NoError(t, f.weigh(provider1, w.weight))
		requireCount(t, f.tally().InForce, 1000+counted, 400, 0, 600, 4000+counted)
	}
	// Delegators with several validators, without their validator's vote.
	f.delegate('a', 1, sdkmath.NewInt(500*oneToken))
	require.NoError(t, f.gov.Votes.Remove(f.ctx, collections.Join[uint64, sdk.AccAddress](proposalID, f.operator(0))))
	requireCount(t, f.tally().InForce, 0, 900, 0, 600, 4500+300)
}

// TestTallyAfterASlash: at a rate other than 1:1 shares and tokens are reduced alike.
func TestTallyAfterASlash(t *testing.T) {
	f := newFixture(t, 1000, 2000)
	f.connectGov()
	f.addProvider(provider1, nil)
	require.NoError(t, f.weigh(provider1, "0.5"))
	f.update(provider1, map[int]int64{0: 500})
	f.epoch()
	f.block(blockTime)
	f.block(blockTime)
	_, err := f.slasher.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight()-1, 1500, dec("0.2"))
	require.NoError(t, err)
	f.block(blockTime)
	alice := f.delegate('a', 0, sdkmath.NewInt(400*oneToken))
	val := f.validator(0)
	require.NotEqual(t, val.DelegatorShares.String(), sdkmath.LegacyNewDecFromInt(val.Tokens).String())

	f.vote(f.operator(0), yes)
	f.vote(alice, veto)
	res := f.tally()
	requireCount(t, res.Native, 800, 0, 400, 0, 3200)
	requireCount(t, res.InForce, 1000, 0, 400, 0, 3400)
	requireCount(t, res.Full, 1200, 0, 400, 0, 3600)

	// A slash of everything.
	_, err = f.slasher.Slash(f.ctx, f.vals[0].cons, f.ctx.BlockHeight()-1, 10_000, dec("1"))
	require.NoError(t, err)
	require.True(t, f.validator(0).Tokens.IsZero())
	requireCount(t, f.tally().InForce, 0, 0, 0, 0, 2000)
}

// TestValidatorWithVirtualStakeOnly has no part in the tally, whatever the weight: nobody is behind its vote. Reduced to
// nothing, x/gov would divide by its shares in EndBlock.
func TestValidatorWithVirtualStakeOnly(t *testing.T) {
	for _, weight := range []string{"0", "1"} {
		f := newFixture(t, 1000, 2000)
		f.connectGov()
		f.addProvider(provider1, nil)
		require.NoError(t, f.weigh(provider1, weight))
		f.update(provider1, map[int]int64{0: 300})
		f.epoch()
		// As modules do that move delegations away: x/staking itself would jail the validator.
		delegation, err := f.staking.GetDelegation(f.ctx, f.operator(0), f.vals[0].addr)
		require.NoError(t, err)
		_, _, err = f.staking.RemoveValidatorTokensAndShares(f.ctx, f.validator(0), delegation.Shares)
		require.NoError(t, err)
		require.NoError(t, f.staking.RemoveDelegation(f.ctx, delegation))
		require.True(t, f.validator(0).IsBonded())
		f.vote(f.operator(0), yes)
		f.vote(f.operator(1), no)

		res := f.tally()
		requireCount(t, res.InForce, 0, 2000, 0, 0, 2000)
		requireCount(t, res.Native, 0, 2000, 0, 0, 2000)
		requireCount(t, res.Full, 300, 2000, 0, 0, 2300)
	}
}

// TestJailedValidatorDoesNotVote, and neither does the virtual stake on it, nor is it of the quorum.
func TestJailedValidatorDoesNotVote(t *testing.T) {
	f := newFixture(t, 1000, 2000, 500)
	f.connectGov()
	f.addProvider(provider1, nil)
	require.NoError(t, f.weigh(provider1, "1"))
	f.update(provider1, map[int]int64{0: 300, 1: 100})
	f.epoch()
	f.vote(f.operator(0), yes)
	f.vote(f.operator(1), no)
	requireCount(t, f.tally().InForce, 1300, 2100, 0, 0, 3900)

	require.NoError(t, f.staking.Jail(f.ctx, f.vals[0].cons))
	requireCount(t, f.tally().InForce, 0, 2100, 0, 0, 2600)
	f.block(blockTime)
	require.False(t, f.validator(0).IsBonded())
	requireCount(t, f.tally().InForce, 0, 2100, 0, 0, 2600)
}

// TestWeightsOfManyProviders: each provider's stake counts by its own weight; a paused one's does, a removed one's no
// longer, although it has not left yet.
func TestWeightsOfManyProviders(t *testing.T) {
	f := newFixture(t, 10_000, 10_000)
	f.connectGov()
	for _, id := range []string{provider1, provider2, provider3} {
		f.addProvider(id, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.1") })
	}
	f.update(provider1, map[int]int64{0: 100, 1: 1000})
	f.update(provider2, map[int]int64{0: 200})
	f.update(provider3, map[int]int64{0: 400, 1: 500})
	f.epoch()
	f.vote(f.operator(0), yes)
	f.vote(f.operator(1), no)
	require.NoError(t, f.weigh(provider1, "0.5"))
	require.NoError(t, f.weigh(provider2, "1"))
	require.NoError(t, f.weigh(provider3, "0.25"))

	res := f.tally()
	requireCount(t, res.InForce, 10_000+50+200+100, 10_000+500+125, 0, 0, 20_975)
	requireCount(t, res.Native, 10_000, 10_000, 0, 0, 20_000)
	requireCount(t, res.Full, 10_700, 11_500, 0, 0, 22_200)

	_, err := f.msg.PauseProvider(f.ctx, &types.MsgPauseProvider{Authority: authority, ProviderId: provider2})
	require.NoError(t, err)
	requireCount(t, f.tally().InForce, 10_350, 10_625, 0, 0, 20_975)
	_, err = f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	f.requireVirtual(provider1, 1, 1000)
	requireCount(t, f.tally().InForce, 10_300, 10_125, 0, 0, 20_425)
	f.epoch()
	f.requireVirtual(provider1, 1, 0)
	requireCount(t, f.tally().InForce, 10_300, 10_125, 0, 0, 20_425)
}

// TestWeightDecides: quorum, threshold and veto depend on the weight, and x/gov itself decides so.
func TestWeightDecides(t *testing.T) {
	for name, tc := range map[string]struct {
		votes  map[int]govv1.VoteOption
		passes map[string]bool
	}{
		// 1,110 of 3,300 + 1,000·w.
		"quorum": {map[int]govv1.VoteOption{1: yes}, map[string]bool{"0": true, "0.02": true, "0.03": false, "1": false}},
		// 900 + 1,000·w against 1,290.
		"threshold": {map[int]govv1.VoteOption{0: yes, 2: no}, map[string]bool{"0": false, "0.39": false, "0.4": true, "1": true}},
		// 900 + 1,000·w of 3,300 + 1,000·w.
		"veto": {
			map[int]govv1.VoteOption{0: veto, 1: yes, 2: yes},
			map[string]bool{"0": true, "0.3": true, "0.31": false, "1": false},
		},
		"abstention":      {map[int]govv1.VoteOption{0: abstain, 2: yes}, map[string]bool{"0": true, "1": true}},
		"abstention only": {map[int]govv1.VoteOption{0: abstain, 1: abstain}, map[string]bool{"0": false, "1": false}},
		"nobody":          {nil, map[string]bool{"0": false, "1": false}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, 900, 1110, 1290)
			f.connectGov()
			f.addProvider(provider1, nil)
			f.update(provider1, map[int]int64{0: 1000})
			f.epoch()
			f.requireVirtual(provider1, 0, 1000)
			for i, option := range tc.votes {
				f.vote(f.operator(i), option)
			}
			for weight, passes := range tc.passes {
				require.NoError(t, f.weigh(provider1, weight))
				require.Equal(t, passes, f.tally().InForce.Passes, weight)
			}
			require.NoError(t, f.weigh(provider1, "1"))
			res := f.tally()
			require.Equal(t, tc.passes["0"], res.Native.Passes)
			require.Equal(t, tc.passes["1"], res.Full.Passes)
		})
	}
}

// TestWeightsStayBelowTheVetoThreshold, which is x/gov's.
func TestWeightsStayBelowTheVetoThreshold(t *testing.T) {
	f := newFixture(t, 1000)
	f.connectGov()
	for _, id := range []string{provider1, provider2} {
		f.addProvider(id, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.16") })
	}
	setVeto := func(threshold string) {
		params, err := f.gov.Params.Get(f.ctx)
		require.NoError(t, err)
		params.VetoThreshold = threshold
		require.NoError(t, f.gov.Params.Set(f.ctx, params))
	}
	refused := func(want error, change func() error) {
		t.Helper()
		before := f.export()
		require.ErrorIs(t, change(), want)
		require.Equal(t, before, f.export())
	}
	setVeto("0.1")
	require.NoError(t, f.weigh(provider1, "0.3125")) // 0.05
	refused(types.ErrWeightSum, func() error { return f.weigh(provider2, "0.3125") })
	require.NoError(t, f.weigh(provider2, "0.3124"))
	refused(types.ErrWeightSum, func() error { return f.weigh(provider1, "1") })
	setVeto("0.334")
	require.NoError(t, f.weigh(provider1, "1"))
	require.NoError(t, f.weigh(provider2, "1"))
	// Lowered below what is registered: the next change must fit again.
	setVeto("0.2")
	refused(types.ErrWeightSum, func() error { return f.weigh(provider1, "0.5") })
	require.NoError(t, f.weigh(provider1, "0.2"))

	for _, weight := range []string{"1.000000000000000001", "2", "-0.000000000000000001", "-1", "1000000000000000000"} {
		refused(types.ErrInvalidWeight, func() error { return f.weigh(provider1, weight) })
	}
	refused(types.ErrInvalidWeight, func() error {
		c := f.provider(provider1).Config
		c.GovernanceWeight = sdkmath.LegacyDec{}
		_, err := f.msg.UpdateProvider(f.ctx, &types.MsgUpdateProvider{Authority: authority, Config: c})
		return err
	})
	setVeto("nonsense")
	require.Error(t, f.weigh(provider1, "0.1"))
}

func TestTallyQueryOfBadProposals(t *testing.T) {
	f := newFixture(t, 1000)
	ask := func(id uint64) error {
		_, err := f.query.Tally(f.ctx, &types.QueryTallyRequest{ProposalId: id})
		return err
	}
	require.ErrorIs(t, ask(proposalID), types.ErrGovNotConnected)
	f.connectGov()
	require.NoError(t, ask(proposalID))
	require.ErrorIs(t, ask(0), types.ErrProposalNotFound)
	require.ErrorIs(t, ask(proposalID+1), types.ErrProposalNotFound)
	for _, status := range []govv1.ProposalStatus{
		govv1.StatusDepositPeriod, govv1.StatusPassed, govv1.StatusRejected, govv1.StatusFailed, govv1.StatusNil,
	} {
		require.NoError(t, f.gov.Proposals.Set(f.ctx, 8, govv1.Proposal{Id: 8, Status: status}))
		require.ErrorIs(t, ask(8), types.ErrProposalNotVoting, status)
	}
	_, err := f.query.Tally(f.ctx, nil)
	require.Error(t, err)
}

// TestTallyQueryChangesNothing: the SDK's tally deletes the votes it counts.
func TestTallyQueryChangesNothing(t *testing.T) {
	f := newFixture(t, 1000)
	f.connectGov()
	f.vote(f.operator(0), yes)
	first := f.tally()
	requireCount(t, first.InForce, 1000, 0, 0, 0, 1000)
	require.Equal(t, first, f.tally())
	has, err := f.gov.Votes.Has(f.ctx, collections.Join[uint64, sdk.AccAddress](proposalID, f.operator(0)))
	require.NoError(t, err)
	require.True(t, has)
}

// TestExpeditedProposalNeedsMore, also in the query.
func TestExpeditedProposalNeedsMore(t *testing.T) {
	f := newFixture(t, 600, 400)
	f.connectGov()
	f.vote(f.operator(0), yes)
	f.vote(f.operator(1), no)
	require.True(t, f.tally().InForce.Passes)
	require.NoError(t, f.gov.Proposals.Set(f.ctx, proposalID, govv1.Proposal{
		Id: proposalID, Status: govv1.StatusVotingPeriod, Expedited: true,
	}))
	require.False(t, f.tally().InForce.Passes)
}

// failing cannot tell which votes count.
type failing struct{ fail func() error }

func (v failing) VirtualVotes(context.Context) (map[string]types.VirtualVotes, error) {
	return nil, v.fail()
}

// TestTallyThatCannotReadWeights must not halt the chain, as an error in x/gov's EndBlock does, and must not let stake
// count that should not: nothing passes.
func TestTallyThatCannotReadWeights(t *testing.T) {
	f := newFixture(t, 1000)
	f.connectGov()
	f.vote(f.operator(0), yes)
	proposal, err := f.gov.Proposals.Get(f.ctx, proposalID)
	require.NoError(t, err)
	for _, fail := range []func() error{
		func() error { return errors.New("broken store") }, func() error { panic("broken store") },
	} {
		voted, total, results, err := wiring.NewTally(f.staking, failing{fail})(f.ctx, *f.gov, proposal)
		require.NoError(t, err)
		require.True(t, voted.IsZero())
		require.True(t, total.IsZero())
		require.Equal(t, govv1.EmptyTallyResult(), govv1.NewTallyResultFromMap(results))
	}
	broken := errors.New("broken store")
	_, err = wiring.NewGovStaking(f.staking, failing{func() error { return broken }}).TotalValidatorPower(f.ctx)
	require.ErrorIs(t, err, broken)
}

// TestTallyAddsUp: for any stakes, slashes, weights and votes the tally is what an independent sum over delegations says,
// to a token per validator, nobody counts twice, and what voted is never more than what there is.
func TestTallyAddsUp(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		natives := rapid.SliceOfN(rapid.Int64Range(1_000, 50_000), 2, 6).Draw(r, "native")
		f := newFixture(t, natives...)
		f.quiet = true
		f.connectGov()
		ids := []string{provider1, provider2, provider3}[:rapid.IntRange(1, 3).Draw(r, "providers")]
		for _, id := range ids {
			f.addProvider(id, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.11") })
			amounts := map[int]int64{}
			for i := range natives {
				if rapid.Bool().Draw(r, "stakes") {
					amounts[i] = rapid.Int64Range(1, 5_000).Draw(r, "amount")
				}
			}
			f.update(id, amounts)
			require.NoError(r, f.weigh(id, sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(0, 1_000).Draw(r, "weight"), 3).String()))
		}
		f.epoch()
		voters := map[string]govv1.VoteOption{}
		vote := func(who sdk.AccAddress) {
			if o := rapid.SampledFrom([]govv1.VoteOption{0, yes, no, veto, abstain}).Draw(r, "vote"); o != 0 {
				f.vote(who, o)
				voters[string(who)] = o
			}
		}
		for i := range natives {
			if rapid.Bool().Draw(r, "slash") {
				fraction := sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(1, 999).Draw(r, "fraction"), 3)
				_, err := f.slasher.Slash(f.ctx, f.vals[i].cons, f.ctx.BlockHeight()-1, natives[i], fraction)
				require.NoError(r, err)
			}
		}
		for name := range byte(rapid.IntRange(0, 4).Draw(r, "delegators")) {
			for range rapid.IntRange(1, 3).Draw(r, "delegations") {
				val := rapid.IntRange(0, len(natives)-1).Draw(r, "validator")
				f.delegate('a'+name, val, sdkmath.NewInt(rapid.Int64Range(1, 1e12).Draw(r, "tokens")))
			}
			vote(sdk.AccAddress(bytes.Repeat([]byte{'a' + name}, 20)))
		}
		for i := range natives {
			vote(f.operator(i))
		}

		weights := map[string]sdkmath.LegacyDec{}
		for _, id := range ids {
			weights[types.VirtualAccount(id).String()] = f.provider(id).Config.GovernanceWeight
		}
		want := map[govv1.VoteOption]sdkmath.LegacyDec{}
		for _, o := range []govv1.VoteOption{yes, no, veto, abstain} {
			want[o] = sdkmath.LegacyZeroDec()
		}
		total := sdkmath.LegacyZeroDec()
		for i := range natives {
			validator := f.validator(i)
			delegations, err := f.staking.GetValidatorDelegations(f.ctx, f.vals[i].addr)
			require.NoError(r, err)
			for _, d := range delegations {
				tokens := validator.TokensFromShares(d.Shares)
				option := voters[string(f.operator(i))]
				if weight, virtual := weights[d.DelegatorAddress]; virtual {
					tokens = tokens.Mul(weight)
				} else if own, ok := voters[string(sdk.MustAccAddressFromBech32(d.DelegatorAddress))]; ok {
					option = own
				}
				total = total.Add(tokens)
				if option != 0 {
					want[option] = want[option].Add(tokens)
				}
			}
		}
		res := f.tally().InForce
		near := func(want sdkmath.LegacyDec, have sdkmath.Int, what string) {
			off := want.Sub(sdkmath.LegacyNewDecFromInt(have)).Abs()
			require.True(r, off.LTE(sdkmath.LegacyNewDec(int64(len(natives))+1)), "%s: %s, not %s", what, have, want)
		}
		near(want[yes], res.Yes, "yes")
		near(want[no], res.No, "no")
		near(want[veto], res.NoWithVeto, "veto")
		near(want[abstain], res.Abstain, "abstain")
		near(total, res.Total, "total")
		require.False(r, res.Voted.GT(res.Total), "%s of %s voted", res.Voted, res.Total)
		require.False(r, res.Yes.Add(res.No).Add(res.NoWithVeto).Add(res.Abstain).GT(res.Voted))
	})
}

// TestVirtualVotesAreExact: what counts is the sum over providers, rounded once.
func TestVirtualVotesAreExact(t *testing.T) {
	f := newFixture(t, 10_000)
	f.connectGov()
	for _, id := range []string{provider1, provider2, provider3} {
		f.addProvider(id, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.1") })
		f.update(id, map[int]int64{0: 333})
	}
	f.epoch()
	for weight, counted := range map[string]string{
		"0.333333333333333333": "332999999.999999999667000000",
		"1":                    "999000000.000000000000000000",
		"0":                    "0.000000000000000000",
	} {
		for _, id := range []string{provider1, provider2, provider3} {
			require.NoError(t, f.weigh(id, weight))
		}
		votes, err := f.k.VirtualVotes(f.ctx)
		require.NoError(t, err)
		require.Equal(t, map[string]types.VirtualVotes{f.vals[0].addr.String(): {
			Operator: f.vals[0].addr, Shares: dec("999000000"), Counted: dec(counted),
		}}, votes)
	}
	require.NoError(t, f.weigh(provider1, "0.1"))
	require.NoError(t, f.weigh(provider2, "0.000000000000000001"))
	require.NoError(t, f.weigh(provider3, "0.9"))
	votes, err := f.k.VirtualVotes(f.ctx)
	require.NoError(t, err)
	require.Equal(t, "333000000.000000000333000000", votes[f.vals[0].addr.String()].Counted.String())
}
