package keeper

import (
	"context"
	"errors"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// What a NativeSlashWalk walks, in this order.
const (
	nativeDelegations uint32 = iota
	nativeUnbondings
	nativeRedelegations
	nativeStages
)

// ConnectStakingQuerier gives the keeper what pages through the delegators of a validator of this chain. Without it a
// native slash is noticed at the next evaluation of whom it hit.
func (k *Keeper) ConnectStakingQuerier(q types.StakingQuerier) { k.stakingPages = q }

// MarkSlashed queues a validator of this chain that was slashed: EndBlock walks its delegations, its unbonding entries
// and the redelegations away from it, and evaluates those delegators who have liens. It is constant work. An unknown
// validator is no error: x/staking ignores its slash. The decorator on x/slashing's staking keeper calls it.
func (k *Keeper) MarkSlashed(ctx context.Context, consAddr sdk.ConsAddress) error {
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
	k.NoteNativeSlash(ctx)
	if k.stakingPages == nil {
		return nil
	}
	// A walk that runs goes on and begins anew at its end, so that slashes without end do not keep it from its end.
	walk, running, err := getOr(ctx, k.NativeSlashes, valAddr)
	if err != nil {
		return err
	}
	if running {
		walk.Again = true
	} else {
		walk = types.NativeSlashWalk{Validator: valAddr, QueuedAt: now(ctx)}
	}
	k.emit(ctx, &types.EventNativeSlash{Validator: validator.GetOperator()})
	return k.NativeSlashes.Set(ctx, valAddr, walk)
}

// runNativeSlashes moves the walks over slashed validators of this chain on by at most steps records, each by its share.
func (k *Keeper) runNativeSlashes(ctx sdk.Context, steps int) error {
	if k.stakingPages == nil {
		return nil
	}
	validators, err := mapKeys(ctx, k.NativeSlashes, nil, steps)
	if err != nil || len(validators) == 0 {
		return err
	}
	share := max(steps/len(validators), 1)
	for _, valAddr := range validators {
		k.attempt(ctx, "native slash", k.valString(valAddr), func(ctx sdk.Context) error {
			return k.walkNativeSlash(ctx, valAddr, share)
		})
	}
	return nil
}

// walkNativeSlash moves one walk on by at most limit records.
func (k *Keeper) walkNativeSlash(ctx sdk.Context, valAddr sdk.ValAddress, limit int) error {
	w, err := k.NativeSlashes.Get(ctx, valAddr)
	if err != nil {
		return err
	}
	for limit > 0 {
		delegators, next, err := k.nativePage(ctx, w, limit)
		if err != nil {
			return err
		}
		limit -= max(len(delegators), 1)
		countSteps(ctx, max(len(delegators), 1))
		for _, delegator := range delegators {
			delAddr, err := k.accounts.AddressCodec().StringToBytes(delegator)
			if err != nil {
				return err
			}
			if known, err := k.Accounts.Has(ctx, delAddr); err != nil {
				return err
			} else if !known {
				continue
			}
			if err := k.mark(ctx, delAddr); err != nil {
				return err
			}
		}
		w.NextKey = next
		if len(next) > 0 {
			continue
		}
		if w.Stage++; w.Stage < nativeStages {
			continue
		}
		if !w.Again {
			return k.NativeSlashes.Remove(ctx, valAddr)
		}
		w.Stage, w.Again = nativeDelegations, false
	}
	return k.NativeSlashes.Set(ctx, valAddr, w)
}

// nativePage returns the delegators of the walk's next page and the key of the page after it, empty at the stage's end.
func (k *Keeper) nativePage(ctx sdk.Context, w types.NativeSlashWalk, limit int) (delegators []string, next []byte, err error) {
	page := &query.PageRequest{Key: w.NextKey, Limit: uint64(limit)}
	validator := k.valString(w.Validator)
	var done *query.PageResponse
	switch w.Stage {
	case nativeDelegations:
		res, err := k.stakingPages.ValidatorDelegations(ctx, &stakingtypes.QueryValidatorDelegationsRequest{ValidatorAddr: validator, Pagination: page})
		if err != nil {
			return nil, nil, err
		}
		for _, d := range res.DelegationResponses {
			delegators = append(delegators, d.Delegation.DelegatorAddress)
		}
		done = res.Pagination
	case nativeUnbondings:
		res, err := k.stakingPages.ValidatorUnbondingDelegations(ctx, &stakingtypes.QueryValidatorUnbondingDelegationsRequest{ValidatorAddr: validator, Pagination: page})
		if err != nil {
			return nil, nil, err
		}
		for _, u := range res.UnbondingResponses {
			delegators = append(delegators, u.DelegatorAddress)
		}
		done = res.Pagination
	default:
		res, err := k.stakingPages.Redelegations(ctx, &stakingtypes.QueryRedelegationsRequest{SrcValidatorAddr: validator, Pagination: page})
		if err != nil {
			// One redelegation to a validator that is gone makes the page fail. Take all that are left at once: x/staking
			// reads this same list whenever it slashes.
			redelegations, err := k.staking.GetRedelegationsFromSrcValidator(ctx, w.Validator)
			if err != nil {
				return nil, nil, err
			}
			for _, r := range redelegations {
				delegators = append(delegators, r.DelegatorAddress)
			}
			return delegators, nil, nil
		}
		for _, r := range res.RedelegationResponses {
			delegators = append(delegators, r.Redelegation.DelegatorAddress)
		}
		done = res.Pagination
	}
	if done == nil {
		return delegators, nil, nil
	}
	return delegators, done.NextKey, nil
}
