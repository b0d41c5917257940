package wiring

import (
	"context"
	"math"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
)

// SlashingBase is the staking keeper under the decorator.
type SlashingBase interface {
	slashingtypes.StakingKeeper
	PowerReduction(ctx context.Context) sdkmath.Int
}

// FlowLog tells how many tokens left and came to a validator at heights from height on, other than through x/staking's
// unbonding entries and redelegations.
type FlowLog interface {
	Since(ctx context.Context, valAddr sdk.ValAddress, height int64) (left, came sdkmath.Int, err error)
}

// Marks is told which validators x/slashing jails, unjails and slashes, and may refuse to unjail one.
type Marks interface {
	MarkChanged(ctx context.Context, consAddr sdk.ConsAddress) error
	MayUnjail(ctx context.Context, consAddr sdk.ConsAddress) error
}

// SlashingStaking is the staking keeper that x/slashing gets, and x/evidence through it.
//
// x/staking burns power at the infraction × fraction, less what unbonding entries gave, from whoever is left. Stake that
// left without an entry (virtual stake, and collateral burned by settlement) would be paid for by the others. So the
// power that goes on is
//
//	power − left + came
//
// over the heights from the distribution height on: what of the power at the infraction is still there or in an entry,
// and what is slashed along with it because it came since.
type SlashingStaking struct {
	SlashingBase
	marks []Marks
	flows []FlowLog
}

var _ slashingtypes.StakingKeeper = SlashingStaking{}

// NewSlashingStaking decorates a staking keeper for x/slashing.
func NewSlashingStaking(base SlashingBase, marks []Marks, flows []FlowLog) SlashingStaking {
	return SlashingStaking{SlashingBase: base, marks: marks, flows: flows}
}

// Slash slashes with corrected power.
func (s SlashingStaking) Slash(
	ctx context.Context, consAddr sdk.ConsAddress, height, power int64, fraction sdkmath.LegacyDec,
) (sdkmath.Int, error) {
	defer s.mark(ctx, consAddr)
	return s.SlashingBase.Slash(ctx, consAddr, height, s.CorrectedPower(ctx, consAddr, height, power), fraction)
}

// SlashWithInfractionReason slashes with corrected power.
func (s SlashingStaking) SlashWithInfractionReason(
	ctx context.Context, consAddr sdk.ConsAddress, height, power int64, fraction sdkmath.LegacyDec, reason stakingtypes.Infraction,
) (sdkmath.Int, error) {
	defer s.mark(ctx, consAddr)
	power = s.CorrectedPower(ctx, consAddr, height, power)
	return s.SlashingBase.SlashWithInfractionReason(ctx, consAddr, height, power, fraction, reason)
}

// Jail jails a validator and marks it for the next reports.
func (s SlashingStaking) Jail(ctx context.Context, consAddr sdk.ConsAddress) error {
	if err := s.SlashingBase.Jail(ctx, consAddr); err != nil {
		return err
	}
	s.mark(ctx, consAddr)
	return nil
}

// Unjail unjails a validator, unless virtual stake must leave it first, and marks it for the next reports.
func (s SlashingStaking) Unjail(ctx context.Context, consAddr sdk.ConsAddress) error {
	for _, m := range s.marks {
		if err := m.MayUnjail(ctx, consAddr); err != nil {
			return err
		}
	}
	if err := s.SlashingBase.Unjail(ctx, consAddr); err != nil {
		return err
	}
	s.mark(ctx, consAddr)
	return nil
}

// CorrectedPower returns power − left + came in power units, rounded to the nearest, not below zero. height is the
// distribution height: what x/staking filters entries by. Where the flows cannot be read the power stays as it is.
func (s SlashingStaking) CorrectedPower(ctx context.Context, consAddr sdk.ConsAddress, height, power int64) int64 {
	validator, err := s.ValidatorByConsAddr(ctx, consAddr)
	if err != nil || validator == nil {
		return power // x/staking will say so
	}
	valAddr, err := s.ValidatorAddressCodec().StringToBytes(validator.GetOperator())
	if err != nil {
		return power
	}
	reduction := s.PowerReduction(ctx)
	left, came := sdkmath.ZeroInt(), sdkmath.ZeroInt()
	for _, flow := range s.flows {
		l, c, err := flow.Since(ctx, valAddr, height)
		if err != nil {
			sdk.UnwrapSDKContext(ctx).Logger().Error("mesh: flows cannot be read", "validator", validator.GetOperator(), "error", err)
			continue
		}
		left, came = left.Add(l), came.Add(c)
	}
	return correctPower(power, left, came, reduction)
}

// correctPower is the arithmetic of CorrectedPower.
func correctPower(power int64, left, came, reduction sdkmath.Int) int64 {
	if left.Equal(came) {
		return power
	}
	tokens := sdkmath.NewInt(power).Mul(reduction).Sub(left).Add(came)
	if !tokens.IsPositive() {
		return 0
	}
	corrected := tokens.Add(reduction.QuoRaw(2)).Quo(reduction)
	if !corrected.IsInt64() {
		return math.MaxInt64
	}
	return corrected.Int64()
}

func (s SlashingStaking) mark(ctx context.Context, consAddr sdk.ConsAddress) {
	for _, m := range s.marks {
		if err := m.MarkChanged(ctx, consAddr); err != nil {
			sdk.UnwrapSDKContext(ctx).Logger().Error("mesh: validator cannot be marked", "validator", consAddr, "error", err)
		}
	}
}
