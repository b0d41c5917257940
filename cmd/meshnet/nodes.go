package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mesh-security/mesh/internal/localnet"
)

// chainOf returns a chain of the network by its id.
func chainOf(net *localnet.Network, id string) (*localnet.Chain, error) {
	if chain := net.Chain(id); chain != nil {
		return chain, nil
	}
	var ids []string
	for _, c := range net.Chains() {
		ids = append(ids, c.ID)
	}
	return nil, fmt.Errorf("no chain %q; there are %s", id, strings.Join(ids, ", "))
}

// nodeOf returns a node of the network by its chain's id and its own name.
func nodeOf(net *localnet.Network, id, name string) (*localnet.Node, error) {
	chain, err := chainOf(net, id)
	if err != nil {
		return nil, err
	}
	if node := chain.Node(name); node != nil {
		return node, nil
	}
	var names []string
	for _, n := range chain.Nodes {
		names = append(names, n.Moniker)
	}
	return nil, fmt.Errorf("%s has no node %q; there are %s", id, name, strings.Join(names, ", "))
}

// The processes of a network that belong to no chain.
const (
	relayerName    = "relayer"
	watchtowerName = "watchtower"
)

func stopCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "stop CHAIN NODE | relayer | watchtower",
		Short: "End one process of the network; `start` brings it back",
		Long: `End one process of the network: a node, with the validator it runs, the relayer or
the watchtower.
The rest goes on; a chain does so as long as more than two thirds of its voting power is left.`,
		Example: `  meshnet stop axelar-local node2    # it will be jailed for downtime if it stays away
  meshnet start axelar-local node2
  meshnet stop relayer`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return change(cmd, args, (*localnet.Node).Stop, map[string]func(*localnet.Network) error{
				relayerName: (*localnet.Network).StopRelayer, watchtowerName: (*localnet.Network).StopWatchtower,
			}, "has been stopped")
		},
	}
}

func startCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "start CHAIN NODE | relayer | watchtower",
		Short: "Bring back a process that `stop` has ended, or that has died",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			start := func(n *localnet.Node) error {
				if err := n.Start(); err != nil {
					return err
				}
				return n.WaitReady(cmd.Context(), 1, 2*time.Minute)
			}
			return change(cmd, args, start, map[string]func(*localnet.Network) error{
				relayerName: (*localnet.Network).StartRelayer, watchtowerName: (*localnet.Network).StartWatchtower,
			}, "runs")
		},
	}
}

// change does something to the process that the arguments name.
func change(
	cmd *cobra.Command, args []string, node func(*localnet.Node) error, other map[string]func(*localnet.Network) error, done string,
) error {
	net, err := open(cmd)
	if err != nil {
		return err
	}
	what := strings.Join(args, " ")
	if len(args) == 1 {
		do := other[args[0]]
		if do == nil {
			return fmt.Errorf("%q is neither %s nor %s; name a chain and one of its nodes", args[0], relayerName, watchtowerName)
		}
		err = do(net)
	} else {
		var n *localnet.Node
		if n, err = nodeOf(net, args[0], args[1]); err == nil {
			err = node(n)
		}
	}
	if err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s.\n", what, done)
	}
	return err
}

func doubleSignCmd() *cobra.Command {
	var height int64
	cmd := &cobra.Command{
		Use:   "double-sign CHAIN NODE",
		Short: "Let a validator sign two blocks of one height, and report it to its own chain",
		Long: `Sign two conflicting precommits with a validator's own key file and post them to the
chain's broadcast_evidence RPC. CometBFT verifies them and puts them into a block; x/evidence
jails and tombstones the validator, for good, and slashes everybody staked to it.

Whoever has restaked to the validator from another chain is slashed there once somebody
submits the proof: meshd watch does, or meshd tx meshprovider submit-double-vote.`,
		Example: `  meshnet double-sign axelar-local node1`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			net, err := open(cmd)
			if err != nil {
				return err
			}
			node, err := nodeOf(net, args[0], args[1])
			if err != nil {
				return err
			}
			if height == 0 {
				head, err := node.Chain.Height(cmd.Context())
				if err != nil {
					return err
				}
				height = head - 1 // the latest one's commit may still change
			}
			evidence, err := node.DoubleSign(cmd.Context(), height)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%s of %s signed at height %d, round %d, two blocks:\n  %s\n  %s\n",
				node.Moniker, node.Chain.ID, height, evidence.VoteA.Round, evidence.VoteA.BlockID.Hash, evidence.VoteB.BlockID.Hash)
			included, err := node.Chain.BroadcastEvidence(cmd.Context(), evidence)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "The evidence is in block %d.\n", included)
			return nil
		},
	}
	cmd.Flags().Int64Var(&height, "height", 0, "height to sign twice (default: the one before the latest)")
	return cmd
}
