package demo

import (
	"context"
	"fmt"
	"time"

	"cosmossdk.io/math"

	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"

	"github.com/mesh-security/mesh/internal/localnet"
)

// untouched checks that restaked delegations are still what they were: they
// stand in the delegators' names, earn their rewards, and vote.
func (d *demo) untouched(ctx context.Context) (string, error) {
	if err := d.delegationsStand(ctx); err != nil {
		return "", err
	}
	rows := [][]string{{"CHAIN", "DELEGATOR", "DELEGATED", "RESTAKED", "REWARDS", "PAID OUT", "VOTED WITH"}}
	cells := make([][]string, len(d.chains))
	err := each(ctx, []int{0, 1}, func(ctx context.Context, i int) error {
		c, who := d.chains[i], d.chains[i].staying()
		earned, paid, err := c.rewards(ctx, who)
		if err != nil {
			return err
		}
		votes, err := c.vote(ctx, who)
		cells[i] = []string{
			c.id, who.name, c.show(c.base(who.stake)), c.show(sum(who.restaked)),
			"+" + c.show(earned), c.show(paid), votes,
		}
		return err
	})
	if err != nil {
		return "", err
	}
	d.table(append(rows, cells...))
	return "delegations stand, rewards accrue and are paid out, the vote counts in full", nil
}

// staying is a delegator with restaked tokens that does not leave.
func (c *chain) staying() *delegator {
	for _, who := range c.delegators {
		if !who.leaves {
			return who
		}
	}
	panic("everybody leaves")
}

// rewards checks that native rewards grow and that withdrawing pays them. It
// returns by how much they grew in a block or more, and what was paid.
func (c *chain) rewards(ctx context.Context, who *delegator) (earned, paid math.Int, err error) {
	pending := func(ctx context.Context) (math.LegacyDec, error) {
		res, err := distrtypes.NewQueryClient(c.Conn()).DelegationRewards(ctx, &distrtypes.QueryDelegationRewardsRequest{
			DelegatorAddress: c.Address(who.name), ValidatorAddress: c.operator(who.home),
		})
		if err != nil {
			return math.LegacyDec{}, err
		}
		return res.Rewards.AmountOf(c.Denom), nil
	}
	first, err := pending(ctx)
	if err != nil {
		return earned, paid, err
	}
	err = await(ctx, time.Minute, func(ctx context.Context) error {
		now, err := pending(ctx)
		if err != nil {
			return err
		}
		if earned = now.Sub(first).TruncateInt(); earned.IsPositive() {
			return nil
		}
		return expect(c.id+": native rewards of "+who.name, "more than "+first.String(), now)
	})
	if err != nil {
		return earned, paid, err
	}
	res, gained, err := c.send(ctx, who.name, &distrtypes.MsgWithdrawDelegatorReward{
		DelegatorAddress: c.Address(who.name), ValidatorAddress: c.operator(who.home),
	})
	if err != nil {
		return earned, paid, err
	}
	var response distrtypes.MsgWithdrawDelegatorRewardResponse
	if err := decode(res, &response); err != nil {
		return earned, paid, err
	}
	paid = response.Amount.AmountOf(c.Denom)
	if paid.LT(first.TruncateInt()) {
		return earned, paid, expect(c.id+": rewards paid to "+who.name, "at least "+first.String(), paid)
	}
	return earned, paid, expect(c.id+": balance of "+who.name+" after withdrawing", "+"+paid.String(), "+"+gained.String())
}

// vote lets the delegator alone vote on a proposal: the tally must be its native
// stake. It returns what the tally shows.
func (c *chain) vote(ctx context.Context, who *delegator) (string, error) {
	gov := govv1.NewQueryClient(c.Conn())
	params, err := gov.Params(ctx, &govv1.QueryParamsRequest{})
	if err != nil {
		return "", err
	}
	proposer := localnet.ValidatorAccount(0)
	submit, err := govv1.NewMsgSubmitProposal(nil, params.Params.MinDeposit, c.Address(proposer), "demo", "Do restaked tokens vote?",
		"Only one delegator votes on this, with tokens that are restaked.", false)
	if err != nil {
		return "", err
	}
	res, err := c.Tx(ctx, proposer, submit)
	if err != nil {
		return "", err
	}
	var proposal govv1.MsgSubmitProposalResponse
	if err := decode(res, &proposal); err != nil {
		return "", err
	}
	id := proposal.ProposalId
	if _, err := c.Tx(ctx, who.name, &govv1.MsgVote{ProposalId: id, Voter: c.Address(who.name), Option: govv1.OptionYes}); err != nil {
		return "", err
	}
	tally, err := gov.TallyResult(ctx, &govv1.QueryTallyResultRequest{ProposalId: id})
	if err != nil {
		return "", err
	}
	yes, ok := math.NewIntFromString(tally.Tally.YesCount)
	if !ok {
		return "", fmt.Errorf("chain %s: proposal %d: the tally says %q", c.id, id, tally.Tally.YesCount)
	}
	what := fmt.Sprintf("%s: tally of proposal %d after the vote of %s", c.id, id, who.name)
	return c.show(yes), expect(what, c.show(c.base(who.stake)), c.show(yes))
}
