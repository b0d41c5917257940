package demo

import (
	"context"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/sync/errgroup"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"

	"github.com/mesh-security/mesh/internal/localnet"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

// weigh puts one question twice to the third chain, whose validators do not agree:
// first the stake of the first chain votes with its validators, then not.
func (d *demo) weigh(ctx context.Context) (string, error) {
	dir := d.thirds[0]
	if !dir.weight.Equal(math.LegacyOneDec()) {
		return "", expect(d.third.id+": governance weight of "+dir.provider.id, math.LegacyOneDec(), dir.weight)
	}
	change, err := dir.updateProvider(ctx, func(config *consumertypes.ProviderConfig) { config.GovernanceWeight = math.LegacyZeroDec() })
	if err != nil {
		return "", err
	}
	rows := [][]string{{"WEIGHT OF " + dir.provider.id, "COUNTED", "YES", "NO", "OF", "WOULD PASS", "PASSED"}}
	// The question is counted before the change takes effect, in the same block.
	first, passed, err := d.ballot(ctx, localnet.Proposal{Title: "Stake of " + dir.provider.id + " has no vote", Messages: []sdk.Msg{change}})
	if err != nil {
		return "", err
	}
	if err := expect(d.third.id+": the question passed with allied votes", false, passed); err != nil {
		return "", err
	}
	rows = append(rows, d.tallyRows(dir.weight, first, passed)...)
	dir.weight = math.LegacyZeroDec()
	second, passed, err := d.ballot(ctx)
	if err != nil {
		return "", err
	}
	if err := expect(d.third.id+": the question passed without allied votes", true, passed); err != nil {
		return "", err
	}
	d.table(append(rows, d.tallyRows(dir.weight, second, passed)...))
	return "the same votes: rejected while stake of " + dir.provider.id + " counts, passed when it does not", nil
}

// count is what the votes on the question must amount to.
type count struct{ yes, no, total math.Int }

func (c count) passes() bool { return c.yes.GT(c.no) }

// counted is what the votes amount to if a provider's stake counts by a weight: the first
// validator is for it, all others are against it, and delegators leave it to them.
func (d *demo) counted(weight func(*direction) math.LegacyDec) (count, error) {
	c := d.third
	sums := make([]math.Int, c.validators)
	copy(sums, c.native)
	for _, dir := range d.thirds {
		allied, err := dir.thirdAllied()
		if err != nil {
			return count{}, err
		}
		for v, amount := range allied {
			votes := new(big.Rat).Mul(new(big.Rat).SetInt(amount.BigInt()), rat(weight(dir)))
			sums[v] = sums[v].Add(floor(votes))
		}
	}
	total := sum(sums)
	return count{yes: sums[0], no: total.Sub(sums[0]), total: total}, nil
}

// tallies are the three ways to count.
type tallies struct{ inForce, native, full count }

func (d *demo) tallyRows(weight math.LegacyDec, t tallies, passed bool) [][]string {
	var rows [][]string
	for i, r := range []struct {
		name string
		c    count
	}{{"as governance decided", t.inForce}, {"own stake only", t.native}, {"all stake", t.full}} {
		row := []string{"", r.name, d.third.show(r.c.yes), d.third.show(r.c.no), d.third.show(r.c.total), fmt.Sprint(r.c.passes()), ""}
		if i == 0 {
			row[0], row[6] = percent(rat(weight)), fmt.Sprint(passed)
		}
		rows = append(rows, row)
	}
	return rows
}

// ballot puts the question, together with other proposals on which all agree. It
// checks the tally while the vote lasts, and returns it with the outcome.
func (d *demo) ballot(ctx context.Context, others ...localnet.Proposal) (tallies, bool, error) {
	c := d.third
	var t tallies
	for _, mode := range []struct {
		to     *count
		weight func(*direction) math.LegacyDec
	}{
		{&t.inForce, func(dir *direction) math.LegacyDec { return dir.weight }},
		{&t.native, func(*direction) math.LegacyDec { return math.LegacyZeroDec() }},
		{&t.full, func(*direction) math.LegacyDec { return math.LegacyOneDec() }},
	} {
		var err error
		if *mode.to, err = d.counted(mode.weight); err != nil {
			return t, false, err
		}
	}
	proposals := append([]localnet.Proposal{{Title: "Does allied stake vote?"}}, others...)
	ids, err := c.Propose(ctx, proposals...)
	if err != nil {
		return t, false, err
	}
	heights := make([]int64, c.validators)
	group, groupCtx := errgroup.WithContext(ctx)
	for v := range c.Nodes {
		voter := localnet.ValidatorAccount(v)
		group.Go(func() error {
			option := govv1.OptionNo
			if v == 0 {
				option = govv1.OptionYes
			}
			var votes []sdk.Msg
			for _, id := range ids {
				votes = append(votes, &govv1.MsgVote{ProposalId: id, Voter: c.Address(voter), Option: option})
				option = govv1.OptionYes // on all others they agree
			}
			res, err := c.Tx(groupCtx, voter, votes...)
			if err != nil {
				return err
			}
			heights[v] = res.Height
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return t, false, err
	}
	// The block with the last vote, for the vote may be over when we come to ask.
	if err := c.tallied(localnet.AtHeight(ctx, slices.Max(heights)), ids[0], t); err != nil {
		return t, false, err
	}
	passed := false
	for i, id := range ids {
		p, err := c.decided(ctx, id)
		if err != nil {
			return t, false, err
		}
		if i > 0 {
			if err := expect(fmt.Sprintf("%s: proposal %d", c.id, id), govv1.StatusPassed, p.Status); err != nil {
				return t, false, err
			}
			continue
		}
		passed = p.Status == govv1.StatusPassed
		for _, e := range []struct{ what, expected, seen string }{
			{"final yes", t.inForce.yes.String(), p.FinalTallyResult.YesCount},
			{"final no", t.inForce.no.String(), p.FinalTallyResult.NoCount},
		} {
			if err := expect(fmt.Sprintf("%s: %s of proposal %d", c.id, e.what, id), e.expected, e.seen); err != nil {
				return t, false, err
			}
		}
	}
	return t, passed, nil
}

// tallied checks what the chain says of a vote that still lasts, in all ways.
func (c *chain) tallied(ctx context.Context, id uint64, t tallies) error {
	res, err := c.consuming().Tally(ctx, &consumertypes.QueryTallyRequest{ProposalId: id})
	if err != nil {
		return err
	}
	for _, e := range []struct {
		what     string
		expected count
		seen     consumertypes.TallyCount
	}{{"in force", t.inForce, res.InForce}, {"native", t.native, res.Native}, {"full", t.full, res.Full}} {
		want := fmt.Sprintf("yes %s, no %s of %s, passes: %t", e.expected.yes, e.expected.no, e.expected.total, e.expected.passes())
		seen := fmt.Sprintf("yes %s, no %s of %s, passes: %t", e.seen.Yes, e.seen.No, e.seen.Total, e.seen.Passes)
		if err := expect(fmt.Sprintf("%s: tally of proposal %d, %s", c.id, id, e.what), want, seen); err != nil {
			return err
		}
	}
	own, err := govv1.NewQueryClient(c.Conn()).TallyResult(ctx, &govv1.QueryTallyResultRequest{ProposalId: id})
	if err != nil {
		return err
	}
	return expect(fmt.Sprintf("%s: x/gov's own tally of proposal %d", c.id, id),
		fmt.Sprintf("yes %s, no %s", t.inForce.yes, t.inForce.no), fmt.Sprintf("yes %s, no %s", own.Tally.YesCount, own.Tally.NoCount))
}

// decided waits until a vote is over.
func (c *chain) decided(ctx context.Context, id uint64) (*govv1.Proposal, error) {
	var found *govv1.Proposal
	err := await(ctx, crossing, func(ctx context.Context) error {
		res, err := govv1.NewQueryClient(c.Conn()).Proposal(ctx, &govv1.QueryProposalRequest{ProposalId: id})
		if err != nil {
			return err
		}
		found = res.Proposal
		if found.Status == govv1.StatusVotingPeriod || found.Status == govv1.StatusDepositPeriod {
			return expect(fmt.Sprintf("%s: proposal %d", c.id, id), "decided", found.Status)
		}
		return nil
	})
	return found, err
}
