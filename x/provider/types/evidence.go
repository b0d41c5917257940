package types

import (
	"bytes"
	"encoding/binary"

	gogotypes "github.com/cosmos/gogoproto/types"

	errorsmod "cosmossdk.io/errors"

	"github.com/cosmos/cosmos-sdk/crypto/keys/secp256k1"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"github.com/cometbft/cometbft/crypto"
	cmtsecp256k1 "github.com/cometbft/cometbft/crypto/secp256k1"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

const (
	// GasVerifyEd25519 is charged for the verification of one ed25519 signature in a proof, as x/auth does by default.
	GasVerifyEd25519 = authtypes.DefaultSigVerifyCostED25519
	// GasVerifySecp256k1 is charged for the verification of one secp256k1 signature in a proof, as x/auth does by default.
	GasVerifySecp256k1 = authtypes.DefaultSigVerifyCostSecp256k1
)

// GasVerify returns what is charged for the verification of one signature with the key.
func GasVerify(pub crypto.PubKey) uint64 {
	if pub.Type() == cmtsecp256k1.KeyType {
		return GasVerifySecp256k1
	}
	return GasVerifyEd25519
}

// Address returns the consensus address of the key; false if the record proves nothing, because the key is not one that
// CometBFT verifies with, or because another validator had it first.
func (r KeyRecord) Address() ([]byte, bool) {
	pub, err := r.Key.PubKey()
	if err != nil || r.Foreign {
		return nil, false
	}
	return pub.Address(), true
}

// Covers says whether the height is in the key's range.
func (r KeyRecord) Covers(h meshtypes.Height) bool {
	return h.Compare(r.From) >= 0 && (r.To.IsZero() || h.Compare(r.To) < 0)
}

// ChainRecord returns the record of one of the consumer's chain ids; an empty one stands for the present one. Error:
// ErrEvidenceChainID.
func (c *Consumer) ChainRecord(chainID string) (*ChainRecord, error) {
	if chainID == "" {
		chainID = c.Config.ChainId
	}
	for i := range c.Chains {
		if c.Chains[i].ChainId == chainID {
			return &c.Chains[i], nil
		}
	}
	return nil, errorsmod.Wrapf(ErrEvidenceChainID, "%q", chainID)
}

// ParseDoubleVote checks a double-vote evidence by itself, as CometBFT's evidence pool does, and returns its votes. Their
// order does not matter; powers, timestamps and vote extensions prove nothing and are not looked at. Errors:
// ErrEvidenceTooLarge, ErrInvalidEvidence, ErrVotesDiffer, ErrVoteAddresses, ErrEqualBlockIDs.
func ParseDoubleVote(evidence *cmtproto.DuplicateVoteEvidence) (a, b *cmttypes.Vote, err error) {
	if size := evidence.Size(); size > MaxEvidenceBytes {
		return nil, nil, errorsmod.Wrapf(ErrEvidenceTooLarge, "%d bytes, at most %d", size, MaxEvidenceBytes)
	}
	if evidence == nil || evidence.VoteA == nil || evidence.VoteB == nil {
		return nil, nil, errorsmod.Wrap(ErrInvalidEvidence, "a vote is missing")
	}
	if a, err = parseVote(evidence.VoteA); err != nil {
		return nil, nil, errorsmod.Wrap(err, "vote_a")
	}
	if b, err = parseVote(evidence.VoteB); err != nil {
		return nil, nil, errorsmod.Wrap(err, "vote_b")
	}
	switch {
	case a.Height != b.Height || a.Round != b.Round || a.Type != b.Type:
		return nil, nil, errorsmod.Wrapf(ErrVotesDiffer, "%d/%d/%s and %d/%d/%s", a.Height, a.Round, a.Type, b.Height, b.Round, b.Type)
	case !bytes.Equal(a.ValidatorAddress, b.ValidatorAddress):
		return nil, nil, errorsmod.Wrapf(ErrVoteAddresses, "%s and %s", a.ValidatorAddress, b.ValidatorAddress)
	case a.BlockID.Equals(b.BlockID):
		return nil, nil, errorsmod.Wrap(ErrEqualBlockIDs, a.BlockID.String())
	}
	return a, b, nil
}

func parseVote(pb *cmtproto.Vote) (*cmttypes.Vote, error) {
	vote, err := cmttypes.VoteFromProto(pb)
	if err == nil {
		err = vote.ValidateBasic()
	}
	if err == nil {
		_, err = gogotypes.TimestampProto(vote.Timestamp) // a time that has no encoding has no sign bytes
	}
	if err != nil {
		return nil, errorsmod.Wrap(ErrInvalidEvidence, err.Error())
	}
	return vote, nil
}

// VerifyDoubleVote checks the signatures of two votes over their canonical sign bytes for a chain id. Error:
// ErrVoteSignature. CONTRACT: the votes come from ParseDoubleVote.
func VerifyDoubleVote(chainID string, pub crypto.PubKey, votes ...*cmttypes.Vote) error {
	for i, vote := range votes {
		if !pub.VerifySignature(cmttypes.VoteSignBytes(chainID, vote.ToProto()), vote.Signature) {
			return errorsmod.Wrapf(ErrVoteSignature, "vote %d on chain %q", i+1, chainID)
		}
	}
	return nil
}

// vouchDomain begins the bytes that an operator signs to vouch for a key, so that they are nothing else: neither a
// transaction nor a vote.
const vouchDomain = "mesh-security/vouch-key/v1"

// VouchSignBytes returns what an operator of a consumer's validator signs with its account key to vouch for a consensus
// key: a domain, the provider's chain id, the consumer's id there, and the key's type and bytes, each after its length in
// four bytes.
func VouchSignBytes(providerChainID, consumerID string, key meshtypes.ConsensusKey) []byte {
	var out []byte
	for _, part := range [][]byte{[]byte(vouchDomain), []byte(providerChainID), []byte(consumerID), []byte(key.Type), key.Key} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...)
	}
	return out
}

// VerifyVouch returns ErrInvalidVouch unless the account key is a secp256k1 key whose address is the operator address, and
// the signature, of 64 bytes, is over VouchSignBytes.
func VerifyVouch(providerChainID, consumerID string, key meshtypes.ConsensusKey, operator, accountKey, signature []byte) error {
	if len(accountKey) != secp256k1.PubKeySize {
		return errorsmod.Wrapf(ErrInvalidVouch, "account key of %d bytes, want a secp256k1 key of %d", len(accountKey), secp256k1.PubKeySize)
	}
	pub := &secp256k1.PubKey{Key: accountKey}
	if !bytes.Equal(pub.Address(), operator) {
		return errorsmod.Wrapf(ErrInvalidVouch, "address of the account key is %X, the operator's %X", pub.Address().Bytes(), operator)
	}
	if !pub.VerifySignature(VouchSignBytes(providerChainID, consumerID, key), signature) {
		return errorsmod.Wrapf(ErrInvalidVouch, "not for this key of %s on %s", consumerID, providerChainID)
	}
	return nil
}
