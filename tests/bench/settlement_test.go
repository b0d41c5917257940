package bench_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/crypto/tmhash"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"

	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

const (
	// slashPool is the limit of time and gas of a slash of a pool with many positions against one with a hundred.
	slashPool = 1.2
	// settleDelegator is the limit of settling one delegator against its native MsgUndelegate.
	settleDelegator = 1.5
	// offence is the height at which a partner's validator signs twice, far from any power.
	offence = 987_654
)

// partnerKey is the consensus key of another chain's validator.
func partnerKey(op []byte) crypto.PrivKey { return ed25519.GenPrivKeyFromSecret(op) }

// msgDoubleVote proves that a partner's validator signed two blocks.
func (c *chain) msgDoubleVote(p *partner, validator int) *providertypes.MsgSubmitDoubleVote {
	c.Helper()
	key := partnerKey(operator(validator))
	vote := func(block string) *cmtproto.Vote {
		hash := tmhash.Sum([]byte(block))
		v := &cmtproto.Vote{
			Type: cmtproto.PrecommitType, Height: offence, Timestamp: c.time, ValidatorAddress: key.PubKey().Address(),
			BlockID: cmtproto.BlockID{Hash: hash, PartSetHeader: cmtproto.PartSetHeader{Total: 1, Hash: hash}},
		}
		sig, err := key.Sign(cmttypes.VoteSignBytes(p.chainID, v))
		require.NoError(c, err)
		v.Signature = sig
		return v
	}
	a, b := vote("a"), vote("b")
	if string(a.BlockID.Hash) > string(b.BlockID.Hash) {
		a, b = b, a
	}
	return &providertypes.MsgSubmitDoubleVote{
		Submitter: delegator(0).addr.String(), ConsumerId: p.client,
		Evidence: &cmtproto.DuplicateVoteEvidence{VoteA: a, VoteB: b, Timestamp: c.time},
	}
}

// crowded returns a chain with a consumer on whose first validator so many delegators have staked, and on whose second
// one has staked so much more that the first is no third of the whole.
func crowded(tb testing.TB, positions int) (*chain, *partner) {
	tb.Helper()
	c := newChain(tb)
	p := c.pairConsumer(0, 10)
	c.block()
	ctx, k := c.deferred(), c.provider()
	state, err := k.ExportGenesis(ctx)
	require.NoError(c, err)
	ratio := sdkmath.LegacyNewDecWithPrec(5, 2)
	add := func(pool *providertypes.Pool, id uint64, del sdk.AccAddress, tokens sdkmath.Int) {
		position := pool.NewPosition()
		position.Shares, position.Budget = tokens, pool.Reserve(tokens, tokens, ratio)
		pool.Mint(tokens, tokens)
		state.Positions = append(state.Positions, providertypes.PositionRecord{Delegator: del, PoolId: id, Position: position})
		state.Accounts = append(state.Accounts, providertypes.AccountRecord{Delegator: del, Account: providertypes.Account{
			Debt: sdkmath.ZeroInt(), MinSelfDelegation: sdkmath.ZeroInt(), EvaluatedHeight: c.height,
		}})
	}
	many := providertypes.NewPool(p.client, operator(0), ratio)
	for n := range positions {
		add(&many, state.NextPoolId, address("restaker", n), sdkmath.NewInt(positionTokens))
	}
	rest := providertypes.NewPool(p.client, operator(1), ratio)
	add(&rest, state.NextPoolId+1, address("whale", 0), many.Tokens.MulRaw(10))
	state.Pools = append(state.Pools,
		providertypes.PoolRecord{Id: state.NextPoolId, Pool: many}, providertypes.PoolRecord{Id: state.NextPoolId + 1, Pool: rest})
	state.NextPoolId += 2
	require.NoError(c, k.InitGenesis(ctx, *state))
	c.block()
	return c, p
}

// BenchmarkSlashPool is a proof of double signing, from the message to the slashed pool, of a validator with so many
// positions, against one of a validator with a hundred.
func BenchmarkSlashPool(b *testing.B) {
	sizes := []int{10_000, 1_000_000}
	if testing.Short() {
		sizes[1] = 100_000
	}
	small, few := crowded(b, 100)
	base := small.attempt(small.msgDoubleVote(few, 0))
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c, p := crowded(b, n)
			a := c.attempt(c.msgDoubleVote(p, 0))
			contest{ours: side{run: a.once}, base: side{run: base.once}, turn: 50, limit: slashPool}.run(b)
			reportGas(b, a.gas, base.gas, slashPool)
		})
	}
}

// settled is how many delegators are settled in one block, as many as the default limit allows, so that what the block
// costs anyway hardly counts.
const settled = 50

// BenchmarkSettleDelegator is all that a slash costs for one delegator of its own, with a native delegation and three
// positions: to walk its position and top it up, to burn what it owes, and to evaluate it; against the native
// MsgUndelegate of the same delegator.
func BenchmarkSettleDelegator(b *testing.B) {
	c := newChain(b)
	p := c.pairConsumer(0, validators)
	for i := range settled {
		for v := range 3 {
			c.run(c.msgCrossStake(delegator(i), p, v, 100*one))
		}
	}
	c.block()
	k := c.provider()
	c.slash(p, 0)

	base := c.next()
	totals, err := k.Totals.Get(base)
	require.NoError(b, err)
	block := func(ctx sdk.Context) {
		require.NoError(b, k.EndBlocker(ctx))
	}
	once := func() span {
		ctx, _ := base.CacheContext()
		return spanOf(func() { block(ctx) }).div(settled)
	}
	ctx, _ := base.CacheContext()
	block(ctx)
	after, err := k.Totals.Get(ctx)
	require.NoError(b, err)
	require.True(b, after.Debt.IsZero() && after.Burned.GTE(totals.Slashed), "all of it is burned: %v", after)

	native := c.attempt(stakingtypes.NewMsgUndelegate(
		delegator(0).addr.String(), c.operators[0].String(), sdk.NewInt64Coin(denom, one),
	))
	contest{ours: side{run: once}, base: side{run: native.once}, turn: 10, limit: settleDelegator}.run(b)
	reportGas(b, c.gasOf(base, block)/settled, native.gas, settleDelegator)
}

// slash takes the whole budget of the active pool of a partner's validator, as a proof would, and starts its walk.
func (c *chain) slash(p *partner, validator int) {
	c.Helper()
	ctx, k := c.deferred(), c.provider()
	id, err := k.ActivePools.Get(ctx, activePool(p, validator))
	require.NoError(c, err)
	pool, err := k.Pools.Get(ctx, id)
	require.NoError(c, err)
	x := pool.Slash(sdkmath.LegacyNewDecWithPrec(5, 2))
	require.True(c, x.IsPositive())
	require.NoError(c, k.Pools.Set(ctx, id, pool))
	require.NoError(c, k.Walks.Set(ctx, id, providertypes.PoolWalk{PoolId: id, Rate: pool.RateFloor(), SlashIndex: pool.SlashIndex}))
	totals := providertypes.NewSlashTotals()
	totals.Slashed = x
	require.NoError(c, k.Totals.Set(ctx, totals))
}
