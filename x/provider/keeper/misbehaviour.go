package keeper

import (
	"bytes"
	"context"
	"errors"

	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	cmttypes "github.com/cometbft/cometbft/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// SubmitMisbehaviour proves a light-client attack: two headers of one height that the consumer's IBC client would both
// have accepted. Every validator that signed both for a block is slashed, in EndBlock, if the rounds are the same or one
// of the headers is invalid (amnesia slashes nobody); the client is frozen and the consumer paused. It works on a client
// that is frozen already, not on one that expired. A height above the client's latest is no obstacle: a frozen client
// cannot be updated, and its own check has verified the headers.
func (s msgServer) SubmitMisbehaviour(ctx context.Context, msg *types.MsgSubmitMisbehaviour) (*types.MsgSubmitMisbehaviourResponse, error) {
	submitter, err := s.address(msg.Submitter)
	if err != nil {
		return nil, err
	}
	if err := checkMisbehaviour(msg.Misbehaviour, msg.ConsumerId); err != nil {
		return nil, err
	}
	consumer, err := s.k.liveConsumer(ctx, msg.ConsumerId)
	if err != nil {
		return nil, err
	}
	chain, err := consumer.ChainRecord(msg.Misbehaviour.Header1.Header.ChainID)
	if err != nil {
		return nil, err
	}
	pairing, err := s.k.Pairings.Get(ctx, msg.ConsumerId)
	if err != nil {
		return nil, err
	}
	h := meshtypes.NewHeight(chain.Revision, uint64(msg.Misbehaviour.Header1.Header.Height))
	if err := s.k.checkEvidenceAge(ctx, msg.ConsumerId, pairing, *chain, h); err != nil {
		return nil, err
	}
	sdkCtx := sdk.UnwrapSDKContext(ctx)
	client, err := s.k.verifyMisbehaviour(sdkCtx, msg.ConsumerId, msg.Misbehaviour)
	if err != nil {
		return nil, err
	}
	operators, skipped, err := s.k.offenders(sdkCtx, consumer.Config, pairing, msg.Misbehaviour, h)
	if err != nil {
		return nil, err
	}
	res := &types.MsgSubmitMisbehaviourResponse{}
	for _, operator := range operators {
		rec, err := s.k.recordProof(sdkCtx, consumer, proof{
			origin: types.SLASH_ORIGIN_MISBEHAVIOUR, operator: operator, infraction: h, submitter: submitter,
		}, false)
		switch {
		case errors.Is(err, types.ErrNothingAnswers), errors.Is(err, types.ErrAlreadyPunished):
			skipped = err
		case err != nil:
			return nil, err
		default:
			res.SlashIds = append(res.SlashIds, rec.Id)
		}
	}
	stopped, err := s.k.stopConsumer(sdkCtx, client, msg)
	switch {
	case err != nil:
		return nil, err
	case len(res.SlashIds) == 0 && !stopped && skipped != nil:
		return nil, skipped
	case len(res.SlashIds) == 0 && !stopped:
		return nil, errorsmod.Wrap(types.ErrNoOffenders, "and the consumer is stopped already")
	}
	s.k.emit(ctx, &types.EventMisbehaviour{ConsumerId: msg.ConsumerId, Height: h, SlashIds: res.SlashIds, Submitter: msg.Submitter})
	return res, nil
}

// checkMisbehaviour checks what can be seen without any cryptography. Errors: ErrEvidenceTooLarge, ErrInvalidMisbehaviour,
// ErrMisbehaviourClient, ErrMisbehaviourHeights, ErrEqualBlockIDs.
func checkMisbehaviour(m *ibctm.Misbehaviour, clientID string) error {
	if m == nil {
		return errorsmod.Wrap(types.ErrInvalidMisbehaviour, "it is missing")
	}
	if size := m.Size(); size > types.MaxMisbehaviourBytes {
		return errorsmod.Wrapf(types.ErrEvidenceTooLarge, "%d bytes, at most %d", size, types.MaxMisbehaviourBytes)
	}
	if m.ClientId != clientID {
		return errorsmod.Wrapf(types.ErrMisbehaviourClient, "%q, want %q", m.ClientId, clientID)
	}
	for i, h := range []*ibctm.Header{m.Header1, m.Header2} {
		if h == nil || h.SignedHeader == nil || h.Header == nil || h.Commit == nil || h.ValidatorSet == nil || h.TrustedValidators == nil {
			return errorsmod.Wrapf(types.ErrInvalidMisbehaviour, "header %d is not whole", i+1)
		}
	}
	h1, h2 := m.Header1, m.Header2
	switch {
	case h1.Header.ChainID != h2.Header.ChainID:
		return errorsmod.Wrapf(types.ErrInvalidMisbehaviour, "headers of %q and %q", h1.Header.ChainID, h2.Header.ChainID)
	case h1.Header.Height != h2.Header.Height:
		return errorsmod.Wrapf(types.ErrMisbehaviourHeights, "%d and %d", h1.Header.Height, h2.Header.Height)
	case h1.Header.Height <= 0:
		return errorsmod.Wrapf(types.ErrInvalidMisbehaviour, "height %d", h1.Header.Height)
	case bytes.Equal(h1.Commit.BlockID.Hash, h2.Commit.BlockID.Hash):
		return errorsmod.Wrapf(types.ErrEqualBlockIDs, "%X twice", h1.Commit.BlockID.Hash)
	}
	return nil
}

// verifyMisbehaviour lets the consumer's light client judge, and returns its module. 07-tendermint leaves ValidateBasic,
// which verifies two commits, to its caller. Gas is charged before for every signature that is verified. Errors:
// ErrInvalidMisbehaviour.
func (k *Keeper) verifyMisbehaviour(ctx sdk.Context, clientID string, m *ibctm.Misbehaviour) (exported.LightClientModule, error) {
	// Each commit is verified once against its own validators, once against the trusted ones.
	signatures := 2 * uint64(len(m.Header1.Commit.Signatures)+len(m.Header2.Commit.Signatures))
	ctx.GasMeter().ConsumeGas(signatures*types.GasVerifyEd25519, "signatures of two commits")
	var client exported.LightClientModule
	err := k.isolateTx(ctx, func(ctx sdk.Context) (err error) { // the light client may panic on what nobody would sign
		if k.clients == nil {
			return types.ErrClientUnknown
		}
		if client, err = k.clients.Route(ctx, clientID); err != nil {
			return err
		}
		if err := m.ValidateBasic(); err != nil {
			return err
		}
		if err := client.VerifyClientMessage(ctx, clientID, m); err != nil {
			return err
		}
		if !client.CheckForMisbehaviour(ctx, clientID, m) {
			return errors.New("the light client sees none in it")
		}
		return nil
	})
	if err != nil {
		return nil, errorsmod.Wrap(types.ErrInvalidMisbehaviour, err.Error())
	}
	return client, nil
}

// offenders returns the operators that signed both commits of a verified misbehaviour for a block, in the same round or
// with one header invalid; each signature is verified with the key of the registry, as the light client stops at two
// thirds of the power. Absent and nil signers are not among them, nor is who signs with a key that proves nothing: skipped
// is then an error that says why.
func (k *Keeper) offenders(ctx sdk.Context, cfg types.ConsumerConfig, p types.Pairing, m *ibctm.Misbehaviour, h meshtypes.Height) (operators [][]byte, skipped, err error) {
	one, err := cmttypes.CommitFromProto(m.Header1.Commit)
	if err != nil {
		return nil, nil, errorsmod.Wrap(types.ErrInvalidMisbehaviour, err.Error())
	}
	two, err := cmttypes.CommitFromProto(m.Header2.Commit)
	if err != nil {
		return nil, nil, errorsmod.Wrap(types.ErrInvalidMisbehaviour, err.Error())
	}
	if one.Round != two.Round && !headersConflict(m.Header1, m.Header2) {
		return nil, nil, nil // amnesia
	}
	other := map[string]int32{}
	for i, sig := range two.Signatures {
		if sig.BlockIDFlag == cmttypes.BlockIDFlagCommit {
			other[string(sig.ValidatorAddress)] = int32(i)
		}
	}
	chainID := m.Header1.Header.ChainID
	seen := map[string]bool{}
	for i, sig := range one.Signatures {
		j, both := other[string(sig.ValidatorAddress)]
		if !both || sig.BlockIDFlag != cmttypes.BlockIDFlagCommit {
			continue
		}
		operator, pub, err := k.provingKey(ctx, cfg, p, sig.ValidatorAddress, h)
		if err != nil {
			if !errors.Is(err, types.ErrUnknownKey) && !errors.Is(err, types.ErrKeyHeight) && !errors.Is(err, types.ErrKeyNotProving) {
				return nil, nil, err
			}
			skipped = err
			continue
		}
		if seen[string(operator)] {
			continue
		}
		ctx.GasMeter().ConsumeGas(2*types.GasVerify(pub), "signatures of an offender")
		if err := types.VerifyDoubleVote(chainID, pub, one.GetVote(int32(i)), two.GetVote(j)); err != nil {
			skipped = err
			continue
		}
		seen[string(operator)] = true
		operators = append(operators, operator)
	}
	return operators, skipped, nil
}

// headersConflict says whether one of two headers of a height is invalid: they differ in what follows from the blocks
// before. CometBFT calls it a lunatic attack.
func headersConflict(a, b *ibctm.Header) bool {
	x, y := a.Header, b.Header
	return !bytes.Equal(x.ValidatorsHash, y.ValidatorsHash) || !bytes.Equal(x.NextValidatorsHash, y.NextValidatorsHash) ||
		!bytes.Equal(x.ConsensusHash, y.ConsensusHash) || !bytes.Equal(x.AppHash, y.AppHash) ||
		!bytes.Equal(x.LastResultsHash, y.LastResultsHash)
}

// stopConsumer freezes the client of a proved misbehaviour and pauses the consumer, as far as they are not. It says
// whether there was anything to do.
func (k *Keeper) stopConsumer(ctx sdk.Context, client exported.LightClientModule, msg *types.MsgSubmitMisbehaviour) (bool, error) {
	consumer, err := k.Consumers.Get(ctx, msg.ConsumerId)
	if err != nil {
		return false, err
	}
	stopped := false
	if client.Status(ctx, msg.ConsumerId) != exported.Frozen {
		stopped = true
		client.UpdateStateOnMisbehaviour(ctx, msg.ConsumerId, msg.Misbehaviour)
		// As IBC's client keeper does, for relayers and explorers.
		ctx.EventManager().EmitEvent(sdk.NewEvent(clienttypes.EventTypeSubmitMisbehaviour,
			sdk.NewAttribute(clienttypes.AttributeKeyClientID, msg.ConsumerId),
			sdk.NewAttribute(clienttypes.AttributeKeyClientType, msg.Misbehaviour.ClientType()),
		))
	}
	if consumer.HasPauseReason(types.PAUSE_REASON_MISBEHAVIOUR) {
		return stopped, nil
	}
	return true, k.pause(ctx, consumer, types.PAUSE_REASON_MISBEHAVIOUR)
}
