package keeper

import (
	"context"
	"errors"
	"time"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// Keys of the rewards' state: provider, denom and validator; provider and denom; channel and sequence.
type (
	rewardKey   = collections.Triple[string, string, []byte]
	bookKey     = collections.Pair[string, string]
	transferKey = collections.Pair[string, uint64]
)

// rewardState is the part of the module's state that concerns rewards.
//
// What waits for a provider is counted in its books and lies on two accounts: that of the virtual stake, to which
// x/distribution pays, and the reward account, from which transfers are sent. Whatever else is on them belongs to the
// community pool.
type rewardState struct {
	// Rewards wait to be sent, by provider, denom and validator.
	Rewards collections.Map[rewardKey, sdkmath.Int]
	// RewardBooks add them up, by provider and denom.
	RewardBooks collections.Map[bookKey, types.RewardBook]
	// RewardTransfers are in flight, by channel (or client, for IBC v2) and sequence.
	RewardTransfers collections.Map[transferKey, types.RewardTransfer]
	// RewardWork is what is left of the epoch's work, by provider.
	RewardWork collections.Map[string, types.RewardWork]
}

func newRewardState(sb *collections.SchemaBuilder, cdc codec.BinaryCodec) rewardState {
	return rewardState{
		Rewards: collections.NewMap(sb, types.RewardsKey, "rewards",
			collections.TripleKeyCodec(collections.StringKey, collections.StringKey, collections.BytesKey), sdk.IntValue),
		RewardBooks: collections.NewMap(sb, types.RewardBooksKey, "reward_books",
			collections.PairKeyCodec(collections.StringKey, collections.StringKey), codec.CollValue[types.RewardBook](cdc)),
		RewardTransfers: collections.NewMap(sb, types.RewardTransfersKey, "reward_transfers",
			collections.PairKeyCodec(collections.StringKey, collections.Uint64Key), codec.CollValue[types.RewardTransfer](cdc)),
		RewardWork: collections.NewMap(sb, types.RewardWorkKey, "reward_work",
			collections.StringKey, codec.CollValue[types.RewardWork](cdc)),
	}
}

// ConnectDistribution connects the keeper to x/distribution. Without it no rewards are counted.
func (k *Keeper) ConnectDistribution(distribution types.DistributionKeeper) {
	k.distribution = distribution
}

// ConnectTransfer connects the keeper to ICS-20 transfer. Without it rewards wait.
//
// CONTRACT: the transfer module's acknowledgements and timeouts come to TransferDone.
func (k *Keeper) ConnectTransfer(transfer types.TransferKeeper) { k.transfer = transfer }

// rewardDenoms returns the denoms of which a provider gets its part: those registered, else the bond denom.
func (k *Keeper) rewardDenoms(ctx context.Context, config types.ProviderConfig) ([]types.RewardDenom, error) {
	if len(config.RewardDenoms) > 0 {
		return config.RewardDenoms, nil
	}
	denom, err := k.staking.BondDenom(ctx)
	if err != nil {
		return nil, err
	}
	return []types.RewardDenom{{Denom: denom, MinTransfer: sdkmath.ZeroInt()}}, nil
}

// rewardBook returns a provider's book in a denom; an empty one if there is none.
func (k *Keeper) rewardBook(ctx context.Context, providerID, denom string) (types.RewardBook, error) {
	book, err := k.RewardBooks.Get(ctx, collections.Join(providerID, denom))
	if errors.Is(err, collections.ErrNotFound) {
		return types.NewRewardBook(), nil
	}
	return book, err
}

// rewardWork returns what is left of the epoch's work on a provider's rewards, and whether anything is.
func (k *Keeper) rewardWork(ctx context.Context, providerID string) (types.RewardWork, bool, error) {
	work, err := k.RewardWork.Get(ctx, providerID)
	if errors.Is(err, collections.ErrNotFound) {
		return types.RewardWork{}, false, nil
	}
	return work, err == nil, err
}

// gain is an amount that x/distribution paid for a provider's virtual stake on a validator.
type gain struct {
	provider string
	valAddr  sdk.ValAddress
	coin     sdk.Coin
}

// credit counts what x/distribution has paid out to the accounts of virtual stake. Of each amount the provider's part,
// rounded down, is set aside; the rest stays on the account and is swept into the community pool.
func (k *Keeper) credit(ctx sdk.Context, gains []gain) error {
	type total struct {
		book       types.RewardBook
		amount     sdkmath.Int
		validators uint32
	}
	var (
		order  []bookKey
		totals = map[string]map[string]*total{}
		ratios = map[string]sdkmath.LegacyDec{}
	)
	for _, g := range gains {
		if _, ok := ratios[g.provider]; !ok {
			p, err := k.GetProvider(ctx, g.provider)
			if err != nil {
				return err
			}
			ratios[g.provider], totals[g.provider] = p.Config.RewardRatio, map[string]*total{}
		}
		part := types.RewardPart(g.coin.Amount, ratios[g.provider])
		if !part.IsPositive() {
			continue
		}
		sum, ok := totals[g.provider][g.coin.Denom]
		if !ok {
			book, err := k.rewardBook(ctx, g.provider, g.coin.Denom)
			if err != nil {
				return err
			}
			sum = &total{book: book, amount: sdkmath.ZeroInt()}
			totals[g.provider][g.coin.Denom] = sum
			order = append(order, collections.Join(g.provider, g.coin.Denom))
		}
		if err := k.addReward(ctx, g.provider, g.coin.Denom, g.valAddr, part); err != nil {
			return err
		}
		sum.amount = sum.amount.Add(part)
		sum.validators++
	}
	for _, key := range order {
		sum := totals[key.K1()][key.K2()]
		sum.book.Collected = sum.book.Collected.Add(sum.amount)
		sum.book.Unmoved = sum.book.Unmoved.Add(sum.amount)
		addPending(&sum.book, sum.amount, ctx.BlockTime())
		if err := k.RewardBooks.Set(ctx, key, sum.book); err != nil {
			return err
		}
		k.emit(ctx, &types.EventRewardsCollected{
			ProviderId: key.K1(), Denom: key.K2(), Amount: sum.amount, Validators: sum.validators,
		})
	}
	return nil
}

// addPending adds to what waits, since the time given or longer.
func addPending(book *types.RewardBook, amount sdkmath.Int, since time.Time) {
	book.Pending = book.Pending.Add(amount)
	if book.WaitingSince.IsZero() || since.Before(book.WaitingSince) {
		book.WaitingSince = since
	}
}

func (k *Keeper) addReward(ctx context.Context, providerID, denom string, valAddr []byte, amount sdkmath.Int) error {
	key := collections.Join3(providerID, denom, valAddr)
	old, err := k.Rewards.Get(ctx, key)
	if err == nil {
		amount = amount.Add(old)
	} else if !errors.Is(err, collections.ErrNotFound) {
		return err
	}
	return k.Rewards.Set(ctx, key, amount)
}

// purse is what an account of virtual stake holds in the denoms of which the provider gets a part.
type purse struct {
	open  bool
	coins sdk.Coins
}

// openPurse notes what the account of a provider's virtual stake holds, unless that is known. x/distribution pays out
// rewards whenever a delegation changes, before the change and to this account, and says how much only in an event:
// nothing else reaches the account in the same call, so what it holds more afterwards is the reward.
func (k *Keeper) openPurse(ctx context.Context, p *providerView) error {
	if p.purse.open || k.distribution == nil || !p.Config.RewardRatio.IsPositive() {
		return nil
	}
	denoms, err := k.rewardDenoms(ctx, p.Config)
	if err != nil {
		return err
	}
	p.purse.coins = make([]sdk.Coin, len(denoms))
	for i, d := range denoms {
		p.purse.coins[i] = k.bank.GetBalance(ctx, p.account, d.Denom)
	}
	p.purse.open = true
	return nil
}

// countPurse returns what has come into the purse since it was opened or counted, as rewards of a validator.
func (k *Keeper) countPurse(ctx context.Context, p *providerView, valAddr sdk.ValAddress) (gains []gain) {
	if !p.purse.open {
		return nil
	}
	for i, old := range p.purse.coins {
		now := k.bank.GetBalance(ctx, p.account, old.Denom)
		if now.Amount.GT(old.Amount) {
			gains = append(gains, gain{provider: p.id(), valAddr: valAddr, coin: now.Sub(old)})
		}
		p.purse.coins[i] = now
	}
	return gains
}

// creditApart counts rewards without ever failing: virtual stake must be able to leave whatever happens to rewards. What is
// not counted goes to the community pool.
func (k *Keeper) creditApart(ctx sdk.Context, gains []gain) {
	if len(gains) == 0 {
		return
	}
	if _, err := isolated(ctx, blockGas, func(ctx sdk.Context) error { return k.credit(ctx, gains) }); err != nil {
		k.stageFailed(ctx, "credit rewards", err)
	}
}

// unreachable says whether nothing can be sent to a provider any more: it is not registered, or it is removed and its
// virtual stake is gone.
func (k *Keeper) unreachable(ctx context.Context, providerID string) (bool, error) {
	p, err := k.GetProvider(ctx, providerID)
	if errors.Is(err, types.ErrProviderNotFound) {
		return true, nil
	}
	if err != nil || p.Status != types.PROVIDER_STATUS_REMOVED {
		return false, err
	}
	backed, err := k.hasVirtualStake(ctx, providerID)
	return !backed, err
}

// ownAccount creates an account of the module's if it does not exist. One that somebody has created as a vesting account,
// which would lock coins in it, becomes an ordinary one.
func (k *Keeper) ownAccount(ctx context.Context, addr sdk.AccAddress) {
	account := k.accounts.GetAccount(ctx, addr)
	if account != nil {
		if _, locks := account.(interface {
			LockedCoins(blockTime time.Time) sdk.Coins
		}); !locks {
			return
		}
	}
	k.accounts.SetAccount(ctx, k.accounts.NewAccountWithAddress(ctx, addr))
}

// fundCommunity sends coins of one of the module's accounts to the community pool.
func (k *Keeper) fundCommunity(ctx context.Context, coins sdk.Coins, from sdk.AccAddress) error {
	if k.distribution == nil {
		return errorsmod.Wrap(types.ErrNotConnected, "x/distribution")
	}
	return k.distribution.FundCommunityPool(ctx, coins, from)
}

// CheckDeposit returns ErrDepositDenom if any of the coins may not be deposited into validators' rewards: only the bond
// denom may, and what is registered as a reward of a provider that is not removed.
func (k *Keeper) CheckDeposit(ctx context.Context, coins sdk.Coins) error {
	bond, err := k.staking.BondDenom(ctx)
	if err != nil {
		return err
	}
	var registered map[string]bool
	for _, c := range coins {
		if c.Denom == bond {
			continue
		}
		if registered == nil {
			if registered, err = k.registeredRewards(ctx); err != nil {
				return err
			}
		}
		if !registered[c.Denom] {
			return errorsmod.Wrap(types.ErrDepositDenom, c.Denom)
		}
	}
	return nil
}

// registeredRewards returns the denoms registered as rewards of any provider that is not removed.
func (k *Keeper) registeredRewards(ctx context.Context) (map[string]bool, error) {
	providers, err := k.allProviders(ctx)
	if err != nil {
		return nil, err
	}
	registered := map[string]bool{}
	for _, p := range providers {
		if p.Status == types.PROVIDER_STATUS_REMOVED {
			continue
		}
		for _, d := range p.Config.RewardDenoms {
			registered[d.Denom] = true
		}
	}
	return registered, nil
}
