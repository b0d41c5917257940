package keeper

import (
	sdk "github.com/cosmos/cosmos-sdk/types"
)

// ConvertPool turns a validator's active pool into a batch, as a tombstone does.
func (k *Keeper) ConvertPool(ctx sdk.Context, clientID string, validator []byte) error {
	return k.convertPool(ctx, clientID, validator)
}
