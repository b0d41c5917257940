// Package wiring adds Mesh Security to a chain: both modules, what they need to know of the others, and the decorators
// that keep x/slashing and x/mint right about virtual stake. A chain calls it from its app.go; docs/guide/wiring.md shows
// every line.
package wiring

import (
	"errors"
	"maps"
	"slices"

	"github.com/cosmos/cosmos-sdk/codec"
	"github.com/cosmos/cosmos-sdk/runtime"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	authkeeper "github.com/cosmos/cosmos-sdk/x/auth/keeper"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	bankkeeper "github.com/cosmos/cosmos-sdk/x/bank/keeper"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	distrkeeper "github.com/cosmos/cosmos-sdk/x/distribution/keeper"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	slashingkeeper "github.com/cosmos/cosmos-sdk/x/slashing/keeper"
	stakingkeeper "github.com/cosmos/cosmos-sdk/x/staking/keeper"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	transferkeeper "github.com/cosmos/ibc-go/v11/modules/apps/transfer/keeper"
	porttypes "github.com/cosmos/ibc-go/v11/modules/core/05-port/types"
	ibcapi "github.com/cosmos/ibc-go/v11/modules/core/api"
	ibckeeper "github.com/cosmos/ibc-go/v11/modules/core/keeper"

	"github.com/mesh-security/mesh/x/consumer"
	consumerkeeper "github.com/mesh-security/mesh/x/consumer/keeper"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	"github.com/mesh-security/mesh/x/provider"
	providerkeeper "github.com/mesh-security/mesh/x/provider/keeper"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// modules are the two modules in the order in which their EndBlock runs: first what leaves is known, then what is told.
var modules = []string{providertypes.ModuleName, consumertypes.ModuleName}

// Mesh is what Mesh Security adds to one chain, which may be a provider, a consumer, or both.
type Mesh struct {
	// Provider is the keeper of the side that lends stake.
	Provider *providerkeeper.Keeper
	// Consumer is the keeper of the side that receives it.
	Consumer *consumerkeeper.Keeper

	cdc     codec.Codec
	bank    bankkeeper.Keeper
	staking *stakingkeeper.Keeper
}

// New builds both keepers. It is called after x/staking's keeper was built and before x/slashing's and x/mint's, which
// take decorated keepers from it. keys are the store keys by name; StoreKeys lists those needed here.
//
// CONTRACT: the account keeper was given the permissions of ModuleAccounts.
func New(
	cdc codec.Codec, keys map[string]*storetypes.KVStoreKey, authority string,
	ak authkeeper.AccountKeeper, bk bankkeeper.Keeper, sk *stakingkeeper.Keeper,
) *Mesh {
	lending := providerkeeper.NewKeeper(
		cdc, runtime.NewKVStoreService(keys[providertypes.StoreKey]), authority, ak, bk, sk, nil,
	)
	lending.ConnectStakingQuerier(stakingkeeper.NewQuerier(sk))
	return &Mesh{
		Provider: lending,
		Consumer: consumerkeeper.NewKeeper(
			cdc, runtime.NewKVStoreService(keys[consumertypes.StoreKey]), authority, ak, bk, sk,
		),
		cdc:     cdc,
		bank:    bk,
		staking: sk,
	}
}

// StoreKeys returns the names of the stores to mount.
func StoreKeys() []string { return []string{providertypes.StoreKey, consumertypes.StoreKey} }

// StoreUpgrades returns what an x/upgrade that adds Mesh Security to a running chain gives to the store loader.
func StoreUpgrades() *storetypes.StoreUpgrades {
	return &storetypes.StoreUpgrades{Added: StoreKeys()}
}

// ModuleAccounts returns perms with the module account of Mesh Security added.
func ModuleAccounts(perms map[string][]string) map[string][]string {
	out := maps.Clone(perms)
	out[consumertypes.ModuleName] = []string{authtypes.Minter} // burns come out of x/staking's pools
	return out
}

// SlashingStaking returns the staking keeper to give to x/slashing: it corrects the power slashed for tokens that left and
// came without an unbonding entry, tells both modules of every slash, and marks who is jailed and unjailed.
func (m *Mesh) SlashingStaking() SlashingStaking {
	return NewSlashingStaking(m.staking, []Marks{m.Consumer}, []FlowLog{m.Provider.Flow, m.Consumer.Flows}).
		WithLogs(m.Consumer).WithNative(m.Provider)
}

// MintStaking returns the staking keeper to give to x/mint: without virtual stake.
func (m *Mesh) MintStaking() MintStaking { return NewMintStaking(m.staking, m.Consumer) }

// MintBank returns the bank keeper to give to x/mint: without virtual stake.
func (m *Mesh) MintBank() MintBank { return NewMintBank(m.bank, m.staking, m.Consumer) }

// ConnectSlashing connects both modules to x/slashing.
func (m *Mesh) ConnectSlashing(sk slashingkeeper.Keeper) {
	m.Provider.ConnectSlashing(sk)
	m.Consumer.ConnectSlashing(sk)
}

// ConnectDistribution connects both modules to x/distribution, which pays out the rewards of virtual stake and keeps the
// community pool.
func (m *Mesh) ConnectDistribution(dk distrkeeper.Keeper) {
	m.Provider.ConnectDistribution(dk)
	m.Consumer.ConnectDistribution(dk)
}

// ConnectTransfer connects rewards to ICS-20 transfer, which carries them. The transfer module must be routed through
// TransferMiddleware.
func (m *Mesh) ConnectTransfer(tk *transferkeeper.Keeper) {
	m.Provider.ConnectTransfer(tk)
	m.Consumer.ConnectTransfer(tk)
}

// TransferMiddleware returns the transfer module, or the middlewares around it, with those of Mesh Security around it. It
// goes to IBC's router in place of base.
func (m *Mesh) TransferMiddleware(base porttypes.IBCModule) porttypes.IBCModule {
	return provider.NewTransferMiddleware(consumer.NewTransferMiddleware(base, m.Consumer), m.Provider)
}

// TransferMiddlewareV2 is TransferMiddleware for IBC v2: it goes to IBC v2's router in place of base.
func (m *Mesh) TransferMiddlewareV2(base ibcapi.IBCModule) ibcapi.IBCModule {
	return provider.NewTransferMiddlewareV2(consumer.NewTransferMiddlewareV2(base, m.Consumer), m.Provider)
}

// ConnectIBC connects both modules to IBC and adds their routes to its router.
func (m *Mesh) ConnectIBC(ibc *ibckeeper.Keeper, router *porttypes.Router) {
	m.Provider.ConnectIBC(ibc.ClientKeeper, ibc.ConnectionKeeper, ibc.ChannelKeeper)
	m.Consumer.ConnectIBC(ibc.ClientKeeper, ibc.ConnectionKeeper, ibc.ChannelKeeper)
	router.AddRoute(providertypes.ModuleName, provider.NewIBCModule(m.Provider))
	router.AddRoute(consumertypes.ModuleName, consumer.NewIBCModule(m.Consumer))
}

// ConnectIBCV2 connects both modules to IBC v2 and adds their routes to its router. Pairings choose between the versions by
// their configuration; a chain without IBC v2 leaves the call out.
func (m *Mesh) ConnectIBCV2(ibc *ibckeeper.Keeper, router *ibcapi.Router) {
	m.Provider.ConnectIBCV2(ibc.ClientV2Keeper, ibc.ChannelKeeperV2)
	m.Consumer.ConnectIBCV2(ibc.ClientV2Keeper, ibc.ChannelKeeperV2)
	router.AddRoute(providertypes.ModuleName, provider.NewIBCModuleV2(m.Provider))
	router.AddRoute(consumertypes.ModuleName, consumer.NewIBCModuleV2(m.Consumer))
}

// Hooks returns the staking hooks of both modules, to be appended to the chain's own.
func (m *Mesh) Hooks() stakingtypes.StakingHooks {
	return stakingtypes.NewMultiStakingHooks(m.Provider.Hooks(), m.Consumer.Hooks())
}

// Modules returns both modules for the module manager.
func (m *Mesh) Modules() []module.AppModule { //nolint:staticcheck // module.NewManager of SDK v0.54 takes this type
	return []module.AppModule{ //nolint:staticcheck // as above
		provider.NewAppModule(m.cdc, m.Provider),
		consumer.NewAppModule(m.cdc, m.Consumer),
	}
}

// PrepareForZeroHeight resets what refers to heights of this chain. An export for height zero calls it after it has reset
// x/staking's entries: without it nobody would release those that are held.
func (m *Mesh) PrepareForZeroHeight(ctx sdk.Context) error {
	return errors.Join(m.Provider.PrepareForZeroHeight(ctx), m.Consumer.PrepareForZeroHeight(ctx))
}

// BeginBlockers returns order with both modules first: the supply of virtual stake is known before x/mint reads it.
func BeginBlockers(order []string) []string { return slices.Concat(modules, order) }

// EndBlockers returns order with both modules behind x/bank and before all others: x/staking, which turns delegations
// into the next validator set, and which pays out unbonding entries unless they are held, comes after.
func EndBlockers(order []string) []string {
	return slices.Insert(slices.Clone(order), 1+slices.Index(order, banktypes.ModuleName), modules...)
}

// InitGenesis returns order with both modules before x/genutil: after what they read, and before the genesis
// transactions, whose validators they register.
func InitGenesis(order []string) []string {
	i := slices.Index(order, genutiltypes.ModuleName)
	if i < 0 {
		i = len(order)
	}
	return slices.Insert(slices.Clone(order), i, modules...)
}
