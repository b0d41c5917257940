package types

import (
	"time"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"
)

// MaxPacketTimeout is the longest timeout of a packet; IBC v2 allows no more.
const MaxPacketTimeout = 24 * time.Hour

// DefaultParams returns the parameters a new chain starts with.
func DefaultParams() Params {
	return Params{
		EpochDuration:            time.Hour,
		MinCrossStake:            sdkmath.NewInt(1_000),
		MaxPositions:             100,
		MaxUnbondingClaims:       HardMaxUnbondingClaims,
		MaxNativeDelegations:     256,
		MaxSettlementSteps:       1_000,
		MaxConsumers:             50,
		MaxValidatorsPerConsumer: 500,
		PacketTimeout:            MaxPacketTimeout,
		SlashDestination:         SLASH_DESTINATION_BURN,
		SubmitterRewardMax:       sdkmath.NewInt(100_000_000),
	}
}

// Validate returns ErrInvalidParams unless every parameter is within its bounds.
func (p Params) Validate() error {
	bad := func(format string, args ...any) error { return errorsmod.Wrapf(ErrInvalidParams, format, args...) }
	switch {
	case p.EpochDuration < time.Second || p.EpochDuration > 7*24*time.Hour:
		return bad("epoch_duration must be from 1s to 168h, got %s", p.EpochDuration)
	case p.MinCrossStake.IsNil() || !p.MinCrossStake.IsPositive() || p.MinCrossStake.GTE(MaxAmount()):
		return bad("min_cross_stake must be positive and below 2^128")
	case p.MaxPositions == 0 || p.MaxPositions > HardMaxPositions:
		return bad("max_positions must be from 1 to %d, got %d", HardMaxPositions, p.MaxPositions)
	case p.MaxUnbondingClaims == 0 || p.MaxUnbondingClaims > HardMaxUnbondingClaims:
		return bad("max_unbonding_claims must be from 1 to %d, got %d", HardMaxUnbondingClaims, p.MaxUnbondingClaims)
	case p.MaxNativeDelegations == 0 || p.MaxNativeDelegations > 10_000:
		return bad("max_native_delegations must be from 1 to 10000, got %d", p.MaxNativeDelegations)
	case p.MaxSettlementSteps < 20 || p.MaxSettlementSteps > 1_000_000:
		return bad("max_settlement_steps must be from 20 to 1000000, got %d", p.MaxSettlementSteps)
	case p.MaxConsumers == 0 || p.MaxConsumers > HardMaxConsumers:
		return bad("max_consumers must be from 1 to %d, got %d", HardMaxConsumers, p.MaxConsumers)
	case p.MaxValidatorsPerConsumer == 0 || p.MaxValidatorsPerConsumer > HardMaxValidators:
		return bad("max_validators_per_consumer must be from 1 to %d, got %d", HardMaxValidators, p.MaxValidatorsPerConsumer)
	case p.PacketTimeout < time.Minute || p.PacketTimeout > MaxPacketTimeout:
		return bad("packet_timeout must be from 1m to %s, got %s", MaxPacketTimeout, p.PacketTimeout)
	case p.SlashDestination != SLASH_DESTINATION_BURN && p.SlashDestination != SLASH_DESTINATION_COMMUNITY_POOL:
		return bad("slash_destination must be burn or community pool")
	case p.SubmitterRewardMax.IsNil() || p.SubmitterRewardMax.IsNegative() || p.SubmitterRewardMax.GTE(MaxAmount()):
		return bad("submitter_reward_max must not be negative and be below 2^128")
	}
	return nil
}
