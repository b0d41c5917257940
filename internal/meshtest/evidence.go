package meshtest

import (
	"bytes"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cometbft/cometbft/crypto/tmhash"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmtversion "github.com/cometbft/cometbft/proto/tendermint/version"
	cmttypes "github.com/cometbft/cometbft/types"
	"github.com/cometbft/cometbft/version"

	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// DoubleVote returns evidence that the validator signed two blocks at a height, whether it did or not: it has the key.
func (v *Validator) DoubleVote(height int64) *cmtproto.DuplicateVoteEvidence {
	c := v.Chain
	c.Helper()
	vote := func(block string) *cmtproto.Vote {
		hash := tmhash.Sum([]byte(block))
		vote := &cmtproto.Vote{
			Type: cmtproto.PrecommitType, Height: height, Timestamp: c.LastBlock().Time, ValidatorAddress: v.ConsAddress(),
			BlockID: cmtproto.BlockID{Hash: hash, PartSetHeader: cmtproto.PartSetHeader{Total: 1, Hash: hash}},
		}
		sig, err := v.PrivVal.PrivKey.Sign(cmttypes.VoteSignBytes(c.ChainID, vote))
		require.NoError(c, err)
		vote.Signature = sig
		return vote
	}
	return &cmtproto.DuplicateVoteEvidence{VoteA: vote("one block"), VoteB: vote("another"), Timestamp: c.LastBlock().Time}
}

// MsgSubmitDoubleVote returns the message by which an account on the provider proves that a validator of the consumer
// signed two blocks at a height.
func (p *Pairing) MsgSubmitDoubleVote(submitter string, v *Validator, height int64) *providertypes.MsgSubmitDoubleVote {
	return &providertypes.MsgSubmitDoubleVote{
		Submitter: p.Provider.Account(submitter).String(), ConsumerId: p.ConsumerID, Evidence: v.DoubleVote(height),
	}
}

// Fork is one of two headers of a height, as its signers make it.
type Fork struct {
	// Height is above what the client trusts.
	Height int64
	// App and Data are what its hashes are made of.
	App, Data byte
	// Round is the commit's.
	Round int32
	// Absent validators do not sign it, Nil ones vote for nil; all others of the newest set vote for its block.
	Absent, Nil []*Validator
}

// ForkHeader returns a header of the other chain that the client at this end would accept: from its latest height,
// committed by the other chain's newest set of validators.
func (e *End) ForkHeader(f Fork) *ibctm.Header {
	e.Chain.Helper()
	c, trusted := e.Other().Chain, e.ClientHeight()
	vals := c.LatestCommittedHeader.ValidatorSet
	set, err := cmttypes.ValidatorSetFromProto(vals)
	require.NoError(c, err)
	hash := func(x byte) []byte { return bytes.Repeat([]byte{x}, tmhash.Size) }
	at := c.LastBlock().Time
	header := cmttypes.Header{
		Version: cmtversion.Consensus{Block: version.BlockProtocol}, ChainID: c.ChainID, Height: f.Height, Time: at,
		LastBlockID:    cmttypes.BlockID{Hash: hash(200), PartSetHeader: cmttypes.PartSetHeader{Total: 1, Hash: hash(200)}},
		LastCommitHash: hash(201), DataHash: hash(f.Data), ValidatorsHash: set.Hash(), NextValidatorsHash: set.Hash(),
		ConsensusHash: hash(202), AppHash: hash(f.App), LastResultsHash: hash(203), EvidenceHash: hash(204),
		ProposerAddress: set.Proposer.Address,
	}
	commit := &cmttypes.Commit{
		Height: f.Height, Round: f.Round,
		BlockID: cmttypes.BlockID{Hash: header.Hash(), PartSetHeader: cmttypes.PartSetHeader{Total: 1, Hash: hash(205)}},
	}
	is := func(list []*Validator, address []byte) bool {
		return slices.ContainsFunc(list, func(v *Validator) bool { return bytes.Equal(v.ConsAddress(), address) })
	}
	for i, v := range set.Validators {
		if is(f.Absent, v.Address) {
			commit.Signatures = append(commit.Signatures, cmttypes.NewCommitSigAbsent())
			continue
		}
		flag := cmttypes.BlockIDFlagCommit
		if is(f.Nil, v.Address) {
			flag = cmttypes.BlockIDFlagNil
		}
		commit.Signatures = append(commit.Signatures, cmttypes.CommitSig{
			BlockIDFlag: flag, ValidatorAddress: v.Address, Timestamp: at.Add(time.Duration(i)),
		})
		vote := commit.GetVote(int32(i)).ToProto()
		require.NoError(c, c.Signers[v.Address.String()].SignVote(c.ChainID, vote))
		commit.Signatures[i].Signature = vote.Signature
	}
	trustedSet, ok := c.TrustedValidators[trusted.RevisionHeight]
	require.True(c, ok, "no validators at %s", trusted)
	trustedVals, err := trustedSet.ToProto()
	require.NoError(c, err)
	trustedVals.TotalVotingPower = trustedSet.TotalVotingPower()
	return &ibctm.Header{
		SignedHeader: (&cmttypes.SignedHeader{Header: &header, Commit: commit}).ToProto(),
		ValidatorSet: vals, TrustedHeight: trusted, TrustedValidators: trustedVals,
	}
}

// MsgSubmitMisbehaviour returns the message by which an account on the provider proves that the consumer's validators
// signed two headers of a height.
func (p *Pairing) MsgSubmitMisbehaviour(submitter string, a, b Fork) *providertypes.MsgSubmitMisbehaviour {
	e := p.link.On(p.Provider)
	return &providertypes.MsgSubmitMisbehaviour{
		Submitter: p.Provider.Account(submitter).String(), ConsumerId: p.ConsumerID,
		Misbehaviour: ibctm.NewMisbehaviour(p.ConsumerID, e.ForkHeader(a), e.ForkHeader(b)),
	}
}
