package types

import (
	"context"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// SlashNote says of a slash what x/staking's hook does not: the decorator on x/slashing's staking keeper puts it into the
// context, the hook adds the effective fraction.
type SlashNote struct {
	// Validator is the operator that is slashed.
	Validator sdk.ValAddress
	// Kind says why.
	Kind meshtypes.SlashKind
	// Infraction is the height of the infraction on this chain; below zero it counts as zero.
	Infraction int64
	// Nominal is the fraction asked for.
	Nominal sdkmath.LegacyDec
	// Effective is the fraction that the validator's tokens lose, rounded up by x/staking; zero if Burned is false.
	Effective sdkmath.LegacyDec
	// Burned says whether x/staking burns tokens of the validator. Without, it calls no hook.
	Burned bool
}

// NewSlashNote returns a note of a slash that has not burned anything yet. distributionHeight is what x/staking is given:
// of a double sign it is one below the height of the infraction, of anything else it counts as that height.
func NewSlashNote(
	validator sdk.ValAddress, distributionHeight int64, nominal sdkmath.LegacyDec, reason stakingtypes.Infraction,
) *SlashNote {
	n := &SlashNote{
		Validator: validator, Kind: meshtypes.SLASH_KIND_OTHER, Infraction: distributionHeight,
		Nominal: nominal, Effective: sdkmath.LegacyZeroDec(),
	}
	switch reason {
	case stakingtypes.Infraction_INFRACTION_DOUBLE_SIGN:
		n.Kind = meshtypes.SLASH_KIND_DOUBLE_SIGN
		n.Infraction += sdk.ValidatorUpdateDelay
	case stakingtypes.Infraction_INFRACTION_DOWNTIME:
		n.Kind = meshtypes.SLASH_KIND_DOWNTIME
	case stakingtypes.Infraction_INFRACTION_UNSPECIFIED:
	}
	return n
}

// Burn notes what the hook is told: the fraction that the validator's tokens lose.
func (n *SlashNote) Burn(effective sdkmath.LegacyDec) { n.Effective, n.Burned = effective, true }

type slashNoteKey struct{}

// WithSlashNote returns a context that carries the note.
func WithSlashNote(ctx sdk.Context, note *SlashNote) sdk.Context {
	return ctx.WithValue(slashNoteKey{}, note)
}

// SlashNoteOf returns the note of the running slash of that validator, or nil: then whoever slashes came past the
// decorator. A slash within another, of the same validator, has no note either.
func SlashNoteOf(ctx context.Context, validator sdk.ValAddress) *SlashNote {
	note, ok := ctx.Value(slashNoteKey{}).(*SlashNote)
	if !ok || note.Burned || !note.Validator.Equals(validator) {
		return nil
	}
	return note
}
