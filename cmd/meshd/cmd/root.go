// Package cmd is the command line of meshd.
package cmd

import (
	"os"
	"slices"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/spf13/cobra"

	"cosmossdk.io/log/v2"

	"github.com/cosmos/cosmos-sdk/client"
	clientconfig "github.com/cosmos/cosmos-sdk/client/config"
	"github.com/cosmos/cosmos-sdk/server"
	svrcmd "github.com/cosmos/cosmos-sdk/server/cmd"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	"github.com/cosmos/cosmos-sdk/version"
	authtx "github.com/cosmos/cosmos-sdk/x/auth/tx"
	txconfig "github.com/cosmos/cosmos-sdk/x/auth/tx/config"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"github.com/mesh-security/mesh/app"
)

// Execute runs the command that args, without the program's name, ask for.
func Execute(args []string) error { return ExecuteFor(args, app.New) }

// ExecuteFor is Execute for a chain that is made otherwise.
func ExecuteFor(args []string, newApp AppConstructor) error {
	if version.Name == "" { // built without the linker flags of the Makefile
		version.Name, version.AppName = "mesh", app.Name
	}
	id, err := resolveIdentity(args, os.Getenv)
	if err != nil {
		return err
	}
	if err := app.SetChainConfig(id.Bech32Prefix, id.CoinType); err != nil {
		return err
	}
	sdk.GetConfig().Seal()

	rootCmd, err := newRootCmd(id, newApp)
	if err != nil {
		return err
	}
	rootCmd.SetArgs(args)
	return svrcmd.Execute(rootCmd, envPrefix, id.Home)
}

// newRootCmd returns the root command for the chain of id.
//
// CONTRACT: the global config is set and sealed.
func newRootCmd(id identity, newApp AppConstructor) (*cobra.Command, error) {
	// An application that is never started knows the codecs, the modules' default genesis and their commands.
	template := app.New(log.NewNopLogger(), dbm.NewMemDB(), true, noOptions{})
	encoding := template.EncodingConfig()

	baseCtx := client.Context{}.
		WithCodec(encoding.Codec).
		WithInterfaceRegistry(encoding.InterfaceRegistry).
		WithLegacyAmino(encoding.Amino).
		WithTxConfig(encoding.TxConfig).
		WithAccountRetriever(authtypes.AccountRetriever{}).
		WithInput(os.Stdin).
		WithHomeDir(id.Home).
		WithViper(envPrefix)

	rootCmd := &cobra.Command{
		Use:           app.Name,
		Short:         "Node and client of a chain that shares its stake through Mesh Security",
		SilenceErrors: true, // main prints them
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(cmd.OutOrStdout())
			cmd.SetErr(cmd.ErrOrStderr())
			if err := id.checkHome(cmd); err != nil {
				return err
			}

			clientCtx, err := newClientContext(baseCtx, cmd)
			if err != nil {
				return err
			}
			if err := client.SetCmdClientContextHandler(clientCtx, cmd); err != nil {
				return err
			}
			return server.InterceptConfigsPreRunHandler(cmd, appConfigTemplate, newAppConfig(cmd, id), newCometConfig())
		},
	}
	rootCmd.PersistentFlags().String(keyBech32Prefix, id.Bech32Prefix,
		"prefix of addresses; a new home remembers it in app.toml (environment: "+envPrefix+"_BECH32_PREFIX)")

	addCommands(rootCmd, template, newApp, id.Home)
	if err := template.AutoCLIOptions(baseCtx).EnhanceRootCommand(rootCmd); err != nil {
		return nil, err
	}
	return rootCmd, nil
}

// newClientContext completes base with the command's flags and the home's client.toml.
func newClientContext(base client.Context, cmd *cobra.Command) (client.Context, error) {
	ctx, err := client.ReadPersistentCommandFlags(base.WithCmdContext(cmd.Context()), cmd.Flags())
	if err != nil {
		return ctx, err
	}
	ctx, err = clientconfig.ReadFromClientConfig(ctx)
	if err != nil || ctx.Offline {
		return ctx, err
	}

	// Textual signing shows amounts in the units of the bank's metadata, so it needs a node to ask.
	txConfig, err := authtx.NewTxConfigWithOptions(ctx.Codec, authtx.ConfigOptions{
		// The first one is the default of every command, and must work without a node.
		EnabledSignModes: append(
			slices.Clone(authtx.DefaultSignModes), signing.SignMode_SIGN_MODE_TEXTUAL,
		),
		TextualCoinMetadataQueryFn: txconfig.NewGRPCCoinMetadataQueryFn(ctx),
	})
	if err != nil {
		return ctx, err
	}
	return ctx.WithTxConfig(txConfig), nil
}

// noOptions are the options of an application that is never started.
type noOptions struct{}

func (noOptions) Get(string) any { return nil }
