package keeper

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mesh-security/mesh/x/provider/types"
)

// SubmitDoubleVote proves a double sign.
func (s msgServer) SubmitDoubleVote(context.Context, *types.MsgSubmitDoubleVote) (*types.MsgSubmitDoubleVoteResponse, error) {
	return nil, status.Error(codes.Unimplemented, "to come")
}

// SubmitMisbehaviour proves a light-client attack.
func (s msgServer) SubmitMisbehaviour(context.Context, *types.MsgSubmitMisbehaviour) (*types.MsgSubmitMisbehaviourResponse, error) {
	return nil, status.Error(codes.Unimplemented, "to come")
}

// VouchKey vouches for a later consensus key.
func (s msgServer) VouchKey(context.Context, *types.MsgVouchKey) (*types.MsgVouchKeyResponse, error) {
	return nil, status.Error(codes.Unimplemented, "to come")
}

// SetEvidenceMinHeight raises the lowest height at which evidence counts.
func (s msgServer) SetEvidenceMinHeight(context.Context, *types.MsgSetEvidenceMinHeight) (*types.MsgSetEvidenceMinHeightResponse, error) {
	return nil, status.Error(codes.Unimplemented, "to come")
}
