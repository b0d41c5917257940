package app

import (
	"github.com/spf13/cast"

	corestore "cosmossdk.io/core/store"

	"github.com/cosmos/cosmos-sdk/client/flags"
	"github.com/cosmos/cosmos-sdk/runtime"
	"github.com/cosmos/cosmos-sdk/server"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authkeeper "github.com/cosmos/cosmos-sdk/x/auth/keeper"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	authzkeeper "github.com/cosmos/cosmos-sdk/x/authz/keeper"
	bankkeeper "github.com/cosmos/cosmos-sdk/x/bank/keeper"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	consensuskeeper "github.com/cosmos/cosmos-sdk/x/consensus/keeper"
	consensustypes "github.com/cosmos/cosmos-sdk/x/consensus/types"
	distrkeeper "github.com/cosmos/cosmos-sdk/x/distribution/keeper"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	evidencekeeper "github.com/cosmos/cosmos-sdk/x/evidence/keeper"
	evidencetypes "github.com/cosmos/cosmos-sdk/x/evidence/types"
	"github.com/cosmos/cosmos-sdk/x/feegrant"
	feegrantkeeper "github.com/cosmos/cosmos-sdk/x/feegrant/keeper"
	govkeeper "github.com/cosmos/cosmos-sdk/x/gov/keeper"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	govv1beta1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1beta1"
	mintkeeper "github.com/cosmos/cosmos-sdk/x/mint/keeper"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	slashingkeeper "github.com/cosmos/cosmos-sdk/x/slashing/keeper"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingkeeper "github.com/cosmos/cosmos-sdk/x/staking/keeper"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
	upgradekeeper "github.com/cosmos/cosmos-sdk/x/upgrade/keeper"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"

	ibctransferkeeper "github.com/cosmos/ibc-go/v11/modules/apps/transfer/keeper"
	ibctransfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	ibcexported "github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibckeeper "github.com/cosmos/ibc-go/v11/modules/core/keeper"

	"github.com/mesh-security/mesh/wiring"
)

// Keepers holds the keeper of every module. It is embedded in App, so tests and wiring reach them as app.BankKeeper.
type Keepers struct {
	AccountKeeper   authkeeper.AccountKeeper
	AuthzKeeper     authzkeeper.Keeper
	BankKeeper      bankkeeper.BaseKeeper
	ConsensusKeeper consensuskeeper.Keeper
	DistrKeeper     distrkeeper.Keeper
	EvidenceKeeper  evidencekeeper.Keeper
	FeeGrantKeeper  feegrantkeeper.Keeper
	GovKeeper       *govkeeper.Keeper
	MintKeeper      mintkeeper.Keeper
	SlashingKeeper  slashingkeeper.Keeper
	StakingKeeper   *stakingkeeper.Keeper
	UpgradeKeeper   *upgradekeeper.Keeper

	IBCKeeper      *ibckeeper.Keeper
	TransferKeeper *ibctransferkeeper.Keeper

	Mesh *wiring.Mesh
}

// storeKeys returns the key of every persistent store.
func storeKeys() map[string]*storetypes.KVStoreKey {
	return storetypes.NewKVStoreKeys(append(wiring.StoreKeys(),
		authtypes.StoreKey,
		authzkeeper.StoreKey,
		banktypes.StoreKey,
		consensustypes.StoreKey,
		distrtypes.StoreKey,
		evidencetypes.StoreKey,
		feegrant.StoreKey,
		govtypes.StoreKey,
		minttypes.StoreKey,
		slashingtypes.StoreKey,
		stakingtypes.StoreKey,
		upgradetypes.StoreKey,
		ibcexported.StoreKey,
		ibctransfertypes.StoreKey,
	)...)
}

// initKeepers builds the keepers in the order in which they need one another.
func (app *App) initKeepers(appOpts servertypes.AppOptions) {
	var (
		cdc       = app.encoding.Codec
		authority = Authority()
	)

	app.ConsensusKeeper = consensuskeeper.NewKeeper(
		cdc, app.storeService(consensustypes.StoreKey), authority, runtime.EventService{},
	)
	app.SetParamStore(app.ConsensusKeeper.ParamsStore)

	app.AccountKeeper = authkeeper.NewAccountKeeper(
		cdc, app.storeService(authtypes.StoreKey), authtypes.ProtoBaseAccount, ModuleAccountPermissions(),
		accountCodec(), sdk.GetConfig().GetBech32AccountAddrPrefix(), authority,
	)
	app.BankKeeper = bankkeeper.NewBaseKeeper(
		cdc, app.storeService(banktypes.StoreKey), app.AccountKeeper, BlockedAddresses(), authority, app.Logger(),
	)
	app.StakingKeeper = stakingkeeper.NewKeeper(
		cdc, app.storeService(stakingtypes.StoreKey), app.AccountKeeper, app.BankKeeper, authority,
		validatorCodec(), consensusCodec(),
	)
	app.Mesh = wiring.New(cdc, app.keys, authority, app.AccountKeeper, app.BankKeeper, app.StakingKeeper)
	app.MintKeeper = mintkeeper.NewKeeper(
		cdc, app.storeService(minttypes.StoreKey), app.Mesh.MintStaking(), app.AccountKeeper, app.Mesh.MintBank(),
		authtypes.FeeCollectorName, authority,
	)
	app.DistrKeeper = distrkeeper.NewKeeper(
		cdc, app.storeService(distrtypes.StoreKey), app.AccountKeeper, app.BankKeeper, app.StakingKeeper,
		authtypes.FeeCollectorName, authority,
	)
	app.SlashingKeeper = slashingkeeper.NewKeeper(
		cdc, app.encoding.Amino, app.storeService(slashingtypes.StoreKey), app.Mesh.SlashingStaking(), authority,
	)
	app.Mesh.ConnectSlashing(app.SlashingKeeper)
	app.Mesh.ConnectDistribution(app.DistrKeeper)
	evidenceKeeper := evidencekeeper.NewKeeper(
		cdc, app.storeService(evidencetypes.StoreKey), app.StakingKeeper, app.SlashingKeeper,
		accountCodec(), runtime.ProvideCometInfoService(),
	)
	evidenceKeeper.SetRouter(evidencetypes.NewRouter())
	app.EvidenceKeeper = *evidenceKeeper

	app.AuthzKeeper = authzkeeper.NewKeeper(
		app.storeService(authzkeeper.StoreKey), cdc, app.MsgServiceRouter(), app.AccountKeeper,
	)
	app.FeeGrantKeeper = feegrantkeeper.NewKeeper(cdc, app.storeService(feegrant.StoreKey), app.AccountKeeper)
	app.UpgradeKeeper = upgradekeeper.NewKeeper(
		skippedUpgrades(appOpts), app.storeService(upgradetypes.StoreKey), cdc,
		cast.ToString(appOpts.Get(flags.FlagHome)), app.BaseApp, authority,
	)
	app.GovKeeper = govkeeper.NewKeeper(
		cdc, app.storeService(govtypes.StoreKey), app.AccountKeeper, app.BankKeeper, app.DistrKeeper,
		app.MsgServiceRouter(), govtypes.DefaultConfig(), authority,
		app.Mesh.Tally(),
	)
	// Text proposals of the old kind: without a router they are a panic in whoever's transaction.
	legacy := govv1beta1.NewRouter().AddRoute(govtypes.RouterKey, govv1beta1.ProposalHandler)
	app.GovKeeper.SetLegacyRouter(legacy)
	app.Mesh.ConnectGov(app.GovKeeper)

	app.initIBC()

	// The keepers above share one staking keeper by pointer, so hooks may come last.
	app.StakingKeeper.SetHooks(stakingtypes.NewMultiStakingHooks(
		app.DistrKeeper.Hooks(),
		app.SlashingKeeper.Hooks(),
		app.Mesh.Hooks(),
	))
}

func (app *App) storeService(key string) corestore.KVStoreService {
	return runtime.NewKVStoreService(app.keys[key])
}

func skippedUpgrades(appOpts servertypes.AppOptions) map[int64]bool {
	skip := map[int64]bool{}
	for _, height := range cast.ToIntSlice(appOpts.Get(server.FlagUnsafeSkipUpgrades)) {
		skip[int64(height)] = true
	}
	return skip
}
