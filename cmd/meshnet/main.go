// Command meshnet runs Mesh Security chains and a relayer on this machine, from
// a topology file.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mesh-security/mesh/internal/localnet"
)

func main() { os.Exit(run()) }

var errInterrupted = errors.New("interrupted")

func run() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		cancel(errInterrupted)
		// A second one ends us at once; the network's guard does the rest.
		signal.Reset(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	}()

	err := rootCmd().ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(os.Stderr, "interrupted; nothing was left running")
		return 130
	default:
		fmt.Fprintln(os.Stderr, "Error:", err)
		return 1
	}
}

const defaultHome = "build/meshnet"

func rootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "meshnet",
		Short: "Run Mesh Security chains on this machine",
		Long: `meshnet starts any number of Mesh Security chains and a relayer on this machine,
from a topology file: it opens clients, connections and channels between them and
registers their pairings through governance, as real chains would.`,
		Example: `  meshnet up --topology cmd/meshnet/topologies/demo.yaml
  meshnet status
  meshnet exec osmosis-local -- query staking validators
  meshnet logs axelar-local --follow
  meshnet down`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().String("home", defaultHome, "directory of the network")
	root.AddCommand(upCmd(), demoCmd(), soakCmd(), statusCmd(), downCmd(), logsCmd(), execCmd(), stopCmd(), startCmd(), doubleSignCmd())
	return root
}

func homeOf(cmd *cobra.Command) string {
	home, _ := cmd.Flags().GetString("home")
	return home
}

func open(cmd *cobra.Command) (*localnet.Network, error) { return localnet.Open(homeOf(cmd)) }
