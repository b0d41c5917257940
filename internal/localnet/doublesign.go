package localnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/cometbft/cometbft/crypto/tmhash"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"
)

// ErrNotInSet means that a node's validator was not in the set of a height: nobody would take its votes.
var ErrNotInSet = errors.New("not in the validator set")

// DoubleSign makes a node's validator sign two blocks of one height: the one that the chain has, and one that nobody has
// proposed. Its key file is all that is needed; CometBFT's own protection against it is in the state file beside it,
// which a signer with two machines, or one restored from a backup, has not got. The evidence is as CometBFT makes it, and
// has been shown to nobody.
func (n *Node) DoubleSign(ctx context.Context, height int64) (*cmttypes.DuplicateVoteEvidence, error) {
	fail := func(err error) error { return stepErr(n.Chain.ID, "double sign by "+n.Moniker, "", err) }
	key, err := n.validatorKey()
	if err != nil {
		return nil, fail(err)
	}
	commit, err := n.Chain.RPC().Commit(ctx, &height)
	if err != nil {
		return nil, fail(err)
	}
	validators, err := n.Chain.Validators(ctx, height)
	if err != nil {
		return nil, fail(err)
	}
	set, err := cmttypes.ValidatorSetFromExistingValidators(validators)
	if err != nil {
		return nil, fail(err)
	}
	evidence, err := doubleSign(key, n.Chain.ID, commit.Commit, commit.Header, set)
	return evidence, fail(err)
}

// doubleSign signs the block of a commit and another one, in the same round.
func doubleSign(
	key privval.FilePVKey, chainID string, commit *cmttypes.Commit, header *cmttypes.Header, set *cmttypes.ValidatorSet,
) (*cmttypes.DuplicateVoteEvidence, error) {
	index, _ := set.GetByAddress(key.Address)
	if index < 0 {
		return nil, fmt.Errorf("%w of height %d: %s", ErrNotInSet, commit.Height, key.Address)
	}
	precommit := func(id cmttypes.BlockID) (*cmttypes.Vote, error) {
		vote := &cmttypes.Vote{
			Type: cmtproto.PrecommitType, Height: commit.Height, Round: commit.Round, BlockID: id, Timestamp: header.Time,
			ValidatorAddress: key.Address, ValidatorIndex: index,
		}
		var err error
		vote.Signature, err = key.PrivKey.Sign(cmttypes.VoteSignBytes(chainID, vote.ToProto()))
		return vote, err
	}
	committed, err := precommit(commit.BlockID)
	if err != nil {
		return nil, err
	}
	other, err := precommit(cmttypes.BlockID{
		Hash:          tmhash.Sum(commit.BlockID.Hash),
		PartSetHeader: cmttypes.PartSetHeader{Total: 1, Hash: tmhash.Sum(commit.BlockID.PartSetHeader.Hash)},
	})
	if err != nil {
		return nil, err
	}
	return cmttypes.NewDuplicateVoteEvidence(committed, other, header.Time, set)
}

func (n *Node) validatorKey() (key privval.FilePVKey, err error) {
	data, err := os.ReadFile(n.ValidatorKeyFile())
	if err != nil {
		return key, err
	}
	return key, cmtjson.Unmarshal(data, &key)
}

// BroadcastEvidence gives evidence to a node, which verifies it and passes it on. It returns the first block, from the
// height on, that has it.
func (c *Chain) BroadcastEvidence(ctx context.Context, evidence cmttypes.Evidence) (int64, error) {
	from, err := c.Height(ctx)
	if err != nil {
		return 0, err
	}
	if _, err := c.RPC().BroadcastEvidence(ctx, evidence); err != nil {
		return 0, stepErr(c.ID, "broadcast evidence", c.primary().Log, err)
	}
	var found int64
	what := fmt.Sprintf("a block with the evidence of height %d", evidence.Height())
	err = c.WaitFor(ctx, what, c.patience(20), func(ctx context.Context) (bool, string, error) {
		head, err := c.Height(ctx)
		if err != nil {
			return false, "", err
		}
		for ; from <= head; from++ {
			block, err := c.RPC().Block(ctx, &from)
			if err != nil {
				return false, "", err
			}
			for _, e := range block.Block.Evidence.Evidence {
				if bytes.Equal(e.Hash(), evidence.Hash()) {
					found = from
					return true, "", nil
				}
			}
		}
		return false, fmt.Sprintf("none up to block %d", head), nil
	})
	return found, err
}
