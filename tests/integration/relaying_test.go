package integration_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/internal/meshtest"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// actRandomly queues a few random cross-stakes and -unstakes of small amounts; those that the chain refuses do not
// matter.
func actRandomly(n *meshtest.Network, p *meshtest.Pairing, names ...string) {
	actOnFirst(n, p, len(p.Consumer.Validators), names...)
}

// actOnFirst is actRandomly on the consumer's first validators only.
func actOnFirst(n *meshtest.Network, p *meshtest.Pairing, validators int, names ...string) {
	for _, name := range names {
		v := val(p, n.Rand.Intn(validators))
		tokens := int64(1000 + n.Rand.Intn(10*one))
		switch n.Rand.Intn(4) {
		case 0, 1:
			p.Provider.Account(name).Queue(p.MsgCrossStake(name, v, tokens))
		case 2:
			p.Provider.Account(name).Queue(p.MsgCrossUnstake(name, v, tokens))
		}
	}
}

func TestConvergesThroughLossRepetitionAndReordering(t *testing.T) {
	t.Parallel()
	for i := range 3 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			n, p := pair(t)
			n.Relayer.Shuffle = true
			n.Relayer.Policy = n.Unreliable(30, 30, 10, false)
			for range 60 {
				actRandomly(n, p, "alice", "bob", "carol", "dave")
				n.Step()
			}
			require.NotZero(t, n.Relayer.Dropped)
			n.Relayer.Policy = meshtest.Perfect
			p.WaitConverged(30 * time.Minute) // what was dropped often waits long
			require.NotEmpty(t, p.Totals())
			settle(n, p)
			for _, v := range p.Consumer.Validators {
				requireWorth(t, p, v)
			}
			require.NotZero(t, n.Relayer.TimedOut)
		})
	}
}

// requireWorth checks that virtual stake is what the amount on record is worth at the price 1 and the discount 0.1.
func requireWorth(t *testing.T, p *meshtest.Pairing, v *meshtest.Validator) {
	t.Helper()
	stored, ok := p.Stored()[v.Operator.Name]
	if !ok {
		stored = "0"
	}
	want, ok := sdkmath.NewIntFromString(stored)
	require.True(t, ok)
	require.Equal(t, want.MulRaw(9).QuoRaw(10).String(), p.Virtual(v).String(), v.Operator.Name)
}

func TestTheSamePacketsAgainChangeNothing(t *testing.T) {
	n, p := pair(t)
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if tr.Deliveries < 3 {
			return meshtest.Repeat
		}
		return meshtest.Deliver
	}
	p.CrossStake("alice", val(p, 0), 40*one)
	p.CrossStake("bob", val(p, 1), 10*one)
	settle(n, p)
	p.CrossUnstake("alice", val(p, 0), 15*one)
	settle(n, p)
	requireInt(t, 225*one/10, p.Virtual(val(p, 0)))
	requireInt(t, 9*one, p.Virtual(val(p, 1)))
}

func TestDroppedPacketsAreSentAgainAtDoublingIntervals(t *testing.T) {
	n, p := pair(t)
	var sent []time.Time
	seen := map[uint64]bool{}
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if !p.IsStakeUpdate(tr) || tr.IsAck() || len(tr.StakeUpdate().Stakes) == 0 {
			return meshtest.Deliver
		}
		if !seen[tr.Packet.Sequence] {
			seen[tr.Packet.Sequence] = true
			sent = append(sent, tr.Time)
		}
		return meshtest.Drop
	}
	p.CrossStake("alice", val(p, 0), 40*one)
	n.Advance(40 * time.Minute)
	require.GreaterOrEqual(t, len(sent), 4)
	require.LessOrEqual(t, len(sent), 10, "waits grow")
	for i := 2; i < len(sent); i++ {
		require.GreaterOrEqual(t, sent[i].Sub(sent[i-1]), sent[i-1].Sub(sent[i-2]), "wait %d", i)
	}
	last := len(sent) - 1
	require.Greater(t, sent[last].Sub(sent[last-1]), 4*sent[1].Sub(sent[0]))
	require.Empty(t, p.Stored())

	n.Relayer.Policy = meshtest.Perfect
	p.WaitConverged(2 * time.Hour)
	requireInt(t, 40*one, stakeRecord(t, p, val(p, 0)).Amount)
}

func TestAReportThatIsDroppedIsSentAgain(t *testing.T) {
	n, p := pair(t)
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if p.IsReport(tr) && !tr.IsAck() {
			return meshtest.Drop
		}
		return meshtest.Deliver
	}
	p.CrossStake("alice", val(p, 0), 40*one)
	n.Advance(3 * time.Minute)
	requireInt(t, 36*one, p.Virtual(val(p, 0)))
	v, ok := p.Registered(val(p, 0))
	require.True(t, ok)
	require.Zero(t, v.ExecutedSeq, "the provider was never told")

	n.Relayer.Policy = meshtest.Perfect
	p.WaitConverged(time.Hour)
	settle(n, p)
	v, _ = p.Registered(val(p, 0))
	require.Equal(t, stakeRecord(t, p, val(p, 0)).Seq, v.ExecutedSeq)
}

func TestOneListingPerValidatorIsInFlight(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 10*one)
	settle(n, p)
	n.Relayer.Policy = meshtest.HoldAll
	p.CrossStake("alice", val(p, 0), 10*one)
	n.Advance(2 * epoch)
	p.CrossStake("alice", val(p, 0), 10*one)
	p.CrossStake("alice", val(p, 1), 10*one)
	n.Advance(2 * epoch)
	listed := map[string]int{}
	for _, tr := range n.Relayer.InFlight() {
		if p.IsStakeUpdate(tr) && !tr.IsAck() {
			for _, s := range tr.StakeUpdate().Stakes {
				listed[string(s.Validator)]++
			}
		}
	}
	require.Equal(t, map[string]int{
		string(val(p, 0).ValAddress()): 1, string(val(p, 1).ValAddress()): 1,
	}, listed)
	n.Relayer.Policy = meshtest.Perfect
	settle(n, p)
	require.Equal(t, map[string]string{"val0": "30000000", "val1": "10000000"}, p.Stored())
}

func TestUpdatesCarryOnePacketPerEpochHoweverManyUsersAct(t *testing.T) {
	n, p := pair(t)
	settle(n, p)
	from := p.Provider.Height() + 1
	for range 6 {
		for _, name := range []string{"alice", "bob", "carol", "dave"} {
			for i := range p.Consumer.Validators {
				p.Provider.Account(name).Queue(p.MsgCrossStake(name, val(p, i), 1000))
			}
		}
	}
	n.Advance(epoch)
	require.LessOrEqual(t, len(p.Provider.EventsSince(from, "send_packet")), 2)
	settle(n, p)
	require.Equal(t, map[string]string{"val0": "24000", "val1": "24000", "val2": "24000", "val3": "24000"}, p.Stored())
}

func TestSessionsAreLearnedByRefusalAndCostNoDelay(t *testing.T) {
	n, p := pair(t)
	s := session(p)
	require.NotZero(t, s.Provider)
	require.NotZero(t, s.Consumer)
	require.Equal(t, s, p.ProviderRecord().Session)
	p.WaitConverged(time.Minute)
	for _, v := range p.Consumer.Validators {
		reg, ok := p.Registered(v)
		require.True(t, ok)
		require.Equal(t, meshtypes.VALIDATOR_STATUS_BONDED, reg.Status)
		require.Len(t, reg.Keys, 1)
		require.Equal(t, v.PrivVal.PrivKey.PubKey().Bytes(), reg.Keys[0].Key.Key)
	}
	require.Less(t, n.Now().Sub(p.Consumer.Blocks(1)[0].Time), 4*time.Minute)
}
