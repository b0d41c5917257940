package keeper

import (
	"context"

	"cosmossdk.io/collections"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// maxSweptBalances is how many balances of reward accounts are looked at in one block.
const maxSweptBalances = 20

// startRewardSweep begins a walk over all reward accounts at the end of an epoch, unless one still runs.
func (k *Keeper) startRewardSweep(ctx context.Context) error {
	if k.community == nil {
		return nil
	}
	running, err := k.RewardSweep.Has(ctx)
	if err != nil || running {
		return err
	}
	return k.RewardSweep.Set(ctx, types.RewardSweep{})
}

// runRewardSweep moves the walk on by at most limit balances: what reward accounts have beyond what they owe was sent by
// strangers, or left by a transfer that could not be worked on, and goes to the community pool.
func (k *Keeper) runRewardSweep(ctx sdk.Context, limit int) error {
	running, err := k.RewardSweep.Has(ctx)
	if err != nil || !running {
		return err
	}
	w, err := k.RewardSweep.Get(ctx)
	if err != nil {
		return err
	}
	for limit > 0 {
		next, err := mapKeys(ctx, k.Consumers, new(collections.Range[string]).StartInclusive(w.ClientId), 1)
		if err != nil {
			return err
		}
		if len(next) == 0 {
			return k.RewardSweep.Remove(ctx)
		}
		if next[0] != w.ClientId {
			w = types.RewardSweep{ClientId: next[0]}
		}
		n, key := 0, []byte(nil)
		k.attempt(ctx, "reward sweep", w.ClientId, func(ctx sdk.Context) (err error) {
			n, key, err = k.sweepAccount(ctx, w, limit)
			return err
		})
		if limit -= max(n, 1); len(key) > 0 {
			w.Key = key
			continue
		}
		w = types.RewardSweep{ClientId: w.ClientId + "\x00"} // the first id after it
	}
	return k.RewardSweep.Set(ctx, w)
}

// sweepAccount looks at a page of the balances of a consumer's reward account. It returns their number and where the next
// page begins, empty if there is none.
func (k *Keeper) sweepAccount(ctx sdk.Context, w types.RewardSweep, limit int) (n int, key []byte, err error) {
	res, err := k.bank.AllBalances(ctx, &banktypes.QueryAllBalancesRequest{
		Address: k.delString(types.RewardAccount(w.ClientId)), Pagination: &query.PageRequest{Key: w.Key, Limit: uint64(limit)},
	})
	if err != nil {
		return 1, nil, err
	}
	if res.Pagination != nil {
		key = res.Pagination.NextKey
	}
	var strangers sdk.Coins
	for _, c := range res.Balances {
		book, found, err := getOr(ctx, k.RewardBooks, collections.Join(w.ClientId, c.Denom))
		if err != nil {
			return 1, nil, err
		}
		if found {
			c.Amount = c.Amount.Sub(book.Owed())
		}
		if c.Amount.IsPositive() {
			strangers = append(strangers, c)
		}
	}
	if len(strangers) == 0 {
		return len(res.Balances), key, nil
	}
	strangers = strangers.Sort()
	err = k.isolate(ctx, func(ctx sdk.Context) error { return k.fundCommunity(ctx, w.ClientId, strangers, true) })
	if err == nil {
		return len(res.Balances), key, nil
	}
	// One that cannot be moved must not keep the others.
	for _, c := range strangers {
		k.attempt(ctx, "reward sweep", w.ClientId, func(ctx sdk.Context) error {
			return k.fundCommunity(ctx, w.ClientId, sdk.NewCoins(c), true)
		})
	}
	return len(res.Balances), key, nil
}
