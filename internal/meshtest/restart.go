package meshtest

import (
	"encoding/json"

	"github.com/stretchr/testify/require"

	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/mesh-security/mesh/app"
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
