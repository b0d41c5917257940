package types_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"

	connectiontypes "github.com/cosmos/ibc-go/v11/modules/core/03-connection/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"

	"github.com/mesh-security/mesh/internal/fuzztest"
	"github.com/mesh-security/mesh/x/mesh/types"
)

// What decoders may allocate: so much whatever the input, and so much for each byte of it. The smallest entry of a list is
// two bytes on the wire and a struct of some 150 here; decoding checks it three times.
const (
	allocConstant = 64 << 10
	allocFactor   = 512
)

// marshals says that what was decoded encodes to the same bytes.
func marshals(t *testing.T, bz []byte, m interface{ Marshal() ([]byte, error) }) {
	t.Helper()
	again, err := m.Marshal()
	require.NoError(t, err)
	require.Equal(t, bz, again)
}

// FuzzUnmarshal: no packet and no acknowledgement, of either direction, makes a decoder panic or allocate out of
// proportion, and what is accepted encodes to the same bytes.
func FuzzUnmarshal(f *testing.F) {
	u, r := update(), report()
	s := types.Session{Provider: 7, Consumer: 9}
	ua := types.StakeUpdateAck{Echo: s, Current: s, Seq: 5, Codes: []types.StakeCode{0, 1, 2}}
	ra := types.ReportAck{Echo: s, Current: s, Seq: 5, SlashSeq: 4}
	for _, m := range []interface{ Marshal() ([]byte, error) }{&u, &r, &ua, &ra} {
		bz, err := m.Marshal()
		require.NoError(f, err)
		f.Add(bz)
	}
	f.Add(bytes.Repeat([]byte{0x32, 0x00}, 3_000))
	f.Add(bytes.Repeat([]byte{0x1A, 0x00}, 3_000))
	f.Fuzz(func(t *testing.T, bz []byte) {
		fuzztest.Allocates(t, len(bz), allocConstant, allocFactor, func() {
			if p, err := types.UnmarshalStakeUpdate(bz); err == nil {
				marshals(t, bz, &p)
			}
			if p, err := types.UnmarshalReport(bz); err == nil {
				marshals(t, bz, &p)
			}
			if a, err := types.UnmarshalStakeUpdateAck(bz); err == nil {
				marshals(t, bz, &a)
			}
			if a, err := types.UnmarshalReportAck(bz); err == nil {
				marshals(t, bz, &a)
			}
		})
	})
}

// FuzzParseAck: no IBC acknowledgement makes the decoder panic or allocate out of proportion, and a result that is read is the
// one that IBC writes.
func FuzzParseAck(f *testing.F) {
	for _, ack := range []channeltypes.Acknowledgement{
		channeltypes.NewResultAcknowledgement([]byte{1, 2, 3}),
		channeltypes.NewErrorAcknowledgement(types.ErrInvalidAmount),
	} {
		f.Add(ack.Acknowledgement())
	}
	f.Add([]byte(`{"result":null}`))
	f.Add([]byte(strings.Repeat(`{"a":`, 500)))
	f.Fuzz(func(t *testing.T, bz []byte) {
		var (
			result  []byte
			isError bool
			err     error
		)
		fuzztest.Allocates(t, len(bz), allocConstant, allocFactor, func() { result, isError, err = types.ParseAck(bz) })
		switch {
		case err != nil:
			require.Empty(t, result)
			require.False(t, isError)
		case isError:
			require.Empty(t, result)
		default:
			again, wasError, err := types.ParseAck(channeltypes.NewResultAcknowledgement(result).Acknowledgement())
			require.NoError(t, err)
			require.False(t, wasError)
			require.True(t, bytes.Equal(result, again))
		}
	})
}

// connections knows the connections whose ids begin with "connection-".
type connections struct{}

func (connections) GetConnection(_ sdk.Context, id string) (connectiontypes.ConnectionEnd, bool) {
	return connectiontypes.ConnectionEnd{ClientId: "of " + id}, strings.HasPrefix(id, "connection-")
}

// FuzzHandshake: whatever the other chain presents in a handshake, it neither panics nor is anything taken but an unordered
// channel of our version between our ports over one known connection.
func FuzzHandshake(f *testing.F) {
	f.Add(int32(channeltypes.UNORDERED), "connection-0", types.PortProvider, types.PortConsumer, types.Version, true)
	f.Add(int32(channeltypes.ORDERED), "connection-0", types.PortConsumer, types.PortProvider, "", false)
	f.Add(int32(7), "connection-0,connection-1", "", types.PortProvider, types.Version+"1", false)
	f.Fuzz(func(t *testing.T, order int32, hops, port, counterparty, version string, provider bool) {
		end := types.ChannelEnd{
			Order: channeltypes.Order(order), ConnectionHops: strings.Split(hops, ","), Port: port, CounterpartyPort: counterparty, Version: version,
		}
		own, ports := types.SideConsumer, []string{types.PortConsumer, types.PortProvider}
		if provider {
			own, ports = types.SideProvider, []string{types.PortProvider, types.PortConsumer}
		}
		client, err := end.Check(sdk.Context{}, connections{}, own)
		if err != nil {
			require.Empty(t, client)
			return
		}
		require.Equal(t, "of "+hops, client)
		require.Equal(t, []any{channeltypes.UNORDERED, types.Version, ports[0], ports[1]}, []any{end.Order, version, port, counterparty})
	})
}

// FuzzConsensusKey: no key makes its decoder panic, and one that is valid is of the type it says.
func FuzzConsensusKey(f *testing.F) {
	f.Add("ed25519", bytes.Repeat([]byte{4}, 32))
	f.Add("secp256k1", bytes.Repeat([]byte{2}, 33))
	f.Add("bls12_381", bytes.Repeat([]byte{2}, 48))
	f.Fuzz(func(t *testing.T, kind string, bz []byte) {
		key := types.ConsensusKey{Type: kind, Key: bz}
		valid := key.Validate()
		pub, err := key.PubKey()
		if err == nil && valid == nil {
			require.Equal(t, kind, pub.Type())
			require.Equal(t, bz, pub.Bytes())
			require.Len(t, pub.Address(), 20)
		}
	})
}
