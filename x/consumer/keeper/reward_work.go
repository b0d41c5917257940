package keeper

import (
	"context"
	"time"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

const (
	// transfersPerBlock bounds how many transfers of rewards are sent in one block.
	transfersPerBlock = 5
	// sweepsPerBlock bounds how many denoms are swept in one block from one account.
	sweepsPerBlock = 20
	// rewardGas bounds what one withdrawal, transfer or sweep may cost.
	rewardGas = 100_000_000
)

// startRewards begins the epoch's work on rewards, for every provider whose last epoch's is done but for sweeping.
func (k *Keeper) startRewards(ctx sdk.Context) error {
	if k.distribution == nil {
		return nil
	}
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	for _, p := range providers {
		id := p.Config.ProviderId
		work, working, err := k.rewardWork(ctx, id)
		if err != nil {
			return err
		}
		if working && work.Phase != types.REWARD_PHASE_SWEEP {
			continue
		}
		backed, err := k.hasVirtualStake(ctx, id)
		if err != nil {
			return err
		}
		next := types.RewardWork{Phase: types.REWARD_PHASE_SEND}
		if backed {
			next.Phase = types.REWARD_PHASE_COLLECT
		}
		if err := k.RewardWork.Set(ctx, id, next); err != nil {
			return err
		}
	}
	return nil
}

// rewardsMayGoOn says whether there is work on rewards for a block that has carried out so many changes of virtual stake. A
// block that was full of them leaves it to the next one, until half of the epoch is over.
func (k *Keeper) rewardsMayGoOn(ctx sdk.Context, changes int) (may bool) {
	err := caught(func() error {
		it, err := k.RewardWork.Iterate(ctx, nil)
		if err != nil {
			return err
		}
		may = it.Valid()
		if err := it.Close(); err != nil || !may || changes == 0 {
			return err
		}
		params, err := k.Params.Get(ctx)
		if err != nil {
			return err
		}
		epoch, err := k.Epoch.Get(ctx)
		if err != nil {
			return err
		}
		full := changes >= int(params.MaxEpochOperations)
		may = !full || ctx.BlockTime().After(epoch.Start.Add(params.EpochDuration/2))
		return nil
	})
	if err != nil {
		k.stageFailed(ctx, "rewards", err)
	}
	return may && err == nil
}

// budget is what a block may still do for rewards.
type budget struct {
	withdrawals, transfers int
	gas                    storetypes.Gas
}

// workRewards does a block's part of the epoch's work on rewards: each provider's rewards are collected, then sent, then
// what is left on its accounts is swept. Each provider is isolated.
func (k *Keeper) workRewards(ctx sdk.Context) error {
	type job struct {
		provider string
		work     types.RewardWork
	}
	var jobs []job
	err := k.RewardWork.Walk(ctx, nil, func(id string, work types.RewardWork) (bool, error) {
		jobs = append(jobs, job{id, work})
		return false, nil
	})
	if err != nil || len(jobs) == 0 {
		return err
	}
	params, err := k.Params.Get(ctx)
	if err != nil {
		return err
	}
	left := &budget{withdrawals: params.Withdrawals(), transfers: transfersPerBlock, gas: blockGas}
	for _, j := range jobs {
		// Without a cache around it: what it does is isolated item by item, and has bounds of its own.
		err := caught(func() error {
			cacheCtx, write := ctx.CacheContext()
			if err := k.workProvider(cacheCtx, params, j.provider, j.work, left); err != nil {
				return err
			}
			write()
			return nil
		})
		if err != nil {
			// It begins anew with the next epoch.
			k.stageFailed(ctx, "rewards of "+j.provider, err)
			if err := k.RewardWork.Remove(ctx, j.provider); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *Keeper) workProvider(ctx sdk.Context, params types.Params, providerID string, work types.RewardWork, left *budget) error {
	p, err := k.GetProvider(ctx, providerID)
	if err != nil {
		return err
	}
	if work.Phase == types.REWARD_PHASE_COLLECT {
		done, err := k.collect(ctx, p, &work, left)
		if err != nil {
			return err
		}
		if done {
			work = types.RewardWork{Phase: types.REWARD_PHASE_SEND}
		}
	}
	if work.Phase == types.REWARD_PHASE_SEND {
		done, err := k.sendDueRewards(ctx, params, p, &work, left)
		if err != nil {
			return err
		}
		if done {
			work = types.RewardWork{Phase: types.REWARD_PHASE_SWEEP}
		}
	}
	if work.Phase == types.REWARD_PHASE_SWEEP {
		done, err := k.sweep(ctx, p)
		if err != nil {
			return err
		}
		if done {
			return k.RewardWork.Remove(ctx, providerID)
		}
	}
	return k.RewardWork.Set(ctx, providerID, work)
}

// collect withdraws the rewards of a provider's virtual delegations, from behind the cursor on and as far as the budget
// reaches, and says whether all are done. A withdrawal that fails is skipped until the next epoch.
func (k *Keeper) collect(ctx sdk.Context, p types.Provider, work *types.RewardWork, left *budget) (done bool, err error) {
	account := types.VirtualAccount(p.Config.ProviderId)
	registered, err := k.rewardDenoms(ctx, p.Config)
	if err != nil {
		return false, err
	}
	rng := new(collections.Range[[]byte])
	if len(work.Cursor) > 0 {
		rng = rng.StartExclusive(work.Cursor)
	}
	var vals [][]byte
	done = true
	err = k.VirtualShares.Walk(ctx, rng, func(val []byte, _ sdkmath.LegacyDec) (bool, error) {
		if len(vals) >= left.withdrawals {
			done = false
			return true, nil
		}
		vals = append(vals, val)
		return false, nil
	})
	if err != nil {
		return false, err
	}
	var gains []gain
	for _, val := range vals {
		if left.gas == 0 {
			done = false
			break
		}
		left.withdrawals--
		work.Cursor = val
		delegated, err := k.hasDelegation(ctx, account, val)
		if err != nil {
			return false, err
		}
		if !delegated {
			continue
		}
		var paid sdk.Coins
		used, err := isolated(ctx, rewardGas, func(ctx sdk.Context) (err error) {
			paid, err = k.distribution.WithdrawDelegationRewards(ctx, account, val)
			return err
		})
		left.gas -= min(left.gas, used)
		if err != nil {
			k.emit(ctx, &types.EventWithdrawalFailed{
				ProviderId: p.Config.ProviderId, Validator: k.valString(val), Reason: err.Error(),
			})
			continue
		}
		for _, d := range registered {
			if amount := paid.AmountOf(d.Denom); amount.IsPositive() {
				gains = append(gains, gain{provider: p.Config.ProviderId, valAddr: val, coin: sdk.NewCoin(d.Denom, amount)})
			}
		}
	}
	return done, k.credit(ctx, gains)
}

// moveRewards moves what has been set aside for a provider in a denom to its reward account.
func (k *Keeper) moveRewards(ctx context.Context, providerID, denom string, book *types.RewardBook) error {
	if !book.Unmoved.IsPositive() {
		return nil
	}
	coins := sdk.NewCoins(sdk.NewCoin(denom, book.Unmoved))
	if err := k.bank.SendCoins(ctx, types.VirtualAccount(providerID), types.RewardAccount(providerID), coins); err != nil {
		return err
	}
	book.Unmoved = sdkmath.ZeroInt()
	return k.RewardBooks.Set(ctx, collections.Join(providerID, denom), *book)
}

// sendDueRewards sends what is due, denom by denom, as far as the budget reaches, and says whether all is done. What
// waits below its minimum is due after a day; to a removed provider without virtual stake everything is due, and what
// cannot be sent to it goes to the community pool.
func (k *Keeper) sendDueRewards(
	ctx sdk.Context, params types.Params, p types.Provider, work *types.RewardWork, left *budget,
) (done bool, err error) {
	id := p.Config.ProviderId
	last, err := k.unreachable(ctx, id)
	if err != nil {
		return false, err
	}
	registered, err := k.rewardDenoms(ctx, p.Config)
	if err != nil {
		return false, err
	}
	var denoms []string
	err = k.RewardBooks.Walk(ctx, collections.NewPrefixedPairRange[string, string](id), func(key bookKey, book types.RewardBook) (bool, error) {
		denom := key.K2()
		underway := len(work.Cursor) > 0 && denom == work.Denom
		if book.Pending.IsPositive() && (denom > work.Denom || underway) {
			denoms = append(denoms, denom)
		}
		return false, nil
	})
	if err != nil {
		return false, err
	}
	for _, denom := range denoms {
		book, err := k.rewardBook(ctx, id, denom)
		if err != nil {
			return false, err
		}
		if _, err := isolated(ctx, rewardGas, func(ctx sdk.Context) error { return k.moveRewards(ctx, id, denom, &book) }); err != nil {
			k.Logger(ctx).Error("cannot move rewards", "provider", id, "denom", denom, "error", err)
		}
		before, underway := work.Denom, len(work.Cursor) > 0 && denom == work.Denom
		if !underway {
			work.Denom, work.Cursor = denom, nil
		}
		entry, _ := types.FindRewardDenom(registered, denom)
		if !underway && !last && !isDue(ctx.BlockTime(), entry, book) {
			continue
		}
		sent, err := k.sendDenom(ctx, params, p, work, left, last)
		if err != nil {
			return false, err
		}
		if !sent {
			if len(work.Cursor) == 0 { // not begun
				work.Denom = before
			}
			return false, nil
		}
		work.Cursor = nil
	}
	return true, nil
}

// isDue says whether what waits in a denom is to be sent now: it is enough, or has waited for a day, and the last failure
// is long enough ago.
func isDue(now time.Time, d types.RewardDenom, book types.RewardBook) bool {
	if now.Before(book.RetryAt) {
		return false
	}
	enough := d.Denom == "" || book.Pending.GTE(d.MinTransfer)
	return enough || !now.Before(book.WaitingSince.Add(types.MaxRewardWait))
}

// sendDenom sends what waits in a denom, from behind the cursor on, and says whether it is done with it: everything sent,
// or nothing more to be tried.
func (k *Keeper) sendDenom(
	ctx sdk.Context, params types.Params, p types.Provider, work *types.RewardWork, left *budget, last bool,
) (done bool, err error) {
	id, denom := p.Config.ProviderId, work.Denom
	nowhere := p.Config.RewardChannel == "" || p.Config.RewardReceiver == ""
	if nowhere && !last {
		return true, nil
	}
	for {
		if left.transfers == 0 || left.gas == 0 {
			return false, nil
		}
		rewards, more, err := k.nextRewards(ctx, id, denom, work.Cursor)
		if err != nil || len(rewards) == 0 {
			return true, err
		}
		left.transfers--
		used, err := isolated(ctx, rewardGas, func(ctx sdk.Context) error {
			return k.sendRewards(ctx, params, p, denom, rewards)
		})
		left.gas -= min(left.gas, used)
		switch {
		case err == nil:
		case last:
			if err := k.abandon(ctx, id, denom, rewards); err != nil {
				return false, err
			}
		default:
			return true, k.notSent(ctx, params, id, denom, err)
		}
		work.Cursor = rewards[len(rewards)-1].Validator
		if !more {
			return true, nil
		}
	}
}

// hasDelegation says whether an account delegates to a validator.
func (k *Keeper) hasDelegation(ctx context.Context, account sdk.AccAddress, valAddr sdk.ValAddress) (bool, error) {
	_, shares, err := k.virtualStake(ctx, account, valAddr)
	return shares.IsPositive(), err
}

// sweep sends what a provider's accounts hold beyond what its books say to the community pool, at most so many denoms of
// each account in one block, and says whether nothing is left.
func (k *Keeper) sweep(ctx sdk.Context, p types.Provider) (done bool, err error) {
	id := p.Config.ProviderId
	virtual, waiting := map[string]sdkmath.Int{}, map[string]sdkmath.Int{}
	err = k.RewardBooks.Walk(ctx, collections.NewPrefixedPairRange[string, string](id), func(key bookKey, book types.RewardBook) (bool, error) {
		virtual[key.K2()], waiting[key.K2()] = book.Unmoved, book.Pending.Sub(book.Unmoved)
		return false, nil
	})
	if err != nil {
		return false, err
	}
	one, err := k.sweepAccount(ctx, id, types.VirtualAccount(id), virtual)
	if err != nil {
		return false, err
	}
	other, err := k.sweepAccount(ctx, id, types.RewardAccount(id), waiting)
	return one && other, err
}

func (k *Keeper) sweepAccount(ctx sdk.Context, providerID string, account sdk.AccAddress, kept map[string]sdkmath.Int) (done bool, err error) {
	var coins []sdk.Coin
	k.bank.IterateAccountBalances(ctx, account, func(coin sdk.Coin) bool {
		if keep, ok := kept[coin.Denom]; ok {
			coin.Amount = coin.Amount.Sub(keep)
		}
		if coin.Amount.IsPositive() {
			coins = append(coins, coin)
		}
		return len(coins) >= sweepsPerBlock
	})
	if len(coins) == 0 {
		return true, nil
	}
	swept := sdk.NewCoins(coins...)
	fund := func(coins sdk.Coins) error {
		_, err := isolated(ctx, rewardGas, func(ctx sdk.Context) error { return k.fundCommunity(ctx, coins, account) })
		return err
	}
	if err := fund(swept); err != nil {
		// One denom that cannot be sent holds up no other.
		swept = nil
		for _, coin := range coins {
			if err := fund(sdk.NewCoins(coin)); err != nil {
				k.Logger(ctx).Error("cannot sweep", "account", account, "coin", coin, "error", err)
				continue
			}
			swept = swept.Add(coin)
		}
	}
	if swept.Empty() {
		return true, nil
	}
	text, err := k.accounts.AddressCodec().BytesToString(account)
	if err != nil {
		return false, errorsmod.Wrap(err, "account")
	}
	k.emit(ctx, &types.EventRewardsSwept{ProviderId: providerID, Account: text, Coins: swept})
	return len(coins) < sweepsPerBlock, nil
}
