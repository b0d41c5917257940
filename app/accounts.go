package app

import (
	"maps"
	"slices"

	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	ibctransfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"

	"github.com/mesh-security/mesh/wiring"
)

// moduleAccountPermissions lists every module account and what x/bank lets it do with the supply.
var moduleAccountPermissions = wiring.ModuleAccounts(map[string][]string{
	authtypes.FeeCollectorName:     nil,
	distrtypes.ModuleName:          nil,
	minttypes.ModuleName:           {authtypes.Minter},
	stakingtypes.BondedPoolName:    {authtypes.Burner, authtypes.Staking},
	stakingtypes.NotBondedPoolName: {authtypes.Burner, authtypes.Staking},
	govtypes.ModuleName:            {authtypes.Burner},
	ibctransfertypes.ModuleName:    {authtypes.Minter, authtypes.Burner},
})

// ModuleAccountPermissions returns a copy of the permissions of every module account.
func ModuleAccountPermissions() map[string][]string {
	perms := make(map[string][]string, len(moduleAccountPermissions))
	for name, p := range moduleAccountPermissions {
		perms[name] = slices.Clone(p)
	}
	return perms
}

// BlockedAddresses returns the accounts that nobody may send coins to: all module accounts, because a surprising
// balance breaks their accounting, except x/gov's, which proposals may fund and spend from.
func BlockedAddresses() map[string]bool {
	blocked := make(map[string]bool, len(moduleAccountPermissions))
	for name := range maps.Keys(moduleAccountPermissions) {
		if name != govtypes.ModuleName {
			blocked[moduleAddress(name)] = true
		}
	}
	return blocked
}

// Authority returns the address that may change parameters and run upgrades: the governance module's account.
func Authority() string { return moduleAddress(govtypes.ModuleName) }

func moduleAddress(name string) string {
	return authtypes.NewModuleAddress(name).String()
}
