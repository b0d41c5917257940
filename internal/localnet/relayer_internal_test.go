package localnet

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	connectiontypes "github.com/cosmos/ibc-go/v11/modules/core/03-connection/types"
)

// connections answers for a chain with these connections.
type connections struct {
	connectiontypes.QueryClient
	ends map[string]connectiontypes.ConnectionEnd
}

func (c connections) ClientConnections(_ context.Context, req *connectiontypes.QueryClientConnectionsRequest, _ ...grpc.CallOption) (*connectiontypes.QueryClientConnectionsResponse, error) {
	var ids []string
	for id, end := range c.ends {
		if end.ClientId == req.ClientId {
			ids = append(ids, id)
		}
	}
	return &connectiontypes.QueryClientConnectionsResponse{ConnectionPaths: ids}, nil
}

func (c connections) Connection(_ context.Context, req *connectiontypes.QueryConnectionRequest, _ ...grpc.CallOption) (*connectiontypes.QueryConnectionResponse, error) {
	end := c.ends[req.ConnectionId]
	return &connectiontypes.QueryConnectionResponse{Connection: &end}, nil
}

// TestConnectionOfAClient: the connection of a link is its client's, whatever others were opened beside it; one that was begun
// and left is none.
func TestConnectionOfAClient(t *testing.T) {
	end := func(state connectiontypes.State, client, other string) connectiontypes.ConnectionEnd {
		return connectiontypes.ConnectionEnd{ClientId: client, State: state, Counterparty: connectiontypes.Counterparty{ConnectionId: other}}
	}
	chain := connections{ends: map[string]connectiontypes.ConnectionEnd{
		"connection-0": end(connectiontypes.OPEN, "07-tendermint-1", "connection-7"),
		"connection-1": end(connectiontypes.INIT, "07-tendermint-0", ""),
		"connection-2": end(connectiontypes.OPEN, "07-tendermint-0", "connection-8"),
		"connection-3": end(connectiontypes.TRYOPEN, "07-tendermint-2", "connection-9"),
	}}
	for client, want := range map[string][2]string{
		"07-tendermint-0": {"connection-2", "connection-8"},
		"07-tendermint-1": {"connection-0", "connection-7"},
	} {
		own, other, err := connectionOf(t.Context(), chain, client)
		require.NoError(t, err)
		require.Equal(t, want, [2]string{own, other}, client)
	}
	for _, client := range []string{"07-tendermint-2", "07-tendermint-3"} {
		_, _, err := connectionOf(t.Context(), chain, client)
		require.ErrorContains(t, err, client)
	}
}
