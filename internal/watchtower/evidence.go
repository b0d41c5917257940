package watchtower

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"
)

// Kind tells which message proves a piece of evidence.
type Kind string

// The kinds of evidence.
const (
	// KindDoubleVote are two conflicting votes of one validator.
	KindDoubleVote Kind = "double_vote"
	// KindMisbehaviour are two headers of one height, each signed by two thirds.
	KindMisbehaviour Kind = "misbehaviour"
)

// Evidence is misbehaviour that was found on a chain.
type Evidence struct {
	ChainID string
	Kind    Kind
	// Height is that of the votes or of the headers.
	Height int64
	// CommonHeight is one at which both headers' chains agree, below Height; 0 for double votes.
	CommonHeight int64
	// Time is the time of the block it was found in, or of the older header.
	Time time.Time
	// DoubleVote is set for double votes.
	DoubleVote *cmtproto.DuplicateVoteEvidence
	// Headers are one or two light blocks of misbehaviour. One: the other is to be read from the chain.
	Headers []*cmttypes.LightBlock
}

var errEvidence = errors.New("malformed evidence")

// evidenceFrom translates what a block contains.
//
// CONTRACT: ValidateBasic of ev succeeded.
func evidenceFrom(chainID string, blockTime time.Time, ev cmttypes.Evidence) (*Evidence, error) {
	switch ev := ev.(type) {
	case *cmttypes.DuplicateVoteEvidence:
		return &Evidence{
			ChainID: chainID, Kind: KindDoubleVote, Height: ev.VoteA.Height, Time: blockTime, DoubleVote: ev.ToProto(),
		}, nil
	case *cmttypes.LightClientAttackEvidence:
		if got := ev.ConflictingBlock.ChainID; got != chainID {
			return nil, fmt.Errorf("%w: header of chain %q in a block of %q", errEvidence, got, chainID)
		}
		return &Evidence{
			ChainID: chainID, Kind: KindMisbehaviour, Height: ev.ConflictingBlock.Height,
			// For an equivocation the common height is the height itself.
			CommonHeight: min(ev.CommonHeight, ev.ConflictingBlock.Height-1),
			Time:         blockTime, Headers: []*cmttypes.LightBlock{ev.ConflictingBlock},
		}, nil
	default:
		return nil, fmt.Errorf("%w: type %T", errEvidence, ev)
	}
}

// Hash names the evidence: the same votes, or the same conflicting headers, have the same name whenever they are found.
// It is taken when evidence is found; reading the second header later does not rename it.
func (e *Evidence) Hash() string {
	h := sha256.New()
	write := func(bz []byte) {
		fmt.Fprintf(h, "%d:", len(bz))
		h.Write(bz)
	}
	write([]byte(e.ChainID))
	write([]byte(e.Kind))
	switch e.Kind {
	case KindDoubleVote:
		for _, vote := range []*cmtproto.Vote{e.DoubleVote.VoteA, e.DoubleVote.VoteB} {
			bz, err := vote.Marshal()
			if err != nil { // a vote without pointers always marshals
				panic(err)
			}
			write(bz)
		}
	case KindMisbehaviour:
		for _, header := range e.Headers {
			write(header.Hash())
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Complete reports whether nothing is left to be read from the chain.
func (e *Evidence) Complete() bool { return e.Kind == KindDoubleVote || len(e.Headers) == 2 }

// Offenders are the consensus addresses of those who may be slashed for it: whoever signed twice. x/provider judges;
// this only says about whom to ask.
func (e *Evidence) Offenders() [][]byte {
	if e.Kind == KindDoubleVote {
		return [][]byte{e.DoubleVote.VoteA.ValidatorAddress}
	}
	var out [][]byte
	for _, sig := range e.Headers[0].Commit.Signatures {
		if sig.BlockIDFlag != cmttypes.BlockIDFlagCommit {
			continue
		}
		if len(e.Headers) == 2 && !signedFor(e.Headers[1].Commit, sig.ValidatorAddress) {
			continue
		}
		out = append(out, sig.ValidatorAddress)
	}
	return out
}

func signedFor(commit *cmttypes.Commit, address []byte) bool {
	for _, sig := range commit.Signatures {
		if sig.BlockIDFlag == cmttypes.BlockIDFlagCommit && bytes.Equal(sig.ValidatorAddress, address) {
			return true
		}
	}
	return false
}

// payload is the evidence in protobuf: one double vote, or one or two light blocks.
func (e *Evidence) payload() ([][]byte, error) {
	if e.Kind == KindDoubleVote {
		bz, err := e.DoubleVote.Marshal()
		return [][]byte{bz}, err
	}
	out := make([][]byte, len(e.Headers))
	for i, header := range e.Headers {
		pb, err := header.ToProto()
		if err != nil {
			return nil, err
		}
		if out[i], err = pb.Marshal(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// setPayload is the inverse of payload.
func (e *Evidence) setPayload(payload [][]byte) error {
	switch {
	case e.Kind == KindDoubleVote && len(payload) == 1:
		e.DoubleVote = new(cmtproto.DuplicateVoteEvidence)
		if err := e.DoubleVote.Unmarshal(payload[0]); err != nil {
			return fmt.Errorf("%w: %w", errEvidence, err)
		}
		if e.DoubleVote.VoteA == nil || e.DoubleVote.VoteB == nil {
			return fmt.Errorf("%w: a vote is missing", errEvidence)
		}
		return nil
	case e.Kind == KindMisbehaviour && (len(payload) == 1 || len(payload) == 2):
		for _, bz := range payload {
			var pb cmtproto.LightBlock
			if err := pb.Unmarshal(bz); err != nil {
				return fmt.Errorf("%w: %w", errEvidence, err)
			}
			header, err := cmttypes.LightBlockFromProto(&pb)
			if err != nil {
				return fmt.Errorf("%w: %w", errEvidence, err)
			}
			if header.SignedHeader == nil || header.Header == nil || header.Commit == nil || header.ValidatorSet == nil {
				return fmt.Errorf("%w: a header is incomplete", errEvidence)
			}
			e.Headers = append(e.Headers, header)
		}
		return nil
	default:
		return fmt.Errorf("%w: kind %q with %d parts", errEvidence, e.Kind, len(payload))
	}
}
