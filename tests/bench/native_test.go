package bench_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cosmos/cosmos-sdk/baseapp"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
)

// attempt is one message, executed over and over on the same committed state as a transaction would execute it: on a
// cache of the block's state, with a gas meter. What it writes is lost.
type attempt struct {
	*chain
	msg     sdk.Msg
	handler baseapp.MsgServiceHandler
	base    sdk.Context
	gas     uint64
}

func (c *chain) attempt(msg sdk.Msg) *attempt {
	return &attempt{chain: c, msg: msg, handler: c.app.MsgServiceRouter().Handler(msg), base: c.next()}
}

// once executes the message and returns how long it took.
func (a *attempt) once() span {
	ctx, _ := a.base.CacheContext()
	ctx = ctx.WithGasMeter(storetypes.NewGasMeter(txGas))
	var err error
	took := spanOf(func() { _, err = a.handler(ctx, a.msg) })
	require.NoError(a, err)
	a.gas = ctx.GasMeter().GasConsumed()
	return took
}

// msgDelegate is a native delegation to the validator that the delegator is with.
func (c *chain) msgDelegate(i int, amount int64) *stakingtypes.MsgDelegate {
	return stakingtypes.NewMsgDelegate(
		delegator(i).addr.String(), c.operators[i%validators].String(), sdk.NewInt64Coin(denom, amount),
	)
}

// BenchmarkNativeDelegate is x/staking's MsgDelegate of a delegator with one delegation.
func BenchmarkNativeDelegate(b *testing.B) {
	c := newChain(b)
	a := c.attempt(c.msgDelegate(0, one))
	b.ReportAllocs()
	for b.Loop() {
		a.once()
	}
	b.ReportMetric(float64(a.gas), "gas/op")
}
