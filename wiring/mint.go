package wiring

import (
	"context"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

// VirtualSupply tells how much virtual stake there is, as summed up at the beginning of the block.
type VirtualSupply interface {
	GetVirtualSupply(ctx context.Context) (consumertypes.VirtualSupply, error)
}

// MintStakingBase is the staking keeper under the decorator.
type MintStakingBase interface {
	minttypes.StakingKeeper
	TotalValidatorPower(ctx context.Context) (sdkmath.Int, error)
}

// MintStaking is the staking keeper that x/mint gets: supply and bonded ratio are those without virtual stake, so that
// allied stake neither lowers inflation nor is inflated itself.
type MintStaking struct {
	base    MintStakingBase
	virtual VirtualSupply
}

var _ minttypes.StakingKeeper = MintStaking{}

// NewMintStaking decorates a staking keeper for x/mint.
func NewMintStaking(base MintStakingBase, virtual VirtualSupply) MintStaking {
	return MintStaking{base: base, virtual: virtual}
}

// StakingTokenSupply returns the supply of the bond denom without virtual stake.
func (s MintStaking) StakingTokenSupply(ctx context.Context) (sdkmath.Int, error) {
	supply, err := s.base.StakingTokenSupply(ctx)
	if err != nil {
		return supply, err
	}
	virtual, err := s.virtual.GetVirtualSupply(ctx)
	if err != nil {
		return supply, err
	}
	return without(supply, virtual.Total), nil
}

// BondedRatio returns which part of the native supply is bonded.
func (s MintStaking) BondedRatio(ctx context.Context) (sdkmath.LegacyDec, error) {
	supply, err := s.StakingTokenSupply(ctx)
	if err != nil || !supply.IsPositive() {
		return sdkmath.LegacyZeroDec(), err
	}
	bonded, err := s.base.TotalValidatorPower(ctx)
	if err != nil {
		return sdkmath.LegacyZeroDec(), err
	}
	virtual, err := s.virtual.GetVirtualSupply(ctx)
	if err != nil {
		return sdkmath.LegacyZeroDec(), err
	}
	return sdkmath.LegacyNewDecFromInt(without(bonded, virtual.Bonded)).QuoInt(supply), nil
}

// BondDenom tells which denom is staked.
type BondDenom interface {
	BondDenom(ctx context.Context) (string, error)
}

// MintBank is the bank keeper that x/mint gets: the supply it compares with max_supply is the one without virtual stake.
type MintBank struct {
	minttypes.BankKeeper
	staking BondDenom
	virtual VirtualSupply
}

var _ minttypes.BankKeeper = MintBank{}

// NewMintBank decorates a bank keeper for x/mint.
func NewMintBank(base minttypes.BankKeeper, staking BondDenom, virtual VirtualSupply) MintBank {
	return MintBank{BankKeeper: base, staking: staking, virtual: virtual}
}

// GetSupply returns a denom's supply, without virtual stake if it is the bond denom.
func (b MintBank) GetSupply(ctx context.Context, denom string) sdk.Coin {
	supply := b.BankKeeper.GetSupply(ctx, denom)
	bond, err := b.staking.BondDenom(ctx)
	if err != nil || bond != denom {
		return supply
	}
	virtual, err := b.virtual.GetVirtualSupply(ctx)
	if err != nil {
		sdk.UnwrapSDKContext(ctx).Logger().Error("mesh: virtual supply cannot be read", "error", err)
		return supply
	}
	supply.Amount = without(supply.Amount, virtual.Total)
	return supply
}

// without returns all less part, not below zero.
func without(all, part sdkmath.Int) sdkmath.Int {
	return sdkmath.MaxInt(all.Sub(part), sdkmath.ZeroInt())
}
