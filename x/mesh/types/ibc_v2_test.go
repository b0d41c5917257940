package types_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"

	clientv2types "github.com/cosmos/ibc-go/v11/modules/core/02-client/v2/types"
	channeltypesv2 "github.com/cosmos/ibc-go/v11/modules/core/04-channel/v2/types"

	"github.com/mesh-security/mesh/x/mesh/types"
)

const ownClient, peerClient = "07-tendermint-3", "07-tendermint-8"

func TestCheckPayload(t *testing.T) {
	for _, tc := range []struct {
		name     string
		malleate func(*channeltypesv2.Payload)
		expErr   error
	}{
		{"good", func(*channeltypesv2.Payload) {}, nil},
		{"from another port", func(p *channeltypesv2.Payload) { p.SourcePort = "transfer" }, types.ErrChannelPort},
		{"to another port", func(p *channeltypesv2.Payload) { p.DestinationPort = "transfer" }, types.ErrChannelPort},
		{"from the wrong side", func(p *channeltypesv2.Payload) {
			p.SourcePort, p.DestinationPort = p.DestinationPort, p.SourcePort
		}, types.ErrChannelPort},
		{"to the same side", func(p *channeltypesv2.Payload) { p.DestinationPort = p.SourcePort }, types.ErrChannelPort},
		{"without port", func(p *channeltypesv2.Payload) { p.SourcePort = "" }, types.ErrChannelPort},
		{"version", func(p *channeltypesv2.Payload) { p.Version = "mesh-2" }, types.ErrChannelVersion},
		{"no version", func(p *channeltypesv2.Payload) { p.Version = "" }, types.ErrChannelVersion},
		{"encoding", func(p *channeltypesv2.Payload) { p.Encoding = "application/json" }, types.ErrPayloadEncoding},
		{"no encoding", func(p *channeltypesv2.Payload) { p.Encoding = "" }, types.ErrPayloadEncoding},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, side := range []types.Side{types.SideProvider, types.SideConsumer} {
				payload := types.NewPayload(side, []byte{1})
				require.NoError(t, payload.ValidateBasic())
				tc.malleate(&payload)
				require.ErrorIs(t, types.CheckPayload(side, payload), tc.expErr)
				require.ErrorIs(t, types.CheckSending(side, payload, side.Address()), tc.expErr)
				for _, other := range []sdk.AccAddress{nil, {}, side.Peer().Address(), sdk.AccAddress("anybody else's address"), make([]byte, 20)} {
					require.ErrorIs(t, types.CheckSending(side, payload, other), types.ErrSigner)
				}
			}
		})
	}
}

type counterparties map[string]clientv2types.CounterpartyInfo

func (c counterparties) GetClientCounterparty(_ sdk.Context, clientID string) (clientv2types.CounterpartyInfo, bool) {
	info, found := c[clientID]
	return info, found
}

func TestCheckCounterparty(t *testing.T) {
	usual := [][]byte{[]byte("ibc"), {}}
	for _, tc := range []struct {
		name    string
		clients types.ClientKeeperV2
		expErr  error
	}{
		{"good", counterparties{ownClient: {ClientId: peerClient, MerklePrefix: usual}}, nil},
		{"empty part is nil", counterparties{ownClient: {ClientId: peerClient, MerklePrefix: [][]byte{[]byte("ibc"), nil}}}, nil},
		{"no IBC v2", nil, types.ErrCounterparty},
		{"none", counterparties{}, types.ErrCounterparty},
		{"of another client", counterparties{peerClient: {ClientId: peerClient, MerklePrefix: usual}}, types.ErrCounterparty},
		{"another", counterparties{ownClient: {ClientId: ownClient, MerklePrefix: usual}}, types.ErrCounterparty},
		{"no prefix", counterparties{ownClient: {ClientId: peerClient}}, types.ErrMerklePrefix},
		{"another store", counterparties{ownClient: {ClientId: peerClient, MerklePrefix: [][]byte{[]byte("wasm"), {}}}}, types.ErrMerklePrefix},
		{"keys of a contract", counterparties{ownClient: {ClientId: peerClient, MerklePrefix: [][]byte{[]byte("wasm"), []byte("\x03contract")}}}, types.ErrMerklePrefix},
		{"keys of others in the store", counterparties{ownClient: {ClientId: peerClient, MerklePrefix: [][]byte{[]byte("ibc"), []byte("x")}}}, types.ErrMerklePrefix},
		{"one part", counterparties{ownClient: {ClientId: peerClient, MerklePrefix: [][]byte{[]byte("ibc")}}}, types.ErrMerklePrefix},
		{"three parts", counterparties{ownClient: {ClientId: peerClient, MerklePrefix: append(usual[:2:2], nil)}}, types.ErrMerklePrefix},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.ErrorIs(t, types.CheckCounterparty(sdk.Context{}, tc.clients, ownClient, peerClient), tc.expErr)
		})
	}
}

// TestCheckTransferClient: a channel may be anybody's, a client must be proved from the other chain's IBC store.
func TestCheckTransferClient(t *testing.T) {
	usual := [][]byte{[]byte("ibc"), {}}
	registered := counterparties{ownClient: {ClientId: peerClient, MerklePrefix: usual}}
	for _, tc := range []struct {
		name    string
		clients types.ClientKeeperV2
		id      string
		expErr  error
	}{
		{"none", nil, "", nil},
		{"a channel", nil, "channel-0", nil},
		{"a channel, with IBC v2", counterparties{}, "channel-18446744073709551615", nil},
		{"a client", registered, ownClient, nil},
		{"no IBC v2", nil, ownClient, types.ErrCounterparty},
		{"no counterparty yet", registered, "07-tendermint-77", types.ErrCounterparty},
		{"neither", registered, "channel-x", types.ErrCounterparty},
		{"a client that is called a channel", counterparties{"channel-0x1": {ClientId: peerClient}}, "channel-0x1", types.ErrMerklePrefix},
		{"keys of a contract", counterparties{ownClient: {ClientId: peerClient, MerklePrefix: [][]byte{[]byte("wasm"), []byte("\x03contract")}}}, ownClient, types.ErrMerklePrefix},
		{"no prefix", counterparties{ownClient: {ClientId: peerClient}}, ownClient, types.ErrMerklePrefix},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.ErrorIs(t, types.CheckTransferClient(sdk.Context{}, tc.clients, tc.id), tc.expErr)
		})
	}
}

type sentV2 []*channeltypesv2.MsgSendPacket

func (s *sentV2) SendPacket(_ context.Context, msg *channeltypesv2.MsgSendPacket) (*channeltypesv2.MsgSendPacketResponse, error) {
	*s = append(*s, msg)
	return &channeltypesv2.MsgSendPacketResponse{Sequence: uint64(len(*s))}, nil
}

// TestSendV2: timeouts are seconds, ahead of the block time and at most 24 hours, as IBC v2 counts.
func TestSendV2(t *testing.T) {
	block := time.Unix(1_800_000_000, 999_999_999).UTC()
	for timeout, want := range map[time.Duration]int64{
		24 * time.Hour:  86_400,
		48 * time.Hour:  86_400,
		time.Minute:     60,
		time.Nanosecond: 1,
		0:               1,
	} {
		sent := sentV2{}
		ctx := sdk.Context{}.WithBlockTime(block)
		require.NoError(t, types.SendV2(ctx, &sent, types.SideConsumer, ownClient, timeout, []byte{7}))
		require.Len(t, sent, 1)
		msg := sent[0]
		require.NoError(t, msg.ValidateBasic())
		require.Equal(t, ownClient, msg.SourceClient)
		require.Equal(t, types.SideConsumer.Address().String(), msg.Signer)
		require.Equal(t, []channeltypesv2.Payload{types.NewPayload(types.SideConsumer, []byte{7})}, msg.Payloads)
		at := time.Unix(int64(msg.TimeoutTimestamp), 0)
		require.True(t, at.After(block), timeout)
		require.False(t, at.After(block.Add(channeltypesv2.MaxTimeoutDelta)), timeout)
		require.Equal(t, block.Unix()+want, at.Unix(), timeout)
	}
}

func TestResultsOfIBCV2(t *testing.T) {
	require.Equal(t, channeltypesv2.PacketStatus_Failure, types.FailureV2().Status)
	require.Equal(t, channeltypesv2.RecvPacketResult{Status: channeltypesv2.PacketStatus_Success, Acknowledgement: []byte{1}}, types.SuccessV2([]byte{1}))
	require.True(t, types.IsErrorAckV2(channeltypesv2.ErrorAcknowledgement[:]))
	require.False(t, types.IsErrorAckV2([]byte{1}))
	// IBC v2 refuses an empty acknowledgement; none of ours is empty, whatever it says.
	for _, ack := range []interface{ Marshal() ([]byte, error) }{&types.ReportAck{}, &types.StakeUpdateAck{}} {
		bz, err := ack.Marshal()
		require.NoError(t, err)
		require.NotEmpty(t, bz)
	}
}
