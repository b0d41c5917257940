package cmd

import (
	"github.com/spf13/cobra"

	"cosmossdk.io/tools/confix/cmd"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/client/debug"
	"github.com/cosmos/cosmos-sdk/client/flags"
	"github.com/cosmos/cosmos-sdk/client/pruning"
	"github.com/cosmos/cosmos-sdk/client/rpc"
	"github.com/cosmos/cosmos-sdk/client/snapshot"
	"github.com/cosmos/cosmos-sdk/server"
	"github.com/cosmos/cosmos-sdk/types/module"
	authcli "github.com/cosmos/cosmos-sdk/x/auth/client/cli"
	genutilcli "github.com/cosmos/cosmos-sdk/x/genutil/client/cli"

	"github.com/mesh-security/mesh/app"
)

// addCommands adds what is not derived from the modules' services.
func addCommands(rootCmd *cobra.Command, template *app.App, newApp AppConstructor, home string) {
	rootCmd.AddCommand(
		initCommand(template.BasicModuleManager, home),
		genutilcli.Commands(template.GetTxConfig(), template.BasicModuleManager, home),
		cmd.ConfigCommand(),
		debug.Cmd(),
		keysCommand(),
		pruning.Cmd(newApp.create, home),
		snapshot.Cmd(newApp.create),
		server.StatusCommand(),
		queryCommand(),
		txCommand(),
		watchCommand(),
	)
	server.AddCommands(rootCmd, home, newApp.create, newApp.export, func(*cobra.Command) {})
}

// initCommand is the SDK's, with our staking denom as its default.
func initCommand(modules module.BasicManager, home string) *cobra.Command {
	c := genutilcli.InitCmd(modules, home)
	denom := c.Flags().Lookup(genutilcli.FlagDefaultBondDenom)
	denom.DefValue = app.DefaultBondDenom
	if err := denom.Value.Set(app.DefaultBondDenom); err != nil {
		panic(err)
	}
	return c
}

func queryCommand() *cobra.Command {
	c := groupCommand("query", "Query the chain", "q")
	c.AddCommand(
		rpc.WaitTxCmd(),
		rpc.ValidatorCommand(),
		server.QueryBlockCmd(),
		server.QueryBlocksCmd(),
		server.QueryBlockResultsCmd(),
		authcli.QueryTxCmd(),
		authcli.QueryTxsByEventsCmd(),
	)
	return c
}

func txCommand() *cobra.Command {
	c := groupCommand("tx", "Build, sign and send transactions")
	c.AddCommand(
		authcli.GetSignCommand(),
		authcli.GetSignBatchCommand(),
		authcli.GetMultiSignCommand(),
		authcli.GetMultiSignBatchCmd(),
		authcli.GetValidateSignaturesCommand(),
		authcli.GetBroadcastCommand(),
		authcli.GetEncodeCommand(),
		authcli.GetDecodeCommand(),
		authcli.GetSimulateCmd(),
	)
	return c
}

func groupCommand(use, short string, aliases ...string) *cobra.Command {
	c := &cobra.Command{
		Use:                        use,
		Aliases:                    aliases,
		Short:                      short,
		SuggestionsMinimumDistance: 2,
		RunE:                       client.ValidateCmd,
	}
	c.PersistentFlags().String(flags.FlagChainID, "", "The network chain ID")
	return c
}
