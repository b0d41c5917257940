package keeper

import (
	"context"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/x/provider/types"
)

// CheckRewards checks invariant 8: every reward account has what it owes, and that covers what is accrued and unsettled,
// which are the sums over delegators' records and positions; and that every consumer's account is known.
func (k *Keeper) CheckRewards(ctx context.Context) error {
	accrued, unsettled := map[clientDenomKey]sdkmath.Int{}, map[clientDenomKey]sdkmath.Int{}
	add := func(m map[clientDenomKey]sdkmath.Int, clientID, denom string, x sdkmath.Int) {
		key := clientDenomKey{clientID, denom}
		if sum, found := m[key]; found {
			x = x.Add(sum)
		}
		m[key] = x
	}
	err := k.Accrued.Walk(ctx, nil, func(key accruedKey, amount sdkmath.Int) (bool, error) {
		if !amount.IsPositive() {
			return true, broken("%s accrued for %s on %s", amount, k.delString(key.K1()), key.K2())
		}
		add(accrued, key.K2(), key.K4(), amount)
		return false, nil
	})
	if err != nil {
		return err
	}
	err = k.Positions.Walk(ctx, nil, func(key delegatorPool, pos types.Position) (bool, error) {
		pool, err := k.Pools.Get(ctx, key.K2())
		if err != nil {
			return true, err
		}
		if len(pos.RewardIndices) > len(pool.Rewards) {
			return true, broken("position of %s in pool %d was settled in %d denoms of %d", k.delString(key.K1()), key.K2(), len(pos.RewardIndices), len(pool.Rewards))
		}
		for i, index := range pos.RewardIndices {
			if index.GT(pool.Rewards[i].Index) {
				return true, broken("position of %s in pool %d was settled in the future", k.delString(key.K1()), key.K2())
			}
		}
		for _, e := range pool.EarnedBy(pos.Shares, pos) {
			add(unsettled, pool.ClientId, e.Denom, e.Scaled)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	err = k.RewardBooks.Walk(ctx, nil, func(key clientDenom, b types.RewardBook) (bool, error) {
		at := clientDenomKey{key.K1(), key.K2()}
		a, u := accrued[at], unsettled[at]
		delete(accrued, at)
		delete(unsettled, at)
		if a.IsNil() {
			a = sdkmath.ZeroInt()
		}
		if u.IsNil() {
			u = sdkmath.ZeroInt()
		}
		if !b.Accrued.Equal(a) || !b.Unsettled.Equal(u) {
			return true, broken("rewards of %s in %s: %s accrued and %s unsettled, the book says %s and %s", at.clientID, at.denom, a, u, b.Accrued, b.Unsettled)
		}
		if b.Owed().Sub(b.Accrued).Mul(types.Scale()).LT(b.Unsettled) {
			return true, broken("rewards of %s in %s: %s owed, %s accrued, %s unsettled", at.clientID, at.denom, b.Owed(), b.Accrued, b.Unsettled)
		}
		if has := k.bank.GetBalance(ctx, types.RewardAccount(at.clientID), at.denom).Amount; has.LT(b.Owed()) {
			return true, broken("reward account of %s has %s%s, and owes %s", at.clientID, has, at.denom, b.Owed())
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	if len(accrued)+len(unsettled) > 0 {
		return broken("rewards without a book: %v accrued, %v unsettled", accrued, unsettled)
	}
	accounts := 0
	err = k.Consumers.Walk(ctx, nil, func(id string, _ types.Consumer) (bool, error) {
		accounts++
		of, found, err := getOr(ctx, k.RewardAccounts, types.RewardAccount(id))
		if err != nil || !found || of != id {
			return true, broken("reward account of %s is that of %q: %v", id, of, err)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	known, err := mapKeys(ctx, k.RewardAccounts, nil, accounts+1)
	if err == nil && len(known) != accounts {
		err = broken("%d reward accounts or more, of %d consumers", len(known), accounts)
	}
	return err
}

// clientDenomKey is a consumer and a denom.
type clientDenomKey struct{ clientID, denom string }

// clientDenom is the same as a key in the store.
type clientDenom = collections.Pair[string, string]
