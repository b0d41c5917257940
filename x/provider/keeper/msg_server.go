package keeper

import (
	"context"
	"slices"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

type msgServer struct{ k *Keeper }

var _ types.MsgServer = msgServer{}

// NewMsgServer returns the module's message server. Each message is checked in one order: addresses, authority, fields,
// state.
func NewMsgServer(k *Keeper) types.MsgServer { return msgServer{k} }

// CrossStake accepts cross-stake if afterwards the bonded collateral covers everything required.
func (s msgServer) CrossStake(ctx context.Context, msg *types.MsgCrossStake) (*types.MsgCrossStakeResponse, error) {
	delAddr, err := s.address(msg.Delegator)
	if err != nil {
		return nil, err
	}
	if err := s.checkAmount(ctx, msg.Amount); err != nil {
		return nil, err
	}
	params, err := s.k.Params.Get(ctx)
	if err != nil {
		return nil, err
	}
	if msg.Amount.Amount.LT(params.MinCrossStake) {
		return nil, errorsmod.Wrapf(types.ErrAmountTooSmall, "%s, at least %s", msg.Amount.Amount, params.MinCrossStake)
	}
	consumer, operator, err := s.k.stakeTarget(ctx, msg.ConsumerId, msg.Validator)
	if err != nil {
		return nil, err
	}
	l, err := s.k.load(ctx, delAddr)
	if err != nil {
		return nil, err
	}
	if l.account.Barred {
		return nil, errorsmod.Wrap(types.ErrBarred, msg.Delegator)
	}
	if err := s.k.loadForStake(ctx, l, params); err != nil {
		return nil, err
	}
	if err := s.k.open(ctx, l); err != nil {
		return nil, err
	}
	r, shares, err := s.k.stake(ctx, l, consumer.Config, operator, msg.Amount.Amount)
	if err != nil {
		return nil, err
	}
	if r.isNew && l.positionCount() > params.MaxPositions {
		return nil, errorsmod.Wrapf(types.ErrTooManyPositions, "at most %d", params.MaxPositions)
	}
	if required := l.required(); required.GT(l.bonded) {
		return nil, errorsmod.Wrapf(types.ErrInsufficientCollateral, "%s bonded, %s would be required", l.bonded, required)
	}
	if l.bonded.GT(l.backing()) {
		l.setBacking(l.bonded) // what came since the last evaluation, or the first of all
	}
	if err := s.k.save(ctx, l); err != nil {
		return nil, err
	}
	event := &types.EventCrossStake{
		Delegator: msg.Delegator, ConsumerId: msg.ConsumerId, Validator: msg.Validator,
		Amount: msg.Amount.Amount, Shares: shares, PoolId: r.id,
	}
	sdk.UnwrapSDKContext(ctx).EventManager().EmitEvent(event.ToEvent())
	return &types.MsgCrossStakeResponse{Shares: shares}, nil
}

// loadForStake reads the native side of a delegator that takes new stake. Error: ErrTooManyDelegations.
func (k *Keeper) loadForStake(ctx context.Context, l *ledger, params types.Params) error {
	if err := k.loadNative(ctx, l); err != nil {
		return err
	}
	if l.delegations > params.MaxNativeDelegations {
		return errorsmod.Wrapf(types.ErrTooManyDelegations, "%d, at most %d", l.delegations, params.MaxNativeDelegations)
	}
	return nil
}

// stakeTarget returns the consumer and the operator address for new stake. Errors: ErrUnknownConsumer,
// ErrConsumerRemoved, ErrConsumerPaused, ErrConsumerWindingDown, ErrConsumerNotActive, ErrInvalidValidator,
// ErrUnknownValidator, ErrValidatorTombstoned, ErrValidatorClosed.
func (k *Keeper) stakeTarget(ctx context.Context, clientID, validator string) (types.Consumer, []byte, error) {
	consumer, err := k.liveConsumer(ctx, clientID)
	if err != nil {
		return consumer, nil, err
	}
	switch consumer.Status {
	case types.CONSUMER_STATUS_ACTIVE:
	case types.CONSUMER_STATUS_PAUSED:
		return consumer, nil, errorsmod.Wrap(types.ErrConsumerPaused, clientID)
	case types.CONSUMER_STATUS_WINDING_DOWN:
		return consumer, nil, errorsmod.Wrap(types.ErrConsumerWindingDown, clientID)
	default:
		return consumer, nil, errorsmod.Wrap(types.ErrConsumerNotActive, clientID)
	}
	operator, err := consumer.Config.ParseValidator(validator)
	if err != nil {
		return consumer, nil, err
	}
	v, known, err := getOr(ctx, k.Validators, collections.Join(clientID, operator))
	switch {
	case err != nil:
		return consumer, nil, err
	case !known:
		return consumer, nil, errorsmod.Wrap(types.ErrUnknownValidator, validator)
	case v.Status == meshtypes.VALIDATOR_STATUS_TOMBSTONED:
		return consumer, nil, errorsmod.Wrap(types.ErrValidatorTombstoned, validator)
	case v.Closed:
		return consumer, nil, errorsmod.Wrap(types.ErrValidatorClosed, validator)
	}
	return consumer, operator, nil
}

// CrossUnstake moves cross-stake into an unbonding batch. It is never refused for the number of positions.
func (s msgServer) CrossUnstake(ctx context.Context, msg *types.MsgCrossUnstake) (*types.MsgCrossUnstakeResponse, error) {
	delAddr, err := s.address(msg.Delegator)
	if err != nil {
		return nil, err
	}
	if err := s.checkAmount(ctx, msg.Amount); err != nil {
		return nil, err
	}
	consumer, err := s.k.liveConsumer(ctx, msg.ConsumerId)
	if err != nil {
		return nil, err
	}
	operator, err := consumer.Config.ParseValidator(msg.Validator)
	if err != nil {
		return nil, err
	}
	l, r, err := s.k.loadPosition(ctx, delAddr, msg.ConsumerId, operator)
	if err != nil {
		return nil, errorsmod.Wrap(err, msg.Validator)
	}
	if value := r.value(); msg.Amount.Amount.GT(value) {
		return nil, errorsmod.Wrapf(types.ErrInsufficientStake, "%s, of %s", msg.Amount.Amount, value)
	}
	if err := s.k.checkClaims(ctx, l, msg.ConsumerId, operator, false); err != nil {
		return nil, err
	}
	if err := s.k.loadNative(ctx, l); err != nil {
		return nil, err
	}
	claim, err := s.k.unstake(ctx, l, r, msg.Amount.Amount, false)
	if err != nil {
		return nil, err
	}
	res := &types.MsgCrossUnstakeResponse{}
	if claim != nil {
		res.BatchId, res.LatestMaturity = claim.id, claim.pool.Batch.LatestMaturity()
	}
	return res, s.k.save(ctx, l)
}

// loadPosition returns a delegator's ledger with its active position on a validator. Errors: ErrNoPosition.
func (k *Keeper) loadPosition(ctx context.Context, delAddr sdk.AccAddress, clientID string, operator []byte) (*ledger, *ref, error) {
	l, err := k.load(ctx, delAddr)
	if err != nil {
		return nil, nil, err
	}
	id, found, err := getOr(ctx, k.ActivePools, collections.Join(clientID, operator))
	if err != nil {
		return nil, nil, err
	}
	if found {
		if r := l.find(id); r != nil && r.active() {
			return l, r, nil
		}
	}
	return nil, nil, types.ErrNoPosition
}

// checkClaims refuses another unbonding claim on a validator when the delegator has as many as allowed, unless it joins
// one it has. A batch that was converted from a pool does not count.
func (k *Keeper) checkClaims(ctx context.Context, l *ledger, clientID string, operator []byte, redelegated bool) error {
	params, err := k.Params.Get(ctx)
	if err != nil {
		return err
	}
	pairing, err := k.Pairings.Get(ctx, clientID)
	if err != nil {
		return err
	}
	open, found, err := getOr(ctx, k.OpenBatches, openBatchKey(clientID, operator, pairing.BatchEpoch, redelegated))
	if err != nil {
		return err
	}
	claims := uint32(0)
	for _, r := range l.refs {
		if !r.counts() || !r.pool.IsBatch() || r.pool.ClientId != clientID || string(r.pool.Validator) != string(operator) {
			continue
		}
		if found && r.id == open {
			return nil
		}
		if !r.pool.Batch.Converted {
			claims++
		}
	}
	if claims >= params.MaxUnbondingClaims {
		return errorsmod.Wrapf(types.ErrTooManyClaims, "%d", claims)
	}
	return nil
}

// AddConsumer registers a consumer.
func (s msgServer) AddConsumer(ctx context.Context, msg *types.MsgAddConsumer) (*types.MsgAddConsumerResponse, error) {
	if err := s.checkAuthority(ctx, msg.Authority); err != nil {
		return nil, err
	}
	if err := s.checkConfig(msg.Config); err != nil {
		return nil, err
	}
	return &types.MsgAddConsumerResponse{}, s.k.addConsumer(sdk.UnwrapSDKContext(ctx), msg.Config)
}

// UpdateConsumer changes a consumer's configuration.
func (s msgServer) UpdateConsumer(ctx context.Context, msg *types.MsgUpdateConsumer) (*types.MsgUpdateConsumerResponse, error) {
	if err := s.checkAuthority(ctx, msg.Authority); err != nil {
		return nil, err
	}
	if err := s.checkConfig(msg.Config); err != nil {
		return nil, err
	}
	return &types.MsgUpdateConsumerResponse{}, s.k.updateConsumer(sdk.UnwrapSDKContext(ctx), msg.Config)
}

// RemoveConsumer begins to wind a consumer down.
func (s msgServer) RemoveConsumer(ctx context.Context, msg *types.MsgRemoveConsumer) (*types.MsgRemoveConsumerResponse, error) {
	if err := s.checkAuthority(ctx, msg.Authority); err != nil {
		return nil, err
	}
	return &types.MsgRemoveConsumerResponse{}, s.k.removeConsumer(sdk.UnwrapSDKContext(ctx), msg.ConsumerId)
}

// PauseConsumer stops new stake; governance and the consumer's guardian may do it.
func (s msgServer) PauseConsumer(ctx context.Context, msg *types.MsgPauseConsumer) (*types.MsgPauseConsumerResponse, error) {
	if _, err := s.address(msg.Signer); err != nil {
		return nil, err
	}
	reason := types.PAUSE_REASON_GOVERNANCE
	authorityErr := s.checkAuthority(ctx, msg.Signer)
	consumer, err := s.k.liveConsumer(ctx, msg.ConsumerId)
	if err != nil {
		return nil, err
	}
	if authorityErr != nil {
		if consumer.Config.Guardian == "" || msg.Signer != consumer.Config.Guardian {
			return nil, errorsmod.Wrapf(types.ErrUnauthorized, "%s is neither the authority nor the guardian of %s", msg.Signer, msg.ConsumerId)
		}
		reason = types.PAUSE_REASON_GUARDIAN
	}
	return &types.MsgPauseConsumerResponse{}, s.k.pause(ctx, consumer, reason)
}

// ResumeConsumer ends a pause by governance or guardian, because of slashes or of misbehaviour. One because of the client
// ends by itself.
func (s msgServer) ResumeConsumer(ctx context.Context, msg *types.MsgResumeConsumer) (*types.MsgResumeConsumerResponse, error) {
	if err := s.checkAuthority(ctx, msg.Authority); err != nil {
		return nil, err
	}
	consumer, err := s.k.liveConsumer(ctx, msg.ConsumerId)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(resumable, consumer.HasPauseReason) {
		return nil, errorsmod.Wrap(types.ErrNotPaused, msg.ConsumerId)
	}
	return &types.MsgResumeConsumerResponse{}, s.k.resume(ctx, consumer, resumable...)
}

// resumable are the reasons to pause that governance ends.
var resumable = []types.PauseReason{
	types.PAUSE_REASON_GOVERNANCE, types.PAUSE_REASON_GUARDIAN, types.PAUSE_REASON_SLASHES, types.PAUSE_REASON_MISBEHAVIOUR,
}

// RetireChannel gives up a consumer's channel, or its way over IBC v2, so that a new one can take over its session.
func (s msgServer) RetireChannel(ctx context.Context, msg *types.MsgRetireChannel) (*types.MsgRetireChannelResponse, error) {
	if err := s.checkAuthority(ctx, msg.Authority); err != nil {
		return nil, err
	}
	if _, err := s.k.liveConsumer(ctx, msg.ConsumerId); err != nil {
		return nil, err
	}
	return &types.MsgRetireChannelResponse{}, s.k.retireChannel(sdk.UnwrapSDKContext(ctx), msg.ConsumerId)
}

// UpdateParams changes the module's parameters.
func (s msgServer) UpdateParams(ctx context.Context, msg *types.MsgUpdateParams) (*types.MsgUpdateParamsResponse, error) {
	if err := s.checkAuthority(ctx, msg.Authority); err != nil {
		return nil, err
	}
	if err := msg.Params.Validate(); err != nil {
		return nil, err
	}
	s.k.emit(ctx, &types.EventParamsUpdated{Params: msg.Params})
	return &types.MsgUpdateParamsResponse{}, s.k.Params.Set(ctx, msg.Params)
}

// address decodes an account address. Error: ErrInvalidAddress.
func (s msgServer) address(bech32 string) (sdk.AccAddress, error) {
	bz, err := s.k.accounts.AddressCodec().StringToBytes(bech32)
	if err != nil {
		return nil, errorsmod.Wrapf(types.ErrInvalidAddress, "%q: %s", bech32, err)
	}
	return bz, nil
}

// checkAuthority checks that the signer governs the module. Errors: ErrInvalidAddress, ErrUnauthorized.
func (s msgServer) checkAuthority(ctx context.Context, signer string) error {
	if _, err := s.address(signer); err != nil {
		return err
	}
	if err := sdk.ValidateAuthority(sdk.UnwrapSDKContext(ctx), s.k.authority, signer); err != nil {
		return errorsmod.Wrap(types.ErrUnauthorized, err.Error())
	}
	return nil
}

// checkConfig checks a consumer's configuration by itself. Errors: ErrInvalidConfig, ErrInvalidAddress.
func (s msgServer) checkConfig(cfg types.ConsumerConfig) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if cfg.Guardian == "" {
		return nil
	}
	if _, err := s.address(cfg.Guardian); err != nil {
		return errorsmod.Wrap(err, "guardian")
	}
	return nil
}

// checkAmount checks an amount of cross-stake by itself. Errors: ErrAmountNotPositive, ErrInvalidDenom,
// ErrAmountTooLarge.
func (s msgServer) checkAmount(ctx context.Context, amount sdk.Coin) error {
	if amount.Amount.IsNil() || !amount.Amount.IsPositive() {
		return errorsmod.Wrapf(types.ErrAmountNotPositive, "%s", intString(amount.Amount))
	}
	if amount.Amount.GTE(types.MaxAmount()) {
		return errorsmod.Wrap(types.ErrAmountTooLarge, "2^128 or more")
	}
	denom, err := s.k.staking.BondDenom(ctx)
	if err != nil {
		return err
	}
	if amount.Denom != denom {
		return errorsmod.Wrapf(types.ErrInvalidDenom, "%q, want %q", amount.Denom, denom)
	}
	return nil
}

func intString(i sdkmath.Int) string {
	if i.IsNil() {
		return "nothing"
	}
	return i.String()
}
