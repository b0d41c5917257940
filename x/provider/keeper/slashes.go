package keeper

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// proof is a proved double sign or light-client attack by one validator.
type proof struct {
	origin     types.SlashOrigin
	operator   []byte
	infraction meshtypes.Height
	submitter  sdk.AccAddress
}

// recordProof records a proof that was verified. With atOnce it is also executed, unless it goes beyond what may be
// proved in one window; otherwise EndBlock does. Errors: ErrNothingAnswers, ErrAlreadyPunished.
func (k *Keeper) recordProof(ctx sdk.Context, consumer types.Consumer, p proof, atOnce bool) (types.SlashRecord, error) {
	return types.SlashRecord{}, status.Error(codes.Unimplemented, "to come")
}

// VetoSlash takes a pending slash away.
func (s msgServer) VetoSlash(context.Context, *types.MsgVetoSlash) (*types.MsgVetoSlashResponse, error) {
	return nil, status.Error(codes.Unimplemented, "to come")
}

// StopSlash delays a pending slash once.
func (s msgServer) StopSlash(context.Context, *types.MsgStopSlash) (*types.MsgStopSlashResponse, error) {
	return nil, status.Error(codes.Unimplemented, "to come")
}

// Slashes returns the slashes recorded.
func (s queryServer) Slashes(context.Context, *types.QuerySlashesRequest) (*types.QuerySlashesResponse, error) {
	return nil, status.Error(codes.Unimplemented, "to come")
}

// Slash returns one slash recorded.
func (s queryServer) Slash(context.Context, *types.QuerySlashRequest) (*types.QuerySlashResponse, error) {
	return nil, status.Error(codes.Unimplemented, "to come")
}

// Meter returns how much a consumer may still take without proof.
func (s queryServer) Meter(context.Context, *types.QueryMeterRequest) (*types.QueryMeterResponse, error) {
	return nil, status.Error(codes.Unimplemented, "to come")
}
