package watchtower

import (
	"bytes"
	"context"
	"fmt"

	cmttypes "github.com/cometbft/cometbft/types"
)

// maxValidators bounds the pages of a validator set that a node may serve.
const maxValidators = 10_000

// signedHeader is a header with its commit, not verified yet.
func (of *node) signedHeader(ctx context.Context, chainID string, height int64) (*cmttypes.SignedHeader, error) {
	res, err := nonNil(of.Commit(ctx, &height))
	if err != nil {
		return nil, err
	}
	if res.Header == nil || res.Commit == nil || res.Height != height {
		return nil, fmt.Errorf("%w: has no commit of height %d", errNode, height)
	}
	if err := res.ValidateBasic(chainID); err != nil {
		return nil, fmt.Errorf("%w: height %d: %w", errNode, height, err)
	}
	return &res.SignedHeader, nil
}

// validators is the validator set of a height, which must have the hash given.
func (of *node) validators(ctx context.Context, height int64, hash []byte) (*cmttypes.ValidatorSet, error) {
	var all []*cmttypes.Validator
	perPage := 100
	for page := 1; ; page++ {
		res, err := nonNil(of.Validators(ctx, &height, &page, &perPage))
		if err != nil {
			return nil, err
		}
		all = append(all, res.Validators...)
		if len(all) >= res.Total || len(res.Validators) == 0 || len(all) > maxValidators {
			break
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: height %d: no validators", errNode, height)
	}
	for _, v := range all {
		if v == nil || v.ValidateBasic() != nil {
			return nil, fmt.Errorf("%w: height %d: malformed validator", errNode, height)
		}
	}
	// Order and hash do not depend on the proposer priorities, which differ from height to height.
	set := new(cmttypes.ValidatorSet)
	if err := set.UpdateWithChangeSet(all); err != nil {
		return nil, fmt.Errorf("%w: height %d: %w", errNode, height, err)
	}
	if !bytes.Equal(set.Hash(), hash) {
		return nil, fmt.Errorf("%w: height %d: validators do not match their hash", errNode, height)
	}
	set.IncrementProposerPriority(1) // a set without a proposer does not encode
	return set, nil
}

// lightBlock is a header with the validators that signed it, verified against one another.
func (of *node) lightBlock(ctx context.Context, chainID string, height int64) (*cmttypes.LightBlock, error) {
	header, err := of.signedHeader(ctx, chainID, height)
	if err != nil {
		return nil, err
	}
	set, err := of.validators(ctx, height, header.ValidatorsHash)
	if err != nil {
		return nil, err
	}
	block := &cmttypes.LightBlock{SignedHeader: header, ValidatorSet: set}
	if err := block.ValidateBasic(chainID); err != nil {
		return nil, fmt.Errorf("%w: height %d: %w", errNode, height, err)
	}
	if err := set.VerifyCommitLight(chainID, header.Commit.BlockID, height, header.Commit); err != nil {
		return nil, fmt.Errorf("%w: height %d: %w", errNode, height, err)
	}
	return block, nil
}

// lightBlock asks the nodes in turn.
func (n *nodes) lightBlock(ctx context.Context, height int64) (out *cmttypes.LightBlock, err error) {
	err = n.try(ctx, func(ctx context.Context, at nodeStatus) error {
		if err := at.covers(height); err != nil {
			return err
		}
		out, err = at.lightBlock(ctx, n.chainID, height)
		return err
	})
	return out, err
}

// validators asks the nodes in turn for a set with the hash given.
func (n *nodes) validators(ctx context.Context, height int64, hash []byte) (out *cmttypes.ValidatorSet, err error) {
	err = n.try(ctx, func(ctx context.Context, at nodeStatus) error {
		out, err = at.validators(ctx, height, hash)
		return err
	})
	return out, err
}
