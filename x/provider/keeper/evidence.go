package keeper

import (
	"context"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// SubmitDoubleVote proves a double sign: two votes of one validator at one height, round and type for different blocks,
// one of which may be nil. What is cheap is checked first, the signatures last, with the key from the registry.
func (s msgServer) SubmitDoubleVote(ctx context.Context, msg *types.MsgSubmitDoubleVote) (*types.MsgSubmitDoubleVoteResponse, error) {
	submitter, err := s.address(msg.Submitter)
	if err != nil {
		return nil, err
	}
	a, b, err := types.ParseDoubleVote(msg.Evidence)
	if err != nil {
		return nil, err
	}
	consumer, err := s.k.liveConsumer(ctx, msg.ConsumerId)
	if err != nil {
		return nil, err
	}
	chain, err := consumer.ChainRecord(msg.ChainId)
	if err != nil {
		return nil, err
	}
	pairing, err := s.k.Pairings.Get(ctx, msg.ConsumerId)
	if err != nil {
		return nil, err
	}
	h := meshtypes.NewHeight(chain.Revision, uint64(a.Height))
	if latest, ok := s.k.latestHeight(ctx, msg.ConsumerId); ok && h.Compare(latest) > 0 {
		return nil, errorsmod.Wrapf(types.ErrEvidenceFuture, "%s, the client is at %s", h, latest)
	}
	if err := s.k.checkEvidenceAge(ctx, msg.ConsumerId, pairing, *chain, h); err != nil {
		return nil, err
	}
	operator, pub, err := s.k.provingKey(ctx, consumer.Config, pairing, a.ValidatorAddress, h)
	if err != nil {
		return nil, err
	}
	sdkCtx := sdk.UnwrapSDKContext(ctx)
	sdkCtx.GasMeter().ConsumeGas(2*types.GasVerify(pub), "signatures of two votes")
	if err := types.VerifyDoubleVote(chain.ChainId, pub, a, b); err != nil {
		return nil, err
	}
	rec, err := s.k.recordProof(sdkCtx, consumer, proof{
		origin: types.SLASH_ORIGIN_DOUBLE_VOTE, operator: operator, infraction: h, submitter: submitter,
	}, true)
	if err != nil {
		return nil, err
	}
	return &types.MsgSubmitDoubleVoteResponse{SlashId: rec.Id, Status: rec.Status}, nil
}

// checkEvidenceAge refuses heights at which evidence does not count any more: below what governance set for the chain id,
// or older than U by our own records of heights and times, whatever any timestamp says. The first record at or above the
// height says when it was known at the latest. Heights only rise, so the newest of the records older than U decides.
// Without one, a height below the oldest record is too old if records before that were dropped. Errors:
// ErrEvidenceMinHeight, ErrEvidenceTooOld.
func (k *Keeper) checkEvidenceAge(ctx context.Context, clientID string, p types.Pairing, chain types.ChainRecord, h meshtypes.Height) error {
	if h.Height < chain.EvidenceMinHeight {
		return errorsmod.Wrapf(types.ErrEvidenceMinHeight, "%d, from %d on %s", h.Height, chain.EvidenceMinHeight, chain.ChainId)
	}
	all := collections.NewPrefixedPairRange[string, uint64](clientID)
	limit := nanos(now(ctx).Add(-p.EffectiveUnbonding))
	aged, found, err := firstValue(ctx, k.Heights, collections.NewPrefixedPairRange[string, uint64](clientID).EndExclusive(limit).Descending())
	if err != nil {
		return err
	}
	if found {
		if h.Compare(aged) <= 0 {
			return errorsmod.Wrapf(types.ErrEvidenceTooOld, "%s, %s was known more than %s ago", h, aged, p.EffectiveUnbonding)
		}
		return nil
	}
	if !p.HeightsPruned {
		return nil
	}
	oldest, found, err := firstValue(ctx, k.Heights, all)
	if err != nil {
		return err
	}
	if !found || h.Compare(oldest) < 0 {
		return errorsmod.Wrapf(types.ErrEvidenceTooOld, "%s, below the oldest record, %s", h, oldest)
	}
	return nil
}

// SetEvidenceMinHeight raises the lowest height at which evidence counts on one of a consumer's chain ids.
func (s msgServer) SetEvidenceMinHeight(ctx context.Context, msg *types.MsgSetEvidenceMinHeight) (*types.MsgSetEvidenceMinHeightResponse, error) {
	if err := s.checkAuthority(ctx, msg.Authority); err != nil {
		return nil, err
	}
	if err := meshtypes.NewHeight(0, msg.Height).Validate(); err != nil {
		return nil, err
	}
	consumer, err := s.k.liveConsumer(ctx, msg.ConsumerId)
	if err != nil {
		return nil, err
	}
	chain, err := consumer.ChainRecord(msg.ChainId)
	if err != nil {
		return nil, err
	}
	if msg.Height <= chain.EvidenceMinHeight {
		return nil, errorsmod.Wrapf(types.ErrMinHeightLowered, "%d, is %d", msg.Height, chain.EvidenceMinHeight)
	}
	chain.EvidenceMinHeight = msg.Height
	s.k.emit(ctx, &types.EventEvidenceMinHeight{ConsumerId: msg.ConsumerId, ChainId: chain.ChainId, Height: msg.Height})
	return &types.MsgSetEvidenceMinHeightResponse{}, s.k.Consumers.Set(ctx, msg.ConsumerId, consumer)
}
