package keeper_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/core/comet"
	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/codec/address"
	"github.com/cosmos/cosmos-sdk/crypto/keys/ed25519"
	cryptotypes "github.com/cosmos/cosmos-sdk/crypto/types"
	"github.com/cosmos/cosmos-sdk/runtime"
	"github.com/cosmos/cosmos-sdk/store/v2"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	moduletestutil "github.com/cosmos/cosmos-sdk/types/module/testutil"
	"github.com/cosmos/cosmos-sdk/x/auth"
	authkeeper "github.com/cosmos/cosmos-sdk/x/auth/keeper"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	vestingtypes "github.com/cosmos/cosmos-sdk/x/auth/vesting/types"
	"github.com/cosmos/cosmos-sdk/x/bank"
	bankkeeper "github.com/cosmos/cosmos-sdk/x/bank/keeper"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"github.com/cosmos/cosmos-sdk/x/distribution"
	distrkeeper "github.com/cosmos/cosmos-sdk/x/distribution/keeper"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	"github.com/cosmos/cosmos-sdk/x/evidence"
	evidencekeeper "github.com/cosmos/cosmos-sdk/x/evidence/keeper"
	evidencetypes "github.com/cosmos/cosmos-sdk/x/evidence/types"
	"github.com/cosmos/cosmos-sdk/x/gov"
	govkeeper "github.com/cosmos/cosmos-sdk/x/gov/keeper"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	"github.com/cosmos/cosmos-sdk/x/mint"
	mintkeeper "github.com/cosmos/cosmos-sdk/x/mint/keeper"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	"github.com/cosmos/cosmos-sdk/x/slashing"
	slashingkeeper "github.com/cosmos/cosmos-sdk/x/slashing/keeper"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	"github.com/cosmos/cosmos-sdk/x/staking"
	stakingkeeper "github.com/cosmos/cosmos-sdk/x/staking/keeper"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	connectiontypes "github.com/cosmos/ibc-go/v11/modules/core/03-connection/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	"github.com/mesh-security/mesh/wiring"
	"github.com/mesh-security/mesh/x/consumer"
	"github.com/mesh-security/mesh/x/consumer/keeper"
	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

const (
	chainID   = "consumer-7"
	provider1 = "07-tendermint-0"
	provider2 = "07-tendermint-1"
	provider3 = "07-tendermint-2"
	peerHalf  = uint64(1_000)
	epochTime = time.Minute
	blockTime = 5 * time.Second

	oneToken   = int64(1_000_000)
	startPoint = 10_000_000 // heights far above powers
)

var (
	authority = authtypes.NewModuleAddress(govtypes.ModuleName).String()
	bondDenom = sdk.DefaultBondDenom
)

// fixture is a chain without an app: the SDK's keepers over a store in memory, and ours. IBC is faked.
type fixture struct {
	t   testing.TB
	ctx sdk.Context
	key *storetypes.KVStoreKey

	accounts     authkeeper.AccountKeeper
	bank         bankkeeper.BaseKeeper
	staking      *stakingkeeper.Keeper
	distribution distrkeeper.Keeper
	slashing     slashingkeeper.Keeper
	evidence     *evidencekeeper.Keeper
	mint         mintkeeper.Keeper
	gov          *govkeeper.Keeper
	k            *keeper.Keeper
	ibc          *consumer.IBCModule
	msg          types.MsgServer
	query        types.QueryServer

	clients  fakeClients
	sources  map[string]*sourceClient
	channels *fakeChannels
	broken   *breakableStaking
	bankFail *breakableBank
	slasher  wiring.SlashingStaking

	vals []validator
	// powers are the validators' powers after each height's EndBlock; absent do not sign.
	powers      map[int64]map[string]int64
	absent      map[string]bool
	misbehaving []abci.Misbehavior
	seqs        map[string]uint64
	recorded    map[string]uint64 // slash_seq of each provider
	minting     bool
	quiet       bool
}

type validator struct {
	key  cryptotypes.PubKey
	addr sdk.ValAddress
	cons sdk.ConsAddress
}

type fakeClients map[string]string

func (f fakeClients) GetClientState(_ sdk.Context, id string) (exported.ClientState, bool) {
	chain, ok := f[id]
	if !ok {
		return nil, false
	}
	return &ibctm.ClientState{ChainId: chain}, true
}

type fakeConnections struct{}

// GetConnection: connection X is that of client X.
func (fakeConnections) GetConnection(_ sdk.Context, id string) (connectiontypes.ConnectionEnd, bool) {
	return connectiontypes.ConnectionEnd{ClientId: id}, id != "connection-none"
}

type sentPacket struct {
	channel string
	timeout uint64
	data    []byte
}

type fakeChannels struct {
	channels map[string]channeltypes.Channel
	sent     []sentPacket
	closed   []string
	fail     error
}

func (f *fakeChannels) SendPacket(_ sdk.Context, _, channel string, _ clienttypes.Height, timeout uint64, data []byte) (uint64, error) {
	if f.fail != nil {
		return 0, f.fail
	}
	f.sent = append(f.sent, sentPacket{channel, timeout, data})
	return uint64(len(f.sent)), nil
}

func (f *fakeChannels) GetChannel(_ sdk.Context, _, id string) (channeltypes.Channel, bool) {
	c, ok := f.channels[id]
	return c, ok
}

func (f *fakeChannels) ChanCloseInit(_ sdk.Context, _, id string) error {
	f.closed = append(f.closed, id)
	return f.fail
}

// breakableStaking fails or panics where a test says so.
type breakableStaking struct {
	*stakingkeeper.Keeper
	failUnbond, failDelegate map[string]func() error
}

func (b *breakableStaking) Unbond(ctx context.Context, del sdk.AccAddress, val sdk.ValAddress, shares sdkmath.LegacyDec) (sdkmath.Int, error) {
	amount, err := b.Keeper.Unbond(ctx, del, val, shares)
	if fail := b.failUnbond[string(val)]; fail != nil && err == nil {
		err = fail() // after the writes: they must be discarded
	}
	return amount, err
}

func (b *breakableStaking) Delegate(
	ctx context.Context, del sdk.AccAddress, amount sdkmath.Int, src stakingtypes.BondStatus, val stakingtypes.Validator, subtract bool,
) (sdkmath.LegacyDec, error) {
	shares, err := b.Keeper.Delegate(ctx, del, amount, src, val, subtract)
	addr, _ := b.ValidatorAddressCodec().StringToBytes(val.OperatorAddress)
	if fail := b.failDelegate[string(addr)]; fail != nil && err == nil {
		err = fail()
	}
	return shares, err
}

type breakableBank struct {
	bankkeeper.BaseKeeper
	failMint func(sdk.Coins) error
}

func (b *breakableBank) MintCoins(ctx context.Context, module string, coins sdk.Coins) error {
	if b.failMint != nil {
		if err := b.failMint(coins); err != nil {
			return err
		}
	}
	return b.BaseKeeper.MintCoins(ctx, module, coins)
}

// newFixture returns a chain whose validators have the given native stake, in whole tokens, all bonded by themselves.
func newFixture(tb testing.TB, native ...int64) *fixture {
	tb.Helper()
	f := newBareFixture(tb)
	f.init()
	for i, tokens := range native {
		f.createValidator(i, sdkmath.NewInt(tokens).MulRaw(oneToken))
	}
	f.block(blockTime)
	f.block(blockTime)
	f.block(blockTime)
	return f
}

// newBareFixture returns keepers over empty stores.
func newBareFixture(tb testing.TB) *fixture {
	tb.Helper()
	keys := storetypes.NewKVStoreKeys(
		authtypes.StoreKey, banktypes.StoreKey, stakingtypes.StoreKey, distrtypes.StoreKey, slashingtypes.StoreKey,
		evidencetypes.StoreKey, govtypes.StoreKey, minttypes.StoreKey, types.StoreKey,
	)
	enc := moduletestutil.MakeTestEncodingConfig(
		auth.AppModuleBasic{}, bank.AppModuleBasic{}, staking.AppModuleBasic{}, distribution.AppModuleBasic{},
		slashing.AppModuleBasic{}, evidence.AppModuleBasic{}, mint.AppModuleBasic{}, gov.AppModuleBasic{},
	)
	types.RegisterInterfaces(enc.InterfaceRegistry)
	vestingtypes.RegisterInterfaces(enc.InterfaceRegistry)
	cdc := enc.Codec
	service := func(key string) *storetypes.KVStoreKey { return keys[key] }
	f := &fixture{
		t: tb, clients: fakeClients{}, sources: map[string]*sourceClient{}, channels: &fakeChannels{channels: map[string]channeltypes.Channel{}},
		powers: map[int64]map[string]int64{}, absent: map[string]bool{}, seqs: map[string]uint64{},
		recorded: map[string]uint64{}, key: keys[types.StoreKey],
	}
	cms := store.NewCommitMultiStore(dbm.NewMemDB(), log.NewNopLogger())
	for _, key := range keys {
		cms.MountStoreWithDB(key, storetypes.StoreTypeIAVL, nil)
	}
	require.NoError(tb, cms.LoadLatestVersion())
	f.ctx = sdk.NewContext(cms, cmtproto.Header{}, false, log.NewNopLogger()).
		WithBlockHeader(cmtproto.Header{ChainID: chainID, Height: startPoint, Time: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}).
		WithChainID(chainID).WithBlockHeight(startPoint).
		WithConsensusParams(cmtproto.ConsensusParams{Evidence: &cmtproto.EvidenceParams{MaxAgeNumBlocks: 1000, MaxAgeDuration: 21 * 24 * time.Hour}})

	perms := map[string][]string{
		authtypes.FeeCollectorName: nil, distrtypes.ModuleName: nil, minttypes.ModuleName: {authtypes.Minter},
		govtypes.ModuleName:            {authtypes.Burner},
		stakingtypes.BondedPoolName:    {authtypes.Burner, authtypes.Staking},
		stakingtypes.NotBondedPoolName: {authtypes.Burner, authtypes.Staking},
		types.ModuleName:               {authtypes.Minter, authtypes.Burner},
	}
	f.accounts = authkeeper.NewAccountKeeper(cdc, runtime.NewKVStoreService(service(authtypes.StoreKey)), authtypes.ProtoBaseAccount,
		perms, address.NewBech32Codec("cosmos"), "cosmos", authority)
	f.bank = bankkeeper.NewBaseKeeper(cdc, runtime.NewKVStoreService(service(banktypes.StoreKey)), f.accounts, nil, authority, log.NewNopLogger())
	f.staking = stakingkeeper.NewKeeper(cdc, runtime.NewKVStoreService(service(stakingtypes.StoreKey)), f.accounts, f.bank, authority,
		address.NewBech32Codec("cosmosvaloper"), address.NewBech32Codec("cosmosvalcons"))
	f.distribution = distrkeeper.NewKeeper(cdc, runtime.NewKVStoreService(service(distrtypes.StoreKey)), f.accounts, f.bank, f.staking,
		authtypes.FeeCollectorName, authority)
	f.broken = &breakableStaking{Keeper: f.staking, failUnbond: map[string]func() error{}, failDelegate: map[string]func() error{}}
	f.bankFail = &breakableBank{BaseKeeper: f.bank}
	f.k = keeper.NewKeeper(cdc, runtime.NewKVStoreService(service(types.StoreKey)), authority, f.accounts, f.bankFail, f.broken)

	f.slasher = wiring.NewSlashingStaking(f.staking, []wiring.Marks{f.k}, []wiring.FlowLog{f.k.Flows}).WithLogs(f.k)
	f.slashing = slashingkeeper.NewKeeper(cdc, enc.Amino, runtime.NewKVStoreService(service(slashingtypes.StoreKey)), f.slasher, authority)
	f.evidence = evidencekeeper.NewKeeper(cdc, runtime.NewKVStoreService(service(evidencetypes.StoreKey)), f.staking, f.slashing,
		address.NewBech32Codec("cosmos"), runtime.ProvideCometInfoService())
	f.mint = mintkeeper.NewKeeper(cdc, runtime.NewKVStoreService(service(minttypes.StoreKey)), wiring.NewMintStaking(f.staking, f.k), f.accounts,
		wiring.NewMintBank(f.bank, f.staking, f.k), authtypes.FeeCollectorName, authority)
	f.gov = govkeeper.NewKeeper(cdc, runtime.NewKVStoreService(service(govtypes.StoreKey)), f.accounts, f.bank, f.distribution, nil,
		govtypes.DefaultConfig(), authority, wiring.NewTally(f.staking, f.k))
	f.staking.SetHooks(stakingtypes.NewMultiStakingHooks(f.distribution.Hooks(), f.slashing.Hooks(), f.k.Hooks()))
	f.k.ConnectSlashing(f.slashing)
	f.k.ConnectIBC(sourceClients{f.clients, f.sources}, fakeConnections{}, f.channels)
	f.ibc = consumer.NewIBCModule(f.k)
	f.msg, f.query = keeper.NewMsgServer(f.k), keeper.NewQueryServer(f.k)
	return f
}

// init gives every module its parameters and the consumer its genesis state.
func (f *fixture) init() {
	f.t.Helper()
	r := require.New(f.t)
	for name := range map[string]bool{
		authtypes.FeeCollectorName: true, distrtypes.ModuleName: true, minttypes.ModuleName: true,
		stakingtypes.BondedPoolName: true, stakingtypes.NotBondedPoolName: true, types.ModuleName: true,
	} {
		f.accounts.GetModuleAccount(f.ctx, name)
	}
	params := stakingtypes.DefaultParams()
	params.MaxValidators = 300
	r.NoError(f.staking.SetParams(f.ctx, params))
	r.NoError(f.distribution.FeePool.Set(f.ctx, distrtypes.InitialFeePool()))
	r.NoError(f.distribution.Params.Set(f.ctx, distrtypes.DefaultParams()))
	r.NoError(f.distribution.SetPreviousProposerConsAddr(f.ctx, sdk.ConsAddress("a proposer of blocks")))
	sp := slashingtypes.DefaultParams()
	sp.SignedBlocksWindow = 10
	r.NoError(f.slashing.SetParams(f.ctx, sp))
	r.NoError(f.bank.SetParams(f.ctx, banktypes.DefaultParams()))
	r.NoError(f.mint.Params.Set(f.ctx, minttypes.DefaultParams()))
	r.NoError(f.mint.Minter.Set(f.ctx, minttypes.DefaultInitialMinter()))
	gs := types.DefaultGenesis()
	gs.Params = testParams()
	r.NoError(f.k.InitGenesis(f.ctx, *gs))
}

func testParams() types.Params {
	p := types.DefaultParams()
	p.EpochDuration = epochTime
	return p
}

func (f *fixture) setParams(change func(*types.Params)) {
	f.t.Helper()
	p, err := f.k.Params.Get(f.ctx)
	require.NoError(f.t, err)
	change(&p)
	require.NoError(f.t, p.Validate())
	require.NoError(f.t, f.k.Params.Set(f.ctx, p))
}

// fund gives new coins of the bond denom to an account.
func (f *fixture) fund(addr sdk.AccAddress, amount sdkmath.Int) {
	f.t.Helper()
	coins := sdk.NewCoins(sdk.NewCoin(bondDenom, amount))
	require.NoError(f.t, f.bank.MintCoins(f.ctx, minttypes.ModuleName, coins))
	require.NoError(f.t, f.bank.SendCoinsFromModuleToAccount(f.ctx, minttypes.ModuleName, addr, coins))
}

func (f *fixture) createValidator(i int, tokens sdkmath.Int) validator {
	f.t.Helper()
	key := ed25519.GenPrivKeyFromSecret([]byte{byte(i), byte(i >> 8)}).PubKey()
	raw := bytes.Repeat([]byte{0}, 20)
	raw[0], raw[1], raw[2] = 1, byte(i>>8), byte(i)
	v := validator{key: key, addr: raw, cons: sdk.ConsAddress(key.Address())}
	f.fund(sdk.AccAddress(v.addr), tokens)
	msg, err := stakingtypes.NewMsgCreateValidator(v.addr.String(), key, sdk.NewCoin(bondDenom, tokens),
		stakingtypes.NewDescription("v", "", "", "", ""),
		stakingtypes.NewCommissionRates(sdkmath.LegacyZeroDec(), sdkmath.LegacyOneDec(), sdkmath.LegacyZeroDec()), sdkmath.OneInt())
	require.NoError(f.t, err)
	_, err = stakingkeeper.NewMsgServerImpl(f.staking).CreateValidator(f.ctx, msg)
	require.NoError(f.t, err)
	f.vals = append(f.vals, v)
	return v
}

// delegate makes a native delegation by a new delegator named by a byte.
func (f *fixture) delegate(name byte, val int, amount sdkmath.Int) sdk.AccAddress {
	f.t.Helper()
	addr := sdk.AccAddress(bytes.Repeat([]byte{name}, 20))
	f.fund(addr, amount)
	_, err := f.staking.Delegate(f.ctx, addr, amount, stakingtypes.Unbonded, f.validator(val), true)
	require.NoError(f.t, err)
	return addr
}

func (f *fixture) validator(i int) stakingtypes.Validator {
	f.t.Helper()
	v, err := f.staking.GetValidator(f.ctx, f.vals[i].addr)
	require.NoError(f.t, err)
	return v
}

// block runs one block: all bonded validators sign but the absent ones, and evidence that is waiting is handled.
func (f *fixture) block(dt time.Duration) {
	f.t.Helper()
	f.begin(dt)
	f.end()
}

func (f *fixture) begin(dt time.Duration) {
	f.t.Helper()
	r := require.New(f.t)
	h := f.ctx.BlockHeight() + 1
	var votes []abci.VoteInfo
	for _, v := range f.vals {
		power, ok := f.powers[h-3][string(v.addr)] // the commit of h−1, by the set that EndBlock of h−3 made
		if !ok || power == 0 {
			continue
		}
		flag := cmtproto.BlockIDFlagCommit
		if f.absent[string(v.addr)] {
			flag = cmtproto.BlockIDFlagAbsent
		}
		votes = append(votes, abci.VoteInfo{Validator: abci.Validator{Address: v.cons, Power: power}, BlockIdFlag: flag})
	}
	f.ctx = f.ctx.WithBlockHeight(h).WithBlockTime(f.ctx.BlockTime().Add(dt)).WithVoteInfos(votes).
		WithEventManager(sdk.NewEventManager())
	f.ctx = f.ctx.WithCometInfo(blockInfo(f.misbehaving))
	f.misbehaving = nil
	r.NoError(f.k.BeginBlock(f.ctx))
	if f.minting {
		r.NoError(mint.BeginBlocker(f.ctx, f.mint))
	}
	r.NoError(slashing.BeginBlocker(f.ctx, f.slashing))
	r.NoError(f.evidence.BeginBlocker(f.ctx))
}

func (f *fixture) end() {
	f.t.Helper()
	r := require.New(f.t)
	r.NoError(f.k.EndBlock(f.ctx))
	_, err := f.staking.EndBlocker(f.ctx)
	r.NoError(err)
	powers := map[string]int64{}
	r.NoError(f.staking.IterateLastValidatorPowers(f.ctx, func(op sdk.ValAddress, power int64) bool {
		powers[string(op)] = power
		return false
	}))
	f.powers[f.ctx.BlockHeight()] = powers
	if !f.quiet {
		f.check()
	}
}

// check asserts the invariants of the module and of x/staking's pools.
func (f *fixture) check() {
	f.t.Helper()
	r := require.New(f.t)
	r.NoError(f.k.CheckInvariants(f.ctx))
	bonded, notBonded := sdkmath.ZeroInt(), sdkmath.ZeroInt()
	vals, err := f.staking.GetAllValidators(f.ctx)
	r.NoError(err)
	for _, v := range vals {
		if v.IsBonded() {
			bonded = bonded.Add(v.Tokens)
		} else {
			notBonded = notBonded.Add(v.Tokens)
		}
		shares := sdkmath.LegacyZeroDec()
		addr, err := f.staking.ValidatorAddressCodec().StringToBytes(v.OperatorAddress)
		r.NoError(err)
		dels, err := f.staking.GetValidatorDelegations(f.ctx, addr)
		r.NoError(err)
		for _, d := range dels {
			shares = shares.Add(d.Shares)
		}
		r.Equal(v.DelegatorShares.String(), shares.String())
	}
	r.NoError(f.staking.IterateUnbondingDelegations(f.ctx, func(_ int64, u stakingtypes.UnbondingDelegation) bool {
		for _, e := range u.Entries {
			notBonded = notBonded.Add(e.Balance)
		}
		return false
	}))
	balance := func(pool string) string {
		return f.bank.GetBalance(f.ctx, authtypes.NewModuleAddress(pool), bondDenom).Amount.String()
	}
	r.Equal(bonded.String(), balance(stakingtypes.BondedPoolName))
	r.Equal(notBonded.String(), balance(stakingtypes.NotBondedPoolName))
	r.Equal("0", balance(types.ModuleName))
	for _, e := range f.ctx.EventManager().ABCIEvents() {
		r.NotEqual("mesh.consumer.v1.EventStageFailed", e.Type, "%v", e.Attributes)
	}
}

// epoch runs the block that ends the epoch.
func (f *fixture) epoch() { f.t.Helper(); f.block(epochTime) }

func blockInfo(misbehaving []abci.Misbehavior) comet.BlockInfo {
	return baseapp.NewBlockInfo(misbehaving, nil, nil, abci.CommitInfo{})
}

func config(id, chain string) types.ProviderConfig {
	return types.ProviderConfig{
		ProviderId: id, ChainId: chain, CollateralDenom: "uosmo", CollateralDecimals: 6, PriceFeed: types.PriceFeedGovernance,
		Discount: sdkmath.LegacyZeroDec(), MaxCap: sdkmath.NewInt(1_000_000_000).MulRaw(oneToken),
		MaxPowerRatio: sdkmath.LegacyNewDecWithPrec(32, 2), GovernanceWeight: sdkmath.LegacyZeroDec(), RewardRatio: sdkmath.LegacyOneDec(),
	}
}

// addProvider registers a provider, opens its channel, posts a price of 1, and lets both sides learn the session.
func (f *fixture) addProvider(id string, change func(*types.ProviderConfig)) {
	f.t.Helper()
	c := config(id, "provider-of-"+id)
	if change != nil {
		change(&c)
	}
	f.clients[id] = c.ChainId
	_, err := f.msg.AddProvider(f.ctx, &types.MsgAddProvider{Authority: authority, Config: c})
	require.NoError(f.t, err)
	f.openChannel(id, "channel-of-"+id)
	f.setPrice(id, "1")
	f.seqs[id] = 0
	ack := f.update(id, nil)
	require.False(f.t, ack.Refused)
}

func (f *fixture) openChannel(id, channel string) {
	f.t.Helper()
	version, err := f.ibc.OnChanOpenInit(f.ctx, channeltypes.UNORDERED, []string{id}, meshtypes.PortConsumer, channel,
		channeltypes.Counterparty{PortId: meshtypes.PortProvider}, "")
	require.NoError(f.t, err)
	f.channels.channels[channel] = channeltypes.Channel{
		Ordering: channeltypes.UNORDERED, ConnectionHops: []string{id}, Version: version,
		Counterparty: channeltypes.Counterparty{PortId: meshtypes.PortProvider},
	}
	require.NoError(f.t, f.ibc.OnChanOpenAck(f.ctx, meshtypes.PortConsumer, channel, "channel-9", version))
}

func (f *fixture) setPrice(id, price string) {
	f.t.Helper()
	_, err := f.msg.SetPrice(f.ctx, &types.MsgSetPrice{Authority: authority, ProviderId: id, Price: sdkmath.LegacyMustNewDecFromStr(price)})
	require.NoError(f.t, err)
}

func (f *fixture) provider(id string) types.Provider {
	f.t.Helper()
	p, err := f.k.GetProvider(f.ctx, id)
	require.NoError(f.t, err)
	return p
}

// session is the session as the provider knows it once both halves have been learned.
func (f *fixture) session(id string) meshtypes.Session {
	return meshtypes.Session{Provider: peerHalf, Consumer: f.provider(id).Session.Consumer}
}

// packet builds the provider's next update: amounts, in whole tokens, by index of the validator.
func (f *fixture) packet(id string, amounts map[int]int64) meshtypes.StakeUpdate {
	f.seqs[id]++
	u := meshtypes.StakeUpdate{
		Session: f.session(id), Seq: f.seqs[id], UnbondingPeriod: uint64(21 * 24 * time.Hour),
		SyncedAt: uint64(f.ctx.BlockTime().UnixNano()), SlashSeq: f.recorded[id],
	}
	for i, v := range f.vals {
		if amount, ok := amounts[i]; ok {
			u.Stakes = append(u.Stakes, meshtypes.Stake{Validator: v.addr, Amount: sdkmath.NewInt(amount).MulRaw(oneToken)})
		}
	}
	return u
}

// receive delivers a packet over the provider's channel and returns the acknowledgement; ok is false for an error.
func (f *fixture) receive(id string, data []byte) (ack meshtypes.StakeUpdateAck, ok bool) {
	f.t.Helper()
	cacheCtx, write := f.ctx.CacheContext()
	result := f.ibc.OnRecvPacket(cacheCtx, meshtypes.Version, channeltypes.Packet{Data: data, DestinationChannel: "channel-of-" + id}, nil)
	if !result.Success() {
		return ack, false
	}
	write()
	bz, failed, err := meshtypes.ParseAck(result.Acknowledgement())
	require.NoError(f.t, err)
	require.False(f.t, failed)
	ack, err = meshtypes.UnmarshalStakeUpdateAck(bz)
	require.NoError(f.t, err)
	return ack, true
}

func (f *fixture) deliver(id string, u meshtypes.StakeUpdate) meshtypes.StakeUpdateAck {
	f.t.Helper()
	bz, err := u.Marshal()
	require.NoError(f.t, err)
	ack, ok := f.receive(id, bz)
	require.True(f.t, ok)
	return ack
}

// update sends the provider's next update.
func (f *fixture) update(id string, amounts map[int]int64) meshtypes.StakeUpdateAck {
	f.t.Helper()
	return f.deliver(id, f.packet(id, amounts))
}

// virtual returns a provider's virtual stake on a validator.
func (f *fixture) virtual(id string, val int) sdkmath.Int {
	f.t.Helper()
	tokens, err := f.k.VirtualTokens(f.ctx, id, f.vals[val].addr)
	require.NoError(f.t, err)
	return tokens
}

func (f *fixture) requireVirtual(id string, val int, tokens int64) {
	f.t.Helper()
	require.Equal(f.t, sdkmath.NewInt(tokens).MulRaw(oneToken).String(), f.virtual(id, val).String(), "%s on %d", id, val)
}

func (f *fixture) record(id string, val int) types.StakeRecord {
	f.t.Helper()
	rec, err := f.k.Stakes.Get(f.ctx, key(id, f.vals[val].addr))
	require.NoError(f.t, err)
	return rec
}

// reports takes the reports sent since the last call.
func (f *fixture) reports() (out []meshtypes.ConsumerReport) {
	f.t.Helper()
	for _, p := range f.channels.sent {
		r, err := meshtypes.UnmarshalReport(p.data)
		require.NoError(f.t, err)
		out = append(out, r)
	}
	f.channels.sent = nil
	return out
}

// ack answers a report as the provider does.
func (f *fixture) ack(id string, r meshtypes.ConsumerReport, change func(*meshtypes.ReportAck)) {
	f.t.Helper()
	a := meshtypes.ReportAck{Echo: r.Session, Current: f.session(id), Seq: r.Seq, SlashSeq: f.recorded[id]}
	if change != nil {
		change(&a)
	}
	result, err := a.Marshal()
	require.NoError(f.t, err)
	f.ackBytes(id, r, channeltypes.NewResultAcknowledgement(result).Acknowledgement())
}

func (f *fixture) ackBytes(id string, r meshtypes.ConsumerReport, ack []byte) {
	f.t.Helper()
	data, err := r.Marshal()
	require.NoError(f.t, err)
	require.NoError(f.t, f.ibc.OnAcknowledgementPacket(f.ctx, meshtypes.Version,
		channeltypes.Packet{Data: data, SourceChannel: "channel-of-" + id}, ack, nil))
}

func (f *fixture) timeout(id string, r meshtypes.ConsumerReport) {
	f.t.Helper()
	data, err := r.Marshal()
	require.NoError(f.t, err)
	require.NoError(f.t, f.ibc.OnTimeoutPacket(f.ctx, meshtypes.Version,
		channeltypes.Packet{Data: data, SourceChannel: "channel-of-" + id}, nil))
}

// has says whether the block emitted an event of the type.
func (f *fixture) has(event string) bool {
	for _, e := range f.ctx.EventManager().ABCIEvents() {
		if e.Type == "mesh.consumer.v1."+event {
			return true
		}
	}
	return false
}
