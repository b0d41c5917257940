// Package apptest runs the reference chain inside ibctesting.
package apptest

import (
	"encoding/json"

	dbm "github.com/cosmos/cosmos-db"

	"cosmossdk.io/log/v2"

	"github.com/cosmos/cosmos-sdk/client/flags"

	ibctesting "github.com/cosmos/ibc-go/v11/testing"

	"github.com/mesh-security/mesh/app"
)

// Options are application options from a map.
type Options map[string]any

// Get implements servertypes.AppOptions.
func (o Options) Get(key string) any { return o[key] }

// New returns an application over an empty store in memory, and its default genesis. It is an
// ibctesting.AppCreator, to be given to ibctesting.NewCustomAppCoordinator or NewCustomAppTestChain.
//
// Addresses keep the SDK's prefix "cosmos": ibctesting names the governance account with it as the authority in
// the consensus parameters, which take precedence over the authority of every keeper.
func New() (ibctesting.TestingApp, map[string]json.RawMessage) {
	chain := app.New(log.NewNopLogger(), dbm.NewMemDB(), true, Options{flags.FlagHome: ""})
	return chain, chain.DefaultGenesis()
}

// App returns the application that chain runs.
func App(chain *ibctesting.TestChain) *app.App {
	chain.Helper()
	a, ok := chain.App.(*app.App)
	if !ok {
		chain.Fatalf("chain %s runs %T, not *app.App", chain.ChainID, chain.App)
	}
	return a
}
