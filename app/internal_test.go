package app

import "github.com/cosmos/cosmos-sdk/types/module"

// RegisterUpgrades lets tests in app_test perform upgrades that no release contains.
var RegisterUpgrades = (*App).registerUpgrades

// Configurator lets tests in app_test register migrations that no release contains.
func Configurator(app *App) module.Configurator { return app.configurator }
