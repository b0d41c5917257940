package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	_ "embed"

	"github.com/mesh-security/mesh/internal/demo"
	"github.com/mesh-security/mesh/internal/localnet"
)

//go:embed topologies/demo.yaml
var demoTopology []byte

func demoCmd() *cobra.Command {
	const dir = "build/demo"
	var keep bool
	var report, meshd, rly, hostile string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show Mesh Security at work on three real chains",
		Long: `Start two chains that secure each other, and a third that both secure, restake, and
show and check every step against the chains' state: voting power, caps, unbonding,
failures, slashes, rewards, votes, prices.

The network's directory is ` + dir + `/network unless --home says otherwise.`,
		Example: `  meshnet demo
  meshnet demo --keep      # leaves the network running and says how to use it`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			topo, err := localnet.ParseTopology(demoTopology)
			if err != nil {
				return fmt.Errorf("demo topology: %w", err)
			}
			home := filepath.Join(dir, "network")
			if cmd.Flags().Changed("home") {
				home = homeOf(cmd)
			}
			_, err = demo.Run(cmd.Context(), demo.Options{
				Topology: topo, Home: home, Report: report, Keep: keep, Meshd: meshd, Rly: rly, Hostile: hostile, Out: cmd.OutOrStdout(),
			})
			return err
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the network running")
	cmd.Flags().StringVar(&report, "report", filepath.Join(dir, "report.json"), "where to write the report")
	cmd.Flags().StringVar(&meshd, "meshd", "", "chain binary (default: build/bin/meshd, then PATH)")
	cmd.Flags().StringVar(&rly, "rly", "", "relayer binary (default: build/bin/rly, then PATH)")
	cmd.Flags().StringVar(&hostile, "meshd-hostile", "", "binary of a chain that lies (default: build/bin/meshd-hostile, then PATH)")
	return cmd
}
