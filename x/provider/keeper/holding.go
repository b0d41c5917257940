package keeper

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

// entry is one native unbonding entry of a delegator.
type entry struct {
	valAddr        sdk.ValAddress
	creationHeight int64
	completion     time.Time
	balance        sdkmath.Int
	// ours: this module holds it. shared: another one does.
	ours, shared bool
}

func (e entry) matured(at time.Time) bool { return !e.completion.After(at) }

// key returns the key of the entry's marker. Without times before 1970, which x/staking never has, it is unique.
func (e entry) key(delAddr sdk.AccAddress) holdKey {
	return collections.Join4(delAddr, e.valAddr, uint64(e.creationHeight), nanos(e.completion))
}

func (e entry) queueKey(delAddr sdk.AccAddress) holdQueueKey {
	return collections.Join4(nanos(e.completion), delAddr, e.valAddr, uint64(e.creationHeight))
}

// readEntries returns the delegator's native unbonding entries ordered as they are held: latest completion first, ties
// by validator, then creation height. Markers whose entry is gone, or not on hold any more, are removed.
func (k *Keeper) readEntries(ctx context.Context, delAddr sdk.AccAddress) ([]entry, error) {
	holds, err := k.delegatorHolds(ctx, delAddr)
	if err != nil {
		return nil, err
	}
	var entries []entry
	var inner error
	alive := make([]bool, len(holds))
	err = k.staking.IterateDelegatorUnbondingDelegations(ctx, delAddr, func(ubd stakingtypes.UnbondingDelegation) bool {
		var valAddr sdk.ValAddress
		if valAddr, inner = k.staking.ValidatorAddressCodec().StringToBytes(ubd.ValidatorAddress); inner != nil {
			return true
		}
		for _, e := range ubd.Entries {
			i := slices.IndexFunc(holds, func(h types.Hold) bool {
				return h.CreationHeight == e.CreationHeight && h.CompletionTime.Equal(e.CompletionTime) && bytes.Equal(h.Validator, valAddr)
			})
			ours := i >= 0 && e.OnHold()
			if ours {
				alive[i] = true
			}
			shared := e.UnbondingOnHoldRefCount > 1 || (e.OnHold() && !ours)
			entries = append(entries, entry{valAddr, e.CreationHeight, e.CompletionTime, e.Balance, ours, shared})
		}
		return false
	})
	if err == nil {
		err = inner
	}
	if err != nil {
		return nil, err
	}
	for i, h := range holds {
		if !alive[i] {
			gone := entry{valAddr: h.Validator, creationHeight: h.CreationHeight, completion: h.CompletionTime}
			if err := k.removeHold(ctx, delAddr, gone, true); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(b.completion.Compare(a.completion), bytes.Compare(a.valAddr, b.valAddr), cmp.Compare(a.creationHeight, b.creationHeight))
	})
	return entries, nil
}

// setHold marks an entry as held and queues it for the time it matures.
func (k *Keeper) setHold(ctx context.Context, delAddr sdk.AccAddress, e entry) error {
	matured := e.matured(now(ctx))
	hold := types.Hold{
		Delegator: delAddr, Validator: e.valAddr, CreationHeight: e.creationHeight, CompletionTime: e.completion, Matured: matured,
	}
	if err := k.Holds.Set(ctx, e.key(delAddr), hold); err != nil {
		return err
	}
	k.emit(ctx, &types.EventUnbondingHeld{
		Delegator: k.delString(delAddr), Validator: k.valString(e.valAddr), CreationHeight: e.creationHeight,
		CompletionTime: e.completion, Balance: e.balance,
	})
	if matured {
		return nil
	}
	return k.HoldQueue.Set(ctx, e.queueKey(delAddr))
}

// removeHold removes the marker of an entry.
func (k *Keeper) removeHold(ctx context.Context, delAddr sdk.AccAddress, e entry, gone bool) error {
	if err := k.Holds.Remove(ctx, e.key(delAddr)); err != nil {
		return err
	}
	if err := k.HoldQueue.Remove(ctx, e.queueKey(delAddr)); err != nil {
		return err
	}
	k.emit(ctx, &types.EventUnbondingHoldReleased{
		Delegator: k.delString(delAddr), Validator: k.valString(e.valAddr), CreationHeight: e.creationHeight,
		CompletionTime: e.completion, Gone: gone,
	})
	return nil
}

// hold puts an entry on hold by editing it. x/staking's own functions for that go by an id that a genesis import loses.
func (k *Keeper) hold(ctx context.Context, delAddr sdk.AccAddress, e entry) error {
	if err := k.editEntry(ctx, delAddr, e, func(x *stakingtypes.UnbondingDelegationEntry) { x.UnbondingOnHoldRefCount++ }); err != nil {
		return err
	}
	return k.setHold(ctx, delAddr, e)
}

// release ends our hold on an entry, and completes it if its time has come.
func (k *Keeper) release(ctx context.Context, delAddr sdk.AccAddress, e entry) error {
	err := k.editEntry(ctx, delAddr, e, func(x *stakingtypes.UnbondingDelegationEntry) {
		x.UnbondingOnHoldRefCount = max(x.UnbondingOnHoldRefCount-1, 0)
	})
	if err != nil {
		return err
	}
	if err := k.removeHold(ctx, delAddr, e, false); err != nil {
		return err
	}
	if !e.matured(now(ctx)) {
		return nil
	}
	coins, err := k.staking.CompleteUnbonding(ctx, delAddr, e.valAddr)
	if err != nil {
		return err
	}
	sdk.UnwrapSDKContext(ctx).EventManager().EmitEvent(sdk.NewEvent(
		stakingtypes.EventTypeCompleteUnbonding,
		sdk.NewAttribute(sdk.AttributeKeyAmount, coins.String()),
		sdk.NewAttribute(stakingtypes.AttributeKeyValidator, k.valString(e.valAddr)),
		sdk.NewAttribute(stakingtypes.AttributeKeyDelegator, k.delString(delAddr)),
	))
	return nil
}

// payOut pays the part of a held, matured entry that is not needed and lowers its balance. InitialBalance stays: it is
// what x/staking's slashing goes by.
func (k *Keeper) payOut(ctx context.Context, delAddr sdk.AccAddress, e entry, amount sdkmath.Int) error {
	denom, err := k.staking.BondDenom(ctx)
	if err != nil {
		return err
	}
	err = k.editEntry(ctx, delAddr, e, func(x *stakingtypes.UnbondingDelegationEntry) { x.Balance = x.Balance.Sub(amount) })
	if err != nil {
		return err
	}
	coins := sdk.NewCoins(sdk.NewCoin(denom, amount))
	if err := k.bank.UndelegateCoinsFromModuleToAccount(ctx, stakingtypes.NotBondedPoolName, delAddr, coins); err != nil {
		return err
	}
	k.emit(ctx, &types.EventUnbondingPaidOut{
		Delegator: k.delString(delAddr), Validator: k.valString(e.valAddr), CreationHeight: e.creationHeight, Amount: amount,
	})
	return nil
}

// editEntry changes one entry of x/staking's record in place.
func (k *Keeper) editEntry(ctx context.Context, delAddr sdk.AccAddress, e entry, edit func(*stakingtypes.UnbondingDelegationEntry)) error {
	ubd, err := k.staking.GetUnbondingDelegation(ctx, delAddr, e.valAddr)
	if err != nil {
		return err
	}
	i := entryIndex(ubd, e.creationHeight, e.completion)
	if i < 0 {
		return stakingtypes.ErrNoUnbondingDelegation
	}
	edit(&ubd.Entries[i])
	return k.staking.SetUnbondingDelegation(ctx, ubd)
}

// runHoldQueue marks the delegators of at most limit held entries whose own completion time has come.
func (k *Keeper) runHoldQueue(ctx sdk.Context, limit int) error {
	due, err := firstKeys(ctx, k.HoldQueue, dueHolds(nanos(ctx.BlockTime())), limit)
	if err != nil {
		return err
	}
	countSteps(ctx, len(due))
	for _, q := range due {
		if err := k.HoldQueue.Remove(ctx, q); err != nil {
			return err
		}
		key := collections.Join4(q.K2(), q.K3(), q.K4(), q.K1())
		hold, err := k.Holds.Get(ctx, key)
		if errors.Is(err, collections.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		hold.Matured = true
		if err := k.Holds.Set(ctx, key, hold); err != nil {
			return err
		}
		if err := k.mark(ctx, q.K2()); err != nil {
			return err
		}
	}
	return nil
}
