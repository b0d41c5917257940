// Command meshd-stock runs a node of a chain that knows nothing of Mesh Security: the application that ibc-go tests with. It
// reads the homes that `meshd init` makes. For tests of the x/upgrade that adds Mesh Security.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/spf13/cobra"

	"cosmossdk.io/log/v2"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/server"
	svrcmd "github.com/cosmos/cosmos-sdk/server/cmd"
	serverconfig "github.com/cosmos/cosmos-sdk/server/config"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	evidencetypes "github.com/cosmos/cosmos-sdk/x/evidence/types"
	"github.com/cosmos/cosmos-sdk/x/feegrant"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtcfg "github.com/cometbft/cometbft/config"

	"github.com/cosmos/ibc-go/v11/testing/simapp"

	"github.com/mesh-security/mesh/app/apptest"
)

func main() {
	root := &cobra.Command{
		Use:   "meshd-stock",
		Short: "Node of a chain without Mesh Security",
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			// Only a running chain's own services are asked.
			template := simapp.NewSimApp(log.NewNopLogger(), dbm.NewMemDB(), nil, true, apptest.Options{})
			ctx := client.Context{}.WithCodec(template.AppCodec()).WithInterfaceRegistry(template.InterfaceRegistry()).
				WithTxConfig(template.TxConfig()).WithLegacyAmino(template.LegacyAmino())
			if err := client.SetCmdClientContextHandler(ctx, cmd); err != nil {
				return err
			}
			return server.InterceptConfigsPreRunHandler(cmd, serverconfig.DefaultConfigTemplate, serverconfig.DefaultConfig(), cmtcfg.DefaultConfig())
		},
	}
	root.AddCommand(server.StartCmd(newApp, simapp.DefaultNodeHome))
	if err := svrcmd.Execute(root, "MESHD", simapp.DefaultNodeHome); err != nil {
		os.Exit(1)
	}
}

// newApp is simapp.NewSimApp with the stores of the modules that meshd has besides Mesh Security, which its upgrade does not
// add, and with the default genesis of those that `meshd init` does not know.
func newApp(logger log.Logger, db dbm.DB, appOpts servertypes.AppOptions) servertypes.Application {
	chain := simapp.NewSimApp(logger, db, nil, false, appOpts, server.DefaultBaseappOptions(appOpts)...)
	chain.MountKVStores(storetypes.NewKVStoreKeys(evidencetypes.StoreKey, feegrant.StoreKey))
	chain.SetInitChainer(func(ctx sdk.Context, req *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
		state := chain.DefaultGenesis()
		if err := json.Unmarshal(req.AppStateBytes, &state); err != nil {
			return nil, err
		}
		var err error
		if req.AppStateBytes, err = json.Marshal(state); err != nil {
			return nil, err
		}
		return chain.InitChainer(ctx, req)
	})
	if err := chain.LoadLatestVersion(); err != nil {
		panic(fmt.Errorf("load the last version: %w", err))
	}
	return chain
}
