package localnet

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/cosmos/gogoproto/proto"
	"golang.org/x/sync/errgroup"

	sdk "github.com/cosmos/cosmos-sdk/types"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"
)

// Proposal is what governance is asked to do.
type Proposal struct {
	Title string
	// Messages are signed by the governance module, see Chain.Authority. There may
	// be none.
	Messages []sdk.Msg
}

// Authority is the address in whose name governance acts.
func (c *Chain) Authority() string { return c.ModuleAddress(govtypes.ModuleName) }

// PassProposals submits proposals with their deposit, lets every validator vote
// yes on all of them, and waits until they have passed and been executed. They
// share one voting period. It returns their ids.
func (c *Chain) PassProposals(ctx context.Context, proposals ...Proposal) ([]uint64, error) {
	ids, err := c.passProposals(ctx, proposals)
	return ids, stepErr(c.ID, "governance", c.primary().Log, err)
}

// Propose submits proposals with their deposit in one transaction. It returns
// their ids.
func (c *Chain) Propose(ctx context.Context, proposals ...Proposal) ([]uint64, error) {
	params, err := govv1.NewQueryClient(c.Conn()).Params(ctx, &govv1.QueryParamsRequest{})
	if err != nil {
		return nil, err
	}
	var submits []sdk.Msg
	for _, p := range proposals {
		// A proposal without messages must have metadata.
		msg, err := govv1.NewMsgSubmitProposal(p.Messages, params.Params.MinDeposit, c.Address(ValidatorAccount(0)), p.Title, p.Title, p.Title, false)
		if err != nil {
			return nil, err
		}
		submits = append(submits, msg)
	}
	res, err := c.Tx(ctx, ValidatorAccount(0), submits...)
	if err != nil {
		return nil, err
	}
	return proposalIDs(res)
}

func (c *Chain) passProposals(ctx context.Context, proposals []Proposal) ([]uint64, error) {
	client := govv1.NewQueryClient(c.Conn())
	params, err := client.Params(ctx, &govv1.QueryParamsRequest{})
	if err != nil {
		return nil, err
	}
	ids, err := c.Propose(ctx, proposals...)
	if err != nil {
		return nil, err
	}

	group, groupCtx := errgroup.WithContext(ctx)
	for i := range c.Nodes {
		voter := ValidatorAccount(i)
		var votes []sdk.Msg
		for _, id := range ids {
			votes = append(votes, &govv1.MsgVote{ProposalId: id, Voter: c.Address(voter), Option: govv1.OptionYes})
		}
		group.Go(func() error {
			_, err := c.Tx(groupCtx, voter, votes...)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return ids, err
	}

	period := 30 * time.Second
	if params.Params.VotingPeriod != nil {
		period += *params.Params.VotingPeriod
	}
	for i, id := range ids {
		what := fmt.Sprintf("proposal %d (%s)", id, proposals[i].Title)
		err := WaitFor(ctx, what, period+c.patience(3), func(ctx context.Context) (bool, string, error) {
			res, err := client.Proposal(ctx, &govv1.QueryProposalRequest{ProposalId: id})
			if err != nil {
				return false, "", err
			}
			switch p := res.Proposal; p.Status {
			case govv1.StatusPassed:
				return true, "", nil
			case govv1.StatusRejected, govv1.StatusFailed:
				return false, "", fmt.Errorf("%wit ended as %s %s", ErrGiveUp, p.Status, p.FailedReason)
			default:
				return false, p.Status.String(), nil
			}
		})
		if err != nil {
			return ids, err
		}
	}
	return ids, nil
}

// proposalIDs reads the ids out of a transaction that submitted proposals.
func proposalIDs(res *sdk.TxResponse) ([]uint64, error) {
	data, err := hex.DecodeString(res.Data)
	if err != nil {
		return nil, err
	}
	var msgs sdk.TxMsgData
	if err := proto.Unmarshal(data, &msgs); err != nil {
		return nil, err
	}
	var ids []uint64
	for _, m := range msgs.MsgResponses {
		var submitted govv1.MsgSubmitProposalResponse
		if err := proto.Unmarshal(m.Value, &submitted); err != nil {
			return nil, err
		}
		ids = append(ids, submitted.ProposalId)
	}
	return ids, nil
}
