package meshtest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"

	abci "github.com/cometbft/cometbft/abci/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	channeltypesv2 "github.com/cosmos/ibc-go/v11/modules/core/04-channel/v2/types"
	host "github.com/cosmos/ibc-go/v11/modules/core/24-host"
	hostv2 "github.com/cosmos/ibc-go/v11/modules/core/24-host/v2"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctesting "github.com/cosmos/ibc-go/v11/testing"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// Fate is what the relayer does with a packet or an acknowledgement that could be delivered now.
type Fate int

const (
	// Deliver it in the next block.
	Deliver Fate = iota
	// Hold it and ask again at the next step.
	Hold
	// Drop it: a packet is timed out when its time has come; an acknowledgement is lost.
	Drop
	// Lose it for ever: neither delivered nor timed out.
	Lose
	// Repeat delivers it and asks again at the next step.
	Repeat
)

// Transit is a packet or an acknowledgement on its way.
type Transit struct {
	// From is the end where it was committed, To the end where it goes.
	From, To *End
	// Packet is the packet that is carried or answered. One of IBC v2 is shown as one of v1: its clients as channels, its
	// timeout in nanoseconds.
	Packet channeltypes.Packet
	// Ack is the acknowledgement, nil for a packet.
	Ack []byte
	// V2 is the packet if it is one of IBC v2, else nil.
	V2 *channeltypesv2.Packet
	// Height is the block of From that committed it, Time that block's time.
	Height int64
	Time   time.Time
	// Deliveries counts how often it was put into a block.
	Deliveries int

	dropped, timedOut bool
	// closedAt is the block after which the channel was first seen closed at the end To.
	closedAt int64
	tx       *Tx
	done     bool
}

// IsAck says whether it is an acknowledgement.
func (t *Transit) IsAck() bool { return t.Ack != nil }

// Done says whether it needs no more work: it was delivered, timed out or lost in the last step.
func (t *Transit) Done() bool { return t.done }

// String names the packet.
func (t *Transit) String() string {
	what := "packet"
	if t.IsAck() {
		what = "acknowledgement of packet"
	}
	return fmt.Sprintf("%s %d of %s %s/%s", what, t.Packet.Sequence,
		t.sender().Chain.ChainID, t.Packet.SourcePort, t.Packet.SourceChannel)
}

func (t *Transit) sender() *End {
	if t.IsAck() {
		return t.To
	}
	return t.From
}

// Relayer carries packets and acknowledgements over all links of a network.
type Relayer struct {
	// Policy decides on everything that could be delivered, at every step.
	Policy func(*Transit) Fate
	// Shuffle delivers in random order.
	Shuffle bool
	// Stopped relays nothing and updates no client.
	Stopped bool
	// OnError is told of a relayer's transaction that failed; by default the test fails.
	OnError func(*Transit, error)
	// Delivered, Dropped and TimedOut count.
	Delivered, Dropped, TimedOut int

	net      *Network
	transits []*Transit
	updated  map[*End]bool
}

func newRelayer(n *Network) *Relayer {
	r := &Relayer{net: n, Policy: Perfect}
	r.OnError = func(t *Transit, err error) {
		n.Helper()
		require.NoError(n, err, "relaying %s", t)
	}
	return r
}

// Perfect delivers everything at once.
func Perfect(*Transit) Fate { return Deliver }

// HoldAll keeps everything in flight; clients stay alive.
func HoldAll(*Transit) Fate { return Hold }

// DropAll drops everything.
func DropAll(*Transit) Fate { return Drop }

// Unreliable drops, holds and repeats at random, in percent each. Acknowledgements are held, never lost, unless
// loseAcks.
func (n *Network) Unreliable(drop, hold, repeat int, loseAcks bool) func(*Transit) Fate {
	return func(t *Transit) Fate {
		x := n.Rand.Intn(100)
		switch {
		case x < drop:
			if t.IsAck() && !loseAcks {
				return Hold
			}
			return Drop
		case x < drop+hold:
			return Hold
		case x < drop+hold+repeat && t.Deliveries == 0:
			return Repeat
		default:
			return Deliver
		}
	}
}

// InFlight returns what is on its way, dropped packets that wait for their timeout included.
func (r *Relayer) InFlight() []*Transit { return r.transits }

// collect takes the packets and acknowledgements that a block of c committed.
func (r *Relayer) collect(c *Chain, b *Block) {
	c.Helper()
	for _, e := range b.Events {
		if e.Type != channeltypes.EventTypeSendPacket && e.Type != channeltypes.EventTypeWriteAck {
			continue
		}
		if attribute(e, channeltypesv2.AttributeKeySrcClient) != "" {
			r.collectV2(c, b, e)
			continue
		}
		from := r.net.end(c, attribute(e, channeltypes.AttributeKeyConnectionID))
		if from == nil {
			continue // not over a link of ours
		}
		packets, err := ibctesting.ParseIBCV1Packets(e.Type, []abci.Event{e})
		require.NoError(c, err)
		t := &Transit{From: from, To: from.Other(), Packet: packets[0], Height: b.Height, Time: b.Time}
		if e.Type == channeltypes.EventTypeWriteAck {
			t.Ack, err = ibctesting.ParseAckFromEvents([]abci.Event{e})
			require.NoError(c, err)
		}
		r.transits = append(r.transits, t)
	}
}

// collectV2 takes a packet or an acknowledgement of IBC v2.
func (r *Relayer) collectV2(c *Chain, b *Block, e abci.Event) {
	c.Helper()
	packets, err := ibctesting.ParseIBCV2Packets(e.Type, []abci.Event{e})
	require.NoError(c, err)
	require.Len(c, packets[0].Payloads, 1)
	p, payload := packets[0], packets[0].Payloads[0]
	client := p.SourceClient
	if e.Type == channeltypesv2.EventTypeWriteAck {
		client = p.DestinationClient
	}
	from := r.net.endOfClient(c, client)
	if from == nil {
		return // not over a link of ours
	}
	t := &Transit{From: from, To: from.Other(), V2: &p, Height: b.Height, Time: b.Time}
	t.Packet = channeltypes.NewPacket(
		payload.Value, p.Sequence, payload.SourcePort, p.SourceClient, payload.DestinationPort, p.DestinationClient,
		clienttypes.ZeroHeight(), uint64(time.Unix(int64(p.TimeoutTimestamp), 0).UnixNano()),
	)
	if e.Type == channeltypesv2.EventTypeWriteAck {
		t.Ack, err = ibctesting.ParseAckV2FromEvents([]abci.Event{e})
		require.NoError(c, err)
	}
	r.transits = append(r.transits, t)
}

// AckV2 decodes the acknowledgement of a packet of IBC v2.
func (t *Transit) AckV2() channeltypesv2.Acknowledgement {
	t.To.Chain.Helper()
	var ack channeltypesv2.Acknowledgement
	require.NoError(t.To.Chain, ack.Unmarshal(t.Ack))
	return ack
}

func attribute(e abci.Event, key string) string {
	for _, a := range e.Attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

// work puts the relayer's transactions for the next blocks into the mempools.
func (r *Relayer) work() {
	r.net.Helper()
	r.settle()
	if r.Stopped {
		return
	}
	r.updated = map[*End]bool{}
	r.keepAlive()

	batch := append([]*Transit(nil), r.transits...)
	if r.Shuffle {
		r.net.Rand.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	}
	for _, t := range batch {
		r.carry(t)
	}
	r.prune()
}

// settle looks at the results of what was sent.
func (r *Relayer) settle() {
	for _, t := range r.transits {
		if t.tx == nil || t.tx.Result == nil {
			continue
		}
		err := t.tx.Err()
		t.tx = nil
		switch {
		case err == nil:
		case t.closedMeanwhile():
			t.done = false // look at it again
		default:
			r.OnError(t, err)
		}
	}
	r.prune()
}

func (r *Relayer) prune() {
	kept := r.transits[:0]
	for _, t := range r.transits {
		if !t.done || t.tx != nil {
			kept = append(kept, t)
		}
	}
	r.transits = kept
}

func (r *Relayer) carry(t *Transit) {
	if t.done || t.tx != nil || !t.From.proven(t.Height) {
		return
	}
	if t.dropped {
		r.timeOut(t)
		return
	}
	// What comes too late can only be timed out.
	if !t.IsAck() && t.Packet.TimeoutTimestamp <= uint64(t.To.Chain.ProposedHeader.Time.UnixNano()) {
		t.drop()
		return
	}
	switch t.To.channelState(t) {
	case channeltypes.CLOSED:
		t.drop()
		return
	case channeltypes.INIT, channeltypes.TRYOPEN:
		return // the handshake has not come to its end, and may never
	}
	if !t.IsAck() && t.Deliveries > 0 && !t.committed() {
		t.done = true // answered meanwhile: there is nothing left to prove
		return
	}
	switch r.Policy(t) {
	case Deliver:
		t.done = r.deliver(t)
	case Repeat:
		r.deliver(t)
	case Hold:
	case Drop:
		r.Dropped++
		t.drop()
	case Lose:
		r.Dropped++
		t.done = true
	}
}

// closedMeanwhile says whether one of the channel's ends was closed, maybe in the block of the transaction itself.
func (t *Transit) closedMeanwhile() bool {
	return t.Packet.SourcePort != "" && !t.timedOut &&
		(t.To.channelState(t) == channeltypes.CLOSED || t.From.channelState(t) == channeltypes.CLOSED)
}

// committed says whether the sender still has the packet's commitment.
func (t *Transit) committed() bool {
	c, p := t.From.Chain, t.Packet
	if t.V2 != nil {
		return len(c.App.IBCKeeper.ChannelKeeperV2.GetPacketCommitment(c.CommittedContext(), p.SourceChannel, p.Sequence)) > 0
	}
	return c.App.IBCKeeper.ChannelKeeper.HasPacketCommitment(c.CommittedContext(), p.SourcePort, p.SourceChannel, p.Sequence)
}

// drop gives up a packet, to be timed out. An acknowledgement is lost, and what was delivered before is done.
func (t *Transit) drop() {
	if t.IsAck() || t.Deliveries > 0 {
		t.done = true
	} else {
		t.dropped = true
	}
}

func (r *Relayer) deliver(t *Transit) bool {
	if !r.update(t.To) {
		return false
	}
	proof, height := t.From.proof(t.key())
	signer := t.To.Chain.relayerAccount()
	t.tx = signer.Queue(t.msg(proof, height, signer.String()))
	t.Deliveries++
	r.Delivered++
	return true
}

// msg returns the message that delivers the packet or the acknowledgement.
func (t *Transit) msg(proof []byte, height clienttypes.Height, signer string) sdk.Msg {
	switch {
	case t.V2 != nil && t.IsAck():
		return channeltypesv2.NewMsgAcknowledgement(*t.V2, t.AckV2(), proof, height, signer)
	case t.V2 != nil:
		return channeltypesv2.NewMsgRecvPacket(*t.V2, proof, height, signer)
	case t.IsAck():
		return channeltypes.NewMsgAcknowledgement(t.Packet, t.Ack, proof, height, signer)
	default:
		return channeltypes.NewMsgRecvPacket(t.Packet, proof, height, signer)
	}
}

// timeOut tells the sender of a dropped packet that it was never received, once that is so.
func (r *Relayer) timeOut(t *Transit) {
	closed := t.To.channelState(t) == channeltypes.CLOSED
	if closed && t.closedAt == 0 {
		t.closedAt = t.To.Chain.Height()
	}
	closed = closed && t.To.proven(t.closedAt)
	late := t.To.Chain.LatestCommittedHeader.GetTime().UnixNano() >= int64(t.Packet.TimeoutTimestamp)
	if !closed && !late || !t.To.proven(0) {
		return
	}
	if !r.update(t.From) {
		return
	}
	p := t.Packet
	receipt := host.PacketReceiptKey(p.DestinationPort, p.DestinationChannel, p.Sequence)
	if t.V2 != nil {
		receipt = hostv2.PacketReceiptKey(p.DestinationChannel, p.Sequence)
	}
	proof, height := t.To.proof(receipt)
	signer := t.From.Chain.relayerAccount()
	switch {
	case t.V2 != nil:
		t.tx = signer.Queue(channeltypesv2.NewMsgTimeout(*t.V2, proof, height, signer.String()))
	case late:
		t.tx = signer.Queue(channeltypes.NewMsgTimeout(p, 1, proof, height, signer.String()))
	default:
		closedProof, _ := t.To.proof(host.ChannelKey(p.DestinationPort, p.DestinationChannel))
		t.tx = signer.Queue(channeltypes.NewMsgTimeoutOnClose(p, 1, proof, closedProof, height, signer.String()))
	}
	t.done, t.timedOut = true, true
	r.TimedOut++
}

func (t *Transit) key() []byte {
	p := t.Packet
	switch {
	case t.V2 != nil && t.IsAck():
		return hostv2.PacketAcknowledgementKey(p.DestinationChannel, p.Sequence)
	case t.V2 != nil:
		return hostv2.PacketCommitmentKey(p.SourceChannel, p.Sequence)
	case t.IsAck():
		return host.PacketAcknowledgementKey(p.DestinationPort, p.DestinationChannel, p.Sequence)
	}
	return host.PacketCommitmentKey(p.SourcePort, p.SourceChannel, p.Sequence)
}

// keepAlive updates clients long before they expire.
func (r *Relayer) keepAlive() {
	for _, l := range r.net.links {
		for _, e := range []*End{l.A, l.B} {
			if !l.NoKeepAlive && e.clientAge() > e.Trusting/3 {
				r.update(e)
			}
		}
	}
}

// update brings the client at an end up to the newest header of the other chain. It returns false if the client is not
// active.
func (r *Relayer) update(e *End) bool {
	if r.updated[e] {
		return true
	}
	if e.Chain.Halted || e.ClientStatus() != exported.Active {
		return false
	}
	r.updated[e] = true
	if msg := e.MsgUpdateClient(); msg != nil {
		tx := e.Chain.relayerAccount().Queue(msg)
		r.transits = append(r.transits, &Transit{From: e.Other(), To: e, tx: tx, done: true})
	}
	return true
}

// Answer writes an acknowledgement for a packet on the chain it goes to, as if that chain's module had given it, and
// takes the packet out of flight. It is how a hostile chain answers.
func (r *Relayer) Answer(t *Transit, ack exported.Acknowledgement) {
	c := t.To.Chain
	c.Helper()
	require.Nil(c, t.V2, "a packet of IBC v2")
	c.Direct(func(ctx sdk.Context) {
		p := t.Packet
		ck := c.App.IBCKeeper.ChannelKeeper
		ck.SetPacketReceipt(ctx, p.DestinationPort, p.DestinationChannel, p.Sequence)
		require.NoError(c, ck.WriteAcknowledgement(ctx, p, ack))
	})
	t.done = true
}

// SendRaw sends bytes from a module's port over its channel, as if the module had, and returns the packet's IBC
// sequence. It is how a hostile chain sends.
func (c *Chain) SendRaw(port, channel string, data []byte) uint64 {
	c.Helper()
	var seq uint64
	c.Direct(func(ctx sdk.Context) {
		var err error
		timeout := uint64(ctx.BlockTime().Add(PacketTimeout).UnixNano())
		seq, err = c.App.IBCKeeper.ChannelKeeper.SendPacket(ctx, port, channel, clienttypes.ZeroHeight(), timeout, data)
		require.NoError(c, err)
	})
	return seq
}

// SendRawV2 is SendRaw over a client by IBC v2, with any payload that the module lets through.
func (c *Chain) SendRawV2(side meshtypes.Side, client string, data []byte) {
	c.Helper()
	c.Direct(func(ctx sdk.Context) {
		require.NoError(c, meshtypes.SendV2(ctx, c.App.IBCKeeper.ChannelKeeperV2, side, client, PacketTimeout, data))
	})
}

// Receive runs IBC core's handling of a packet in flight, proof and all, on the state ahead of the next block and throws
// the result away: nothing else of a block happens around it. It returns the acknowledgement, the state of the
// receiving module's store before and after, and the handler's error.
//
// CONTRACT: the relayer holds the packet, and there was a step since the block that sent it.
func (r *Relayer) Receive(t *Transit) (ack []byte, before, after map[string]string, err error) {
	c := t.To.Chain
	c.Helper()
	require.True(c, t.From.proven(t.Height), "%s cannot be proven yet", t)
	ctx, _ := c.NextContext().CacheContext()
	ctx = ctx.WithEventManager(sdk.NewEventManager())
	if msg := t.To.MsgUpdateClient(); msg != nil {
		_, err := c.App.MsgServiceRouter().Handler(msg)(ctx, msg)
		require.NoError(c, err)
	}
	proof, height := t.From.proof(t.key())
	msg := t.msg(proof, height, c.relayerAccount().String())
	before = c.Dump(ctx, t.Packet.DestinationPort)
	res, err := c.App.MsgServiceRouter().Handler(msg)(ctx, msg)
	after = c.Dump(ctx, t.Packet.DestinationPort)
	if err != nil {
		return nil, before, after, err
	}
	if t.V2 != nil {
		ack, err = ibctesting.ParseAckV2FromEvents(res.Events)
	} else {
		ack, err = ibctesting.ParseAckFromEvents(res.Events)
	}
	return ack, before, after, err
}
