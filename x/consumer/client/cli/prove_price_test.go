package cli_test

import (
	"context"
	"testing"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/log/v2"

	"github.com/cosmos/cosmos-sdk/store/v2"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtbytes "github.com/cometbft/cometbft/libs/bytes"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	coretypes "github.com/cometbft/cometbft/rpc/core/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	commitmenttypes "github.com/cosmos/ibc-go/v11/modules/core/23-commitment/types"

	"github.com/mesh-security/mesh/x/consumer/client/cli"
	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// node answers from a store, as a chain's RPC does.
type node struct{ store storetypes.CommitMultiStore }

func (n node) ABCIQueryWithOptions(
	_ context.Context, path string, data cmtbytes.HexBytes, opts rpcclient.ABCIQueryOptions,
) (*coretypes.ResultABCIQuery, error) {
	res, err := n.store.(storetypes.Queryable).Query(&storetypes.RequestQuery{
		Path: path[len("/store"):], Data: data, Height: opts.Height, Prove: opts.Prove,
	})
	if err != nil {
		return &coretypes.ResultABCIQuery{Response: abci.ResponseQuery{Code: 6, Log: err.Error()}}, nil //nolint:nilerr // nodes answer with a code
	}
	return &coretypes.ResultABCIQuery{Response: abci.ResponseQuery{
		Code: res.Code, Log: res.Log, Value: res.Value, ProofOps: res.ProofOps, Height: res.Height,
	}}, nil
}

func TestFetchPriceProof(t *testing.T) {
	key := storetypes.NewKVStoreKey("prices")
	cms := store.NewCommitMultiStore(dbm.NewMemDB(), log.NewNopLogger())
	cms.MountStoreWithDB(key, storetypes.StoreTypeIAVL, nil)
	require.NoError(t, cms.LoadLatestVersion())
	cms.GetKVStore(key).Set([]byte("price"), []byte("0.45"))
	cms.GetKVStore(key).Set([]byte("name"), []byte("osmo"))
	id := cms.Commit()
	cms.GetKVStore(key).Set([]byte("price"), []byte("0.46"))
	cms.Commit()

	source := func(path ...string) types.PriceSource {
		s := types.PriceSource{Encoding: types.PRICE_ENCODING_TEXT}
		for _, k := range path {
			s.Path = append(s.Path, []byte(k))
		}
		return s
	}
	height := clienttypes.NewHeight(3, uint64(id.Version)+1)
	msg, err := cli.FetchPriceProof(t.Context(), node{cms}, source("prices", "price"), height)
	require.NoError(t, err)
	require.Equal(t, "0.45", string(msg.Value), "what the header's root is of")
	require.Equal(t, meshtypes.NewHeight(3, uint64(id.Version)+1), msg.ProofHeight)
	var proof commitmenttypes.MerkleProof
	require.NoError(t, proof.Unmarshal(msg.Proof))
	require.NoError(t, proof.VerifyMembership(commitmenttypes.GetSDKSpecs(), commitmenttypes.NewMerkleRoot(id.Hash),
		commitmenttypes.NewMerklePath([]byte("prices"), []byte("price")), msg.Value))

	for name, tc := range map[string]struct {
		source types.PriceSource
		height clienttypes.Height
	}{
		"no such store": {source("other", "price"), height},
		"absent":        {source("prices", "nothing"), height},
		"no number":     {source("prices", "name"), height},
		"one key":       {source("prices"), height},
		"pruned":        {source("prices", "price"), clienttypes.NewHeight(3, 100)},
		"no state":      {source("prices", "price"), clienttypes.NewHeight(3, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cli.FetchPriceProof(t.Context(), node{cms}, tc.source, tc.height)
			require.Error(t, err)
		})
	}
}
