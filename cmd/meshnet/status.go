package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mesh-security/mesh/internal/localnet"
)

func statusCmd() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the network is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("--output is %q; want text or json", output)
			}
			net, err := open(cmd)
			if err != nil {
				return err
			}
			status := net.Status(cmd.Context())
			if output == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(status)
			}
			printStatus(cmd.OutOrStdout(), status)
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

// table writes aligned columns.
func table(w io.Writer, rows func(row func(cells ...any))) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, c)
		}
		fmt.Fprintln(tw)
	})
	_ = tw.Flush()
}

// printEndpoints shows where the chains can be reached, and who has money.
func printEndpoints(w io.Writer, s localnet.Status) {
	fmt.Fprintln(w)
	table(w, func(row func(...any)) {
		row("CHAIN", "RPC", "GRPC", "REST", "DENOM", "VALIDATORS")
		for _, c := range s.Chains {
			row(c.ID, c.RPC, c.GRPC, c.API, c.Denom, len(c.Nodes))
		}
	})
	printLinks(w, s)
	fmt.Fprintln(w)
	table(w, func(row func(...any)) {
		row("CHAIN", "ACCOUNT", "ADDRESS")
		for _, c := range s.Chains {
			for _, a := range c.Accounts[len(c.Nodes):] {
				row(c.ID, a.Name, a.Address)
			}
		}
	})
}

func printLinks(w io.Writer, s localnet.Status) {
	if len(s.Links) > 0 {
		fmt.Fprintln(w)
		table(w, func(row func(...any)) {
			row("LINK", "", "CLIENTS", "STATE", "CONNECTIONS")
			for _, l := range s.Links {
				row(l.A, l.B, l.AClient+" – "+l.BClient, l.AStatus+" – "+l.BStatus, l.AConnection+" – "+l.BConnection)
			}
		})
	}
	if len(s.Pairings) > 0 {
		fmt.Fprintln(w)
		table(w, func(row func(...any)) {
			row("PROVIDER", "CONSUMER", "CONSUMER ID", "PROVIDER ID", "CHANNELS", "STATE")
			for _, p := range s.Pairings {
				row(p.Provider, p.Consumer, p.ConsumerID, p.ProviderID,
					p.ProviderChannel+" – "+p.ConsumerChannel, p.Channel)
			}
		})
	}
	if len(s.Transfers) > 0 {
		fmt.Fprintln(w)
		table(w, func(row func(...any)) {
			row("TRANSFERS", "", "CHANNELS")
			for _, t := range s.Transfers {
				row(t.A, t.B, t.AChannel+" – "+t.BChannel)
			}
		})
	}
}

func printStatus(w io.Writer, s localnet.Status) {
	fmt.Fprintf(w, "%s in %s is %s\n\n", s.Name, s.Home, s.Phase)
	table(w, func(row func(...any)) {
		row("CHAIN", "NODE", "STATE", "PID", "HEIGHT", "POWER", "RPC", "GRPC")
		for _, c := range s.Chains {
			for _, n := range c.Nodes {
				row(c.ID, n.Moniker, n.State, n.PID, n.Height, n.VotingPower, n.RPC, n.GRPC)
			}
		}
		row("", relayerName, s.Relayer.State, s.Relayer.PID)
		if w := s.Watchtower; w != nil {
			row("", watchtowerName, w.State, w.PID)
		}
	})
	fmt.Fprintln(w)
	table(w, func(row func(...any)) {
		row("CHAIN", "REST", "LAST BLOCK")
		for _, c := range s.Chains {
			age := "none"
			if c.Height > 0 {
				age = time.Since(c.LatestBlockTime).Round(100*time.Millisecond).String() + " ago"
			}
			row(c.ID, c.API, age)
		}
	})
	printLinks(w, s)
	fmt.Fprintln(w)
	if s.Healthy {
		fmt.Fprintln(w, "Everything is well.")
	}
	for _, p := range s.Problems {
		fmt.Fprintln(w, "!", p)
	}
}
