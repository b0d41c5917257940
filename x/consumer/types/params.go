package types

import (
	"time"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"
)

const (
	// MaxDecimals is the most decimals a denom may have.
	MaxDecimals = 30
	// MaxPacketTimeout is the longest timeout of packets; IBC v2 allows no longer one.
	MaxPacketTimeout = 24 * time.Hour
	// MaxRetryDelay is the longest wait before a report is sent again.
	MaxRetryDelay = 24 * time.Hour

	// MaxProviders is the most that max_providers may be: what a staking hook or the end of a block does once for every
	// provider stays bounded.
	MaxProviders = 100
	// MaxValidatorsPerProvider is the most that max_validators_per_provider may be.
	MaxValidatorsPerProvider = 10_000
	// MaxEpochOperations is the most that max_epoch_operations may be.
	MaxEpochOperations = 10_000

	// EpochsPerUnbonding is how many epochs must fit into an unbonding period.
	EpochsPerUnbonding = 4
)

// third bounds what all providers together may have.
var third = sdkmath.LegacyOneDec().QuoInt64(3)

// DefaultParams returns parameters for a chain with an unbonding period of some weeks.
func DefaultParams() Params {
	return Params{
		EpochDuration:            time.Hour,
		NativeDecimals:           6,
		MaxProviders:             20,
		MaxValidatorsPerProvider: 1000,
		MaxEpochOperations:       500,
		GlobalMaxPowerRatio:      sdkmath.LegacyNewDecWithPrec(33, 2),
		MaxValidatorMultiple:     sdkmath.LegacyNewDec(3),
		RebalanceThreshold:       sdkmath.LegacyNewDecWithPrec(1, 2),
		MaxPriceChange:           sdkmath.LegacyNewDecWithPrec(10, 2),
		MaxPriceAge:              14 * 24 * time.Hour,
		MaxProviderSilence:       7 * 24 * time.Hour,
		FreshnessMargin:          2 * 24 * time.Hour,
		PacketTimeout:            MaxPacketTimeout,
		MaxRewardWithdrawals:     DefaultRewardWithdrawals,
	}
}

// Validate returns ErrInvalidParams unless every parameter is within its bounds, and ErrParamsConflict unless they fit
// one another as far as that can be told without the chain's other parameters.
func (p Params) Validate() error {
	bad := func(format string, args ...any) error { return errorsmod.Wrapf(ErrInvalidParams, format, args...) }
	switch {
	case p.EpochDuration <= 0:
		return bad("epoch_duration must be positive, is %s", p.EpochDuration)
	case p.NativeDecimals > MaxDecimals:
		return bad("native_decimals must be at most %d, is %d", MaxDecimals, p.NativeDecimals)
	case p.MaxProviders == 0 || p.MaxProviders > MaxProviders:
		return bad("max_providers must be from 1 to %d, is %d", MaxProviders, p.MaxProviders)
	case p.MaxValidatorsPerProvider == 0 || p.MaxValidatorsPerProvider > MaxValidatorsPerProvider:
		return bad("max_validators_per_provider must be from 1 to %d, is %d", MaxValidatorsPerProvider, p.MaxValidatorsPerProvider)
	case p.MaxEpochOperations == 0 || p.MaxEpochOperations > MaxEpochOperations:
		return bad("max_epoch_operations must be from 1 to %d, is %d", MaxEpochOperations, p.MaxEpochOperations)
	case !inRange(p.GlobalMaxPowerRatio, third):
		return bad("global_max_power_ratio must be in [0, 1/3)")
	case !inRange(p.MaxValidatorMultiple, sdkmath.LegacyNewDec(1_000_000)):
		return bad("max_validator_multiple must be in [0, 1000000)")
	case !inRange(p.RebalanceThreshold, sdkmath.LegacyOneDec()):
		return bad("rebalance_threshold must be in [0, 1)")
	case !inRange(p.MaxPriceChange, sdkmath.LegacyNewDec(1000)):
		return bad("max_price_change must be in [0, 1000)")
	case p.MaxPriceAge <= 0:
		return bad("max_price_age must be positive, is %s", p.MaxPriceAge)
	case p.MaxProviderSilence <= 0:
		return bad("max_provider_silence must be positive, is %s", p.MaxProviderSilence)
	case p.FreshnessMargin < 0:
		return bad("freshness_margin must not be negative, is %s", p.FreshnessMargin)
	case p.PacketTimeout <= 0 || p.PacketTimeout > MaxPacketTimeout:
		return bad("packet_timeout must be positive and at most %s, is %s", MaxPacketTimeout, p.PacketTimeout)
	case p.MaxRewardWithdrawals > MaxRewardWithdrawals:
		return bad("max_reward_withdrawals must be at most %d, is %d", MaxRewardWithdrawals, p.MaxRewardWithdrawals)
	case p.FreshnessMargin < p.EpochDuration:
		return errorsmod.Wrapf(ErrParamsConflict, "freshness_margin %s is shorter than an epoch, %s", p.FreshnessMargin, p.EpochDuration)
	}
	return nil
}

// ValidateAgainst returns ErrParamsConflict unless the parameters fit the chain's unbonding period: a provider may be
// silent for less than unbonding − margin, and an epoch is a small part of it.
func (p Params) ValidateAgainst(unbonding time.Duration) error {
	switch {
	case p.MaxProviderSilence >= unbonding-p.FreshnessMargin:
		return errorsmod.Wrapf(ErrParamsConflict, "max_provider_silence %s is not below the unbonding period %s less freshness_margin %s",
			p.MaxProviderSilence, unbonding, p.FreshnessMargin)
	case p.EpochDuration > unbonding/EpochsPerUnbonding:
		return errorsmod.Wrapf(ErrParamsConflict, "epoch_duration %s is more than 1/%d of the unbonding period %s",
			p.EpochDuration, EpochsPerUnbonding, unbonding)
	}
	return nil
}

// inRange says whether d is in [0, limit).
func inRange(d, limit sdkmath.LegacyDec) bool {
	return !d.IsNil() && !d.IsNegative() && d.LT(limit)
}

// isFraction says whether d is in [0, 1].
func isFraction(d sdkmath.LegacyDec) bool {
	return !d.IsNil() && !d.IsNegative() && d.LTE(sdkmath.LegacyOneDec())
}
