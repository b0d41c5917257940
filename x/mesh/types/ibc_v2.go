package types

import (
	"bytes"
	"context"
	"time"

	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	clientv2types "github.com/cosmos/ibc-go/v11/modules/core/02-client/v2/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	channeltypesv2 "github.com/cosmos/ibc-go/v11/modules/core/04-channel/v2/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
)

// EncodingProtobuf is how the payload of a packet over IBC v2 is encoded.
const EncodingProtobuf = "application/x-protobuf"

// ClientKeeperV2 is what the modules read of IBC v2's clients.
type ClientKeeperV2 interface {
	GetClientCounterparty(ctx sdk.Context, clientID string) (clientv2types.CounterpartyInfo, bool)
}

// PacketSenderV2 sends packets over IBC v2: its channel keeper.
type PacketSenderV2 interface {
	SendPacket(ctx context.Context, msg *channeltypesv2.MsgSendPacket) (*channeltypesv2.MsgSendPacketResponse, error)
}

// Port returns the port of the side's module.
func (side Side) Port() string {
	if side == SideProvider {
		return PortProvider
	}
	return PortConsumer
}

// Address returns the address of the side's module, which signs its packets over IBC v2. Nobody has its key.
func (side Side) Address() sdk.AccAddress { return authtypes.NewModuleAddress(side.Port()) }

// NewPayload returns the payload by which a side sends data to its peer.
func NewPayload(sender Side, data []byte) channeltypesv2.Payload {
	return channeltypesv2.NewPayload(sender.Port(), sender.Peer().Port(), Version, EncodingProtobuf, data)
}

// CheckPayload checks that a payload is as NewPayload makes it: from the sender's port to its peer's, with the version and
// encoding spoken here. Nothing of this was agreed upon before, as it is for a channel. Errors: ErrChannelPort,
// ErrChannelVersion, ErrPayloadEncoding.
func CheckPayload(sender Side, payload channeltypesv2.Payload) error {
	switch {
	case payload.SourcePort != sender.Port() || payload.DestinationPort != sender.Peer().Port():
		return errorsmod.Wrapf(ErrChannelPort, "from %q to %q", payload.SourcePort, payload.DestinationPort)
	case payload.Version != Version:
		return errorsmod.Wrapf(ErrChannelVersion, "got %q, want %q", payload.Version, Version)
	case payload.Encoding != EncodingProtobuf:
		return errorsmod.Wrapf(ErrPayloadEncoding, "got %q, want %q", payload.Encoding, EncodingProtobuf)
	}
	return nil
}

// CheckSending checks that a packet leaves a side's port by the module itself: IBC v2 lets anybody send from any port, so
// that each module has to refuse. Errors: ErrSigner, those of CheckPayload.
func CheckSending(own Side, payload channeltypesv2.Payload, signer sdk.AccAddress) error {
	if !signer.Equals(own.Address()) {
		return errorsmod.Wrapf(ErrSigner, "%s", signer)
	}
	return CheckPayload(own, payload)
}

// merklePrefix is where a chain's IBC state is under its app hash: the store, and nothing before the keys in it.
var merklePrefix = [][]byte{[]byte(exported.StoreKey), {}}

// CheckCounterparty checks that IBC v2 knows the counterparty as the other chain's client for clientID, and looks for that
// chain's packets in its IBC store. Whoever created a client registers both, once and for all: with another prefix
// packets would be proved from keys of that chain's state that anybody may write, a contract's for example.
// Errors: ErrCounterparty, ErrMerklePrefix.
func CheckCounterparty(ctx sdk.Context, clients ClientKeeperV2, clientID, counterparty string) error {
	info, err := counterpartyOf(ctx, clients, clientID)
	if err != nil {
		return err
	}
	if info.ClientId != counterparty {
		return errorsmod.Wrapf(ErrCounterparty, "%s has %q, not %q", clientID, info.ClientId, counterparty)
	}
	return checkPrefix(info)
}

// CheckTransferClient checks what rewards go over if it is not a channel: a client whose counterparty is known to IBC v2 and
// proved as CheckCounterparty asks. With another prefix rewards would be invented, or refunded and kept. A channel is left
// alone. Errors: ErrCounterparty, ErrMerklePrefix.
func CheckTransferClient(ctx sdk.Context, clients ClientKeeperV2, id string) error {
	if id == "" || channeltypes.IsValidChannelID(id) {
		return nil
	}
	info, err := counterpartyOf(ctx, clients, id)
	if err != nil {
		return err
	}
	return checkPrefix(info)
}

func counterpartyOf(ctx sdk.Context, clients ClientKeeperV2, clientID string) (clientv2types.CounterpartyInfo, error) {
	if clients == nil {
		return clientv2types.CounterpartyInfo{}, errorsmod.Wrap(ErrCounterparty, "this chain has no IBC v2")
	}
	info, found := clients.GetClientCounterparty(ctx, clientID)
	if !found {
		return info, errorsmod.Wrapf(ErrCounterparty, "%s has none", clientID)
	}
	return info, nil
}

func checkPrefix(info clientv2types.CounterpartyInfo) error {
	if len(info.MerklePrefix) != len(merklePrefix) {
		return errorsmod.Wrapf(ErrMerklePrefix, "%d parts", len(info.MerklePrefix))
	}
	for i, part := range merklePrefix {
		if !bytes.Equal(info.MerklePrefix[i], part) {
			return errorsmod.Wrapf(ErrMerklePrefix, "part %d is %.40q", i+1, info.MerklePrefix[i])
		}
	}
	return nil
}

// SendV2 sends data from a side's port over a client. IBC v2 counts timeouts in seconds, rounded down here, at least one,
// and refuses more than 24 hours.
func SendV2(ctx sdk.Context, sender PacketSenderV2, own Side, clientID string, timeout time.Duration, data []byte) error {
	at := max(ctx.BlockTime().Add(min(timeout, channeltypesv2.MaxTimeoutDelta)).Unix(), ctx.BlockTime().Unix()+1)
	_, err := sender.SendPacket(ctx, channeltypesv2.NewMsgSendPacket(
		clientID, uint64(at), own.Address().String(), NewPayload(own, data),
	))
	return err
}

// IsErrorAckV2 says whether an acknowledgement over IBC v2 is its error, which carries no reason; any other is the result.
func IsErrorAckV2(ack []byte) bool { return bytes.Equal(ack, channeltypesv2.ErrorAcknowledgement[:]) }

// FailureV2 is the result of a packet that was refused: nothing it wrote is kept.
func FailureV2() channeltypesv2.RecvPacketResult {
	return channeltypesv2.RecvPacketResult{Status: channeltypesv2.PacketStatus_Failure}
}

// SuccessV2 is the result of a packet that was answered.
func SuccessV2(ack []byte) channeltypesv2.RecvPacketResult {
	return channeltypesv2.RecvPacketResult{Status: channeltypesv2.PacketStatus_Success, Acknowledgement: ack}
}

// IgnoreTransport drops ErrTransport: of a packet that answers what counts as lost or not sent since the packets of the pairing
// began to go another way.
func IgnoreTransport(err error) error {
	if errorsmod.IsOf(err, ErrTransport) {
		return nil
	}
	return err
}
