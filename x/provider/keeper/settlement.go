package keeper

import (
	"context"
	"time"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"

	"github.com/mesh-security/mesh/x/provider/types"
)

// changeTotals changes the sums of invariant 4.
func (k *Keeper) changeTotals(ctx context.Context, change func(*types.SlashTotals)) error {
	totals, err := getItemOr(ctx, k.Totals, types.NewSlashTotals())
	if err != nil {
		return err
	}
	change(&totals)
	return k.Totals.Set(ctx, totals)
}

// noteSlashed adds x tokens that a pool or a batch lost to the sums.
func (k *Keeper) noteSlashed(ctx context.Context, x sdkmath.Int) error {
	if !x.IsPositive() {
		return nil
	}
	return k.changeTotals(ctx, func(t *types.SlashTotals) { t.Slashed = t.Slashed.Add(x) })
}

// debtKey returns the place of a delegator in the queue of debts: the oldest debt comes first.
func debtKey(delAddr sdk.AccAddress, a types.Account) timeDelegator {
	return collections.Join(nanos(a.DebtSince), delAddr)
}

// saveDebt adds what settling added to the ledger's debt to the sums, and queues the delegator if its debt began with it.
func (k *Keeper) saveDebt(ctx context.Context, l *ledger) error {
	if l.settlements == 0 {
		return nil
	}
	owed, settlements := l.owed, l.settlements
	l.owed, l.settlements = sdkmath.ZeroInt(), 0
	begins := l.account.Debt.Equal(owed)
	err := k.changeTotals(ctx, func(t *types.SlashTotals) {
		t.Owed, t.Debt, t.Roundings = t.Owed.Add(owed), t.Debt.Add(owed), t.Roundings+settlements
		if begins {
			t.Debtors++
		}
	})
	if err != nil {
		return err
	}
	// What it owes may need entries that were free until now.
	if !l.evaluated {
		if err := k.mark(ctx, l.delAddr); err != nil {
			return err
		}
	}
	if !begins {
		return nil
	}
	l.account.DebtSince, l.accountDirty = now(ctx), true
	return k.DebtQueue.Set(ctx, debtKey(l.delAddr, l.account))
}

// Settlement returns the sums and the queues of settlement.
func (s queryServer) Settlement(ctx context.Context, _ *types.QuerySettlementRequest) (*types.QuerySettlementResponse, error) {
	res := &types.QuerySettlementResponse{Rewards: sdkmath.ZeroInt()}
	var err error
	if res.Totals, err = getItemOr(ctx, s.k.Totals, types.NewSlashTotals()); err != nil {
		return nil, err
	}
	oldest, err := firstKeys(ctx, s.k.DebtQueue, nil, 1)
	if err != nil {
		return nil, err
	}
	res.OldestDebt = time.Time{}
	if len(oldest) > 0 {
		res.OldestDebt = fromNanos(oldest[0].K1())
	}
	pending, err := firstKeys(ctx, s.k.PendingSlashes, nil, maxCount)
	if err != nil {
		return nil, err
	}
	res.PendingSlashes = uint64(len(pending))
	walks, err := mapKeys(ctx, s.k.Walks, nil, maxCount)
	if err != nil {
		return nil, err
	}
	res.PoolWalks = uint64(len(walks))
	err = s.k.NativeSlashes.Walk(ctx, nil, func(_ sdk.ValAddress, w types.NativeSlashWalk) (bool, error) {
		res.NativeSlashWalks = append(res.NativeSlashWalks, w)
		return len(res.NativeSlashWalks) >= maxCount, nil
	})
	if err != nil {
		return nil, err
	}
	n := 0
	err = s.k.Rewards.Walk(ctx, nil, func(_ uint64, r types.SubmitterReward) (bool, error) {
		res.Rewards = res.Rewards.Add(r.Left)
		n++
		return n >= maxCount, nil
	})
	return res, err
}

// Debts returns the delegators that owe something, the longest waiting first.
func (s queryServer) Debts(ctx context.Context, req *types.QueryDebtsRequest) (*types.QueryDebtsResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	debts, page, err := query.CollectionPaginate(ctx, s.k.DebtQueue, req.Pagination,
		func(key timeDelegator, _ collections.NoValue) (types.Debt, error) {
			account, err := s.k.Accounts.Get(ctx, key.K2())
			return types.Debt{Delegator: s.k.delString(key.K2()), Amount: account.Debt, Since: account.DebtSince}, err
		})
	if err != nil {
		return nil, err
	}
	return &types.QueryDebtsResponse{Debts: debts, Pagination: page}, nil
}

// Shortfalls returns the debts that nothing was left to pay, by delegator.
func (s queryServer) Shortfalls(ctx context.Context, req *types.QueryShortfallsRequest) (*types.QueryShortfallsResponse, error) {
	if req == nil {
		return nil, errEmptyRequest
	}
	shortfalls, page, err := query.CollectionPaginate(ctx, s.k.Shortfalls, req.Pagination,
		func(delAddr sdk.AccAddress, f types.Shortfall) (types.ShortfallView, error) {
			return types.ShortfallView{Delegator: s.k.delString(delAddr), Amount: f.Amount}, nil
		})
	if err != nil {
		return nil, err
	}
	return &types.QueryShortfallsResponse{Shortfalls: shortfalls, Pagination: page}, nil
}
