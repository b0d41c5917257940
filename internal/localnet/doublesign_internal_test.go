package localnet

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/crypto/tmhash"
	"github.com/cometbft/cometbft/evidence"
	"github.com/cometbft/cometbft/privval"
	cmttypes "github.com/cometbft/cometbft/types"
)

func keyOf(key crypto.PrivKey) privval.FilePVKey {
	return privval.FilePVKey{Address: key.PubKey().Address(), PubKey: key.PubKey(), PrivKey: key}
}

// What we sign is what CometBFT punishes, for this chain only.
func TestDoubleSign(t *testing.T) {
	keys := []crypto.PrivKey{ed25519.GenPrivKey(), ed25519.GenPrivKey(), ed25519.GenPrivKey()}
	var validators []*cmttypes.Validator
	for i, k := range keys {
		validators = append(validators, cmttypes.NewValidator(k.PubKey(), int64(10+i)))
	}
	set := cmttypes.NewValidatorSet(validators)
	header := &cmttypes.Header{Height: 1_234_567, Time: time.Unix(1_700_000_000, 5).UTC()}
	commit := &cmttypes.Commit{Height: header.Height, Round: 2, BlockID: cmttypes.BlockID{
		Hash: tmhash.Sum([]byte("block")), PartSetHeader: cmttypes.PartSetHeader{Total: 3, Hash: tmhash.Sum([]byte("parts"))},
	}}

	got, err := doubleSign(keyOf(keys[1]), "one", commit, header, set)
	require.NoError(t, err)
	require.NoError(t, got.ValidateBasic())
	require.NoError(t, evidence.VerifyDuplicateVote(got, "one", set))
	require.Error(t, evidence.VerifyDuplicateVote(got, "two", set))
	require.Equal(t, header.Time, got.Time())
	require.Equal(t, int64(11), got.ValidatorPower)
	require.Equal(t, int64(33), got.TotalVotingPower)
	require.Contains(t, []cmttypes.BlockID{got.VoteA.BlockID, got.VoteB.BlockID}, commit.BlockID, "one of the two is the chain's block")

	_, err = doubleSign(keyOf(ed25519.GenPrivKey()), "one", commit, header, set)
	require.ErrorIs(t, err, ErrNotInSet)
}
