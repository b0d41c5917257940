package meshtest

import (
	"fmt"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/log/v2"

	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/client/flags"
	pruningtypes "github.com/cosmos/cosmos-sdk/store/v2/pruning/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	evidencetypes "github.com/cosmos/cosmos-sdk/x/evidence/types"
	"github.com/cosmos/cosmos-sdk/x/feegrant"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/cosmos/ibc-go/v11/testing/simapp"

	"github.com/mesh-security/mesh/app"
	"github.com/mesh-security/mesh/app/apptest"
	"github.com/mesh-security/mesh/wiring"
)

// startStock gives the chain, over an empty store, an application that knows nothing of Mesh Security: the one that ibc-go
// tests with.
func (c *Chain) startStock() {
	c.Helper()
	c.db = dbm.NewMemDB()
	c.stock = simapp.NewSimApp(
		log.NewNopLogger(), c.db, nil, true, apptest.Options{flags.FlagHome: c.TempDir()}, c.options()...,
	)
	c.use(c.stock)
}

// options are those of every application of the chain.
func (c *Chain) options() []func(*baseapp.BaseApp) {
	return []func(*baseapp.BaseApp){
		baseapp.SetChainID(c.ChainID),
		// Proofs are taken at most one block below the top.
		baseapp.SetPruning(pruningtypes.NewCustomPruningOptions(20, 10)),
		// Otherwise every store has a goroutine for ever, which keeps the whole application.
		baseapp.SetIAVLSyncPruning(true),
	}
}

// Upgrade makes a chain that began as Stock stop at an x/upgrade and go on, over the same store, with the application
// that has Mesh Security. It makes three blocks.
func (c *Chain) Upgrade() {
	c.Helper()
	require.NotNil(c, c.stock, "%s has Mesh Security already", c.ChainID)
	require.Empty(c, c.mempool, "%s: transactions wait", c.ChainID)
	plan := upgradetypes.Plan{Name: app.AddMeshSecurity, Height: c.ProposedHeader.Height + 1}
	ctx := c.NextContext()
	require.NoError(c, c.stock.UpgradeKeeper.ScheduleUpgrade(ctx, plan))
	c.net.Step()

	// The old binary stops.
	_, err := c.stock.FinalizeBlock(&abci.RequestFinalizeBlock{
		Height: plan.Height, Time: c.ProposedHeader.Time, ProposerAddress: c.ProposedHeader.ProposerAddress,
		DecidedLastCommit: c.lastCommit(),
	})
	require.ErrorContains(c, err, fmt.Sprintf("UPGRADE %q NEEDED", plan.Name))

	// The new one starts over its store. Of the stock application's modules it also lacks some, and has two more.
	upgrades := wiring.StoreUpgrades()
	upgrades.Added = append(upgrades.Added, evidencetypes.StoreKey, feegrant.StoreKey)
	loader := func(b *baseapp.BaseApp) { b.SetStoreLoader(upgradetypes.UpgradeStoreLoader(plan.Height, upgrades)) }
	c.App = app.New(
		log.NewNopLogger(), c.db, true, apptest.Options{flags.FlagHome: ""}, append(c.options(), loader)...,
	)
	c.stock = nil
	c.use(c.App)
	c.net.Steps(2)
	done, err := c.App.UpgradeKeeper.GetDoneHeight(c.CommittedContext(), plan.Name)
	require.NoError(c, err)
	require.Equal(c, plan.Height, done)
}

// sequenceOf returns an account's number and sequence.
func (c *Chain) sequenceOf(a *Account) (number, sequence uint64) {
	c.Helper()
	var acc sdk.AccountI
	if c.stock != nil {
		acc = c.stock.AccountKeeper.GetAccount(c.CommittedContext(), a.Address())
	} else {
		acc = c.App.AccountKeeper.GetAccount(c.CommittedContext(), a.Address())
	}
	require.NotNil(c, acc, "account %s does not exist on %s", a.Name, c.ChainID)
	return acc.GetAccountNumber(), acc.GetSequence()
}
