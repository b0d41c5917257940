package keeper

import (
	"bytes"
	"context"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cometbft/cometbft/crypto"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// applyKey records the consensus key of a report. The first key of an operator stands: it cannot be changed or re-dated.
// A later one is appended, with the time and the height at which it was learned, if it begins after the one before. It
// ends the range of that one, but not for heights that were known before: a report does not change what they prove.
func (k *Keeper) applyKey(ctx context.Context, cfg types.ConsumerConfig, v *types.ConsumerValidator, report meshtypes.ValidatorReport) error {
	n := len(v.Keys)
	if n > 0 {
		switch last := v.Keys[n-1]; {
		case last.Key.Equal(report.ConsensusKey):
			return nil
		case n >= types.MaxKeys:
			k.ignoreKey(ctx, cfg, report.Operator, "too many keys")
			return nil
		case report.KeyHeight.Compare(last.From) <= 0:
			k.ignoreKey(ctx, cfg, report.Operator, "key begins before the one on record")
			return nil
		}
	}
	record := types.KeyRecord{Key: report.ConsensusKey, From: report.KeyHeight, LearnedAt: now(ctx)}
	record.LearnedHeight, _ = k.latestHeight(ctx, cfg.ClientId)
	if err := k.claimKey(ctx, cfg, report.Operator, &record); err != nil {
		return err
	}
	if n > 0 {
		to := record.LearnedHeight.Next()
		if to.Compare(record.From) < 0 {
			to = record.From
		}
		v.Keys[n-1].To = to
	}
	v.Keys = append(v.Keys, record)
	return nil
}

func (k *Keeper) ignoreKey(ctx context.Context, cfg types.ConsumerConfig, operator []byte, reason string) {
	k.emit(ctx, &types.EventValidatorIgnored{ConsumerId: cfg.ClientId, Validator: cfg.FormatValidator(operator), Reason: reason})
}

// claimKey enters a key into the index of consensus addresses. The first operator that claims one has it; the record of
// any other becomes foreign. A key that CometBFT could not verify with has no address and proves nothing.
func (k *Keeper) claimKey(ctx context.Context, cfg types.ConsumerConfig, operator []byte, record *types.KeyRecord) error {
	pub, err := record.Key.PubKey()
	if err != nil {
		k.ignoreKey(ctx, cfg, operator, "key of a type or length that proves nothing")
		return nil //nolint:nilerr // bad input is no reason to drop the report
	}
	key := collections.Join(cfg.ClientId, []byte(pub.Address()))
	owner, found, err := getOr(ctx, k.ConsKeys, key)
	if err != nil {
		return err
	}
	if !found {
		return k.ConsKeys.Set(ctx, key, operator)
	}
	if record.Foreign = !bytes.Equal(owner, operator); record.Foreign {
		k.ignoreKey(ctx, cfg, operator, "key of another validator")
	}
	return nil
}

// indexKeys enters the keys of a validator into the index of consensus addresses, as they were before an export.
func (k *Keeper) indexKeys(ctx context.Context, clientID string, operator []byte, v types.ConsumerValidator) error {
	return eachKeyAddress(clientID, v, func(key clientVal) error { return k.ConsKeys.Set(ctx, key, operator) })
}

// forgetKeys takes the keys of a validator that leaves the registry out of the index of consensus addresses.
func (k *Keeper) forgetKeys(ctx context.Context, clientID string, v types.ConsumerValidator) error {
	return eachKeyAddress(clientID, v, func(key clientVal) error { return k.ConsKeys.Remove(ctx, key) })
}

// eachKeyAddress calls fn for every key of a validator that is in the index of consensus addresses.
func eachKeyAddress(clientID string, v types.ConsumerValidator, fn func(key clientVal) error) error {
	for _, record := range v.Keys {
		address, ok := record.Address()
		if !ok {
			continue
		}
		if err := fn(collections.Join(clientID, address)); err != nil {
			return err
		}
	}
	return nil
}

// provingKey returns whose consensus address it is and the key, if that proves what happened at height h: the key comes
// from the registry, never from who submits a proof. The operator's first key proves the heights of its range. A later one
// proves only heights above the one at which it was learned, and only once one U has passed since, which what the consumer
// reports does not shorten; or all of its range at once, if the operator vouched for it. Errors: ErrUnknownKey,
// ErrKeyHeight, ErrKeyNotProving.
func (k *Keeper) provingKey(ctx context.Context, cfg types.ConsumerConfig, p types.Pairing, address []byte, h meshtypes.Height) (operator []byte, pub crypto.PubKey, err error) {
	clientID, u := cfg.ClientId, cfg.LongestUnbonding(p.EffectiveUnbonding)
	operator, found, err := getOr(ctx, k.ConsKeys, collections.Join(clientID, address))
	if err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, nil, errorsmod.Wrapf(types.ErrUnknownKey, "consensus address %X", address)
	}
	v, err := k.Validators.Get(ctx, collections.Join(clientID, operator))
	if err != nil {
		return nil, nil, err
	}
	refusal := errorsmod.Wrapf(types.ErrKeyHeight, "consensus address %X at %s", address, h)
	for i, record := range v.Keys {
		if own, ok := record.Address(); !ok || !bytes.Equal(own, address) || !record.Covers(h) {
			continue
		}
		switch later := i > 0 && !record.Vouched; {
		case later && h.Compare(record.LearnedHeight) <= 0:
			continue
		case later && now(ctx).Before(record.LearnedAt.Add(u)):
			refusal = errorsmod.Wrapf(types.ErrKeyNotProving, "before %s, unless its operator vouches for it", record.LearnedAt.Add(u))
			continue
		}
		pub, err = record.Key.PubKey()
		return operator, pub, err
	}
	return nil, nil, refusal
}

// VouchKey makes a later consensus key prove at once, by a signature of the operator's account key. To vouch again
// changes nothing.
func (s msgServer) VouchKey(ctx context.Context, msg *types.MsgVouchKey) (*types.MsgVouchKeyResponse, error) {
	if _, err := s.address(msg.Submitter); err != nil {
		return nil, err
	}
	if err := msg.ConsensusKey.Validate(); err != nil {
		return nil, errorsmod.Wrap(types.ErrInvalidVouch, err.Error())
	}
	consumer, err := s.k.liveConsumer(ctx, msg.ConsumerId)
	if err != nil {
		return nil, err
	}
	operator, err := consumer.Config.ParseValidator(msg.Validator)
	if err != nil {
		return nil, err
	}
	key := collections.Join(msg.ConsumerId, operator)
	v, found, err := getOr(ctx, s.k.Validators, key)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errorsmod.Wrap(types.ErrUnknownValidator, msg.Validator)
	}
	sdkCtx := sdk.UnwrapSDKContext(ctx)
	sdkCtx.GasMeter().ConsumeGas(types.GasVerifySecp256k1, "vouching signature")
	if err := types.VerifyVouch(sdkCtx.ChainID(), msg.ConsumerId, msg.ConsensusKey, operator, msg.AccountKey, msg.Signature); err != nil {
		return nil, err
	}
	reported, changed := false, false
	for i := range v.Keys {
		if record := &v.Keys[i]; !record.Foreign && record.Key.Equal(msg.ConsensusKey) {
			reported, changed = true, changed || !record.Vouched
			record.Vouched = true
		}
	}
	switch {
	case !reported:
		return nil, errorsmod.Wrapf(types.ErrUnknownKey, "of %s", msg.Validator)
	case !changed:
		return &types.MsgVouchKeyResponse{}, nil
	}
	s.k.emit(ctx, &types.EventKeyVouched{ConsumerId: msg.ConsumerId, Validator: msg.Validator, ConsensusKey: msg.ConsensusKey})
	return &types.MsgVouchKeyResponse{}, s.k.Validators.Set(ctx, key, v)
}
