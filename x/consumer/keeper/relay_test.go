package keeper_test

import (
	"errors"
	"math/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	sdkmath "cosmossdk.io/math"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"

	"github.com/mesh-security/mesh/x/consumer/keeper"
	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

func TestHandshake(t *testing.T) {
	f := newFixture(t, 1000)
	f.clients[provider1] = "provider-1"
	_, err := f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: config(provider1, "provider-1")})
	require.NoError(t, err)

	type step struct {
		order   channeltypes.Order
		hops    []string
		port    string
		counter string
		version string
	}
	good := step{channeltypes.UNORDERED, []string{provider1}, meshtypes.PortConsumer, meshtypes.PortProvider, meshtypes.Version}
	for name, tc := range map[string]struct {
		change func(*step)
		err    error
	}{
		"order":             {func(s *step) { s.order = channeltypes.ORDERED }, meshtypes.ErrChannelOrder},
		"version":           {func(s *step) { s.version = "mesh-2" }, meshtypes.ErrChannelVersion},
		"own port":          {func(s *step) { s.port = "transfer" }, meshtypes.ErrChannelPort},
		"counterparty port": {func(s *step) { s.counter = "transfer" }, meshtypes.ErrChannelPort},
		"hops":              {func(s *step) { s.hops = append(s.hops, "connection-1") }, meshtypes.ErrChannelHops},
		"no connection":     {func(s *step) { s.hops = []string{"connection-none"} }, meshtypes.ErrConnection},
		"unknown client":    {func(s *step) { s.hops = []string{"07-tendermint-9"} }, types.ErrProviderNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			tc.change(&s)
			_, err := f.ibc.OnChanOpenInit(f.ctx, s.order, s.hops, s.port, "channel-0", channeltypes.Counterparty{PortId: s.counter}, s.version)
			require.ErrorIs(t, err, tc.err)
		})
	}
	_, err = f.ibc.OnChanOpenTry(f.ctx, good.order, good.hops, good.port, "channel-0", channeltypes.Counterparty{PortId: good.counter}, good.version)
	require.ErrorIs(t, err, meshtypes.ErrChannelInitiator)
	require.ErrorIs(t, f.ibc.OnChanOpenConfirm(f.ctx, good.port, "channel-0"), meshtypes.ErrChannelInitiator)
	require.ErrorIs(t, f.ibc.OnChanCloseInit(f.ctx, good.port, "channel-0"), meshtypes.ErrChannelClose)

	// Two channels may be begun, one is opened.
	f.channels.channels["channel-1"] = channeltypes.Channel{
		Ordering: good.order, ConnectionHops: good.hops, Version: good.version, Counterparty: channeltypes.Counterparty{PortId: good.counter},
	}
	require.ErrorIs(t, f.ibc.OnChanOpenAck(f.ctx, good.port, "channel-1", "channel-9", "mesh-2"), meshtypes.ErrChannelVersion)
	require.ErrorIs(t, f.ibc.OnChanOpenAck(f.ctx, good.port, "channel-404", "channel-9", good.version), meshtypes.ErrChannelUnknown)
	f.openChannel(provider1, "channel-0")
	require.Equal(t, types.PROVIDER_STATUS_ACTIVE, f.provider(provider1).Status)
	require.ErrorIs(t, f.ibc.OnChanOpenAck(f.ctx, good.port, "channel-1", "channel-9", good.version), meshtypes.ErrChannelExists)
	_, err = f.ibc.OnChanOpenInit(f.ctx, good.order, good.hops, good.port, "channel-2", channeltypes.Counterparty{PortId: good.counter}, good.version)
	require.ErrorIs(t, err, meshtypes.ErrChannelExists)

	// Given up by the other side, a new one may be opened.
	require.NoError(t, f.ibc.OnChanCloseConfirm(f.ctx, good.port, "channel-0"))
	require.Empty(t, f.provider(provider1).ChannelId)
	require.NoError(t, f.ibc.OnChanOpenAck(f.ctx, good.port, "channel-1", "channel-9", good.version))
	_, err = f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	require.NoError(t, f.ibc.OnChanCloseConfirm(f.ctx, good.port, "channel-1"))
	_, err = f.ibc.OnChanOpenInit(f.ctx, good.order, good.hops, good.port, "channel-2", channeltypes.Counterparty{PortId: good.counter}, good.version)
	require.ErrorIs(t, err, types.ErrProviderRemoved)
	f.check()
}

func TestBadPacketsChangeNothing(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 10})
	marshal := func(u meshtypes.StakeUpdate) []byte {
		bz, err := u.Marshal()
		require.NoError(t, err)
		return bz
	}
	good := f.packet(provider1, map[int]int64{0: 20, 1: 30})
	for name, bz := range map[string][]byte{
		"empty":         {},
		"garbage":       {0xff, 0xff, 0xff},
		"truncated":     marshal(good)[:20],
		"unknown field": append(marshal(good), protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)...),
		"non-canonical": append(marshal(good), protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), good.Seq)...),
		"seq zero":      marshal(with(good, func(u *meshtypes.StakeUpdate) { u.Seq = 0 })),
		"duplicate":     marshal(with(good, func(u *meshtypes.StakeUpdate) { u.Stakes[1].Validator = u.Stakes[0].Validator })),
		"unsorted":      marshal(with(good, func(u *meshtypes.StakeUpdate) { u.Stakes[0], u.Stakes[1] = u.Stakes[1], u.Stakes[0] })),
		"negative":      marshal(with(good, func(u *meshtypes.StakeUpdate) { u.Stakes[0].Amount = sdkmath.NewInt(-1) })),
		"2^128":         marshal(with(good, func(u *meshtypes.StakeUpdate) { u.Stakes[0].Amount = meshtypes.MaxAmount })),
		"2^255": marshal(with(good, func(u *meshtypes.StakeUpdate) {
			u.Stakes[0].Amount = sdkmath.NewInt(2).ToLegacyDec().Power(200).TruncateInt()
		})),
		"no validator": marshal(with(good, func(u *meshtypes.StakeUpdate) { u.Stakes[0].Validator = nil })),
		"ten thousand": marshal(with(good, func(u *meshtypes.StakeUpdate) {
			for i := range 10_000 {
				u.Stakes = append(u.Stakes, meshtypes.Stake{Validator: []byte{200, byte(i >> 8), byte(i)}, Amount: sdkmath.OneInt()})
			}
		})),
		"absurd time": marshal(with(good, func(u *meshtypes.StakeUpdate) { u.SyncedAt = 1 << 63 })),
	} {
		t.Run(name, func(t *testing.T) {
			before := f.export()
			_, ok := f.receive(provider1, bz)
			require.False(t, ok)
			require.Equal(t, before, f.export())
		})
	}
	// Over a channel that is not ours.
	result := f.ibc.OnRecvPacket(f.ctx, meshtypes.Version, channeltypes.Packet{Data: marshal(good), DestinationChannel: "channel-77"}, nil)
	require.False(t, result.Success())
	require.Equal(t, []meshtypes.StakeCode{meshtypes.STAKE_CODE_STORED, meshtypes.STAKE_CODE_STORED}, f.deliver(provider1, good).Codes)
}

func with(u meshtypes.StakeUpdate, change func(*meshtypes.StakeUpdate)) meshtypes.StakeUpdate {
	u.Stakes = append([]meshtypes.Stake(nil), u.Stakes...)
	change(&u)
	return u
}

func (f *fixture) export() *types.GenesisState {
	f.t.Helper()
	gs, err := f.k.ExportGenesis(f.ctx)
	require.NoError(f.t, err)
	return gs
}

func TestNewestListingWinsWhateverTheOrder(t *testing.T) {
	for seed := range int64(5) {
		rnd := rand.New(rand.NewSource(seed))
		f := newFixture(t, 1000, 1000, 1000)
		f.addProvider(provider1, nil)
		var packets []meshtypes.StakeUpdate
		last := map[int]int64{}
		for range 20 {
			amounts := map[int]int64{}
			for v := range 3 {
				if rnd.Intn(2) == 0 {
					amounts[v] = rnd.Int63n(50)
					last[v] = amounts[v]
				}
			}
			packets = append(packets, f.packet(provider1, amounts))
		}
		packets = append(packets, packets...) // each comes twice
		rnd.Shuffle(len(packets), func(i, j int) { packets[i], packets[j] = packets[j], packets[i] })
		for _, p := range packets {
			f.deliver(provider1, p)
			if rnd.Intn(5) == 0 {
				f.epoch()
			}
		}
		f.epoch()
		for v, amount := range last {
			f.requireVirtual(provider1, v, amount)
			f.requireExecuted(provider1, v)
		}
	}
}

func TestStaleListing(t *testing.T) {
	f := newFixture(t, 1000)
	f.addProvider(provider1, nil)
	first, second := f.packet(provider1, map[int]int64{0: 1}), f.packet(provider1, map[int]int64{0: 2})
	require.Equal(t, meshtypes.STAKE_CODE_STORED, f.deliver(provider1, second).Codes[0])
	require.Equal(t, meshtypes.STAKE_CODE_STALE, f.deliver(provider1, first).Codes[0])
	require.Equal(t, meshtypes.STAKE_CODE_STALE, f.deliver(provider1, second).Codes[0])
	require.Equal(t, tokens(2).String(), f.record(provider1, 0).Amount.String())
	u := f.packet(provider1, nil)
	u.Stakes = []meshtypes.Stake{{Validator: []byte("nobody knows me here"), Amount: sdkmath.OneInt()}}
	require.Equal(t, []meshtypes.StakeCode{meshtypes.STAKE_CODE_UNKNOWN_VALIDATOR}, f.deliver(provider1, u).Codes)
}

func TestUnbondingPeriodIsThatOfTheHighestSeq(t *testing.T) {
	f := newFixture(t, 1000)
	f.addProvider(provider1, nil)
	first, second := f.packet(provider1, nil), f.packet(provider1, nil)
	first.UnbondingPeriod, second.UnbondingPeriod = 5, 6
	f.deliver(provider1, second)
	f.deliver(provider1, first)
	require.EqualValues(t, 6, f.provider(provider1).UnbondingPeriod)
}

func TestTooManyValidators(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000, 1000, 1000)
	f.setParams(func(p *types.Params) { p.MaxValidatorsPerProvider = 3 })
	f.addProvider(provider1, nil)
	ack := f.update(provider1, map[int]int64{0: 1, 1: 1, 2: 1, 3: 1})
	require.Equal(t, meshtypes.STAKE_CODE_UNKNOWN_VALIDATOR, ack.Codes[3])
	require.EqualValues(t, 3, f.provider(provider1).Stakes)
	f.epoch()
	// Records without stake make room, once they are executed and the provider knows.
	late := f.packet(provider1, map[int]int64{0: 9})
	f.update(provider1, map[int]int64{0: 0, 1: 0})
	for range 3 {
		f.epoch()
		for _, r := range f.reports() {
			f.ack(provider1, r, nil)
		}
	}
	require.EqualValues(t, 1, f.provider(provider1).Stakes)
	require.Equal(t, meshtypes.STAKE_CODE_STORED, f.update(provider1, map[int]int64{3: 1}).Codes[0])
	// A listing sent before the one dropped cannot be told from a repeated one: an error, to be sent anew.
	bz, err := late.Marshal()
	require.NoError(t, err)
	_, ok := f.receive(provider1, bz)
	require.False(t, ok)
	require.Equal(t, meshtypes.STAKE_CODE_STORED, f.update(provider1, map[int]int64{0: 9}).Codes[0])
}

func TestSessions(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	c := config(provider1, "provider-1")
	f.clients[provider1] = c.ChainId
	_, err := f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: c})
	require.NoError(t, err)
	f.openChannel(provider1, "channel-of-"+provider1)
	f.setPrice(provider1, "1")
	own := f.provider(provider1).Session.Consumer
	require.EqualValues(t, f.ctx.BlockTime().UnixNano(), own)

	// The provider does not know our half yet: refused, but its half is learned and ours told.
	u := f.packet(provider1, map[int]int64{0: 5})
	u.Session = meshtypes.Session{Provider: peerHalf}
	ack := f.deliver(provider1, u)
	require.True(t, ack.Refused)
	require.Empty(t, ack.Codes)
	require.Equal(t, u.Session, ack.Echo)
	require.Equal(t, meshtypes.Session{Provider: peerHalf, Consumer: own}, ack.Current)
	f.deliver(provider1, f.packet(provider1, map[int]int64{0: 5}))
	f.epoch()
	f.requireVirtual(provider1, 0, 5)

	// A lower half of the provider's, and one of ours that is too high or too low: refused, nothing learned.
	for _, s := range []meshtypes.Session{{Provider: peerHalf - 1, Consumer: own}, {Provider: peerHalf, Consumer: own + 1}, {Provider: peerHalf, Consumer: own - 1}} {
		u := f.packet(provider1, map[int]int64{0: 50})
		u.Session = s
		before := f.export()
		require.True(t, f.deliver(provider1, u).Refused)
		require.Equal(t, before, f.export())
	}

	// The provider begins anew: what came from it is forgotten, and leaves unless it is told again.
	f.epoch()
	for _, r := range f.reports() {
		f.ack(provider1, r, nil)
	}
	u = f.packet(provider1, map[int]int64{1: 8})
	u.Session, u.Seq = meshtypes.Session{Provider: peerHalf + 1, Consumer: own}, 1
	ack = f.deliver(provider1, u)
	require.False(t, ack.Refused)
	require.True(t, f.record(provider1, 0).Amount.IsZero())
	require.EqualValues(t, 1, f.provider(provider1).LastUpdateSeq)
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
	f.requireVirtual(provider1, 1, 8)
	reports := f.reports()
	require.EqualValues(t, 1, reports[0].Seq, "our seq begins again")
	require.Len(t, reports[0].Validators, 2, "everything is told again")
}

func TestReports(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.epoch()
	reports := f.reports()
	require.Len(t, reports, 1)
	r := reports[0]
	require.Len(t, r.Validators, 2)
	require.Equal(t, uint64(21*24*time.Hour), r.UnbondingPeriod)
	require.Equal(t, uint64(7*24*time.Hour), r.FreshnessLimit)
	require.EqualValues(t, 1, r.FirstIndex)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_BONDED, r.Validators[0].Status)
	require.Equal(t, f.vals[0].key.Bytes(), r.Validators[0].ConsensusKey.Key)
	require.Equal(t, "ed25519", r.Validators[0].ConsensusKey.Type)
	require.EqualValues(t, 7, r.Validators[0].KeyHeight.Revision)

	f.epoch()
	require.Empty(t, f.reports(), "in flight")
	f.ack(provider1, r, nil)
	f.epoch()
	require.Empty(t, f.reports(), "nothing new")

	// What is executed is told, with its height.
	f.update(provider1, map[int]int64{0: 7})
	f.epoch()
	r = f.reports()[0]
	require.Len(t, r.Validators, 1)
	require.Equal(t, f.seqs[provider1], r.Validators[0].ExecutedSeq)
	require.Equal(t, meshtypes.NewHeight(7, uint64(f.ctx.BlockHeight())), r.Validators[0].ExecutedHeight)

	// Changed while in flight: the acknowledgement does not clear it.
	require.NoError(t, f.slashing.Jail(f.ctx, f.vals[0].cons))
	f.block(blockTime)
	f.ack(provider1, r, nil)
	f.epoch()
	r = f.reports()[0]
	require.Equal(t, meshtypes.VALIDATOR_STATUS_JAILED, r.Validators[0].Status)
	require.Equal(t, f.seqs[provider1], r.Validators[0].ExecutedSeq, "absolute")

	// Lost: sent again at doubling intervals.
	for i := range 4 {
		f.timeout(provider1, r)
		f.block(epochTime<<i - time.Second)
		require.Empty(t, f.reports(), "attempt %d", i)
		for len(f.channels.sent) == 0 {
			f.block(blockTime)
		}
		again := f.reports()
		require.Len(t, again, 1)
		require.Greater(t, again[0].Seq, r.Seq)
		require.Equal(t, r.Validators, again[0].Validators)
		r = again[0]
	}
	f.ack(provider1, r, nil)
	require.Zero(t, f.provider(provider1).Retries)
	f.epoch()
	require.Empty(t, f.reports())
}

func TestReportRefusedOrAnsweredWithAnError(t *testing.T) {
	for name, answer := range map[string]func(f *fixture, r meshtypes.ConsumerReport){
		"error": func(f *fixture, r meshtypes.ConsumerReport) {
			f.ackBytes(provider1, r, channeltypes.NewErrorAcknowledgement(errors.New("no")).Acknowledgement())
		},
		"garbage": func(f *fixture, r meshtypes.ConsumerReport) { f.ackBytes(provider1, r, []byte("{")) },
		"garbage result": func(f *fixture, r meshtypes.ConsumerReport) {
			f.ackBytes(provider1, r, channeltypes.NewResultAcknowledgement([]byte{255}).Acknowledgement())
		},
		"refused": func(f *fixture, r meshtypes.ConsumerReport) {
			f.ack(provider1, r, func(a *meshtypes.ReportAck) { a.Refused = true })
		},
		"other seq": func(f *fixture, r meshtypes.ConsumerReport) {
			f.ack(provider1, r, func(a *meshtypes.ReportAck) { a.Seq += 5 })
		},
		"other session": func(f *fixture, r meshtypes.ConsumerReport) {
			f.ack(provider1, r, func(a *meshtypes.ReportAck) { a.Echo.Provider-- })
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, 1000, 1000)
			f.addProvider(provider1, nil)
			f.epoch()
			r := f.reports()[0]
			answer(f, r)
			require.EqualValues(t, 1, f.provider(provider1).Retries)
			f.epoch()
			again := f.reports()
			require.Len(t, again, 1)
			require.Equal(t, r.Validators, again[0].Validators)
		})
	}
}

func TestReportAckTeachesASession(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.epoch()
	r := f.reports()[0]
	f.ack(provider1, r, func(a *meshtypes.ReportAck) { a.Refused, a.Current.Provider = true, peerHalf+5 })
	require.Equal(t, peerHalf+5, f.provider(provider1).Session.Provider)
	require.Zero(t, f.provider(provider1).Retries, "without delay")
	f.epoch()
	again := f.reports()
	require.Len(t, again, 1)
	require.EqualValues(t, 1, again[0].Seq)
	require.Len(t, again[0].Validators, 2)
	f.timeout(provider1, r) // of the old session: nothing
	require.Zero(t, f.provider(provider1).Retries)
}

func TestFirstReportIsEmptyUntilTheProviderIsKnown(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.clients[provider1] = "provider-1"
	_, err := f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: config(provider1, "provider-1")})
	require.NoError(t, err)
	f.epoch()
	require.Empty(t, f.reports(), "no channel")
	f.openChannel(provider1, "channel-of-"+provider1)
	f.epoch()
	r := f.reports()
	require.Len(t, r, 1)
	require.Empty(t, r[0].Validators)
	f.epoch()
	require.Empty(t, f.reports(), "in flight")
	f.ack(provider1, r[0], func(a *meshtypes.ReportAck) { a.Refused = true })
	f.epoch()
	require.Len(t, f.reports()[0].Validators, 2)
}

func TestSendingThatFailsIsRepeated(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.01") })
	f.channels.fail = errors.New("client expired")
	f.epoch()
	require.Empty(t, f.reports())
	require.True(t, f.has("EventReportFailed"))
	require.Zero(t, f.provider(provider1).LastSeq)
	f.channels.fail = nil
	f.epoch()
	require.Len(t, f.reports(), 2)
}

func TestManyValidatorsAreReportedInChunks(t *testing.T) {
	native := make([]int64, 250)
	for i := range native {
		native[i] = 100
	}
	f := newFixture(t, native...)
	f.addProvider(provider1, nil)
	f.epoch()
	r := f.reports()
	require.Len(t, r, 2)
	require.Len(t, r[0].Validators, 200)
	require.Len(t, r[1].Validators, 50)
	require.Equal(t, r[0].Seq+1, r[1].Seq)
	f.timeout(provider1, r[0])
	f.timeout(provider1, r[1])
	require.EqualValues(t, 1, f.provider(provider1).Retries, "the chunks of one epoch fail together")
	f.epoch()
	r = f.reports()
	require.Len(t, r, 2)
	f.ack(provider1, r[1], nil)
	f.timeout(provider1, r[0])
	f.epoch()
	require.Len(t, f.reports()[0].Validators, 200)
}

func TestRetiredChannel(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 10})
	f.epoch()
	r := f.reports()[0]
	f.channels.fail = errors.New("client expired") // closing is best effort
	_, err := f.msg.RetireChannel(f.ctx, &types.MsgRetireChannel{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	require.Equal(t, []string{"channel-of-" + provider1}, f.channels.closed)
	f.channels.fail = nil
	_, err = f.msg.RetireChannel(f.ctx, &types.MsgRetireChannel{Authority: authority, ProviderId: provider1})
	require.ErrorIs(t, err, types.ErrNoChannel)

	bz, err := ptr(f.packet(provider1, map[int]int64{0: 99})).Marshal()
	require.NoError(t, err)
	_, ok := f.receive(provider1, bz)
	require.False(t, ok, "its packets are refused")
	f.ack(provider1, r, nil) // and what comes back over it says nothing
	f.timeout(provider1, r)
	f.epoch()
	f.requireVirtual(provider1, 0, 10)

	f.openChannel(provider1, "channel-new")
	f.epoch()
	again := f.reports()
	require.Equal(t, r.Validators, again[0].Validators, "in flight counts as not sent")
	require.Greater(t, again[0].Seq, r.Seq, "the session's state is taken over")
	require.Equal(t, "channel-new", f.provider(provider1).ChannelId)
}

func TestRetryDelay(t *testing.T) {
	for _, tc := range []struct {
		epoch  time.Duration
		before uint32
		want   time.Duration
	}{
		{time.Minute, 0, time.Minute},
		{time.Minute, 1, 2 * time.Minute},
		{time.Minute, 10, 1024 * time.Minute},
		{time.Minute, 11, 24 * time.Hour},
		{time.Minute, 1 << 31, 24 * time.Hour},
		{24 * time.Hour, 3, 24 * time.Hour},
		{48 * time.Hour, 3, 48 * time.Hour},
	} {
		require.Equal(t, tc.want, keeper.RetryDelay(tc.epoch, tc.before), "%v", tc)
	}
}

func TestFreshnessLimit(t *testing.T) {
	p := types.DefaultParams()
	day := 24 * time.Hour
	for _, tc := range [][3]time.Duration{ // own unbonding, U → limit
		{21 * day, 21 * day, 7 * day},
		{21 * day, 0, 7 * day},
		{8 * day, 21 * day, 6 * day},
		{21 * day, 5 * day, 3 * day},
		{21 * day, day, 0},
		{day, 0, 0},
	} {
		require.Equal(t, tc[2], keeper.FreshnessLimit(p, tc[0], tc[1]), "%v", tc)
	}
}

func TestClampPrice(t *testing.T) {
	for _, tc := range [][4]string{ // posted, in force, change → price
		{"5", "0", "0.1", "5"},
		{"0.5", "1", "0.1", "0.5"},
		{"5", "1", "0.1", "1.1"},
		{"1.05", "1", "0.1", "1.05"},
		{"5", "0.000000000000000001", "0.1", "0.000000000000000002"},
		{"5", "1", "0", "1.000000000000000001"},
	} {
		require.Equal(t, dec(tc[3]).String(), keeper.ClampPrice(dec(tc[0]), dec(tc[1]), dec(tc[2])).String(), "%v", tc)
	}
}
