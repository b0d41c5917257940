package keeper_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	clientv2types "github.com/cosmos/ibc-go/v11/modules/core/02-client/v2/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	channeltypesv2 "github.com/cosmos/ibc-go/v11/modules/core/04-channel/v2/types"
	"github.com/cosmos/ibc-go/v11/modules/core/api"

	"github.com/mesh-security/mesh/x/consumer"
	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// counterparty is the provider's client of this chain.
const counterparty = "07-tendermint-44"

// fakeV2 stands for IBC v2's keepers.
type fakeV2 struct {
	f              *fixture
	module         *consumer.IBCModuleV2
	counterparties map[string]clientv2types.CounterpartyInfo
	sent           []*channeltypesv2.MsgSendPacket
}

func newV2(f *fixture) *fakeV2 {
	v := &fakeV2{f: f, module: consumer.NewIBCModuleV2(f.k), counterparties: map[string]clientv2types.CounterpartyInfo{}}
	f.k.ConnectIBCV2(v, v)
	return v
}

// register registers the counterparty of the first provider's client as relayers of Cosmos chains do.
func (v *fakeV2) register(peer string) {
	v.counterparties[provider1] = clientv2types.NewCounterpartyInfo([][]byte{[]byte("ibc"), {}}, peer)
}

func (v *fakeV2) GetClientCounterparty(_ sdk.Context, id string) (clientv2types.CounterpartyInfo, bool) {
	info, found := v.counterparties[id]
	return info, found
}

// SendPacket asks the module of the port, as IBC v2 does.
func (v *fakeV2) SendPacket(goCtx context.Context, msg *channeltypesv2.MsgSendPacket) (*channeltypesv2.MsgSendPacketResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	signer := sdk.MustAccAddressFromBech32(msg.Signer)
	peer := v.counterparties[msg.SourceClient].ClientId
	if err := v.module.OnSendPacket(sdk.UnwrapSDKContext(goCtx), msg.SourceClient, peer, uint64(len(v.sent)+1), msg.Payloads[0], signer); err != nil {
		return nil, err
	}
	v.sent = append(v.sent, msg)
	return &channeltypesv2.MsgSendPacketResponse{Sequence: uint64(len(v.sent))}, nil
}

// take returns the packets sent since the last call.
func (v *fakeV2) take() []*channeltypesv2.MsgSendPacket {
	sent := v.sent
	v.sent = nil
	return sent
}

// receive delivers a payload; as in IBC, only success keeps what was written.
func (v *fakeV2) receive(id, source string, payload channeltypesv2.Payload) channeltypesv2.RecvPacketResult {
	cacheCtx, write := v.f.ctx.CacheContext()
	res := v.module.OnRecvPacket(cacheCtx, source, id, 1, payload, nil)
	if res.Status == channeltypesv2.PacketStatus_Success {
		write()
	}
	return res
}

// update sends the provider's next update.
func (v *fakeV2) update(amounts map[int]int64) meshtypes.StakeUpdateAck {
	v.f.t.Helper()
	bz, err := ptr(v.f.packet(provider1, amounts)).Marshal()
	require.NoError(v.f.t, err)
	res := v.receive(provider1, counterparty, meshtypes.NewPayload(meshtypes.SideProvider, bz))
	require.Equal(v.f.t, channeltypesv2.PacketStatus_Success, res.Status)
	ack, err := meshtypes.UnmarshalStakeUpdateAck(res.Acknowledgement)
	require.NoError(v.f.t, err)
	return ack
}

func (v *fakeV2) acknowledge(msg *channeltypesv2.MsgSendPacket, ack []byte) {
	v.f.t.Helper()
	require.NoError(v.f.t, v.module.OnAcknowledgementPacket(v.f.ctx, msg.SourceClient, counterparty, 1, ack, msg.Payloads[0], nil))
}

func (v *fakeV2) timeout(msg *channeltypesv2.MsgSendPacket) {
	v.f.t.Helper()
	require.NoError(v.f.t, v.module.OnTimeoutPacket(v.f.ctx, msg.SourceClient, counterparty, 1, msg.Payloads[0], nil))
}

func (v *fakeV2) report(msg *channeltypesv2.MsgSendPacket) meshtypes.ConsumerReport {
	v.f.t.Helper()
	r, err := meshtypes.UnmarshalReport(msg.Payloads[0].Value)
	require.NoError(v.f.t, err)
	return r
}

// accepted is the provider's answer to a report.
func (v *fakeV2) accepted(msg *channeltypesv2.MsgSendPacket) []byte {
	v.f.t.Helper()
	r := v.report(msg)
	ack := meshtypes.ReportAck{Echo: r.Session, Current: v.f.session(msg.SourceClient), Seq: r.Seq}
	bz, err := ack.Marshal()
	require.NoError(v.f.t, err)
	return bz
}

// add registers the first provider over IBC v2, posts a price of 1, and lets both sides learn the session.
func (v *fakeV2) add() {
	v.f.t.Helper()
	c := config(provider1, "provider-of-"+provider1)
	c.CounterpartyClient = counterparty
	v.f.clients[provider1] = c.ChainId
	v.register(counterparty)
	_, err := v.f.msg.AddProvider(v.f.ctx, &types.MsgAddProvider{Authority: authority, Config: c})
	require.NoError(v.f.t, err)
	v.f.setPrice(provider1, "1")
	v.f.seqs[provider1] = 0
	require.False(v.f.t, v.update(nil).Refused)
}

func TestReportsOverIBCV2(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	v := newV2(f)
	v.add()
	p := f.provider(provider1)
	require.Equal(t, types.PROVIDER_STATUS_ACTIVE, p.Status)
	require.Empty(t, p.ChannelId)
	require.True(t, p.IsOpen())
	require.Equal(t, []meshtypes.StakeCode{meshtypes.STAKE_CODE_STORED}, v.update(map[int]int64{0: 10}).Codes)
	f.epoch()
	f.requireVirtual(provider1, 0, 10)
	require.Empty(t, f.reports(), "nothing over IBC v1")
	sent := v.take()
	require.Len(t, sent, 1)
	first := v.report(sent[0])
	require.Len(t, first.Validators, 2)
	require.Equal(t, provider1, sent[0].SourceClient)
	require.Equal(t, meshtypes.SideConsumer.Address().String(), sent[0].Signer)
	require.NoError(t, meshtypes.CheckPayload(meshtypes.SideConsumer, sent[0].Payloads[0]))

	// An error, a timeout and nonsense: sent again each time, then no more.
	for _, fail := range []func(*channeltypesv2.MsgSendPacket){
		func(msg *channeltypesv2.MsgSendPacket) { v.acknowledge(msg, channeltypesv2.ErrorAcknowledgement[:]) },
		v.timeout,
		func(msg *channeltypesv2.MsgSendPacket) { v.acknowledge(msg, []byte("nonsense")) },
	} {
		fail(sent[0])
		require.True(t, f.has("EventReportFailed"))
		sent = nil
		for i := 0; i < 10 && len(sent) == 0; i++ {
			f.epoch()
			sent = v.take()
		}
		require.Len(t, sent, 1)
		require.Equal(t, first.Validators, v.report(sent[0]).Validators)
	}
	v.acknowledge(sent[0], v.accepted(sent[0]))
	require.True(t, f.has("EventReportAcknowledged"))
	require.Zero(t, f.provider(provider1).Retries)
	f.epoch()
	f.epoch()
	require.Empty(t, v.take(), "nothing is left to tell")
	f.check()
}

func TestIBCV2RefusesWhatIsNotThePairings(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	v := newV2(f)
	v.add()
	f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.01") }) // over a channel
	f.epoch()
	bz, err := ptr(f.packet(provider1, map[int]int64{0: 10})).Marshal()
	require.NoError(t, err)
	good := meshtypes.NewPayload(meshtypes.SideProvider, bz)
	before := f.export()
	for name, tc := range map[string]struct {
		source, destination string
		change              func(*channeltypesv2.Payload)
	}{
		"another counterparty":          {"07-tendermint-45", provider1, func(*channeltypesv2.Payload) {}},
		"no counterparty":               {"", provider1, func(*channeltypesv2.Payload) {}},
		"client of nobody":              {counterparty, "07-tendermint-9", func(*channeltypesv2.Payload) {}},
		"a provider that has a channel": {counterparty, provider2, func(*channeltypesv2.Payload) {}},
		"its channel for a client":      {counterparty, "channel-of-" + provider2, func(*channeltypesv2.Payload) {}},
		"from another port":             {counterparty, provider1, func(p *channeltypesv2.Payload) { p.SourcePort = "transfer" }},
		"from a consumer":               {counterparty, provider1, func(p *channeltypesv2.Payload) { p.SourcePort = meshtypes.PortConsumer }},
		"version":                       {counterparty, provider1, func(p *channeltypesv2.Payload) { p.Version = "mesh-2" }},
		"encoding":                      {counterparty, provider1, func(p *channeltypesv2.Payload) { p.Encoding = "application/json" }},
		"empty":                         {counterparty, provider1, func(p *channeltypesv2.Payload) { p.Value = nil }},
		"garbage":                       {counterparty, provider1, func(p *channeltypesv2.Payload) { p.Value = []byte{0xff, 0xff} }},
		"huge":                          {counterparty, provider1, func(p *channeltypesv2.Payload) { p.Value = make([]byte, 1<<20) }},
	} {
		t.Run(name, func(t *testing.T) {
			payload := good
			tc.change(&payload)
			require.Equal(t, meshtypes.FailureV2(), v.receive(tc.destination, tc.source, payload))
			require.Equal(t, before, f.export())
		})
	}
	// Nor does it take a channel.
	_, err = f.ibc.OnChanOpenInit(f.ctx, channeltypes.UNORDERED, []string{provider1}, meshtypes.PortConsumer, "channel-9",
		channeltypes.Counterparty{PortId: meshtypes.PortProvider}, "")
	require.ErrorIs(t, err, meshtypes.ErrTransport)
	require.Equal(t, channeltypesv2.PacketStatus_Success, v.receive(provider1, counterparty, good).Status, "as it is it is taken")
}

func TestOnlyTheModuleSendsOverIBCV2(t *testing.T) {
	f := newFixture(t, 1000)
	v := newV2(f)
	v.add()
	f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.01") }) // over a channel
	own := meshtypes.SideConsumer.Address()
	for _, tc := range []struct {
		name           string
		source, target string
		signer         sdk.AccAddress
		malleate       func(*channeltypesv2.Payload)
		expErr         error
	}{
		{"the module", provider1, counterparty, own, nil, nil},
		{"a user", provider1, counterparty, sdk.AccAddress("a user of the chain_"), nil, meshtypes.ErrSigner},
		{"nobody", provider1, counterparty, nil, nil, meshtypes.ErrSigner},
		{"governance", provider1, counterparty, sdk.MustAccAddressFromBech32(authority), nil, meshtypes.ErrSigner},
		{"the other module", provider1, counterparty, meshtypes.SideProvider.Address(), nil, meshtypes.ErrSigner},
		{"to nobody", "07-tendermint-9", counterparty, own, nil, meshtypes.ErrTransport},
		{"to a provider that has a channel", provider2, counterparty, own, nil, meshtypes.ErrTransport},
		{"another counterparty", provider1, "07-tendermint-45", own, nil, meshtypes.ErrTransport},
		{"another port", provider1, counterparty, own, func(p *channeltypesv2.Payload) { p.DestinationPort = "transfer" }, meshtypes.ErrChannelPort},
		{"another version", provider1, counterparty, own, func(p *channeltypesv2.Payload) { p.Version = "x" }, meshtypes.ErrChannelVersion},
		{"another encoding", provider1, counterparty, own, func(p *channeltypesv2.Payload) { p.Encoding = "x" }, meshtypes.ErrPayloadEncoding},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := meshtypes.NewPayload(meshtypes.SideConsumer, []byte{1})
			if tc.malleate != nil {
				tc.malleate(&p)
			}
			require.ErrorIs(t, v.module.OnSendPacket(f.ctx, tc.source, tc.target, 1, p, tc.signer), tc.expErr)
		})
	}
}

func TestChoosingIBCV2(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	c := config(provider1, "provider-of-"+provider1)
	update := func(peer string) error {
		c.CounterpartyClient = peer
		cacheCtx, write := f.ctx.CacheContext()
		_, err := f.msg.UpdateProvider(cacheCtx, &types.MsgUpdateProvider{Authority: authority, Config: c})
		if err == nil {
			write()
		}
		return err
	}
	f.update(provider1, map[int]int64{0: 10})
	f.epoch()
	lost := f.reports()[0]
	before := f.export()
	require.ErrorIs(t, update("no/client"), types.ErrInvalidCounterparty)
	require.ErrorIs(t, update(counterparty), meshtypes.ErrChannelExists)
	_, err := f.msg.RetireChannel(f.ctx, &types.MsgRetireChannel{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	require.NotEqual(t, before, f.export())

	before = f.export()
	require.ErrorIs(t, update(counterparty), meshtypes.ErrCounterparty, "without IBC v2")
	v := newV2(f)
	require.ErrorIs(t, update(counterparty), meshtypes.ErrCounterparty, "none")
	v.register("07-tendermint-45")
	require.ErrorIs(t, update(counterparty), meshtypes.ErrCounterparty, "another")
	v.counterparties[provider1] = clientv2types.NewCounterpartyInfo([][]byte{[]byte("wasm"), []byte("\x03")}, counterparty)
	require.ErrorIs(t, update(counterparty), meshtypes.ErrMerklePrefix)
	require.Equal(t, before, f.export())

	v.register(counterparty)
	session := f.provider(provider1).Session
	require.NoError(t, update(counterparty))
	require.Equal(t, types.PROVIDER_STATUS_ACTIVE, f.provider(provider1).Status)
	f.epoch()
	sent := v.take()
	require.Len(t, sent, 1)
	require.Equal(t, lost.Validators, v.report(sent[0]).Validators, "in flight over the channel counts as not sent")
	require.Greater(t, v.report(sent[0]).Seq, lost.Seq, "the session's state is taken over")
	require.Equal(t, session, f.provider(provider1).Session)
	require.False(t, v.update(map[int]int64{0: 20}).Refused)

	// Paused and resumed it is active again, without a channel.
	_, err = f.msg.PauseProvider(f.ctx, &types.MsgPauseProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	_, err = f.msg.ResumeProvider(f.ctx, &types.MsgResumeProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	require.Equal(t, types.PROVIDER_STATUS_ACTIVE, f.provider(provider1).Status)

	// Away from it: what is in flight counts as not sent, and what comes back says nothing.
	retire := func() error {
		_, err := f.msg.RetireChannel(f.ctx, &types.MsgRetireChannel{Authority: authority, ProviderId: provider1})
		return err
	}
	require.NoError(t, update(""))
	require.Zero(t, f.provider(provider1).ReportInFlight)
	left := f.export()
	require.ErrorIs(t, retire(), types.ErrNoChannel)
	// Retiring does the same.
	require.NoError(t, update(counterparty))
	require.NotEqual(t, left, f.export())
	require.NoError(t, retire())
	require.Equal(t, left, f.export())
	before = f.export()
	v.acknowledge(sent[0], v.accepted(sent[0]))
	v.timeout(sent[0])
	require.Equal(t, before, f.export())
	f.epoch()
	require.Empty(t, v.take())
	require.Empty(t, f.reports())
	f.openChannel(provider1, "channel-new")
	f.epoch()
	require.NotEmpty(t, f.reports())
	f.check()
}

// TestRemovedProviderOverIBCV2: it is still answered, and may come back over a channel or over IBC v2, not over both.
func TestRemovedProviderOverIBCV2(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	v := newV2(f)
	v.add()
	v.update(map[int]int64{0: 10})
	f.epoch()
	_, err := f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
	require.Equal(t, []meshtypes.StakeCode{meshtypes.STAKE_CODE_NOT_REGISTERED}, v.update(map[int]int64{0: 10}).Codes)

	// Until that is given up; it can be although the provider is removed.
	_, err = f.msg.RetireChannel(f.ctx, &types.MsgRetireChannel{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	bz, err := ptr(f.packet(provider1, nil)).Marshal()
	require.NoError(t, err)
	require.Equal(t, meshtypes.FailureV2(), v.receive(provider1, counterparty, meshtypes.NewPayload(meshtypes.SideProvider, bz)))

	// Back over a channel.
	c := config(provider1, "provider-of-"+provider1)
	_, err = f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: c})
	require.NoError(t, err)
	require.Equal(t, types.PROVIDER_STATUS_REGISTERED, f.provider(provider1).Status)
	f.openChannel(provider1, "channel-new")
	_, err = f.msg.RemoveProvider(f.ctx, &types.MsgRemoveProvider{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)

	// And back over IBC v2, once the channel is given up.
	c.CounterpartyClient = counterparty
	_, err = f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: c})
	require.ErrorIs(t, err, meshtypes.ErrChannelExists)
	_, err = f.msg.RetireChannel(f.ctx, &types.MsgRetireChannel{Authority: authority, ProviderId: provider1})
	require.NoError(t, err)
	_, err = f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: c})
	require.NoError(t, err)
	require.Equal(t, types.PROVIDER_STATUS_ACTIVE, f.provider(provider1).Status)
	f.check()
}

func TestGenesisHasOneWayForPackets(t *testing.T) {
	f := newFixture(t, 1000)
	f.addProvider(provider1, nil)
	gs, err := f.k.ExportGenesis(f.ctx)
	require.NoError(t, err)
	require.NoError(t, gs.Validate())
	require.NotEmpty(t, gs.Providers[0].ChannelId)
	gs.Providers[0].Config.CounterpartyClient = counterparty
	require.ErrorIs(t, gs.Validate(), types.ErrInvalidGenesis)
	gs.Providers[0].ChannelId = ""
	require.NoError(t, gs.Validate())
}

// escrowingV2 stands for the transfer module over IBC v2: it refunds what failed.
type escrowingV2 struct {
	api.IBCModule
	base *escrowing
	fail error
}

func (e *escrowingV2) end(ctx sdk.Context, sequence uint64, failed bool) error {
	if e.fail != nil {
		return e.fail
	}
	if !failed {
		return nil
	}
	return e.base.refund(ctx, channeltypes.Packet{Sequence: sequence})
}

func (e *escrowingV2) OnAcknowledgementPacket(
	ctx sdk.Context, _, _ string, sequence uint64, ack []byte, _ channeltypesv2.Payload, _ sdk.AccAddress,
) error {
	return e.end(ctx, sequence, meshtypes.IsErrorAckV2(ack))
}

func (e *escrowingV2) OnTimeoutPacket(ctx sdk.Context, _, _ string, sequence uint64, _ channeltypesv2.Payload, _ sdk.AccAddress) error {
	return e.end(ctx, sequence, true)
}

// TestRewardsOverTransferV2: the timeout of a transfer over a client is in seconds, and its end counts as over a channel:
// once, and only after the transfer module's own work.
func TestRewardsOverTransferV2(t *testing.T) {
	r := newRewarded(t, 1, 1, nil)
	v := newV2(r.fixture)
	c := config(provider1, "provider-of-"+provider1)
	c.RewardChannel, c.RewardReceiver = provider1, rewardReceiver
	update := func() error {
		_, err := r.msg.UpdateProvider(r.ctx, &types.MsgUpdateProvider{Authority: authority, Config: c})
		return err
	}
	// Not over a client that is proved from keys of a contract.
	require.ErrorIs(t, update(), meshtypes.ErrCounterparty)
	v.counterparties[provider1] = clientv2types.NewCounterpartyInfo([][]byte{[]byte("wasm"), []byte("\x03")}, counterparty)
	require.ErrorIs(t, update(), meshtypes.ErrMerklePrefix)
	v.register(counterparty)
	require.NoError(t, update())
	base := &escrowingV2{base: r.transfers}
	middleware := consumer.NewTransferMiddlewareV2(base, r.k)
	r.allocate(0, coin(bondDenom, 1_000_000))
	r.epoch()
	require.Len(t, r.transfers.sent, 1)
	sum := r.balance(escrow, bondDenom)
	require.True(t, sum.IsPositive())
	at := r.transfers.sent[0].TimeoutTimestamp
	require.Equal(t, uint64(r.ctx.BlockTime().Add(types.MaxPacketTimeout).Unix()), at)
	payload := channeltypesv2.NewPayload(transfertypes.PortID, transfertypes.PortID, transfertypes.V1, transfertypes.EncodingJSON, []byte("{}"))
	r.requireBook(provider1, bondDenom, zero(), sum, zero(), zero())

	base.fail = errors.New("cannot refund")
	require.ErrorIs(t, middleware.OnTimeoutPacket(r.ctx, provider1, counterparty, 1, payload, nil), base.fail)
	require.ErrorIs(t, middleware.OnAcknowledgementPacket(r.ctx, provider1, counterparty, 1, []byte{1}, payload, nil), base.fail)
	r.requireBook(provider1, bondDenom, zero(), sum, zero(), zero())
	base.fail = nil

	// Of another client, or another sequence: not ours.
	require.NoError(t, middleware.OnAcknowledgementPacket(r.ctx, provider2, counterparty, 1, []byte{1}, payload, nil))
	require.NoError(t, middleware.OnAcknowledgementPacket(r.ctx, provider1, counterparty, 2, []byte{1}, payload, nil))
	r.requireBook(provider1, bondDenom, zero(), sum, zero(), zero())

	require.NoError(t, middleware.OnTimeoutPacket(r.ctx, provider1, counterparty, 1, payload, nil))
	r.requireBook(provider1, bondDenom, sum, zero(), zero(), zero())
	r.requireSwept(provider1, bondDenom, sum)
	r.check()

	r.epoch()
	r.epoch()
	require.Len(t, r.transfers.sent, 2)
	require.NoError(t, middleware.OnAcknowledgementPacket(r.ctx, provider1, counterparty, 2, channeltypesv2.ErrorAcknowledgement[:], payload, nil))
	r.requireBook(provider1, bondDenom, sum, zero(), zero(), zero())
	r.epoch()
	r.epoch()
	r.epoch()
	require.Len(t, r.transfers.sent, 3)
	require.NoError(t, middleware.OnAcknowledgementPacket(r.ctx, provider1, counterparty, 3, []byte{1}, payload, nil))
	r.requireBook(provider1, bondDenom, zero(), zero(), sum, zero())
	r.check()
}
