// Package app is the reference chain: a Cosmos SDK application, wired by hand, that restakes with its partners
// through Mesh Security.
package app

import (
	"fmt"
	"sync"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/gogoproto/proto"
	"github.com/spf13/cast"

	"cosmossdk.io/log/v2"

	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/client/flags"
	"github.com/cosmos/cosmos-sdk/codec"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	"github.com/cosmos/cosmos-sdk/types/msgservice"
	"github.com/cosmos/cosmos-sdk/version"

	abci "github.com/cometbft/cometbft/abci/types"

	ibckeeper "github.com/cosmos/ibc-go/v11/modules/core/keeper"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"
)

var _ servertypes.Application = (*App)(nil)

// App is the chain's state machine.
type App struct {
	*baseapp.BaseApp
	Keepers

	ModuleManager      *module.Manager
	BasicModuleManager module.BasicManager

	encoding         EncodingConfig
	keys             map[string]*storetypes.KVStoreKey
	tendermintClient ibctm.LightClientModule
	configurator     module.Configurator
	closeOnce        func() error
}

// New returns the application over db, at its latest height if loadLatest. It panics if the application is wired
// wrongly or its stores cannot be loaded: nothing useful can run then.
//
// CONTRACT: SetChainConfig comes first, if the chain's prefix is not the one of the SDK.
func New(
	logger log.Logger, db dbm.DB, loadLatest bool, appOpts servertypes.AppOptions, options ...func(*baseapp.BaseApp),
) *App {
	app, err := newApp(logger, db, loadLatest, appOpts, options...)
	if err != nil {
		panic(fmt.Errorf("%s: %w", Name, err))
	}
	return app
}

func newApp(
	logger log.Logger, db dbm.DB, loadLatest bool, appOpts servertypes.AppOptions, options ...func(*baseapp.BaseApp),
) (*App, error) {
	encoding, err := newEncodingConfig()
	if err != nil {
		return nil, err
	}

	app := &App{
		BaseApp:  baseapp.NewBaseApp(Name, logger, db, encoding.TxConfig.TxDecoder(), options...),
		encoding: encoding,
		keys:     storeKeys(),
	}
	app.closeOnce = sync.OnceValue(app.BaseApp.Close)
	app.SetVersion(version.Version)
	app.SetInterfaceRegistry(encoding.InterfaceRegistry)
	app.SetTxEncoder(encoding.TxConfig.TxEncoder())
	if err := app.RegisterStreamingServices(appOpts, app.keys); err != nil {
		return nil, err
	}

	app.initKeepers(appOpts)
	if err := app.initModules(); err != nil {
		return nil, err
	}
	if err := app.registerReflection(); err != nil {
		return nil, err
	}
	if err := app.registerUpgrades(cast.ToString(appOpts.Get(flags.FlagHome)), upgrades); err != nil {
		return nil, err
	}

	app.MountKVStores(app.keys)
	app.SetInitChainer(app.InitChainer)
	app.SetPreBlocker(app.PreBlocker)
	app.SetBeginBlocker(app.BeginBlocker)
	app.SetEndBlocker(app.EndBlocker)
	if err := app.setAnteHandler(); err != nil {
		return nil, err
	}
	if err := validateProtoAnnotations(); err != nil {
		return nil, err
	}

	if loadLatest {
		if err := app.LoadLatestVersion(); err != nil {
			return nil, fmt.Errorf("load latest version: %w", err)
		}
	}
	return app, nil
}

// validateProtoAnnotations refuses a message without a signer: it could never be sent. The messages are those of the
// program, so it looks once, however many applications there are.
var validateProtoAnnotations = sync.OnceValue(func() error {
	files, err := proto.MergedRegistry()
	if err != nil {
		return err
	}
	return msgservice.ValidateProtoAnnotations(files)
})

// PreBlocker runs what precedes a block: upgrades and changes of consensus parameters.
func (app *App) PreBlocker(ctx sdk.Context, _ *abci.RequestFinalizeBlock) (*sdk.ResponsePreBlock, error) {
	return app.ModuleManager.PreBlock(ctx)
}

// BeginBlocker runs the modules before the block's transactions.
func (app *App) BeginBlocker(ctx sdk.Context) (sdk.BeginBlock, error) {
	return app.ModuleManager.BeginBlock(ctx)
}

// EndBlocker runs the modules after the block's transactions.
func (app *App) EndBlocker(ctx sdk.Context) (sdk.EndBlock, error) {
	return app.ModuleManager.EndBlock(ctx)
}

// LoadHeight loads the state at height.
func (app *App) LoadHeight(height int64) error { return app.LoadVersion(height) }

// Close implements servertypes.Application. The server calls it more than once, which the databases refuse.
func (app *App) Close() error { return app.closeOnce() }

// EncodingConfig returns how the application encodes transactions and state.
func (app *App) EncodingConfig() EncodingConfig { return app.encoding }

// AppCodec returns the codec of state and messages.
func (app *App) AppCodec() codec.Codec { return app.encoding.Codec }

// GetTxConfig returns how transactions are encoded and signed.
func (app *App) GetTxConfig() client.TxConfig { return app.encoding.TxConfig }

// GetKey returns the key of a module's store.
func (app *App) GetKey(storeKey string) *storetypes.KVStoreKey { return app.keys[storeKey] }

// GetBaseApp implements ibctesting.TestingApp.
func (app *App) GetBaseApp() *baseapp.BaseApp { return app.BaseApp }

// GetIBCKeeper implements ibctesting.TestingApp.
func (app *App) GetIBCKeeper() *ibckeeper.Keeper { return app.IBCKeeper }
