package demo

import (
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/mesh-security/mesh/internal/localnet"
)

func testTrail() *trail {
	consumer := &chain{
		Chain: &localnet.Chain{Denom: "ujuno", Nodes: []*localnet.Node{{Operator: "valoper0"}, {Operator: "valoper1"}}},
		id:    "juno-local", validators: 2,
	}
	return &trail{
		dir: &direction{
			provider: &chain{id: "osmosis-local"}, consumer: consumer, ids: localnet.PairingState{ConsumerTransfer: "channel-3"},
		},
		virtual: "virtual", sender: "sender", receiver: "receiver",
	}
}

func event(kind string, attributes ...string) abci.Event {
	e := abci.Event{Type: kind}
	for i := 0; i < len(attributes); i += 2 {
		e.Attributes = append(e.Attributes, abci.EventAttribute{Key: attributes[i], Value: attributes[i+1]})
	}
	return e
}

func sendPacket(channel, data string) abci.Event {
	return event("send_packet", "packet_src_port", "transfer", "packet_src_channel", channel, "packet_sequence", "7",
		"packet_data_hex", hex.EncodeToString([]byte(data)))
}

const goodPacket = `{"amount":"15","denom":"ujuno","memo":"{\"mesh_rewards\":{\"rewards\":[{\"validator\":\"valoper0\",\"amount\":\"4\"},{\"validator\":\"valoper1\",\"amount\":\"11\"}]}}","receiver":"receiver","sender":"sender"}`

func TestTrailReads(t *testing.T) {
	tr := testTrail()
	require.NoError(t, tr.read(9, []abci.Event{
		event("withdraw_rewards", "amount", "120ujuno,3uother", "validator", "valoper1", "delegator", "virtual"),
		event("withdraw_rewards", "amount", "0stake", "validator", "valoper0", "delegator", "virtual"),
		event("withdraw_rewards", "amount", "999ujuno", "validator", "valoper0", "delegator", "somebody"),
		sendPacket("channel-3", goodPacket),
		sendPacket("channel-4", "not ours"),
		event("transfer", "amount", "1ujuno"),
	}))
	require.Equal(t, []payment{
		{height: 9, validator: 1, amount: math.NewInt(120)}, {height: 9, validator: 0, amount: math.ZeroInt()},
	}, tr.payments)
	require.Len(t, tr.parcels, 1)
	require.Equal(t, uint64(7), tr.parcels[0].sequence)
	require.Equal(t, []string{"4", "11"}, spell(tr.parcels[0].of))
}

func TestTrailRefuses(t *testing.T) {
	for _, tc := range []struct{ name, old, changed, expMsg string }{
		{"another sum", `"amount":"15"`, `"amount":"16"`, "sum of a memo"},
		{"another denom", `"ujuno"`, `"uatom"`, "denom"},
		{"another sender", `"sender":"sender"`, `"sender":"thief"`, "sender"},
		{"another receiver", `"receiver":"receiver"`, `"receiver":"thief"`, "receiver"},
		{"a validator of elsewhere", "valoper1", "valoper9", "memo"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Contains(t, goodPacket, tc.old)
			err := testTrail().read(9, []abci.Event{sendPacket("channel-3", strings.Replace(goodPacket, tc.old, tc.changed, 1))})
			require.ErrorContains(t, err, tc.expMsg)
		})
	}
	require.Error(t, testTrail().read(9, []abci.Event{sendPacket("channel-3", "not JSON")}))
}

func TestLastUnit(t *testing.T) {
	tr, who := testTrail(), &delegator{name: "bob"}
	third := big.NewRat(100, 3)
	for _, amount := range []int64{33, 32} {
		require.NoError(t, tr.lastUnit(who, third, math.NewInt(amount)))
	}
	for _, amount := range []int64{34, 31, 0} {
		require.ErrorContains(t, tr.lastUnit(who, third, math.NewInt(amount)), "33 or one less")
	}
	require.NoError(t, tr.lastUnit(who, big.NewRat(40, 1), math.NewInt(40)))
	require.NoError(t, tr.lastUnit(who, big.NewRat(40, 1), math.NewInt(39)), "an index is rounded down")
}
