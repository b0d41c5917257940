package bench_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

const (
	// idleBlockTime is the limit of the module's time per block with a million positions against none.
	idleBlockTime = 1.2

	// consumers is how many consumers the idle chain has, each with 200 validators.
	consumers = 10
	// positionsEach is how many positions every delegator has.
	positionsEach = 4
	// positionTokens is what a position is worth.
	positionTokens = 100 * one
)

// BenchmarkIdleBlock is the provider module's part of a block in which nobody acts, with a million positions of 250,000
// delegators in 2,000 pools, against the same chain without any. Blocks are real ones, committed to disk, and every
// tenth of them ends an epoch, in which the consumers get their heartbeats. One op is a block.
func BenchmarkIdleBlock(b *testing.B) {
	positions := 1_000_000
	if testing.Short() {
		positions = 100_000
	}
	full, size := idle(b, positions)
	empty, _ := idle(b, 0)

	gas := make([]uint64, 2)
	for i, c := range []*idleChain{full, empty} {
		gas[i] = c.gasOf(c.next(), func(ctx sdk.Context) {
			require.NoError(b, c.timer(providertypes.ModuleName).EndBlock(ctx.WithBlockTime(c.header().Time)))
		})
	}
	contest{ours: side{run: full.idle}, base: side{run: empty.idle}, turn: epochBlocks, limit: idleBlockTime}.run(b)
	reportGas(b, gas[0], gas[1], idleBlockTime)
	size.report(b, positions)
}

// epochBlocks is how many blocks an epoch of an idle chain has.
const epochBlocks = 10

// idleChain is a chain on which nobody acts.
type idleChain struct {
	*chain
	blocks int
}

// idle makes one block and returns how long the provider module took.
func (c *idleChain) idle() span {
	d := blockTime
	if c.blocks++; c.blocks%epochBlocks == 0 {
		d = time.Hour
	}
	timer := c.timer(providertypes.ModuleName)
	timer.reset()
	c.blockAfter(d)
	return timer.reset()
}

// storeSize is what positions add to a store.
type storeSize struct{ keys, bytes int }

func (s storeSize) report(b *testing.B, positions int) {
	b.Helper()
	b.ReportMetric(float64(s.bytes)/float64(positions), "bytes/position")
	b.ReportMetric(float64(s.keys)/float64(positions), "keys/position")
}

// idle returns a chain with so many positions and what they take in the module's store, keys and values.
func idle(b *testing.B, positions int) (*idleChain, storeSize) {
	b.Helper()
	c := newChain(b)
	partners := make([]*partner, consumers)
	for i := range partners {
		partners[i] = c.pairConsumer(i, validators)
	}
	c.block()
	before := c.size(providertypes.StoreKey)
	if positions > 0 {
		c.importPositions(partners, positions)
	}
	c.block()
	after := c.size(providertypes.StoreKey)
	// Two epochs, so that sessions, clients and batch epochs are as in any other.
	c.epoch()
	c.epoch()
	return &idleChain{chain: c}, storeSize{after.keys - before.keys, after.bytes - before.bytes}
}

// importPositions writes positions into the module's state as a genesis import would, and their accounts.
func (c *chain) importPositions(partners []*partner, positions int) {
	c.Helper()
	ctx, k := c.deferred(), c.provider()
	state, err := k.ExportGenesis(ctx)
	require.NoError(c, err)

	ratio := sdkmath.LegacyNewDecWithPrec(5, 2)
	pools := make([]providertypes.Pool, 0, len(partners)*validators)
	for _, p := range partners {
		for v := range validators {
			pools = append(pools, providertypes.NewPool(p.client, operator(v), ratio))
		}
	}
	first := state.NextPoolId
	for n := range positions {
		// A delegator's positions are on different consumers.
		del, j := n/positionsEach, n%positionsEach
		i := (del+j)%len(partners)*validators + (del*7+j*31)%validators
		pool := &pools[i]
		amount := sdkmath.NewInt(positionTokens + int64(n))
		position := pool.NewPosition()
		position.Shares = amount
		position.Budget = pool.Reserve(amount, amount, ratio)
		pool.Mint(amount, amount)
		state.Positions = append(state.Positions, providertypes.PositionRecord{
			Delegator: address("restaker", del), PoolId: first + uint64(i), Position: position,
		})
		if j == 0 {
			state.Accounts = append(state.Accounts, providertypes.AccountRecord{
				Delegator: address("restaker", del),
				Account: providertypes.Account{
					Debt: sdkmath.ZeroInt(), MinSelfDelegation: sdkmath.ZeroInt(), EvaluatedHeight: c.height,
				},
			})
		}
	}
	for i, pool := range pools {
		if pool.Shares.IsPositive() {
			state.Pools = append(state.Pools, providertypes.PoolRecord{Id: first + uint64(i), Pool: pool})
		}
	}
	state.NextPoolId = first + uint64(len(pools))
	require.NoError(c, k.InitGenesis(ctx, *state))
}

// size returns how many keys a store has, and the bytes of its keys and values.
func (c *chain) size(storeKey string) storeSize {
	c.Helper()
	var s storeSize
	it := c.app.CommitMultiStore().GetKVStore(c.app.GetKey(storeKey)).Iterator(nil, nil)
	defer it.Close()
	for ; it.Valid(); it.Next() {
		s.keys++
		s.bytes += len(it.Key()) + len(it.Value())
	}
	require.NoError(c, it.Error())
	return s
}

// BenchmarkStateBytes reports what one position adds to the module's state, for a delegator's first position in a pool
// that is there already, and for each further one. One op is the MsgCrossStake.
func BenchmarkStateBytes(b *testing.B) {
	c := newChain(b)
	p := c.pairConsumer(0, validators)
	for v := range 3 {
		c.run(c.msgCrossStake(delegator(1), p, v, one))
	}
	c.block()
	bytesOf := func(i, validator int) float64 {
		before := c.size(providertypes.StoreKey)
		c.run(c.msgCrossStake(delegator(i), p, validator, 100*one))
		return float64(c.size(providertypes.StoreKey).bytes - before.bytes)
	}
	first := bytesOf(2, 0)
	next := bytesOf(2, 1)
	a := c.attempt(c.msgCrossStake(delegator(2), p, 2, 100*one))
	for b.Loop() {
		a.once()
	}
	b.ReportMetric(first, "first-bytes")
	b.ReportMetric(next, "next-bytes")
	b.ReportMetric(float64(a.gas), "gas/op")
}
