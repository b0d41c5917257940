package cmd

import (
	"errors"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mesh-security/mesh/internal/watchtower"
)

// watchCommand runs a watchtower. It uses neither the home nor the chain of the other commands.
func watchCommand() *cobra.Command {
	const (
		flagConfig    = "config"
		flagDryRun    = "dry-run"
		flagLogFormat = "log-format"
		flagLogLevel  = "log-level"
	)
	c := &cobra.Command{
		Use:   "watch",
		Short: "Find double signing on any number of chains and prove it to those where the offender is backed",
		Long: `Follow chains over CometBFT RPC, find evidence of double signing in their blocks and conflicting headers
between their full nodes, and submit it to every provider chain where the offender is backed, after updating that
chain's IBC client if needed. The place in every chain and what was submitted is kept in a state file.

The configuration file, in TOML or YAML, is described in docs/guide/watchtower.md. The command logs
"` + watchtower.ReadyMessage + `" when it is set up, runs until SIGINT or SIGTERM, and then exits with code 0.`,
		Example: `  meshd watch --config watchtower.toml
  meshd watch --config watchtower.toml --dry-run --log-format json --log-level debug`,
		Args: cobra.NoArgs,
		// The root's would create a home.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			flag := func(name string) string { return cmd.Flag(name).Value.String() }
			log, err := watchtower.NewLogger(cmd.ErrOrStderr(), flag(flagLogFormat), flag(flagLogLevel))
			if err != nil {
				return err
			}
			dryRun, err := cmd.Flags().GetBool(flagDryRun)
			if err != nil {
				return err
			}
			cfg, err := watchtower.LoadConfig(flag(flagConfig))
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			tower, err := watchtower.New(cfg, watchtower.Options{Log: log, DryRun: dryRun, Input: cmd.InOrStdin()})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, tower.Close()) }()
			return tower.Run(ctx)
		},
	}
	c.Flags().String(flagConfig, "", "configuration file, .toml or .yaml")
	c.Flags().Bool(flagDryRun, false, "find and log what would be submitted; send nothing, write nothing")
	c.Flags().String(flagLogFormat, "text", "text or json")
	c.Flags().String(flagLogLevel, "info", "debug, info, warn or error")
	if err := c.MarkFlagRequired(flagConfig); err != nil {
		panic(err)
	}
	return c
}
