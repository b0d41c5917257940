package keeper

import (
	"context"
	"errors"
	"math/big"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// moved is what one change of a virtual delegation did.
type moved struct {
	// tokens are the native tokens that came or left, shares those of the delegation.
	tokens sdkmath.Int
	shares sdkmath.LegacyDec
	// bonded says which of x/staking's pools they belong to.
	bonded bool
	// gains are the rewards that x/distribution paid out for it.
	gains []gain
}

func nothingMoved() moved {
	return moved{tokens: sdkmath.ZeroInt(), shares: sdkmath.LegacyZeroDec()}
}

// virtualStake returns the shares of the virtual delegation of a provider's account to a validator, and the validator.
// Without a delegation, or without the validator, the shares are zero.
func (k *Keeper) virtualStake(
	ctx context.Context, account sdk.AccAddress, valAddr sdk.ValAddress,
) (validator stakingtypes.Validator, shares sdkmath.LegacyDec, err error) {
	shares = sdkmath.LegacyZeroDec()
	validator, err = k.staking.GetValidator(ctx, valAddr)
	if errors.Is(err, stakingtypes.ErrNoValidatorFound) {
		return validator, shares, nil
	}
	if err != nil {
		return validator, shares, err
	}
	delegation, err := k.staking.GetDelegation(ctx, account, valAddr)
	if errors.Is(err, stakingtypes.ErrNoDelegation) {
		return validator, shares, nil
	}
	if err != nil {
		return validator, shares, err
	}
	return validator, delegation.Shares, nil
}

// VirtualTokens returns a provider's virtual stake on a validator, in native tokens.
func (k *Keeper) VirtualTokens(ctx context.Context, providerID string, valAddr sdk.ValAddress) (sdkmath.Int, error) {
	validator, shares, err := k.virtualStake(ctx, types.VirtualAccount(providerID), valAddr)
	if err != nil {
		return sdkmath.ZeroInt(), err
	}
	return tokensOf(validator, shares), nil
}

// hasVirtualStake says whether the provider has any virtual delegation.
func (k *Keeper) hasVirtualStake(ctx context.Context, providerID string) (found bool, err error) {
	err = k.staking.IterateDelegatorDelegations(ctx, types.VirtualAccount(providerID), func(stakingtypes.Delegation) bool {
		found = true
		return true
	})
	return found, err
}

// delegated returns the shares of a provider's virtual delegation to a validator; zero if there is none.
func (k *Keeper) delegated(ctx context.Context, p *providerView, val *validatorView) (sdkmath.LegacyDec, error) {
	if p.sums == exact {
		if h, ok := p.current[string(val.addr)]; ok {
			return h.shares, nil
		}
		return sdkmath.LegacyZeroDec(), nil
	}
	delegation, err := k.staking.GetDelegation(ctx, p.account, val.addr)
	if errors.Is(err, stakingtypes.ErrNoDelegation) {
		return sdkmath.LegacyZeroDec(), nil
	}
	return delegation.Shares, err
}

// lower brings a virtual delegation down to at most target tokens, or removes it, with all its shares, if target is
// zero. It moves no coins: settle does.
//
// The shares kept are those worth target, rounded down. What x/staking leaves in the validator by rounding the tokens
// removed is less than one token, so afterwards the delegation is worth target or one token less.
func (k *Keeper) lower(ctx context.Context, p *providerView, val *validatorView, target sdkmath.Int) (moved, error) {
	if !val.exists {
		return nothingMoved(), nil
	}
	shares, err := k.delegated(ctx, p, val)
	if err != nil || !shares.IsPositive() {
		return nothingMoved(), err
	}
	remove := shares
	if target.IsPositive() {
		if tokensOf(val.validator, shares).LTE(target) {
			return nothingMoved(), nil
		}
		keep, err := val.validator.SharesFromTokensTruncated(target)
		if err != nil {
			return nothingMoved(), err
		}
		remove = shares.Sub(keep)
	}
	bonded := val.validator.IsBonded() // before: unbonding the last share may remove the validator
	tokens, err := k.staking.Unbond(ctx, p.account, val.addr, remove)
	if err != nil {
		return nothingMoved(), err
	}
	return moved{tokens: tokens, shares: remove, bonded: bonded}, nil
}

// raise brings a virtual delegation up to target tokens, by at most the room there is for what is wanted. It moves no
// coins: settle does, so x/staking is told that the coins are in the validator's pool already.
//
// The shares issued are rounded down, so afterwards the delegation is worth at most target. At a rate other than 1:1 it
// may stay a token short; that token is not chased.
func (k *Keeper) raise(
	ctx context.Context, p *providerView, val *validatorView, target sdkmath.Int, roomFor func(wanted sdkmath.Int) (sdkmath.Int, error),
) (moved, error) {
	shares, err := k.delegated(ctx, p, val)
	if err != nil {
		return nothingMoved(), err
	}
	wanted := target.Sub(tokensOf(val.validator, shares))
	if !wanted.IsPositive() {
		return nothingMoved(), nil
	}
	amount, err := roomFor(wanted)
	if err != nil || !amount.IsPositive() {
		return nothingMoved(), err
	}
	// x/staking stores the record it is given, so it gets the one it has.
	validator, err := k.staking.GetValidator(ctx, val.addr)
	if err != nil {
		return nothingMoved(), err
	}
	issued, err := k.staking.Delegate(ctx, p.account, amount, validator.GetStatus(), validator, false)
	if err != nil {
		return nothingMoved(), err
	}
	return moved{tokens: amount, shares: issued, bonded: validator.IsBonded()}, nil
}

// tally adds up what changes of virtual stake did, until settle writes it.
type tally struct {
	// came and left are tokens by pool: not bonded, bonded.
	came, left [2]sdkmath.Int
	validators []sdk.ValAddress
	byVal      map[string]*valTally
	providers  []string
	// byProvider are the shares by provider.
	byProvider map[string]sdkmath.LegacyDec
	// gains are the rewards paid out.
	gains []gain
}

type valTally struct {
	came, left sdkmath.Int
	shares     sdkmath.LegacyDec
	// counted are shares · weight, as CountedShares has them.
	counted *big.Int
}

func newTally() *tally {
	zero := sdkmath.ZeroInt()
	return &tally{
		came: [2]sdkmath.Int{zero, zero}, left: [2]sdkmath.Int{zero, zero},
		byVal: map[string]*valTally{}, byProvider: map[string]sdkmath.LegacyDec{},
	}
}

func (t *tally) add(providerID string, weight sdkmath.LegacyDec, valAddr sdk.ValAddress, m moved, increase bool) {
	v, ok := t.byVal[string(valAddr)]
	if !ok {
		v = &valTally{came: sdkmath.ZeroInt(), left: sdkmath.ZeroInt(), shares: sdkmath.LegacyZeroDec(), counted: new(big.Int)}
		t.byVal[string(valAddr)] = v
		t.validators = append(t.validators, valAddr)
	}
	held, ok := t.byProvider[providerID]
	if !ok {
		held = sdkmath.LegacyZeroDec()
		t.providers = append(t.providers, providerID)
	}
	t.gains = append(t.gains, m.gains...)
	pool := 0
	if m.bonded {
		pool = 1
	}
	if increase {
		t.came[pool] = t.came[pool].Add(m.tokens)
		v.came, v.shares = v.came.Add(m.tokens), v.shares.Add(m.shares)
		t.byProvider[providerID] = held.Add(m.shares)
		v.counted.Add(v.counted, weighed(m.shares, weight))
	} else {
		t.left[pool] = t.left[pool].Add(m.tokens)
		v.left, v.shares = v.left.Add(m.tokens), v.shares.Sub(m.shares)
		t.byProvider[providerID] = held.Sub(m.shares)
		v.counted.Sub(v.counted, weighed(m.shares, weight))
	}
}

// settle mints what came into x/staking's pools and burns what left them, once for all changes, and records the flows and
// the shares. It must succeed in the same cache context as the changes, or none of them counts.
func (k *Keeper) settle(ctx context.Context, t *tally) error {
	denom, err := k.staking.BondDenom(ctx)
	if err != nil {
		return err
	}
	pools := [2]string{stakingtypes.NotBondedPoolName, stakingtypes.BondedPoolName}
	for i, pool := range pools {
		if t.came[i].IsPositive() {
			coins := sdk.NewCoins(sdk.NewCoin(denom, t.came[i]))
			if err := k.bank.MintCoins(ctx, types.ModuleName, coins); err != nil {
				return errorsmod.Wrapf(types.ErrSupplySettlement, "mint: %s", err)
			}
			if err := k.bank.SendCoinsFromModuleToModule(ctx, types.ModuleName, pool, coins); err != nil {
				return errorsmod.Wrapf(types.ErrSupplySettlement, "send to %s: %s", pool, err)
			}
		}
		if t.left[i].IsPositive() {
			coins := sdk.NewCoins(sdk.NewCoin(denom, t.left[i]))
			if err := k.bank.BurnCoins(ctx, pool, coins); err != nil {
				return errorsmod.Wrapf(types.ErrSupplySettlement, "burn from %s: %s", pool, err)
			}
		}
	}
	for _, valAddr := range t.validators {
		v := t.byVal[string(valAddr)]
		if err := k.Flows.Add(ctx, valAddr, v.left, v.came); err != nil {
			return err
		}
		if err := addShares(ctx, k.VirtualShares, []byte(valAddr), v.shares); err != nil {
			return err
		}
		if err := k.addCounted(ctx, valAddr, v.counted); err != nil {
			return err
		}
	}
	for _, providerID := range t.providers {
		if err := addShares(ctx, k.ProviderShares, providerID, t.byProvider[providerID]); err != nil {
			return err
		}
	}
	return nil
}

// virtualDelegations returns the virtual delegations of a provider, by its account.
func (k *Keeper) virtualDelegations(ctx context.Context, account sdk.AccAddress) ([]stakingtypes.Delegation, error) {
	var delegations []stakingtypes.Delegation
	err := k.staking.IterateDelegatorDelegations(ctx, account, func(d stakingtypes.Delegation) bool {
		delegations = append(delegations, d)
		return false
	})
	return delegations, err
}

// virtualShares returns the shares of all virtual delegations to a validator.
func (k *Keeper) virtualShares(ctx context.Context, valAddr sdk.ValAddress) (sdkmath.LegacyDec, error) {
	return sharesOf(ctx, k.VirtualShares, []byte(valAddr))
}

// sharesOf returns the sum of shares kept under a key; zero if there is none.
func sharesOf[K any](ctx context.Context, sums collections.Map[K, sdkmath.LegacyDec], key K) (sdkmath.LegacyDec, error) {
	shares, err := sums.Get(ctx, key)
	if errors.Is(err, collections.ErrNotFound) {
		return sdkmath.LegacyZeroDec(), nil
	}
	return shares, err
}

// addShares adds to the sum of shares kept under a key. A sum of zero is not kept.
func addShares[K any](ctx context.Context, sums collections.Map[K, sdkmath.LegacyDec], key K, delta sdkmath.LegacyDec) error {
	if delta.IsZero() {
		return nil
	}
	shares, err := sharesOf(ctx, sums, key)
	if err != nil {
		return err
	}
	shares = shares.Add(delta)
	if shares.IsZero() {
		return sums.Remove(ctx, key)
	}
	return sums.Set(ctx, key, shares)
}

// removeStrays removes the virtual stake of validators that have no native delegation left: nobody there answers for
// what the validator does. Bounded; what is left is done in the next block.
func (k *Keeper) removeStrays(ctx sdk.Context) error {
	params, err := k.Params.Get(ctx)
	if err != nil {
		return err
	}
	strays, err := firstKeys(ctx, k.Strays, int(params.MaxEpochOperations))
	if err != nil || len(strays) == 0 {
		return err
	}
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	var changes []change
	for _, val := range strays {
		if err := k.Strays.Remove(ctx, val); err != nil {
			return err
		}
		validator, err := k.staking.GetValidator(ctx, val)
		if errors.Is(err, stakingtypes.ErrNoValidatorFound) {
			continue
		}
		if err != nil {
			return err
		}
		shares, err := k.virtualShares(ctx, val)
		if err != nil {
			return err
		}
		if !shares.IsPositive() || validator.DelegatorShares.GT(shares) {
			continue
		}
		for _, p := range providers {
			c, err := k.removal(ctx, p.Config.ProviderId, val)
			if err != nil {
				return err
			}
			changes = append(changes, c)
		}
	}
	if len(changes) == 0 {
		return nil
	}
	_, err = k.execute(ctx, params, nil, changes)
	return err
}

// removal is the change that takes away all of a provider's virtual stake on a validator. It executes no seq.
func (k *Keeper) removal(ctx context.Context, providerID string, valAddr sdk.ValAddress) (change, error) {
	rec, _, err := k.getStake(ctx, providerID, valAddr)
	if err != nil {
		return change{}, err
	}
	return change{provider: providerID, valAddr: valAddr, target: types.Target{
		Tokens: sdkmath.ZeroInt(), Seq: rec.ExecutedSeq, Amount: rec.ExecutedAmount, Price: rec.Price,
	}}, nil
}
