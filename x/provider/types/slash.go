package types

import (
	"math/big"
	"time"

	sdkmath "cosmossdk.io/math"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// massDivisor: proofs of more than 1/massDivisor of a consumer's total stake in one window wait for a veto.
const massDivisor = 3

// IsPaused says whether the consumer is paused for any reason, also while it is winding down: then nothing is slashed
// without proof.
func (c Consumer) IsPaused() bool { return len(c.PauseReasons) > 0 }

// IsProof says whether the slash was proved.
func (r SlashRecord) IsProof() bool { return r.Origin != SLASH_ORIGIN_CLAIM }

// IsPending says whether nothing has become of the slash yet.
func (r SlashRecord) IsPending() bool { return r.Status == SLASH_STATUS_PENDING }

// Answers says whether the pool or batch answers for an infraction at height h that was recorded at the given time:
// it had stake by then, had not matured when it was recorded nor since, and its last execution does not precede the
// infraction. Validator sets lag a block, so it answers up to executed_height + 1, or for any height while unexecuted.
func (p Pool) Answers(h meshtypes.Height, recordedAt time.Time) bool {
	if h.Compare(p.Since) < 0 {
		return false
	}
	b := p.Batch
	if b == nil {
		return true
	}
	if b.Matured || (!b.StartedAt.IsZero() && !b.MaturesAt.After(recordedAt) && !b.DelayedUntil.After(recordedAt)) {
		return false
	}
	return b.ExecutedHeight.IsZero() || h.Compare(b.ExecutedHeight.Next()) <= 0
}

// SlashAmount returns what Slash would take: min(floor(fraction·T), floor(g·S)).
func (p Pool) SlashAmount(fraction sdkmath.LegacyDec) sdkmath.Int {
	if !p.Shares.IsPositive() || !p.Tokens.IsPositive() || !fraction.IsPositive() {
		return sdkmath.ZeroInt()
	}
	return sdkmath.MinInt(MulFloor(p.Tokens, fraction), ScaledMulFloor(p.Shares, p.BudgetPerShare))
}

// UnprovenLeft returns what unproven slashes may still take of the pool or batch in the running window, as a fraction,
// if limit is what they may take in one.
func (p Pool) UnprovenLeft(limit sdkmath.LegacyDec, window time.Duration, at time.Time) sdkmath.LegacyDec {
	if !p.Unproven.runs(window, at) {
		return limit
	}
	return sdkmath.LegacyMaxDec(limit.Sub(p.Unproven.Fraction), sdkmath.LegacyZeroDec())
}

// UseUnproven notes that an unproven slash took a fraction of the pool or batch.
func (p *Pool) UseUnproven(fraction sdkmath.LegacyDec, window time.Duration, at time.Time) {
	if !p.Unproven.runs(window, at) {
		p.Unproven = &UnprovenUse{WindowStart: at, Fraction: fraction}
		return
	}
	p.Unproven = &UnprovenUse{WindowStart: p.Unproven.WindowStart, Fraction: p.Unproven.Fraction.Add(fraction)}
}

func (u *UnprovenUse) runs(window time.Duration, at time.Time) bool {
	return u != nil && at.Before(u.WindowStart.Add(window))
}

// Inherit takes over what stake that joins p from another pool answers for and what unproven slashes took of it: the
// older `since`, the larger part taken and the later window. p has no stake of its own yet if it is new.
func (p *Pool) Inherit(from Pool, isNew bool) {
	if isNew || from.Since.Compare(p.Since) < 0 {
		p.Since = from.Since
	}
	switch u := from.Unproven; {
	case u == nil:
	case p.Unproven == nil:
		p.Unproven = &UnprovenUse{WindowStart: u.WindowStart, Fraction: u.Fraction}
	default:
		start := p.Unproven.WindowStart
		if u.WindowStart.After(start) {
			start = u.WindowStart
		}
		p.Unproven = &UnprovenUse{WindowStart: start, Fraction: sdkmath.LegacyMaxDec(p.Unproven.Fraction, u.Fraction)}
	}
}

// Allowance returns floor(unproven_limit·total): what unproven slashes may take in one window.
func (m SlashMeter) Allowance(p SlashPolicy) sdkmath.Int { return MulFloor(m.Total, p.UnprovenLimit) }

// Available returns what unproven slashes may take now: the allowance less what is used, not below zero. CONTRACT: the
// meter is replenished until now.
func (m SlashMeter) Available(p SlashPolicy) sdkmath.Int {
	return sdkmath.MaxInt(m.Allowance(p).Sub(m.Used), sdkmath.ZeroInt())
}

// Replenish lowers what is used by the allowance per window, linearly in the time since used_at, rounded down; not while
// the consumer is paused. It brings used_at to the given time.
func (m *SlashMeter) Replenish(p SlashPolicy, at time.Time, paused bool) {
	elapsed := at.Sub(m.UsedAt)
	if m.UsedAt.IsZero() || elapsed < 0 {
		elapsed = 0
	}
	m.UsedAt = at
	if paused || !m.Used.IsPositive() || p.UnprovenWindow <= 0 {
		return
	}
	back := toInt(mulDivFloor(m.Allowance(p).BigInt(), big.NewInt(int64(elapsed)), big.NewInt(int64(p.UnprovenWindow))))
	m.Used = sdkmath.MaxInt(m.Used.Sub(back), sdkmath.ZeroInt())
}

// WindowOver says whether the running window is over, or none has begun.
func (m SlashMeter) WindowOver(p SlashPolicy, at time.Time) bool {
	return m.WindowStart.IsZero() || !at.Before(m.WindowStart.Add(p.UnprovenWindow))
}

// IsMass says whether the stake of which double signing was proved in the window is more than a third of the total.
func (m SlashMeter) IsMass() bool { return m.Proved.MulRaw(massDivisor).GT(m.Total) }
