package keeper

import (
	"context"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
)

// Hooks are the staking hooks of the module. They only mark delegators that have liens: x/staking works on copies it
// read before, so nothing of a delegation or an unbonding entry may be changed inside a hook.
type Hooks struct{ k *Keeper }

var _ stakingtypes.StakingHooks = Hooks{}

// Hooks returns the module's staking hooks.
func (k *Keeper) Hooks() Hooks { return Hooks{k} }

// markIfKnown marks a delegator that has an account here. It never fails: an error of ours must not stop x/staking.
func (h Hooks) markIfKnown(ctx context.Context, delAddr sdk.AccAddress) {
	known, err := h.k.Accounts.Has(ctx, delAddr)
	if err == nil && known {
		err = h.k.mark(ctx, delAddr)
	}
	if err != nil {
		h.k.Logger(ctx).Error("delegator not marked", "delegator", h.k.delString(delAddr), "error", err)
	}
}

// AfterDelegationModified marks the delegator. Every change of a delegation's shares that leaves some ends here, also
// undelegating and cancelling, which x/staking does through Unbond and Delegate.
func (h Hooks) AfterDelegationModified(ctx context.Context, delAddr sdk.AccAddress, _ sdk.ValAddress) error {
	h.markIfKnown(ctx, delAddr)
	return nil
}

// BeforeDelegationRemoved marks the delegator: its delegation is about to go whole.
func (h Hooks) BeforeDelegationRemoved(ctx context.Context, delAddr sdk.AccAddress, _ sdk.ValAddress) error {
	h.markIfKnown(ctx, delAddr)
	return nil
}

// BeforeValidatorModified notes that a native slash may explain why collateral is missing. x/staking calls it at the
// beginning of every slash, also if entries and redelegations alone give the whole amount, when BeforeValidatorSlashed is
// not called; and when a validator's commission changes, once a day at most.
func (h Hooks) BeforeValidatorModified(ctx context.Context, _ sdk.ValAddress) error {
	h.k.NoteNativeSlash(ctx)
	return nil
}

// BeforeValidatorSlashed does nothing: BeforeValidatorModified ran before.
func (Hooks) BeforeValidatorSlashed(context.Context, sdk.ValAddress, sdkmath.LegacyDec) error {
	return nil
}

// NoteNativeSlash notes that collateral missing from now on, until the next evaluation of whom it is missing from, may
// have a lawful reason: a native slash, or a raise of the native ratio.
func (k *Keeper) NoteNativeSlash(ctx context.Context) {
	if err := k.LastNativeSlash.Set(ctx, sdk.UnwrapSDKContext(ctx).BlockHeight()); err != nil {
		k.Logger(ctx).Error("native slash not noted", "error", err)
	}
}

// AfterValidatorCreated does nothing.
func (Hooks) AfterValidatorCreated(context.Context, sdk.ValAddress) error { return nil }

// AfterValidatorRemoved does nothing.
func (Hooks) AfterValidatorRemoved(context.Context, sdk.ConsAddress, sdk.ValAddress) error {
	return nil
}

// AfterValidatorBonded does nothing.
func (Hooks) AfterValidatorBonded(context.Context, sdk.ConsAddress, sdk.ValAddress) error { return nil }

// AfterValidatorBeginUnbonding does nothing.
func (Hooks) AfterValidatorBeginUnbonding(context.Context, sdk.ConsAddress, sdk.ValAddress) error {
	return nil
}

// BeforeDelegationCreated does nothing: AfterDelegationModified follows.
func (Hooks) BeforeDelegationCreated(context.Context, sdk.AccAddress, sdk.ValAddress) error {
	return nil
}

// BeforeDelegationSharesModified does nothing: AfterDelegationModified or BeforeDelegationRemoved follows.
func (Hooks) BeforeDelegationSharesModified(context.Context, sdk.AccAddress, sdk.ValAddress) error {
	return nil
}

// AfterUnbondingInitiated does nothing: it runs only for the first of several undelegations that merge into one entry.
func (Hooks) AfterUnbondingInitiated(context.Context, uint64) error { return nil }
