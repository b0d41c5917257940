package keeper

import (
	"errors"
	"fmt"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/mesh/invariant"
	"github.com/mesh-security/mesh/x/provider/types"
)

// amountSum is a sum of so many amounts.
type amountSum struct {
	Sum sdkmath.Int `json:"sum"`
	N   uint64      `json:"n"`
}

func newAmountSum() amountSum { return amountSum{Sum: sdkmath.ZeroInt()} }

// totalsName is the object of what is wrong with sums over all delegators.
const totalsName = "totals"

// settlementInvariant is invariant 4: burned + debt + shortfall is what positions were charged; that and what they are
// still to be charged is what pools and batches lost, to the roundings of settlements and one for each position. The queue
// lists exactly the debtors, and the sums agree with the records.
func (k *Keeper) settlementInvariant() invariant.Check {
	// compare compares a sum with the totals.
	compare := func(check func(t types.SlashTotals, s *amountSum) error) func(*invariant.Page, *amountSum) {
		return func(p *invariant.Page, s *amountSum) {
			t, err := getItemOr(p.Context(), k.Totals, types.NewSlashTotals())
			if err == nil {
				err = check(t, s)
			}
			if err != nil {
				p.Fail(totalsName, err)
			}
		}
	}
	return invariant.Check{Name: InvariantSettlement, Phases: []invariant.Phase{
		invariant.Once(totalsName, func(p *invariant.Page) error {
			t, err := getItemOr(p.Context(), k.Totals, types.NewSlashTotals())
			if err != nil {
				return err
			}
			if paid := t.Burned.Add(t.Debt).Add(t.Shortfall); !paid.Equal(t.Owed) || t.Rewarded.GT(t.Burned) {
				return fmt.Errorf("%s burned, of which %s rewarded, %s debt and %s shortfall are not %s owed", t.Burned, t.Rewarded, t.Debt, t.Shortfall, t.Owed)
			}
			return nil
		}),
		invariant.Pass(k.Positions, k.positionName, newAmountSum,
			func(p *invariant.Page, s *amountSum, key delegatorPool, pos types.Position) error {
				p.Spend(1)
				pool, err := k.Pools.Get(p.Context(), key.K2())
				if err == nil {
					s.Sum, s.N = s.Sum.Add(pool.Owed(pos)), s.N+1
				}
				return err
			},
			compare(func(t types.SlashTotals, s *amountSum) error {
				off := t.Owed.Add(s.Sum).Sub(t.Slashed).Abs()
				if off.GT(sdkmath.NewIntFromUint64(t.Roundings + s.N)) {
					return fmt.Errorf("%s owed and %s to settle of %s slashed, with %d roundings and %d positions", t.Owed, s.Sum, t.Slashed, t.Roundings, s.N)
				}
				return nil
			})),
		invariant.Pass(k.Accounts, k.delString, newAmountSum,
			func(p *invariant.Page, s *amountSum, delAddr sdk.AccAddress, a types.Account) error {
				if !a.Debt.IsPositive() {
					return nil
				}
				p.Spend(1)
				s.Sum, s.N = s.Sum.Add(a.Debt), s.N+1
				if queued, err := k.DebtQueue.Has(p.Context(), debtKey(delAddr, a)); err != nil || !queued {
					return errors.Join(fmt.Errorf("debt since %s is not queued", a.DebtSince), err)
				}
				return nil
			},
			compare(func(t types.SlashTotals, s *amountSum) error {
				if !s.Sum.Equal(t.Debt) || s.N != t.Debtors {
					return fmt.Errorf("%d accounts owe %s; the sums say %d and %s", s.N, s.Sum, t.Debtors, t.Debt)
				}
				return nil
			})),
		invariant.EachKey(k.DebtQueue, func(key timeDelegator) string { return k.delString(key.K2()) },
			func(p *invariant.Page, key timeDelegator) error {
				p.Spend(1)
				a, err := k.Accounts.Get(p.Context(), key.K2())
				if err != nil {
					return missing("its debt is queued", err)
				}
				if !a.Debt.IsPositive() || nanos(a.DebtSince) != key.K1() {
					return fmt.Errorf("a debt since %s is queued, there is one of %s since %s", fromNanos(key.K1()), a.Debt, a.DebtSince)
				}
				return nil
			}),
		invariant.Pass(k.Shortfalls, k.delString, newAmountSum,
			func(_ *invariant.Page, s *amountSum, _ sdk.AccAddress, short types.Shortfall) error {
				s.Sum = s.Sum.Add(short.Amount)
				return nil
			},
			compare(func(t types.SlashTotals, s *amountSum) error {
				if !s.Sum.Equal(t.Shortfall) {
					return fmt.Errorf("shortfalls of %s, the sums say %s", s.Sum, t.Shortfall)
				}
				return nil
			})),
	}}
}
