package bench_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/appmodule"

	sdk "github.com/cosmos/cosmos-sdk/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// maxUpdateBytes is the limit of an update that lists 200 validators.
const maxUpdateBytes = 16 << 10

// recorder sends packets through IBC and keeps what was sent.
type recorder struct {
	providertypes.PacketSender
	sent [][]byte
}

// SendPacket implements providertypes.PacketSender.
func (r *recorder) SendPacket(
	ctx sdk.Context, port, channel string, timeout clienttypes.Height, at uint64, data []byte,
) (uint64, error) {
	r.sent = append(r.sent, data)
	return r.PacketSender.SendPacket(ctx, port, channel, timeout, at, data)
}

// packets records the packets that the provider module sends from now on.
func (c *chain) packets() *recorder {
	r := &recorder{PacketSender: c.app.IBCKeeper.ChannelKeeper}
	c.provider().SetPacketSender(r)
	return r
}

// BenchmarkStakeUpdateBytes is the end of an epoch of a provider in which users have acted on all 200 validators of a
// consumer: it sends one packet, of the same size however many they were. One op is the module's part of the block that
// ends the epoch.
//
//   - users: so many delegators have staked, on pools of about 100,000 tokens each;
//   - largest: pools of 2^128 − 1, the largest amount on the wire.
func BenchmarkStakeUpdateBytes(b *testing.B) {
	c := newChain(b)
	p := c.pairConsumer(0, validators)
	for _, users := range []int{validators, delegators} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			for i := range users {
				c.run(c.msgCrossStake(delegator(i), p, i%validators, 100*one))
			}
			endEpoch(b, c, p)
		})
	}
	b.Run("largest", func(b *testing.B) {
		k := c.provider()
		for i := range validators {
			c.run(c.msgCrossStake(delegator(i), p, i, one))
			ctx := c.deferred()
			id, err := k.ActivePools.Get(ctx, collections.Join(p.client, operator(i)))
			require.NoError(b, err)
			pool, err := k.Pools.Get(ctx, id)
			require.NoError(b, err)
			pool.Tokens = meshtypes.MaxAmount.SubRaw(1)
			require.NoError(b, k.Pools.Set(ctx, id, pool))
		}
		endEpoch(b, c, p)
	})
}

// endEpoch measures the end of an epoch, over and over on the same state, and then lets it end.
func endEpoch(b *testing.B, c *chain, p *partner) {
	b.Helper()
	c.block()
	packets := c.packets()
	module, ok := c.timer(providertypes.ModuleName).module.(appmodule.HasEndBlocker)
	require.True(b, ok)
	end := func(ctx sdk.Context) {
		packets.sent = nil
		require.NoError(b, module.EndBlock(ctx.WithBlockTime(c.time.Add(time.Hour))))
	}
	b.ReportAllocs()
	for b.Loop() {
		end(c.next())
	}
	b.ReportMetric(float64(c.gasOf(c.next(), end)), "gas/op")

	packets.sent = nil
	c.epoch()
	require.NotEmpty(b, packets.sent)
	size := len(packets.sent[0])
	b.ReportMetric(float64(len(packets.sent)), "packets/op")
	b.ReportMetric(float64(size), "packet-bytes")
	limit(b, "packets/op", float64(len(packets.sent)), 1)
	limit(b, "packet-bytes", float64(size), maxUpdateBytes)
	update, err := meshtypes.UnmarshalStakeUpdate(packets.sent[0])
	require.NoError(b, err)
	require.Len(b, update.Stakes, validators)
	c.acknowledge(p, packets.sent[0])
	c.block()
}
