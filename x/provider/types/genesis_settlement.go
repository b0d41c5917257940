package types

import (
	"bytes"
	"time"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"
)

// validateSettlement checks the sums of invariant 4, debts, walks, rewards and shortfalls against one another and against
// the accounts.
func (g GenesisState) validateSettlement() error {
	bad := func(format string, args ...any) error { return errorsmod.Wrapf(ErrInvalidGenesis, format, args...) }
	t := g.Totals
	for _, n := range []sdkmath.Int{t.Slashed, t.Owed, t.Burned, t.Rewarded, t.Shortfall, t.Debt} {
		if n.IsNil() || n.IsNegative() {
			return bad("a sum of settlement is missing or negative")
		}
	}
	if !t.Burned.Add(t.Debt).Add(t.Shortfall).Equal(t.Owed) || t.Rewarded.GT(t.Burned) {
		return bad("%s burned, of which %s rewarded, %s debt and %s shortfall are not %s owed", t.Burned, t.Rewarded, t.Debt, t.Shortfall, t.Owed)
	}
	debts, since := sdkmath.ZeroInt(), map[string]time.Time{}
	for _, a := range g.Accounts {
		if a.Account.Debt.IsPositive() {
			debts = debts.Add(a.Account.Debt)
			since[string(a.Delegator)] = a.Account.DebtSince
		}
	}
	if !debts.Equal(t.Debt) || uint64(len(since)) != t.Debtors || len(since) != len(g.Debts) {
		return bad("%d accounts owe %s; the sums say %d and %s, the queue has %d", len(since), debts, t.Debtors, t.Debt, len(g.Debts))
	}
	for i, d := range g.Debts {
		if at, owes := since[string(d.Delegator)]; !owes || !at.Equal(d.Time) {
			return bad("queued debt of %X, which owes nothing since %s", d.Delegator, d.Time)
		}
		if i > 0 && !debtBefore(g.Debts[i-1], d) {
			return bad("queued debts are not in order, or one is there twice")
		}
	}
	if c := g.DebtCursor; c != nil && len(c.Delegator) == 0 {
		return bad("cursor of debts without delegator")
	}
	var last []byte
	for _, w := range g.NativeSlashWalks {
		if bytes.Compare(last, w.Validator) >= 0 || w.Stage > 2 {
			return bad("walks over slashed validators are not sorted, one is there twice, or stage %d", w.Stage)
		}
		last = w.Validator
	}
	id := uint64(0)
	for _, r := range g.Rewards {
		if r.SlashId <= id || r.SlashId >= g.NextSlashId || len(r.Submitter) == 0 || r.Left.IsNil() || !r.Left.IsPositive() {
			return bad("reward for slash %d is out of order, or has no submitter or nothing left", r.SlashId)
		}
		id = r.SlashId
	}
	last = nil
	sum := sdkmath.ZeroInt()
	for _, s := range g.Shortfalls {
		if bytes.Compare(last, s.Delegator) >= 0 || s.Amount.IsNil() || !s.Amount.IsPositive() {
			return bad("shortfalls are not sorted, one is there twice, or one is nothing")
		}
		last = s.Delegator
		sum = sum.Add(s.Amount)
	}
	if !sum.Equal(t.Shortfall) {
		return bad("shortfalls of %s, the sums say %s", sum, t.Shortfall)
	}
	height := int64(-1)
	for _, h := range g.OwnHeights {
		if h.Height <= height {
			return bad("own heights are not in order")
		}
		height = h.Height
	}
	return nil
}

// debtBefore says whether a comes before b in the queue.
func debtBefore(a, b DebtRecord) bool {
	if !a.Time.Equal(b.Time) {
		return a.Time.Before(b.Time)
	}
	return bytes.Compare(a.Delegator, b.Delegator) < 0
}
