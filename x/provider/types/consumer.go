package types

import (
	"slices"
	"time"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/types/bech32"

	host "github.com/cosmos/ibc-go/v11/modules/core/24-host"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// Bounds of a consumer's configuration.
const (
	maxIDBytes     = 64
	maxChainID     = 64
	maxPrefixBytes = 60
	// MinUnbondingPeriod is the shortest unbonding period that may be registered.
	MinUnbondingPeriod = time.Second
	// MaxUnbondingPeriod is the longest unbonding period that may be registered.
	MaxUnbondingPeriod = 2 * 365 * 24 * time.Hour
)

// Validate returns ErrInvalidConfig unless every field is within its bounds. The guardian's address is checked by the
// message server, which knows the address codec.
func (c ConsumerConfig) Validate() error {
	bad := func(format string, args ...any) error { return errorsmod.Wrapf(ErrInvalidConfig, format, args...) }
	one := sdkmath.LegacyOneDec()
	switch {
	case c.ClientId == "" || len(c.ClientId) > maxIDBytes:
		return bad("client_id must have 1 to %d bytes", maxIDBytes)
	case c.ChainId == "" || len(c.ChainId) > maxChainID:
		return bad("chain_id must have 1 to %d bytes", maxChainID)
	case !validPrefix(c.ValidatorPrefix):
		return bad("validator_prefix %q is not a bech32 prefix in lower case", c.ValidatorPrefix)
	case c.UnbondingPeriod < MinUnbondingPeriod || c.UnbondingPeriod > MaxUnbondingPeriod:
		return bad("unbonding_period must be from %s to %s, got %s", MinUnbondingPeriod, MaxUnbondingPeriod, c.UnbondingPeriod)
	case c.MaxSlashFractionDoubleSign.IsNil() || !c.MaxSlashFractionDoubleSign.IsPositive() || c.MaxSlashFractionDoubleSign.GT(one):
		return bad("max_slash_fraction_double_sign must be in (0,1]")
	case c.MaxSlashFractionDowntime.IsNil() || c.MaxSlashFractionDowntime.IsNegative() || c.MaxSlashFractionDowntime.GT(one):
		return bad("max_slash_fraction_downtime must be in [0,1]")
	case c.BatchEpoch != 0 && (c.BatchEpoch < MinBatchEpoch(c.UnbondingPeriod) || c.BatchEpoch > c.UnbondingPeriod):
		return bad("batch_epoch must be 0 or from %s to %s, got %s", MinBatchEpoch(c.UnbondingPeriod), c.UnbondingPeriod, c.BatchEpoch)
	case c.UsesV2() && host.ClientIdentifierValidator(c.CounterpartyClient) != nil:
		return bad("counterparty_client is not the id of an IBC client")
	}
	if err := c.SlashPolicy.validate(c.UnbondingPeriod, c.MaxSlashFractionDowntime); err != nil {
		return err
	}
	return c.validateRewards()
}

// validate returns ErrInvalidConfig unless the limits fit one another: delays of at most U/3, so that batches still mature
// in time, and a meter that one honest downtime slash cannot exceed.
func (p SlashPolicy) validate(unbonding time.Duration, downtime sdkmath.LegacyDec) error {
	bad := func(format string, args ...any) error { return errorsmod.Wrapf(ErrInvalidConfig, format, args...) }
	switch {
	case p.UnprovenLimit.IsNil() || p.UnprovenLimit.LT(downtime) || p.UnprovenLimit.GT(sdkmath.LegacyOneDec()):
		return bad("slash_policy.unproven_limit must be from max_slash_fraction_downtime to 1")
	case p.UnprovenWindow < time.Second || p.UnprovenWindow > MaxUnbondingPeriod:
		return bad("slash_policy.unproven_window must be from 1s to %s, got %s", MaxUnbondingPeriod, p.UnprovenWindow)
	case p.UnprovenDelay < 0 || p.UnprovenDelay > unbonding/3:
		return bad("slash_policy.unproven_delay must be from 0 to %s, got %s", unbonding/3, p.UnprovenDelay)
	case p.MassDelay < 0 || p.MassDelay > unbonding/3:
		return bad("slash_policy.mass_delay must be from 0 (the default) to %s, got %s", unbonding/3, p.MassDelay)
	}
	return nil
}

// DefaultMassDelay is how long proofs beyond a third of a consumer's stake wait for a veto, if a third of the unbonding
// period allows it.
const DefaultMassDelay = 3 * 24 * time.Hour

// MassDelayFor returns how long mass proofs wait while u is the unbonding period that counts: at most u/3, never zero.
func (p SlashPolicy) MassDelayFor(u time.Duration) time.Duration {
	delay := p.MassDelay
	if delay == 0 {
		delay = DefaultMassDelay
	}
	return max(min(delay, u/3), 1)
}

// DefaultSlashPolicy returns what slashing.md recommends: no delay of claims, the default delay of mass proofs, and a
// meter per week that covers twice the downtime fraction of the whole stake, at least 5 % of it.
func DefaultSlashPolicy(downtime sdkmath.LegacyDec) SlashPolicy {
	limit := sdkmath.LegacyMaxDec(downtime.MulInt64(2), sdkmath.LegacyNewDecWithPrec(5, 2))
	return SlashPolicy{
		UnprovenLimit:  sdkmath.LegacyMinDec(limit, sdkmath.LegacyOneDec()),
		UnprovenWindow: 7 * 24 * time.Hour,
	}
}

// UsesV2 says whether packets to and from the consumer go over IBC v2.
func (c ConsumerConfig) UsesV2() bool { return c.CounterpartyClient != "" }

func validPrefix(p string) bool {
	if p == "" || len(p) > maxPrefixBytes {
		return false
	}
	for _, r := range p {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return true
}

// MinBatchEpoch returns the shortest batch epoch for an unbonding period u: u/64, at least one second.
func MinBatchEpoch(u time.Duration) time.Duration {
	return max(u/MinBatchEpochDivisor, time.Second)
}

// BatchEpochFor returns how long the consumer's batch epochs last while u is the unbonding period that counts. What the
// consumer reports does not shorten them, or it could have more batches wait at a time than there are epochs in 2U.
func (c ConsumerConfig) BatchEpochFor(u time.Duration) time.Duration {
	return max(c.BatchEpoch, MinBatchEpoch(c.LongestUnbonding(u)))
}

// LongestUnbonding returns the longest unbonding period that batches may have while u is the one that counts: u may be
// shorter than what is registered, and rise to it at any time.
func (c ConsumerConfig) LongestUnbonding(u time.Duration) time.Duration {
	return max(c.UnbondingPeriod, u)
}

// ParseValidator decodes the operator address of a consumer validator. Error: ErrInvalidValidator.
func (c ConsumerConfig) ParseValidator(s string) ([]byte, error) {
	if len(s) > maxPrefixBytes+maxIDBytes {
		return nil, errorsmod.Wrapf(ErrInvalidValidator, "%d bytes", len(s))
	}
	hrp, bz, err := bech32.DecodeAndConvert(s)
	if err != nil {
		return nil, errorsmod.Wrap(ErrInvalidValidator, err.Error())
	}
	if hrp != c.ValidatorPrefix {
		return nil, errorsmod.Wrapf(ErrInvalidValidator, "prefix is %q, want %q", hrp, c.ValidatorPrefix)
	}
	if len(bz) == 0 || len(bz) > meshtypes.MaxOperatorBytes {
		return nil, errorsmod.Wrapf(ErrInvalidValidator, "%d bytes", len(bz))
	}
	return bz, nil
}

// FormatValidator encodes the operator address of a consumer validator; it never fails on addresses in the registry.
func (c ConsumerConfig) FormatValidator(operator []byte) string {
	s, err := bech32.ConvertAndEncode(c.ValidatorPrefix, operator)
	if err != nil {
		return ""
	}
	return s
}

// HasPauseReason says whether the consumer is paused for the reason.
func (c Consumer) HasPauseReason(r PauseReason) bool { return slices.Contains(c.PauseReasons, r) }

// IsLive says whether the consumer is registered and not removed: packets to and from it count.
func (c Consumer) IsLive() bool {
	return c.Status != CONSUMER_STATUS_UNSPECIFIED && c.Status != CONSUMER_STATUS_REMOVED
}

// UnbondingOnWire returns the U that updates carry: the announced one if there is one.
func (p Pairing) UnbondingOnWire() time.Duration {
	if p.AnnouncedUnbonding > 0 {
		return p.AnnouncedUnbonding
	}
	return p.EffectiveUnbonding
}

// LatestMaturity returns when the batch matures at the latest, whatever the consumer does; slashes that are pending by
// then can still delay it.
func (b Batch) LatestMaturity() time.Time {
	switch {
	case b.DelayedUntil.After(b.MaturesAt):
		return b.DelayedUntil
	case !b.MaturesAt.IsZero():
		return b.MaturesAt
	}
	return b.ClosesAt.Add(2 * b.Unbonding)
}
