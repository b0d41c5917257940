package integration_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	channeltypesv2 "github.com/cosmos/ibc-go/v11/modules/core/04-channel/v2/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// hostileRelayer is the only one there is, for a while.
type hostileRelayer struct {
	t *testing.T
	n *meshtest.Network
	// updates are the clients updated in this step.
	updates map[*meshtest.End]bool
	// sent are the messages of earlier steps, by the chain they went to.
	sent map[*meshtest.Chain][]sdk.Msg
	// harmless are transactions that must leave the modules alone; refused counts those that failed.
	harmless []*meshtest.Tx
	refused  int
	// tricks counts what it did.
	tricks map[string]int
}

// queue sends messages after an update of the client that checks their proofs.
func (r *hostileRelayer) queue(at *meshtest.End, msgs ...sdk.Msg) *meshtest.Tx {
	if !r.updates[at] {
		r.updates[at] = true
		if update := at.MsgUpdateClient(); update != nil {
			at.Chain.Relayer().Queue(update)
		}
	}
	return at.Chain.Relayer().Queue(msgs...)
}

// trick is queue of what must change nothing.
func (r *hostileRelayer) trick(name string, at *meshtest.End, msgs ...sdk.Msg) {
	r.tricks[name]++
	r.harmless = append(r.harmless, r.queue(at, msgs...))
}

// settle looks at what became of the tricks.
func (r *hostileRelayer) settle() {
	r.t.Helper()
	for _, tx := range r.harmless {
		if tx.Err() != nil {
			r.refused++
		}
		for _, e := range tx.Result.Events {
			require.False(r.t, strings.HasPrefix(e.Type, "mesh."), "%T did %s", tx.Msgs[0], e.Type)
		}
	}
	r.harmless = nil
}

// deliver sends what is genuine, maybe many times over.
func (r *hostileRelayer) deliver(tr *meshtest.Transit) {
	rnd, msg := r.n.Rand, tr.MsgDeliver()
	copies := []sdk.Msg{msg}
	if rnd.Intn(12) == 0 {
		r.tricks["flood of one transaction"]++
		for range 120 {
			copies = append(copies, msg)
		}
	}
	r.queue(tr.To, copies...)
	if rnd.Intn(12) == 0 {
		for range 30 {
			r.trick("flood of transactions", tr.To, msg)
		}
	}
	tr.Deliveries++
	r.sent[tr.To.Chain] = append(r.sent[tr.To.Chain], msg)
}

// play makes the transactions of a step.
func (r *hostileRelayer) play(p *meshtest.Pairing) {
	rnd := r.n.Rand
	r.updates = map[*meshtest.End]bool{}
	flying := append([]*meshtest.Transit(nil), r.n.Relayer.InFlight()...)
	rnd.Shuffle(len(flying), func(i, j int) { flying[i], flying[j] = flying[j], flying[i] })
	calm := rnd.Intn(3) > 0 // withholds everything for two steps of three
	for _, tr := range flying {
		if !tr.Provable() || tr.Packet.SourcePort == "" {
			continue
		}
		soon := uint64(tr.To.Chain.LastBlock().Time.Add(30 * time.Second).UnixNano())
		late := tr.Packet.TimeoutTimestamp <= uint64(tr.To.Chain.LastBlock().Time.UnixNano())
		switch {
		case tr.Deliveries == 0 && !late && !calm && rnd.Intn(3) > 0:
			r.deliver(tr)
			continue
		case tr.Deliveries == 0 && !tr.IsAck() && late && rnd.Intn(4) == 0:
			r.queue(tr.From, tr.MsgTimeout(false)) // true
			continue
		}
		if rnd.Intn(8) > 0 {
			continue
		}
		switch rnd.Intn(6) {
		case 0:
			if tr.Deliveries > 0 && (tr.IsAck() || tr.Received()) {
				r.trick("again with another proof", tr.To, tr.MsgDeliver())
			}
		case 1:
			if !tr.IsAck() && (tr.Received() || tr.Packet.TimeoutTimestamp > soon) {
				r.trick("time out what was received, or is not late", tr.From, tr.MsgTimeout(false))
			}
		case 2:
			if tr.V2 == nil && !tr.IsAck() && tr.Received() {
				r.trick("time out as if the channel were closed", tr.From, tr.MsgTimeout(true))
			}
		case 3:
			if !tr.IsAck() && tr.Deliveries == 0 {
				for _, ack := range forgedAcks(r.t, tr) {
					r.trick("acknowledge before it is received", tr.From, tr.Forged(ack).MsgDeliver())
				}
			}
		case 4:
			if !tr.IsAck() && len(tr.Packet.Data) > 0 {
				lie := *tr
				lie.Packet.Data = append([]byte(nil), tr.Packet.Data...)
				lie.Packet.Data[rnd.Intn(len(lie.Packet.Data))] ^= 1
				if tr.V2 != nil {
					v2 := *tr.V2
					v2.Payloads = append([]channeltypesv2.Payload(nil), v2.Payloads...)
					v2.Payloads[0].Value = lie.Packet.Data
					lie.V2 = &v2
				}
				r.trick("another content", tr.To, lie.MsgDeliver())
			}
		case 5:
			if tr.V2 == nil {
				port, channel := tr.Packet.SourcePort, tr.Packet.SourceChannel
				at := tr.From
				if tr.IsAck() {
					at = tr.To
				}
				r.trick("close", at, channeltypes.NewMsgChannelCloseInit(port, channel, at.Chain.Relayer().String()))
			}
		}
	}
	// Whatever it ever sent, as it was, one by one and several at once.
	for _, c := range []*meshtest.Chain{p.Provider, p.Consumer} {
		sent := r.sent[c]
		at := p.Link().On(c)
		for range min(len(sent), rnd.Intn(3)) {
			r.trick("as it was", at, sent[rnd.Intn(len(sent))])
		}
		if len(sent) > 4 && rnd.Intn(4) == 0 {
			from := rnd.Intn(len(sent) - 3)
			r.trick("several as they were", at, sent[from+2], sent[from+1], sent[from])
		}
	}
}

// forgedAcks returns acknowledgements that would say much if they were believed.
func forgedAcks(t *testing.T, tr *meshtest.Transit) [][]byte {
	t.Helper()
	v1 := func(result []byte) []byte { return channeltypes.NewResultAcknowledgement(result).Acknowledgement() }
	if tr.V2 != nil {
		v1 = func(result []byte) []byte {
			ack := channeltypesv2.NewAcknowledgement(result)
			return ack.Acknowledgement()
		}
	}
	if tr.Packet.SourcePort != meshtypes.PortProvider {
		return [][]byte{v1([]byte{1})}
	}
	up := tr.StakeUpdate()
	ack := meshtypes.StakeUpdateAck{Echo: up.Session, Current: up.Session, Seq: up.Seq, Height: meshtypes.NewHeight(1, 1)}
	for range up.Stakes {
		ack.Codes = append(ack.Codes, meshtypes.STAKE_CODE_STORED)
	}
	return [][]byte{v1(marshal(t, &ack))}
}

// TestHostileRelayer: the only relayer withholds, reorders, replays and floods, acknowledges what nobody has received and times
// out what somebody has, and closes what it can. What is not genuine changes nothing. A slash meanwhile costs its fraction once.
// When an honest relayer comes, everything converges; in the end everybody has everything but what was slashed.
func TestHostileRelayer(t *testing.T) {
	t.Run("v1", func(t *testing.T) {
		n, p := pairOf(t, still(meshtest.ChainConfig{}), still(meshtest.ChainConfig{}))
		playHostileRelayer(t, n, p)
	})
	t.Run("v2", func(t *testing.T) {
		n := networkOf(t, still(meshtest.ChainConfig{Name: "prov"}), still(meshtest.ChainConfig{Name: "cons"}))
		playHostileRelayer(t, n, n.PairV2(n.Chain("prov"), n.Chain("cons")))
	})
}

func playHostileRelayer(t *testing.T, n *meshtest.Network, p *meshtest.Pairing) {
	t.Helper()
	names := []string{"alice", "bob", "carol", "dave"}
	books := newLedger(t, p.Provider, names...)
	natives := newLedger(t, p.Consumer, names...)
	p.CrossStake("dave", val(p, 3), 20*one)
	settle(n, p)

	r := &hostileRelayer{t: t, n: n, sent: map[*meshtest.Chain][]sdk.Msg{}, tricks: map[string]int{}}
	n.Relayer.Stopped = true
	for i := range 100 {
		actOnFirst(n, p, 3, "alice", "bob", "carol")
		if i == 40 {
			slashNow(t, p, val(p, 3), "0.005") // nobody but dave has stake there
		}
		r.play(p)
		n.Step()
		r.settle()
	}
	require.Greater(t, r.refused, 20)
	t.Log(r.tricks, r.refused)
	wanted := []string{
		"flood of one transaction", "flood of transactions", "again with another proof", "time out what was received, or is not late",
		"acknowledge before it is received", "another content", "as it was", "several as they were",
	}
	if !p.ConsumerConfig.UsesV2() {
		wanted = append(wanted, "close", "time out as if the channel were closed")
		require.Equal(t, channeltypes.OPEN, p.Channel(p.Provider).State)
		require.Equal(t, channeltypes.OPEN, p.Channel(p.Consumer).State)
	}
	for _, trick := range wanted {
		require.NotZero(t, r.tricks[trick], trick)
	}
	// No packet was ever answered twice.
	for _, c := range n.Chains() {
		answers := map[string]int{}
		for _, e := range c.EventsSince(0, channeltypes.EventTypeWriteAck) {
			id := ""
			for _, a := range e.Attributes {
				if a.Key == channeltypes.AttributeKeySequence || a.Key == channeltypes.AttributeKeyDstChannel || a.Key == channeltypesv2.AttributeKeyDstClient {
					id += a.Key + a.Value + " "
				}
			}
			answers[id]++
			require.Equal(t, 1, answers[id], id)
		}
	}

	// The honest one looks at the chains, not at what the other says it did.
	for _, tr := range n.Relayer.InFlight() {
		if tr.Deliveries = 0; !tr.IsAck() && tr.Packet.SourcePort != "" && tr.Received() {
			tr.Deliveries = 1
		}
	}
	n.Relayer.Stopped = false
	n.BlockTime = 15 * time.Second
	p.WaitConverged(30 * time.Minute) // what failed often waits long
	require.NotEmpty(t, p.Totals())
	requireInt(t, 19_900_000, stakeRecord(t, p, val(p, 3)).Amount, "half a per cent of 20, once")
	require.Len(t, recorded(p), 1)
	settle(n, p)
	for i := range 3 {
		requireWorth(t, p, val(p, i))
	}
	goHome(t, n, 2*u+round, p.Provider, []*meshtest.Pairing{p}, names...)
	require.True(t, p.TotalVirtual().IsZero())
	books.requireNothingLost("alice", "bob", "carol")
	requireInt(t, one/10, books.lost("dave"))
	requireInt(t, one/10, natives.lost("dave"), "who has 20 with the validator that was slashed")
	natives.requireNothingLost("alice", "bob", "carol")
	require.Equal(t, p.Provider.ProviderState().Totals.Slashed.String(), books.lost("dave").String())
}
