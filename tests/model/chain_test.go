package model_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"testing"
	"time"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/comet"
	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/codec"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	simtestutil "github.com/cosmos/cosmos-sdk/testutil/sims"
	"github.com/cosmos/cosmos-sdk/testutil/simsx"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	simtypes "github.com/cosmos/cosmos-sdk/types/simulation"
	"github.com/cosmos/cosmos-sdk/x/auth"
	authsims "github.com/cosmos/cosmos-sdk/x/auth/simulation"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	ibctransfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	ibcexported "github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctesting "github.com/cosmos/ibc-go/v11/testing"

	"github.com/mesh-security/mesh/app"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// simGenesisTime is when simulated chains begin.
var simGenesisTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestChain runs the SDK's simulation of one chain: operations of its own modules and of ours, random parameters, two
// partner chains that are played by the test, and random votes and offences of validators; about two hours pass between
// blocks. Invariants hold after every block. At the end the chain's state is exported and imported: the stores must be
// equal; then a chain begins at height zero from another export, and goes on for a third of the blocks.
func TestChain(t *testing.T) {
	blocks := chainBlocks(t, 40)
	seed := simSeed(t)
	t.Cleanup(func() { reportChain(t, blocks, seed) })
	simulate(t, seed, blocks, nil, func(a *simApp) {
		t.Logf("seed %d: %v", seed, a.counts())
		if everyTime() {
			for _, what := range []string{"cross-staked", "unstaked", "burned", "late slash", "update", "report", "answer", "proof", "rewards"} {
				require.Positive(t, a.counts()[what], "never %s", what)
			}
		}
		requireImports(t, a)
		goOn(t, a, seed, blocks/3)
	})
}

// TestChainIsDeterministic: the same seed gives the same state.
func TestChainIsDeterministic(t *testing.T) {
	blocks := chainBlocks(t, 30) / 3
	seed := simSeed(t)
	t.Cleanup(func() { reportChain(t, 3*blocks, seed) })
	var hashes []string
	for range 2 {
		simulate(t, seed, blocks, nil, func(a *simApp) {
			hashes = append(hashes, fmt.Sprintf("%d %X", a.LastBlockHeight(), a.LastCommitID().Hash))
		})
	}
	require.Len(t, hashes, 2)
	require.Equal(t, hashes[0], hashes[1])
}

// everyTime says whether this is the history that tests play every time, which must show what it is meant to show. Others
// may lack something: where the random parameters let a double sign cost all that is staked, for one, nobody can stake
// twice.
func everyTime() bool {
	return os.Getenv(seedEnv) == "" && flag.Lookup("rapid.seed").Value.String() != "0"
}

// chainBlocks returns how many blocks to simulate, and skips the test if a mesh is asked for.
func chainBlocks(t *testing.T, otherwise int) int {
	t.Helper()
	if simInt(t, chainsEnv, 1) != 1 {
		t.Skip("a mesh is simulated")
	}
	return simInt(t, blocksEnv, otherwise)
}

func reportChain(t *testing.T, blocks int, seed int64) {
	t.Helper()
	if t.Failed() {
		t.Logf("play it again with: make sim CHAINS=1 BLOCKS=%d SEED=%d", blocks, seed)
	}
}

// simApp is the reference chain as the SDK's simulation sees it.
type simApp struct {
	*app.App
	tb      testing.TB
	manager *module.SimulationManager
	peers   []*peer
	// genesis is the state to begin with, random if nil.
	genesis json.RawMessage
	// events counts some typed events by name, as a measure of what happened.
	events map[string]int
	// staked counts the blocks after which somebody had cross-staked.
	staked int
	// burned counts the blocks in which something was burned, of which total is the sum.
	burned int
	total  sdkmath.Int
	now    time.Time
}

// SetNotSigverifyTx implements simsx.SimulationApp: signatures are verified all the same.
func (*simApp) SetNotSigverifyTx() {}

// TxConfig implements simsx.SimulationApp.
func (a *simApp) TxConfig() client.TxConfig { return a.GetTxConfig() }

// LegacyAmino implements runtime.AppI.
func (a *simApp) LegacyAmino() *codec.LegacyAmino { return a.EncodingConfig().Amino }

// SimulationManager implements runtime.AppI.
func (a *simApp) SimulationManager() *module.SimulationManager { return a.manager }

// beginBlock leaves out most of the offences that the SDK's simulation makes up, or hardly a validator would be left after
// some blocks.
func (a *simApp) beginBlock(ctx sdk.Context) (sdk.BeginBlock, error) {
	a.now = ctx.BlockTime()
	if info := ctx.CometInfo(); info != nil {
		unbonding, err := a.StakingKeeper.UnbondingTime(ctx)
		if err != nil {
			return sdk.BeginBlock{}, err
		}
		ctx = ctx.WithCometInfo(fewOffences{info, ctx.BlockHeight()%8 == 0, a.now.Add(-unbonding)})
	}
	return a.BeginBlocker(ctx)
}

// endBlock checks invariants after the modules' EndBlock, and gives the partners the packets that were sent.
func (a *simApp) endBlock(ctx sdk.Context) (sdk.EndBlock, error) {
	res, err := a.EndBlocker(ctx)
	if err != nil {
		return res, err
	}
	for _, p := range a.peers {
		p.advance(ctx)
	}
	for _, e := range res.Events {
		a.events[e.Type]++
		if e.Type != channeltypes.EventTypeSendPacket {
			continue
		}
		packets, err := ibctesting.ParseIBCV1Packets(e.Type, []abci.Event{e})
		if err != nil {
			return res, err
		}
		for _, p := range a.peers {
			p.sent(packets[0])
		}
	}
	if err := a.Mesh.Provider.Positions.Walk(ctx, nil, func(collections.Pair[sdk.AccAddress, uint64], providertypes.Position) (bool, error) {
		a.staked++
		return true, nil
	}); err != nil {
		return res, err
	}
	totals, err := a.Mesh.Provider.Totals.Get(ctx)
	if err != nil {
		return res, err
	}
	if !a.total.IsNil() && totals.Burned.GT(a.total) {
		a.burned++
	}
	a.total = totals.Burned
	if err := a.Mesh.Provider.CheckInvariants(ctx); err != nil {
		return res, err
	}
	return res, a.Mesh.Consumer.CheckInvariants(ctx)
}

// counts says what happened.
func (a *simApp) counts() map[string]int {
	out := map[string]int{
		"cross-staked": a.staked, "unstaked": a.events["mesh.provider.v1.EventBatchClosed"], "burned": a.burned,
		"late slash":    a.events["mesh.provider.v1.EventPoolSlashed"], // not in the transaction that brought it
		"virtual stake": a.events["mesh.consumer.v1.EventVirtualStakeChanged"],
	}
	for _, p := range a.peers {
		for what, n := range p.counts {
			out[what] += n
		}
	}
	return out
}

// fewOffences is a block's information with one offence or none. It is not older than the unbonding period, as CometBFT
// must be told (docs/threat-model.md): x/evidence fails on one by a validator that x/staking has removed since.
type fewOffences struct {
	comet.BlockInfo
	one  bool
	from time.Time
}

func (i fewOffences) GetEvidence() comet.EvidenceList {
	return firstOffence{i.BlockInfo.GetEvidence(), i.one, i.from}
}

type firstOffence struct {
	comet.EvidenceList
	one  bool
	from time.Time
}

func (l firstOffence) Len() int {
	if !l.one || l.EvidenceList.Len() == 0 || l.Get(0).Time().Before(l.from) {
		return 0
	}
	return 1
}

// newSimApp returns a factory of chains with two partners, or with those of another chain.
func newSimApp(tb testing.TB, genesis json.RawMessage, peers []*peer, last **simApp) func(
	log.Logger, dbm.DB, bool, servertypes.AppOptions, ...func(*baseapp.BaseApp),
) *simApp {
	tb.Helper()
	return func(logger log.Logger, db dbm.DB, _ bool, opts servertypes.AppOptions, options ...func(*baseapp.BaseApp)) *simApp {
		options = append(options, baseapp.SetIAVLSyncPruning(true)) // or every store has a goroutine for ever
		a := &simApp{App: app.New(logger, db, false, opts, options...), tb: tb, genesis: genesis, events: map[string]int{}}
		if peers == nil {
			a.peers = []*peer{newPeer(a, 0), newPeer(a, 1)}
		} else {
			a.peers = peers
			for _, p := range peers {
				p.app = a
			}
		}
		a.SetBeginBlocker(a.beginBlock)
		a.SetEndBlocker(a.endBlock)
		require.NoError(tb, a.LoadLatestVersion())
		a.manager = a.simulationManager()
		*last = a
		return a
	}
}

// simulationManager has x/staking before x/slashing, which reads what it drew, and our modules and the partners last.
func (a *simApp) simulationManager() *module.SimulationManager {
	modules := map[string]any{}
	var names []string
	for name, m := range a.ModuleManager.Modules {
		modules[name] = m
		names = append(names, name)
	}
	modules[authtypes.ModuleName] = auth.NewAppModule(a.AppCodec(), a.AccountKeeper, authsims.RandomGenesisAccounts, nil)
	place := func(name string) int {
		switch name {
		case stakingtypes.ModuleName:
			return 0
		case meshtypes.PortProvider, meshtypes.PortConsumer:
			return 2
		default:
			return 1
		}
	}
	sort.Strings(names)
	slices.SortStableFunc(names, func(x, y string) int { return place(x) - place(y) })
	var sims []module.AppModuleSimulation
	for _, name := range names {
		if m, ok := modules[name].(module.AppModuleSimulation); ok {
			sims = append(sims, m)
		}
	}
	for _, p := range a.peers {
		sims = append(sims, p)
	}
	manager := module.NewSimulationManager(sims...)
	manager.RegisterStoreDecoders()
	return manager
}

// state is what the SDK's simulation needs to know of the chain.
func (a *simApp) state() simsx.SimStateFactory {
	random := simtestutil.AppStateFn(a.AppCodec(), a.manager, a.DefaultGenesis())
	return simsx.SimStateFactory{
		Codec: a.AppCodec(),
		AppStateFn: func(r *rand.Rand, accs []simtypes.Account, config simtypes.Config) (
			json.RawMessage, []simtypes.Account, string, time.Time,
		) {
			if a.genesis != nil {
				return a.genesis, accs, config.ChainID, time.Unix(config.GenesisTime, 0).UTC()
			}
			state, accs, chainID, at := random(r, accs, config)
			return pairUp(a, r, state, accs, at), accs, chainID, at
		},
		BlockedAddr:   app.BlockedAddresses(),
		AccountSource: a.AccountKeeper,
		BalanceSource: a.BankKeeper,
	}
}

// simulate runs a simulation from a seed, and then after, unless no validator is left at some time.
func simulate(t *testing.T, seed int64, blocks int, from *simApp, after func(*simApp)) {
	t.Helper()
	r := rand.New(rand.NewSource(seed))
	// What would otherwise be drawn from so wide a range that most chains would be of no use.
	params, err := json.Marshal(map[string]any{
		simtestutil.InitiallyBondedValidators: 20 + r.Intn(20),
		"unbonding_time":                      time.Duration(24+r.Intn(72)) * time.Hour,
		"max_validators":                      10 + r.Intn(40),
	})
	require.NoError(t, err)
	if from != nil {
		// Entries of before height zero cannot be cancelled: x/staking wants a height above it.
		params = []byte(`{"op_weight_msg_cancel_unbonding_delegation": 0}`)
	}
	file := filepath.Join(t.TempDir(), "params.json")
	require.NoError(t, os.WriteFile(file, params, 0o600))
	config := simtypes.Config{
		ChainID: simsx.SimAppChainID, GenesisTime: simGenesisTime.Unix(), InitialBlockHeight: 1, NumBlocks: blocks, BlockSize: 30,
		Lean: true, Commit: true, DBBackend: "memdb", ParamsFile: file,
	}
	var (
		genesis json.RawMessage
		peers   []*peer
		last    *simApp
	)
	if from != nil {
		genesis, peers = from.genesis, from.peers
		config.GenesisTime = from.now.Unix()
	}
	accounts := func(r *rand.Rand, n int) []simtypes.Account { return simtypes.RandomAccounts(r, min(max(n, 60), 100)) }
	done := false
	t.Run(fmt.Sprintf("seed %d, %d blocks", seed, blocks), func(t *testing.T) {
		simsx.RunWithSeedAndRandAcc(t, config, newSimApp(t, genesis, peers, &last), (*simApp).state, seed, nil, accounts,
			func(testing.TB, simsx.TestInstance[*simApp], []simtypes.Account) { done = true; after(last) })
	})
	if !done && !t.Failed() {
		t.Skipf("seed %d: no validator was left", seed)
	}
}

// requireImports exports the state, imports it into another chain and compares their stores.
func requireImports(t *testing.T, a *simApp) {
	t.Helper()
	exported, err := a.ExportAppStateAndValidators(false, nil, nil)
	require.NoError(t, err)
	var state app.GenesisState
	require.NoError(t, json.Unmarshal(exported.AppState, &state))
	var b *simApp
	newSimApp(t, nil, nil, &b)(log.NewNopLogger(), dbm.NewMemDB(), true, simtestutil.EmptyAppOptions{}, baseapp.SetChainID(simsx.SimAppChainID))
	header := cmtproto.Header{ChainID: simsx.SimAppChainID, Height: a.LastBlockHeight(), Time: a.now}
	ctxA, ctxB := a.NewContextLegacy(true, header), b.NewContextLegacy(true, header)
	_, err = b.ModuleManager.InitGenesis(ctxB, b.AppCodec(), state)
	require.NoError(t, err)
	require.NoError(t, b.Mesh.Provider.CheckInvariants(ctxB))
	require.NoError(t, b.Mesh.Consumer.CheckInvariants(ctxB))
	// x/staking builds its queues and ids anew; x/gov, x/slashing and x/bank have their own tests of this kind.
	skip := map[string][][]byte{
		stakingtypes.StoreKey: {
			stakingtypes.UnbondingQueueKey, stakingtypes.RedelegationQueueKey, stakingtypes.ValidatorQueueKey, stakingtypes.HistoricalInfoKey,
			stakingtypes.UnbondingIDKey, stakingtypes.UnbondingIndexKey, stakingtypes.UnbondingTypeKey, stakingtypes.ValidatorUpdatesKey,
		},
		slashingtypes.StoreKey: {slashingtypes.ValidatorMissedBlockBitmapKeyPrefix},
		// The sum of the beginning of a block, which the next block takes anew.
		meshtypes.PortConsumer: {consumertypes.VirtualSupplyKey.Bytes()},
	}
	for _, name := range []string{
		meshtypes.PortProvider, meshtypes.PortConsumer, stakingtypes.StoreKey, slashingtypes.StoreKey, banktypes.StoreKey,
		distrtypes.StoreKey, minttypes.StoreKey, govtypes.StoreKey, ibcexported.StoreKey, ibctransfertypes.StoreKey,
	} {
		diffA, diffB := simtestutil.DiffKVStores(ctxA.KVStore(a.GetKey(name)), ctxB.KVStore(b.GetKey(name)), skip[name])
		if len(diffA) > 0 {
			const most = 10
			t.Errorf("store %s: %d differences\n%s", name, len(diffA), simtestutil.GetSimulationLog(
				name, a.manager.StoreDecoders, diffA[:min(len(diffA), most)], diffB[:min(len(diffB), most)]))
		}
	}
}

// goOn starts a chain at height zero from the state of another and simulates it.
func goOn(t *testing.T, a *simApp, seed int64, blocks int) {
	t.Helper()
	exported, err := a.ExportAppStateAndValidators(true, nil, nil)
	require.NoError(t, err)
	a.genesis = exported.AppState
	for _, p := range a.peers {
		p.inFlight = nil // they time out nowhere
	}
	simulate(t, seed, blocks, a, func(b *simApp) { t.Logf("after import: %v", b.counts()) })
}
