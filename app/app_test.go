package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/log/v2"

	"github.com/cosmos/cosmos-sdk/client/flags"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	"github.com/cosmos/cosmos-sdk/types/module"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"

	abci "github.com/cometbft/cometbft/abci/types"

	ibctransfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	ibctesting "github.com/cosmos/ibc-go/v11/testing"

	"github.com/mesh-security/mesh/app"
	"github.com/mesh-security/mesh/app/apptest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

func newChain(t *testing.T) (*ibctesting.TestChain, *app.App) {
	t.Helper()
	return newChainAt(t, t.TempDir())
}

// newChainAt returns a chain whose application has a home, where x/upgrade keeps the plan it stopped for.
func newChainAt(t *testing.T, home string) (*ibctesting.TestChain, *app.App) {
	t.Helper()
	creator := func() (ibctesting.TestingApp, map[string]json.RawMessage) {
		chainApp := app.New(log.NewNopLogger(), dbm.NewMemDB(), true, apptest.Options{flags.FlagHome: home})
		return chainApp, chainApp.DefaultGenesis()
	}
	chain := ibctesting.NewCustomAppCoordinator(t, 1, creator).GetChain(ibctesting.GetChainID(1))
	return chain, apptest.App(chain)
}

func TestChainProducesBlocks(t *testing.T) {
	chain, chainApp := newChain(t)
	start := chainApp.LastBlockHeight()
	supply := chainApp.BankKeeper.GetSupply(chain.GetContext(), sdk.DefaultBondDenom)

	for range 5 {
		chain.NextBlock()
	}

	require.Equal(t, start+5, chainApp.LastBlockHeight())
	require.True(t, supply.IsLT(chainApp.BankKeeper.GetSupply(chain.GetContext(), sdk.DefaultBondDenom)), "nothing was minted")
}

func TestDefaultGenesisIsValid(t *testing.T) {
	chainApp := app.New(log.NewNopLogger(), dbm.NewMemDB(), true, apptest.Options{})

	genesis := chainApp.DefaultGenesis()

	encoding := chainApp.EncodingConfig()
	require.NoError(t, chainApp.BasicModuleManager.ValidateGenesis(encoding.Codec, encoding.TxConfig, genesis))
	for name := range chainApp.ModuleManager.Modules {
		if len(genesis[name]) > 0 {
			require.Contains(t, chainApp.ModuleManager.OrderInitGenesis, name)
		}
	}
}

func TestCloseTwice(t *testing.T) {
	chainApp := app.New(log.NewNopLogger(), dbm.NewMemDB(), true, apptest.Options{})

	require.NoError(t, chainApp.Close())
	require.NoError(t, chainApp.Close())
}

func TestModuleOrders(t *testing.T) {
	_, chainApp := newChain(t)
	manager := chainApp.ModuleManager

	require.Equal(t, upgradetypes.ModuleName, manager.OrderPreBlockers[0])
	require.Equal(t, []string{banktypes.ModuleName, "meshprovider", "meshconsumer"}, manager.OrderEndBlockers[:3])
	require.Equal(t, stakingtypes.ModuleName, manager.OrderEndBlockers[len(manager.OrderEndBlockers)-1])

	before := []struct {
		order         []string
		first, second string
	}{
		{manager.OrderBeginBlockers, minttypes.ModuleName, distrtypes.ModuleName},
		{manager.OrderBeginBlockers, distrtypes.ModuleName, slashingtypes.ModuleName},
		{manager.OrderBeginBlockers, slashingtypes.ModuleName, stakingtypes.ModuleName},
		{manager.OrderInitGenesis, authtypes.ModuleName, banktypes.ModuleName},
		{manager.OrderInitGenesis, banktypes.ModuleName, stakingtypes.ModuleName},
		{manager.OrderInitGenesis, distrtypes.ModuleName, stakingtypes.ModuleName},
		{manager.OrderInitGenesis, stakingtypes.ModuleName, slashingtypes.ModuleName},
		{manager.OrderInitGenesis, stakingtypes.ModuleName, "genutil"},
		{manager.OrderInitGenesis, stakingtypes.ModuleName, "meshprovider"},
		{manager.OrderInitGenesis, "meshconsumer", "genutil"},
		{manager.OrderBeginBlockers, "meshconsumer", minttypes.ModuleName},
	}
	for _, tc := range before {
		i, j := slices.Index(tc.order, tc.first), slices.Index(tc.order, tc.second)
		require.True(t, i >= 0 && j >= 0 && i < j, "%s must come before %s in %v", tc.first, tc.second, tc.order)
	}
}

func TestModuleAccountPermissions(t *testing.T) {
	mayMint := map[string]bool{minttypes.ModuleName: true, ibctransfertypes.ModuleName: true, "meshconsumer": true}
	mayBurn := map[string]bool{
		stakingtypes.BondedPoolName:    true,
		stakingtypes.NotBondedPoolName: true,
		govtypes.ModuleName:            true,
		ibctransfertypes.ModuleName:    true,
	}

	chain, chainApp := newChain(t)
	for name, permissions := range app.ModuleAccountPermissions() {
		require.Equal(t, mayMint[name], slices.Contains(permissions, authtypes.Minter), "%s minting", name)
		require.Equal(t, mayBurn[name], slices.Contains(permissions, authtypes.Burner), "%s burning", name)

		mint := func() error {
			ctx, _ := chain.GetContext().CacheContext()
			return chainApp.BankKeeper.MintCoins(ctx, name, sdk.NewCoins(ibctesting.TestCoin))
		}
		if mayMint[name] {
			require.NoError(t, mint())
		} else {
			require.Panics(t, func() { _ = mint() }, "%s minted", name)
		}
	}

	app.ModuleAccountPermissions()[minttypes.ModuleName][0] = "changed"
	require.Equal(t, authtypes.Minter, app.ModuleAccountPermissions()[minttypes.ModuleName][0], "caller changed the permissions")
}

func TestBlockedAddresses(t *testing.T) {
	chain, chainApp := newChain(t)
	blocked := app.BlockedAddresses()
	require.Len(t, blocked, len(app.ModuleAccountPermissions())-1)

	for name := range app.ModuleAccountPermissions() {
		addr := authtypes.NewModuleAddress(name)
		isGov := name == govtypes.ModuleName
		require.Equal(t, !isGov, blocked[addr.String()], name)
		require.Equal(t, !isGov, chainApp.BankKeeper.BlockedAddr(addr), name)
	}

	send := func(module string) error {
		_, err := chain.SendMsgs(banktypes.NewMsgSend(
			chain.SenderAccount.GetAddress(), authtypes.NewModuleAddress(module), sdk.NewCoins(ibctesting.TestCoin),
		))
		return err
	}
	require.NoError(t, send(govtypes.ModuleName))
	require.ErrorContains(t, send(distrtypes.ModuleName), sdkerrors.ErrUnauthorized.Error())
}

func TestUpgradeRunsMigration(t *testing.T) {
	home := t.TempDir()
	chain, chainApp := newChainAt(t, home)
	plan := upgradetypes.Plan{Name: "test", Height: chainApp.LastBlockHeight() + 2}
	require.NoError(t, chainApp.UpgradeKeeper.ScheduleUpgrade(chain.GetContext(), plan))
	chain.NextBlock() // still the old binary, which does not know the upgrade

	migrated := 0
	require.NoError(t, app.RegisterUpgrades(chainApp, home, []app.Upgrade{{
		Name: plan.Name,
		Migrate: func(context.Context, *app.App, upgradetypes.Plan) error {
			migrated++
			return nil
		},
	}}))
	chain.NextBlock()
	chain.NextBlock()

	require.Equal(t, 1, migrated)
	done, err := chainApp.UpgradeKeeper.GetDoneHeight(chain.GetContext(), plan.Name)
	require.NoError(t, err)
	require.Equal(t, plan.Height, done)
}

// nextVersion is a module whose state has another version than this binary's.
type nextVersion struct {
	module.AppModule

	version uint64
}

func (m nextVersion) ConsensusVersion() uint64 { return m.version }

// TestModuleVersionsMigrate: when the state of a mesh module gets a new version, an upgrade migrates it step by step, once, and
// leaves the rest as it is.
func TestModuleVersionsMigrate(t *testing.T) {
	home := t.TempDir()
	chain, chainApp := newChainAt(t, home)
	lending, err := chainApp.Mesh.Provider.Params.Get(chain.GetContext())
	require.NoError(t, err)
	receiving, err := chainApp.Mesh.Consumer.Params.Get(chain.GetContext())
	require.NoError(t, err)
	plan := upgradetypes.Plan{Name: "versions", Height: chainApp.LastBlockHeight() + 2}
	require.NoError(t, chainApp.UpgradeKeeper.ScheduleUpgrade(chain.GetContext(), plan))
	chain.NextBlock()

	// What the next binary would have: versions 3 and 2.
	var steps []string
	for name, version := range map[string]uint64{providertypes.ModuleName: 3, consumertypes.ModuleName: 2} {
		old := chainApp.ModuleManager.Modules[name].(module.AppModule) //nolint:staticcheck // what the manager itself keeps
		require.Equal(t, uint64(1), old.(module.HasConsensusVersion).ConsensusVersion())
		chainApp.ModuleManager.Modules[name] = nextVersion{old, version}
		for from := uint64(1); from < version; from++ {
			require.NoError(t, app.Configurator(chainApp).RegisterMigration(name, from, func(ctx sdk.Context) error {
				steps = append(steps, fmt.Sprintf("%s %d", name, from))
				if name != providertypes.ModuleName {
					return nil
				}
				params, err := chainApp.Mesh.Provider.Params.Get(ctx)
				if err != nil {
					return err
				}
				params.PacketTimeout += time.Minute
				return chainApp.Mesh.Provider.Params.Set(ctx, params)
			}))
		}
	}
	require.NoError(t, app.RegisterUpgrades(chainApp, home, []app.Upgrade{{Name: plan.Name}}))
	chain.NextBlock()
	chain.NextBlock()

	slices.Sort(steps)
	require.Equal(t, []string{"meshconsumer 1", "meshprovider 1", "meshprovider 2"}, steps)
	versions, err := chainApp.UpgradeKeeper.GetModuleVersionMap(chain.GetContext())
	require.NoError(t, err)
	require.Equal(t, uint64(3), versions[providertypes.ModuleName])
	require.Equal(t, uint64(2), versions[consumertypes.ModuleName])
	lending.PacketTimeout += 2 * time.Minute
	after, err := chainApp.Mesh.Provider.Params.Get(chain.GetContext())
	require.NoError(t, err)
	require.Equal(t, lending, after)
	same, err := chainApp.Mesh.Consumer.Params.Get(chain.GetContext())
	require.NoError(t, err)
	require.Equal(t, receiving, same)
	require.NoError(t, chainApp.Mesh.Provider.CheckInvariants(chain.GetContext()))
	require.NoError(t, chainApp.Mesh.Consumer.CheckInvariants(chain.GetContext()))
}

// A binary that does not contain a scheduled upgrade must not go on past its height.
func TestUnknownUpgradeStopsTheChain(t *testing.T) {
	home := t.TempDir()
	chain, chainApp := newChainAt(t, home)
	plan := upgradetypes.Plan{Name: "unknown", Height: chainApp.LastBlockHeight() + 2}
	require.NoError(t, chainApp.UpgradeKeeper.ScheduleUpgrade(chain.GetContext(), plan))
	chain.NextBlock()

	_, err := chainApp.FinalizeBlock(&abci.RequestFinalizeBlock{Height: plan.Height, Time: chain.ProposedHeader.Time})

	require.ErrorContains(t, err, `UPGRADE "unknown" NEEDED`)
	require.FileExists(t, filepath.Join(home, "data", upgradetypes.UpgradeInfoFilename))
}
