package meshtest

import (
	"encoding/json"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/log/v2"

	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/client/flags"
	"github.com/cosmos/cosmos-sdk/store/v2/snapshots"
	snapshottypes "github.com/cosmos/cosmos-sdk/store/v2/snapshots/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/mesh-security/mesh/app"
	"github.com/mesh-security/mesh/app/apptest"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// Restart exports the chain's whole state, starts a fresh application from it under the same chain id and at the next
// height, and makes the first block there. It fails the test unless the new application's own export of both modules
// and of x/staking is what it was given. Packets in flight go on.
//
// CONTRACT: no transaction waits in the mempool and no authority message for the next block.
func (c *Chain) Restart() {
	c.Helper()
	require.Empty(c, c.mempool, "%s: transactions wait", c.ChainID)
	require.Empty(c, c.pending, "%s: authority messages wait", c.ChainID)

	exported, err := c.App.ExportAppStateAndValidators(false, nil, nil)
	require.NoError(c, err)
	require.Equal(c, c.ProposedHeader.Height, exported.Height)

	c.start()
	// The next block has no votes on a block before it, and proofs exist only from the header after it.
	c.firstHeight = exported.Height
	_, err = c.App.InitChain(&abci.RequestInitChain{
		Time:            c.LastBlock().Time,
		ChainId:         c.ChainID,
		ConsensusParams: &exported.ConsensusParams,
		AppStateBytes:   exported.AppState,
		InitialHeight:   exported.Height,
	})
	require.NoError(c, err, c.ChainID)

	var given app.GenesisState
	require.NoError(c, json.Unmarshal(exported.AppState, &given))
	ctx := c.App.NewContextLegacy(false, c.ProposedHeader)
	again, err := c.App.ModuleManager.ExportGenesisForModules(ctx, c.App.AppCodec(), nil)
	require.NoError(c, err)
	for _, name := range []string{meshtypes.PortProvider, meshtypes.PortConsumer, stakingtypes.ModuleName} {
		if _, ok := given[name]; ok {
			require.JSONEq(c, string(given[name]), string(again[name]), "%s: export of %s after import", c.ChainID, name)
		}
	}

	c.net.coord.IncrementTimeBy(c.net.BlockTime)
	c.ProposedHeader.Time = c.net.coord.CurrentTime.Add(c.Skew)
	c.NextBlock()
}

// StateSync brings a new node to the chain's state by a snapshot, as state sync does: it is offered the snapshot and given
// its chunks over ABCI. From here on the node follows: it executes every block, and the test fails unless it comes to the
// same hash.
//
// CONTRACT: what changes the chain from here on is transactions, not Gov or Direct.
func (c *Chain) StateSync() {
	c.Helper()
	height := uint64(c.Height())
	options := snapshottypes.NewSnapshotOptions(1, 1)
	source, err := snapshots.NewStore(dbm.NewMemDB(), c.TempDir())
	require.NoError(c, err)
	manager := snapshots.NewManager(source, options, c.App.CommitMultiStore(), nil, log.NewNopLogger())
	snapshot, err := manager.Create(height)
	require.NoError(c, err)
	offer, err := snapshot.ToABCI()
	require.NoError(c, err)

	target, err := snapshots.NewStore(dbm.NewMemDB(), c.TempDir())
	require.NoError(c, err)
	node := app.New(
		log.NewNopLogger(), dbm.NewMemDB(), true, apptest.Options{flags.FlagHome: ""},
		append(c.options(), baseapp.SetSnapshot(target, snapshottypes.NewSnapshotOptions(0, 1)))...,
	)
	offered, err := node.OfferSnapshot(&abci.RequestOfferSnapshot{Snapshot: &offer, AppHash: c.App.LastCommitID().Hash})
	require.NoError(c, err)
	require.Equal(c, abci.ResponseOfferSnapshot_ACCEPT, offered.Result)
	for i := range offer.Chunks {
		chunk, err := manager.LoadChunk(height, offer.Format, i)
		require.NoError(c, err)
		applied, err := node.ApplySnapshotChunk(&abci.RequestApplySnapshotChunk{Index: i, Chunk: chunk})
		require.NoError(c, err)
		require.Equal(c, abci.ResponseApplySnapshotChunk_ACCEPT, applied.Result)
	}
	require.Equal(c, c.App.LastCommitID(), node.LastCommitID())
	c.followers = append(c.followers, node)
}
