package bench_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/core/appmodule"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

const (
	// epochApplyTime is the limit of an epoch's changes against as many bare calls of x/staking.
	epochApplyTime = 1.3

	// providers is how many providers stake on every validator of the chain.
	providers = 10
	// virtualLow and virtualHigh are the amounts between which each provider's stake on a validator goes.
	virtualLow  = 10_000 * one
	virtualHigh = 12_000 * one
)

// BenchmarkEpochApply is the end of a consumer's epoch in which ten providers' stake on all 200 validators has changed,
// half of it up, half of it down: the plan, its execution in as many blocks as it takes, and the reports. It is compared
// with 2,000 bare calls of x/staking's Delegate, which moves the coins from the account, and Unbond, which moves none, by
// ten accounts, spread over as many blocks. One op is an epoch.
func BenchmarkEpochApply(b *testing.B) {
	c := newChain(b)
	partners := make([]*partner, providers)
	for i := range partners {
		partners[i] = c.pairProvider(i)
	}
	timer := c.timer(consumertypes.ModuleName)
	yard := &yardstick{chain: c}
	c.block()

	round := 0
	// up says whether a provider's stake on a validator goes up in this round.
	up := func(p, v int) bool { return (p+v+round)%2 == 0 }
	deliver := func() {
		round++
		for i, p := range partners {
			c.setPrice(p)
			c.update(p, func(v int) int64 {
				if up(i, v) {
					return virtualHigh
				}
				return virtualLow
			})
		}
		c.block()
	}
	var blocks int
	apply := func() span {
		timer.reset()
		c.epoch()
		for blocks = 1; !c.planDone(c.next()); blocks++ {
			c.block()
		}
		return timer.reset()
	}
	bare := func() span {
		timer.instead = yard.run
		defer func() { timer.instead = nil }()
		yard.begin(up, blocks)
		timer.reset()
		for range blocks {
			c.block()
		}
		took := timer.reset()
		yard.balance()
		return took
	}
	// The first epoch delegates everything, and so does the yardstick; only changes are measured.
	deliver()
	apply()
	c.requireVirtual(partners, up)
	bare()
	// Gas is counted in a round of its own: that leaves what it has read in the caches of the next block.
	deliver()
	gas := c.gasOfEpoch()
	apply()
	bareGas := yard.gas(up)
	bare()

	contest{
		ours: side{
			prepare: deliver,
			run:     apply,
			after:   func() { c.requireVirtual(partners, up) },
		},
		base: side{run: bare},
		turn: 1, limit: epochApplyTime,
	}.run(b)
	reportGas(b, gas, bareGas, 0)
	b.ReportMetric(float64(providers*validators), "changes/op")
	b.ReportMetric(float64(blocks), "blocks/op")
}

// epoch makes a block that ends the epochs of both modules.
func (c *chain) epoch() { c.blockAfter(time.Hour) }

// planDone says whether the consumer module has carried out its plan.
func (c *chain) planDone(ctx sdk.Context) bool {
	c.Helper()
	it, err := c.consumer().Plan.Iterate(ctx, nil)
	require.NoError(c, err)
	defer it.Close()
	return !it.Valid()
}

// gasOfEpoch returns what carrying out the plan of an epoch that ends now costs.
func (c *chain) gasOfEpoch() uint64 {
	c.Helper()
	module, ok := c.timers[consumertypes.ModuleName].module.(appmodule.HasEndBlocker)
	require.True(c, ok)
	return c.gasOf(c.next(), func(ctx sdk.Context) {
		ctx = ctx.WithBlockTime(c.time.Add(time.Hour))
		require.NoError(c, module.EndBlock(ctx))
		for !c.planDone(ctx) {
			ctx = ctx.WithBlockTime(ctx.BlockTime().Add(blockTime)).WithBlockHeight(ctx.BlockHeight() + 1)
			require.NoError(c, module.EndBlock(ctx))
		}
	})
}

// sorted returns the numbers of the validators in the order of their operator addresses.
func (c *chain) sorted() []int {
	order := make([]int, len(c.operators))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return slices.Compare(c.operators[a], c.operators[b]) })
	return order
}

// operators returns the addresses of n validators of another chain, in order.
func operators(n int) [][]byte {
	ops := make([][]byte, n)
	for i := range ops {
		ops[i] = operator(i)
	}
	slices.SortFunc(ops, slices.Compare)
	return ops
}

// requireVirtual checks that every change of the round was executed.
func (c *chain) requireVirtual(partners []*partner, up func(p, v int) bool) {
	c.Helper()
	ctx := c.next()
	for i, p := range partners {
		for v, operator := range c.operators {
			tokens, err := c.consumer().VirtualTokens(ctx, p.client, operator)
			require.NoError(c, err)
			amount := int64(virtualLow)
			if up(i, v) {
				amount = virtualHigh
			}
			want := amount / 1000 * 1125 // price 1.25, discount 0.1
			require.InDelta(c, want, tokens.Int64(), 2, "provider %d, validator %d", i, v)
		}
	}
}

// yardstick makes bare calls of x/staking in place of the module's EndBlock.
type yardstick struct {
	*chain
	up func(p, v int) bool
	perBlock,
	done int
}

func yardAccount(p int) sdk.AccAddress { return address("yardstick", p) }

// begin gives the accounts coins and spreads the calls over some blocks.
func (y *yardstick) begin(up func(p, v int) bool, blocks int) {
	y.Helper()
	y.up, y.done = up, 0
	y.perBlock = (providers*validators + blocks - 1) / blocks
	ctx := y.deferred()
	for p := range providers {
		y.mint(ctx, sdkmath.NewInt(validators*2*virtualHigh))
		require.NoError(y, y.app.BankKeeper.SendCoinsFromModuleToAccount(ctx, minttypes.ModuleName, yardAccount(p),
			sdk.NewCoins(sdk.NewInt64Coin(denom, validators*2*virtualHigh))))
	}
}

func (y *yardstick) mint(ctx sdk.Context, amount sdkmath.Int) {
	y.Helper()
	require.NoError(y, y.app.BankKeeper.MintCoins(ctx, minttypes.ModuleName, sdk.NewCoins(sdk.NewCoin(denom, amount))))
}

// balance makes the bonded pool hold what validators have: what bare calls unbond leaves its coins behind.
func (y *yardstick) balance() {
	y.Helper()
	var (
		ctx  = y.deferred()
		bank = y.app.BankKeeper
		want = sdkmath.ZeroInt()
		pool = authtypes.NewModuleAddress(stakingtypes.BondedPoolName)
	)
	all, err := y.app.StakingKeeper.GetAllValidators(ctx)
	require.NoError(y, err)
	for _, v := range all {
		want = want.Add(v.BondedTokens())
	}
	switch diff := bank.GetBalance(ctx, pool, denom).Amount.Sub(want); {
	case diff.IsPositive():
		require.NoError(y, bank.BurnCoins(ctx, stakingtypes.BondedPoolName, sdk.NewCoins(sdk.NewCoin(denom, diff))))
	case diff.IsNegative():
		y.mint(ctx, diff.Neg())
		require.NoError(y, bank.SendCoinsFromModuleToModule(
			ctx, minttypes.ModuleName, stakingtypes.BondedPoolName, sdk.NewCoins(sdk.NewCoin(denom, diff.Neg()))))
	}
}

// run makes one block's share of the calls.
func (y *yardstick) run(ctx sdk.Context) {
	y.Helper()
	k := y.app.StakingKeeper
	end := min(y.done+y.perBlock, providers*validators)
	for ; y.done < end; y.done++ {
		p, v := y.done/validators, y.done%validators
		delAddr, valAddr := yardAccount(p), y.operators[v]
		target := sdkmath.NewInt(virtualLow / 1000 * 1125)
		if y.up(p, v) {
			target = sdkmath.NewInt(virtualHigh / 1000 * 1125)
		}
		validator, err := k.GetValidator(ctx, valAddr)
		require.NoError(y, err)
		current := sdkmath.LegacyZeroDec()
		if d, err := k.GetDelegation(ctx, delAddr, valAddr); err == nil {
			current = d.Shares
		}
		wanted, err := validator.SharesFromTokens(target)
		require.NoError(y, err)
		if current.GT(wanted) {
			_, err = k.Unbond(ctx, delAddr, valAddr, current.Sub(wanted))
		} else {
			amount := target.Sub(validator.TokensFromShares(current).TruncateInt())
			_, err = k.Delegate(ctx, delAddr, amount, stakingtypes.Unbonded, validator, true)
		}
		require.NoError(y, err)
	}
}

// gas returns what a round's calls cost.
func (y *yardstick) gas(up func(p, v int) bool) uint64 {
	y.begin(up, 1)
	return y.gasOf(y.next(), y.run)
}
