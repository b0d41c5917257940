package keeper_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	porttypes "github.com/cosmos/ibc-go/v11/modules/core/05-port/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

func TestHandshake(t *testing.T) {
	f := testutil.New(t)
	cfg := testutil.Config(client)
	f.IBC.AddClient(client, cfg.ChainId, cfg.UnbondingPeriod)
	f.IBC.AddClient("other", "other-1", cfg.UnbondingPeriod)
	_, err := f.Msgs.AddConsumer(f.Ctx, &types.MsgAddConsumer{Authority: f.Authority, Config: cfg})
	require.NoError(t, err)
	var m porttypes.IBCModule = f.Module
	try := func(order channeltypes.Order, hops []string, port, peer, version string) error {
		_, err := m.OnChanOpenTry(f.Ctx, order, hops, port, "channel-0", channeltypes.Counterparty{PortId: peer, ChannelId: "channel-9"}, version)
		return err
	}
	hops := []string{"connection-" + client}
	for _, tc := range []struct {
		name string
		err  error
		want error
	}{
		{"good", try(channeltypes.UNORDERED, hops, types.PortID, meshtypes.PortConsumer, meshtypes.Version), nil},
		{"ordered", try(channeltypes.ORDERED, hops, types.PortID, meshtypes.PortConsumer, meshtypes.Version), meshtypes.ErrChannelOrder},
		{"version", try(channeltypes.UNORDERED, hops, types.PortID, meshtypes.PortConsumer, "mesh-2"), meshtypes.ErrChannelVersion},
		{"no version", try(channeltypes.UNORDERED, hops, types.PortID, meshtypes.PortConsumer, ""), meshtypes.ErrChannelVersion},
		{"our port", try(channeltypes.UNORDERED, hops, "transfer", meshtypes.PortConsumer, meshtypes.Version), meshtypes.ErrChannelPort},
		{"their port", try(channeltypes.UNORDERED, hops, types.PortID, types.PortID, meshtypes.Version), meshtypes.ErrChannelPort},
		{"two hops", try(channeltypes.UNORDERED, append(hops, "x"), types.PortID, meshtypes.PortConsumer, meshtypes.Version), meshtypes.ErrChannelHops},
		{"no such connection", try(channeltypes.UNORDERED, []string{"connection-9"}, types.PortID, meshtypes.PortConsumer, meshtypes.Version), meshtypes.ErrConnection},
		{"client of no consumer", try(channeltypes.UNORDERED, []string{"connection-other"}, types.PortID, meshtypes.PortConsumer, meshtypes.Version), types.ErrUnknownConsumer},
		{"begun by us", func() error {
			_, err := m.OnChanOpenInit(f.Ctx, channeltypes.UNORDERED, hops, types.PortID, "channel-0", channeltypes.Counterparty{PortId: meshtypes.PortConsumer}, meshtypes.Version)
			return err
		}(), meshtypes.ErrChannelInitiator},
		{"acknowledged", m.OnChanOpenAck(f.Ctx, types.PortID, "channel-0", "channel-9", meshtypes.Version), meshtypes.ErrChannelInitiator},
		{"closed by a user", m.OnChanCloseInit(f.Ctx, types.PortID, "channel-0"), meshtypes.ErrChannelClose},
		{"confirmed without channel", m.OnChanOpenConfirm(f.Ctx, types.PortID, "channel-55"), meshtypes.ErrChannelUnknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.want == nil {
				require.NoError(t, tc.err)
				return
			}
			require.ErrorIs(t, tc.err, tc.want)
		})
	}
	// Two handshakes at once: the first to confirm wins.
	for _, id := range []string{"channel-0", "channel-1"} {
		f.IBC.Channels[id] = channeltypes.Channel{
			State: channeltypes.OPEN, Ordering: channeltypes.UNORDERED, Version: meshtypes.Version, ConnectionHops: hops,
			Counterparty: channeltypes.Counterparty{PortId: meshtypes.PortConsumer},
		}
	}
	require.NoError(t, m.OnChanOpenConfirm(f.Ctx, types.PortID, "channel-1"))
	require.ErrorIs(t, m.OnChanOpenConfirm(f.Ctx, types.PortID, "channel-0"), meshtypes.ErrChannelExists)
	// Closed by the other side: lost for us, and a new one can be opened.
	require.NoError(t, m.OnChanCloseConfirm(f.Ctx, types.PortID, "channel-0"), "never ours")
	require.NoError(t, m.OnChanCloseConfirm(f.Ctx, types.PortID, "channel-1"))
	require.NoError(t, m.OnChanOpenConfirm(f.Ctx, types.PortID, "channel-0"))
}

func TestPacketsRefused(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 100))
	good := c.Message(testutil.ValidatorReport(1))
	bz, err := good.Marshal()
	require.NoError(t, err)
	many := good
	for n := range 10_000 {
		many.Validators = append(many.Validators, testutil.ValidatorReport(n+10))
	}
	manyBz, err := many.Marshal()
	require.NoError(t, err)
	twice := good
	twice.Validators = append(twice.Validators, twice.Validators[0])
	twiceBz, err := twice.Marshal()
	require.NoError(t, err)
	zero := good
	zero.Seq = 0
	zeroBz, err := zero.Marshal()
	require.NoError(t, err)
	before := export(t, f)
	for name, data := range map[string][]byte{
		"empty": {}, "truncated": bz[:len(bz)-1], "unknown field": append(bytes.Clone(bz), 0xfa, 0x07, 1, 1),
		"not canonical": append(bytes.Clone(bz), 0x10, 5), "ten thousand entries": manyBz, "duplicate": twiceBz, "seq 0": zeroBz,
		"huge": make([]byte, 1<<20),
	} {
		_, isError := c.SendBytes(data)
		require.True(t, isError, name)
		require.Equal(t, before, export(t, f), name)
	}
	_, isError := c.SendBytes(bz)
	require.False(t, isError)
	// Over a channel that belongs to nobody.
	c.Channel = "channel-999"
	_, isError = c.SendBytes(bz)
	require.True(t, isError)
	// In a version that is not spoken here.
	p := channeltypes.NewPacket(bz, 1, meshtypes.PortConsumer, "channel-7", types.PortID, "channel-"+client, zeroHeight, 1)
	require.False(t, f.Module.OnRecvPacket(f.Ctx, "mesh-2", p, nil).Success())
}

// TestOutOfGas: a relayer that gives too little gas fails its own transaction; the packet is not lost.
func TestOutOfGas(t *testing.T) {
	f, _, _, c := setup(t)
	bz, err := func() ([]byte, error) { m := c.Message(testutil.ValidatorReport(2)); return m.Marshal() }()
	require.NoError(t, err)
	p := channeltypes.NewPacket(bz, 1, meshtypes.PortConsumer, "channel-7", types.PortID, c.Channel, zeroHeight, 1)
	ctx, _ := f.Ctx.CacheContext()
	ctx = ctx.WithGasMeter(storetypes.NewGasMeter(5_000)).WithKVGasConfig(storetypes.KVGasConfig())
	require.Panics(t, func() { f.Module.OnRecvPacket(ctx, meshtypes.Version, p, nil) })
	ctx = ctx.WithGasMeter(storetypes.NewGasMeter(500_000))
	require.True(t, f.Module.OnRecvPacket(ctx, meshtypes.Version, p, nil).Success())
	require.Greater(t, ctx.GasMeter().GasConsumed(), uint64(10_000))
}

func TestSessions(t *testing.T) {
	f := testutil.New(t)
	val := f.Validator(1_000_000, 1)
	u := f.Delegator(val, 1_000)
	f.NextBlock()
	c := f.Consumer(client, nil)
	own := c.Pairing().Session
	require.NotZero(t, own.Provider)
	require.Zero(t, own.Consumer)

	// The first packet of ours is refused, and teaches us their half.
	p := sendOne(t, f)
	c.Acknowledge(p, c.Receive(p))
	require.Equal(t, c.Session, c.Pairing().Session)
	require.Zero(t, c.Pairing().LastSeq, "sequence numbers begin again")
	c.Bond(2)
	require.NoError(t, c.Stake(u, 1, 600))
	require.NoError(t, c.Stake(u, 2, 100))
	require.NoError(t, c.Unstake(u, 2, 100))
	f.Epoch()
	c.Relay()
	c.Execute(1)
	require.Empty(t, c.Outbox())
	f.NextBlockAfter(6 * time.Hour)
	f.NextBlock()
	f.Epoch()
	c.Relay()
	require.NotZero(t, only(t, c).Seq)

	// A report of an older session of theirs, and one that claims a half of ours that we do not have, are refused with ours.
	for _, s := range []meshtypes.Session{
		{Provider: c.Session.Provider, Consumer: c.Session.Consumer - 1},
		{Provider: c.Session.Provider - 1, Consumer: c.Session.Consumer},
		{Provider: c.Session.Provider + 1, Consumer: c.Session.Consumer},
		{},
	} {
		m := c.Message()
		m.Session = s
		before := export(t, f)
		ack, isError := c.Send(m)
		require.False(t, isError)
		require.True(t, ack.Refused)
		require.Equal(t, s, ack.Echo)
		require.Equal(t, c.Pairing().Session, ack.Current)
		require.Equal(t, before, export(t, f))
	}

	// The consumer begins anew, with a packet of ours in flight.
	require.NoError(t, c.Stake(u, 1, 50))
	inFlight := sendOne(t, f)
	c.Session = meshtypes.Session{Consumer: c.Session.Consumer + 100}
	c.Seq, c.Stored, c.Seqs = 0, map[string]meshtypes.Stake{}, map[string]uint64{}
	ack, isError := c.Send(c.Message(testutil.ValidatorReport(1)))
	require.False(t, isError)
	require.True(t, ack.Refused, "their view of our half is 0")
	require.Equal(t, c.Session, c.Pairing().Session, "both know each other now")
	out := c.Outbox()
	require.Len(t, out, 2, "everything is touched: active stake and closed batches")
	for _, e := range out {
		require.Zero(t, e.InFlight)
	}
	// Nothing of the old session counts.
	c.Timeout(inFlight)
	require.Zero(t, c.Outbox()[one].Retries)
	v, err := f.Provider.Validators.Get(f.Ctx, poolKey(client, 1))
	require.NoError(t, err)
	require.NotEqual(t, c.Pairing().Session, v.Session, "its seqs are void")
	f.Epoch()
	c.Relay()
	require.Equal(t, "650", c.Stored[string(testutil.Operator(1))].Amount.String())
	require.Contains(t, c.Batches()[0].WaitsFor, "executed update 1 or", "listed again in the new session")
	c.Execute(2)
	require.False(t, only(t, c).StartedAt.IsZero())
	require.NoError(t, f.Provider.CheckInvariants(f.Ctx))
}

// TestProviderBeginsAnew: removing and adding the consumer gives a new half of ours.
func TestProviderBeginsAnew(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 100))
	f.Epoch()
	c.Relay()
	old := c.Pairing()
	_, err := f.Msgs.RemoveConsumer(f.Ctx, &types.MsgRemoveConsumer{Authority: f.Authority, ConsumerId: client})
	require.NoError(t, err)
	f.Skip(30 * day)
	require.Equal(t, types.CONSUMER_STATUS_REMOVED, c.Status().Status)
	_, isError := c.Send(c.Message())
	require.True(t, isError)
	require.ErrorIs(t, c.Open("channel-5"), types.ErrConsumerRemoved)

	_, err = f.Msgs.AddConsumer(f.Ctx, &types.MsgAddConsumer{Authority: f.Authority, Config: testutil.Config(client)})
	require.NoError(t, err)
	p := c.Pairing()
	require.Greater(t, p.Session.Provider, old.Session.Provider)
	require.Greater(t, p.BatchEpoch, old.BatchEpoch)
	require.NoError(t, c.Open("channel-5"))
	require.EqualValues(t, old.Validators, p.Validators, "the registry stays: first keys stand")
	require.NoError(t, c.Stake(u, 1, 70))
	f.Epoch()
	c.Relay()
	require.Equal(t, "70", c.Stored[string(testutil.Operator(1))].Amount.String())
}

func TestRegistry(t *testing.T) {
	f := testutil.New(t)
	f.SetParams(func(p *types.Params) { p.MaxValidatorsPerConsumer = 3 })
	val := f.Validator(1_000_000, 1)
	u := f.Delegator(val, 1_000)
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(2)
	get := func(n int) (types.ConsumerValidator, bool) {
		v, err := f.Provider.Validators.Get(f.Ctx, poolKey(client, n))
		return v, err == nil
	}
	report := func(n int, change func(r *meshtypes.ValidatorReport)) meshtypes.ValidatorReport {
		r := testutil.ValidatorReport(n)
		if change != nil {
			change(&r)
		}
		return r
	}
	send := func(rs ...meshtypes.ValidatorReport) {
		ack, isError := c.Send(c.Message(rs...))
		require.False(t, isError || ack.Refused)
	}
	status := func(s meshtypes.ValidatorStatus) func(r *meshtypes.ValidatorReport) {
		return func(r *meshtypes.ValidatorReport) { r.Status = s }
	}

	// Last writer wins by seq.
	newer, older := c.Message(report(1, status(meshtypes.VALIDATOR_STATUS_JAILED))), c.Message(report(1, nil))
	newer.Seq, older.Seq = older.Seq, newer.Seq
	c.Send(newer)
	c.Send(older)
	v, _ := get(1)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_JAILED, v.Status)
	require.NoError(t, c.Stake(u, 1, 100), "a jailed validator takes stake")

	// Never bonded and without our stake: not kept.
	send(report(5, status(meshtypes.VALIDATOR_STATUS_UNBONDED)))
	_, found := get(5)
	require.False(t, found)

	// A full registry makes room by one that is not bonded and has no stake; else the new one is ignored.
	send(report(3, nil))
	require.EqualValues(t, 3, c.Pairing().Validators)
	send(report(4, nil))
	_, found = get(4)
	require.False(t, found, "1 has stake, 2 and 3 are bonded")
	send(report(3, status(meshtypes.VALIDATOR_STATUS_UNBONDED)), report(4, nil))
	_, found = get(4)
	require.True(t, found)
	_, found = get(3)
	require.False(t, found)
	require.EqualValues(t, 3, c.Pairing().Validators)

	// The first key stands; later ones are appended with the time and height they were learned at; at most 16. They end the
	// range of the one before, but not for heights that were known before.
	first, _ := get(1)
	send(report(1, func(r *meshtypes.ValidatorReport) {
		r.ConsensusKey.Key = []byte("re-dated")
		r.KeyHeight = meshtypes.NewHeight(4, 1)
	}))
	v, _ = get(1)
	require.Equal(t, first.Keys, v.Keys)
	f.NextBlock()
	for i := range 30 {
		send(report(1, func(r *meshtypes.ValidatorReport) {
			r.ConsensusKey.Key, r.KeyHeight = []byte{1, byte(i)}, meshtypes.NewHeight(4, uint64(100+i))
		}))
	}
	v, _ = get(1)
	require.Len(t, v.Keys, types.MaxKeys)
	require.Equal(t, first.Keys[0].Key, v.Keys[0].Key)
	latest := meshtypes.NewHeight(4, 1_000_000)
	require.Equal(t, latest.Next(), v.Keys[0].To)
	require.Equal(t, latest, v.Keys[1].LearnedHeight)
	require.Equal(t, f.Ctx.BlockTime(), v.Keys[1].LearnedAt)

	// Tombstoned is final, closes the validator, and turns its pool into a batch.
	send(report(1, status(meshtypes.VALIDATOR_STATUS_TOMBSTONED)))
	send(report(1, status(meshtypes.VALIDATOR_STATUS_BONDED)))
	v, _ = get(1)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_TOMBSTONED, v.Status)
	require.ErrorIs(t, c.Stake(u, 1, 1), types.ErrValidatorTombstoned)
	b := only(t, c)
	require.True(t, b.Converted && b.Closed)
	require.Equal(t, "100", f.Collateral(u).MaxLien.String())
	f.NextBlock()
	f.Skip(29 * day)
	require.Equal(t, "0", f.Collateral(u).MaxLien.String())
}

// TestRelearned: a validator that the consumer learns of again is listed again.
func TestRelearned(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 100))
	f.Epoch()
	c.Relay()
	require.Empty(t, c.Outbox())
	r := testutil.ValidatorReport(1)
	r.Status = meshtypes.VALIDATOR_STATUS_UNBONDED
	c.Send(c.Message(r))
	require.Empty(t, c.Outbox())
	c.Send(c.Message(testutil.ValidatorReport(1)))
	require.Len(t, c.Outbox(), 1)
	c.Send(c.Message(testutil.ValidatorReport(2)))
	require.Len(t, c.Outbox(), 1, "without stake there is nothing to list")
}

func TestClientStatus(t *testing.T) {
	f, _, u, c := setup(t)
	guardian := f.Address()
	cfg := testutil.Config(client)
	cfg.Guardian = guardian.String()
	_, err := f.Msgs.UpdateConsumer(f.Ctx, &types.MsgUpdateConsumer{Authority: f.Authority, Config: cfg})
	require.NoError(t, err)
	require.NoError(t, c.Stake(u, 1, 100))
	f.IBC.Clients[client].Status = "Expired"
	f.Epoch()
	require.Equal(t, types.CONSUMER_STATUS_PAUSED, c.Status().Status)
	require.Equal(t, []types.PauseReason{types.PAUSE_REASON_CLIENT}, c.Status().PauseReasons)
	require.ErrorIs(t, c.Stake(u, 1, 1), types.ErrConsumerPaused)
	require.NoError(t, c.Unstake(u, 1, 50), "everything else works")

	// The guardian can pause too; only governance resumes that, and a client's pause ends by itself.
	_, err = f.Msgs.PauseConsumer(f.Ctx, &types.MsgPauseConsumer{Signer: f.Address().String(), ConsumerId: client})
	require.ErrorIs(t, err, types.ErrUnauthorized)
	_, err = f.Msgs.PauseConsumer(f.Ctx, &types.MsgPauseConsumer{Signer: guardian.String(), ConsumerId: client})
	require.NoError(t, err)
	_, err = f.Msgs.ResumeConsumer(f.Ctx, &types.MsgResumeConsumer{Authority: guardian.String(), ConsumerId: client})
	require.ErrorIs(t, err, types.ErrUnauthorized)
	f.IBC.Clients[client].Status = "Active"
	f.Epoch()
	require.Equal(t, []types.PauseReason{types.PAUSE_REASON_GUARDIAN}, c.Status().PauseReasons)
	require.Equal(t, types.CONSUMER_STATUS_PAUSED, c.Status().Status)
	_, err = f.Msgs.ResumeConsumer(f.Ctx, &types.MsgResumeConsumer{Authority: f.Authority, ConsumerId: client})
	require.NoError(t, err)
	require.Equal(t, types.CONSUMER_STATUS_ACTIVE, c.Status().Status)
	c.Relay()
	require.NoError(t, c.Stake(u, 1, 1))
	// Converged after the client's recovery.
	f.Epoch()
	c.Relay()
	require.Equal(t, "51", c.Stored[string(testutil.Operator(1))].Amount.String())
}

func TestWindingDown(t *testing.T) {
	f := testutil.New(t)
	f.SetParams(func(p *types.Params) { p.MaxSettlementSteps = 20 }) // one pool a block
	val := f.Validator(1_000_000, 1)
	u, v := f.Delegator(val, 1_000), f.Delegator(val, 1_000)
	f.NextBlock()
	c := f.Consumer(client, nil)
	c.Bond(3)
	require.NoError(t, c.Stake(u, 1, 300))
	require.NoError(t, c.Stake(u, 2, 300))
	require.NoError(t, c.Stake(v, 2, 300))
	require.NoError(t, c.Stake(v, 3, 300))
	require.NoError(t, c.Unstake(v, 3, 100))
	f.Epoch()
	c.Relay()
	_, err := f.Msgs.RemoveConsumer(f.Ctx, &types.MsgRemoveConsumer{Authority: f.Authority, ConsumerId: client})
	require.NoError(t, err)
	_, err = f.Msgs.RemoveConsumer(f.Ctx, &types.MsgRemoveConsumer{Authority: f.Authority, ConsumerId: client})
	require.ErrorIs(t, err, types.ErrConsumerWindingDown)
	require.NoError(t, c.Unstake(u, 2, 50), "leaving works meanwhile")
	f.Blocks(4)
	require.Len(t, c.Batches(), 5)
	require.ErrorIs(t, c.Unstake(u, 1, 1), types.ErrNoPosition)
	require.Equal(t, "600", f.Collateral(u).MaxLien.String())
	// Updates and reports still go.
	f.Epoch()
	c.Relay()
	require.Equal(t, "0", c.Stored[string(testutil.Operator(2))].Amount.String())
	for n := 1; n <= 3; n++ {
		c.Execute(n)
	}
	f.Skip(15 * day)
	require.Len(t, c.Batches(), 2, "those that closed later, and were not reported as executed, are forced")
	require.Equal(t, types.CONSUMER_STATUS_WINDING_DOWN, c.Status().Status)
	f.Skip(15 * day)
	require.Equal(t, types.CONSUMER_STATUS_REMOVED, c.Status().Status)
	require.Empty(t, c.Pairing().ChannelId)
	require.Equal(t, "0", f.Collateral(u).MaxLien.String())
	require.Empty(t, export(t, f).Accounts)
	require.Empty(t, export(t, f).Outbox)
}

// TestRaiseSlashFraction: it takes effect after 2U; then a walk reserves the larger budgets, or shrinks.
func TestRaiseSlashFraction(t *testing.T) {
	f := testutil.New(t)
	f.SetNativeRatio("0")
	val := f.Validator(1_000_000, 1)
	u, v := f.Delegator(val, 1_000), f.Delegator(val, 1_000)
	f.NextBlock()
	c := f.Consumer(client, nil)
	d := f.Consumer("d", func(cfg *types.ConsumerConfig) { cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(80, 2) })
	c.Bond(1)
	d.Bond(1)
	require.NoError(t, c.Stake(u, 1, 1_000))
	require.NoError(t, c.Stake(v, 1, 1_000))
	require.NoError(t, d.Stake(v, 1, 1_000)) // 800 + 100 of v are reserved
	cfg := testutil.Config(client)
	cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(30, 2)
	_, err := f.Msgs.UpdateConsumer(f.Ctx, &types.MsgUpdateConsumer{Authority: f.Authority, Config: cfg})
	require.NoError(t, err)
	require.Equal(t, sdkmath.LegacyNewDecWithPrec(10, 2), c.Status().Config.MaxSlashFractionDoubleSign)
	require.NotNil(t, c.Status().Raise)
	f.Skip(27 * day)
	require.NotNil(t, c.Status().Raise)
	require.Equal(t, "100", f.Collateral(u).Budgets.String())
	f.Skip(2 * day)
	require.Nil(t, c.Status().Raise)
	require.Equal(t, "300", f.Collateral(u).Budgets.String())
	col := f.Collateral(v)
	require.Equal(t, "1000", col.Budgets.String())
	require.Equal(t, "666", col.Liens[0].Active.String(), "what 200 back")
	require.Equal(t, types.ScaledRatio(sdkmath.LegacyNewDecWithPrec(30, 2)).String(), c.Pool(1).BudgetPerShare.String())

	// Lowering holds at once.
	cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(5, 2)
	_, err = f.Msgs.UpdateConsumer(f.Ctx, &types.MsgUpdateConsumer{Authority: f.Authority, Config: cfg})
	require.NoError(t, err)
	require.Equal(t, types.ScaledRatio(cfg.MaxSlashFractionDoubleSign).String(), c.Pool(1).BudgetPerShare.String())
	require.NoError(t, c.Unstake(u, 1, 500))
	require.Equal(t, "50", f.Collateral(u).Budgets.String())
	f.NextBlock()
}

// TestChainIDChange: after an upgrade of the client the consumer has another chain id; the old one stays on record.
func TestChainIDChange(t *testing.T) {
	f, _, _, c := setup(t)
	cfg := testutil.Config(client)
	cfg.ChainId = "consumer-renamed-5"
	f.IBC.Clients[client].State.ChainId = cfg.ChainId
	_, err := f.Msgs.UpdateConsumer(f.Ctx, &types.MsgUpdateConsumer{Authority: f.Authority, Config: cfg})
	require.NoError(t, err)
	chains := c.Status().Chains
	require.Len(t, chains, 2)
	require.EqualValues(t, 4, chains[0].Revision)
	require.EqualValues(t, 5, chains[1].Revision)
	// Nobody else can take either.
	other := testutil.Config("07-tendermint-8")
	other.ChainId = chains[0].ChainId
	f.IBC.AddClient(other.ClientId, other.ChainId, other.UnbondingPeriod)
	_, err = f.Msgs.AddConsumer(f.Ctx, &types.MsgAddConsumer{Authority: f.Authority, Config: other})
	require.ErrorIs(t, err, types.ErrChainIDTaken)
}

// TestHeights: once per batch epoch, kept 2U.
func TestHeights(t *testing.T) {
	f, _, _, c := setup(t)
	heights := func() []types.ClientHeight {
		res, err := f.Queries.Heights(f.Ctx, &types.QueryHeightsRequest{ConsumerId: client})
		require.NoError(t, err)
		return res.Heights
	}
	n := len(heights())
	f.NextBlockAfter(c.Pairing().BatchEpochEnd.Sub(f.Ctx.BlockTime()))
	f.NextBlock()
	require.Len(t, heights(), n+1)
	begin := f.Ctx.BlockTime()
	f.Skip(90 * day)
	oldest := heights()[0].Time
	require.True(t, oldest.After(begin.Add(50*day)), "%s", oldest)
}
