package keeper

import (
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/mesh/invariant"
	"github.com/mesh-security/mesh/x/provider/types"
)

// clientDenomKey is a consumer and a denom.
type clientDenomKey struct{ clientID, denom string }

// clientDenom is the same as a key in the store.
type clientDenom = collections.Pair[string, string]

// bookSum is a reward book with what delegators' records and positions add up to.
type bookSum struct {
	Client    string      `json:"client"`
	Denom     string      `json:"denom"`
	Accrued   sdkmath.Int `json:"accrued"`
	Unsettled sdkmath.Int `json:"unsettled"`
}

func bookName(key clientDenom) string { return fmt.Sprintf("rewards of %s in %s", key.K1(), key.K2()) }

func booksByKey(books []*bookSum) map[clientDenomKey]*bookSum {
	byKey := make(map[clientDenomKey]*bookSum, len(books))
	for _, b := range books {
		byKey[clientDenomKey{b.Client, b.Denom}] = b
	}
	return byKey
}

// rewardsInvariant is invariant 8: every reward account has what it owes, and that covers what is accrued and unsettled,
// which are the sums over delegators' records and positions; and every consumer's account is known.
func (k *Keeper) rewardsInvariant() invariant.Check {
	accruedName := func(key accruedKey) string {
		return fmt.Sprintf("rewards of %s on %s in %s", k.delString(key.K1()), key.K2(), key.K4())
	}
	return invariant.Check{Name: InvariantRewards, Phases: []invariant.Phase{
		invariant.Each(k.Accrued, accruedName, func(p *invariant.Page, key accruedKey, amount sdkmath.Int) error {
			p.Spend(1)
			if !amount.IsPositive() {
				return fmt.Errorf("%s accrued", amount)
			}
			return k.hasBook(p, key.K2(), key.K4())
		}),
		invariant.Each(k.Positions, k.positionName, k.checkEarned),
		invariant.Grouped(k.RewardBooks, bookName,
			func(key clientDenom, _ types.RewardBook) *bookSum {
				return &bookSum{key.K1(), key.K2(), sdkmath.ZeroInt(), sdkmath.ZeroInt()}
			},
			func(b *bookSum) string { return bookName(collections.Join(b.Client, b.Denom)) },
			[]func(*invariant.Page, *[]byte, []*bookSum) bool{
				func(p *invariant.Page, after *[]byte, books []*bookSum) bool {
					byKey := booksByKey(books)
					return invariant.Walk(p, k.Accrued, after, accruedName, func(key accruedKey, amount sdkmath.Int) error {
						if b := byKey[clientDenomKey{key.K2(), key.K4()}]; b != nil {
							b.Accrued = b.Accrued.Add(amount)
						}
						return nil
					})
				},
				func(p *invariant.Page, after *[]byte, books []*bookSum) bool {
					byKey := booksByKey(books)
					return invariant.Walk(p, k.Positions, after, k.positionName, func(key delegatorPool, pos types.Position) error {
						p.Spend(1)
						pool, err := k.Pools.Get(p.Context(), key.K2())
						if err != nil {
							return err
						}
						for _, e := range pool.EarnedBy(pos.Shares, pos) {
							if b := byKey[clientDenomKey{pool.ClientId, e.Denom}]; b != nil {
								b.Unsettled = b.Unsettled.Add(e.Scaled)
							}
						}
						return nil
					})
				},
			}, k.compareBook),
		invariant.Each(k.Consumers, func(id string) string { return id }, func(p *invariant.Page, id string, _ types.Consumer) error {
			p.Spend(1)
			of, _, err := getOr(p.Context(), k.RewardAccounts, types.RewardAccount(id))
			if err == nil && of != id {
				err = fmt.Errorf("its reward account is that of %q", of)
			}
			return err
		}),
		invariant.Each(k.RewardAccounts, k.delString, func(p *invariant.Page, account sdk.AccAddress, id string) error {
			p.Spend(1)
			known, err := k.Consumers.Has(p.Context(), id)
			if err == nil && (!known || !account.Equals(types.RewardAccount(id))) {
				err = fmt.Errorf("it is not the reward account of %q", id)
			}
			return err
		}),
	}}
}

func (k *Keeper) hasBook(p *invariant.Page, clientID, denom string) error {
	if found, err := k.RewardBooks.Has(p.Context(), collections.Join(clientID, denom)); err != nil || !found {
		return errors.Join(fmt.Errorf("no book of %s in %s", clientID, denom), err)
	}
	return nil
}

// checkEarned checks what a position says about rewards.
func (k *Keeper) checkEarned(p *invariant.Page, key delegatorPool, pos types.Position) error {
	p.Spend(1)
	pool, err := k.Pools.Get(p.Context(), key.K2())
	if err != nil {
		return err
	}
	if len(pos.RewardIndices) > len(pool.Rewards) {
		return fmt.Errorf("it was settled in %d denoms of %d", len(pos.RewardIndices), len(pool.Rewards))
	}
	for i, index := range pos.RewardIndices {
		if index.GT(pool.Rewards[i].Index) {
			return errors.New("it was settled in the future")
		}
	}
	for _, e := range pool.EarnedBy(pos.Shares, pos) {
		p.Spend(1)
		if err := k.hasBook(p, pool.ClientId, e.Denom); err != nil {
			return err
		}
	}
	return nil
}

// compareBook compares a reward book with the sums over delegators, and with what its account has.
func (k *Keeper) compareBook(p *invariant.Page, sum *bookSum) error {
	b, err := k.RewardBooks.Get(p.Context(), collections.Join(sum.Client, sum.Denom))
	if err != nil {
		return err
	}
	if !b.Accrued.Equal(sum.Accrued) || !b.Unsettled.Equal(sum.Unsettled) {
		return fmt.Errorf("%s accrued and %s unsettled, the book says %s and %s", sum.Accrued, sum.Unsettled, b.Accrued, b.Unsettled)
	}
	if b.Owed().Sub(b.Accrued).Mul(types.Scale()).LT(b.Unsettled) {
		return fmt.Errorf("%s owed, %s accrued, %s unsettled", b.Owed(), b.Accrued, b.Unsettled)
	}
	if has := k.bank.GetBalance(p.Context(), types.RewardAccount(sum.Client), sum.Denom).Amount; has.LT(b.Owed()) {
		return fmt.Errorf("the reward account has %s, and owes %s", has, b.Owed())
	}
	return nil
}
