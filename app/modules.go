package app

import (
	"github.com/cosmos/cosmos-sdk/types/module"
	"github.com/cosmos/cosmos-sdk/x/auth"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/cosmos/cosmos-sdk/x/auth/vesting"
	vestingtypes "github.com/cosmos/cosmos-sdk/x/auth/vesting/types"
	"github.com/cosmos/cosmos-sdk/x/authz"
	authzmodule "github.com/cosmos/cosmos-sdk/x/authz/module"
	"github.com/cosmos/cosmos-sdk/x/bank"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"github.com/cosmos/cosmos-sdk/x/consensus"
	consensustypes "github.com/cosmos/cosmos-sdk/x/consensus/types"
	"github.com/cosmos/cosmos-sdk/x/distribution"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	"github.com/cosmos/cosmos-sdk/x/evidence"
	evidencetypes "github.com/cosmos/cosmos-sdk/x/evidence/types"
	"github.com/cosmos/cosmos-sdk/x/feegrant"
	feegrantmodule "github.com/cosmos/cosmos-sdk/x/feegrant/module"
	"github.com/cosmos/cosmos-sdk/x/genutil"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	"github.com/cosmos/cosmos-sdk/x/gov"
	govclient "github.com/cosmos/cosmos-sdk/x/gov/client"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	"github.com/cosmos/cosmos-sdk/x/mint"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	"github.com/cosmos/cosmos-sdk/x/slashing"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	"github.com/cosmos/cosmos-sdk/x/staking"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
	"github.com/cosmos/cosmos-sdk/x/upgrade"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"

	"github.com/cosmos/ibc-go/v11/modules/apps/transfer"
	ibctransfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	ibcexported "github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	"github.com/mesh-security/mesh/wiring"
)

// The orders in which modules run. The module manager refuses an order that forgets a module with such a step;
// modules without one are left out.
var (
	preBlockerOrder = []string{
		upgradetypes.ModuleName, // first: an upgrade changes what follows
		authtypes.ModuleName,
	}

	// Rewards are minted and then distributed before slashing, so that what a block earned goes to those who
	// earned it. x/staking writes the historical info that IBC needs after that.
	beginBlockerOrder = []string{
		minttypes.ModuleName,
		distrtypes.ModuleName,
		slashingtypes.ModuleName,
		evidencetypes.ModuleName,
		stakingtypes.ModuleName,
		authz.ModuleName,
		ibcexported.ModuleName,
	}

	// x/bank first, because it settles what parallel execution deferred. x/staking last, because it turns what
	// the others did to delegations into the validator set of the next block.
	endBlockerOrder = []string{
		banktypes.ModuleName,
		govtypes.ModuleName,
		feegrant.ModuleName,
		stakingtypes.ModuleName,
	}

	// Accounts and balances first; x/distribution before x/staking, which calls its hooks; x/genutil, which
	// delivers the genesis transactions, after everything that these touch.
	genesisOrder = []string{
		authtypes.ModuleName,
		banktypes.ModuleName,
		distrtypes.ModuleName,
		stakingtypes.ModuleName,
		slashingtypes.ModuleName,
		govtypes.ModuleName,
		minttypes.ModuleName,
		ibcexported.ModuleName,
		ibctransfertypes.ModuleName,
		evidencetypes.ModuleName,
		authz.ModuleName,
		feegrant.ModuleName,
		upgradetypes.ModuleName,
		vestingtypes.ModuleName,
		consensustypes.ModuleName,
		genutiltypes.ModuleName,
	}
)

// initModules builds the module manager, fixes the orders, and registers every module's types and services.
func (app *App) initModules() error {
	var (
		cdc      = app.encoding.Codec
		registry = app.encoding.InterfaceRegistry
	)

	app.ModuleManager = module.NewManager(append(app.Mesh.Modules(),
		genutil.NewAppModule(app.AccountKeeper, app.StakingKeeper, app, app.encoding.TxConfig),
		auth.NewAppModule(cdc, app.AccountKeeper, nil, nil),
		vesting.NewAppModule(app.AccountKeeper, app.BankKeeper),
		bank.NewAppModule(cdc, app.BankKeeper, app.AccountKeeper, nil),
		staking.NewAppModule(cdc, app.StakingKeeper, app.AccountKeeper, app.BankKeeper, nil),
		mint.NewAppModule(cdc, app.MintKeeper, app.AccountKeeper, nil, nil),
		app.Mesh.DistributionModule(
			distribution.NewAppModule(cdc, app.DistrKeeper, app.AccountKeeper, app.BankKeeper, app.StakingKeeper, nil),
		),
		slashing.NewAppModule(
			cdc, app.SlashingKeeper, app.AccountKeeper, app.BankKeeper, app.StakingKeeper, nil, registry,
		),
		evidence.NewAppModule(app.EvidenceKeeper),
		gov.NewAppModule(cdc, app.GovKeeper, app.AccountKeeper, app.BankKeeper, nil),
		upgrade.NewAppModule(app.UpgradeKeeper, app.AccountKeeper.AddressCodec()),
		authzmodule.NewAppModule(cdc, app.AuthzKeeper, app.AccountKeeper, app.BankKeeper, registry),
		feegrantmodule.NewAppModule(cdc, app.AccountKeeper, app.BankKeeper, app.FeeGrantKeeper, registry),
		consensus.NewAppModule(cdc, app.ConsensusKeeper),

		wiring.NewIBCModule(app.IBCKeeper),
		ibctm.NewAppModule(app.tendermintClient),
		transfer.NewAppModule(app.TransferKeeper),
	)...)

	app.ModuleManager.SetOrderPreBlockers(preBlockerOrder...)
	app.ModuleManager.SetOrderBeginBlockers(wiring.BeginBlockers(beginBlockerOrder)...)
	app.ModuleManager.SetOrderEndBlockers(wiring.EndBlockers(endBlockerOrder)...)
	app.ModuleManager.SetOrderInitGenesis(wiring.InitGenesis(genesisOrder)...)
	app.ModuleManager.SetOrderExportGenesis(wiring.InitGenesis(genesisOrder)...)

	app.BasicModuleManager = module.NewBasicManagerFromManager(app.ModuleManager, map[string]module.AppModuleBasic{
		genutiltypes.ModuleName: genutil.NewAppModuleBasic(genutiltypes.DefaultMessageValidator),
		govtypes.ModuleName:     gov.NewAppModuleBasic([]govclient.ProposalHandler{}),
	})
	app.BasicModuleManager.RegisterLegacyAminoCodec(app.encoding.Amino)
	app.BasicModuleManager.RegisterInterfaces(registry)

	app.configurator = module.NewConfigurator(cdc, app.MsgServiceRouter(), app.GRPCQueryRouter())
	return app.ModuleManager.RegisterServices(app.configurator)
}
