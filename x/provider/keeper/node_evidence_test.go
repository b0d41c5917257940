package keeper_test

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cometbft/cometbft/abci/example/kvstore"
	"github.com/cometbft/cometbft/crypto/tmhash"
	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/rpc/client/local"
	rpctest "github.com/cometbft/cometbft/rpc/test"
	cmttypes "github.com/cometbft/cometbft/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// nodeEvidenceFile holds what nodeEvidence returned once.
const nodeEvidenceFile = "testdata/node_evidence.json"

// blockEvidence is evidence as a CometBFT node has it in a block.
type blockEvidence struct {
	ChainID string `json:"chain_id"`
	// Key is the consensus key that double-signed.
	Key []byte `json:"key"`
	// Latest is the height of the block.
	Latest uint64 `json:"latest"`
	// Evidence is the protobuf of a DuplicateVoteEvidence.
	Evidence []byte `json:"evidence"`
}

// nodeEvidence runs a CometBFT node, makes its validator sign a block besides the one it has committed, and takes the
// evidence from the block in which the node put it.
func nodeEvidence(t *testing.T) blockEvidence {
	t.Helper()
	node := rpctest.StartTendermint(kvstore.NewInMemoryApplication(), rpctest.SuppressStdout, rpctest.RecreateConfig)
	t.Cleanup(func() { rpctest.StopTendermint(node) })
	client, ctx := local.New(node), context.Background()
	config := node.Config()
	pv := privval.LoadFilePV(config.PrivValidatorKeyFile(), config.PrivValidatorStateFile())

	const doubleSignAt = 2
	height := int64(doubleSignAt)
	require.Eventually(t, func() bool {
		status, err := client.Status(ctx)
		return err == nil && status.SyncInfo.LatestBlockHeight > height
	}, time.Minute, 10*time.Millisecond)
	commit, err := client.Commit(ctx, &height)
	require.NoError(t, err)
	vals, err := client.Validators(ctx, &height, nil, nil)
	require.NoError(t, err)
	genesis, err := client.Genesis(ctx)
	require.NoError(t, err)
	chain := genesis.Genesis.ChainID

	one := commit.Commit.GetVote(0) // signed in consensus
	two := *one
	two.BlockID = cmttypes.BlockID{Hash: tmhash.Sum([]byte("x")), PartSetHeader: cmttypes.PartSetHeader{Total: 1, Hash: tmhash.Sum([]byte("y"))}}
	two.Signature, err = pv.Key.PrivKey.Sign(cmttypes.VoteSignBytes(chain, two.ToProto()))
	require.NoError(t, err)
	evidence, err := cmttypes.NewDuplicateVoteEvidence(one, &two, commit.Time, cmttypes.NewValidatorSet(vals.Validators))
	require.NoError(t, err)
	_, err = client.BroadcastEvidence(ctx, evidence)
	require.NoError(t, err)

	var out blockEvidence
	next := height + 1
	require.Eventually(t, func() bool {
		block, err := client.Block(ctx, &next)
		if err != nil || block.Block == nil {
			return false
		}
		next++
		for _, ev := range block.Block.Evidence.Evidence {
			out = blockEvidence{ChainID: chain, Key: pv.Key.PubKey.Bytes(), Latest: uint64(block.Block.Height), Evidence: ev.(*cmttypes.DuplicateVoteEvidence).Bytes()}
		}
		return out.Evidence != nil
	}, time.Minute, 10*time.Millisecond)
	return out
}

// proveNodeEvidence submits evidence from a block, as it is, to a provider whose consumer is that chain.
func proveNodeEvidence(t *testing.T, from blockEvidence) {
	t.Helper()
	f := testutil.New(t)
	val := f.Validator(100_000_000, 1)
	u, w := f.Delegator(val, 2_000_000), f.Delegator(val, 10_000_000)
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.ChainId = from.ChainID })
	revision := clienttypes.ParseChainID(from.ChainID)
	c.Bond(1)
	require.NoError(t, c.Stake(w, 1, 5_000_000)) // or it would be a mass proof
	r := testutil.ValidatorReport(2)
	r.ConsensusKey = meshtypes.ConsensusKey{Type: "ed25519", Key: from.Key}
	r.KeyHeight = meshtypes.NewHeight(revision, 1)
	_, isError := c.Send(c.Message(r))
	require.False(t, isError)
	f.IBC.Clients[client].State.LatestHeight = clienttypes.NewHeight(revision, 1)
	require.NoError(t, c.Stake(u, 2, 1_000_000))
	f.IBC.Clients[client].State.LatestHeight = clienttypes.NewHeight(revision, from.Latest)

	m := &types.MsgSubmitDoubleVote{Submitter: u.String(), ConsumerId: client, Evidence: &cmtproto.DuplicateVoteEvidence{}}
	require.NoError(t, m.Evidence.Unmarshal(from.Evidence))
	require.NoError(t, f.Try(func(ctx sdk.Context) error {
		res, err := f.Msgs.SubmitDoubleVote(ctx, m)
		if err == nil {
			require.Equal(t, types.SLASH_STATUS_EXECUTED, res.Status)
		}
		return err
	}))
	require.Equal(t, "100000", export(t, f).Totals.Slashed.String())
	f.NextBlock()
}

// TestEvidenceOfANode: bytes that a real CometBFT node made, judged by its own evidence pool and put into a block.
// MESH_WRITE_TESTDATA=1 keeps them for the test below.
func TestEvidenceOfANode(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a CometBFT node")
	}
	ev := nodeEvidence(t)
	if os.Getenv("MESH_WRITE_TESTDATA") != "" {
		bz, err := json.MarshalIndent(ev, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(nodeEvidenceFile, append(bz, '\n'), 0o644))
	}
	proveNodeEvidence(t, ev)
}

// TestEvidenceOfANodeOnFile does the same with bytes kept from such a run.
func TestEvidenceOfANodeOnFile(t *testing.T) {
	bz, err := os.ReadFile(nodeEvidenceFile)
	require.NoError(t, err)
	var ev blockEvidence
	require.NoError(t, json.Unmarshal(bz, &ev))
	proveNodeEvidence(t, ev)
}
