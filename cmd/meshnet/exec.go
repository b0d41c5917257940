package main

import (
	"fmt"
	"syscall"

	"github.com/spf13/cobra"
)

func execCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec CHAIN -- ARGS…",
		Short: "Run meshd as a client of a chain",
		Long: `Run the meshd command with a chain's keys and settings: --home, --node, --chain-id,
--keyring-backend and gas prices need not be given.`,
		Example: `  meshnet exec osmosis-local -- keys list
  meshnet exec osmosis-local -- query bank balances osmo1…
  meshnet exec osmosis-local -- tx bank send alice osmo1… 1000uosmo --yes`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			net, err := open(cmd)
			if err != nil {
				return err
			}
			chain, err := chainOf(net, args[0])
			if err != nil {
				return err
			}
			args = args[1:]
			for len(args) > 0 && (args[0] == "--" || args[0] == "meshd") {
				args = args[1:]
			}
			if len(args) == 0 {
				return fmt.Errorf("nothing to run; say what meshd is to do after --")
			}
			// Take our place: signals, terminal and exit code are meshd's own.
			meshd := chain.Command(cmd.Context(), args...)
			err = syscall.Exec(meshd.Path, meshd.Args, meshd.Env) //nolint:gosec // running it is the purpose
			return fmt.Errorf("%s: %w", meshd.Path, err)
		},
	}
	cmd.Flags().SetInterspersed(false) // meshd's flags are not ours
	return cmd
}
