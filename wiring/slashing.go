package wiring

import (
	"context"
	"math"
	"slices"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
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

// SlashLog is told of every slash that has succeeded, with what is known of it.
type SlashLog interface {
	LogSlash(ctx context.Context, slash consumertypes.SlashNote) error
}

// NativeSlashes is told of every slash that has succeeded: of delegations, entries and redelegations.
type NativeSlashes interface {
	MarkSlashed(ctx context.Context, consAddr sdk.ConsAddress) error
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
//
// Kind, height and nominal fraction of a slash, which no hook is told, go on in the context as a note; the hook adds the
// effective fraction, and after the slash the note goes to the logs: also where x/staking has skipped its hook, because
// nothing of what it should burn is left in the validator.
type SlashingStaking struct {
	SlashingBase
	marks   []Marks
	flows   []FlowLog
	logs    []SlashLog
	natives []NativeSlashes
}

var _ slashingtypes.StakingKeeper = SlashingStaking{}

// NewSlashingStaking decorates a staking keeper for x/slashing.
func NewSlashingStaking(base SlashingBase, marks []Marks, flows []FlowLog) SlashingStaking {
	return SlashingStaking{SlashingBase: base, marks: marks, flows: flows}
}

// WithLogs adds logs of slashes.
func (s SlashingStaking) WithLogs(logs ...SlashLog) SlashingStaking {
	s.logs = slices.Concat(s.logs, logs)
	return s
}

// WithNative adds who is told of native slashes.
func (s SlashingStaking) WithNative(natives ...NativeSlashes) SlashingStaking {
	s.natives = slices.Concat(s.natives, natives)
	return s
}

// Slash slashes with corrected power, and logs the slash as one for another reason.
func (s SlashingStaking) Slash(
	ctx context.Context, consAddr sdk.ConsAddress, height, power int64, fraction sdkmath.LegacyDec,
) (sdkmath.Int, error) {
	return s.slash(ctx, consAddr, height, power, fraction, stakingtypes.Infraction_INFRACTION_UNSPECIFIED,
		func(ctx context.Context, power int64) (sdkmath.Int, error) {
			return s.SlashingBase.Slash(ctx, consAddr, height, power, fraction)
		})
}

// SlashWithInfractionReason slashes with corrected power, and logs the slash.
func (s SlashingStaking) SlashWithInfractionReason(
	ctx context.Context, consAddr sdk.ConsAddress, height, power int64, fraction sdkmath.LegacyDec, reason stakingtypes.Infraction,
) (sdkmath.Int, error) {
	return s.slash(ctx, consAddr, height, power, fraction, reason,
		func(ctx context.Context, power int64) (sdkmath.Int, error) {
			return s.SlashingBase.SlashWithInfractionReason(ctx, consAddr, height, power, fraction, reason)
		})
}

// slash runs a slash with what is known of it in the context, and tells the others when it has succeeded.
func (s SlashingStaking) slash(
	ctx context.Context, consAddr sdk.ConsAddress, height, power int64, fraction sdkmath.LegacyDec, reason stakingtypes.Infraction,
	base func(ctx context.Context, power int64) (sdkmath.Int, error),
) (sdkmath.Int, error) {
	defer s.mark(ctx, consAddr)
	valAddr := s.operator(ctx, consAddr)
	if valAddr == nil {
		return base(ctx, power) // x/staking will say so
	}
	power = s.correctedPower(ctx, valAddr, height, power)
	noted := ctx
	var note *consumertypes.SlashNote
	if len(s.logs) > 0 {
		note = consumertypes.NewSlashNote(valAddr, height, fraction, reason)
		noted = consumertypes.WithSlashNote(sdk.UnwrapSDKContext(ctx), note)
	}
	burned, err := base(noted, power)
	if err != nil {
		return burned, err
	}
	for _, l := range s.logs {
		if err := l.LogSlash(ctx, *note); err != nil {
			s.complain(ctx, "slash cannot be logged", consAddr, err)
		}
	}
	for _, n := range s.natives {
		if err := n.MarkSlashed(ctx, consAddr); err != nil {
			s.complain(ctx, "native slash cannot be noted", consAddr, err)
		}
	}
	return burned, nil
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

// CorrectedPower returns power − left + came in power units, rounded up, not below zero: power was rounded down, so the
// result is less than one unit off. height is the distribution height: what x/staking filters entries by. Where the flows cannot be read the power stays as it is.
func (s SlashingStaking) CorrectedPower(ctx context.Context, consAddr sdk.ConsAddress, height, power int64) int64 {
	valAddr := s.operator(ctx, consAddr)
	if valAddr == nil {
		return power
	}
	return s.correctedPower(ctx, valAddr, height, power)
}

// operator returns the operator address of a consensus address, or nil.
func (s SlashingStaking) operator(ctx context.Context, consAddr sdk.ConsAddress) sdk.ValAddress {
	validator, err := s.ValidatorByConsAddr(ctx, consAddr)
	if err != nil || validator == nil {
		return nil
	}
	valAddr, err := s.ValidatorAddressCodec().StringToBytes(validator.GetOperator())
	if err != nil {
		return nil
	}
	return valAddr
}

func (s SlashingStaking) correctedPower(ctx context.Context, valAddr sdk.ValAddress, height, power int64) int64 {
	left, came := sdkmath.ZeroInt(), sdkmath.ZeroInt()
	for _, flow := range s.flows {
		l, c, err := flow.Since(ctx, valAddr, height)
		if err != nil {
			sdk.UnwrapSDKContext(ctx).Logger().Error("mesh: flows cannot be read", "operator", valAddr, "error", err)
			continue
		}
		left, came = left.Add(l), came.Add(c)
	}
	return correctPower(power, left, came, s.PowerReduction(ctx))
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
	corrected := tokens.Add(reduction).SubRaw(1).Quo(reduction)
	if !corrected.IsInt64() {
		return math.MaxInt64
	}
	return corrected.Int64()
}

func (s SlashingStaking) mark(ctx context.Context, consAddr sdk.ConsAddress) {
	for _, m := range s.marks {
		if err := m.MarkChanged(ctx, consAddr); err != nil {
			s.complain(ctx, "validator cannot be marked", consAddr, err)
		}
	}
}

// complain logs what must not stop x/slashing.
func (SlashingStaking) complain(ctx context.Context, what string, consAddr sdk.ConsAddress, err error) {
	sdk.UnwrapSDKContext(ctx).Logger().Error("mesh: "+what, "validator", consAddr, "error", err)
}
