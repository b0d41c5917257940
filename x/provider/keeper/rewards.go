package keeper

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// Transfer is an ICS-20 packet that was received, whichever version of IBC carried it.
type Transfer struct {
	// SourcePort and SourceChannel are those of the chain that sent it; over IBC v2 the channel is a client.
	SourcePort, SourceChannel string
	// DestPort and DestChannel are ours.
	DestPort, DestChannel string
	// Data is what the packet says.
	Data transfertypes.InternalTransferRepresentation
}

// coin returns what the packet credited on this chain, as ICS-20 computes it: a token that comes home loses the hop it went
// out by, any other gains the one it came by. Errors: ErrRewardDenom, ErrAmountTooLarge for what is no coin.
func (t Transfer) coin() (sdk.Coin, error) {
	denom := t.Data.Token.Denom
	if denom.HasPrefix(t.SourcePort, t.SourceChannel) {
		denom = transfertypes.NewDenom(denom.Base, denom.Trace[1:]...)
	} else {
		hop := transfertypes.NewHop(t.DestPort, t.DestChannel)
		denom = transfertypes.NewDenom(denom.Base, append([]transfertypes.Hop{hop}, denom.Trace...)...)
	}
	amount, ok := sdkmath.NewIntFromString(t.Data.Token.Amount)
	if !ok || amount.IsNegative() {
		return sdk.Coin{}, errorsmod.Wrapf(types.ErrAmountTooLarge, "%.80q", t.Data.Token.Amount)
	}
	coin := sdk.Coin{Denom: denom.IBCDenom(), Amount: amount}
	if err := coin.Validate(); err != nil {
		return coin, errorsmod.Wrap(types.ErrRewardDenom, err.Error())
	}
	return coin, nil
}

// ReceiveTransfer looks at a transfer that ICS-20 has credited. One to a consumer's reward account is taken as rewards, or
// if it is not what it should be, goes to the community pool, and an event says why. It never fails: what cannot be moved
// stays in the account for the sweep. Only running out of gas ends the transaction, so that the relayer tries again.
func (k *Keeper) ReceiveTransfer(ctx sdk.Context, t Transfer) {
	receiver, err := k.accounts.AddressCodec().StringToBytes(t.Data.Receiver)
	if err != nil {
		return
	}
	clientID, found, err := getOr(ctx, k.RewardAccounts, receiver)
	if err != nil || !found {
		return
	}
	err = k.isolateTx(ctx, func(ctx sdk.Context) error {
		coin, err := t.coin()
		if err != nil {
			return err
		}
		err = k.isolateTx(ctx, func(ctx sdk.Context) error { return k.takeRewards(ctx, clientID, t, coin) })
		if err == nil {
			return nil
		}
		k.emit(ctx, &types.EventRewardsRefused{
			ConsumerId: clientID, Channel: t.DestChannel, Sender: cutText(t.Data.Sender), Amount: coin.String(), Reason: err.Error(),
		})
		k.rewardsToCommunity(ctx, clientID, sdk.NewCoins(coin))
		return nil
	})
	if err != nil {
		k.Logger(ctx).Error("transfer to a reward account", "consumer", clientID, "error", err)
	}
}

// cutText returns at most 128 bytes of what a packet says, for events.
func cutText(s string) string { return s[:min(len(s), 128)] }

// rewardsToCommunity sends coins of a consumer's reward account to the community pool, inside a transaction. What cannot be
// sent is left for the sweep.
func (k *Keeper) rewardsToCommunity(ctx sdk.Context, clientID string, coins sdk.Coins) {
	err := k.isolateTx(ctx, func(ctx sdk.Context) error { return k.fundCommunity(ctx, clientID, coins, false) })
	if err != nil {
		k.Logger(ctx).Error("rewards not sent to the community pool", "consumer", clientID, "coins", coins, "error", err)
		k.emit(ctx, &types.EventStageFailed{Stage: "rewards to the community pool", Subject: clientID, Reason: err.Error()})
	}
}

// fundCommunity sends coins of a consumer's reward account to the community pool.
func (k *Keeper) fundCommunity(ctx context.Context, clientID string, coins sdk.Coins, swept bool) error {
	if k.community == nil {
		return errorsmod.Wrap(types.ErrRewardTransfer, "there is no community pool")
	}
	if err := k.community.FundCommunityPool(ctx, coins, types.RewardAccount(clientID)); err != nil {
		return err
	}
	k.emit(ctx, &types.EventRewardsToCommunity{ConsumerId: clientID, Amount: coins.String(), Swept: swept})
	return nil
}

// memoReward is one entry of a memo with its validator decoded.
type memoReward struct {
	operator []byte
	amount   sdkmath.Int
}

// checkRewards checks that a transfer is what the consumer's rewards must be, and returns the entries of its memo. Errors:
// ErrRewardChannel, ErrRewardSender, ErrRewardDenom, ErrAmountTooLarge, those of ParseRewardMemo, ErrRewardSum,
// ErrInvalidValidator, ErrMemoValidator for one that is there twice in other letters, ErrUnknownValidator.
func (k *Keeper) checkRewards(ctx context.Context, cfg types.ConsumerConfig, t Transfer, amount sdkmath.Int) ([]memoReward, error) {
	denom := t.Data.Token.Denom.Path()
	switch {
	case cfg.RewardChannel == "" || t.DestChannel != cfg.RewardChannel || t.DestPort != transfertypes.PortID:
		return nil, errorsmod.Wrapf(types.ErrRewardChannel, "%s/%s", t.DestPort, t.DestChannel)
	case t.Data.Sender != cfg.RewardSender:
		return nil, errorsmod.Wrap(types.ErrRewardSender, cutText(t.Data.Sender))
	case !slices.Contains(cfg.RewardDenoms, denom):
		return nil, errorsmod.Wrap(types.ErrRewardDenom, cutText(denom))
	case amount.GTE(types.MaxAmount()):
		return nil, errorsmod.Wrap(types.ErrAmountTooLarge, "2^128 or more")
	}
	entries, err := meshtypes.ParseRewardMemo(t.Data.Memo)
	if err != nil {
		return nil, err
	}
	sum := sdkmath.ZeroInt()
	for _, e := range entries {
		sum = sum.Add(e.Amount) // of at most 200 amounts below 2^128
	}
	if !sum.Equal(amount) {
		return nil, errorsmod.Wrapf(types.ErrRewardSum, "%s, not %s", sum, amount)
	}
	rewards := make([]memoReward, 0, len(entries))
	seen := make(map[string]struct{}, len(entries))
	for _, e := range entries {
		operator, err := cfg.ParseValidator(e.Validator)
		if err != nil {
			return nil, err
		}
		if _, twice := seen[string(operator)]; twice {
			return nil, errorsmod.Wrapf(meshtypes.ErrMemoValidator, "%s twice", e.Validator)
		}
		seen[string(operator)] = struct{}{}
		known, err := k.Validators.Has(ctx, collections.Join(cfg.ClientId, operator))
		if err != nil {
			return nil, err
		}
		if !known {
			return nil, errorsmod.Wrap(types.ErrUnknownValidator, e.Validator)
		}
		rewards = append(rewards, memoReward{operator, e.Amount})
	}
	return rewards, nil
}

// takeRewards raises the reward index of each validator's pool by what the memo says is for it: constant work for each,
// however many delegators there are. What is for a validator without a pool goes to the community pool. Errors: those of
// checkRewards, ErrRewardBalance.
func (k *Keeper) takeRewards(ctx sdk.Context, clientID string, t Transfer, coin sdk.Coin) error {
	consumer, err := k.Consumers.Get(ctx, clientID)
	if err != nil {
		return err
	}
	rewards, err := k.checkRewards(ctx, consumer.Config, t, coin.Amount)
	if err != nil {
		return err
	}
	key := collections.Join(clientID, coin.Denom)
	book, found, err := getOr(ctx, k.RewardBooks, key)
	if err != nil {
		return err
	}
	if !found {
		book = types.NewRewardBook()
	}
	if has := k.bank.GetBalance(ctx, types.RewardAccount(clientID), coin.Denom).Amount; has.LT(book.Owed().Add(coin.Amount)) {
		return errorsmod.Wrapf(types.ErrRewardBalance, "%s, of which %s is owed", has, book.Owed())
	}
	community := sdkmath.ZeroInt()
	for _, r := range rewards {
		taken, err := k.rewardPool(ctx, consumer.Config, &book, r, coin.Denom)
		if err != nil {
			return err
		}
		if !taken {
			community = community.Add(r.amount)
		}
	}
	book.Received, book.Community, book.Channel = book.Received.Add(coin.Amount), book.Community.Add(community), t.DestChannel
	if err := k.RewardBooks.Set(ctx, key, book); err != nil {
		return err
	}
	k.emit(ctx, &types.EventRewardsReceived{
		ConsumerId: clientID, Channel: t.DestChannel, Amount: coin.String(), Community: community, Validators: uint32(len(rewards)),
	})
	if community.IsPositive() {
		k.rewardsToCommunity(ctx, clientID, sdk.NewCoins(sdk.NewCoin(coin.Denom, community)))
	}
	return nil
}

// rewardPool gives a validator's active pool its part; false if there is none, or it cannot take it.
func (k *Keeper) rewardPool(ctx context.Context, cfg types.ConsumerConfig, book *types.RewardBook, r memoReward, denom string) (bool, error) {
	id, pool, found, err := k.activePool(ctx, cfg.ClientId, r.operator)
	if err != nil || !found {
		return false, err
	}
	scaled, ok := pool.Reward(denom, r.amount)
	if !ok {
		return false, nil
	}
	after, ok := book.AddUnsettled(scaled)
	if !ok {
		return false, nil
	}
	*book = after
	k.emit(ctx, &types.EventPoolRewarded{
		PoolId: id, ConsumerId: cfg.ClientId, Validator: cfg.FormatValidator(r.operator), Amount: sdk.NewCoin(denom, r.amount).String(),
	})
	return true, k.Pools.Set(ctx, id, pool)
}

// accrueRewards settles what a position has earned if its shares change: it waits for the delegator, and the position goes on
// from the pool's present indices. A position whose shares stay is left alone.
func (k *Keeper) accrueRewards(ctx context.Context, delAddr sdk.AccAddress, r *ref) error {
	before := r.sharesBefore
	if before.IsNil() {
		before = sdkmath.ZeroInt()
	}
	if before.Equal(r.pos.Shares) {
		return nil
	}
	earned := r.pool.EarnedBy(before, r.pos)
	r.pool.SettleRewards(&r.pos)
	r.sharesBefore = r.pos.Shares
	coins := sdk.Coins{}
	for _, e := range earned {
		err := k.changeBook(ctx, r.pool.ClientId, e.Denom, func(b *types.RewardBook) {
			b.Unsettled, b.Accrued = b.Unsettled.Sub(e.Scaled), b.Accrued.Add(e.Amount)
		})
		if err != nil {
			return err
		}
		if !e.Amount.IsPositive() {
			continue
		}
		key := collections.Join4(delAddr, r.pool.ClientId, r.pool.Validator, e.Denom)
		accrued, found, err := getOr(ctx, k.Accrued, key)
		if err != nil {
			return err
		}
		if found {
			accrued = accrued.Add(e.Amount)
		} else {
			accrued = e.Amount
		}
		if err := k.Accrued.Set(ctx, key, accrued); err != nil {
			return err
		}
		coins = coins.Add(sdk.NewCoin(e.Denom, e.Amount))
	}
	if !coins.Empty() {
		k.emit(ctx, &types.EventRewardsAccrued{Delegator: k.delString(delAddr), PoolId: r.id, Amount: coins.String()})
	}
	return nil
}

// changeBook changes the sums of one consumer's rewards in one denom.
func (k *Keeper) changeBook(ctx context.Context, clientID, denom string, change func(*types.RewardBook)) error {
	key := collections.Join(clientID, denom)
	book, err := k.RewardBooks.Get(ctx, key)
	if err != nil {
		return err
	}
	change(&book)
	return k.RewardBooks.Set(ctx, key, book)
}

// claim is what a delegator can withdraw of one validator's rewards in one denom.
type claim struct {
	clientID string
	operator []byte
	denom    string
	// settled is the part accrued; earned the part that the position has earned since, scaled before rounding.
	settled, earned, scaled sdkmath.Int
}

func (c claim) total() sdkmath.Int { return c.settled.Add(c.earned) }

// claims are ordered by consumer, operator and denom.
type claims []claim

// at returns the claim with this key.
func (cs *claims) at(clientID string, operator []byte, denom string) *claim {
	wanted := claim{clientID: clientID, operator: operator, denom: denom}
	i, found := slices.BinarySearchFunc(*cs, wanted, compareClaims)
	if !found {
		wanted.settled, wanted.earned, wanted.scaled = sdkmath.ZeroInt(), sdkmath.ZeroInt(), sdkmath.ZeroInt()
		*cs = slices.Insert(*cs, i, wanted)
	}
	return &(*cs)[i]
}

func compareClaims(a, b claim) int {
	return cmp.Or(
		cmp.Compare(a.clientID, b.clientID), bytes.Compare(a.operator, b.operator), cmp.Compare(a.denom, b.denom),
	)
}

// wants says whether a withdrawal or query asks for a consumer's validator; empty ones mean all.
func wants(clientID string, operator []byte, pool types.Pool) bool {
	return (clientID == "" || pool.ClientId == clientID) && (len(operator) == 0 || bytes.Equal(pool.Validator, operator))
}

// claimsOf returns what a delegator can withdraw, of one consumer or validator if they are not empty. Settled rewards beyond
// limit records are left out. With take they are taken: records are removed and positions settled.
func (k *Keeper) claimsOf(ctx context.Context, delAddr sdk.AccAddress, clientID string, operator []byte, limit int, take bool) (claims, error) {
	var cs claims
	type held struct {
		key delegatorPool
		pos types.Position
	}
	var positions []held
	err := k.Positions.Walk(ctx, collections.NewPrefixedPairRange[sdk.AccAddress, uint64](delAddr), func(key delegatorPool, pos types.Position) (bool, error) {
		positions = append(positions, held{key, pos})
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	for _, h := range positions {
		pool, err := k.Pools.Get(ctx, h.key.K2())
		if err != nil {
			return nil, err
		}
		if !wants(clientID, operator, pool) {
			continue
		}
		earned := pool.EarnedBy(h.pos.Shares, h.pos)
		if !slices.ContainsFunc(earned, func(e types.Earned) bool { return e.Amount.IsPositive() }) {
			continue // less than one unit is not rounded away
		}
		for _, e := range earned {
			c := cs.at(pool.ClientId, pool.Validator, e.Denom)
			c.earned, c.scaled = c.earned.Add(e.Amount), c.scaled.Add(e.Scaled)
		}
		if !take {
			continue
		}
		pool.SettleRewards(&h.pos)
		if err := k.Positions.Set(ctx, h.key, h.pos); err != nil {
			return nil, err
		}
	}
	var taken []accruedKey
	err = k.Accrued.Walk(ctx, accruedRange(delAddr, clientID, operator), func(key accruedKey, amount sdkmath.Int) (bool, error) {
		c := cs.at(key.K2(), key.K3(), key.K4())
		c.settled = c.settled.Add(amount)
		taken = append(taken, key)
		return len(taken) >= limit, nil
	})
	if err != nil || !take {
		return cs, err
	}
	for _, key := range taken {
		if err := k.Accrued.Remove(ctx, key); err != nil {
			return nil, err
		}
	}
	return cs, nil
}

// accruedRange is the range of a delegator's settled rewards, of one consumer or validator if they are not empty.
func accruedRange(delAddr sdk.AccAddress, clientID string, operator []byte) collections.Ranger[accruedKey] {
	switch {
	case clientID == "":
		return collections.NewPrefixedQuadRange[sdk.AccAddress, string, []byte, string](delAddr)
	case len(operator) == 0:
		return collections.NewSuperPrefixedQuadRange[sdk.AccAddress, string, []byte, string](delAddr, clientID)
	default:
		return collections.NewSuperPrefixedQuadRange3[sdk.AccAddress, string, []byte, string](delAddr, clientID, operator)
	}
}

// withdrawRewards pays out what a delegator has earned on a consumer, or with one of its validators. Rewards of positions do
// not depend on slashes, so those are not settled. Error: ErrNoRewards.
func (k *Keeper) withdrawRewards(ctx context.Context, delAddr sdk.AccAddress, clientID string, operator []byte) (sdk.Coins, error) {
	cs, err := k.claimsOf(ctx, delAddr, clientID, operator, types.MaxAccruedPerMsg, true)
	if err != nil {
		return nil, err
	}
	var sums claims
	for _, c := range cs {
		s := sums.at(clientID, nil, c.denom)
		s.settled, s.earned, s.scaled = s.settled.Add(c.settled), s.earned.Add(c.earned), s.scaled.Add(c.scaled)
	}
	coins := make(sdk.Coins, 0, len(sums))
	for _, s := range sums {
		err := k.changeBook(ctx, clientID, s.denom, func(b *types.RewardBook) {
			b.Unsettled, b.Accrued, b.Withdrawn = b.Unsettled.Sub(s.scaled), b.Accrued.Sub(s.settled), b.Withdrawn.Add(s.total())
		})
		if err != nil {
			return nil, err
		}
		if s.total().IsPositive() {
			coins = append(coins, sdk.NewCoin(s.denom, s.total()))
		}
	}
	if coins.Empty() {
		return nil, errorsmod.Wrapf(types.ErrNoRewards, "%s on %s", k.delString(delAddr), clientID)
	}
	return coins, k.bank.SendCoins(ctx, types.RewardAccount(clientID), delAddr, coins)
}
