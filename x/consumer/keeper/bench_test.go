package keeper_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

const (
	benchProviders  = 10
	benchValidators = 200
)

// commit saves what was written, as the end of a block does: iterators over unsaved trees are slow.
func (f *fixture) commit() { f.ctx.MultiStore().(storetypes.CommitMultiStore).Commit() }

func benchFixture(b *testing.B) (*fixture, []string) {
	b.Helper()
	native := make([]int64, benchValidators)
	for i := range native {
		native[i] = 10_000
	}
	f := newBareFixture(b)
	f.quiet = true
	f.init()
	for i, n := range native {
		f.createValidator(i, tokens(n))
	}
	for range 3 {
		f.block(blockTime)
	}
	f.setParams(func(p *types.Params) { p.MaxEpochOperations = benchProviders * benchValidators })
	ids := make([]string, benchProviders)
	for i := range ids {
		ids[i] = fmt.Sprintf("07-tendermint-%d", i)
		f.addProvider(ids[i], func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.03") })
	}
	amounts := map[int]int64{}
	for v := range f.vals {
		amounts[v] = 100 + 10*int64(v%2)
	}
	for _, id := range ids {
		f.update(id, amounts)
	}
	f.epoch()
	f.commit()
	f.requireVirtual(ids[9], 199, 110)
	return f, ids
}

// BenchmarkEpochApply compares an epoch that changes 10 providers × 200 validators, half of them down, with as many bare
// calls of x/staking: Delegate by a funded account, and Unbond with its burn.
func BenchmarkEpochApply(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		f, _ := benchFixture(b)
		delegators := make([]sdk.AccAddress, benchProviders)
		for i := range delegators {
			delegators[i] = sdk.AccAddress(fmt.Sprintf("bench delegator %04d", i))
			f.fund(delegators[i], tokens(1_000_000_000))
			for v := range f.vals {
				_, err := f.staking.Delegate(f.ctx, delegators[i], tokens(100), stakingtypes.Unbonded, f.validator(v), true)
				require.NoError(b, err)
			}
		}
		f.commit()
		b.ResetTimer()
		for range b.N {
			ctx, write := f.ctx.WithEventManager(sdk.NewEventManager()).CacheContext()
			ctx = ctx.WithBlockHeight(ctx.BlockHeight() + 1)
			for _, del := range delegators {
				for v := range f.vals {
					val, err := f.staking.GetValidator(ctx, f.vals[v].addr)
					require.NoError(b, err)
					if v%2 == 0 {
						_, err := f.staking.Delegate(ctx, del, tokens(5), stakingtypes.Unbonded, val, true)
						require.NoError(b, err)
						continue
					}
					shares, err := f.staking.ValidateUnbondAmount(ctx, del, f.vals[v].addr, sdkmath.NewInt(10))
					require.NoError(b, err)
					amount, err := f.staking.Unbond(ctx, del, f.vals[v].addr, shares)
					require.NoError(b, err)
					require.NoError(b, f.bank.BurnCoins(ctx, stakingtypes.BondedPoolName, sdk.NewCoins(sdk.NewCoin(bondDenom, amount))))
				}
			}
			write()
			b.StopTimer()
			f.commit()
			b.StartTimer()
		}
	})
	b.Run("epoch", func(b *testing.B) {
		f, ids := benchFixture(b)
		b.ResetTimer()
		for i := range b.N {
			b.StopTimer()
			// Even validators go up and odd ones down, then the other way round.
			amounts := map[int]int64{}
			for v := range f.vals {
				amounts[v] = 100 + 10*int64((v+i+1)%2)
			}
			for _, id := range ids {
				f.update(id, amounts)
			}
			f.ctx = f.ctx.WithEventManager(sdk.NewEventManager()).WithBlockHeight(f.ctx.BlockHeight() + 1).
				WithBlockTime(f.ctx.BlockTime().Add(epochTime))
			ctx, write := f.ctx.CacheContext()
			f.channels.sent = nil
			f.commit()
			b.StartTimer()
			require.NoError(b, f.k.EndBlock(ctx))
			write()
			b.StopTimer()
			epoch, err := f.k.Epoch.Get(f.ctx)
			require.NoError(b, err)
			require.EqualValues(b, benchProviders*benchValidators, epoch.Done)
			b.StartTimer()
		}
	})
}
