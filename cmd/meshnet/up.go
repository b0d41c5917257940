package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/mesh-security/mesh/internal/localnet"
)

func upCmd() *cobra.Command {
	var topology, meshd, rly string
	var foreground bool
	cmd := &cobra.Command{
		Use:   "up --topology FILE",
		Short: "Start a network and leave it running",
		Long: `Start every chain of a topology, connect and pair them, and leave the network
running in the background. If anything fails, or on Ctrl-C, everything that was
started is ended again; the logs stay in the network's directory.

With --foreground the command stays, reports processes that die, and ends the
network on Ctrl-C.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			topo, err := localnet.LoadTopology(topology)
			if err != nil {
				return err
			}
			net, err := localnet.Up(ctx, topo, localnet.Options{
				Home: homeOf(cmd), Meshd: meshd, Rly: rly, Progress: localnet.PrintProgress(os.Stderr),
			})
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			printEndpoints(out, net.Status(ctx))
			if !foreground {
				fmt.Fprintf(out, "\nThe network runs in the background. End it with: %s\n", command("down", homeOf(cmd)))
				return net.Detach()
			}
			fmt.Fprintln(out, "\nThe network runs until Ctrl-C.")
			return stay(cmd, net)
		},
	}
	cmd.Flags().StringVarP(&topology, "topology", "t", "", "topology file")
	cmd.Flags().BoolVar(&foreground, "foreground", false, "stay attached and end the network on Ctrl-C")
	cmd.Flags().StringVar(&meshd, "meshd", "", "chain binary (default: build/bin/meshd, then PATH)")
	cmd.Flags().StringVar(&rly, "rly", "", "relayer binary (default: build/bin/rly, then PATH)")
	_ = cmd.MarkFlagRequired("topology")
	return cmd
}

// stay watches the network until it is told to end.
func stay(cmd *cobra.Command, net *localnet.Network) error {
	err := net.Watch(cmd.Context())
	if errors.Is(err, localnet.ErrStoppedElsewhere) {
		fmt.Fprintln(cmd.ErrOrStderr(), "The network was ended by another command.")
		return nil
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "Ending the network …")
	if downErr := net.Down(); err == nil {
		err = downErr
	}
	return err
}

func downCmd() *cobra.Command {
	var purge bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End the network",
		Long:  `End every process of the network. Data and logs stay until the next "up", or go with --purge.`,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			home := homeOf(cmd)
			if starting, err := localnet.StopStarting(home, time.Minute); err != nil {
				return err
			} else if starting {
				fmt.Fprintln(cmd.OutOrStdout(), "The network was still starting; it has been ended.")
			}
			net, err := localnet.Open(home)
			if err != nil {
				return err
			}
			if err := net.Down(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "No process of the network in %s is left.\n", net.Home())
			if purge {
				return localnet.Purge(home)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "remove data and logs too")
	return cmd
}

// command spells a meshnet command for a home directory.
func command(sub, home string) string {
	if home == defaultHome {
		return "meshnet " + sub
	}
	return fmt.Sprintf("meshnet %s --home %s", sub, home)
}
