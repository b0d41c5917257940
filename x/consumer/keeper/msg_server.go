package keeper

import (
	"context"

	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

type msgServer struct{ k *Keeper }

var _ types.MsgServer = msgServer{}

// NewMsgServer returns the module's message server.
func NewMsgServer(k *Keeper) types.MsgServer { return msgServer{k} }

// authorize checks that the authority is an address and the module's, or the one of the consensus parameters.
func (s msgServer) authorize(ctx sdk.Context, authority string) error {
	if _, err := s.k.accounts.AddressCodec().StringToBytes(authority); err != nil {
		return errorsmod.Wrap(types.ErrInvalidAuthority, err.Error())
	}
	if err := sdk.ValidateAuthority(ctx, s.k.authority, authority); err != nil {
		return errorsmod.Wrap(types.ErrUnauthorized, err.Error())
	}
	return nil
}

// AddProvider implements types.MsgServer.
func (s msgServer) AddProvider(goCtx context.Context, msg *types.MsgAddProvider) (*types.MsgAddProviderResponse, error) {
	ctx := sdk.UnwrapSDKContext(goCtx)
	if err := s.authorize(ctx, msg.Authority); err != nil {
		return nil, err
	}
	if err := msg.Config.Validate(); err != nil {
		return nil, err
	}
	if err := s.k.AddProvider(ctx, msg.Config); err != nil {
		return nil, err
	}
	return &types.MsgAddProviderResponse{}, nil
}

// UpdateProvider implements types.MsgServer.
func (s msgServer) UpdateProvider(goCtx context.Context, msg *types.MsgUpdateProvider) (*types.MsgUpdateProviderResponse, error) {
	ctx := sdk.UnwrapSDKContext(goCtx)
	if err := s.authorize(ctx, msg.Authority); err != nil {
		return nil, err
	}
	if err := msg.Config.Validate(); err != nil {
		return nil, err
	}
	if err := s.k.UpdateProvider(ctx, msg.Config); err != nil {
		return nil, err
	}
	return &types.MsgUpdateProviderResponse{}, nil
}

// onProvider is what the messages that name just a provider have in common.
func (s msgServer) onProvider(goCtx context.Context, authority, providerID string, do func(sdk.Context, string) error) error {
	ctx := sdk.UnwrapSDKContext(goCtx)
	if err := s.authorize(ctx, authority); err != nil {
		return err
	}
	if err := types.ValidateProviderID(providerID); err != nil {
		return err
	}
	return do(ctx, providerID)
}

// RemoveProvider implements types.MsgServer.
func (s msgServer) RemoveProvider(ctx context.Context, msg *types.MsgRemoveProvider) (*types.MsgRemoveProviderResponse, error) {
	if err := s.onProvider(ctx, msg.Authority, msg.ProviderId, s.k.RemoveProvider); err != nil {
		return nil, err
	}
	return &types.MsgRemoveProviderResponse{}, nil
}

// PauseProvider implements types.MsgServer.
func (s msgServer) PauseProvider(ctx context.Context, msg *types.MsgPauseProvider) (*types.MsgPauseProviderResponse, error) {
	if err := s.onProvider(ctx, msg.Authority, msg.ProviderId, s.k.PauseProvider); err != nil {
		return nil, err
	}
	return &types.MsgPauseProviderResponse{}, nil
}

// ResumeProvider implements types.MsgServer.
func (s msgServer) ResumeProvider(ctx context.Context, msg *types.MsgResumeProvider) (*types.MsgResumeProviderResponse, error) {
	if err := s.onProvider(ctx, msg.Authority, msg.ProviderId, s.k.ResumeProvider); err != nil {
		return nil, err
	}
	return &types.MsgResumeProviderResponse{}, nil
}

// SetPrice implements types.MsgServer.
func (s msgServer) SetPrice(ctx context.Context, msg *types.MsgSetPrice) (*types.MsgSetPriceResponse, error) {
	err := s.onProvider(ctx, msg.Authority, msg.ProviderId, func(ctx sdk.Context, providerID string) error {
		if err := types.ValidatePrice(msg.Price); err != nil {
			return err
		}
		return s.k.SetPrice(ctx, providerID, msg.Price)
	})
	if err != nil {
		return nil, err
	}
	return &types.MsgSetPriceResponse{}, nil
}

// RetireChannel implements types.MsgServer.
func (s msgServer) RetireChannel(ctx context.Context, msg *types.MsgRetireChannel) (*types.MsgRetireChannelResponse, error) {
	if err := s.onProvider(ctx, msg.Authority, msg.ProviderId, s.k.RetireChannel); err != nil {
		return nil, err
	}
	return &types.MsgRetireChannelResponse{}, nil
}

// UpdateParams implements types.MsgServer.
func (s msgServer) UpdateParams(goCtx context.Context, msg *types.MsgUpdateParams) (*types.MsgUpdateParamsResponse, error) {
	ctx := sdk.UnwrapSDKContext(goCtx)
	if err := s.authorize(ctx, msg.Authority); err != nil {
		return nil, err
	}
	if err := msg.Params.Validate(); err != nil {
		return nil, err
	}
	unbonding, err := s.k.staking.UnbondingTime(ctx)
	if err != nil {
		return nil, err
	}
	if err := msg.Params.ValidateAgainst(unbonding); err != nil {
		return nil, err
	}
	if err := s.k.checkWindows(ctx, msg.Params); err != nil {
		return nil, err
	}
	if err := s.k.Params.Set(ctx, msg.Params); err != nil {
		return nil, err
	}
	s.k.emit(ctx, &types.EventParamsUpdated{Params: msg.Params})
	return &types.MsgUpdateParamsResponse{}, nil
}
