package keeper

import (
	"context"

	"github.com/mesh-security/mesh/x/provider/types"
)

// PrepareForZeroHeight resets what refers to heights of this chain, which is exported to start anew at height zero. The
// markers of held entries go by the entries' creation height, which such an export sets to zero.
func (k *Keeper) PrepareForZeroHeight(ctx context.Context) error {
	var holds []types.Hold
	err := k.Holds.Walk(ctx, nil, func(_ holdKey, h types.Hold) (bool, error) {
		holds = append(holds, h)
		return false, nil
	})
	if err != nil {
		return err
	}
	if err := k.Holds.Clear(ctx, nil); err != nil {
		return err
	}
	if err := k.HoldQueue.Clear(ctx, nil); err != nil {
		return err
	}
	for _, h := range holds {
		h.CreationHeight = 0
		if err := k.initHold(ctx, h); err != nil {
			return err
		}
	}
	accounts, err := mapKeys(ctx, k.Accounts, nil, 1<<31)
	if err != nil {
		return err
	}
	for _, delAddr := range accounts {
		account, err := k.Accounts.Get(ctx, delAddr)
		if err != nil {
			return err
		}
		account.EvaluatedHeight = 0
		if err := k.Accounts.Set(ctx, delAddr, account); err != nil {
			return err
		}
	}
	if err := k.LastNativeSlash.Remove(ctx); err != nil {
		return err
	}
	if err := k.OwnHeights.Clear(ctx, nil); err != nil {
		return err
	}
	return k.Flow.Clear(ctx)
}

// initHold stores a marker of a genesis state, and queues it if its time has not been worked on.
func (k *Keeper) initHold(ctx context.Context, h types.Hold) error {
	e := entry{valAddr: h.Validator, creationHeight: h.CreationHeight, completion: h.CompletionTime}
	if err := k.Holds.Set(ctx, e.key(h.Delegator), h); err != nil || h.Matured {
		return err
	}
	return k.HoldQueue.Set(ctx, e.queueKey(h.Delegator))
}
