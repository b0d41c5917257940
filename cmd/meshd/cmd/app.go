package cmd

import (
	"errors"
	"fmt"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/spf13/cast"

	"cosmossdk.io/log/v2"

	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/client/flags"
	"github.com/cosmos/cosmos-sdk/server"
	serverconfig "github.com/cosmos/cosmos-sdk/server/config"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"

	"github.com/mesh-security/mesh/app"
)

// AppConstructor makes the application that a node runs; app.New is one.
type AppConstructor func(
	logger log.Logger, db dbm.DB, loadLatest bool, appOpts servertypes.AppOptions, options ...func(*baseapp.BaseApp),
) *app.App

// create implements servertypes.AppCreator.
func (newApp AppConstructor) create(logger log.Logger, db dbm.DB, appOpts servertypes.AppOptions) servertypes.Application {
	// The SDK leaves it to the application to honour this setting. Running sequentially while the operator
	// believes otherwise would be worse than not running.
	executor := cast.ToString(appOpts.Get(server.FlagBlockExecutor))
	if executor != "" && executor != serverconfig.BlockExecutorSequential {
		panic(fmt.Errorf("%s %q is not supported; use %q",
			server.FlagBlockExecutor, executor, serverconfig.BlockExecutorSequential))
	}
	return newApp(logger, db, true, appOpts, server.DefaultBaseappOptions(appOpts)...)
}

// export implements servertypes.AppExporter.
func (newApp AppConstructor) export(
	logger log.Logger, db dbm.DB, height int64, forZeroHeight bool, jailAllowed []string,
	appOpts servertypes.AppOptions, modulesToExport []string,
) (servertypes.ExportedApp, error) {
	if cast.ToString(appOpts.Get(flags.FlagHome)) == "" {
		return servertypes.ExportedApp{}, errors.New("application home is not set")
	}

	latest := height == -1
	chain := newApp(logger, db, latest, appOpts)
	if !latest {
		if err := chain.LoadHeight(height); err != nil {
			return servertypes.ExportedApp{}, err
		}
	}
	return chain.ExportAppStateAndValidators(forZeroHeight, jailAllowed, modulesToExport)
}
