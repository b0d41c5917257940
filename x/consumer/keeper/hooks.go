package keeper

import (
	"bytes"
	"context"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// Hooks are the module's staking hooks. They only take notes and never return an error: one would fail a user's
// transaction, or halt the chain.
type Hooks struct{ k *Keeper }

var _ stakingtypes.StakingHooks = Hooks{}

// Hooks returns the module's staking hooks.
func (k *Keeper) Hooks() Hooks { return Hooks{k} }

func (h Hooks) note(ctx context.Context, what string, fn func() error) {
	if err := safely(fn); err != nil {
		h.k.Logger(ctx).Error("staking hook failed", "hook", what, "error", err)
	}
}

// AfterValidatorCreated notes the validator's consensus key with the height from which it may sign.
func (h Hooks) AfterValidatorCreated(ctx context.Context, valAddr sdk.ValAddress) error {
	h.note(ctx, "created", func() error {
		validator, err := h.k.staking.GetValidator(ctx, valAddr)
		if err != nil {
			return err
		}
		_, err = h.k.registerValidator(ctx, validator, valAddr, ownHeight(sdk.UnwrapSDKContext(ctx)))
		return err
	})
	return nil
}

// AfterValidatorBonded marks the validator; from the first time on it is reported.
func (h Hooks) AfterValidatorBonded(ctx context.Context, _ sdk.ConsAddress, valAddr sdk.ValAddress) error {
	h.note(ctx, "bonded", func() error {
		validator, err := h.k.staking.GetValidator(ctx, valAddr)
		if err != nil {
			return err
		}
		state, err := h.k.registerValidator(ctx, validator, valAddr, ownHeight(sdk.UnwrapSDKContext(ctx)))
		if err != nil {
			return err
		}
		if !state.WasBonded {
			state.WasBonded = true
			if err := h.k.Validators.Set(ctx, valAddr, state); err != nil {
				return err
			}
		}
		return h.k.Changed.Set(ctx, valAddr)
	})
	return nil
}

// AfterValidatorBeginUnbonding marks the validator.
func (h Hooks) AfterValidatorBeginUnbonding(ctx context.Context, _ sdk.ConsAddress, valAddr sdk.ValAddress) error {
	h.note(ctx, "unbonding", func() error { return h.k.Changed.Set(ctx, valAddr) })
	return nil
}

// AfterValidatorRemoved marks the validator.
func (h Hooks) AfterValidatorRemoved(ctx context.Context, _ sdk.ConsAddress, valAddr sdk.ValAddress) error {
	h.note(ctx, "removed", func() error { return h.k.Changed.Set(ctx, valAddr) })
	return nil
}

// BeforeDelegationRemoved notes that the validator may have nothing but virtual stake left.
func (h Hooks) BeforeDelegationRemoved(ctx context.Context, delAddr sdk.AccAddress, valAddr sdk.ValAddress) error {
	h.note(ctx, "delegation removed", func() error {
		ours, err := h.k.Accounts.Has(ctx, delAddr)
		if err != nil || ours {
			return err
		}
		if bytes.Equal(delAddr, valAddr) { // x/staking may have jailed it, without a hook
			if err := h.k.Changed.Set(ctx, valAddr); err != nil {
				return err
			}
		}
		shares, err := h.k.virtualShares(ctx, valAddr)
		if err != nil || !shares.IsPositive() {
			return err
		}
		return h.k.Strays.Set(ctx, valAddr)
	})
	return nil
}

// AfterDelegationModified marks a validator whose self-delegation has changed: x/staking may have jailed it, without a
// hook.
func (h Hooks) AfterDelegationModified(ctx context.Context, delAddr sdk.AccAddress, valAddr sdk.ValAddress) error {
	if bytes.Equal(delAddr, valAddr) {
		h.note(ctx, "self-delegation", func() error { return h.k.Changed.Set(ctx, valAddr) })
	}
	return nil
}

// BeforeValidatorSlashed adds the effective fraction to the decorator's note, and logs what virtual stake loses: it
// leaves as well, and a later slash for an earlier infraction must not take it from those who stay. A slash that came past
// the decorator is logged at once: nothing more will be known of it.
func (h Hooks) BeforeValidatorSlashed(ctx context.Context, valAddr sdk.ValAddress, fraction sdkmath.LegacyDec) error {
	sdkCtx := sdk.UnwrapSDKContext(ctx)
	cacheCtx, write := sdkCtx.CacheContext()
	h.note(ctx, "slashed", func() error {
		if err := h.k.logVirtualLoss(cacheCtx, valAddr, fraction); err != nil {
			return err
		}
		write()
		return nil
	})
	if note := types.SlashNoteOf(ctx, valAddr); note != nil {
		note.Burn(fraction)
		return nil
	}
	h.note(ctx, "slashed directly", func() error {
		return h.k.LogSlash(ctx, types.SlashNote{
			Validator: valAddr, Kind: meshtypes.SLASH_KIND_OTHER, Infraction: sdkCtx.BlockHeight(),
			Nominal: fraction, Effective: fraction, Burned: true,
		})
	})
	return nil
}

// logVirtualLoss logs the virtual tokens that a slash takes from a validator.
func (k *Keeper) logVirtualLoss(ctx sdk.Context, valAddr sdk.ValAddress, fraction sdkmath.LegacyDec) error {
	shares, err := k.virtualShares(ctx, valAddr)
	if err != nil || !shares.IsPositive() {
		return err
	}
	validator, err := k.staking.GetValidator(ctx, valAddr)
	if err != nil {
		return err
	}
	tokens := tokensOf(validator, shares)
	return k.Flows.Add(ctx, valAddr, tokens.Sub(types.AfterSlash(tokens, fraction)), sdkmath.ZeroInt())
}

// BeforeValidatorModified does nothing.
func (h Hooks) BeforeValidatorModified(context.Context, sdk.ValAddress) error { return nil }

// BeforeDelegationCreated does nothing.
func (h Hooks) BeforeDelegationCreated(context.Context, sdk.AccAddress, sdk.ValAddress) error {
	return nil
}

// BeforeDelegationSharesModified does nothing.
func (h Hooks) BeforeDelegationSharesModified(context.Context, sdk.AccAddress, sdk.ValAddress) error {
	return nil
}

// AfterUnbondingInitiated does nothing.
func (h Hooks) AfterUnbondingInitiated(context.Context, uint64) error { return nil }
