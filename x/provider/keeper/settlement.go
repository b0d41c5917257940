package keeper

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mesh-security/mesh/x/provider/types"
)

// Settlement returns the sums and the queues of settlement.
func (s queryServer) Settlement(context.Context, *types.QuerySettlementRequest) (*types.QuerySettlementResponse, error) {
	return nil, status.Error(codes.Unimplemented, "to come")
}

// Debts returns the delegators that owe something.
func (s queryServer) Debts(context.Context, *types.QueryDebtsRequest) (*types.QueryDebtsResponse, error) {
	return nil, status.Error(codes.Unimplemented, "to come")
}

// Shortfalls returns the debts that nothing was left to pay.
func (s queryServer) Shortfalls(context.Context, *types.QueryShortfallsRequest) (*types.QueryShortfallsResponse, error) {
	return nil, status.Error(codes.Unimplemented, "to come")
}
