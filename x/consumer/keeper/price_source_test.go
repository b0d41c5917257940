package keeper_test

import (
	"time"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/log/v2"

	"github.com/cosmos/cosmos-sdk/store/v2"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	commitmenttypes "github.com/cosmos/ibc-go/v11/modules/core/23-commitment/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

const sourceClientID = "07-tendermint-9"

// sourceClients are the fake clients, of which some know headers: those of chains with prices in their state.
type sourceClients struct {
	fakeClients
	sources map[string]*sourceClient
}

// sourceClient is a light client that was told roots and times.
type sourceClient struct {
	status  exported.Status
	headers map[clienttypes.Height]sourceHeader
}

type sourceHeader struct {
	root []byte
	time uint64
}

func (c sourceClients) GetClientStatus(_ sdk.Context, id string) exported.Status {
	if s, ok := c.sources[id]; ok {
		return s.status
	}
	return exported.Unknown
}

func (c sourceClients) GetClientTimestampAtHeight(_ sdk.Context, id string, height exported.Height) (uint64, error) {
	h, ok := c.sources[id].headers[height.(clienttypes.Height)]
	if !ok {
		return 0, clienttypes.ErrConsensusStateNotFound
	}
	return h.time, nil
}

// VerifyMembership verifies as 07-tendermint does, against the root of the header.
func (c sourceClients) VerifyMembership(
	_ sdk.Context, id string, height exported.Height, _, _ uint64, proof []byte, path exported.Path, value []byte,
) error {
	h, ok := c.sources[id].headers[height.(clienttypes.Height)]
	if !ok {
		return clienttypes.ErrConsensusStateNotFound
	}
	var merkle commitmenttypes.MerkleProof
	if err := merkle.Unmarshal(proof); err != nil {
		return err
	}
	return merkle.VerifyMembership(commitmenttypes.GetSDKSpecs(), commitmenttypes.NewMerkleRoot(h.root), path, value)
}

// source is a chain that holds prices: a store whose roots our light client is told.
type source struct {
	f      *fixture
	store  storetypes.CommitMultiStore
	key    storetypes.StoreKey
	client *sourceClient
}

// newSource adds a chain with a store "prices" and a light client of it.
func (f *fixture) newSource() *source {
	f.t.Helper()
	s := &source{f: f, key: storetypes.NewKVStoreKey("prices")}
	s.store = store.NewCommitMultiStore(dbm.NewMemDB(), log.NewNopLogger())
	s.store.MountStoreWithDB(s.key, storetypes.StoreTypeIAVL, nil)
	require.NoError(f.t, s.store.LoadLatestVersion())
	s.client = &sourceClient{status: exported.Active, headers: map[clienttypes.Height]sourceHeader{}}
	f.sources[sourceClientID], f.clients[sourceClientID] = s.client, "source-3"
	return s
}

// commit writes values, makes a block with our time, and returns the height whose header has the root.
func (s *source) commit(values map[string][]byte) meshtypes.Height {
	s.f.t.Helper()
	return s.commitAt(s.f.ctx.BlockTime(), values)
}

func (s *source) commitAt(at time.Time, values map[string][]byte) meshtypes.Height {
	s.f.t.Helper()
	kv := s.store.GetKVStore(s.key)
	for k, v := range values {
		kv.Set([]byte(k), v)
	}
	id := s.store.Commit()
	height := clienttypes.NewHeight(3, uint64(id.Version)+1)
	s.client.headers[height] = sourceHeader{root: id.Hash, time: uint64(at.UnixNano())}
	return meshtypes.NewHeight(3, uint64(id.Version)+1)
}

// prove returns the message that proves a key's value at a height, of the value or of its absence.
func (s *source) prove(height meshtypes.Height, key string) *types.MsgProvePrice {
	s.f.t.Helper()
	res, err := s.store.(storetypes.Queryable).Query(&storetypes.RequestQuery{
		Path: "/prices/key", Data: []byte(key), Height: int64(height.Height) - 1, Prove: true,
	})
	require.NoError(s.f.t, err)
	merkle, err := commitmenttypes.ConvertProofs(res.ProofOps)
	require.NoError(s.f.t, err)
	proof, err := merkle.Marshal()
	require.NoError(s.f.t, err)
	return &types.MsgProvePrice{
		Submitter: anybody.String(), ProviderId: provider1, Value: res.Value, Proof: proof, ProofHeight: height,
	}
}
