package testutil

import (
	"github.com/cosmos/cosmos-sdk/store/v2/gaskv"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
)

// metered is a multistore that counts the gas of every access, whichever gas meter the access goes through: in EndBlock
// the module works with meters of its own.
type metered struct {
	storetypes.MultiStore
	meter storetypes.GasMeter
}

// GetKVStore implements storetypes.MultiStore.
func (m metered) GetKVStore(key storetypes.StoreKey) storetypes.KVStore {
	return gaskv.NewStore(m.MultiStore.GetKVStore(key), m.meter, storetypes.KVGasConfig())
}

// CacheMultiStore implements storetypes.MultiStore.
func (m metered) CacheMultiStore() storetypes.CacheMultiStore {
	return meteredCache{m.MultiStore.CacheMultiStore(), m.meter}
}

// cacheMulti is a branch of a multistore.
type cacheMulti = storetypes.CacheMultiStore

// meteredCache is metered over a branch.
type meteredCache struct {
	cacheMulti
	meter storetypes.GasMeter
}

// GetKVStore implements storetypes.MultiStore.
func (m meteredCache) GetKVStore(key storetypes.StoreKey) storetypes.KVStore {
	return gaskv.NewStore(m.cacheMulti.GetKVStore(key), m.meter, storetypes.KVGasConfig())
}

// CacheMultiStore implements storetypes.MultiStore.
func (m meteredCache) CacheMultiStore() storetypes.CacheMultiStore {
	return meteredCache{m.cacheMulti.CacheMultiStore(), m.meter}
}

// StoreGas returns the gas of everything that fn reads from and writes to the stores, at the usual prices.
func (f *Fixture) StoreGas(fn func()) uint64 {
	meter, ms := storetypes.NewInfiniteGasMeter(), f.Ctx.MultiStore()
	f.Ctx = f.Ctx.WithMultiStore(metered{ms, meter})
	fn()
	f.Ctx = f.Ctx.WithMultiStore(ms)
	return meter.GasConsumed()
}
