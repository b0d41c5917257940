package keeper_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"

	sdk "github.com/cosmos/cosmos-sdk/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	clientv2types "github.com/cosmos/ibc-go/v11/modules/core/02-client/v2/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	channeltypesv2 "github.com/cosmos/ibc-go/v11/modules/core/04-channel/v2/types"
	"github.com/cosmos/ibc-go/v11/modules/core/api"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// counterparty is the consumer's client of this chain.
const counterparty = "07-tendermint-44"

// v2Consumer is the far end of a pairing over IBC v2.
type v2Consumer struct {
	*testing.T
	f       *testutil.Fixture
	id      string
	session meshtypes.Session
	seq     uint64
}

// addV2 registers a consumer over IBC v2.
func addV2(t *testing.T, f *testutil.Fixture) *v2Consumer {
	t.Helper()
	cfg := testutil.Config(client)
	cfg.CounterpartyClient = counterparty
	f.IBC.AddClient(client, cfg.ChainId, cfg.UnbondingPeriod)
	f.IBC.AddCounterparty(client, counterparty)
	_, err := f.Msgs.AddConsumer(f.Ctx, &types.MsgAddConsumer{Authority: f.Authority, Config: cfg})
	require.NoError(t, err)
	return &v2Consumer{T: t, f: f, id: client, session: meshtypes.Session{Consumer: uint64(f.Ctx.BlockTime().UnixNano()) + 7}}
}

func (c *v2Consumer) record() (types.Consumer, types.Pairing) {
	consumer, err := c.f.Provider.Consumers.Get(c.f.Ctx, c.id)
	require.NoError(c, err)
	pairing, err := c.f.Provider.Pairings.Get(c.f.Ctx, c.id)
	require.NoError(c, err)
	return consumer, pairing
}

// receive hands a payload to the module, and keeps what it wrote only if it succeeded, as IBC does.
func (c *v2Consumer) receive(source string, payload channeltypesv2.Payload) (res channeltypesv2.RecvPacketResult) {
	_ = c.f.Try(func(ctx sdk.Context) error {
		res = c.f.ModuleV2.OnRecvPacket(ctx, source, c.id, 1, payload, nil)
		if res.Status != channeltypesv2.PacketStatus_Success {
			return channeltypes.ErrInvalidPacket
		}
		return nil
	})
	return res
}

// report sends a report of validators.
func (c *v2Consumer) report(validators ...int) meshtypes.ReportAck {
	c.Helper()
	c.seq++
	r := meshtypes.ConsumerReport{Session: c.session, Seq: c.seq, FirstIndex: 1, FreshnessLimit: uint64(240 * time.Hour)}
	for _, n := range validators {
		r.Validators = append(r.Validators, testutil.ValidatorReport(n))
	}
	bz, err := r.Marshal()
	require.NoError(c, err)
	res := c.receive(counterparty, meshtypes.NewPayload(meshtypes.SideConsumer, bz))
	require.Equal(c, channeltypesv2.PacketStatus_Success, res.Status)
	ack, err := meshtypes.UnmarshalReportAck(res.Acknowledgement)
	require.NoError(c, err)
	if next, learned := c.session.Learn(meshtypes.SideConsumer, ack.Current); learned {
		c.session, c.seq = next, 0
	}
	return ack
}

// bond reports validators until the sessions are known.
func (c *v2Consumer) bond(validators ...int) {
	c.Helper()
	if c.report(validators...).Refused {
		require.False(c, c.report(validators...).Refused)
	}
}

func (c *v2Consumer) stored(msg *channeltypesv2.MsgSendPacket) []byte {
	c.Helper()
	u, err := meshtypes.UnmarshalStakeUpdate(msg.Payloads[0].Value)
	require.NoError(c, err)
	ack := meshtypes.StakeUpdateAck{Echo: u.Session, Current: u.Session, Seq: u.Seq, Height: meshtypes.NewHeight(4, 9)}
	for range u.Stakes {
		ack.Codes = append(ack.Codes, meshtypes.STAKE_CODE_STORED)
	}
	bz, err := ack.Marshal()
	require.NoError(c, err)
	return bz
}

func (c *v2Consumer) acknowledge(msg *channeltypesv2.MsgSendPacket, ack []byte) error {
	return c.f.ModuleV2.OnAcknowledgementPacket(c.f.Ctx, c.id, counterparty, 1, ack, msg.Payloads[0], nil)
}

// listings are the packets taken that list validators.
func (c *v2Consumer) listings() (out []*channeltypesv2.MsgSendPacket) {
	c.Helper()
	for _, msg := range c.f.IBC.TakeV2() {
		u, err := meshtypes.UnmarshalStakeUpdate(msg.Payloads[0].Value)
		require.NoError(c, err)
		if len(u.Stakes) > 0 {
			out = append(out, msg)
		}
	}
	return out
}

func (c *v2Consumer) stake(addr sdk.AccAddress, amount int64) {
	c.Helper()
	_, err := c.f.Msgs.CrossStake(c.f.Ctx, &types.MsgCrossStake{
		Delegator: addr.String(), ConsumerId: c.id, Validator: testutil.OperatorString(1), Amount: sdk.NewInt64Coin(testutil.Denom, amount),
	})
	require.NoError(c, err)
}

func setupV2(t *testing.T) (*testutil.Fixture, sdk.AccAddress, *v2Consumer) {
	t.Helper()
	f := testutil.New(t)
	val := f.Validator(1_000_000, 1)
	u := f.Delegator(val, 1_000)
	f.NextBlock()
	c := addV2(t, f)
	c.bond(1, 2)
	return f, u, c
}

func TestUpdatesOverIBCV2(t *testing.T) {
	f, u, c := setupV2(t)
	consumer, p := c.record()
	require.Equal(t, types.CONSUMER_STATUS_ACTIVE, consumer.Status)
	require.Empty(t, p.ChannelId)
	c.stake(u, 100)
	f.Epoch()
	sent := c.listings()
	require.Len(t, sent, 1)
	require.Empty(t, f.IBC.Take(), "nothing over IBC v1")
	msg := sent[0]
	require.Equal(t, client, msg.SourceClient)
	require.Equal(t, meshtypes.SideProvider.Address().String(), msg.Signer)
	require.NoError(t, meshtypes.CheckPayload(meshtypes.SideProvider, msg.Payloads[0]))

	// Error, timeout, and at last an answer.
	require.NoError(t, c.acknowledge(msg, channeltypesv2.ErrorAcknowledgement[:]))
	f.Epoch()
	f.Epoch()
	sent = c.listings()
	require.Len(t, sent, 1)
	require.NoError(t, f.ModuleV2.OnTimeoutPacket(f.Ctx, client, counterparty, 2, sent[0].Payloads[0], nil))
	f.Epoch()
	f.Epoch()
	f.Epoch()
	sent = c.listings()
	require.Len(t, sent, 1)
	require.NoError(t, c.acknowledge(sent[0], []byte("nonsense")), "what is malformed counts as an error")
	for range 5 {
		f.Epoch()
	}
	sent = c.listings()
	require.Len(t, sent, 1)
	require.NoError(t, c.acknowledge(sent[0], c.stored(sent[0])))
	has, err := f.Provider.Outbox.Has(f.Ctx, collections.Join(client, testutil.Operator(1)))
	require.NoError(t, err)
	require.False(t, has, "nothing is left to tell")
}

func TestIBCV2RefusesWhatIsNotThePairings(t *testing.T) {
	f, u, c := setupV2(t)
	c.stake(u, 100)
	other := f.Consumer("07-tendermint-1", nil) // over a channel
	report := meshtypes.ConsumerReport{Session: c.session, Seq: 900, FirstIndex: 1}
	bz, err := report.Marshal()
	require.NoError(t, err)
	good := meshtypes.NewPayload(meshtypes.SideConsumer, bz)
	before := export(t, f)
	for name, tc := range map[string]struct {
		source, destination string
		change              func(*channeltypesv2.Payload)
	}{
		"another counterparty":          {"07-tendermint-45", client, func(*channeltypesv2.Payload) {}},
		"no counterparty":               {"", client, func(*channeltypesv2.Payload) {}},
		"client of nobody":              {counterparty, "07-tendermint-9", func(*channeltypesv2.Payload) {}},
		"a consumer that has a channel": {counterparty, "07-tendermint-1", func(*channeltypesv2.Payload) {}},
		"a channel for a client":        {counterparty, other.Channel, func(*channeltypesv2.Payload) {}},
		"from another port":             {counterparty, client, func(p *channeltypesv2.Payload) { p.SourcePort = "transfer" }},
		"from a provider":               {counterparty, client, func(p *channeltypesv2.Payload) { p.SourcePort = types.PortID }},
		"version":                       {counterparty, client, func(p *channeltypesv2.Payload) { p.Version = "mesh-2" }},
		"encoding":                      {counterparty, client, func(p *channeltypesv2.Payload) { p.Encoding = "application/json" }},
		"empty":                         {counterparty, client, func(p *channeltypesv2.Payload) { p.Value = nil }},
		"garbage":                       {counterparty, client, func(p *channeltypesv2.Payload) { p.Value = []byte{0xff, 0xff} }},
		"huge":                          {counterparty, client, func(p *channeltypesv2.Payload) { p.Value = make([]byte, 1<<20) }},
	} {
		t.Run(name, func(t *testing.T) {
			payload := good
			tc.change(&payload)
			to := *c
			to.id = tc.destination
			require.Equal(t, channeltypesv2.RecvPacketResult{Status: channeltypesv2.PacketStatus_Failure}, to.receive(tc.source, payload))
			require.Equal(t, before, export(t, f))
		})
	}
	// The consumer over IBC v2 takes neither a channel nor packets over one.
	_, err = f.Module.OnChanOpenTry(f.Ctx, channeltypes.UNORDERED, []string{"connection-" + client}, types.PortID, "channel-90",
		channeltypes.Counterparty{PortId: meshtypes.PortConsumer, ChannelId: "channel-7"}, meshtypes.Version)
	require.ErrorIs(t, err, meshtypes.ErrTransport)
	require.Equal(t, before, export(t, f))
}

func TestOnlyTheModuleSendsOverIBCV2(t *testing.T) {
	f, _, _ := setupV2(t)
	f.Consumer("07-tendermint-1", nil) // over a channel
	payload := meshtypes.NewPayload(meshtypes.SideProvider, []byte{1})
	for _, tc := range []struct {
		name           string
		source, target string
		signer         sdk.AccAddress
		malleate       func(*channeltypesv2.Payload)
		expErr         error
	}{
		{"the module", client, counterparty, meshtypes.SideProvider.Address(), nil, nil},
		{"a user", client, counterparty, f.Address(), nil, meshtypes.ErrSigner},
		{"nobody", client, counterparty, nil, nil, meshtypes.ErrSigner},
		{"governance", client, counterparty, sdk.MustAccAddressFromBech32(f.Authority), nil, meshtypes.ErrSigner},
		{"the other module", client, counterparty, meshtypes.SideConsumer.Address(), nil, meshtypes.ErrSigner},
		{"to nobody", "07-tendermint-9", counterparty, meshtypes.SideProvider.Address(), nil, meshtypes.ErrTransport},
		{"to a consumer that has a channel", "07-tendermint-1", counterparty, meshtypes.SideProvider.Address(), nil, meshtypes.ErrTransport},
		{"another counterparty", client, "07-tendermint-45", meshtypes.SideProvider.Address(), nil, meshtypes.ErrTransport},
		{"another port", client, counterparty, meshtypes.SideProvider.Address(), func(p *channeltypesv2.Payload) { p.DestinationPort = "transfer" }, meshtypes.ErrChannelPort},
		{"another version", client, counterparty, meshtypes.SideProvider.Address(), func(p *channeltypesv2.Payload) { p.Version = "x" }, meshtypes.ErrChannelVersion},
		{"another encoding", client, counterparty, meshtypes.SideProvider.Address(), func(p *channeltypesv2.Payload) { p.Encoding = "x" }, meshtypes.ErrPayloadEncoding},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := payload
			if tc.malleate != nil {
				tc.malleate(&p)
			}
			require.ErrorIs(t, f.ModuleV2.OnSendPacket(f.Ctx, tc.source, tc.target, 1, p, tc.signer), tc.expErr)
		})
	}
}

func TestChoosingIBCV2(t *testing.T) {
	f, _, u, c := setup(t)
	cfg := testutil.Config(client)
	update := func(counterparty string) error {
		cfg.CounterpartyClient = counterparty
		return f.Try(func(ctx sdk.Context) error {
			_, err := f.Msgs.UpdateConsumer(ctx, &types.MsgUpdateConsumer{Authority: f.Authority, Config: cfg})
			return err
		})
	}
	v2 := &v2Consumer{T: t, f: f, id: client, session: c.Session, seq: c.Seq}
	require.NoError(t, c.Stake(u, 1, 100))
	f.Epoch()
	inFlight := f.IBC.Take()
	require.NotEmpty(t, inFlight)
	before := export(t, f)
	require.ErrorIs(t, update("no/client"), types.ErrInvalidConfig)
	require.ErrorIs(t, update(counterparty), meshtypes.ErrChannelExists)
	require.Equal(t, before, export(t, f))

	_, err := f.Msgs.RetireChannel(f.Ctx, &types.MsgRetireChannel{Authority: f.Authority, ConsumerId: client})
	require.NoError(t, err)
	before = export(t, f)
	require.ErrorIs(t, update(counterparty), meshtypes.ErrCounterparty)
	f.IBC.AddCounterparty(client, "07-tendermint-45")
	require.ErrorIs(t, update(counterparty), meshtypes.ErrCounterparty)
	f.IBC.Counterparties[client] = clientv2types.NewCounterpartyInfo([][]byte{[]byte("wasm"), []byte("\x03")}, counterparty)
	require.ErrorIs(t, update(counterparty), meshtypes.ErrMerklePrefix)
	require.Equal(t, before, export(t, f))

	f.IBC.AddCounterparty(client, counterparty)
	require.NoError(t, update(counterparty))
	consumer, p := v2.record()
	require.Equal(t, types.CONSUMER_STATUS_ACTIVE, consumer.Status)
	session := p.Session
	f.Epoch()
	sent := v2.listings()
	require.Len(t, sent, 1, "what was in flight over the channel is due again")

	// Paused and resumed it is active again, without a channel.
	_, err = f.Msgs.PauseConsumer(f.Ctx, &types.MsgPauseConsumer{Signer: f.Authority, ConsumerId: client})
	require.NoError(t, err)
	_, err = f.Msgs.ResumeConsumer(f.Ctx, &types.MsgResumeConsumer{Authority: f.Authority, ConsumerId: client})
	require.NoError(t, err)
	consumer, _ = v2.record()
	require.Equal(t, types.CONSUMER_STATUS_ACTIVE, consumer.Status)

	// Away from it: what is in flight is due again, and its answer does not count.
	retire := func() error {
		return f.Try(func(ctx sdk.Context) error {
			_, err := f.Msgs.RetireChannel(ctx, &types.MsgRetireChannel{Authority: f.Authority, ConsumerId: client})
			return err
		})
	}
	require.NoError(t, update(""))
	consumer, p = v2.record()
	require.Equal(t, types.CONSUMER_STATUS_REGISTERED, consumer.Status)
	require.Equal(t, session, p.Session)
	left := export(t, f)
	require.ErrorIs(t, retire(), types.ErrNoChannel)
	// Retiring does the same.
	require.NoError(t, update(counterparty))
	require.NotEqual(t, left, export(t, f))
	require.NoError(t, retire())
	require.Equal(t, left, export(t, f))
	after := export(t, f)
	require.NoError(t, v2.acknowledge(sent[0], v2.stored(sent[0])))
	require.NoError(t, f.ModuleV2.OnTimeoutPacket(f.Ctx, client, counterparty, 1, sent[0].Payloads[0], nil))
	require.Equal(t, after, export(t, f))
	f.Epoch()
	require.Empty(t, f.IBC.TakeV2())
	require.NoError(t, c.Open("channel-new"))
	f.Epoch()
	c.Relay()
	require.Equal(t, "100", c.Stored[string(testutil.Operator(1))].Amount.String())
}

func TestConsumerOverIBCV2IsRemoved(t *testing.T) {
	f, u, c := setupV2(t)
	c.stake(u, 100)
	f.Epoch()
	sent := c.listings()
	_, err := f.Msgs.RemoveConsumer(f.Ctx, &types.MsgRemoveConsumer{Authority: f.Authority, ConsumerId: client})
	require.NoError(t, err)
	f.NextBlock()
	f.Skip(60 * 24 * time.Hour)
	consumer, _ := c.record()
	require.Equal(t, types.CONSUMER_STATUS_REMOVED, consumer.Status)
	before := export(t, f)
	require.NoError(t, c.acknowledge(sent[0], c.stored(sent[0])))
	report := meshtypes.ConsumerReport{Session: c.session, Seq: 900, FirstIndex: 1}
	bz, err := report.Marshal()
	require.NoError(t, err)
	require.Equal(t, meshtypes.FailureV2(), c.receive(counterparty, meshtypes.NewPayload(meshtypes.SideConsumer, bz)))
	require.Equal(t, before, export(t, f))
	require.NoError(t, before.Validate())
}

func TestGenesisHasOneWayForPackets(t *testing.T) {
	f, _, _, c := setup(t)
	gs := export(t, f)
	require.NoError(t, gs.Validate())
	require.Equal(t, c.Channel, gs.Consumers[0].Pairing.ChannelId)
	gs.Consumers[0].Consumer.Config.CounterpartyClient = counterparty
	require.ErrorIs(t, gs.Validate(), types.ErrInvalidGenesis)
	gs.Consumers[0].Pairing.ChannelId = ""
	require.NoError(t, gs.Validate())
}

// TestRewardsOverAClientThatIsProvedElsewhere: transfers over a client whose creator registered keys of a contract would be
// that contract's inventions.
func TestRewardsOverAClientThatIsProvedElsewhere(t *testing.T) {
	f, _, _, _ := setup(t)
	cfg := testutil.Config(client)
	testutil.Rewards(&cfg)
	const other = "07-tendermint-9"
	register := func(clientID string) error {
		cfg.ClientId = clientID
		return f.Try(func(ctx sdk.Context) error {
			if clientID == client {
				_, err := f.Msgs.UpdateConsumer(ctx, &types.MsgUpdateConsumer{Authority: f.Authority, Config: cfg})
				return err
			}
			_, err := f.Msgs.AddConsumer(ctx, &types.MsgAddConsumer{Authority: f.Authority, Config: cfg})
			return err
		})
	}
	both := func(expErr error) {
		t.Helper()
		before := export(t, f)
		for _, clientID := range []string{client, other} {
			cfg.ChainId = testutil.Config(clientID).ChainId
			f.IBC.AddClient(clientID, cfg.ChainId, cfg.UnbondingPeriod)
			require.ErrorIs(t, register(clientID), expErr)
		}
		if expErr != nil {
			require.Equal(t, before, export(t, f))
		}
	}
	cfg.RewardChannel = "07-tendermint-12"
	both(meshtypes.ErrCounterparty)
	f.IBC.Counterparties[cfg.RewardChannel] = clientv2types.NewCounterpartyInfo([][]byte{[]byte("wasm"), []byte("\x03")}, counterparty)
	both(meshtypes.ErrMerklePrefix)
	f.IBC.AddCounterparty(cfg.RewardChannel, counterparty)
	both(nil)
}

// creditingV2 stands for ICS-20 over IBC v2: it credits as the fake of IBC v1 does, or returns result.
type creditingV2 struct {
	api.IBCModule
	f      *testutil.Fixture
	result *channeltypesv2.RecvPacketResult
}

func (c *creditingV2) OnRecvPacket(
	ctx sdk.Context, source, destination string, sequence uint64, payload channeltypesv2.Payload, relayer sdk.AccAddress,
) channeltypesv2.RecvPacketResult {
	if c.result != nil {
		return *c.result
	}
	packet := channeltypes.NewPacket(
		payload.Value, sequence, payload.SourcePort, source, payload.DestinationPort, destination, clienttypes.ZeroHeight(), 1,
	)
	ack := c.f.ICS20.OnRecvPacket(ctx, payload.Version, packet, relayer)
	if !ack.Success() {
		return meshtypes.FailureV2()
	}
	return meshtypes.SuccessV2(ack.Acknowledgement())
}

// TestRewardsOverTransferV2: transfers over the registered client are rewards, in denoms of the consumer and in our own that
// come home; over any other client they go to the community pool. ICS-20's own result is returned whatever happens.
func TestRewardsOverTransferV2(t *testing.T) {
	f := testutil.New(t)
	val := f.Validator(1_000_000, 1)
	u := f.Delegator(val, 1_000)
	f.NextBlock()
	home := "transfer/" + counterparty + "/" + testutil.Denom
	f.IBC.AddCounterparty(client, counterparty)
	c := f.Consumer(client, func(cfg *types.ConsumerConfig) {
		testutil.Rewards(cfg)
		cfg.RewardChannel, cfg.RewardDenoms = client, []string{testutil.RewardDenom, home}
	})
	c.Bond(3)
	require.NoError(t, c.Stake(u, 1, 100))
	memo, err := meshtypes.MarshalRewardMemo([]meshtypes.Reward{testutil.Reward(1, 100)})
	require.NoError(t, err)
	base := &creditingV2{f: f}
	middleware := provider.NewTransferMiddlewareV2(base, f.Provider)
	send := func(destination, denom string) channeltypesv2.RecvPacketResult {
		data := transfertypes.NewFungibleTokenPacketData(denom, "100", testutil.RewardSender, types.RewardAccount(client).String(), memo)
		payload := channeltypesv2.NewPayload(transfertypes.PortID, transfertypes.PortID, transfertypes.V1, transfertypes.EncodingJSON, data.GetBytes())
		return middleware.OnRecvPacket(f.Ctx, counterparty, destination, 1, payload, nil)
	}
	voucher := testutil.Voucher(testutil.RewardDenom, client)
	received := func(denom string) string { return c.Book(denom).Book.Received.String() }

	require.Equal(t, channeltypesv2.PacketStatus_Success, send(client, testutil.RewardDenom).Status)
	require.Equal(t, "100", received(voucher))
	require.Equal(t, channeltypesv2.PacketStatus_Success, send(client, home).Status)
	require.Equal(t, "100", received(testutil.Denom), "our own that came home")
	require.Equal(t, "100", c.Claimable(u).AmountOf(voucher).String())
	require.Equal(t, "100", c.Claimable(u).AmountOf(testutil.Denom).String())

	// Over another client, in a denom not registered: to the community pool, with ICS-20's own success.
	const other = "07-tendermint-9"
	require.Equal(t, channeltypesv2.PacketStatus_Success, send(other, testutil.RewardDenom).Status)
	require.Equal(t, "100", f.CommunityPool(testutil.Voucher(testutil.RewardDenom, other)).String())
	require.Equal(t, channeltypesv2.PacketStatus_Success, send(client, "uother").Status)
	require.Equal(t, "100", f.CommunityPool(testutil.Voucher("uother", client)).String())
	require.Equal(t, "100", received(voucher))

	// What ICS-20 refuses, or answers later, is not looked at; what it took but nobody can read neither.
	before := export(t, f)
	for _, result := range []channeltypesv2.RecvPacketResult{
		meshtypes.FailureV2(), {Status: channeltypesv2.PacketStatus_Async}, {},
	} {
		base.result = &result
		require.Equal(t, result, send(client, testutil.RewardDenom))
	}
	taken := meshtypes.SuccessV2([]byte{1})
	base.result = &taken
	require.Equal(t, taken, middleware.OnRecvPacket(f.Ctx, counterparty, client, 1, channeltypesv2.Payload{Value: []byte("{")}, nil))
	require.Equal(t, before, export(t, f))
	_, err = middleware.UnmarshalPacketData(channeltypesv2.Payload{})
	require.ErrorIs(t, err, types.ErrRewardTransfer, "what stands behind it cannot")
	f.NextBlock() // invariants
}
