package app

import (
	"context"
	"fmt"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"

	"github.com/mesh-security/mesh/wiring"
)

// Upgrade is a change of the state machine that governance schedules under its name.
type Upgrade struct {
	Name string

	// Stores are added, renamed or deleted when the new binary starts at the height of the upgrade.
	Stores storetypes.StoreUpgrades

	// Migrate runs after the modules' own migrations; may be nil.
	Migrate func(ctx context.Context, app *App, plan upgradetypes.Plan) error
}

// AddMeshSecurity is the name of the upgrade that adds Mesh Security to a chain that ran without it. Parameters begin
// with their defaults; governance sets others, and then pairings.
const AddMeshSecurity = "add-mesh-security"

// upgrades lists every upgrade this binary can perform.
var upgrades = []Upgrade{{Name: AddMeshSecurity, Stores: *wiring.StoreUpgrades()}}

// registerUpgrades makes the upgrades known to x/upgrade, and if the node stopped for one of them, prepares the
// stores for it.
//
// CONTRACT: called before the stores are loaded.
func (app *App) registerUpgrades(home string, upgrades []Upgrade) error {
	for _, u := range upgrades {
		app.UpgradeKeeper.SetUpgradeHandler(u.Name,
			func(ctx context.Context, plan upgradetypes.Plan, from module.VersionMap) (module.VersionMap, error) {
				to, err := app.ModuleManager.RunMigrations(ctx, app.configurator, from)
				if err != nil || u.Migrate == nil {
					return to, err
				}
				return to, u.Migrate(ctx, app, plan)
			})
	}

	if home == "" {
		return nil // not a node: reading the plan would create directories in the working directory
	}
	plan, err := app.UpgradeKeeper.ReadUpgradeInfoFromDisk()
	if err != nil {
		return fmt.Errorf("read upgrade info: %w", err)
	}
	for _, u := range upgrades {
		if u.Name == plan.Name && !app.UpgradeKeeper.IsSkipHeight(plan.Height) {
			app.SetStoreLoader(upgradetypes.UpgradeStoreLoader(plan.Height, &u.Stores))
		}
	}
	return nil
}
