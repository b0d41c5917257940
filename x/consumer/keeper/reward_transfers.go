package keeper

import (
	"context"
	"errors"
	"time"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// maxReward is the most that one entry of a memo can hold.
var maxReward = meshtypes.MaxAmount.SubRaw(1)

// nextRewards returns what waits for a provider in a denom on the next validators behind the cursor, as much as one
// transfer can carry, and whether there are more.
func (k *Keeper) nextRewards(ctx context.Context, providerID, denom string, cursor []byte) (rewards []types.ValidatorReward, more bool, err error) {
	rng := collections.NewSuperPrefixedTripleRange[string, string, []byte](providerID, denom)
	if len(cursor) > 0 {
		rng = new(collections.Range[rewardKey]).StartExclusive(collections.Join3(providerID, denom, cursor))
	}
	err = k.Rewards.Walk(ctx, rng, func(key rewardKey, amount sdkmath.Int) (bool, error) {
		if key.K1() != providerID || key.K2() != denom {
			return true, nil
		}
		if len(rewards) == meshtypes.MaxRewards {
			more = true
			return true, nil
		}
		rewards = append(rewards, types.ValidatorReward{Validator: key.K3(), Amount: sdkmath.MinInt(amount, maxReward)})
		return false, nil
	})
	return rewards, more, err
}

// sendRewards sends a transfer with its memo and notes it. If it fails, what it wrote must be discarded.
func (k *Keeper) sendRewards(
	ctx sdk.Context, params types.Params, p types.Provider, denom string, rewards []types.ValidatorReward,
) error {
	id, channel := p.Config.ProviderId, p.Config.RewardChannel
	switch {
	case k.transfer == nil:
		return types.ErrNoTransfer
	case channel == "" || p.Config.RewardReceiver == "":
		return types.ErrNoRewardChannel
	}
	book, err := k.rewardBook(ctx, id, denom)
	if err != nil {
		return err
	}
	if err := k.moveRewards(ctx, id, denom, &book); err != nil {
		return err
	}
	transfer := types.RewardTransfer{
		ProviderId: id, Denom: denom, Rewards: rewards, SentAt: ctx.BlockTime(), WaitingSince: book.WaitingSince,
	}
	memo, err := k.rewardMemo(rewards)
	if err != nil {
		return err
	}
	sender, err := k.accounts.AddressCodec().BytesToString(types.RewardAccount(id))
	if err != nil {
		return err
	}
	sum := transfer.Sum()
	res, err := k.transfer.Transfer(ctx, &transfertypes.MsgTransfer{
		SourcePort: transfertypes.PortID, SourceChannel: channel, Token: sdk.NewCoin(denom, sum),
		Sender: sender, Receiver: p.Config.RewardReceiver, TimeoutTimestamp: k.transferTimeout(ctx, params, channel), Memo: memo,
	})
	if err != nil {
		return err
	}
	key := collections.Join(channel, res.Sequence)
	if used, err := k.RewardTransfers.Has(ctx, key); err != nil {
		return err
	} else if used {
		return errorsmod.Wrapf(types.ErrRewardTransferUsed, "%s, %d", channel, res.Sequence)
	}
	if err := k.RewardTransfers.Set(ctx, key, transfer); err != nil {
		return err
	}
	if err := k.takeRewards(ctx, id, denom, &book, rewards, sum); err != nil {
		return err
	}
	book.InFlight = book.InFlight.Add(sum)
	if err := k.RewardBooks.Set(ctx, collections.Join(id, denom), book); err != nil {
		return err
	}
	k.emit(ctx, &types.EventRewardsSent{
		ProviderId: id, Denom: denom, Amount: sum, Channel: channel, Sequence: res.Sequence, Validators: uint32(len(rewards)),
	})
	return nil
}

// transferTimeout returns the timeout of a transfer in the unit that its protocol takes: nanoseconds over a channel, seconds
// over an IBC v2 client.
func (k *Keeper) transferTimeout(ctx sdk.Context, params types.Params, channel string) uint64 {
	at := ctx.BlockTime().Add(params.PacketTimeout)
	if k.channels != nil {
		if _, ok := k.channels.GetChannel(ctx, transfertypes.PortID, channel); ok {
			return uint64(at.UnixNano())
		}
	}
	return uint64(at.Unix())
}

func (k *Keeper) rewardMemo(rewards []types.ValidatorReward) (string, error) {
	entries := make([]meshtypes.Reward, len(rewards))
	for i, r := range rewards {
		validator, err := k.staking.ValidatorAddressCodec().BytesToString(r.Validator)
		if err != nil {
			return "", err
		}
		entries[i] = meshtypes.Reward{Validator: validator, Amount: r.Amount}
	}
	return meshtypes.MarshalRewardMemo(entries)
}

// takeRewards takes amounts from what waits.
func (k *Keeper) takeRewards(
	ctx context.Context, providerID, denom string, book *types.RewardBook, rewards []types.ValidatorReward, sum sdkmath.Int,
) error {
	for _, r := range rewards {
		key := collections.Join3(providerID, denom, r.Validator)
		amount, err := k.Rewards.Get(ctx, key)
		if err != nil {
			return err
		}
		if amount = amount.Sub(r.Amount); amount.IsPositive() {
			err = k.Rewards.Set(ctx, key, amount)
		} else {
			err = k.Rewards.Remove(ctx, key)
		}
		if err != nil {
			return err
		}
	}
	if book.Pending = book.Pending.Sub(sum); book.Pending.IsZero() {
		book.WaitingSince = time.Time{}
	}
	return nil
}

// notSent notes that rewards could not be sent: an event, and when to try again.
func (k *Keeper) notSent(ctx sdk.Context, params types.Params, providerID, denom string, cause error) error {
	book, err := k.rewardBook(ctx, providerID, denom)
	if err != nil {
		return err
	}
	backOff(&book, params, ctx.BlockTime())
	k.emit(ctx, &types.EventRewardsNotSent{
		ProviderId: providerID, Denom: denom, Amount: book.Pending, Reason: cause.Error(), RetryAt: book.RetryAt,
	})
	return k.RewardBooks.Set(ctx, collections.Join(providerID, denom), book)
}

// backOff puts off the next transfer, by an epoch after the first failure and twice as long after each other, at most a
// day.
func backOff(book *types.RewardBook, params types.Params, now time.Time) {
	delay := params.EpochDuration
	for range min(book.Failures, 64) {
		if delay >= types.MaxRetryDelay {
			break
		}
		delay *= 2
	}
	if book.Failures < 1<<20 {
		book.Failures++
	}
	book.RetryAt = now.Add(min(delay, types.MaxRetryDelay))
}

// abandon sends what waits for a provider that cannot be reached any more to the community pool.
func (k *Keeper) abandon(ctx sdk.Context, providerID, denom string, rewards []types.ValidatorReward) error {
	book, err := k.rewardBook(ctx, providerID, denom)
	if err != nil {
		return err
	}
	sum := types.RewardTransfer{Rewards: rewards}.Sum()
	if err := k.takeRewards(ctx, providerID, denom, &book, rewards, sum); err != nil {
		return err
	}
	// No coins are sent here: they belong to no book any more, so the sweep takes them.
	book.Unmoved = sdkmath.MinInt(book.Unmoved, book.Pending)
	return k.noteAbandoned(ctx, providerID, denom, book, sum)
}

func (k *Keeper) noteAbandoned(ctx sdk.Context, providerID, denom string, book types.RewardBook, sum sdkmath.Int) error {
	book.Abandoned = book.Abandoned.Add(sum)
	k.emit(ctx, &types.EventRewardsAbandoned{ProviderId: providerID, Denom: denom, Amount: sum})
	return k.RewardBooks.Set(ctx, collections.Join(providerID, denom), book)
}

// TransferDone notes the end of a transfer by its channel, or client for IBC v2, and sequence: delivered, or refunded by
// ICS-20 after a timeout or an error, which puts its amounts back to what waits. A transfer that is not known, or whose
// end has been noted already, changes nothing.
//
// CONTRACT: it is called after the transfer module has handled the acknowledgement or timeout without an error.
func (k *Keeper) TransferDone(ctx sdk.Context, channel string, sequence uint64, delivered bool) error {
	return safely(func() error { return k.transferDone(ctx, channel, sequence, delivered) })
}

func (k *Keeper) transferDone(ctx sdk.Context, channel string, sequence uint64, delivered bool) error {
	key := collections.Join(channel, sequence)
	transfer, err := k.RewardTransfers.Get(ctx, key)
	if errors.Is(err, collections.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := k.RewardTransfers.Remove(ctx, key); err != nil {
		return err
	}
	id, denom, sum := transfer.ProviderId, transfer.Denom, transfer.Sum()
	book, err := k.rewardBook(ctx, id, denom)
	if err != nil {
		return err
	}
	book.InFlight = book.InFlight.Sub(sum)
	if delivered {
		book.Delivered = book.Delivered.Add(sum)
		book.Failures, book.RetryAt = 0, time.Time{}
		k.emit(ctx, &types.EventRewardsDelivered{ProviderId: id, Denom: denom, Amount: sum, Channel: channel, Sequence: sequence})
		return k.RewardBooks.Set(ctx, collections.Join(id, denom), book)
	}
	k.emit(ctx, &types.EventRewardsRefunded{ProviderId: id, Denom: denom, Amount: sum, Channel: channel, Sequence: sequence})
	gone, err := k.unreachable(ctx, id)
	if err != nil {
		return err
	}
	if gone {
		return k.noteAbandoned(ctx, id, denom, book, sum)
	}
	params, err := k.Params.Get(ctx)
	if err != nil {
		return err
	}
	for _, r := range transfer.Rewards {
		if err := k.addReward(ctx, id, denom, r.Validator, r.Amount); err != nil {
			return err
		}
	}
	addPending(&book, sum, transfer.WaitingSince)
	backOff(&book, params, ctx.BlockTime())
	return k.RewardBooks.Set(ctx, collections.Join(id, denom), book)
}
