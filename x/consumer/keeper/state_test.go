package keeper_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"
	moduletestutil "github.com/cosmos/cosmos-sdk/types/module/testutil"
	"github.com/cosmos/cosmos-sdk/types/query"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"

	"github.com/mesh-security/mesh/x/consumer"
	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

func testCodec() codec.Codec { return moduletestutil.MakeTestEncodingConfig().Codec }

// restart exports every module's state and starts a new chain from it, through JSON.
func (f *fixture) restart() *fixture {
	f.t.Helper()
	r := require.New(f.t)
	cdc := testCodec()
	module := consumer.NewAppModule(cdc, f.k)
	bz := module.ExportGenesis(f.ctx, cdc)
	r.NoError(module.ValidateGenesis(cdc, nil, bz))

	g := newBareFixture(f.t)
	g.ctx = g.ctx.WithBlockHeader(f.ctx.BlockHeader()).WithBlockHeight(f.ctx.BlockHeight()).WithBlockTime(f.ctx.BlockTime())
	g.vals, g.powers, g.seqs, g.absent = f.vals, f.powers, f.seqs, f.absent
	for id, chain := range f.clients {
		g.clients[id] = chain
	}
	for id, channel := range f.channels.channels {
		g.channels.channels[id] = channel
	}
	g.accounts.InitGenesis(g.ctx, *f.accounts.ExportGenesis(f.ctx))
	g.bank.InitGenesis(g.ctx, f.bank.ExportGenesis(f.ctx))
	g.distribution.InitGenesis(g.ctx, *f.distribution.ExportGenesis(f.ctx))
	staking := f.staking.ExportGenesis(f.ctx)
	r.True(staking.Exported)
	g.staking.InitGenesis(g.ctx, staking)
	g.slashing.InitGenesis(g.ctx, g.staking, f.slashing.ExportGenesis(f.ctx))
	g.mint.InitGenesis(g.ctx, g.accounts, f.mint.ExportGenesis(f.ctx))
	consumer.NewAppModule(cdc, g.k).InitGenesis(g.ctx, cdc, bz)

	again := consumer.NewAppModule(cdc, g.k).ExportGenesis(g.ctx, cdc)
	r.JSONEq(string(bz), string(again))
	g.check()
	return g
}

func TestGenesisRoundTripWithEverythingInFlight(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000, 1000)
	f.setParams(func(p *types.Params) { p.MaxEpochOperations = 1 })
	f.addProvider(provider1, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.16") })
	f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.16") })
	f.update(provider1, map[int]int64{0: 40, 1: 30})
	f.update(provider2, map[int]int64{0: 20, 3: 10})
	f.epoch()
	for range 4 {
		f.block(blockTime)
	}
	f.broken.failUnbond[string(f.vals[1].addr)] = func() error { return errors.New("no") }
	f.update(provider1, map[int]int64{0: 10, 1: 5, 2: 50})
	f.update(provider2, map[int]int64{2: 5, 3: 1})
	f.epoch() // one change done, the rest planned, reports of the last epoch in flight
	f.block(blockTime)
	f.delegate('x', 0, tokens(5))
	require.NoError(t, f.slashing.Jail(f.ctx, f.vals[3].cons)) // marked, not yet drained

	gs := f.export()
	require.NotEmpty(t, gs.Plan)
	require.NotEmpty(t, gs.Dirty)
	require.NotEmpty(t, gs.Changed)
	require.NotEmpty(t, gs.Flows)
	require.NotEmpty(t, gs.Heights)

	f.reports()
	g := f.restart()
	for _, c := range []*fixture{f, g} {
		delete(c.broken.failUnbond, string(f.vals[1].addr))
		for range 6 {
			c.block(blockTime)
		}
	}
	require.Equal(t, f.export(), g.export(), "both go on alike")
	require.Equal(t, f.reports(), g.reports(), "and report alike")
	for v := range f.vals {
		for _, id := range []string{provider1, provider2} {
			require.Equal(t, f.virtual(id, v).String(), g.virtual(id, v).String())
		}
	}
}

func TestGenesisOfAChainThatHasValidators(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	g := newBareFixture(t)
	g.vals = f.vals
	g.accounts.InitGenesis(g.ctx, *f.accounts.ExportGenesis(f.ctx))
	g.bank.InitGenesis(g.ctx, f.bank.ExportGenesis(f.ctx))
	g.distribution.InitGenesis(g.ctx, *f.distribution.ExportGenesis(f.ctx))
	g.staking.InitGenesis(g.ctx, f.staking.ExportGenesis(f.ctx))
	require.NoError(t, g.k.InitGenesis(g.ctx, *types.DefaultGenesis()))
	gs := g.export()
	require.Len(t, gs.Validators, 2)
	require.True(t, gs.Validators[0].State.WasBonded)
	require.True(t, gs.Validators[0].State.KeyHeight.IsZero(), "the key counts from the beginning")
	require.Equal(t, g.ctx.BlockTime(), gs.Epoch.Start)
}

func TestBadGenesis(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 10, 1: 5})
	f.epoch()
	for name, change := range map[string]func(*types.GenesisState){
		"params":            func(gs *types.GenesisState) { gs.Params.EpochDuration = 0 },
		"provider twice":    func(gs *types.GenesisState) { gs.Providers = append(gs.Providers, gs.Providers[0]) },
		"status":            func(gs *types.GenesisState) { gs.Providers[0].Status = 0 },
		"session":           func(gs *types.GenesisState) { gs.Providers[0].Session.Consumer = 0 },
		"price in force":    func(gs *types.GenesisState) { gs.Providers[0].Price = sdkmath.LegacyDec{} },
		"cap":               func(gs *types.GenesisState) { gs.Providers[0].Cap = sdkmath.NewInt(-1) },
		"log":               func(gs *types.GenesisState) { gs.Providers[0].FirstIndex = 0 },
		"in flight":         func(gs *types.GenesisState) { gs.Providers[0].ReportInFlight = 99 },
		"count":             func(gs *types.GenesisState) { gs.Providers[0].Stakes = 1 },
		"price of nobody":   func(gs *types.GenesisState) { gs.Prices[0].ProviderId = "x" },
		"price":             func(gs *types.GenesisState) { gs.Prices[0].Price.Price = dec("0") },
		"stake of nobody":   func(gs *types.GenesisState) { gs.Stakes[0].ProviderId = "x" },
		"stake twice":       func(gs *types.GenesisState) { gs.Stakes[1] = gs.Stakes[0] },
		"stake's validator": func(gs *types.GenesisState) { gs.Stakes[0].Validator = nil },
		"stake's amount":    func(gs *types.GenesisState) { gs.Stakes[0].Record.Amount = sdkmath.NewInt(-1) },
		"executed seq":      func(gs *types.GenesisState) { gs.Stakes[0].Record.ExecutedSeq = 99 },
		"validator":         func(gs *types.GenesisState) { gs.Validators[0].Validator = nil },
		"key":               func(gs *types.GenesisState) { gs.Validators[0].State.ConsensusKey = meshtypes.ConsensusKey{} },
		"dirty of nobody":   func(gs *types.GenesisState) { gs.Dirty[0].ProviderId = "x" },
		"flow":              func(gs *types.GenesisState) { gs.Flows[0].Flow.Left = sdkmath.NewInt(-1) },
		"plan": func(gs *types.GenesisState) {
			gs.Plan = append(gs.Plan, types.PlanEntry{ProviderId: provider1, Validator: []byte{1}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			gs := f.export()
			require.NoError(t, gs.Validate())
			change(gs)
			require.Error(t, gs.Validate())
			require.Error(t, newBareFixture(t).k.InitGenesis(f.ctx, *gs))
		})
	}
}

func TestMintSeesNoVirtualStake(t *testing.T) {
	// Two chains alike, one with virtual stake: they mint alike.
	with, without := newFixture(t, 1000, 1000), newFixture(t, 1000, 1000)
	loose := sdk.AccAddress("somebody with coins.")
	for _, f := range []*fixture{with, without} {
		f.fund(loose, tokens(700))
		f.addProvider(provider1, nil)
		if f == with {
			f.update(provider1, map[int]int64{0: 500, 1: 100})
		}
		f.epoch()
		require.NoError(t, f.slashing.Jail(f.ctx, f.vals[1].cons)) // part of it is not bonded
		f.block(blockTime)
		f.minting = true
		for range 3 {
			f.block(blockTime)
		}
	}
	with.requireVirtual(provider1, 0, 500)
	a, err := with.mint.Minter.Get(with.ctx)
	require.NoError(t, err)
	b, err := without.mint.Minter.Get(without.ctx)
	require.NoError(t, err)
	require.Equal(t, b.Inflation.String(), a.Inflation.String())
	require.Equal(t, b.AnnualProvisions.String(), a.AnnualProvisions.String())
	supplyA, err := with.query.Supply(with.ctx, &types.QuerySupplyRequest{})
	require.NoError(t, err)
	supplyB, err := without.query.Supply(without.ctx, &types.QuerySupplyRequest{})
	require.NoError(t, err)
	require.Equal(t, supplyB.NativeSupply.String(), supplyA.NativeSupply.String())
	require.Equal(t, tokens(600).String(), supplyA.VirtualSupply.String())
	require.Equal(t, supplyA.BankSupply.String(), supplyA.NativeSupply.Add(supplyA.VirtualSupply).String())
}

func TestMaxSupplyIsAboutNativeSupply(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.update(provider1, map[int]int64{0: 500})
	f.epoch()
	params := minttypes.DefaultParams()
	params.MaxSupply = tokens(2000).AddRaw(3) // below the bank's supply
	require.NoError(t, f.mint.Params.Set(f.ctx, params))
	f.minting = true
	f.block(blockTime)
	f.block(blockTime)
	supply, err := f.query.Supply(f.ctx, &types.QuerySupplyRequest{})
	require.NoError(t, err)
	require.Equal(t, params.MaxSupply.String(), supply.NativeSupply.String())
	require.Equal(t, "3", f.bank.GetBalance(f.ctx, authtypes.NewModuleAddress(authtypes.FeeCollectorName), bondDenom).Amount.String())
}

func TestVirtualAccountIsAnOrdinaryOne(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	account := types.VirtualAccount(provider1)
	require.NotEqual(t, account, types.VirtualAccount(provider2))
	f.addProvider(provider1, nil)
	require.NotNil(t, f.accounts.GetAccount(f.ctx, account))
	// What strangers send there changes nothing; rewards of the delegation do not go to the community pool.
	f.fund(account, tokens(77))
	f.update(provider1, map[int]int64{0: 100})
	f.epoch()
	f.requireVirtual(provider1, 0, 100)
	f.fund(authtypes.NewModuleAddress(distrtypes.ModuleName), tokens(10))
	require.NoError(t, f.distribution.AllocateTokensToValidator(f.ctx, f.validator(0), sdk.NewDecCoins(sdk.NewDecCoin(bondDenom, tokens(10)))))
	f.update(provider1, map[int]int64{0: 0})
	f.epoch()
	balance := f.bank.GetBalance(f.ctx, account, bondDenom).Amount
	require.True(t, balance.GT(tokens(77)), balance.String())
	require.True(t, balance.LT(tokens(78)), balance.String())
}

func TestHooksMark(t *testing.T) {
	f := newFixture(t, 1000, 1000)
	f.addProvider(provider1, nil)
	f.epoch()
	answer := func() []meshtypes.ValidatorReport {
		f.epoch()
		var out []meshtypes.ValidatorReport
		for _, r := range f.reports() {
			out = append(out, r.Validators...)
			f.ack(provider1, r, nil)
		}
		return out
	}
	for _, r := range f.reports() {
		f.ack(provider1, r, nil)
	}
	require.Empty(t, answer())

	// Created and bonded in one block.
	v := f.createValidator(7, tokens(500))
	got := answer()
	require.Len(t, got, 0, "bonded at the end of the block, after us")
	got = answer()
	require.Len(t, got, 1)
	require.Equal(t, []byte(v.addr), got[0].Operator)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_BONDED, got[0].Status)
	require.Less(t, got[0].KeyHeight.Height, uint64(f.ctx.BlockHeight()))

	// Jailed, and unjailed, without a hook of x/staking.
	require.NoError(t, f.slashing.Jail(f.ctx, v.cons))
	require.Equal(t, meshtypes.VALIDATOR_STATUS_JAILED, answer()[0].Status)
	answer() // begins unbonding
	require.NoError(t, f.slashing.Unjail(f.ctx, v.addr))
	require.Equal(t, meshtypes.VALIDATOR_STATUS_UNBONDED, answer()[0].Status)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_BONDED, answer()[0].Status)

	// One never bonded is nobody's business, and forgotten when it is gone.
	params, err := f.staking.GetParams(f.ctx)
	require.NoError(t, err)
	params.MaxValidators = 3
	require.NoError(t, f.staking.SetParams(f.ctx, params))
	w := f.createValidator(8, tokens(1))
	require.Empty(t, answer())
	has, err := f.k.Validators.Has(f.ctx, w.addr)
	require.NoError(t, err)
	require.True(t, has)
	_, _, err = f.staking.Undelegate(f.ctx, sdk.AccAddress(w.addr), w.addr, sdkmath.LegacyNewDecFromInt(tokens(1)))
	require.NoError(t, err)
	require.Empty(t, answer())
	has, err = f.k.Validators.Has(f.ctx, w.addr)
	require.NoError(t, err)
	require.False(t, has)

	// Jailed by x/staking itself, for too little of its own.
	_, _, err = f.staking.Undelegate(f.ctx, sdk.AccAddress(v.addr), v.addr, sdkmath.LegacyNewDecFromInt(tokens(500)))
	require.NoError(t, err)
	require.Equal(t, meshtypes.VALIDATOR_STATUS_JAILED, answer()[0].Status)
}

func TestQueries(t *testing.T) {
	f := newFixture(t, 1000, 1000, 1000)
	f.setParams(func(p *types.Params) { p.MaxEpochOperations = 1 })
	f.addProvider(provider1, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.1") })
	f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.1") })
	f.update(provider1, map[int]int64{0: 10, 1: 20})
	f.epoch()

	stakes, err := f.query.Stakes(f.ctx, &types.QueryStakesRequest{ProviderId: provider1, Pagination: &query.PageRequest{Limit: 1}})
	require.NoError(t, err)
	require.Len(t, stakes.Stakes, 1)
	require.NotEmpty(t, stakes.Pagination.NextKey)
	require.False(t, stakes.Stakes[0].Pending)
	require.Equal(t, tokens(10).String(), stakes.Stakes[0].Current.String())
	stakes, err = f.query.Stakes(f.ctx, &types.QueryStakesRequest{ProviderId: provider1, Pagination: &query.PageRequest{Key: stakes.Pagination.NextKey}})
	require.NoError(t, err)
	require.Len(t, stakes.Stakes, 1)
	require.True(t, stakes.Stakes[0].Pending)
	require.Equal(t, tokens(20).String(), stakes.Stakes[0].Target.String())
	require.Equal(t, "0", stakes.Stakes[0].Current.String())
	_, err = f.query.Stakes(f.ctx, &types.QueryStakesRequest{ProviderId: provider3})
	require.ErrorIs(t, err, types.ErrProviderNotFound)

	f.block(blockTime)
	on, err := f.query.ValidatorStakes(f.ctx, &types.QueryValidatorStakesRequest{Validator: f.vals[1].addr.String()})
	require.NoError(t, err)
	require.Len(t, on.Stakes, 1)
	require.Equal(t, provider1, on.Stakes[0].ProviderId)
	_, err = f.query.ValidatorStakes(f.ctx, &types.QueryValidatorStakesRequest{Validator: "x"})
	require.ErrorIs(t, err, types.ErrInvalidValidator)

	vals, err := f.query.Validators(f.ctx, &types.QueryValidatorsRequest{})
	require.NoError(t, err)
	require.Len(t, vals.Validators, 3)
	require.Equal(t, tokens(1000).String(), vals.Validators[1].NativeTokens.String())
	require.Equal(t, tokens(20).String(), vals.Validators[1].VirtualTokens.String())

	all, err := f.query.Providers(f.ctx, &types.QueryProvidersRequest{Status: types.PROVIDER_STATUS_ACTIVE})
	require.NoError(t, err)
	require.Len(t, all.Providers, 2)
	all, err = f.query.Providers(f.ctx, &types.QueryProvidersRequest{Status: types.PROVIDER_STATUS_PAUSED})
	require.NoError(t, err)
	require.Empty(t, all.Providers)
	one, err := f.query.Provider(f.ctx, &types.QueryProviderRequest{ProviderId: provider1})
	require.NoError(t, err)
	require.True(t, one.Provider.Fresh)
	require.Equal(t, tokens(30).String(), one.Provider.VirtualTokens.String())
	require.Equal(t, types.VirtualAccount(provider1).String(), one.Provider.Account)
	require.Positive(t, one.Provider.SyncedAge)
	_, err = f.query.Provider(f.ctx, &types.QueryProviderRequest{ProviderId: provider3})
	require.ErrorIs(t, err, types.ErrProviderNotFound)

	price, err := f.query.Price(f.ctx, &types.QueryPriceRequest{ProviderId: provider1})
	require.NoError(t, err)
	require.True(t, price.MayRise)
	require.Equal(t, dec("1").String(), price.InForce.String())
	security, err := f.query.Security(f.ctx, &types.QuerySecurityRequest{})
	require.NoError(t, err)
	require.Equal(t, tokens(3000).String(), security.NativeBonded.String())
	require.Equal(t, tokens(30).String(), security.VirtualBonded.String())
	require.Len(t, security.VirtualByProvider, 1)
	require.Equal(t, "provider-of-"+provider1, security.VirtualByProvider[0].ChainId)
	epoch, err := f.query.Epoch(f.ctx, &types.QueryEpochRequest{})
	require.NoError(t, err)
	require.Equal(t, epoch.Epoch.Start.Add(epochTime), epoch.EndsAt)

	for _, ask := range []func() error{
		func() error { _, err := f.query.Params(f.ctx, nil); return err },
		func() error { _, err := f.query.Providers(f.ctx, nil); return err },
		func() error { _, err := f.query.Provider(f.ctx, nil); return err },
		func() error { _, err := f.query.Stakes(f.ctx, nil); return err },
		func() error { _, err := f.query.ValidatorStakes(f.ctx, nil); return err },
		func() error { _, err := f.query.Validators(f.ctx, nil); return err },
		func() error { _, err := f.query.Price(f.ctx, nil); return err },
		func() error { _, err := f.query.Epoch(f.ctx, nil); return err },
		func() error { _, err := f.query.Supply(f.ctx, nil); return err },
		func() error { _, err := f.query.Security(f.ctx, nil); return err },
	} {
		require.Error(t, ask())
	}
}

// TestRandomLife lets providers, prices, delegators and slashes do what they like; the invariants hold after every block,
// and in the end everything converges and leaves.
func TestRandomLife(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := newFixture(t, 900, 700, 300, 50)
		f.setParams(func(p *types.Params) {
			p.MaxEpochOperations = uint32(rapid.IntRange(1, 10).Draw(r, "operations"))
		})
		ids := []string{provider1, provider2}
		for _, id := range ids {
			f.addProvider(id, func(c *types.ProviderConfig) { c.MaxPowerRatio = dec("0.16") })
		}
		native := func() sdkmath.Int {
			supply, err := f.k.NativeSupply(f.ctx)
			require.NoError(t, err)
			return supply.Amount
		}
		steps := rapid.IntRange(5, 40).Draw(r, "steps")
		slashed := false
		for i := range steps {
			id := rapid.SampledFrom(ids).Draw(r, "provider")
			val := rapid.IntRange(0, 3).Draw(r, "validator")
			before := native()
			switch rapid.IntRange(0, 9).Draw(r, "action") {
			case 0, 1, 2:
				f.update(id, map[int]int64{val: rapid.Int64Range(0, 400).Draw(r, "amount")})
			case 3:
				f.setPrice(id, rapid.SampledFrom([]string{"0.9", "1", "1.004", "0.05", "3.333333333333333333"}).Draw(r, "price"))
			case 4:
				amount := sdkmath.NewInt(rapid.Int64Range(1, 50_000_000).Draw(r, "native"))
				if v := f.validator(val); v.Tokens.IsPositive() {
					f.delegate(byte(100+i), val, amount)
					before = before.Add(amount)
				}
			case 5:
				self := sdk.AccAddress(f.vals[val].addr)
				if d, err := f.staking.GetDelegation(f.ctx, self, f.vals[val].addr); err == nil && d.Shares.GT(sdkmath.LegacyNewDec(2_000_000)) {
					_, _, err := f.staking.Undelegate(f.ctx, self, f.vals[val].addr, sdkmath.LegacyNewDec(rapid.Int64Range(1, 1_000_000).Draw(r, "undelegated")))
					require.NoError(t, err)
				}
			case 6:
				if v := f.validator(val); !v.IsUnbonded() {
					_, err := f.staking.Slash(f.ctx, f.vals[val].cons, f.ctx.BlockHeight(), v.PotentialConsensusPower(sdk.DefaultPowerReduction), dec("0.07"))
					require.NoError(t, err)
					slashed = true
					before = native()
				}
			case 7:
				f.block(blockTime)
			default:
				f.epoch()
			}
			if !slashed {
				require.Equal(t, before.String(), native().String(), "native supply is nobody's business")
			}
		}
		// All leave.
		for _, id := range ids {
			f.setPrice(id, "1")
			f.update(id, map[int]int64{0: 0, 1: 0, 2: 0, 3: 0})
		}
		f.epoch()
		for range 20 {
			f.block(time.Second)
		}
		for _, id := range ids {
			for val := range f.vals {
				f.requireVirtual(id, val, 0)
				if _, err := f.k.Stakes.Get(f.ctx, key(id, f.vals[val].addr)); err == nil {
					f.requireExecuted(id, val)
				}
			}
		}
		sum, err := f.k.SumVirtualSupply(f.ctx)
		require.NoError(t, err)
		require.True(t, sum.Total.IsZero())
	})
}
