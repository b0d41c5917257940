package keeper_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// Heights in these tests are far from any amount.
const (
	stakedAt = 1_000_000 // the client's latest height when the fixture registers a consumer
	offence  = 7_654_321
	latest   = 9_876_543
)

func dec(s string) sdkmath.LegacyDec { return sdkmath.LegacyMustNewDecFromStr(s) }

func at(h uint64) meshtypes.Height { return meshtypes.NewHeight(4, h) }

// slasher is a consumer with stake on three validators and a slash log.
type slasher struct {
	testing.TB
	f       *testutil.Fixture
	c       *testutil.Consumer
	u, w    sdk.AccAddress
	entries []meshtypes.SlashEntry
}

// newSlasher returns a consumer on whose first validator u has staked 1,000,000, and w 2,500,000 on each of the other two.
func newSlasher(tb testing.TB, change func(*types.ConsumerConfig)) *slasher {
	tb.Helper()
	f := testutil.New(tb)
	val := f.Validator(100_000_000, 1)
	s := &slasher{TB: tb, f: f, u: f.Delegator(val, 2_000_000), w: f.Delegator(val, 20_000_000)}
	f.NextBlock()
	s.c = f.Consumer(client, change)
	s.c.Bond(3)
	require.NoError(tb, s.c.Stake(s.u, 1, 1_000_000))
	require.NoError(tb, s.c.Stake(s.w, 2, 2_500_000))
	require.NoError(tb, s.c.Stake(s.w, 3, 2_500_000))
	f.Epoch()
	s.c.Relay()
	s.client(latest)
	return s
}

// client sets the client's latest height.
func (s *slasher) client(h uint64) {
	s.f.IBC.Clients[client].State.LatestHeight = clienttypes.NewHeight(4, h)
}

// entry returns a log entry about the consumer's n-th validator, with the next index.
func (s *slasher) entry(n int, kind meshtypes.SlashKind, h uint64, fraction string) meshtypes.SlashEntry {
	e := meshtypes.SlashEntry{
		Index: uint64(len(s.entries) + 1), Operator: testutil.Operator(n), Kind: kind, Infraction: at(h),
		NominalFraction: dec(fraction), EffectiveFraction: dec(fraction),
	}
	s.entries = append(s.entries, e)
	return e
}

// report sends log entries.
func (s *slasher) report(entries ...meshtypes.SlashEntry) meshtypes.ReportAck {
	s.Helper()
	m := s.c.Message()
	m.Slashes = entries
	ack, isError := s.c.Send(m)
	require.False(s, isError || ack.Refused)
	return ack
}

// downtime claims a downtime slash of the n-th validator and returns its id.
func (s *slasher) downtime(n int, fraction string) uint64 {
	s.Helper()
	return s.claim(n, meshtypes.SLASH_KIND_DOWNTIME, offence, fraction)
}

func (s *slasher) claim(n int, kind meshtypes.SlashKind, h uint64, fraction string) uint64 {
	s.Helper()
	e := s.entry(n, kind, h, fraction)
	require.Equal(s, e.Index, s.report(e).SlashSeq)
	slashes := s.slashes()
	return slashes[len(slashes)-1].Id
}

// prove proves a double sign of the n-th validator at a height, at once.
func (s *slasher) prove(n int, h uint64) (types.SlashRecord, error) {
	return s.proveBy(n, h, s.w)
}

func (s *slasher) proveBy(n int, h uint64, by sdk.AccAddress) (rec types.SlashRecord, err error) {
	err = s.f.Try(func(ctx sdk.Context) error {
		rec, err = s.f.Provider.RecordProof(ctx, client, testutil.Operator(n), at(h), by, true)
		return err
	})
	return rec, err
}

func (s *slasher) slashes() []types.SlashRecord { s.Helper(); return export(s.TB, s.f).Slashes }

func (s *slasher) slash(id uint64) types.SlashRecord {
	s.Helper()
	res, err := s.f.Queries.Slash(s.f.Ctx, &types.QuerySlashRequest{Id: id})
	require.NoError(s, err)
	return res.Slash.Record
}

func (s *slasher) meter() *types.QueryMeterResponse {
	s.Helper()
	res, err := s.f.Queries.Meter(s.f.Ctx, &types.QueryMeterRequest{ConsumerId: client})
	require.NoError(s, err)
	return res
}

// stakeOn returns all that is staked on, or leaving, a validator.
func (s *slasher) stakeOn(n int) sdkmath.Int {
	s.Helper()
	sum := sdkmath.ZeroInt()
	for _, r := range export(s.TB, s.f).Pools {
		if string(r.Pool.Validator) == string(testutil.Operator(n)) && !r.Pool.IsMatured() {
			sum = sum.Add(r.Pool.Tokens)
		}
	}
	return sum
}

// listed relays an epoch's updates and returns what the consumer has for a validator.
func (s *slasher) listed(n int) string {
	s.Helper()
	s.f.Epoch()
	s.c.Relay()
	return s.c.Stored[string(testutil.Operator(n))].Amount.String()
}

func (s *slasher) batch(n int) types.Pool {
	s.Helper()
	var found []types.Pool
	for _, b := range s.c.Batches() {
		if string(b.Batch.Pool.Validator) == string(testutil.Operator(n)) {
			found = append(found, b.Batch.Pool)
		}
	}
	require.Len(s, found, 1)
	return found[0]
}

// want checks what became of a slash.
func (s *slasher) want(id uint64, status types.SlashStatus, amount string, reason string) {
	s.Helper()
	rec := s.slash(id)
	require.Equal(s, status.String(), rec.Status.String(), rec.Reason)
	require.Equal(s, amount, rec.Amount.String())
	require.Contains(s, rec.Reason, reason)
}

const (
	downtime   = meshtypes.SLASH_KIND_DOWNTIME
	doubleSign = meshtypes.SLASH_KIND_DOUBLE_SIGN
	executed   = types.SLASH_STATUS_EXECUTED
	refused    = types.SLASH_STATUS_REFUSED
	pending    = types.SLASH_STATUS_PENDING
	vetoed     = types.SLASH_STATUS_VETOED
	recognised = types.SLASH_STATUS_RECOGNISED
)

// TestLogEntriesMalformed: what the codec refuses is an error acknowledgement that changes nothing.
func TestLogEntriesMalformed(t *testing.T) {
	for name, spoil := range map[string]func(*meshtypes.ConsumerReport){
		"index 0":               func(r *meshtypes.ConsumerReport) { r.Slashes[0].Index = 0 },
		"fraction negative":     func(r *meshtypes.ConsumerReport) { r.Slashes[0].NominalFraction = dec("-0.01") },
		"fraction zero":         func(r *meshtypes.ConsumerReport) { r.Slashes[0].NominalFraction = dec("0") },
		"fraction above one":    func(r *meshtypes.ConsumerReport) { r.Slashes[0].NominalFraction = dec("1.000000000000000001") },
		"effective negative":    func(r *meshtypes.ConsumerReport) { r.Slashes[0].EffectiveFraction = dec("-0.01") },
		"effective above one":   func(r *meshtypes.ConsumerReport) { r.Slashes[0].EffectiveFraction = dec("1.1") },
		"no kind":               func(r *meshtypes.ConsumerReport) { r.Slashes[0].Kind = 0 },
		"unknown kind":          func(r *meshtypes.ConsumerReport) { r.Slashes[0].Kind = 9 },
		"no operator":           func(r *meshtypes.ConsumerReport) { r.Slashes[0].Operator = nil },
		"height of 2^63":        func(r *meshtypes.ConsumerReport) { r.Slashes[0].Infraction = at(1 << 63) },
		"first_index 0":         func(r *meshtypes.ConsumerReport) { r.FirstIndex = 0 },
		"below first_index":     func(r *meshtypes.ConsumerReport) { r.FirstIndex = 2 },
		"not contiguous":        func(r *meshtypes.ConsumerReport) { r.Slashes = append(r.Slashes, r.Slashes[0]) },
		"more than two hundred": func(r *meshtypes.ConsumerReport) { r.Slashes = many(r.Slashes[0], 201) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSlasher(t, nil)
			m := s.c.Message()
			m.Slashes = []meshtypes.SlashEntry{s.entry(1, downtime, offence, "0.001")}
			spoil(&m)
			before := export(t, s.f)
			_, isError := s.c.Send(m)
			require.True(t, isError)
			require.Equal(t, before, export(t, s.f))
		})
	}
}

func many(e meshtypes.SlashEntry, n int) (out []meshtypes.SlashEntry) {
	for range n {
		out = append(out, e)
		e.Index++
	}
	return out
}

// TestLogEntriesRecorded: each index is recorded exactly once and in order, whatever the order of packets.
func TestLogEntriesRecorded(t *testing.T) {
	s := newSlasher(t, nil)
	var e []meshtypes.SlashEntry
	for range 6 {
		e = append(e, s.entry(1, downtime, offence, "0.0001"))
	}
	require.EqualValues(t, 0, s.report().SlashSeq)
	require.EqualValues(t, 2, s.report(e[:2]...).SlashSeq)
	require.Len(t, s.slashes(), 2)
	// A gap: nothing of it is taken, and it is no error.
	require.EqualValues(t, 2, s.report(e[3:]...).SlashSeq)
	require.Len(t, s.slashes(), 2)
	// Filled next time; what is repeated is not recorded again.
	require.EqualValues(t, 4, s.report(e[:4]...).SlashSeq)
	require.EqualValues(t, 4, s.report(e[:1]...).SlashSeq)
	require.Len(t, s.slashes(), 4)
	// Entries below first_index are void: the gap is passed over.
	s.f.Epoch()
	s.c.Relay()
	require.Empty(t, s.c.Outbox())
	m := s.c.Message()
	m.FirstIndex, m.Slashes = 6, nil
	ack, isError := s.c.Send(m)
	require.False(t, isError)
	require.EqualValues(t, 5, ack.SlashSeq)
	require.NotEmpty(t, s.c.Outbox(), "the consumer has scaled by what is void now: it is told again")
	m = s.c.Message()
	m.FirstIndex, m.Slashes = 6, e[5:]
	ack, isError = s.c.Send(m)
	require.False(t, isError)
	require.EqualValues(t, 6, ack.SlashSeq)
	m = s.c.Message() // an older report that comes late does not take it back
	ack, _ = s.c.Send(m)
	require.EqualValues(t, 6, ack.SlashSeq)
	var indices []uint64
	for _, r := range s.slashes() {
		indices = append(indices, r.LogIndex)
		require.Equal(t, s.c.Session, r.Session)
	}
	require.Equal(t, []uint64{1, 2, 3, 4, 6}, indices)
	// Updates carry it.
	s.f.Epoch()
	updates := s.c.Relay()
	require.NotEmpty(t, updates)
	require.EqualValues(t, 6, updates[len(updates)-1].SlashSeq)
}

// TestLogEntriesRefused: an entry that cannot be applied is recorded as refused, the log goes on, and the validator is
// listed again with its full amount.
func TestLogEntriesRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		reason string
		entry  func(s *slasher) meshtypes.SlashEntry
	}{
		{"unknown validator", "unknown validator", func(s *slasher) meshtypes.SlashEntry { return s.entry(77, downtime, offence, "0.01") }},
		{"height in the future", "above the client's latest", func(s *slasher) meshtypes.SlashEntry { return s.entry(1, downtime, latest+1, "0.01") }},
		{"later revision", "above the client's latest", func(s *slasher) meshtypes.SlashEntry {
			e := s.entry(1, downtime, 1, "0.01")
			e.Infraction.Revision = 5
			return e
		}},
		{"before the stake existed", "no stake answers", func(s *slasher) meshtypes.SlashEntry { return s.entry(1, downtime, stakedAt-1, "0.01") }},
		{"earlier revision", "no stake answers", func(s *slasher) meshtypes.SlashEntry {
			e := s.entry(1, downtime, offence, "0.01")
			e.Infraction.Revision = 3
			return e
		}},
		{"validator with no stake", "no stake answers", func(s *slasher) meshtypes.SlashEntry {
			require.NoError(s, s.c.Unstake(s.u, 1, 1_000_000))
			s.f.Skip(5 * 7 * day)
			s.client(latest + 9)
			return s.entry(1, downtime, latest+9, "0.01")
		}},
		{"too old", "too old", func(s *slasher) meshtypes.SlashEntry {
			for h := uint64(latest); h < latest+400; h++ { // records of heights come with batch epochs
				s.client(h)
				s.f.NextBlockAfter(time.Hour)
			}
			return s.entry(1, downtime, offence, "0.01")
		}},
		{"paused", "paused", func(s *slasher) meshtypes.SlashEntry {
			_, err := s.f.Msgs.PauseConsumer(s.f.Ctx, &types.MsgPauseConsumer{Signer: s.f.Authority, ConsumerId: client})
			require.NoError(s, err)
			return s.entry(1, downtime, offence, "0.01")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSlasher(t, nil)
			e := tc.entry(s)
			pools, totals := export(t, s.f).Pools, export(t, s.f).Totals
			require.EqualValues(t, 1, s.report(e).SlashSeq)
			s.want(1, refused, "0", tc.reason)
			require.Equal(t, pools, export(t, s.f).Pools)
			require.Equal(t, totals, export(t, s.f).Totals)
			require.Contains(t, s.c.Outbox(), s.c.Status().Config.FormatValidator(e.Operator), "touched even with no effect")
			s.f.NextBlock()
			require.EqualValues(t, 2, s.report(s.entry(2, downtime, offence, "0.0001")).SlashSeq)
		})
	}
}

// TestDowntimeCrosses: a downtime claim takes its fraction of pool and batches in the block that it came in.
func TestDowntimeCrosses(t *testing.T) {
	s := newSlasher(t, nil)
	require.NoError(t, s.c.Unstake(s.u, 1, 400_000))
	e := s.entry(1, downtime, offence, "0.008")
	e.EffectiveFraction = dec("0.005") // other natives came since
	s.report(e)
	s.want(1, pending, "0", "")
	s.f.NextBlock()
	s.want(1, executed, "6200", "") // 600,000·0.005 + 400,000·0.008
	require.Equal(t, "597000", s.c.Pool(1).Tokens.String())
	require.Equal(t, "396800", s.batch(1).Tokens.String())
	require.Equal(t, "6200", export(t, s.f).Totals.Slashed.String())
	require.Equal(t, "597000", s.listed(1))
	require.False(t, s.batch(1).Flagged)
	m := s.meter()
	require.Equal(t, "6000000", m.Meter.Total.String())
	require.Equal(t, "396800", m.Meter.Batches.String())
}

// TestDowntimeLimit: claims take at most the downtime fraction of a pool in a window, however many there are.
func TestDowntimeLimit(t *testing.T) {
	s := newSlasher(t, nil)
	for range 5 {
		s.downtime(1, "0.004")
		s.f.NextBlock()
	}
	s.want(1, executed, "4000", "")
	s.want(2, executed, "3984", "") // of 996,000
	s.want(3, executed, "1984", "") // what is left of 1 %: 0.002 of 992,016
	s.want(4, executed, "0", "")
	s.want(5, executed, "0", "")
	// Leaving does not renew it: the batch has what was taken of the pool.
	require.NoError(t, s.c.Unstake(s.u, 1, 500_000))
	s.downtime(1, "0.004")
	s.f.NextBlock()
	s.want(6, executed, "0", "")
	// The next window does.
	s.f.NextBlockAfter(7 * day)
	before := s.stakeOn(1)
	s.downtime(1, "0.5")
	s.f.NextBlock()
	rec := s.slash(7)
	require.Equal(t, executed, rec.Status)
	require.Equal(t, before.Sub(s.stakeOn(1)), rec.Amount)
	require.Equal(t, sdkmath.NewInt(9_900), rec.Amount.QuoRaw(10).MulRaw(10)) // 1 % of what was left, 990,032
	require.False(t, s.c.Status().IsPaused())
}

// TestMeter: beyond the meter a claim is refused, gives its amount back, pauses the consumer and asks governance.
func TestMeter(t *testing.T) {
	s := newSlasher(t, func(c *types.ConsumerConfig) {
		c.MaxSlashFractionDowntime = dec("0.05")
		c.SlashPolicy.UnprovenLimit = dec("0.05")
	})
	// 5 % of 6,000,000 are 300,000. Two large validators: 125,000 each.
	require.Equal(t, "300000", s.meter().Available.String())
	s.downtime(2, "0.05")
	s.downtime(3, "0.05")
	s.f.NextBlock()
	s.want(1, executed, "125000", "")
	s.want(2, executed, "125000", "")
	require.InDelta(t, 50_000, s.meter().Available.Int64(), 5)
	s.downtime(1, "0.05")
	s.f.NextBlock()
	s.want(3, executed, "50000", "")
	s.f.NextBlockAfter(7 * day / 10) // a tenth of a window gives a tenth back
	m := s.meter()
	require.InDelta(t, 30_000, m.Available.Int64(), 20)
	require.NoError(t, s.c.Stake(s.w, 2, 1_000_000))
	s.f.NextBlockAfter(6*day + 12*time.Hour)
	require.Equal(t, "6700000", s.meter().Meter.Total.String(), "a new window counts what is there now")

	s.downtime(2, "0.05")
	s.f.NextBlock()
	s.want(4, executed, "168750", "")
	// A claim that the meter does not cover.
	require.NoError(t, s.f.Provider.Meters.Set(s.f.Ctx, client, func() types.SlashMeter {
		m := s.meter().Meter
		m.Used = m.Used.AddRaw(100_000)
		return m
	}()))
	available := s.meter().Available
	require.True(t, available.LT(sdkmath.NewInt(118_750)))
	id := s.downtime(3, "0.05")
	pools := export(t, s.f).Pools
	s.f.NextBlock()
	s.want(id, refused, "0", "beyond the meter")
	require.Equal(t, pools, export(t, s.f).Pools)
	st := s.c.Status()
	require.Equal(t, types.CONSUMER_STATUS_PAUSED, st.Status)
	require.Equal(t, []types.PauseReason{types.PAUSE_REASON_SLASHES}, st.PauseReasons)
	require.Equal(t, "0", s.meter().Available.String())
	require.Equal(t, "2375000", s.listed(3), "given back")
	require.ErrorIs(t, s.c.Stake(s.w, 2, 1_000), types.ErrConsumerPaused)
	// Not replenished while it is paused.
	used := s.meter().Meter.Used
	s.f.NextBlockAfter(3 * day)
	require.Equal(t, used, s.meter().Meter.Used)
	s.downtime(3, "0.01")
	s.want(id+1, refused, "0", "paused")
	// Only governance ends it.
	_, err := s.f.Msgs.ResumeConsumer(s.f.Ctx, &types.MsgResumeConsumer{Authority: s.u.String(), ConsumerId: client})
	require.ErrorIs(t, err, types.ErrUnauthorized)
	_, err = s.f.Msgs.ResumeConsumer(s.f.Ctx, &types.MsgResumeConsumer{Authority: s.f.Authority, ConsumerId: client})
	require.NoError(t, err)
	require.Equal(t, types.CONSUMER_STATUS_ACTIVE, s.c.Status().Status)
	require.Equal(t, used, s.meter().Meter.Used)
	s.f.NextBlockAfter(time.Hour)
	require.True(t, s.meter().Meter.Used.LT(used))
}

// TestResumeReasons: governance ends every pause but that of an inactive client.
func TestResumeReasons(t *testing.T) {
	s := newSlasher(t, nil)
	set := func(reasons ...types.PauseReason) {
		c := s.c.Status()
		c.Status, c.PauseReasons = types.CONSUMER_STATUS_PAUSED, reasons
		require.NoError(t, s.f.Provider.Consumers.Set(s.f.Ctx, client, c))
	}
	resume := func() error {
		_, err := s.f.Msgs.ResumeConsumer(s.f.Ctx, &types.MsgResumeConsumer{Authority: s.f.Authority, ConsumerId: client})
		return err
	}
	set(types.PAUSE_REASON_GOVERNANCE, types.PAUSE_REASON_GUARDIAN, types.PAUSE_REASON_SLASHES, types.PAUSE_REASON_MISBEHAVIOUR)
	require.NoError(t, resume())
	require.Equal(t, types.CONSUMER_STATUS_ACTIVE, s.c.Status().Status)
	set(types.PAUSE_REASON_CLIENT)
	require.ErrorIs(t, resume(), types.ErrNotPaused)
	set(types.PAUSE_REASON_CLIENT, types.PAUSE_REASON_MISBEHAVIOUR)
	require.NoError(t, resume())
	require.Equal(t, []types.PauseReason{types.PAUSE_REASON_CLIENT}, s.c.Status().PauseReasons)
	require.Equal(t, types.CONSUMER_STATUS_PAUSED, s.c.Status().Status)
}

// TestTwoSlashesOfOneValidatorInOneEpoch: both count, one after the other.
func TestTwoSlashesOfOneValidatorInOneEpoch(t *testing.T) {
	s := newSlasher(t, nil)
	s.report(s.entry(1, downtime, offence, "0.003"), s.entry(1, downtime, offence+5, "0.002"))
	s.f.NextBlock()
	s.want(1, executed, "3000", "")
	s.want(2, executed, "1994", "")
	require.Equal(t, "995006", s.listed(1))
	require.Equal(t, "4994", export(t, s.f).Totals.Slashed.String())
}

// TestPendingFactor: until a claim is settled, what it says is left is what is listed.
func TestPendingFactor(t *testing.T) {
	s := newSlasher(t, func(c *types.ConsumerConfig) { c.SlashPolicy.UnprovenDelay = 2 * day })
	e := s.entry(1, downtime, offence, "0.008")
	e.EffectiveFraction = dec("0.005")
	s.report(e, s.entry(1, doubleSign, offence, "0.05"))
	require.Equal(t, "945250", s.listed(1)) // 1,000,000 · 0.995 · 0.95
	require.Equal(t, "1000000", s.c.Pool(1).Tokens.String())
	require.Equal(t, "2500000", s.listed(2))
	s.f.NextBlockAfter(2 * day)
	s.f.NextBlock()
	s.want(1, executed, "5000", "")
	require.Equal(t, "945250", s.listed(1)) // 995,000 · 0.95
	_, err := s.f.Msgs.VetoSlash(s.f.Ctx, &types.MsgVetoSlash{Authority: s.f.Authority, SlashId: 2})
	require.NoError(t, err)
	require.Equal(t, "995000", s.listed(1))
}

// TestSlashWhileAStakeIncreaseIsInFlight: the listing in flight is followed by one that says what is left.
func TestSlashWhileAStakeIncreaseIsInFlight(t *testing.T) {
	s := newSlasher(t, nil)
	require.NoError(t, s.c.Stake(s.u, 1, 500_000))
	s.f.Epoch()
	sent := s.f.IBC.Take()
	require.Len(t, sent, 1)
	s.downtime(1, "0.01")
	s.f.NextBlock()
	s.want(1, executed, "15000", "")
	s.c.Acknowledge(sent[0], s.c.Receive(sent[0]))
	require.Equal(t, "1500000", s.c.Stored[string(testutil.Operator(1))].Amount.String())
	require.Equal(t, "1485000", s.listed(1))
}

// TestSlashWhileAFullUnstakeIsInFlight: the batch answers, by its nominal fraction.
func TestSlashWhileAFullUnstakeIsInFlight(t *testing.T) {
	s := newSlasher(t, nil)
	require.NoError(t, s.c.Unstake(s.u, 1, 1_000_000))
	s.f.Epoch()
	sent := s.f.IBC.Take()
	require.Len(t, sent, 1)
	e := s.entry(1, downtime, offence, "0.01")
	e.EffectiveFraction = dec("0.002")
	s.report(e)
	s.f.NextBlock()
	s.want(1, executed, "10000", "")
	require.Equal(t, "990000", s.batch(1).Tokens.String())
	s.c.Acknowledge(sent[0], s.c.Receive(sent[0]))
	require.Equal(t, "0", s.listed(1))
}

// TestProof: pool and batches lose the full fraction, each is flagged, and the pool is a batch from now on.
func TestProof(t *testing.T) {
	s := newSlasher(t, nil)
	require.NoError(t, s.c.Unstake(s.u, 1, 300_000))
	before := s.c.Pool(1)
	rec, err := s.prove(1, offence)
	require.NoError(t, err)
	require.Equal(t, executed, rec.Status)
	require.Equal(t, "100000", rec.Amount.String())
	require.Equal(t, "5000", rec.Reward.String())
	require.Equal(t, "100000", export(t, s.f).Totals.Slashed.String())
	require.Equal(t, "900000", s.meter().Meter.Batches.String())
	_, found, err := activeID(s, 1)
	require.NoError(t, err)
	require.False(t, found)
	for _, b := range s.c.Batches() {
		p := b.Batch.Pool
		require.True(t, p.Flagged)
		require.Equal(t, at(stakedAt), p.Since)
		if p.Batch.Converted { // shares, g and J go on
			require.Equal(t, "630000", p.Tokens.String())
			require.Equal(t, before.Shares, p.Shares)
			require.Equal(t, types.ScaledRatio(dec("0.1")), p.SlashIndex)
			require.Equal(t, "0", p.BudgetPerShare.String())
		} else {
			require.Equal(t, "270000", p.Tokens.String())
		}
	}
	require.ErrorIs(t, s.c.Stake(s.u, 1, 1_000), types.ErrValidatorClosed)
	require.Equal(t, "0", s.listed(1))
	// Once per stake.
	for _, h := range []uint64{offence, offence + 1, stakedAt, latest} {
		_, err = s.prove(1, h)
		require.ErrorIs(t, err, types.ErrAlreadyPunished)
	}
	// Other stake is not concerned.
	require.Equal(t, "2500000", s.c.Pool(2).Tokens.String())
	require.NoError(t, s.c.Stake(s.u, 2, 1_000))
}

func activeID(s *slasher, n int) (id uint64, found bool, err error) {
	for _, r := range export(s.TB, s.f).Pools {
		if string(r.Pool.Validator) == string(testutil.Operator(n)) && !r.Pool.IsBatch() {
			return r.Id, true, nil
		}
	}
	return 0, false, nil
}

// TestProofReward: at most 5 %, at most the parameter, and nothing for the operator.
func TestProofReward(t *testing.T) {
	for _, tc := range []struct {
		name   string
		by     func(s *slasher) sdk.AccAddress
		reward string
	}{
		{"anyone", func(s *slasher) sdk.AccAddress { return s.w }, "5000"},
		{"operator", func(*slasher) sdk.AccAddress { return testutil.Operator(1) }, "0"},
		{"bounded", func(s *slasher) sdk.AccAddress {
			s.f.SetParams(func(p *types.Params) { p.SubmitterRewardMax = sdkmath.NewInt(123) })
			return s.w
		}, "123"},
		{"none by parameter", func(s *slasher) sdk.AccAddress {
			s.f.SetParams(func(p *types.Params) { p.SubmitterRewardMax = sdkmath.ZeroInt() })
			return s.w
		}, "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSlasher(t, nil)
			rec, err := s.proveBy(1, offence, tc.by(s))
			require.NoError(t, err)
			require.Equal(t, tc.reward, rec.Reward.String())
			has, err := s.f.Provider.Rewards.Has(s.f.Ctx, rec.Id)
			require.NoError(t, err)
			require.Equal(t, tc.reward != "0", has)
		})
	}
}

// TestProofWithNothingThatAnswers: it is refused and closes nothing.
func TestProofWithNothingThatAnswers(t *testing.T) {
	s := newSlasher(t, nil)
	before := export(t, s.f)
	_, err := s.prove(1, stakedAt-1)
	require.ErrorIs(t, err, types.ErrNothingAnswers)
	_, err = s.prove(9, offence)
	require.ErrorIs(t, err, types.ErrNothingAnswers)
	require.Equal(t, before, export(t, s.f))
	require.NoError(t, s.c.Stake(s.u, 1, 1_000))
}

// TestHarmlessProofProtectsNothingElse: an operator proves a double sign of its own where hardly anything answers, and
// ten million are moved in.
func TestHarmlessProofProtectsNothingElse(t *testing.T) {
	s := newSlasher(t, nil)
	// One token has left and was executed at a low height; the rest of the pool is younger than that.
	require.NoError(t, s.c.Unstake(s.u, 1, 1))
	closes := s.batch(1).Batch.ClosesAt
	s.f.NextBlockAfter(closes.Sub(s.f.Ctx.BlockTime()))
	s.f.NextBlock()
	s.f.Epoch()
	s.c.Relay()
	s.c.Execute(1)
	low := s.batch(1).Batch.ExecutedHeight.Height
	require.NoError(t, s.c.Unstake(s.u, 1, 999_999))
	s.client(latest)
	require.NoError(t, s.c.Stake(s.w, 1, 10_000_000))
	require.Equal(t, at(latest), s.c.Pool(1).Since)

	// The harmless proof is of the height at which only the first batches answer.
	rec, err := s.proveBy(1, low, testutil.Operator(1))
	require.NoError(t, err)
	require.Equal(t, executed, rec.Status)
	require.Equal(t, "99999", rec.Amount.String()) // 10 % of 999,999, and nothing of one
	// The ten million were turned into a batch, not flagged.
	var converted types.Pool
	for _, b := range s.c.Batches() {
		if b.Batch.Pool.Batch.Converted {
			converted = b.Batch.Pool
		}
	}
	require.Equal(t, "10000000", converted.Tokens.String())
	require.False(t, converted.Flagged)
	require.ErrorIs(t, s.c.Stake(s.w, 1, 1_000), types.ErrValidatorClosed)
	// The real one hits them: beyond a third, so it waits.
	s.client(latest + 9)
	rec, err = s.prove(1, latest+3)
	require.NoError(t, err)
	require.Equal(t, pending, rec.Status)
	s.f.NextBlockAfter(3 * day)
	s.f.NextBlock()
	s.want(rec.Id, executed, "1000000", "")
}

// TestTombstoneBeforeProof: a tombstone stops new stake, never a proof.
func TestTombstoneBeforeProof(t *testing.T) {
	s := newSlasher(t, nil)
	r := testutil.ValidatorReport(1)
	r.Status = meshtypes.VALIDATOR_STATUS_TOMBSTONED
	m := s.c.Message(r)
	m.Slashes = []meshtypes.SlashEntry{s.entry(1, doubleSign, offence, "0.05")}
	ack, isError := s.c.Send(m)
	require.False(t, isError)
	require.EqualValues(t, 1, ack.SlashSeq)
	s.want(1, pending, "0", "")
	require.True(t, s.batch(1).Batch.Converted)
	require.False(t, s.batch(1).Flagged)
	s.f.NextBlock()
	rec, err := s.prove(1, offence)
	require.NoError(t, err)
	require.Equal(t, "100000", rec.Amount.String())
	s.want(1, recognised, "0", "slash 2")
	s.f.NextBlockAfter(15 * day)
	s.f.NextBlock()
	require.Equal(t, "100000", export(t, s.f).Totals.Slashed.String())
}

// TestLogEntryAfterProof: the entry for what was proved is recognised, whatever its height.
func TestLogEntryAfterProof(t *testing.T) {
	s := newSlasher(t, nil)
	_, err := s.prove(1, offence)
	require.NoError(t, err)
	id := s.claim(1, doubleSign, stakedAt+1, "0.05")
	s.want(id, recognised, "0", "punished")
	// A downtime slash of the same stake is another matter.
	id = s.downtime(1, "0.01")
	s.f.NextBlock()
	s.want(id, executed, "0", "") // the proof left no budget
	require.Equal(t, "900000", s.stakeOn(1).String())
	require.Equal(t, "100000", export(t, s.f).Totals.Slashed.String())
}

// TestUnprovenDoubleSign: after one U it is an ordinary claim; it flags what it takes from and closes the validator.
func TestUnprovenDoubleSign(t *testing.T) {
	s := newSlasher(t, nil)
	id := s.claim(1, doubleSign, offence, "0.05")
	require.Equal(t, s.f.Ctx.BlockTime().Add(u14), s.slash(id).DueAt)
	s.f.NextBlock()
	s.want(id, pending, "0", "")
	require.Equal(t, "950000", s.listed(1))
	s.f.NextBlockAfter(s.slash(id).DueAt.Sub(s.f.Ctx.BlockTime()))
	s.f.NextBlock()
	s.want(id, executed, "10000", "") // the downtime limit: 1 %
	require.True(t, s.batch(1).Flagged)
	require.True(t, s.batch(1).Batch.Converted)
	_, err := s.prove(1, offence)
	require.ErrorIs(t, err, types.ErrAlreadyPunished)
	require.ErrorIs(t, s.c.Stake(s.w, 1, 10_000), types.ErrValidatorClosed)
	id = s.claim(1, doubleSign, offence, "0.05")
	s.want(id, recognised, "0", "")
}

// TestDoubleSignWaitsWhilePaused: it stays pending until the pause ends.
func TestDoubleSignWaitsWhilePaused(t *testing.T) {
	s := newSlasher(t, nil)
	id := s.claim(1, doubleSign, offence, "0.05")
	_, err := s.f.Msgs.PauseConsumer(s.f.Ctx, &types.MsgPauseConsumer{Signer: s.f.Authority, ConsumerId: client})
	require.NoError(t, err)
	s.f.NextBlockAfter(15 * day)
	s.f.NextBlock()
	s.want(id, pending, "0", "")
	require.Equal(t, "950000", s.listed(1), "its factor stays")
	_, err = s.f.Msgs.ResumeConsumer(s.f.Ctx, &types.MsgResumeConsumer{Authority: s.f.Authority, ConsumerId: client})
	require.NoError(t, err)
	s.f.NextBlockAfter(2 * time.Hour)
	s.f.NextBlock()
	s.want(id, executed, "10000", "")
}

// TestMassProof: proofs beyond a third of the stake wait for a veto; nothing happens to those that wait.
func TestMassProof(t *testing.T) {
	s := newSlasher(t, func(c *types.ConsumerConfig) { c.Guardian = testutilGuardian })
	first, err := s.prove(1, offence) // 1,000,000 of 6,000,000
	require.NoError(t, err)
	require.Equal(t, executed, first.Status)
	second, err := s.prove(2, offence) // 3,500,000
	require.NoError(t, err)
	require.Equal(t, pending, second.Status)
	require.Equal(t, s.f.Ctx.BlockTime().Add(3*day), second.DueAt)
	third, err := s.prove(3, offence)
	require.NoError(t, err)
	require.Equal(t, pending, third.Status)
	_, err = s.prove(3, offence+2)
	require.ErrorIs(t, err, types.ErrAlreadyPunished, "a proof of this stake waits")
	require.ErrorIs(t, s.c.Stake(s.u, 2, 1_000), types.ErrValidatorClosed)
	require.Equal(t, "2500000", s.c.Pool(2).Tokens.String())
	require.Equal(t, "2500000", s.listed(2), "proofs lower no power before they count")

	// Stop: by authority or guardian, once.
	stop := func(by string, id uint64) error {
		_, err := s.f.Msgs.StopSlash(s.f.Ctx, &types.MsgStopSlash{Signer: by, SlashId: id})
		return err
	}
	require.ErrorIs(t, stop("x", second.Id), types.ErrInvalidAddress)
	require.ErrorIs(t, stop(testutilGuardian, 99), types.ErrUnknownSlash)
	require.ErrorIs(t, stop(s.u.String(), second.Id), types.ErrUnauthorized)
	require.ErrorIs(t, stop(testutilGuardian, first.Id), types.ErrSlashNotPending)
	require.NoError(t, stop(testutilGuardian, second.Id))
	require.ErrorIs(t, stop(testutilGuardian, second.Id), types.ErrSlashStopped)
	require.ErrorIs(t, stop(s.f.Authority, second.Id), types.ErrSlashStopped)
	require.Equal(t, second.DueAt.Add(3*day), s.slash(second.Id).DueAt)

	// Veto: everything is as before.
	veto := func(by string, id uint64) error {
		_, err := s.f.Msgs.VetoSlash(s.f.Ctx, &types.MsgVetoSlash{Authority: by, SlashId: id})
		return err
	}
	require.ErrorIs(t, veto(testutilGuardian, third.Id), types.ErrUnauthorized)
	require.ErrorIs(t, veto("x", third.Id), types.ErrInvalidAddress)
	require.ErrorIs(t, veto(s.f.Authority, 99), types.ErrUnknownSlash)
	require.ErrorIs(t, veto(s.f.Authority, first.Id), types.ErrSlashNotPending)
	require.NoError(t, veto(s.f.Authority, third.Id))
	require.ErrorIs(t, veto(s.f.Authority, third.Id), types.ErrSlashNotPending)
	require.NoError(t, s.c.Stake(s.u, 3, 1_000))
	s.f.NextBlockAfter(3 * day)
	s.f.NextBlock()
	s.want(second.Id, pending, "0", "")
	s.f.NextBlockAfter(3 * day)
	s.f.NextBlock()
	s.want(second.Id, executed, "250000", "")
	s.want(third.Id, vetoed, "0", "")
	require.True(t, s.batch(2).Flagged)
	require.Equal(t, "2501000", s.c.Pool(3).Tokens.String())
	// After the veto it can be proved again.
	third, err = s.prove(3, offence)
	require.NoError(t, err)
	require.Equal(t, pending, third.Status, "more than a third in this window")
	require.Equal(t, "350000", export(t, s.f).Totals.Slashed.String())
}

// TestVetoAfterAnExecution: the veto of the proof that closed a validator does not open it again once something else was
// executed for good, as its flag would protect new stake.
func TestVetoAfterAnExecution(t *testing.T) {
	s := newSlasher(t, nil)
	claim := s.claim(3, doubleSign, offence, "0.05")
	s.f.NextBlockAfter(u14 - day)
	for n := 1; n <= 2; n++ {
		_, err := s.prove(n, offence)
		require.NoError(t, err)
	}
	proof, err := s.prove(3, offence)
	require.NoError(t, err)
	require.Equal(t, pending, proof.Status)
	require.True(t, proof.Closed)
	s.f.NextBlockAfter(day)
	s.f.NextBlock()
	s.want(claim, executed, "25000", "")
	s.want(proof.Id, pending, "0", "")
	_, err = s.f.Msgs.VetoSlash(s.f.Ctx, &types.MsgVetoSlash{Authority: s.f.Authority, SlashId: proof.Id})
	require.NoError(t, err)
	s.want(proof.Id, vetoed, "0", "")
	require.ErrorIs(t, s.c.Stake(s.w, 3, 10_000), types.ErrValidatorClosed)
	require.NoError(t, s.f.Provider.CheckInvariants(s.f.Ctx))
}

var testutilGuardian = sdk.AccAddress("a guardian 20 bytes.").String()

// TestProofInEndBlock: proofs that come many at a time are executed at the end of the block.
func TestProofInEndBlock(t *testing.T) {
	s := newSlasher(t, nil)
	rec, err := s.f.Provider.RecordProof(s.f.Ctx, client, testutil.Operator(1), at(offence), s.w, false)
	require.NoError(t, err)
	require.Equal(t, pending, rec.Status)
	require.Equal(t, "1000000", s.c.Pool(1).Tokens.String())
	s.f.NextBlock()
	s.want(rec.Id, executed, "100000", "")
	require.True(t, s.batch(1).Flagged)
}

// TestTooManyClaims: claims beyond what may be pending are refused; proofs are not.
func TestTooManyClaims(t *testing.T) {
	s := newSlasher(t, nil)
	var entries []meshtypes.SlashEntry
	for range types.MaxPendingSlashes + 3 {
		entries = append(entries, s.entry(1, doubleSign, offence, "0.0001"))
	}
	require.EqualValues(t, len(entries), s.report(entries...).SlashSeq)
	for id := 1; id <= len(entries); id++ {
		if id <= types.MaxPendingSlashes {
			s.want(uint64(id), pending, "0", "")
		} else {
			s.want(uint64(id), refused, "0", "too many")
		}
	}
	require.NoError(t, s.f.Provider.CheckInvariants(s.f.Ctx))
	rec, err := s.prove(1, offence)
	require.NoError(t, err)
	require.Equal(t, "100000", rec.Amount.String())
	for id := 1; id <= types.MaxPendingSlashes; id++ {
		s.want(uint64(id), recognised, "0", "")
	}
	require.Zero(t, s.meter().Pending)
}

// TestDustSlashesWithoutEnd: they take no more than the limit, cost bounded work, and keep no walk from finishing.
func TestDustSlashesWithoutEnd(t *testing.T) {
	s := newSlasher(t, nil)
	for range 60 {
		var entries []meshtypes.SlashEntry
		for range 20 {
			entries = append(entries, s.entry(1, downtime, offence, "0.000002"))
		}
		s.report(entries...)
		s.f.NextBlock()
	}
	require.Len(t, s.slashes(), 1_200)
	for range 20 { // the queue has a part of the block's steps
		s.f.NextBlock()
	}
	require.Zero(t, s.meter().Pending)
	lost := sdkmath.NewInt(1_000_000).Sub(s.stakeOn(1))
	require.Equal(t, export(t, s.f).Totals.Slashed, lost)
	require.Equal(t, "1201", lost.String(), "two of the first million, then one each, rounded down")
	require.Empty(t, export(t, s.f).Walks)
	// Fractions that take nothing are not counted against the limit, nor anything else.
	before := s.c.Pool(1)
	s.downtime(1, "0.000000000000000001")
	s.f.NextBlock()
	s.want(1_201, executed, "0", "")
	require.Equal(t, before, s.c.Pool(1))
}

// TestPoolSlashedToNothing: a pool without tokens is closed until it was walked, and then it is gone.
func TestPoolSlashedToNothing(t *testing.T) {
	s := newSlasher(t, func(c *types.ConsumerConfig) {
		c.MaxSlashFractionDoubleSign, c.MaxSlashFractionDowntime = dec("1"), dec("1")
		c.SlashPolicy.UnprovenLimit = dec("1")
	})
	s.f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 20 })
	id := s.downtime(1, "1")
	require.NoError(t, s.f.Provider.EndBlocker(s.f.Ctx.WithEventManager(sdk.NewEventManager())))
	s.want(id, executed, "1000000", "")
	s.f.Blocks(5)
	require.Equal(t, "0", s.stakeOn(1).String())
	_, found, err := activeID(s, 1)
	require.NoError(t, err)
	require.False(t, found, "deleted after the walk")
	require.Equal(t, "0", s.listed(1))
	// A new generation.
	require.NoError(t, s.c.Stake(s.w, 1, 5_000))
	require.Equal(t, at(latest), s.c.Pool(1).Since)
	id = s.downtime(1, "1")
	s.want(id, refused, "0", "no stake answers")
}

// TestEmptyPoolTakesNoStake: between the slash and the walk.
func TestEmptyPoolTakesNoStake(t *testing.T) {
	s := newSlasher(t, func(c *types.ConsumerConfig) { c.MaxSlashFractionDoubleSign = dec("1") })
	id, _, err := activeID(s, 1)
	require.NoError(t, err)
	x, err := s.f.Provider.SlashOne(s.f.Ctx, id, dec("1"))
	require.NoError(t, err)
	require.Equal(t, "1000000", x.String())
	require.ErrorIs(t, s.c.Stake(s.w, 1, 1_000), types.ErrPoolClosed)
	// It can be proved and converted all the same.
	rec, err := s.prove(1, offence)
	require.NoError(t, err)
	require.Equal(t, "0", rec.Amount.String())
	s.f.Blocks(3)
	require.NoError(t, s.f.Provider.CheckInvariants(s.f.Ctx))
}

// TestBatchesAnswer: up to the height after their execution, and at any height until then.
func TestBatchesAnswer(t *testing.T) {
	s := newSlasher(t, nil)
	require.NoError(t, s.c.Unstake(s.u, 1, 400_000))
	s.f.NextBlockAfter(s.batch(1).Batch.ClosesAt.Sub(s.f.Ctx.BlockTime()))
	s.f.NextBlock()
	s.f.Epoch()
	s.c.Relay()
	s.c.Execute(1)
	h := s.batch(1).Batch.ExecutedHeight.Height
	require.NotZero(t, h)
	for _, tc := range []struct {
		height uint64
		amount string
	}{{h + 2, "600"}, {h + 1, "999"}, {h, "999"}, {stakedAt, "998"}} {
		id := s.claim(1, downtime, tc.height, "0.001")
		s.f.NextBlock()
		require.InDelta(t, mustInt(t, tc.amount), s.slash(id).Amount.Int64(), 3, "%d", tc.height)
	}
	id := s.claim(1, downtime, stakedAt-1, "0.001")
	s.want(id, refused, "0", "no stake answers")
}

// TestMaturedBatchIsFree: also if the claim comes in the very block in which it matures.
func TestMaturedBatchIsFree(t *testing.T) {
	for _, tc := range []struct {
		before time.Duration
		amount string
	}{{0, "600"}, {time.Second, "1000"}} {
		s, b := unexecuted(t, 0)
		s.f.NextBlockAfter(b.MaturesAt.Add(-tc.before).Sub(s.f.Ctx.BlockTime()))
		id := s.claim(1, downtime, recent, "0.001")
		s.f.NextBlock()
		s.want(id, executed, tc.amount, "")
		s.f.Blocks(3)
		require.Empty(t, s.c.Batches())
	}
}

func mustInt(t *testing.T, s string) float64 {
	t.Helper()
	i, ok := sdkmath.NewIntFromString(s)
	require.True(t, ok)
	return float64(i.Int64())
}

// recent is a height that the client learned of shortly before the end of unexecuted.
const recent = latest + 1_234

// unexecuted sets a batch of 400,000 up whose execution was never reported, an hour before it matures. It answers for any
// height.
func unexecuted(t *testing.T, delay time.Duration) (*slasher, types.Batch) {
	t.Helper()
	s := newSlasher(t, func(c *types.ConsumerConfig) { c.SlashPolicy.UnprovenDelay = delay; c.Guardian = testutilGuardian })
	require.NoError(t, s.c.Unstake(s.u, 1, 400_000))
	s.until(s.batch(1).Batch.ClosesAt)
	s.until(s.batch(1).Batch.LatestMaturity().Add(-day))
	s.client(recent)
	b := *s.batch(1).Batch
	require.False(t, b.StartedAt.IsZero())
	s.f.NextBlockAfter(b.MaturesAt.Sub(s.f.Ctx.BlockTime()) - time.Hour)
	return s, b
}

// until runs blocks up to a time.
func (s *slasher) until(at time.Time) {
	s.Helper()
	s.f.NextBlockAfter(at.Sub(s.f.Ctx.BlockTime()))
	s.f.NextBlock()
}

// TestClaimDelaysBatches: only those that answer and had not matured when it arrived, each at most by the delay.
func TestClaimDelaysBatches(t *testing.T) {
	s, b := unexecuted(t, day)
	id := s.claim(1, downtime, recent, "0.001")
	s.f.NextBlock()
	s.until(b.MaturesAt)
	require.False(t, s.batch(1).Batch.Matured)
	require.Equal(t, s.slash(id).DueAt, s.batch(1).Batch.DelayedUntil)
	require.Equal(t, s.batch(1).Batch.DelayedUntil, s.batch(1).Batch.LatestMaturity())
	// One that comes while it waits counts too, but not longer than the delay after its own maturity.
	double := s.claim(1, doubleSign, recent, "0.001")
	s.until(s.slash(id).DueAt)
	s.want(id, executed, "1000", "")
	require.False(t, s.batch(1).Batch.Matured)
	require.Equal(t, b.MaturesAt.Add(day), s.batch(1).Batch.DelayedUntil)
	s.until(b.MaturesAt.Add(day))
	s.f.NextBlock()
	require.Empty(t, s.c.Batches(), "matured")
	s.want(double, pending, "0", "")
	require.NoError(t, s.f.Provider.CheckInvariants(s.f.Ctx))
}

// TestClaimForWhichABatchDoesNotAnswer does not delay it.
func TestClaimForWhichABatchDoesNotAnswer(t *testing.T) {
	s := newSlasher(t, func(c *types.ConsumerConfig) { c.SlashPolicy.UnprovenDelay = day })
	require.NoError(t, s.c.Unstake(s.u, 1, 400_000))
	s.until(s.batch(1).Batch.ClosesAt)
	s.f.Epoch()
	s.c.Relay()
	s.c.Execute(1)
	b := *s.batch(1).Batch
	s.f.NextBlockAfter(b.MaturesAt.Sub(s.f.Ctx.BlockTime()) - time.Hour)
	s.client(recent)
	id := s.claim(1, downtime, recent, "0.001")
	s.until(b.MaturesAt)
	s.f.Blocks(2)
	require.Empty(t, s.c.Batches())
	s.want(id, pending, "0", "")
}

// TestVetoFreesBatches: a batch does not wait for what governance took away.
func TestVetoFreesBatches(t *testing.T) {
	s, b := unexecuted(t, day)
	id := s.claim(1, downtime, recent, "0.001")
	s.until(b.MaturesAt)
	require.False(t, s.batch(1).Batch.Matured)
	// The guardian delays the claim, but not the batch beyond its own delay.
	_, err := s.f.Msgs.StopSlash(s.f.Ctx, &types.MsgStopSlash{Signer: testutilGuardian, SlashId: id})
	require.NoError(t, err)
	require.Equal(t, day, s.slash(id).BatchDelay)
	_, err = s.f.Msgs.VetoSlash(s.f.Ctx, &types.MsgVetoSlash{Authority: s.f.Authority, SlashId: id})
	require.NoError(t, err)
	s.f.Blocks(2)
	require.Empty(t, s.c.Batches())
	s.want(id, vetoed, "0", "")
}

// TestStopWithoutDelay: a consumer without claim delay has none for the guardian to use.
func TestStopWithoutDelay(t *testing.T) {
	s := newSlasher(t, nil)
	id := s.claim(1, doubleSign, offence, "0.05")
	before := s.slash(id)
	_, err := s.f.Msgs.StopSlash(s.f.Ctx, &types.MsgStopSlash{Signer: s.f.Authority, SlashId: id})
	require.ErrorIs(t, err, types.ErrNoClaimDelay)
	require.Equal(t, before, s.slash(id))
}

// TestMassProofDelaysBatches: what was proved does not mature while it waits for a veto.
func TestMassProofDelaysBatches(t *testing.T) {
	s, b := unexecuted(t, day)
	require.NoError(t, s.c.Unstake(s.w, 2, 1)) // some other batch
	rec, err := s.f.Provider.RecordProof(s.f.Ctx, client, testutil.Operator(2), at(recent), s.u, true)
	require.NoError(t, err)
	require.Equal(t, pending, rec.Status)
	rec, err = s.f.Provider.RecordProof(s.f.Ctx, client, testutil.Operator(1), at(recent), s.w, true)
	require.NoError(t, err)
	require.Equal(t, pending, rec.Status)
	_, err = s.f.Msgs.StopSlash(s.f.Ctx, &types.MsgStopSlash{Signer: testutilGuardian, SlashId: rec.Id})
	require.NoError(t, err)
	s.until(b.MaturesAt.Add(5 * day))
	s.want(rec.Id, pending, "0", "")
	require.False(t, s.batch(1).Batch.Matured)
	s.until(s.slash(rec.Id).DueAt)
	s.want(rec.Id, executed, "100000", "")
	s.f.Blocks(3)
}

// TestSlashesForgotten: two unbonding periods after they were settled.
func TestSlashesForgotten(t *testing.T) {
	s := newSlasher(t, nil)
	s.downtime(1, "0.001")
	s.claim(77, downtime, offence, "0.001")
	settled := s.f.Ctx.BlockTime()
	s.until(settled.Add(2*u14 - time.Second))
	require.Len(t, s.slashes(), 2)
	s.until(settled.Add(2 * u14))
	require.Empty(t, s.slashes())
	_, err := s.f.Queries.Slash(s.f.Ctx, &types.QuerySlashRequest{Id: 1})
	require.Error(t, err)
	require.EqualValues(t, 3, s.claim(1, downtime, latest, "0.001"), "ids go on")
}

// TestNewSession: the log begins anew, what is pending stays.
func TestNewSession(t *testing.T) {
	s := newSlasher(t, nil)
	id := s.claim(1, doubleSign, offence, "0.05")
	s.c.Session.Consumer++
	s.c.Seq, s.c.Seqs = 0, map[string]uint64{}
	s.c.Bond(3)
	require.Zero(t, s.c.Pairing().SlashSeq)
	s.want(id, pending, "0", "")
	require.Equal(t, "950000", s.listed(1))
	s.entries = nil
	id = s.claim(2, downtime, offence, "0.001")
	require.EqualValues(t, 1, s.slash(id).LogIndex)
}

// TestSlashQueries pages and filters.
func TestSlashQueries(t *testing.T) {
	s := newSlasher(t, nil)
	s.downtime(1, "0.001")
	s.claim(2, doubleSign, offence, "0.001")
	_, err := s.prove(1, offence)
	require.NoError(t, err)
	s.f.NextBlock()
	list := func(req types.QuerySlashesRequest) (ids []uint64) {
		res, err := s.f.Queries.Slashes(s.f.Ctx, &req)
		require.NoError(t, err)
		for _, v := range res.Slashes {
			ids = append(ids, v.Record.Id)
		}
		return ids
	}
	require.Equal(t, []uint64{1, 2, 3}, list(types.QuerySlashesRequest{}))
	require.Equal(t, []uint64{1, 2, 3}, list(types.QuerySlashesRequest{ConsumerId: client}))
	require.Equal(t, []uint64{2}, list(types.QuerySlashesRequest{Status: pending}))
	require.Equal(t, []uint64{1, 3}, list(types.QuerySlashesRequest{ConsumerId: client, Validator: testutil.OperatorString(1)}))
	require.Empty(t, list(types.QuerySlashesRequest{ConsumerId: client, Validator: testutil.OperatorString(1), Status: vetoed}))
	for _, bad := range []*types.QuerySlashesRequest{nil, {ConsumerId: "x"}, {Validator: testutil.OperatorString(1)}, {ConsumerId: client, Validator: "x"}} {
		_, err := s.f.Queries.Slashes(s.f.Ctx, bad)
		require.Error(t, err)
	}
	res, err := s.f.Queries.Slash(s.f.Ctx, &types.QuerySlashRequest{Id: 3})
	require.NoError(t, err)
	require.Equal(t, testutil.OperatorString(1), res.Slash.Validator)
	require.Equal(t, s.w.String(), res.Slash.Submitter)
	_, err = s.f.Queries.Meter(s.f.Ctx, &types.QueryMeterRequest{ConsumerId: "x"})
	require.Error(t, err)
	require.EqualValues(t, 1, s.meter().Pending)
	require.Equal(t, "300000", s.meter().Meter.Allowance(s.c.Status().Config.SlashPolicy).String())
}
