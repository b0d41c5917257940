// Package testutil sets the provider module up for tests: on x/auth, x/bank, x/staking, x/slashing and x/distribution as
// they are, over a store in memory, with fakes only for IBC.
package testutil

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/core/store"
	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/codec"
	addresscodec "github.com/cosmos/cosmos-sdk/codec/address"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	"github.com/cosmos/cosmos-sdk/crypto/keys/ed25519"
	"github.com/cosmos/cosmos-sdk/runtime"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdktestutil "github.com/cosmos/cosmos-sdk/testutil"
	sdk "github.com/cosmos/cosmos-sdk/types"
	moduletestutil "github.com/cosmos/cosmos-sdk/types/module/testutil"
	"github.com/cosmos/cosmos-sdk/x/auth"
	authkeeper "github.com/cosmos/cosmos-sdk/x/auth/keeper"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/cosmos/cosmos-sdk/x/auth/vesting"
	"github.com/cosmos/cosmos-sdk/x/bank"
	bankkeeper "github.com/cosmos/cosmos-sdk/x/bank/keeper"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	distrkeeper "github.com/cosmos/cosmos-sdk/x/distribution/keeper"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	slashingkeeper "github.com/cosmos/cosmos-sdk/x/slashing/keeper"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	"github.com/cosmos/cosmos-sdk/x/staking"
	stakingkeeper "github.com/cosmos/cosmos-sdk/x/staking/keeper"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	ibcexported "github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider"
	"github.com/mesh-security/mesh/x/provider/keeper"
	"github.com/mesh-security/mesh/x/provider/types"
)

const (
	// ChainID is the id of the fixture's own chain.
	ChainID = "provider-1"
	// Denom is its bond denom.
	Denom = "stake"
	// BlockTime is the time between two blocks.
	BlockTime = 5 * time.Second
	// Unbonding is the native unbonding period.
	Unbonding = 21 * 24 * time.Hour
	// Prefix is the bech32 prefix of consumers' operators.
	Prefix = "consumervaloper"
)

// TB is what the fixture needs of a test; *testing.T and rapid's *rapid.T have it.
type TB interface {
	require.TestingT
	Helper()
}

// Fixture is a provider chain without blocks' transport: messages are run one by one, NextBlock runs EndBlock.
type Fixture struct {
	TB

	Ctx sdk.Context

	Codec    codec.Codec
	Accounts authkeeper.AccountKeeper
	Bank     bankkeeper.BaseKeeper
	Staking  *stakingkeeper.Keeper
	Slashing slashingkeeper.Keeper
	Distr    distrkeeper.Keeper
	Provider *keeper.Keeper
	Module   *provider.IBCModule
	ModuleV2 *provider.IBCModuleV2
	IBC      *IBC

	// ICS20 stands for ICS-20, Transfers is the middleware before it.
	ICS20     *ICS20
	Transfers *provider.TransferMiddleware

	Msgs        types.MsgServer
	Queries     types.QueryServer
	StakingMsgs stakingtypes.MsgServer
	Authority   string

	// Broken lists delegators, as bytes, whose native delegations cannot be read by the module: it panics.
	Broken map[string]bool

	// Unburnable lists delegators, as bytes, whose native delegations cannot be taken by the module: it panics.
	Unburnable map[string]bool

	// Late, if set, runs once between this module's EndBlock and x/staking's, as a contract's own does.
	Late func()

	// EndBlock, if set, runs in place of the module's EndBlocker.
	EndBlock func() error

	// NoInvariants leaves out the check of invariants at the end of every block.
	NoInvariants bool

	keys     map[string]*storetypes.KVStoreKey
	accounts uint64
}

// New returns a chain at height 1,000 with default parameters, a smallest cross-stake of 1 and no validators.
func New(tb TB) *Fixture {
	tb.Helper()
	return newFixture(tb, false)
}

// NewLarge returns the same over stores that are quick with very many keys. They are written to at the end of each block.
func NewLarge(tb TB) *Fixture {
	tb.Helper()
	return newFixture(tb, true)
}

func newFixture(tb TB, large bool) *Fixture {
	tb.Helper()
	names := []string{
		authtypes.StoreKey, banktypes.StoreKey, stakingtypes.StoreKey, slashingtypes.StoreKey, distrtypes.StoreKey, types.StoreKey,
		ibcexported.StoreKey,
	}
	keys := storetypes.NewKVStoreKeys(names...)
	ctx := sdktestutil.DefaultContextWithKeys(keys, nil, nil).
		WithBlockHeader(cmtproto.Header{ChainID: ChainID, Height: 1_000, Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}).
		WithChainID(ChainID).WithLogger(log.NewNopLogger())
	if large {
		ctx = ctx.WithMultiStore(trees(keys))
	}
	enc := moduletestutil.MakeTestEncodingConfig(auth.AppModuleBasic{}, bank.AppModuleBasic{}, staking.AppModuleBasic{}, vesting.AppModuleBasic{}, ibctm.AppModuleBasic{}, provider.AppModule{})
	cdc := enc.Codec
	authority := authtypes.NewModuleAddress("gov").String()
	accCodec := addresscodec.NewBech32Codec(sdk.GetConfig().GetBech32AccountAddrPrefix())
	valCodec := addresscodec.NewBech32Codec(sdk.GetConfig().GetBech32ValidatorAddrPrefix())
	consCodec := addresscodec.NewBech32Codec(sdk.GetConfig().GetBech32ConsensusAddrPrefix())
	perms := map[string][]string{
		authtypes.FeeCollectorName:     nil,
		distrtypes.ModuleName:          nil,
		minttypes.ModuleName:           {authtypes.Minter},
		stakingtypes.BondedPoolName:    {authtypes.Burner, authtypes.Staking},
		stakingtypes.NotBondedPoolName: {authtypes.Burner, authtypes.Staking},
	}
	blocked := map[string]bool{authtypes.NewModuleAddress(stakingtypes.BondedPoolName).String(): true}
	service := func(name string) store.KVStoreService { return runtime.NewKVStoreService(keys[name]) }

	f := &Fixture{TB: tb, Ctx: ctx, Codec: cdc, Authority: authority, IBC: NewIBC(), keys: keys}
	f.Accounts = authkeeper.NewAccountKeeper(cdc, service(authtypes.StoreKey), authtypes.ProtoBaseAccount, perms, accCodec, sdk.GetConfig().GetBech32AccountAddrPrefix(), authority)
	f.Bank = bankkeeper.NewBaseKeeper(cdc, service(banktypes.StoreKey), f.Accounts, blocked, authority, log.NewNopLogger())
	f.Staking = stakingkeeper.NewKeeper(cdc, service(stakingtypes.StoreKey), f.Accounts, f.Bank, authority, valCodec, consCodec)
	f.Slashing = slashingkeeper.NewKeeper(cdc, enc.Amino, service(slashingtypes.StoreKey), f.Staking, authority)
	f.Distr = distrkeeper.NewKeeper(cdc, service(distrtypes.StoreKey), f.Accounts, f.Bank, f.Staking, authtypes.FeeCollectorName, authority)
	f.Broken, f.Unburnable = map[string]bool{}, map[string]bool{}
	f.Provider = keeper.NewKeeper(cdc, service(types.StoreKey), authority, f.Accounts, f.Bank, brokenStaking{f.Staking, f.Broken, f.Unburnable}, nil)
	f.Provider.ConnectSlashing(f.Slashing)
	f.Provider.ConnectStakingQuerier(stakingkeeper.NewQuerier(f.Staking))
	f.Provider.ConnectDistribution(f.Distr)
	f.IBC.Module = ibctm.NewLightClientModule(cdc, clienttypes.NewStoreProvider(service(ibcexported.StoreKey)))
	f.Provider.ConnectIBC(f.IBC, f.IBC, f.IBC)
	f.Staking.SetHooks(stakingtypes.NewMultiStakingHooks(f.Distr.Hooks(), f.Slashing.Hooks(), f.Provider.Hooks()))
	f.Module = provider.NewIBCModule(f.Provider)
	f.ModuleV2 = provider.NewIBCModuleV2(f.Provider)
	f.IBC.V2 = f.ModuleV2
	f.Provider.ConnectIBCV2(f.IBC, SenderV2{f.IBC})
	f.connectTransfer()
	f.Msgs, f.Queries = keeper.NewMsgServer(f.Provider), keeper.NewQueryServer(f.Provider)
	f.StakingMsgs = stakingkeeper.NewMsgServerImpl(f.Staking)

	require.NoError(f, f.Accounts.Params.Set(ctx, authtypes.DefaultParams()))
	require.NoError(f, f.Bank.SetParams(ctx, banktypes.DefaultParams()))
	stakingParams := stakingtypes.DefaultParams()
	stakingParams.UnbondingTime = Unbonding
	require.NoError(f, f.Staking.SetParams(ctx, stakingParams))
	require.NoError(f, f.Slashing.SetParams(ctx, slashingtypes.DefaultParams()))
	f.Distr.InitGenesis(ctx, *distrtypes.DefaultGenesisState())
	f.Staking.InitGenesis(ctx, &stakingtypes.GenesisState{Params: stakingParams, LastTotalPower: sdkmath.ZeroInt()})
	g := types.DefaultGenesis()
	g.Params.MinCrossStake = sdkmath.OneInt()
	require.NoError(f, f.Provider.InitGenesis(ctx, *g))
	return f
}

// brokenStaking is x/staking's keeper with a fault.
type brokenStaking struct {
	*stakingkeeper.Keeper
	broken, unburnable map[string]bool
}

// Unbond panics for delegators that are unburnable.
func (s brokenStaking) Unbond(ctx context.Context, delegator sdk.AccAddress, val sdk.ValAddress, shares sdkmath.LegacyDec) (sdkmath.Int, error) {
	if s.unburnable[string(delegator)] {
		panic("unburnable")
	}
	return s.Keeper.Unbond(ctx, delegator, val, shares)
}

// IterateDelegatorDelegations panics for delegators that are broken.
func (s brokenStaking) IterateDelegatorDelegations(ctx context.Context, delegator sdk.AccAddress, cb func(stakingtypes.Delegation) bool) error {
	if s.broken[string(delegator)] {
		panic("broken")
	}
	return s.Keeper.IterateDelegatorDelegations(ctx, delegator, cb)
}

// SetNativeRatio sets this chain's own double-sign fraction; the module takes it over at the end of an epoch.
func (f *Fixture) SetNativeRatio(ratio string) {
	f.Helper()
	p, err := f.Slashing.GetParams(f.Ctx)
	require.NoError(f, err)
	p.SlashFractionDoubleSign = sdkmath.LegacyMustNewDecFromStr(ratio)
	require.NoError(f, f.Slashing.SetParams(f.Ctx, p))
}

// SetParams changes the module's parameters.
func (f *Fixture) SetParams(change func(*types.Params)) {
	f.Helper()
	p, err := f.Provider.Params.Get(f.Ctx)
	require.NoError(f, err)
	change(&p)
	require.NoError(f, p.Validate())
	require.NoError(f, f.Provider.Params.Set(f.Ctx, p))
}

// Try runs fn like a transaction: its writes are kept only if it succeeds.
func (f *Fixture) Try(fn func(ctx sdk.Context) error) error {
	cacheCtx, write := f.Ctx.CacheContext()
	if err := fn(cacheCtx); err != nil {
		return err
	}
	write()
	return nil
}

// Address returns a new address of 20 bytes.
func (f *Fixture) Address() sdk.AccAddress {
	f.accounts++
	addr := make([]byte, 20)
	copy(addr, "account")
	binary.BigEndian.PutUint64(addr[12:], f.accounts)
	return addr
}

// Account returns a new account with an amount of the bond denom.
func (f *Fixture) Account(amount sdkmath.Int) sdk.AccAddress {
	f.Helper()
	addr := f.Address()
	f.Fund(addr, amount)
	return addr
}

// Fund mints an amount of the bond denom to an account.
func (f *Fixture) Fund(addr sdk.AccAddress, amount sdkmath.Int) {
	f.Helper()
	if !amount.IsPositive() {
		return
	}
	coins := sdk.NewCoins(sdk.NewCoin(Denom, amount))
	require.NoError(f, f.Bank.MintCoins(f.Ctx, minttypes.ModuleName, coins))
	require.NoError(f, f.Bank.SendCoinsFromModuleToAccount(f.Ctx, minttypes.ModuleName, addr, coins))
}

// Validator creates a native validator with a self-delegation and a minimum of it.
func (f *Fixture) Validator(self, minSelf int64) sdk.ValAddress {
	f.Helper()
	addr := f.Account(sdkmath.NewInt(self))
	pub := ed25519.GenPrivKeyFromSecret(addr).PubKey()
	anyPub, err := codectypes.NewAnyWithValue(pub)
	require.NoError(f, err)
	val := sdk.ValAddress(addr)
	_, err = f.StakingMsgs.CreateValidator(f.Ctx, &stakingtypes.MsgCreateValidator{
		Description:       stakingtypes.Description{Moniker: "v"},
		Commission:        stakingtypes.NewCommissionRates(sdkmath.LegacyZeroDec(), sdkmath.LegacyOneDec(), sdkmath.LegacyOneDec()),
		MinSelfDelegation: sdkmath.NewInt(minSelf), ValidatorAddress: val.String(),
		Pubkey: anyPub, Value: sdk.NewInt64Coin(Denom, self),
	})
	require.NoError(f, err)
	return val
}

// Delegator returns a new account that has delegated an amount to a native validator.
func (f *Fixture) Delegator(val sdk.ValAddress, amount int64) sdk.AccAddress {
	f.Helper()
	addr := f.Account(sdkmath.NewInt(amount))
	require.NoError(f, f.Delegate(addr, val, amount))
	return addr
}

// Delegate delegates natively.
func (f *Fixture) Delegate(addr sdk.AccAddress, val sdk.ValAddress, amount int64) error {
	return f.Try(func(ctx sdk.Context) error {
		_, err := f.StakingMsgs.Delegate(ctx, stakingtypes.NewMsgDelegate(addr.String(), val.String(), sdk.NewInt64Coin(Denom, amount)))
		return err
	})
}

// Undelegate undelegates natively.
func (f *Fixture) Undelegate(addr sdk.AccAddress, val sdk.ValAddress, amount int64) error {
	return f.Try(func(ctx sdk.Context) error {
		_, err := f.StakingMsgs.Undelegate(ctx, stakingtypes.NewMsgUndelegate(addr.String(), val.String(), sdk.NewInt64Coin(Denom, amount)))
		return err
	})
}

// Redelegate redelegates natively.
func (f *Fixture) Redelegate(addr sdk.AccAddress, from, to sdk.ValAddress, amount int64) error {
	return f.Try(func(ctx sdk.Context) error {
		_, err := f.StakingMsgs.BeginRedelegate(ctx, stakingtypes.NewMsgBeginRedelegate(addr.String(), from.String(), to.String(), sdk.NewInt64Coin(Denom, amount)))
		return err
	})
}

// NativeSlash slashes a native validator, at its present power, for an infraction so many blocks ago.
func (f *Fixture) NativeSlash(val sdk.ValAddress, ago int64, fraction string) sdkmath.Int {
	f.Helper()
	v, err := f.Staking.GetValidator(f.Ctx, val)
	require.NoError(f, err)
	return f.NativeSlashPower(val, ago, v.ConsensusPower(f.Staking.PowerReduction(f.Ctx)), fraction)
}

// NativeSlashPower slashes a native validator that had some power at the infraction so many blocks ago, and marks it, as
// the decorator on x/slashing's staking keeper does.
func (f *Fixture) NativeSlashPower(val sdk.ValAddress, ago, power int64, fraction string) sdkmath.Int {
	f.Helper()
	v, err := f.Staking.GetValidator(f.Ctx, val)
	require.NoError(f, err)
	cons, err := v.GetConsAddr()
	require.NoError(f, err)
	burned, err := f.Staking.Slash(f.Ctx, cons, f.Ctx.BlockHeight()-ago, power, sdkmath.LegacyMustNewDecFromStr(fraction))
	require.NoError(f, err)
	require.NoError(f, f.Provider.MarkSlashed(f.Ctx, cons))
	return burned
}

// CancelUndelegation cancels a native unbonding entry.
func (f *Fixture) CancelUndelegation(addr sdk.AccAddress, val sdk.ValAddress, height, amount int64) error {
	return f.Try(func(ctx sdk.Context) error {
		_, err := f.StakingMsgs.CancelUnbondingDelegation(ctx, stakingtypes.NewMsgCancelUnbondingDelegation(addr.String(), val.String(), height, sdk.NewInt64Coin(Denom, amount)))
		return err
	})
}

// Entries returns the native unbonding entries of a delegation.
func (f *Fixture) Entries(addr sdk.AccAddress, val sdk.ValAddress) []stakingtypes.UnbondingDelegationEntry {
	ubd, err := f.Staking.GetUnbondingDelegation(f.Ctx, addr, val)
	if err != nil {
		return nil
	}
	return ubd.Entries
}

// Balance returns an account's balance of the bond denom.
func (f *Fixture) Balance(addr sdk.AccAddress) sdkmath.Int {
	return f.Bank.GetBalance(f.Ctx, addr, Denom).Amount
}

// Store returns what a module's store holds.
func (f *Fixture) Store(name string) map[string]string {
	f.Helper()
	out := map[string]string{}
	it := f.Ctx.KVStore(f.keys[name]).Iterator(nil, nil)
	for ; it.Valid(); it.Next() {
		out[string(it.Key())] = string(it.Value())
	}
	require.NoError(f, it.Close())
	return out
}

// Clear empties a module's store.
func (f *Fixture) Clear(name string) {
	f.Helper()
	for key := range f.Store(name) {
		f.Ctx.KVStore(f.keys[name]).Delete([]byte(key))
	}
}

// NextBlock ends the block as the app does, this module before x/staking, checks invariants, and begins the next.
func (f *Fixture) NextBlock() { f.Helper(); f.NextBlockAfter(BlockTime) }

// NextBlockAfter does the same, with the next block some time later.
func (f *Fixture) NextBlockAfter(d time.Duration) {
	f.Helper()
	end := f.EndBlock
	if end == nil {
		end = func() error { return f.Provider.EndBlocker(f.Ctx) }
	}
	require.NoError(f, end())
	if late := f.Late; late != nil {
		f.Late = nil
		late()
	}
	_, err := f.Staking.EndBlocker(f.Ctx)
	require.NoError(f, err)
	if !f.NoInvariants {
		require.NoError(f, f.Provider.CheckInvariants(f.Ctx), "height %d", f.Ctx.BlockHeight())
		f.checkNotBondedPool()
	}
	if branch, ok := f.Ctx.MultiStore().(storetypes.CacheMultiStore); ok {
		branch.Write()
	}
	header := f.Ctx.BlockHeader()
	header.Height++
	header.Time = header.Time.Add(d)
	f.Ctx = f.Ctx.WithBlockHeader(header).WithEventManager(sdk.NewEventManager())
}

// checkNotBondedPool checks that x/staking's not-bonded pool holds what entries and unbonded validators say.
func (f *Fixture) checkNotBondedPool() {
	f.Helper()
	want := map[bool]sdkmath.Int{true: sdkmath.ZeroInt(), false: sdkmath.ZeroInt()}
	require.NoError(f, f.Staking.IterateUnbondingDelegations(f.Ctx, func(_ int64, ubd stakingtypes.UnbondingDelegation) bool {
		for _, e := range ubd.Entries {
			want[false] = want[false].Add(e.Balance)
		}
		return false
	}))
	validators, err := f.Staking.GetAllValidators(f.Ctx)
	require.NoError(f, err)
	for _, v := range validators {
		want[v.IsBonded()] = want[v.IsBonded()].Add(v.Tokens)
	}
	for bonded, pool := range map[bool]string{true: stakingtypes.BondedPoolName, false: stakingtypes.NotBondedPoolName} {
		have := f.Bank.GetBalance(f.Ctx, f.Accounts.GetModuleAddress(pool), Denom).Amount
		require.Equal(f, want[bonded].String(), have.String(), "%s at height %d", pool, f.Ctx.BlockHeight())
	}
}

// Blocks runs n blocks.
func (f *Fixture) Blocks(n int) {
	f.Helper()
	for range n {
		f.NextBlock()
	}
}

// Skip lets time pass in blocks of at most an hour, or of d/60 if that is longer.
func (f *Fixture) Skip(d time.Duration) {
	f.Helper()
	step := max(time.Hour, d/60)
	for d > 0 {
		f.NextBlockAfter(min(d, step))
		d -= step
	}
	f.NextBlock()
}

// Epoch runs blocks until the module's epoch has ended.
func (f *Fixture) Epoch() {
	f.Helper()
	p, err := f.Provider.Params.Get(f.Ctx)
	require.NoError(f, err)
	e, err := f.Provider.Epoch.Get(f.Ctx)
	require.NoError(f, err)
	if e.Number == 0 {
		f.NextBlock()
		if e, err = f.Provider.Epoch.Get(f.Ctx); err != nil {
			require.NoError(f, err)
		}
	}
	if left := e.Start.Add(p.EpochDuration).Sub(f.Ctx.BlockTime()); left > 0 {
		f.NextBlockAfter(left)
	}
	f.NextBlock()
}

// Config returns the configuration of a consumer with a slash fraction of 10 % and an unbonding period of 14 days.
func Config(clientID string) types.ConsumerConfig {
	return types.ConsumerConfig{
		ClientId: clientID, ChainId: "consumer-" + clientID + "-4", ValidatorPrefix: Prefix,
		UnbondingPeriod:            14 * 24 * time.Hour,
		MaxSlashFractionDoubleSign: sdkmath.LegacyNewDecWithPrec(10, 2),
		MaxSlashFractionDowntime:   sdkmath.LegacyNewDecWithPrec(1, 2),
		SlashPolicy:                types.DefaultSlashPolicy(sdkmath.LegacyNewDecWithPrec(1, 2)),
	}
}

// Consumer is the far end of a pairing, played by the test.
type Consumer struct {
	f        *Fixture
	ClientID string
	Channel  string
	// Session is what the consumer knows.
	Session meshtypes.Session
	// Seq is the seq of its last report.
	Seq uint64
	// Height is its height.
	Height uint64
	// Stored are the amounts it applied, by operator, with their seq.
	Stored map[string]meshtypes.Stake
	Seqs   map[string]uint64
	// Code overrides the code that it answers a listing with.
	Code func(operator []byte) meshtypes.StakeCode
}

// Consumer registers a consumer with a client of its own and opens its channel. change may alter the configuration.
func (f *Fixture) Consumer(clientID string, change func(*types.ConsumerConfig)) *Consumer {
	f.Helper()
	cfg := Config(clientID)
	if change != nil {
		change(&cfg)
	}
	f.IBC.AddClient(clientID, cfg.ChainId, cfg.UnbondingPeriod)
	_, err := f.Msgs.AddConsumer(f.Ctx, &types.MsgAddConsumer{Authority: f.Authority, Config: cfg})
	require.NoError(f, err)
	c := &Consumer{f: f, ClientID: clientID, Height: 5_000_000, Stored: map[string]meshtypes.Stake{}, Seqs: map[string]uint64{}}
	c.Session.Consumer = uint64(f.Ctx.BlockTime().UnixNano()) + 7
	require.NoError(f, c.Open("channel-"+clientID))
	return c
}

// Open opens a channel from the consumer's side.
func (c *Consumer) Open(channelID string) error {
	conn := "connection-" + c.ClientID
	_, err := c.f.Module.OnChanOpenTry(c.f.Ctx, channeltypes.UNORDERED, []string{conn}, types.PortID, channelID,
		channeltypes.Counterparty{PortId: meshtypes.PortConsumer, ChannelId: "channel-7"}, meshtypes.Version)
	if err != nil {
		return err
	}
	c.f.IBC.Channels[channelID] = channeltypes.Channel{
		State: channeltypes.OPEN, Ordering: channeltypes.UNORDERED, Version: meshtypes.Version, ConnectionHops: []string{conn},
		Counterparty: channeltypes.Counterparty{PortId: meshtypes.PortConsumer, ChannelId: "channel-7"},
	}
	if err := c.f.Module.OnChanOpenConfirm(c.f.Ctx, types.PortID, channelID); err != nil {
		return err
	}
	c.Channel = channelID
	return nil
}

// Receive plays the consumer's side of a StakeUpdate and returns its acknowledgement, as IBC carries it.
func (c *Consumer) Receive(p Packet) []byte {
	c.f.Helper()
	u := p.Update()
	next, learned := c.Session.Learn(meshtypes.SideConsumer, u.Session)
	if learned {
		c.Session, c.Seq = next, 0
		c.Stored, c.Seqs = map[string]meshtypes.Stake{}, map[string]uint64{}
	}
	c.Height++
	ack := meshtypes.StakeUpdateAck{Echo: u.Session, Current: c.Session, Seq: u.Seq, Height: meshtypes.NewHeight(4, c.Height)}
	if ack.Refused = !c.Session.Accepts(meshtypes.SideConsumer, u.Session); !ack.Refused {
		for _, s := range u.Stakes {
			code, op := meshtypes.STAKE_CODE_STORED, string(s.Validator)
			if c.Seqs[op] >= u.Seq {
				code = meshtypes.STAKE_CODE_STALE
			}
			if c.Code != nil {
				code = c.Code(s.Validator)
			}
			if code == meshtypes.STAKE_CODE_STORED {
				c.Stored[op], c.Seqs[op] = s, u.Seq
			}
			ack.Codes = append(ack.Codes, code)
		}
	}
	bz, err := ack.Marshal()
	require.NoError(c.f, err)
	return channeltypes.NewResultAcknowledgement(bz).Acknowledgement()
}

// packet is a packet from our side as IBC hands it back.
func (c *Consumer) packet(p Packet) channeltypes.Packet {
	return channeltypes.NewPacket(p.Data, 1, types.PortID, p.Channel, meshtypes.PortConsumer, "channel-7", clienttypes.ZeroHeight(), uint64(p.Timeout.UnixNano()))
}

// Acknowledge hands an acknowledgement of a packet to the module.
func (c *Consumer) Acknowledge(p Packet, ack []byte) {
	c.f.Helper()
	require.NoError(c.f, c.f.Module.OnAcknowledgementPacket(c.f.Ctx, meshtypes.Version, c.packet(p), ack, nil))
}

// Timeout hands a timeout of a packet to the module.
func (c *Consumer) Timeout(p Packet) {
	c.f.Helper()
	require.NoError(c.f, c.f.Module.OnTimeoutPacket(c.f.Ctx, meshtypes.Version, c.packet(p), nil))
}

// Relay delivers the packets sent to this consumer and their acknowledgements, and returns the updates.
func (c *Consumer) Relay() []meshtypes.StakeUpdate {
	c.f.Helper()
	var updates []meshtypes.StakeUpdate
	var others []Packet
	for _, p := range c.f.IBC.Take() {
		if p.Channel != c.Channel {
			others = append(others, p)
			continue
		}
		updates = append(updates, p.Update())
		c.Acknowledge(p, c.Receive(p))
	}
	c.f.IBC.Sent = append(others, c.f.IBC.Sent...)
	return updates
}

// Operator returns the operator address of the consumer's n-th validator.
func Operator(n int) []byte {
	op := bytes.Repeat([]byte{0x11}, 20)
	binary.BigEndian.PutUint32(op, uint32(n))
	return op
}

// OperatorString returns the bech32 operator address of the consumer's n-th validator.
func OperatorString(n int) string {
	return types.ConsumerConfig{ValidatorPrefix: Prefix}.FormatValidator(Operator(n))
}

// ConsensusKey returns the private consensus key of the consumer's n-th validator.
func ConsensusKey(n int) cmted25519.PrivKey { return cmted25519.GenPrivKeyFromSecret(Operator(n)) }

// ValidatorReport returns a report of the consumer's n-th validator as bonded.
func ValidatorReport(n int) meshtypes.ValidatorReport {
	return meshtypes.ValidatorReport{
		Operator: Operator(n), Status: meshtypes.VALIDATOR_STATUS_BONDED,
		ConsensusKey: meshtypes.ConsensusKey{Type: cmted25519.KeyType, Key: ConsensusKey(n).PubKey().Bytes()},
		KeyHeight:    meshtypes.NewHeight(4, 1),
	}
}

// Message returns a report that lists validators, with the next seq.
func (c *Consumer) Message(validators ...meshtypes.ValidatorReport) meshtypes.ConsumerReport {
	c.Seq++
	return meshtypes.ConsumerReport{Session: c.Session, Seq: c.Seq, Validators: validators, FirstIndex: 1, FreshnessLimit: uint64(10 * 24 * time.Hour)}
}

// Send hands a report to the module and returns its acknowledgement; isError for an error acknowledgement.
func (c *Consumer) Send(r meshtypes.ConsumerReport) (ack meshtypes.ReportAck, isError bool) {
	c.f.Helper()
	bz, err := r.Marshal()
	require.NoError(c.f, err)
	return c.SendBytes(bz)
}

// SendBytes hands any bytes to the module as a packet.
func (c *Consumer) SendBytes(bz []byte) (ack meshtypes.ReportAck, isError bool) {
	c.f.Helper()
	p := channeltypes.NewPacket(bz, 1, meshtypes.PortConsumer, "channel-7", types.PortID, c.Channel, clienttypes.ZeroHeight(), 1)
	var out []byte
	// IBC keeps the writes of successful acknowledgements only.
	_ = c.f.Try(func(ctx sdk.Context) error {
		res := c.f.Module.OnRecvPacket(ctx, meshtypes.Version, p, nil)
		out = res.Acknowledgement()
		if !res.Success() {
			return fmt.Errorf("error acknowledgement")
		}
		return nil
	})
	result, isError, err := meshtypes.ParseAck(out)
	require.NoError(c.f, err)
	if isError {
		return ack, true
	}
	ack, err = meshtypes.UnmarshalReportAck(result)
	require.NoError(c.f, err)
	if next, learned := c.Session.Learn(meshtypes.SideConsumer, ack.Current); learned {
		c.Session, c.Seq = next, 0
		c.Stored, c.Seqs = map[string]meshtypes.Stake{}, map[string]uint64{}
	}
	return ack, false
}

// Bond reports n validators, numbered from 1, as bonded, and makes both sides know each other's session.
func (c *Consumer) Bond(n int) {
	c.f.Helper()
	for range 3 { // the first reports may be refused: they teach sessions
		var reports []meshtypes.ValidatorReport
		for i := 1; i <= n; i++ {
			reports = append(reports, ValidatorReport(i))
		}
		ack, isError := c.Send(c.Message(reports...))
		require.False(c.f, isError)
		if !ack.Refused {
			return
		}
	}
	require.Fail(c.f, "sessions did not converge")
}

// Execute reports that the consumer has executed what it stored for its n-th validator.
func (c *Consumer) Execute(n int) {
	c.f.Helper()
	r := ValidatorReport(n)
	c.Height += 3
	r.ExecutedSeq, r.ExecutedHeight = c.Seqs[string(r.Operator)], meshtypes.NewHeight(4, c.Height)
	ack, isError := c.Send(c.Message(r))
	require.False(c.f, isError || ack.Refused)
}

// Stake cross-stakes to the consumer's n-th validator.
func (c *Consumer) Stake(addr sdk.AccAddress, n int, amount int64) error {
	return c.StakeInt(addr, n, sdkmath.NewInt(amount))
}

// StakeInt cross-stakes any amount.
func (c *Consumer) StakeInt(addr sdk.AccAddress, n int, amount sdkmath.Int) error {
	return c.f.Try(func(ctx sdk.Context) error {
		_, err := c.f.Msgs.CrossStake(ctx, &types.MsgCrossStake{
			Delegator: addr.String(), ConsumerId: c.ClientID, Validator: OperatorString(n), Amount: sdk.Coin{Denom: Denom, Amount: amount},
		})
		return err
	})
}

// Unstake cross-unstakes from the consumer's n-th validator.
func (c *Consumer) Unstake(addr sdk.AccAddress, n int, amount int64) error {
	return c.f.Try(func(ctx sdk.Context) error {
		_, err := c.f.Msgs.CrossUnstake(ctx, &types.MsgCrossUnstake{
			Delegator: addr.String(), ConsumerId: c.ClientID, Validator: OperatorString(n), Amount: sdk.NewInt64Coin(Denom, amount),
		})
		return err
	})
}

// Redelegate moves cross-stake from the consumer's validator of one number to that of another.
func (c *Consumer) Redelegate(addr sdk.AccAddress, from, to int, amount int64) error {
	return c.f.Try(func(ctx sdk.Context) error {
		_, err := c.f.Msgs.CrossRedelegate(ctx, &types.MsgCrossRedelegate{
			Delegator: addr.String(), ConsumerId: c.ClientID, From: OperatorString(from), To: OperatorString(to),
			Amount: sdk.NewInt64Coin(Denom, amount),
		})
		return err
	})
}

// Pool returns the active pool of the consumer's n-th validator.
func (c *Consumer) Pool(n int) types.Pool {
	c.f.Helper()
	res, err := c.f.Queries.Pool(c.f.Ctx, &types.QueryPoolRequest{ConsumerId: c.ClientID, Validator: OperatorString(n)})
	require.NoError(c.f, err)
	return res.Pool.Pool
}

// Batches returns the consumer's unbonding batches.
func (c *Consumer) Batches() []types.BatchInfo {
	c.f.Helper()
	res, err := c.f.Queries.Batches(c.f.Ctx, &types.QueryBatchesRequest{ConsumerId: c.ClientID})
	require.NoError(c.f, err)
	return res.Batches
}

// Pairing returns the running state of the exchange.
func (c *Consumer) Pairing() types.Pairing {
	c.f.Helper()
	p, err := c.f.Provider.Pairings.Get(c.f.Ctx, c.ClientID)
	require.NoError(c.f, err)
	return p
}

// Status returns the consumer's record.
func (c *Consumer) Status() types.Consumer {
	c.f.Helper()
	r, err := c.f.Provider.Consumers.Get(c.f.Ctx, c.ClientID)
	require.NoError(c.f, err)
	return r
}

// Outbox returns the sending state by operator.
func (c *Consumer) Outbox() map[string]types.OutboxEntry {
	c.f.Helper()
	res, err := c.f.Queries.Outbox(c.f.Ctx, &types.QueryOutboxRequest{ConsumerId: c.ClientID})
	require.NoError(c.f, err)
	out := map[string]types.OutboxEntry{}
	for _, e := range res.Entries {
		out[e.Operator] = e.Entry
	}
	return out
}

// Collateral returns every term of a delegator's collateral.
func (f *Fixture) Collateral(addr sdk.AccAddress) *types.QueryCollateralResponse {
	f.Helper()
	res, err := f.Queries.Collateral(f.Ctx, &types.QueryCollateralRequest{Delegator: addr.String()})
	require.NoError(f, err)
	return res
}
