package keeper

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// VetoSlash takes a pending slash away. What a proof has closed opens again, unless something else closed it too. While the
// veto of a proof is remembered, further ones of the validator wait for a veto too.
func (s msgServer) VetoSlash(ctx context.Context, msg *types.MsgVetoSlash) (*types.MsgVetoSlashResponse, error) {
	if err := s.checkAuthority(ctx, msg.Authority); err != nil {
		return nil, err
	}
	rec, consumer, err := s.k.pendingSlash(ctx, msg.SlashId)
	if err != nil {
		return nil, err
	}
	sdkCtx := sdk.UnwrapSDKContext(ctx)
	if err := s.k.settleSlash(sdkCtx, consumer.Config, &rec, types.SLASH_STATUS_VETOED, reasonVetoed); err != nil {
		return nil, err
	}
	if rec.IsProof() {
		if err := s.k.VetoedProofs.Set(ctx, collections.Join3(rec.ClientId, rec.Validator, rec.Id)); err != nil {
			return nil, err
		}
	}
	return &types.MsgVetoSlashResponse{}, s.k.reopen(ctx, consumer.Config, rec)
}

// StopSlash delays a pending slash once: a claim by the consumer's claim delay, a proof by the delay of mass proofs.
func (s msgServer) StopSlash(ctx context.Context, msg *types.MsgStopSlash) (*types.MsgStopSlashResponse, error) {
	if _, err := s.address(msg.Signer); err != nil {
		return nil, err
	}
	rec, consumer, err := s.k.slashRecord(ctx, msg.SlashId)
	if err != nil {
		return nil, err
	}
	if guardian := consumer.Config.Guardian; guardian == "" || msg.Signer != guardian {
		if err := s.checkAuthority(ctx, msg.Signer); err != nil {
			return nil, errorsmod.Wrapf(types.ErrUnauthorized, "%s is neither the authority nor the guardian of %s", msg.Signer, rec.ClientId)
		}
	}
	if !rec.IsPending() {
		return nil, errorsmod.Wrapf(types.ErrSlashNotPending, "slash %d", msg.SlashId)
	}
	if rec.Stopped {
		return nil, errorsmod.Wrapf(types.ErrSlashStopped, "slash %d", msg.SlashId)
	}
	pairing, err := s.k.Pairings.Get(ctx, rec.ClientId)
	if err != nil {
		return nil, err
	}
	delay := consumer.Config.SlashPolicy.UnprovenDelay
	if rec.IsProof() {
		// Batches wait for a proof all the longer: the guardian cannot let proved stake go.
		delay = consumer.Config.SlashPolicy.MassDelayFor(consumer.Config.LongestUnbonding(pairing.EffectiveUnbonding))
		rec.BatchDelay += delay
	}
	if delay == 0 {
		return nil, errorsmod.Wrapf(types.ErrNoClaimDelay, "consumer %s", rec.ClientId)
	}
	rec.Stopped = true
	if err := s.k.moveSlash(ctx, &rec, nanos(rec.DueAt.Add(delay))); err != nil {
		return nil, err
	}
	s.k.emit(ctx, &types.EventSlashStopped{SlashId: rec.Id, DueAt: rec.DueAt})
	return &types.MsgStopSlashResponse{DueAt: rec.DueAt}, nil
}

// slashRecord returns a slash with its consumer. Error: ErrUnknownSlash.
func (k *Keeper) slashRecord(ctx context.Context, id uint64) (types.SlashRecord, types.Consumer, error) {
	rec, found, err := getOr(ctx, k.Slashes, id)
	if err != nil {
		return rec, types.Consumer{}, err
	}
	if !found {
		return rec, types.Consumer{}, errorsmod.Wrapf(types.ErrUnknownSlash, "%d", id)
	}
	consumer, err := k.Consumers.Get(ctx, rec.ClientId)
	return rec, consumer, err
}

// pendingSlash returns a pending slash with its consumer. Errors: ErrUnknownSlash, ErrSlashNotPending.
func (k *Keeper) pendingSlash(ctx context.Context, id uint64) (types.SlashRecord, types.Consumer, error) {
	rec, consumer, err := k.slashRecord(ctx, id)
	if err == nil && !rec.IsPending() {
		err = errorsmod.Wrapf(types.ErrSlashNotPending, "slash %d", id)
	}
	return rec, consumer, err
}

// reopen opens a validator to new stake again that a proof had closed which governance took away, unless it is
// tombstoned. If another proof of it waits, that one keeps it closed instead.
func (k *Keeper) reopen(ctx context.Context, cfg types.ConsumerConfig, vetoed types.SlashRecord) error {
	if !vetoed.Closed {
		return nil
	}
	pending, err := k.pendingOf(ctx, vetoed.ClientId, vetoed.Validator)
	if err != nil {
		return err
	}
	for _, rec := range pending {
		if rec.IsProof() {
			rec.Closed = true
			return k.Slashes.Set(ctx, rec.Id, rec)
		}
	}
	key := collections.Join(vetoed.ClientId, vetoed.Validator)
	v, found, err := getOr(ctx, k.Validators, key)
	if err != nil || !found || v.Status == meshtypes.VALIDATOR_STATUS_TOMBSTONED {
		return err
	}
	v.Closed = false
	k.emit(ctx, &types.EventValidatorReopened{ConsumerId: vetoed.ClientId, Validator: cfg.FormatValidator(vetoed.Validator)})
	return k.Validators.Set(ctx, key, v)
}

// Slashes returns the slashes recorded.
func (s queryServer) Slashes(ctx context.Context, req *types.QuerySlashesRequest) (*types.QuerySlashesResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	var operator []byte
	if req.Validator != "" && req.ConsumerId == "" {
		return nil, status.Error(codes.InvalidArgument, "a validator needs its consumer")
	}
	if req.ConsumerId != "" {
		c, err := s.consumer(ctx, req.ConsumerId)
		if err != nil {
			return nil, err
		}
		if req.Validator != "" {
			if operator, err = c.Config.ParseValidator(req.Validator); err != nil {
				return nil, status.Error(codes.InvalidArgument, err.Error())
			}
		}
	}
	slashes, page, err := query.CollectionFilteredPaginate(ctx, s.k.Slashes, req.Pagination, func(_ uint64, r types.SlashRecord) (bool, error) {
		return (req.ConsumerId == "" || r.ClientId == req.ConsumerId) &&
			(operator == nil || string(r.Validator) == string(operator)) &&
			(req.Status == types.SLASH_STATUS_UNSPECIFIED || r.Status == req.Status), nil
	}, func(_ uint64, r types.SlashRecord) (types.SlashView, error) {
		return s.slashView(ctx, r), nil
	})
	if err != nil {
		return nil, err
	}
	return &types.QuerySlashesResponse{Slashes: slashes, Pagination: page}, nil
}

// Slash returns one slash recorded.
func (s queryServer) Slash(ctx context.Context, req *types.QuerySlashRequest) (*types.QuerySlashResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	rec, found, err := getOr(ctx, s.k.Slashes, req.Id)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, status.Errorf(codes.NotFound, "unknown slash %d", req.Id)
	}
	return &types.QuerySlashResponse{Slash: s.slashView(ctx, rec)}, nil
}

func (s queryServer) slashView(ctx context.Context, r types.SlashRecord) types.SlashView {
	view := types.SlashView{Record: r, Validator: s.k.operatorString(ctx, r.ClientId, r.Validator)}
	if len(r.Submitter) > 0 {
		view.Submitter = s.k.delString(r.Submitter)
	}
	return view
}

// Meter returns how much a consumer may still take without proof. If no claim or proof has come since the running window
// ended, the meter is that of the window which the next one would begin.
func (s queryServer) Meter(ctx context.Context, req *types.QueryMeterRequest) (*types.QueryMeterResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	c, err := s.consumer(ctx, req.ConsumerId)
	if err != nil {
		return nil, err
	}
	m, err := s.k.currentMeter(ctx, c)
	if err != nil {
		return nil, err
	}
	res := &types.QueryMeterResponse{Meter: m, Available: m.Available(c.Config.SlashPolicy)}
	if c.IsPaused() {
		res.Available = sdkmath.ZeroInt()
	}
	pending, err := firstKeys(ctx, s.k.PendingSlashes, collections.NewPrefixedTripleRange[string, []byte, uint64](req.ConsumerId), maxCount)
	res.Pending = uint64(len(pending))
	return res, err
}
