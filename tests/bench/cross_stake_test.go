package bench_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"
)

// Limits of MsgCrossStake against MsgDelegate of the same delegator.
const (
	crossStakeTime = 1.0
	crossStakeGas  = 1.0
)

// restaked is a chain whose first delegator has one native delegation and three positions, and which has told its three
// consumers of them.
func restaked(b *testing.B) (*chain, []*partner) {
	b.Helper()
	c := newChain(b)
	partners := make([]*partner, 3)
	for i := range partners {
		partners[i] = c.pairConsumer(i, validators)
		c.run(c.msgCrossStake(delegator(0), partners[i], i, 100*one))
		// Others have staked there before, so no pool is new.
		for v := range 5 {
			c.run(c.msgCrossStake(delegator(1), partners[i], v, 100*one))
		}
	}
	c.block()
	packets := c.packets()
	c.epoch()
	require.Len(b, packets.sent, len(partners))
	for i, p := range partners {
		c.acknowledge(p, packets.sent[i])
	}
	c.block()
	return c, partners
}

// BenchmarkCrossStake is MsgCrossStake against x/staking's MsgDelegate, of one delegator with one native delegation and
// three positions.
//
//   - again: more stake on a validator it has a position on, against more native stake with its validator;
//   - new: a fourth position, against a first delegation to another validator;
//   - block: transactions in real blocks, signatures and commits to disk included.
func BenchmarkCrossStake(b *testing.B) {
	b.Run("again", func(b *testing.B) {
		c, partners := restaked(b)
		compareMsgs(b, c, c.msgCrossStake(delegator(0), partners[0], 0, one), c.msgDelegate(0, one))
	})
	b.Run("new", func(b *testing.B) {
		c, partners := restaked(b)
		native := c.msgDelegate(0, one)
		native.ValidatorAddress = c.operators[1].String()
		compareMsgs(b, c, c.msgCrossStake(delegator(0), partners[0], 1, one), native)
	})
	b.Run("block", func(b *testing.B) {
		c, partners := restaked(b)
		compareBlocks(b, c, c.msgCrossStake(delegator(0), partners[0], 0, one), c.msgDelegate(0, one))
	})
}

// compareMsgs compares two messages on the same state.
func compareMsgs(b *testing.B, c *chain, ours, native sdk.Msg) {
	b.Helper()
	o, n := c.attempt(ours), c.attempt(native)
	contest{ours: side{run: o.once}, base: side{run: n.once}, turn: 100, limit: crossStakeTime}.run(b)
	reportGas(b, o.gas, n.gas, crossStakeGas)
}

// txsPerBlock is how many transactions the blocks compared have.
const txsPerBlock = 100

// compareBlocks compares blocks full of one message with blocks full of the other.
func compareBlocks(b *testing.B, c *chain, ours, native sdk.Msg) {
	b.Helper()
	var txs [txsPerBlock][]byte
	block := func(msg sdk.Msg, gas *uint64) side {
		return side{
			prepare: func() {
				for i := range txs {
					txs[i] = c.sign(delegator(0), uint64(i), msg)
				}
			},
			run: func() span {
				res, took := c.block(txs[:]...)
				*gas = uint64(res.TxResults[txsPerBlock-1].GasUsed)
				return took.div(txsPerBlock)
			},
		}
	}
	var ourGas, nativeGas uint64
	contest{ours: block(ours, &ourGas), base: block(native, &nativeGas), turn: 1, limit: crossStakeTime}.run(b)
	reportGas(b, ourGas, nativeGas, crossStakeGas)
}

func reportGas(b *testing.B, ours, base uint64, most float64) {
	b.Helper()
	ratio := float64(ours) / float64(base)
	b.ReportMetric(float64(ours), "gas/op")
	b.ReportMetric(float64(base), "base-gas/op")
	b.ReportMetric(ratio, "gas-ratio")
	limit(b, "gas-ratio", ratio, most)
}
