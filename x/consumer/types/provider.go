package types

import (
	"strings"
	"time"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	host "github.com/cosmos/ibc-go/v11/modules/core/24-host"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

const (
	// MaxChainIDBytes is the longest chain id.
	MaxChainIDBytes = 50
)

// Validate returns the error of the first field out of its bounds. That the client exists and tracks the chain, and that
// the provider fits the others, is for the message server to check.
func (c ProviderConfig) Validate() error {
	if err := ValidateProviderID(c.ProviderId); err != nil {
		return err
	}
	switch {
	case c.ChainId == "" || len(c.ChainId) > MaxChainIDBytes || strings.TrimSpace(c.ChainId) != c.ChainId:
		return errorsmod.Wrapf(ErrInvalidChainID, "%q", c.ChainId)
	case sdk.ValidateDenom(c.CollateralDenom) != nil:
		return errorsmod.Wrapf(ErrInvalidDenom, "%q", c.CollateralDenom)
	case c.CollateralDecimals > MaxDecimals:
		return errorsmod.Wrapf(ErrInvalidDecimals, "%d, at most %d", c.CollateralDecimals, MaxDecimals)
	case !inRange(c.Discount, sdkmath.LegacyOneDec()):
		return errorsmod.Wrap(ErrInvalidDiscount, "must be in [0, 1)")
	case c.MaxCap.IsNil() || c.MaxCap.IsNegative() || c.MaxCap.GTE(meshtypes.MaxAmount):
		return errorsmod.Wrap(ErrInvalidMaxCap, "must be in [0, 2^128)")
	case !inRange(c.MaxPowerRatio, sdkmath.LegacyOneDec()):
		return errorsmod.Wrap(ErrInvalidPowerRatio, "must be in [0, 1)")
	case !isFraction(c.GovernanceWeight):
		return errorsmod.Wrap(ErrInvalidWeight, "must be in [0, 1]")
	case !isFraction(c.RewardRatio):
		return errorsmod.Wrap(ErrInvalidRewardRatio, "must be in [0, 1]")
	}
	if c.UsesV2() && host.ClientIdentifierValidator(c.CounterpartyClient) != nil {
		return errorsmod.Wrap(ErrInvalidCounterparty, "must be the id of an IBC client, or nothing")
	}
	if err := c.validateRewards(); err != nil {
		return err
	}
	return c.validateFeed()
}

// UsesV2 says whether packets to and from the provider go over IBC v2.
func (c ProviderConfig) UsesV2() bool { return c.CounterpartyClient != "" }

// IsOpen says whether packets can be sent to the provider: over its channel, or over IBC v2.
func (p Provider) IsOpen() bool { return p.ChannelId != "" || p.Config.UsesV2() }

// ValidateProviderID returns ErrInvalidProviderID unless the id can be that of an IBC client.
func ValidateProviderID(id string) error {
	if err := host.ClientIdentifierValidator(id); err != nil {
		return errorsmod.Wrap(ErrInvalidProviderID, err.Error())
	}
	return nil
}

// ValidateTogether returns ErrPowerRatioSum unless the power ratios of all providers that are not removed stay below one
// third, and ErrWeightSum unless the governance weight they may reach stays below the veto threshold.
func ValidateTogether(configs []ProviderConfig, veto sdkmath.LegacyDec) error {
	ratios, weights := sdkmath.LegacyZeroDec(), sdkmath.LegacyZeroDec()
	for _, c := range configs {
		ratios = ratios.Add(c.MaxPowerRatio)
		weights = weights.Add(c.MaxPowerRatio.MulRoundUp(c.GovernanceWeight))
	}
	if ratios.GTE(third) {
		return errorsmod.Wrapf(ErrPowerRatioSum, "sum is %s", ratios)
	}
	if len(configs) > 0 && weights.IsPositive() && weights.GTE(veto) {
		return errorsmod.Wrapf(ErrWeightSum, "sum of weight × ratio is %s, veto threshold %s", weights, veto)
	}
	return nil
}

// NewProvider returns a provider registered at the time now, with nothing known of the other side.
func NewProvider(config ProviderConfig, now time.Time) Provider {
	p := Provider{Config: config, Status: PROVIDER_STATUS_REGISTERED}
	p.Forget()
	p.Session.Consumer = uint64(now.UnixNano())
	return p
}

// Forget drops everything that depends on the session: what came from the other side, and the seqs of what was sent.
func (p *Provider) Forget() {
	p.LastSeq, p.LastUpdateSeq, p.FloorSeq, p.ReportInFlight = 0, 0, 0, 0
	p.UnbondingPeriod, p.SyncedAt = 0, time.Time{}
	p.FirstIndex, p.AckedIndex, p.LastIndex = 1, 0, 0
	p.ReportedUnbonding, p.ReportedFreshness = 0, 0
	p.Retries, p.RetryAt = 0, time.Time{}
	if p.Price.IsNil() {
		p.Price = sdkmath.LegacyZeroDec()
	}
	if p.Cap.IsNil() {
		p.Cap = sdkmath.ZeroInt()
	}
	p.Marking, p.MarkCursor = true, nil
}

// NewStakeRecord returns a record that knows of no stake.
func NewStakeRecord() StakeRecord {
	return StakeRecord{Amount: sdkmath.ZeroInt(), ExecutedAmount: sdkmath.ZeroInt(), Price: sdkmath.LegacyZeroDec()}
}

// ScaleBySlash lowers the amounts by the fraction of tokens that a slash takes, rounded down.
func (r *StakeRecord) ScaleBySlash(fraction sdkmath.LegacyDec) {
	r.Amount = AfterSlash(r.Amount, fraction)
	r.ExecutedAmount = AfterSlash(r.ExecutedAmount, fraction)
}

// ScaleBySlash lowers the target by the fraction of tokens that a slash takes, rounded down.
func (t *Target) ScaleBySlash(fraction sdkmath.LegacyDec) {
	t.Tokens = AfterSlash(t.Tokens, fraction)
	t.Amount = AfterSlash(t.Amount, fraction)
}
