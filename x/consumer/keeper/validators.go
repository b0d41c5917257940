package keeper

import (
	"bytes"
	"context"
	"errors"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"

	"github.com/cosmos/cosmos-sdk/crypto/keys/ed25519"
	"github.com/cosmos/cosmos-sdk/crypto/keys/secp256k1"
	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// marksPerBlock bounds how many validators are marked for reports in one block.
const marksPerBlock = 500

// valString returns an operator address as text; for one that cannot be encoded, in hex.
func (k *Keeper) valString(valAddr sdk.ValAddress) string {
	s, err := k.staking.ValidatorAddressCodec().BytesToString(valAddr)
	if err != nil {
		return errorsmod.Wrapf(err, "%X", []byte(valAddr)).Error()
	}
	return s
}

func (k *Keeper) isTombstoned(ctx context.Context, consAddr sdk.ConsAddress) bool {
	return k.slashing != nil && k.slashing.IsTombstoned(ctx, consAddr)
}

// consensusKey returns a validator's consensus key as reports carry it.
func consensusKey(validator stakingtypes.Validator) (meshtypes.ConsensusKey, error) {
	pk, err := validator.ConsPubKey()
	if err != nil {
		return meshtypes.ConsensusKey{}, err
	}
	key := meshtypes.ConsensusKey{Type: pk.Type(), Key: pk.Bytes()}
	return key, key.Validate()
}

// keyAddress returns the consensus address of a key; false for a type not known here.
func keyAddress(key meshtypes.ConsensusKey) (sdk.ConsAddress, bool) {
	switch key.Type {
	case (&ed25519.PubKey{}).Type():
		if len(key.Key) == ed25519.PubKeySize {
			return sdk.ConsAddress((&ed25519.PubKey{Key: key.Key}).Address()), true
		}
	case (&secp256k1.PubKey{}).Type():
		if len(key.Key) == secp256k1.PubKeySize {
			return sdk.ConsAddress((&secp256k1.PubKey{Key: key.Key}).Address()), true
		}
	}
	return nil, false
}

// registerValidator notes a validator's consensus key if it is new, valid from height on.
func (k *Keeper) registerValidator(
	ctx context.Context, validator stakingtypes.Validator, valAddr sdk.ValAddress, height meshtypes.Height,
) (types.ValidatorState, error) {
	state, err := k.Validators.Get(ctx, valAddr)
	if err != nil && !errors.Is(err, collections.ErrNotFound) {
		return types.ValidatorState{}, err
	}
	key, keyErr := consensusKey(validator)
	if keyErr != nil {
		return types.ValidatorState{}, keyErr
	}
	if err == nil && state.ConsensusKey.Equal(&key) {
		return state, nil
	}
	state.ConsensusKey, state.KeyHeight = key, height
	return state, k.Validators.Set(ctx, valAddr, state)
}

// MarkChanged marks a validator, by its consensus address, for the next report to every provider. It is for what
// x/staking has no hook for: jailing, unjailing, slashing. An unknown validator is none of ours.
func (k *Keeper) MarkChanged(ctx context.Context, consAddr sdk.ConsAddress) error {
	validator, err := k.staking.GetValidatorByConsAddr(ctx, consAddr)
	if errors.Is(err, stakingtypes.ErrNoValidatorFound) {
		return nil
	}
	if err != nil {
		return err
	}
	valAddr, err := k.staking.ValidatorAddressCodec().StringToBytes(validator.GetOperator())
	if err != nil {
		return err
	}
	return k.Changed.Set(ctx, valAddr)
}

// drainChanged marks changed validators for every provider that is told of them. Bounded; the rest waits for the next
// block.
func (k *Keeper) drainChanged(ctx sdk.Context) error {
	changed, err := firstKeys(ctx, k.Changed, marksPerBlock)
	if err != nil || len(changed) == 0 {
		return err
	}
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	for _, val := range changed {
		if err := k.Changed.Remove(ctx, val); err != nil {
			return err
		}
		// One validator whose key cannot be read must not stop the others.
		if _, err := isolated(ctx, blockGas, func(ctx sdk.Context) error { return k.markForAll(ctx, val, providers) }); err != nil {
			k.Logger(ctx).Error("validator cannot be marked", "validator", k.valString(val), "error", err)
			k.emit(ctx, &types.EventStageFailed{Stage: "mark " + k.valString(val), Reason: err.Error()})
		}
	}
	return nil
}

// markForAll brings the registry up to date with one validator and marks it for every provider.
func (k *Keeper) markForAll(ctx sdk.Context, valAddr sdk.ValAddress, providers []types.Provider) error {
	validator, err := k.staking.GetValidator(ctx, valAddr)
	var state types.ValidatorState
	switch {
	case err == nil:
		state, err = k.registerValidator(ctx, validator, valAddr, ownHeight(ctx))
	case errors.Is(err, stakingtypes.ErrNoValidatorFound):
		state, err = k.Validators.Get(ctx, valAddr)
		if errors.Is(err, collections.ErrNotFound) {
			return nil
		}
		if err == nil && !state.WasBonded {
			return k.Validators.Remove(ctx, valAddr) // nobody has been told of it
		}
	}
	if err != nil || !state.WasBonded {
		return err
	}
	for _, p := range providers {
		if p.Status == types.PROVIDER_STATUS_REMOVED {
			continue
		}
		if err := k.Dirty.Set(ctx, collections.Join(p.Config.ProviderId, []byte(valAddr)), types.DirtyValidator{}); err != nil {
			return err
		}
	}
	return nil
}

// markAll goes on marking every validator for the providers that must hear of all of them. Bounded.
func (k *Keeper) markAll(ctx sdk.Context) error {
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	budget := marksPerBlock
	for _, p := range providers {
		if !p.Marking || budget <= 0 {
			continue
		}
		rng := new(collections.Range[[]byte])
		if len(p.MarkCursor) > 0 {
			rng = rng.StartExclusive(p.MarkCursor)
		}
		var vals [][]byte
		p.Marking, p.MarkCursor = false, nil
		err := k.Validators.Walk(ctx, rng, func(val []byte, state types.ValidatorState) (bool, error) {
			if budget <= 0 {
				p.Marking = true
				return true, nil
			}
			budget--
			p.MarkCursor = val
			if state.WasBonded {
				vals = append(vals, val)
			}
			return false, nil
		})
		if err != nil {
			return err
		}
		if !p.Marking {
			p.MarkCursor = nil
		}
		if p.Status != types.PROVIDER_STATUS_REMOVED {
			for _, val := range vals {
				if err := k.Dirty.Set(ctx, collections.Join(p.Config.ProviderId, val), types.DirtyValidator{}); err != nil {
					return err
				}
			}
		}
		if err := k.Providers.Set(ctx, p.Config.ProviderId, p); err != nil {
			return err
		}
	}
	return nil
}

// validatorStatus returns a validator's status as reports carry it. A removed validator is unbonded, or tombstoned for
// good.
func (k *Keeper) validatorStatus(ctx context.Context, valAddr sdk.ValAddress, state types.ValidatorState) (meshtypes.ValidatorStatus, error) {
	if consAddr, ok := keyAddress(state.ConsensusKey); ok && k.isTombstoned(ctx, consAddr) {
		return meshtypes.VALIDATOR_STATUS_TOMBSTONED, nil
	}
	validator, err := k.staking.GetValidator(ctx, valAddr)
	switch {
	case errors.Is(err, stakingtypes.ErrNoValidatorFound):
		return meshtypes.VALIDATOR_STATUS_UNBONDED, nil
	case err != nil:
		return 0, err
	case validator.IsJailed():
		return meshtypes.VALIDATOR_STATUS_JAILED, nil
	case validator.IsBonded():
		return meshtypes.VALIDATOR_STATUS_BONDED, nil
	}
	return meshtypes.VALIDATOR_STATUS_UNBONDED, nil
}

// holdValidator jails a validator, if it is not in jail, and keeps it there until its virtual stake has left.
func (k *Keeper) holdValidator(ctx sdk.Context, valAddr sdk.ValAddress, providerID string) error {
	validator, err := k.staking.GetValidator(ctx, valAddr)
	if err != nil {
		return err
	}
	state, err := k.registerValidator(ctx, validator, valAddr, ownHeight(ctx))
	if err != nil {
		return err
	}
	if !validator.IsJailed() {
		consAddr, err := validator.GetConsAddr()
		if err != nil {
			return err
		}
		if err := k.staking.Jail(ctx, consAddr); err != nil {
			return err
		}
		if err := k.Changed.Set(ctx, valAddr); err != nil {
			return err
		}
	}
	if state.JailedByUs {
		return nil
	}
	state.JailedByUs = true
	k.emit(ctx, &types.EventValidatorHeld{Validator: k.valString(valAddr), ProviderId: providerID})
	return k.Validators.Set(ctx, valAddr, state)
}

// releaseValidator lets a validator be unjailed again if no decrease of virtual stake on it fails any more.
func (k *Keeper) releaseValidator(ctx sdk.Context, valAddr sdk.ValAddress) error {
	state, err := k.Validators.Get(ctx, valAddr)
	if errors.Is(err, collections.ErrNotFound) {
		return nil
	}
	if err != nil || !state.JailedByUs {
		return err
	}
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	for _, p := range providers {
		rec, _, err := k.getStake(ctx, p.Config.ProviderId, valAddr)
		if err != nil {
			return err
		}
		if !rec.FailingSince.IsZero() {
			return nil
		}
	}
	state.JailedByUs = false
	k.emit(ctx, &types.EventValidatorReleased{Validator: k.valString(valAddr)})
	return k.Validators.Set(ctx, valAddr, state)
}

// MayUnjail returns ErrUnjailRefused while virtual stake that should have left the validator has not. The decorator on
// x/slashing's staking keeper asks before it unjails.
func (k *Keeper) MayUnjail(ctx context.Context, consAddr sdk.ConsAddress) error {
	validator, err := k.staking.GetValidatorByConsAddr(ctx, consAddr)
	if errors.Is(err, stakingtypes.ErrNoValidatorFound) {
		return nil
	}
	if err != nil {
		return err
	}
	valAddr, err := k.staking.ValidatorAddressCodec().StringToBytes(validator.GetOperator())
	if err != nil {
		return err
	}
	state, err := k.Validators.Get(ctx, valAddr)
	if errors.Is(err, collections.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if state.JailedByUs {
		return errorsmod.Wrap(types.ErrUnjailRefused, validator.GetOperator())
	}
	return nil
}

// seedValidators registers the validators that x/staking had before this module: their keys count from the beginning.
func (k *Keeper) seedValidators(ctx context.Context) error {
	var seeds []stakingtypes.Validator
	err := k.staking.IterateValidators(ctx, func(_ int64, v stakingtypes.ValidatorI) bool {
		if validator, ok := v.(stakingtypes.Validator); ok {
			seeds = append(seeds, validator)
		}
		return false
	})
	if err != nil {
		return err
	}
	for _, validator := range seeds {
		valAddr, err := k.staking.ValidatorAddressCodec().StringToBytes(validator.GetOperator())
		if err != nil {
			return err
		}
		known, err := k.Validators.Has(ctx, valAddr)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		key, err := consensusKey(validator)
		if err != nil {
			return err
		}
		if err := k.Validators.Set(ctx, valAddr, types.ValidatorState{ConsensusKey: key, WasBonded: true}); err != nil {
			return err
		}
	}
	return nil
}

// firstKeys returns the first keys of a set.
func firstKeys(ctx context.Context, set collections.KeySet[[]byte], limit int) (keys [][]byte, err error) {
	err = set.Walk(ctx, nil, func(key []byte) (bool, error) {
		if len(keys) >= limit {
			return true, nil
		}
		keys = append(keys, bytes.Clone(key))
		return false, nil
	})
	return keys, err
}
