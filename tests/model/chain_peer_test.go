package model_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/baseapp"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	simtypes "github.com/cosmos/cosmos-sdk/types/simulation"

	"github.com/cometbft/cometbft/crypto/ed25519"

	ibctransfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	connectiontypes "github.com/cosmos/ibc-go/v11/modules/core/03-connection/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	commitmenttypes "github.com/cosmos/ibc-go/v11/modules/core/23-commitment/types"
	ibcexported "github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctypes "github.com/cosmos/ibc-go/v11/modules/core/types"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	"github.com/mesh-security/mesh/app"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providersim "github.com/mesh-security/mesh/x/provider/simulation"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

const (
	// peerHeight is the partners' height that their clients know at genesis, and peerBlocks how many more they know after
	// each block of the chain.
	peerHeight, peerBlocks = 1_000_000, 100
	// peerDenom is their bond denom.
	peerDenom = "upeer"
	// peerUnbonding is their unbonding period.
	peerUnbonding = 3 * 24 * time.Hour
)

// peer is a partner chain, both consumer and provider, that is played by the test: what it sends goes to the entry points of
// the chain's IBC modules, as if IBC had verified it, and it answers what the chain sends. Some of it is malformed, and
// its validators sign two blocks now and then. It is an operation of the SDK's simulation.
type peer struct {
	app     *simApp
	n       int
	client  string
	chainID string
	half    uint64
	keys    map[string]ed25519.PrivKey
	// operators are its validators, sorted.
	operators [][]byte

	// latest is its height.
	latest uint64

	reportSeq, updateSeq, packets uint64
	// applied is, by operator, the newest stake it acknowledged.
	applied  map[string]uint64
	inFlight []channeltypes.Packet
	counts   map[string]int
}

var _ module.AppModuleSimulation = (*peer)(nil)

func newPeer(a *simApp, n int) *peer {
	p := &peer{
		app: a, n: n, latest: peerHeight, client: fmt.Sprintf("07-tendermint-%d", n), chainID: fmt.Sprintf("peer%c-1", 'a'+n),
		half: uint64(simGenesisTime.UnixNano()) - 1, keys: map[string]ed25519.PrivKey{}, applied: map[string]uint64{}, counts: map[string]int{},
	}
	for i := range 6 {
		key := ed25519.GenPrivKeyFromSecret(fmt.Appendf(nil, "%s/%d", p.chainID, i))
		operator := bytes.Repeat([]byte{byte(16*n + i + 1)}, 20)
		p.operators = append(p.operators, operator)
		p.keys[string(operator)] = key
	}
	return p
}

// Channels of the chain over which it talks to the partner, by the chain's port.
func (p *peer) channel(port string) string {
	return fmt.Sprintf("channel-%d", 3*p.n+slices.Index([]string{meshtypes.PortProvider, meshtypes.PortConsumer, ibctransfertypes.PortID}, port))
}

func (*peer) counterparty(port string) string {
	switch port {
	case meshtypes.PortProvider:
		return meshtypes.PortConsumer
	case meshtypes.PortConsumer:
		return meshtypes.PortProvider
	default:
		return port
	}
}

// pairUp adds clients, connections and channels to the partners to a genesis state, and registers them on both sides.
func pairUp(a *simApp, r *rand.Rand, state json.RawMessage, accs []simtypes.Account, at time.Time) json.RawMessage {
	cdc := a.AppCodec()
	var g app.GenesisState
	require.NoError(a.tb, json.Unmarshal(state, &g))
	var (
		ibc  = ibctypes.DefaultGenesisState()
		prov providertypes.GenesisState
		cons consumertypes.GenesisState
	)
	cdc.MustUnmarshalJSON(g[meshtypes.PortProvider], &prov)
	cdc.MustUnmarshalJSON(g[meshtypes.PortConsumer], &cons)
	for _, p := range a.peers {
		p.genesisIBC(ibc, at)
		prov.Consumers = append(prov.Consumers, p.consumer(r, accs, at))
		prov.Channels = append(prov.Channels, providertypes.ChannelRecord{ChannelId: p.channel(meshtypes.PortProvider), ClientId: p.client})
		cons.Providers = append(cons.Providers, p.provider(r, accs, at))
		if cons.Providers[p.n].Config.PriceFeed == "governance" {
			cons.Prices = append(cons.Prices, consumertypes.PriceRecord{
				ProviderId: p.client, Price: consumertypes.PostedPrice{Price: sdkmath.LegacyOneDec(), PostedAt: at},
			})
		}
	}
	require.NoError(a.tb, prov.Validate())
	require.NoError(a.tb, cons.Validate())
	g[meshtypes.PortProvider] = cdc.MustMarshalJSON(&prov)
	g[meshtypes.PortConsumer] = cdc.MustMarshalJSON(&cons)
	g[ibcexported.ModuleName] = cdc.MustMarshalJSON(ibc)
	var transfer ibctransfertypes.GenesisState
	cdc.MustUnmarshalJSON(g[ibctransfertypes.ModuleName], &transfer)
	transfer.Params = ibctransfertypes.DefaultParams() // rewards are sent and received
	g[ibctransfertypes.ModuleName] = cdc.MustMarshalJSON(&transfer)
	out, err := json.Marshal(g)
	require.NoError(a.tb, err)
	return out
}

// genesisIBC adds a light client that trusts for ten years, a connection and three channels.
func (p *peer) genesisIBC(g *ibctypes.GenesisState, at time.Time) {
	const year = 365 * 24 * time.Hour
	height := clienttypes.NewHeight(1, peerHeight)
	state := ibctm.NewClientState(p.chainID, ibctm.DefaultTrustLevel, 10*year, 11*year, time.Minute, height,
		commitmenttypes.GetSDKSpecs(), []string{"upgrade", "upgradedIBCState"})
	c := &g.ClientGenesis
	c.Clients = append(c.Clients, clienttypes.NewIdentifiedClientState(p.client, state))
	c.ClientsConsensus = append(c.ClientsConsensus, clienttypes.NewClientConsensusStates(p.client,
		[]clienttypes.ConsensusStateWithHeight{clienttypes.NewConsensusStateWithHeight(height, consensusAt(at))}))
	c.NextClientSequence = uint64(p.n + 1)

	connection := fmt.Sprintf("connection-%d", p.n)
	g.ConnectionGenesis.Connections = append(g.ConnectionGenesis.Connections, connectiontypes.NewIdentifiedConnection(connection,
		connectiontypes.NewConnectionEnd(connectiontypes.OPEN, p.client,
			connectiontypes.NewCounterparty("07-tendermint-0", "connection-0", commitmenttypes.NewMerklePrefix([]byte("ibc"))),
			connectiontypes.GetCompatibleVersions(), 0)))
	g.ConnectionGenesis.ClientConnectionPaths = append(g.ConnectionGenesis.ClientConnectionPaths,
		connectiontypes.NewConnectionPaths(p.client, []string{connection}))
	g.ConnectionGenesis.NextConnectionSequence = uint64(p.n + 1)

	for _, port := range []string{meshtypes.PortProvider, meshtypes.PortConsumer, ibctransfertypes.PortID} {
		version := meshtypes.Version
		if port == ibctransfertypes.PortID {
			version = ibctransfertypes.V1
		}
		ch := &g.ChannelGenesis
		ch.Channels = append(ch.Channels, channeltypes.NewIdentifiedChannel(port, p.channel(port), channeltypes.NewChannel(
			channeltypes.OPEN, channeltypes.UNORDERED, channeltypes.NewCounterparty(p.counterparty(port), p.channel(port)),
			[]string{connection}, version)))
		for _, of := range []*[]channeltypes.PacketSequence{&ch.SendSequences, &ch.RecvSequences, &ch.AckSequences} {
			*of = append(*of, channeltypes.NewPacketSequence(port, p.channel(port), 1))
		}
		ch.NextChannelSequence = uint64(3*p.n + 3)
	}
}

func consensusAt(at time.Time) *ibctm.ConsensusState {
	root := bytes.Repeat([]byte{1}, 32)
	return ibctm.NewConsensusState(at, commitmenttypes.NewMerkleRoot(root), root)
}

// advance makes the partner's next height known to the chain's light client, as a header that it had verified would.
func (p *peer) advance(ctx sdk.Context) {
	clients := p.app.IBCKeeper.ClientKeeper
	state, ok := clients.GetClientState(ctx, p.client)
	require.True(p.app.tb, ok)
	p.latest += peerBlocks
	height := clienttypes.NewHeight(1, p.latest)
	state.(*ibctm.ClientState).LatestHeight = height
	clients.SetClientState(ctx, p.client, state)
	clients.SetClientConsensusState(ctx, p.client, height, consensusAt(ctx.BlockTime()))
	store := clients.ClientStore(ctx, p.client)
	ibctm.SetProcessedTime(store, height, uint64(ctx.BlockTime().UnixNano()))
	ibctm.SetProcessedHeight(store, height, clienttypes.GetSelfHeight(ctx))
	ibctm.SetIterationKey(store, height)
}

// consumer registers the partner as a consumer.
func (p *peer) consumer(r *rand.Rand, accs []simtypes.Account, at time.Time) providertypes.ConsumerRecord {
	downtime := percent(r, 1, 20)
	cfg := providertypes.ConsumerConfig{
		ClientId: p.client, ChainId: p.chainID, ValidatorPrefix: "peervaloper", UnbondingPeriod: peerUnbonding,
		MaxSlashFractionDoubleSign: percent(r, 1, 100), MaxSlashFractionDowntime: downtime,
		SlashPolicy: providertypes.DefaultSlashPolicy(downtime), Guardian: accs[r.Intn(len(accs))].AddressBech32,
		RewardChannel: p.channel(ibctransfertypes.PortID), RewardSender: "peer1sender", RewardDenoms: []string{peerDenom},
	}
	require.NoError(p.app.tb, cfg.Validate())
	return providertypes.ConsumerRecord{
		Consumer: providertypes.Consumer{
			Config: cfg, Status: providertypes.CONSUMER_STATUS_ACTIVE,
			Chains: []providertypes.ChainRecord{{ChainId: p.chainID, Revision: 1}},
		},
		Pairing: providertypes.Pairing{
			Session: meshtypes.Session{Provider: uint64(at.UnixNano())}, ChannelId: p.channel(meshtypes.PortProvider),
			EffectiveUnbonding: peerUnbonding, AnnouncedUnbonding: peerUnbonding, BatchEpoch: 1,
			BatchEpochEnd: at.Add(cfg.BatchEpochFor(peerUnbonding)),
		},
	}
}

// percent returns a percentage in [from, to] as a fraction.
func percent(r *rand.Rand, from, to int64) sdkmath.LegacyDec {
	return sdkmath.LegacyNewDecWithPrec(from+r.Int63n(to-from+1), 2)
}

// provider registers the partner as a provider: one with a price by governance, the other with feeders.
func (p *peer) provider(r *rand.Rand, accs []simtypes.Account, at time.Time) consumertypes.Provider {
	cfg := consumertypes.ProviderConfig{
		ProviderId: p.client, ChainId: p.chainID, CollateralDenom: peerDenom, CollateralDecimals: 6, PriceFeed: "governance",
		Discount: percent(r, 0, 50), MaxCap: sdkmath.NewInt(r.Int63()), MaxPowerRatio: percent(r, 1, 15),
		GovernanceWeight: percent(r, 0, 100), RewardRatio: percent(r, 0, 100),
		RewardChannel: p.channel(ibctransfertypes.PortID), RewardReceiver: "peer1receiver",
	}
	if p.n == 1 {
		cfg.PriceFeed = "feeders"
		cfg.Price = &consumertypes.PriceConfig{
			MaxPostAge: 12 * time.Hour, MinFeeders: 1, MaxDeviation: sdkmath.LegacyNewDec(1),
			Feeders: []string{accs[0].AddressBech32, accs[1].AddressBech32, accs[2].AddressBech32},
		}
		slices.Sort(cfg.Price.Feeders)
	}
	require.NoError(p.app.tb, cfg.Validate())
	out := consumertypes.NewProvider(cfg, at)
	out.ChannelId, out.Status = p.channel(meshtypes.PortConsumer), consumertypes.PROVIDER_STATUS_ACTIVE
	return out
}

// sent takes a packet of the chain if it is for this partner.
func (p *peer) sent(packet channeltypes.Packet) {
	if p.channel(packet.SourcePort) == packet.SourceChannel {
		p.inFlight = append(p.inFlight, packet)
	}
}

// GenerateGenesisState implements module.AppModuleSimulation; pairUp does it once all other modules have theirs.
func (*peer) GenerateGenesisState(*module.SimulationState) {}

// RegisterStoreDecoder implements module.AppModuleSimulation.
func (*peer) RegisterStoreDecoder(simtypes.StoreDecoderRegistry) {}

// peerOp is something that the partner, or governance, does; it says whether it succeeded.
type peerOp struct {
	weight int
	name   string
	do     func(r *rand.Rand, ctx sdk.Context, accs []simtypes.Account) bool
}

// WeightedOperations implements module.AppModuleSimulation.
func (p *peer) WeightedOperations(module.SimulationState) []simtypes.WeightedOperation {
	var out []simtypes.WeightedOperation
	for _, op := range []peerOp{
		{150, "answer", p.answer},
		{40, "report", p.report},
		{40, "update", p.update},
		{15, "rewards", p.rewards},
		{20, "proof", p.proof},
		{30, "governance", p.governance},
	} {
		out = append(out, weightedPeerOp{op.weight, func(
			r *rand.Rand, _ *baseapp.BaseApp, ctx sdk.Context, accs []simtypes.Account, _ string,
		) (simtypes.OperationMsg, []simtypes.FutureOperation, error) {
			ok := op.do(r, ctx, accs)
			if ok {
				p.counts[op.name]++
			}
			return simtypes.NewOperationMsgBasic(p.chainID, op.name, "", ok, nil), nil, nil
		}})
	}
	return out
}

type weightedPeerOp struct {
	weight int
	op     simtypes.Operation
}

func (w weightedPeerOp) Weight() int            { return w.weight }
func (w weightedPeerOp) Op() simtypes.Operation { return w.op }

// try runs f on a branch of the state that is kept unless f fails.
func try(ctx sdk.Context, f func(sdk.Context) bool) bool {
	cached, write := ctx.CacheContext()
	if !f(cached) {
		return false
	}
	write()
	return true
}

// deliver gives a packet to the chain's module; one in ten is damaged on the way, as only a hostile partner could do it.
func (p *peer) deliver(r *rand.Rand, ctx sdk.Context, port, version string, data []byte) bool {
	damaged := r.Intn(10) == 0
	if damaged {
		data = slices.Clone(data)
		if r.Intn(3) == 0 {
			data = data[:r.Intn(len(data))]
		} else {
			data[r.Intn(len(data))] ^= byte(1 + r.Intn(255))
		}
	}
	p.packets++
	packet := channeltypes.NewPacket(data, p.packets, p.counterparty(port), p.channel(port), port, p.channel(port),
		clienttypes.ZeroHeight(), uint64(ctx.BlockTime().Add(time.Hour).UnixNano()))
	return try(ctx, func(ctx sdk.Context) bool {
		cbs, ok := p.app.IBCKeeper.PortKeeper.Route(port)
		require.True(p.app.tb, ok)
		return cbs.OnRecvPacket(ctx, version, packet, nil).Success() && !damaged
	})
}

// answer answers one of the packets in flight, in any order: mostly as it should, else with an error, a refusal, nonsense or
// a timeout.
func (p *peer) answer(r *rand.Rand, ctx sdk.Context, _ []simtypes.Account) bool {
	if len(p.inFlight) == 0 {
		return false
	}
	i := r.Intn(len(p.inFlight))
	packet := p.inFlight[i]
	p.inFlight = slices.Delete(p.inFlight, i, i+1)
	version := meshtypes.Version
	var result []byte
	switch packet.SourcePort {
	case meshtypes.PortProvider:
		result = p.answerUpdate(r, ctx, packet.Data)
	case meshtypes.PortConsumer:
		result = p.answerReport(r, ctx, packet.Data)
	default:
		version, result = ibctransfertypes.V1, []byte{1}
	}
	ack := channeltypes.NewResultAcknowledgement(result).Acknowledgement()
	fate := r.Intn(20)
	if fate == 0 {
		ack = channeltypes.NewErrorAcknowledgement(meshtypes.ErrChannelUnknown).Acknowledgement()
	}
	if fate == 1 && packet.SourcePort != ibctransfertypes.PortID {
		ack = ack[:r.Intn(len(ack))]
	}
	return try(ctx, func(ctx sdk.Context) bool {
		cbs, ok := p.app.IBCKeeper.PortKeeper.Route(packet.SourcePort)
		require.True(p.app.tb, ok)
		if fate < 5 && fate > 1 {
			return cbs.OnTimeoutPacket(ctx, version, packet, nil) == nil
		}
		return cbs.OnAcknowledgementPacket(ctx, version, packet, ack, nil) == nil
	})
}

// session returns the session as the partner knows it; one in fifty is another.
func (p *peer) session(r *rand.Rand, ctx sdk.Context, side meshtypes.Side) meshtypes.Session {
	half := p.half
	if r.Intn(50) == 0 {
		half--
	}
	if side == meshtypes.SideProvider {
		own, err := p.app.Mesh.Provider.Pairings.Get(ctx, p.client)
		require.NoError(p.app.tb, err)
		return meshtypes.Session{Provider: own.Session.Provider, Consumer: half}
	}
	own, err := p.app.Mesh.Consumer.GetProvider(ctx, p.client)
	require.NoError(p.app.tb, err)
	return meshtypes.Session{Provider: half, Consumer: own.Session.Consumer}
}

// height returns a recent height of the partner.
func (p *peer) height(r *rand.Rand) meshtypes.Height {
	return meshtypes.NewHeight(1, p.latest-uint64(r.Int63n(1000)))
}

func (p *peer) answerUpdate(r *rand.Rand, ctx sdk.Context, data []byte) []byte {
	u, err := meshtypes.UnmarshalStakeUpdate(data)
	require.NoError(p.app.tb, err)
	ack := meshtypes.StakeUpdateAck{Echo: u.Session, Current: p.session(r, ctx, meshtypes.SideProvider), Seq: u.Seq, Height: p.height(r)}
	for _, s := range u.Stakes {
		code := meshtypes.STAKE_CODE_STORED
		if r.Intn(15) == 0 {
			code = meshtypes.StakeCode(1 + r.Intn(5))
		}
		ack.Codes = append(ack.Codes, code)
		if op := string(s.Validator); u.Seq > p.applied[op] {
			p.applied[op] = u.Seq
		}
	}
	bz, err := ack.Marshal()
	require.NoError(p.app.tb, err)
	return bz
}

func (p *peer) answerReport(r *rand.Rand, ctx sdk.Context, data []byte) []byte {
	rep, err := meshtypes.UnmarshalReport(data)
	require.NoError(p.app.tb, err)
	ack := meshtypes.ReportAck{Echo: rep.Session, Current: p.session(r, ctx, meshtypes.SideConsumer), Seq: rep.Seq}
	if n := len(rep.Slashes); n > 0 {
		ack.SlashSeq = rep.Slashes[r.Intn(n)].Index
	}
	bz, err := ack.Marshal()
	require.NoError(p.app.tb, err)
	return bz
}

// report sends a ConsumerReport: some validators, with what was executed, and sometimes new entries of the slash log.
func (p *peer) report(r *rand.Rand, ctx sdk.Context, _ []simtypes.Account) bool {
	pairing, err := p.app.Mesh.Provider.Pairings.Get(ctx, p.client)
	require.NoError(p.app.tb, err)
	p.reportSeq++
	rep := meshtypes.ConsumerReport{
		Session: p.session(r, ctx, meshtypes.SideProvider), Seq: p.reportSeq, FirstIndex: 1,
		UnbondingPeriod: uint64(peerUnbonding), FreshnessLimit: uint64(peerUnbonding / 2),
	}
	for _, op := range p.operators {
		if r.Intn(3) == 0 {
			continue
		}
		status := meshtypes.VALIDATOR_STATUS_BONDED
		switch x := r.Intn(200); {
		case x == 0:
			status = meshtypes.VALIDATOR_STATUS_TOMBSTONED
		case x < 20:
			status = meshtypes.ValidatorStatus(2 + r.Intn(2))
		}
		v := meshtypes.ValidatorReport{
			Operator: op, Status: status, KeyHeight: meshtypes.NewHeight(1, 1),
			ConsensusKey: meshtypes.ConsensusKey{Type: ed25519.KeyType, Key: p.keys[string(op)].PubKey().Bytes()},
		}
		if seq := p.applied[string(op)]; seq > 0 && r.Intn(4) > 0 {
			v.ExecutedSeq, v.ExecutedHeight = seq, p.height(r)
		}
		rep.Validators = append(rep.Validators, v)
	}
	if r.Intn(4) == 0 {
		for i := range 1 + r.Intn(3) {
			fraction := sdkmath.LegacyNewDecWithPrec(1+r.Int63n(300), 4)
			rep.Slashes = append(rep.Slashes, meshtypes.SlashEntry{
				Index: pairing.SlashSeq + 1 + uint64(i), Operator: p.operators[r.Intn(len(p.operators))],
				Kind: meshtypes.SlashKind(1 + r.Intn(3)), Infraction: p.height(r), NominalFraction: fraction, EffectiveFraction: fraction,
			})
		}
	}
	bz, err := rep.Marshal()
	require.NoError(p.app.tb, err)
	return p.deliver(r, ctx, meshtypes.PortProvider, meshtypes.Version, bz)
}

// update sends a StakeUpdate: amounts for some of the chain's validators, now and then for one that does not exist.
func (p *peer) update(r *rand.Rand, ctx sdk.Context, _ []simtypes.Account) bool {
	prov, err := p.app.Mesh.Consumer.GetProvider(ctx, p.client)
	require.NoError(p.app.tb, err)
	vals, err := p.app.StakingKeeper.GetAllValidators(ctx)
	require.NoError(p.app.tb, err)
	p.updateSeq++
	u := meshtypes.StakeUpdate{
		Session: p.session(r, ctx, meshtypes.SideConsumer), Seq: p.updateSeq, UnbondingPeriod: uint64(peerUnbonding),
		SyncedAt: uint64(ctx.BlockTime().Add(-time.Duration(r.Intn(60)) * time.Minute).UnixNano()), SlashSeq: prov.AckedIndex,
	}
	var operators [][]byte
	for _, v := range vals {
		if r.Intn(4) == 0 {
			op, err := sdk.ValAddressFromBech32(v.OperatorAddress)
			require.NoError(p.app.tb, err)
			operators = append(operators, op)
		}
	}
	if r.Intn(10) == 0 {
		operators = append(operators, bytes.Repeat([]byte{255}, 20))
	}
	slices.SortFunc(operators, bytes.Compare)
	for _, op := range operators {
		amount := sdkmath.ZeroInt()
		if r.Intn(4) > 0 {
			amount = sdkmath.NewInt(r.Int63n(1_000_000_000_000))
		}
		u.Stakes = append(u.Stakes, meshtypes.Stake{Validator: op, Amount: amount})
	}
	bz, err := u.Marshal()
	require.NoError(p.app.tb, err)
	return p.deliver(r, ctx, meshtypes.PortConsumer, meshtypes.Version, bz)
}

// rewards sends rewards for the stake on some validators.
func (p *peer) rewards(r *rand.Rand, ctx sdk.Context, _ []simtypes.Account) bool {
	cfg := providertypes.ConsumerConfig{ValidatorPrefix: "peervaloper"}
	var list []meshtypes.Reward
	sum := sdkmath.ZeroInt()
	for _, op := range p.operators {
		if r.Intn(2) == 0 {
			amount := sdkmath.NewInt(1 + r.Int63n(1_000_000_000))
			list = append(list, meshtypes.Reward{Validator: cfg.FormatValidator(op), Amount: amount})
			sum = sum.Add(amount)
		}
	}
	memo, err := meshtypes.MarshalRewardMemo(list)
	if err != nil {
		return false
	}
	data := ibctransfertypes.NewFungibleTokenPacketData(
		peerDenom, sum.String(), "peer1sender", providertypes.RewardAccount(p.client).String(), memo)
	return p.deliver(r, ctx, ibctransfertypes.PortID, ibctransfertypes.V1, data.GetBytes())
}

// message runs a message on the chain without a transaction.
func (p *peer) message(ctx sdk.Context, msg sdk.Msg) bool {
	return try(ctx, func(ctx sdk.Context) bool {
		_, err := p.app.MsgServiceRouter().Handler(msg)(ctx, msg)
		return err == nil
	})
}

// proof proves that one of the partner's validators signed two blocks; the keys of others sign, too.
func (p *peer) proof(r *rand.Rand, ctx sdk.Context, accs []simtypes.Account) bool {
	if r.Intn(4) > 0 {
		return false
	}
	key, height := p.keys[string(p.operators[r.Intn(len(p.operators))])], p.height(r)
	return p.message(ctx, &providertypes.MsgSubmitDoubleVote{
		Submitter: accs[r.Intn(len(accs))].AddressBech32, ConsumerId: p.client,
		Evidence: providersim.DoubleVote(key, p.chainID, int64(height.Height), "one", "two"),
	})
}

// governance does what proposals may decide about the partner.
func (p *peer) governance(r *rand.Rand, ctx sdk.Context, _ []simtypes.Account) bool {
	authority := app.Authority()
	consumer, err := p.app.Mesh.Provider.Consumers.Get(ctx, p.client)
	require.NoError(p.app.tb, err)
	provider, err := p.app.Mesh.Consumer.GetProvider(ctx, p.client)
	require.NoError(p.app.tb, err)
	switch r.Intn(12) {
	case 0:
		return p.message(ctx, &providertypes.MsgPauseConsumer{Signer: authority, ConsumerId: p.client})
	case 1, 2, 3:
		return p.message(ctx, &providertypes.MsgResumeConsumer{Authority: authority, ConsumerId: p.client})
	case 4:
		return p.message(ctx, &consumertypes.MsgPauseProvider{Authority: authority, ProviderId: p.client})
	case 5, 6:
		return p.message(ctx, &consumertypes.MsgResumeProvider{Authority: authority, ProviderId: p.client})
	case 7, 8:
		return p.message(ctx, &consumertypes.MsgSetPrice{
			Authority: authority, ProviderId: p.client, Price: sdkmath.LegacyNewDecWithPrec(1+r.Int63n(3000), 3),
		})
	case 9:
		cfg := provider.Config
		cfg.MaxCap, cfg.MaxPowerRatio = sdkmath.NewInt(r.Int63n(1_000_000_000_000_000)), percent(r, 0, 15)
		cfg.GovernanceWeight, cfg.RewardRatio = percent(r, 0, 100), percent(r, 0, 100)
		return p.message(ctx, &consumertypes.MsgUpdateProvider{Authority: authority, Config: cfg})
	case 10:
		cfg := consumer.Config
		cfg.UnbondingPeriod = time.Duration(12+r.Intn(72)) * time.Hour
		cfg.MaxSlashFractionDoubleSign = percent(r, 1, 100)
		return p.message(ctx, &providertypes.MsgUpdateConsumer{Authority: authority, Config: cfg})
	default:
		if r.Intn(4) > 0 {
			return false
		}
		if provider.Status == consumertypes.PROVIDER_STATUS_REMOVED {
			return p.message(ctx, &consumertypes.MsgAddProvider{Authority: authority, Config: provider.Config})
		}
		return p.message(ctx, &consumertypes.MsgRemoveProvider{Authority: authority, ProviderId: p.client})
	}
}
