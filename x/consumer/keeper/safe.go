package keeper

import (
	"context"
	"fmt"

	"github.com/cosmos/gogoproto/proto"

	errorsmod "cosmossdk.io/errors"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// changeGas bounds what one change of a virtual delegation may cost; a validator whose rewards hold a thousand denoms
// stays far below. blockGas is what all changes of a block may have used before another one is begun.
const (
	changeGas = 100_000_000
	blockGas  = 300_000_000
)

// safely runs fn and turns a panic into an error. Running out of the gas of the transaction around it goes on.
func safely(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, outOfGas := r.(storetypes.ErrorOutOfGas); outOfGas {
				panic(r)
			}
			err = errorsmod.Wrap(types.ErrPanic, fmt.Sprint(r))
		}
	}()
	return fn()
}

// caught runs fn and turns any panic into an error. It is for blocks, where no gas is paid for.
func caught(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errorsmod.Wrap(types.ErrPanic, fmt.Sprint(r))
		}
	}()
	return fn()
}

// metered runs fn with its own gas meter, which it returns, and no cache: if fn fails, what it wrote must be discarded.
func metered(ctx sdk.Context, gas storetypes.Gas, fn func(sdk.Context) error) (used storetypes.Gas, err error) {
	meter := storetypes.NewGasMeter(gas)
	err = caught(func() error { return fn(ctx.WithGasMeter(meter)) })
	return meter.GasConsumedToLimit(), err
}

// isolated runs fn in a cache context with its own gas meter, which it returns. What fn wrote, and its events, count only
// if it neither fails nor panics nor runs out of gas.
func isolated(ctx sdk.Context, gas storetypes.Gas, fn func(sdk.Context) error) (used storetypes.Gas, err error) {
	cacheCtx, write := ctx.CacheContext()
	if used, err = metered(cacheCtx, gas, fn); err == nil {
		write()
	}
	return used, err
}

// runner runs a function with a limit of gas and returns what it used. If the function panics or runs out of gas it fails.
type runner func(fn func(context.Context) error) (used storetypes.Gas, err error)

// apart returns a runner that isolates each function it runs.
func apart(ctx sdk.Context, gas storetypes.Gas) runner {
	return func(fn func(context.Context) error) (storetypes.Gas, error) {
		return isolated(ctx, gas, func(ctx sdk.Context) error { return fn(ctx) })
	}
}

// together returns a runner without caches: once a function has failed, all that has been written must be discarded.
// Each function has a gas meter of its own behind the same context, of which copies are dear.
func together(ctx sdk.Context, gas storetypes.Gas) runner {
	meter := &renewedMeter{}
	var shared context.Context = ctx.WithGasMeter(meter)
	return func(fn func(context.Context) error) (storetypes.Gas, error) {
		meter.GasMeter = storetypes.NewGasMeter(gas)
		err := caught(func() error { return fn(shared) })
		return meter.GasConsumedToLimit(), err
	}
}

// renewedMeter is a gas meter that is replaced from time to time.
type renewedMeter struct{ storetypes.GasMeter }

// stage runs one part of a block. If it fails, what it wrote is discarded, an event says so, and the block goes on.
func (k *Keeper) stage(ctx sdk.Context, name string, fn func(sdk.Context) error) (ok bool) {
	cacheCtx, write := ctx.CacheContext()
	cacheCtx = cacheCtx.WithGasMeter(storetypes.NewInfiniteGasMeter())
	if err := caught(func() error { return fn(cacheCtx) }); err != nil {
		k.stageFailed(ctx, name, err)
		return false
	}
	write()
	return true
}

func (k *Keeper) stageFailed(ctx sdk.Context, name string, err error) {
	k.Logger(ctx).Error("stage failed", "stage", name, "error", err)
	k.emit(ctx, &types.EventStageFailed{Stage: name, Reason: err.Error()})
}

// emit emits a typed event. An event that cannot be encoded is logged and nothing else: events are no state.
func (k *Keeper) emit(ctx context.Context, event proto.Message) {
	if err := sdk.UnwrapSDKContext(ctx).EventManager().EmitTypedEvent(event); err != nil {
		k.Logger(ctx).Error("event lost", "event", fmt.Sprintf("%T", event), "error", err)
	}
}
