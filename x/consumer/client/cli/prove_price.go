// Package cli has the commands of x/consumer that are not derived from its services.
package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/client/flags"
	"github.com/cosmos/cosmos-sdk/client/tx"

	cmtbytes "github.com/cometbft/cometbft/libs/bytes"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	coretypes "github.com/cometbft/cometbft/rpc/core/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	commitmenttypes "github.com/cosmos/ibc-go/v11/modules/core/23-commitment/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// flagSourceNode names the node of the chain that holds the price.
const flagSourceNode = "source-node"

// NewTxCmd returns the module's transactions that AutoCLI cannot make.
func NewTxCmd() *cobra.Command {
	c := &cobra.Command{
		Use:                        types.ModuleName,
		Short:                      "Transactions of the consumer side of Mesh Security",
		DisableFlagParsing:         true,
		SuggestionsMinimumDistance: 2,
		RunE:                       client.ValidateCmd,
	}
	c.AddCommand(newProvePriceCmd())
	return c
}

func newProvePriceCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "prove-price [provider-id]",
		Short: "Prove a provider's price from the state of the chain that holds it",
		Long: "Prove a provider's price from the state of the chain that holds it. Where the price is, the provider's configuration says; value\n" +
			"and proof are fetched from a node of that chain, at the newest height that the light client here knows. Update the client\n" +
			"before, if that is too old. Anybody may prove a price.",
		Example: "meshd tx " + types.ModuleName + " prove-price 07-tendermint-0 --" + flagSourceNode + " https://rpc.source.example:443 --from alice",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			clientCtx, err := client.GetClientTxContext(cmd)
			if err != nil {
				return err
			}
			address, err := cmd.Flags().GetString(flagSourceNode)
			if err != nil {
				return err
			}
			node, err := client.NewClientFromNode(address)
			if err != nil {
				return fmt.Errorf("node %q: %w", address, err)
			}
			source, err := priceSource(cmd.Context(), clientCtx, args[0])
			if err != nil {
				return err
			}
			height, err := latestHeight(cmd.Context(), clientCtx, source.ClientId)
			if err != nil {
				return err
			}
			msg, err := FetchPriceProof(cmd.Context(), node, source, height)
			if err != nil {
				return err
			}
			msg.Submitter, msg.ProviderId = clientCtx.GetFromAddress().String(), args[0]
			return tx.GenerateOrBroadcastTxCLI(clientCtx, cmd.Flags(), msg)
		},
	}
	flags.AddTxFlagsToCmd(c)
	c.Flags().String(flagSourceNode, "", "CometBFT RPC of the chain that holds the price, <scheme>://<host>:<port>")
	if err := c.MarkFlagRequired(flagSourceNode); err != nil {
		panic(err)
	}
	return c
}

// priceSource returns where a provider's price is.
func priceSource(ctx context.Context, clientCtx client.Context, providerID string) (types.PriceSource, error) {
	res, err := types.NewQueryClient(clientCtx).Provider(ctx, &types.QueryProviderRequest{ProviderId: providerID})
	if err != nil {
		return types.PriceSource{}, err
	}
	config := res.Provider.Provider.Config
	if config.PriceFeed != types.PriceFeedProof || config.Price == nil || config.Price.Source == nil {
		return types.PriceSource{}, fmt.Errorf("the price of %s is not proved, its feed is %q", providerID, config.PriceFeed)
	}
	return *config.Price.Source, nil
}

// latestHeight returns the newest height that a light client knows.
func latestHeight(ctx context.Context, clientCtx client.Context, clientID string) (clienttypes.Height, error) {
	res, err := clienttypes.NewQueryClient(clientCtx).ClientState(ctx, &clienttypes.QueryClientStateRequest{ClientId: clientID})
	if err != nil {
		return clienttypes.Height{}, err
	}
	var state exported.ClientState
	if err := clientCtx.InterfaceRegistry.UnpackAny(res.ClientState, &state); err != nil {
		return clienttypes.Height{}, err
	}
	tendermint, ok := state.(*ibctm.ClientState)
	if !ok {
		return clienttypes.Height{}, fmt.Errorf("%s is a client of type %s, not of a CometBFT chain", clientID, state.ClientType())
	}
	return tendermint.LatestHeight, nil
}

// Node answers queries of a chain's state.
type Node interface {
	ABCIQueryWithOptions(
		ctx context.Context, path string, data cmtbytes.HexBytes, opts rpcclient.ABCIQueryOptions,
	) (*coretypes.ResultABCIQuery, error)
}

// FetchPriceProof returns the message, without submitter and provider, that proves what a chain has at the source's path in
// the state whose root is in the header of the height. The value is checked to have a number where the source says.
func FetchPriceProof(ctx context.Context, node Node, source types.PriceSource, height clienttypes.Height) (*types.MsgProvePrice, error) {
	if len(source.Path) != 2 {
		return nil, fmt.Errorf("a path of %d keys is not one of a Cosmos chain: store and key", len(source.Path))
	}
	if height.RevisionHeight < 2 {
		return nil, fmt.Errorf("no state before height %s", height)
	}
	// A header has the root of the state that the block before left.
	res, err := node.ABCIQueryWithOptions(ctx, "/store/"+string(source.Path[0])+"/key", source.Path[1],
		rpcclient.ABCIQueryOptions{Height: int64(height.RevisionHeight) - 1, Prove: true})
	if err != nil {
		return nil, err
	}
	if res.Response.Code != 0 {
		return nil, fmt.Errorf("query at height %d: code %d: %s", height.RevisionHeight-1, res.Response.Code, res.Response.Log)
	}
	if len(res.Response.Value) == 0 {
		return nil, fmt.Errorf("store %q has nothing at key %X", source.Path[0], source.Path[1])
	}
	if _, err := source.Read(res.Response.Value); err != nil {
		return nil, err
	}
	merkle, err := commitmenttypes.ConvertProofs(res.Response.ProofOps)
	if err != nil {
		return nil, err
	}
	proof, err := merkle.Marshal()
	if err != nil {
		return nil, err
	}
	return &types.MsgProvePrice{
		Value: res.Response.Value, Proof: proof, ProofHeight: meshtypes.NewHeight(height.RevisionNumber, height.RevisionHeight),
	}, nil
}
