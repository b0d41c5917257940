package keeper

import (
	"context"
	"errors"
	"math/big"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// maxProductBits is how many bits a product of shares and tokens may have here before it is taken around x/staking's
// decimals, which overflow (and panic) at 315.
const maxProductBits = 250

// tokensOf returns the tokens that shares of a validator are worth, rounded down as x/staking does it. Unlike x/staking
// it does not panic at amounts whose product is too large for a decimal.
func tokensOf(validator stakingtypes.Validator, shares sdkmath.LegacyDec) sdkmath.Int {
	if !shares.IsPositive() || !validator.DelegatorShares.IsPositive() || !validator.Tokens.IsPositive() {
		return sdkmath.ZeroInt()
	}
	if shares.BigInt().BitLen()+validator.Tokens.BigInt().BitLen() < maxProductBits {
		return validator.TokensFromShares(shares).TruncateInt()
	}
	num := new(big.Int).Mul(shares.BigInt(), validator.Tokens.BigInt())
	return sdkmath.NewIntFromBigInt(num.Quo(num, validator.DelegatorShares.BigInt()))
}

// SumVirtualSupply sums up the virtual stake of all providers: one validator read for each validator that has any.
func (k *Keeper) SumVirtualSupply(ctx context.Context) (types.VirtualSupply, error) {
	sum := types.VirtualSupply{Total: sdkmath.ZeroInt(), Bonded: sdkmath.ZeroInt()}
	err := k.VirtualShares.Walk(ctx, nil, func(valAddr []byte, shares sdkmath.LegacyDec) (bool, error) {
		validator, err := k.staking.GetValidator(ctx, valAddr)
		if errors.Is(err, stakingtypes.ErrNoValidatorFound) {
			return false, nil
		}
		if err != nil {
			return true, err
		}
		tokens := tokensOf(validator, shares)
		sum.Total = sum.Total.Add(tokens)
		if validator.IsBonded() {
			sum.Bonded = sum.Bonded.Add(tokens)
		}
		return false, nil
	})
	return sum, err
}

// GetVirtualSupply returns the virtual stake of all providers as summed up at the beginning of the block, for what runs
// in every block. It is exact for a module whose BeginBlocker runs next, as x/mint's does.
func (k *Keeper) GetVirtualSupply(ctx context.Context) (types.VirtualSupply, error) {
	sum, err := k.VirtualSupply.Get(ctx)
	if errors.Is(err, collections.ErrNotFound) {
		return types.VirtualSupply{Total: sdkmath.ZeroInt(), Bonded: sdkmath.ZeroInt()}, nil
	}
	return sum, err
}

// NativeSupply returns the supply of the bond denom without virtual stake, at the moment.
func (k *Keeper) NativeSupply(ctx context.Context) (sdk.Coin, error) {
	denom, err := k.staking.BondDenom(ctx)
	if err != nil {
		return sdk.Coin{}, err
	}
	virtual, err := k.SumVirtualSupply(ctx)
	if err != nil {
		return sdk.Coin{}, err
	}
	supply := k.bank.GetSupply(ctx, denom)
	return sdk.NewCoin(denom, sdkmath.MaxInt(supply.Amount.Sub(virtual.Total), sdkmath.ZeroInt())), nil
}

// cacheSupply stores the sum for the block; it writes only what has changed.
func (k *Keeper) cacheSupply(ctx sdk.Context) error {
	sum, err := k.SumVirtualSupply(ctx)
	if err != nil {
		return err
	}
	old, err := k.GetVirtualSupply(ctx)
	if err != nil {
		return err
	}
	if old.Total.Equal(sum.Total) && old.Bonded.Equal(sum.Bonded) {
		return nil
	}
	return k.VirtualSupply.Set(ctx, sum)
}
