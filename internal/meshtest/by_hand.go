package meshtest

import (
	sdk "github.com/cosmos/cosmos-sdk/types"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	channeltypesv2 "github.com/cosmos/ibc-go/v11/modules/core/04-channel/v2/types"
	host "github.com/cosmos/ibc-go/v11/modules/core/24-host"
	hostv2 "github.com/cosmos/ibc-go/v11/modules/core/24-host/v2"
)

// What a relayer that is not the network's own sends. Its proofs are of the sending chain's newest header, which the
// receiver's client has to know: see End.MsgUpdateClient.

// Provable says whether there is a header over the block that committed t.
func (t *Transit) Provable() bool { return t.From.proven(t.Height) }

// Received says whether a packet has a receipt on the chain it goes to.
func (t *Transit) Received() bool {
	c, p := t.To.Chain, t.Packet
	if t.V2 != nil {
		return c.App.IBCKeeper.ChannelKeeperV2.HasPacketReceipt(c.CommittedContext(), p.DestinationChannel, p.Sequence)
	}
	_, ok := c.App.IBCKeeper.ChannelKeeper.GetPacketReceipt(c.CommittedContext(), p.DestinationPort, p.DestinationChannel, p.Sequence)
	return ok
}

// MsgDeliver returns the message that delivers t, with what the sender's state proves about it, be it that there is no such
// thing.
func (t *Transit) MsgDeliver() sdk.Msg {
	proof, height := t.From.proof(t.key())
	return t.msg(proof, height, t.To.Chain.relayerAccount().String())
}

// Forged returns t with an acknowledgement that nobody gave, on its way back.
func (t *Transit) Forged(ack []byte) *Transit {
	return &Transit{From: t.To, To: t.From, Packet: t.Packet, V2: t.V2, Ack: ack}
}

// MsgTimeout returns the message that tells the sender of a packet that it was never received, whether that is so or not and
// whether it is late or not. closed says that the channel was closed, of a packet of IBC v1.
func (t *Transit) MsgTimeout(closed bool) sdk.Msg {
	p, signer := t.Packet, t.From.Chain.relayerAccount().String()
	if t.V2 != nil {
		proof, height := t.To.proof(hostv2.PacketReceiptKey(p.DestinationChannel, p.Sequence))
		return channeltypesv2.NewMsgTimeout(*t.V2, proof, height, signer)
	}
	proof, height := t.To.proof(host.PacketReceiptKey(p.DestinationPort, p.DestinationChannel, p.Sequence))
	if !closed {
		return channeltypes.NewMsgTimeout(p, 1, proof, height, signer)
	}
	closedProof, _ := t.To.proof(host.ChannelKey(p.DestinationPort, p.DestinationChannel))
	return channeltypes.NewMsgTimeoutOnClose(p, 1, proof, closedProof, height, signer)
}

// Relayer returns the account that signs what relayers send to the chain.
func (c *Chain) Relayer() *Account { return c.relayerAccount() }
