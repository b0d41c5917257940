package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	_ "embed"

	"github.com/mesh-security/mesh/internal/localnet"
	"github.com/mesh-security/mesh/internal/soak"
)

//go:embed topologies/soak.yaml
var soakTopology []byte

func soakCmd() *cobra.Command {
	const dir = "build/soak"
	var minutes float64
	var seed uint64
	var without bool
	var report, meshd, rly string
	cmd := &cobra.Command{
		Use:   "soak",
		Short: "Put two real chains under faults and check that nothing is lost",
		Long: `Start two chains of four validators that secure one another, let delegators stake, restake
and leave without rest, and make faults meanwhile, several at a time: nodes, whole chains and
the relayer are killed or frozen; links are cut and chains split in halves; a validator's clock
is wrong by up to an hour; a disk is full; a node loses its data and comes back by state sync;
two relayers relay everything, and what was relayed comes again in floods.

Then everything is healed, and checked: all nodes live with the same state, both sides agree,
the modules' invariants hold on every node, and every token is where it belongs. In the end
everybody leaves, with everything.

Links are cut with network namespaces, and the full disk is a small one in memory, so it takes
root. Every fault is made once, however short the run. The network's directory is ` + dir + `/network
unless --home says otherwise.`,
		Example: `  meshnet soak --minutes 10
  meshnet soak --minutes 2 --seed 42
  meshnet soak --minutes 2 --without-namespaces   # without root`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			topo, err := localnet.ParseTopology(soakTopology)
			if err != nil {
				return fmt.Errorf("soak topology: %w", err)
			}
			if minutes < 0 || minutes > 7*24*60 {
				return fmt.Errorf("--minutes is %g; want 0 to a week", minutes)
			}
			home := filepath.Join(dir, "network")
			if cmd.Flags().Changed("home") {
				home = homeOf(cmd)
			}
			if seed == 0 {
				seed = 1 + uint64(rand.Uint32())
			}
			again := fmt.Sprintf("make soak MINUTES=%g SEED=%d", minutes, seed)
			if without {
				again = fmt.Sprintf("meshnet soak --minutes %g --seed %d --without-namespaces", minutes, seed)
			}
			_, err = soak.Run(cmd.Context(), soak.Options{
				Topology: topo, Home: home, Report: report, Duration: time.Duration(minutes * float64(time.Minute)), Seed: seed,
				WithoutNamespaces: without, Meshd: meshd, Rly: rly, Command: again, Out: cmd.OutOrStdout(),
			})
			return err
		},
	}
	cmd.Flags().Float64Var(&minutes, "minutes", 10, "how long faults are made, at least")
	cmd.Flags().Uint64Var(&seed, "seed", 0, "which faults are made, and what delegators do (default: a new one, which is printed)")
	cmd.Flags().BoolVar(&without, "without-namespaces", false, "leave out the faults that need network namespaces or mounts")
	cmd.Flags().StringVar(&report, "report", filepath.Join(dir, "report.json"), "where to write the report")
	cmd.Flags().StringVar(&meshd, "meshd", "", "chain binary (default: build/bin/meshd, then PATH)")
	cmd.Flags().StringVar(&rly, "rly", "", "relayer binary (default: build/bin/rly, then PATH)")
	return cmd
}
