package keeper

import (
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	"github.com/mesh-security/mesh/x/mesh/invariant"
)

// bookSum is a reward book with what waits and what is in flight, added up.
type bookSum struct {
	Provider string      `json:"provider"`
	Denom    string      `json:"denom"`
	Pending  sdkmath.Int `json:"pending"`
	InFlight sdkmath.Int `json:"in_flight"`
}

// providerDenom is a provider and a denom.
type providerDenom struct{ provider, denom string }

func bookName(key bookKey) string { return fmt.Sprintf("rewards of %s in %s", key.K1(), key.K2()) }

func booksByKey(books []*bookSum) map[providerDenom]*bookSum {
	byKey := make(map[providerDenom]*bookSum, len(books))
	for _, b := range books {
		byKey[providerDenom{b.Provider, b.Denom}] = b
	}
	return byKey
}

// rewardsInvariant says that each provider's books add up and agree with what waits and what is in flight, and that its two
// accounts hold at least what the books say is on them.
func (k *Keeper) rewardsInvariant() invariant.Check {
	rewardName := func(key rewardKey) string {
		return fmt.Sprintf("reward of %s in %s for %s", key.K1(), key.K2(), k.valString(key.K3()))
	}
	transferName := func(key transferKey) string { return fmt.Sprintf("transfer %d over %s", key.K2(), key.K1()) }
	return invariant.Check{Name: InvariantRewards, Phases: []invariant.Phase{
		invariant.Each(k.Rewards, rewardName, func(p *invariant.Page, key rewardKey, amount sdkmath.Int) error {
			if !amount.IsPositive() {
				return fmt.Errorf("amount %s", amount)
			}
			return errors.Join(types.ValidateOperator(key.K3()), k.hasBook(p, key.K1(), key.K2()))
		}),
		invariant.Each(k.RewardTransfers, transferName, func(p *invariant.Page, _ transferKey, t types.RewardTransfer) error {
			p.Spend(len(t.Rewards))
			return errors.Join(t.Validate(), k.hasBook(p, t.ProviderId, t.Denom))
		}),
		invariant.Each(k.RewardWork, providerName, func(p *invariant.Page, id string, work types.RewardWork) error {
			return errors.Join(work.Validate(), k.known(p, id))
		}),
		invariant.Grouped(k.RewardBooks, bookName,
			func(key bookKey, _ types.RewardBook) *bookSum {
				return &bookSum{key.K1(), key.K2(), sdkmath.ZeroInt(), sdkmath.ZeroInt()}
			},
			func(b *bookSum) string { return bookName(collections.Join(b.Provider, b.Denom)) },
			[]func(*invariant.Page, *[]byte, []*bookSum) bool{
				func(p *invariant.Page, after *[]byte, books []*bookSum) bool {
					byKey := booksByKey(books)
					return invariant.Walk(p, k.Rewards, after, rewardName, func(key rewardKey, amount sdkmath.Int) error {
						if b := byKey[providerDenom{key.K1(), key.K2()}]; b != nil {
							b.Pending = b.Pending.Add(amount)
						}
						return nil
					})
				},
				func(p *invariant.Page, after *[]byte, books []*bookSum) bool {
					byKey := booksByKey(books)
					return invariant.Walk(p, k.RewardTransfers, after, transferName, func(_ transferKey, t types.RewardTransfer) error {
						if b := byKey[providerDenom{t.ProviderId, t.Denom}]; b != nil {
							b.InFlight = b.InFlight.Add(t.Sum())
						}
						return nil
					})
				},
			}, k.compareBook),
	}}
}

func (k *Keeper) hasBook(p *invariant.Page, providerID, denom string) error {
	p.Spend(1)
	if found, err := k.RewardBooks.Has(p.Context(), collections.Join(providerID, denom)); err != nil || !found {
		return errors.Join(fmt.Errorf("no book of %s in %s", providerID, denom), err)
	}
	return nil
}

// compareBook compares a reward book with the sums over validators and transfers, and with what the accounts have.
func (k *Keeper) compareBook(p *invariant.Page, sum *bookSum) error {
	book, err := k.RewardBooks.Get(p.Context(), collections.Join(sum.Provider, sum.Denom))
	if err != nil {
		return err
	}
	if err := errors.Join(k.known(p, sum.Provider), sdk.ValidateDenom(sum.Denom), book.Validate()); err != nil {
		return err
	}
	if !book.Pending.Equal(sum.Pending) || !book.InFlight.Equal(sum.InFlight) {
		return fmt.Errorf("%s wait and %s are in flight, the book says %s and %s", sum.Pending, sum.InFlight, book.Pending, book.InFlight)
	}
	for _, part := range []struct {
		account sdk.AccAddress
		amount  sdkmath.Int
	}{
		{types.VirtualAccount(sum.Provider), book.Unmoved},
		{types.RewardAccount(sum.Provider), book.Pending.Sub(book.Unmoved)},
	} {
		if balance := k.bank.GetBalance(p.Context(), part.account, sum.Denom).Amount; balance.LT(part.amount) {
			return fmt.Errorf("account %s has %s, rewards are %s", part.account, balance, part.amount)
		}
	}
	return nil
}
