package keeper_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

var one = testutil.OperatorString(1)

// sendOne runs to the end of the epoch and returns the packet sent.
func sendOne(t *testing.T, f *testutil.Fixture) testutil.Packet {
	t.Helper()
	f.Epoch()
	sent := f.IBC.Take()
	require.Len(t, sent, 1)
	return sent[0]
}

func TestTouchAndAcknowledge(t *testing.T) {
	f, _, u, c := setup(t)
	f.NextBlock()
	first := f.Ctx.BlockTime()
	require.NoError(t, c.Stake(u, 1, 100))
	require.Equal(t, first, c.Outbox()[one].Oldest)
	f.NextBlock()
	require.NoError(t, c.Stake(u, 1, 100))
	require.Equal(t, first, c.Outbox()[one].Oldest, "the oldest touch stands")

	p := sendOne(t, f)
	update := p.Update()
	require.Equal(t, uint64(1), update.Seq)
	require.EqualValues(t, first.UnixNano(), update.SyncedAt)
	require.Equal(t, "200", update.Stakes[0].Amount.String())
	require.Equal(t, f.Ctx.BlockTime().Add(-testutil.BlockTime+24*time.Hour), p.Timeout)
	require.Equal(t, uint64(1), c.Outbox()[one].InFlight)

	// One listing in flight at most; the touch meanwhile becomes the oldest when it is acknowledged.
	second := f.Ctx.BlockTime()
	require.NoError(t, c.Stake(u, 1, 100))
	require.Equal(t, second, c.Outbox()[one].Next)
	f.Epoch()
	require.Empty(t, f.IBC.Take(), "nothing due, no heartbeat yet")
	c.Acknowledge(p, c.Receive(p))
	e := c.Outbox()[one]
	require.Equal(t, second, e.Oldest)
	require.Zero(t, e.InFlight)
	require.True(t, e.Next.IsZero())
	p = sendOne(t, f)
	require.Equal(t, "300", p.Update().Stakes[0].Amount.String())
	require.EqualValues(t, second.UnixNano(), p.Update().SyncedAt)
	ack := c.Receive(p)
	c.Acknowledge(p, ack)
	require.Empty(t, c.Outbox())
	c.Acknowledge(p, ack) // IBC does not repeat them; it would do no harm
	require.Empty(t, c.Outbox())
}

// TestStakeAndUnstakeInOneEpoch: what cancels out is listed all the same.
func TestStakeAndUnstakeInOneEpoch(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 100))
	require.NoError(t, c.Unstake(u, 1, 100))
	p := sendOne(t, f)
	require.Len(t, p.Update().Stakes, 1)
	require.Equal(t, "0", p.Update().Stakes[0].Amount.String())
}

func TestRetries(t *testing.T) {
	failures := map[string]func(c *testutil.Consumer, p testutil.Packet){
		"timeout": func(c *testutil.Consumer, p testutil.Packet) { c.Timeout(p) },
		"error acknowledgement": func(c *testutil.Consumer, p testutil.Packet) {
			c.Acknowledge(p, channeltypes.NewErrorAcknowledgement(errors.New("x")).Acknowledgement())
		},
		"not an acknowledgement": func(c *testutil.Consumer, p testutil.Packet) { c.Acknowledge(p, []byte("x")) },
		"empty result": func(c *testutil.Consumer, p testutil.Packet) {
			c.Acknowledge(p, []byte(`{"result":""}`))
		},
		"garbage as result": func(c *testutil.Consumer, p testutil.Packet) {
			c.Acknowledge(p, channeltypes.NewResultAcknowledgement([]byte{0xff, 1, 2}).Acknowledgement())
		},
		"codes missing": func(c *testutil.Consumer, p testutil.Packet) {
			bz, _ := (&meshtypes.StakeUpdateAck{Echo: c.Session, Current: c.Session, Seq: p.Update().Seq}).Marshal()
			c.Acknowledge(p, channeltypes.NewResultAcknowledgement(bz).Acknowledgement())
		},
		"answer to another": func(c *testutil.Consumer, p testutil.Packet) {
			bz, _ := (&meshtypes.StakeUpdateAck{
				Echo: c.Session, Current: c.Session, Seq: p.Update().Seq + 1, Codes: []meshtypes.StakeCode{meshtypes.STAKE_CODE_STORED},
			}).Marshal()
			c.Acknowledge(p, channeltypes.NewResultAcknowledgement(bz).Acknowledgement())
		},
		"refused": func(c *testutil.Consumer, p testutil.Packet) {
			bz, _ := (&meshtypes.StakeUpdateAck{Echo: c.Session, Current: c.Session, Seq: p.Update().Seq, Refused: true}).Marshal()
			c.Acknowledge(p, channeltypes.NewResultAcknowledgement(bz).Acknowledgement())
		},
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			f, _, u, c := setup(t)
			oldest := f.Ctx.BlockTime()
			require.NoError(t, c.Stake(u, 1, 100))
			epoch := time.Hour
			for i, wait := range []time.Duration{epoch, 2 * epoch, 4 * epoch, 8 * epoch, 16 * epoch, 24 * epoch, 24 * epoch} {
				var p testutil.Packet
				for range 30 {
					f.Epoch()
					for _, sent := range f.IBC.Take() {
						if len(sent.Update().Stakes) > 0 {
							p = sent
						}
					}
					if p.Data != nil {
						break
					}
				}
				require.NotNil(t, p.Data, "try %d", i)
				require.EqualValues(t, oldest.UnixNano(), p.Update().SyncedAt, "the oldest touch is never lost")
				fail(c, p)
				e := c.Outbox()[one]
				require.Zero(t, e.InFlight)
				require.EqualValues(t, i+1, e.Retries)
				require.Equal(t, wait, e.RetryAt.Sub(f.Ctx.BlockTime()))
				require.Equal(t, oldest, e.Oldest)
			}
			// The newest amount goes out in the end.
			require.NoError(t, c.Stake(u, 1, 50))
			f.Skip(25 * time.Hour)
			c.Relay()
			require.Empty(t, c.Outbox())
			require.Equal(t, "150", c.Stored[string(testutil.Operator(1))].Amount.String())
		})
	}
}

func TestHeartbeat(t *testing.T) {
	f := testutil.New(t)
	f.NextBlock()
	c := f.Consumer(client, nil)
	// Before the first report the limit is unknown: every epoch.
	for range 3 {
		p := sendOne(t, f)
		require.Empty(t, p.Update().Stakes)
	}
	c.Bond(1) // 10 days
	f.Epoch()
	f.IBC.Take()
	last := f.Ctx.BlockTime()
	beats := 0
	for f.Ctx.BlockTime().Sub(last) < 6*day {
		f.Epoch()
		for _, p := range f.IBC.Take() {
			require.Empty(t, p.Update().Stakes)
			require.WithinDuration(t, f.Ctx.BlockTime(), time.Unix(0, int64(p.Update().SyncedAt)), testutil.BlockTime)
			beats++
		}
	}
	require.Equal(t, 2, beats, "every quarter of the limit")
}

func TestChunks(t *testing.T) {
	f := testutil.New(t)
	f.SetNativeRatio("0")
	f.SetParams(func(p *types.Params) {
		p.MaxPositions, p.MaxValidatorsPerConsumer, p.MaxSettlementSteps = 1_000, 2_000, 100_000
	})
	val := f.Validator(1_000_000, 1)
	u, v := f.Delegator(val, 1_000), f.Delegator(val, 1_000)
	f.NextBlock()
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(1, 3) })
	c.Bond(0)
	for i := 1; i <= 1_200; i += 150 {
		var reports []meshtypes.ValidatorReport
		for n := i; n < i+150; n++ {
			reports = append(reports, testutil.ValidatorReport(n))
		}
		ack, isError := c.Send(c.Message(reports...))
		require.False(t, isError || ack.Refused)
	}
	require.EqualValues(t, 1_200, c.Pairing().Validators)
	f.NoInvariants = true
	for n := 1; n <= 600; n++ {
		require.NoError(t, c.Stake(u, n, 1))
		require.NoError(t, c.Stake(v, n+600, 1))
	}
	f.Epoch()
	sent := f.IBC.Take()
	require.Len(t, sent, 3)
	for i, n := range []int{500, 500, 200} {
		require.Len(t, sent[i].Update().Stakes, n)
		require.EqualValues(t, i+1, sent[i].Update().Seq)
	}
	require.Less(t, len(sent[0].Data), 40_000)
	// One of them lost for ever: only its validators stay touched.
	c.Acknowledge(sent[0], c.Receive(sent[0]))
	c.Acknowledge(sent[2], c.Receive(sent[2]))
	n := 0
	require.NoError(t, f.Provider.Outbox.Walk(f.Ctx, nil, func(_ poolKeyT, e types.OutboxEntry) (bool, error) {
		n++
		require.EqualValues(t, 2, e.InFlight)
		return false, nil
	}))
	require.Equal(t, 500, n)
	c.Timeout(sent[1])
	f.Epoch()
	f.Epoch()
	c.Relay()
	require.Len(t, c.Stored, 1_200)
	require.Empty(t, c.Outbox())
	require.NoError(t, f.Provider.CheckInvariants(f.Ctx))
}

// TestSendingFails: what cannot be sent stays due.
func TestSendingFails(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 100))
	f.IBC.SendError = errors.New("no")
	f.Epoch()
	require.Zero(t, c.Outbox()[one].InFlight)
	require.Zero(t, c.Pairing().LastSeq)
	f.IBC.SendError = nil
	p := sendOne(t, f)
	require.EqualValues(t, 1, p.Update().Seq)
}

func TestRetireChannel(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 100))
	p := sendOne(t, f)
	session := c.Pairing().Session
	_, err := f.Msgs.RetireChannel(f.Ctx, &types.MsgRetireChannel{Authority: f.Authority, ConsumerId: client})
	require.NoError(t, err)
	require.Equal(t, []string{c.Channel}, f.IBC.Closed)
	require.Equal(t, types.CONSUMER_STATUS_REGISTERED, c.Status().Status)
	require.Zero(t, c.Outbox()[one].InFlight, "in flight counts as timed out")
	require.True(t, c.Outbox()[one].RetryAt.IsZero(), "without delay")
	// Nothing on it counts any more.
	c.Acknowledge(p, c.Receive(p))
	c.Timeout(p)
	require.Len(t, c.Outbox(), 1)
	_, isError := c.Send(c.Message())
	require.True(t, isError)
	f.Epoch()
	require.Empty(t, f.IBC.Take())
	// A new one takes over the session.
	require.NoError(t, c.Open("channel-77"))
	require.Equal(t, types.CONSUMER_STATUS_ACTIVE, c.Status().Status)
	require.Equal(t, session, c.Pairing().Session)
	f.Epoch()
	require.EqualValues(t, 2, c.Relay()[0].Seq)
	require.Empty(t, c.Outbox())
	require.ErrorIs(t, c.Open("channel-78"), meshtypes.ErrChannelExists)
}

// TestRetireWithDeadClient: the IBC close is best effort.
func TestRetireWithDeadClient(t *testing.T) {
	f, _, _, c := setup(t)
	f.IBC.Clients[client].Status = "Expired"
	_, err := f.Msgs.RetireChannel(f.Ctx, &types.MsgRetireChannel{Authority: f.Authority, ConsumerId: client})
	require.NoError(t, err)
	require.Empty(t, f.IBC.Closed)
	require.Empty(t, c.Pairing().ChannelId)
}
