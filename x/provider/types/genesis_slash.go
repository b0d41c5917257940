package types

import (
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// validateSlashes checks slashes and meters, and what pools and batches keep of them.
func (g GenesisState) validateSlashes(known func(string) error) error {
	bad := func(format string, args ...any) error { return errorsmod.Wrapf(ErrInvalidGenesis, format, args...) }
	last := uint64(0)
	for _, r := range g.Slashes {
		if r.Id <= last || r.Id >= g.NextSlashId {
			return bad("slash %d is not in order, or not below next_slash_id", r.Id)
		}
		last = r.Id
		if err := known(r.ClientId); err != nil {
			return err
		}
		if err := r.validate(); err != nil {
			return err
		}
	}
	batches := map[string]sdkmath.Int{}
	for _, r := range g.Pools {
		p := r.Pool
		if err := p.Since.Validate(); err != nil {
			return bad("pool %d: %s", r.Id, err)
		}
		if p.Flagged && !p.IsBatch() {
			return bad("pool %d takes stake although it was punished for double signing", r.Id)
		}
		if u := p.Unproven; u != nil && (u.Fraction.IsNil() || u.Fraction.IsNegative()) {
			return bad("pool %d: what unproven slashes took is missing or negative", r.Id)
		}
		if !p.IsLeaving() {
			continue
		}
		if _, found := batches[p.ClientId]; !found {
			batches[p.ClientId] = sdkmath.ZeroInt()
		}
		batches[p.ClientId] = batches[p.ClientId].Add(p.Tokens)
	}
	seen := map[string]bool{}
	for _, r := range g.Meters {
		if seen[r.ClientId] {
			return bad("meter of %q is there twice", r.ClientId)
		}
		seen[r.ClientId] = true
		if err := known(r.ClientId); err != nil {
			return err
		}
		m := r.Meter
		for _, n := range []sdkmath.Int{m.Total, m.Used, m.Proved, m.Batches} {
			if n.IsNil() || n.IsNegative() {
				return bad("meter of %q has a missing or negative number", r.ClientId)
			}
		}
		want, found := batches[r.ClientId]
		if !found {
			want = sdkmath.ZeroInt()
		}
		if !m.Batches.Equal(want) {
			return bad("meter of %q counts %s in batches, they have %s", r.ClientId, m.Batches, want)
		}
		delete(batches, r.ClientId)
	}
	for clientID, sum := range batches {
		if sum.IsPositive() {
			return bad("%q has batches but no meter", clientID)
		}
	}
	return nil
}

// validate checks a slash by itself.
func (r SlashRecord) validate() error {
	bad := func(format string, args ...any) error {
		return errorsmod.Wrapf(errorsmod.Wrapf(ErrInvalidGenesis, format, args...), "slash %d", r.Id)
	}
	switch {
	case len(r.Validator) == 0 || len(r.Validator) > meshtypes.MaxOperatorBytes:
		return bad("operator address of %d bytes", len(r.Validator))
	case r.Origin <= SLASH_ORIGIN_UNSPECIFIED || r.Origin > SLASH_ORIGIN_MISBEHAVIOUR:
		return bad("origin %d", r.Origin)
	case r.Kind <= meshtypes.SLASH_KIND_UNSPECIFIED || r.Kind > meshtypes.SLASH_KIND_OTHER:
		return bad("kind %d", r.Kind)
	case r.Status <= SLASH_STATUS_UNSPECIFIED || r.Status > SLASH_STATUS_RECOGNISED:
		return bad("status %d", r.Status)
	case r.Infraction.Validate() != nil:
		return bad("height %s", r.Infraction)
	case r.BatchDelay < 0:
		return bad("negative delay")
	case r.IsPending() != r.SettledAt.IsZero():
		return bad("pending %t, settled at %s", r.IsPending(), r.SettledAt)
	}
	for _, f := range []sdkmath.LegacyDec{r.NominalFraction, r.EffectiveFraction} {
		if f.IsNil() || f.IsNegative() || f.GT(sdkmath.LegacyOneDec()) {
			return bad("a fraction is not in [0,1]")
		}
	}
	for _, n := range []sdkmath.Int{r.Amount, r.Reward} {
		if n.IsNil() || n.IsNegative() {
			return bad("a missing or negative number")
		}
	}
	return nil
}
