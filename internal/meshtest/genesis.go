package meshtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/cosmos/gogoproto/proto"
	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	cryptocodec "github.com/cosmos/cosmos-sdk/crypto/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"

	"github.com/mesh-security/mesh/app"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// Defaults of a chain. Times are short so that a test sees a whole unbonding.
const (
	// Epoch is the epoch of both modules.
	Epoch = 10 * time.Second
	// UnbondingTime is x/staking's unbonding period.
	UnbondingTime = 10 * time.Minute
	// Margin is taken off it for the freshness limit.
	Margin = time.Minute
	// Silence is the longest that a provider may be silent.
	Silence = 4 * time.Minute
	// PacketTimeout is the timeout of the modules' packets.
	PacketTimeout = time.Minute
	// Balance is what every account has besides what it staked.
	Balance = 1_000_000_000_000
	// One is one power unit, and one whole token of six decimals.
	One = 1_000_000
)

// ChainConfig says how a chain begins.
type ChainConfig struct {
	// Name is the chain id without revision.
	Name string
	// Denom is the bond denom; default "u" + Name.
	Denom string
	// Validators are the operators' own stakes; default four of 100 tokens.
	Validators []int64
	// Delegators are named accounts; default alice, bob, carol and dave with 200 tokens staked among them.
	Delegators []Delegator
	// Unbonding is x/staking's unbonding period; default UnbondingTime.
	Unbonding time.Duration
	// Stock chains begin without Mesh Security: see Upgrade.
	Stock bool
	// InitialHeight is the height of the first block; default 1.
	InitialHeight int64
	// Genesis edits the genesis state last.
	Genesis func(*Genesis)
}

// Delegator is a named account with native stake.
type Delegator struct {
	Name string
	// Stakes are the tokens delegated to each validator, by its index.
	Stakes []int64
}

// Genesis is a genesis state that can be edited by module.
type Genesis struct {
	chain *Chain
	state app.GenesisState
}

// EditGenesis changes a module's state, unless the application has no such module.
func EditGenesis[T proto.Message](g *Genesis, moduleName string, state T, edit func(T)) {
	g.chain.Helper()
	bz, ok := g.state[moduleName]
	if !ok {
		return
	}
	cdc := g.chain.Codec
	require.NoError(g.chain, cdc.UnmarshalJSON(bz, state), moduleName)
	edit(state)
	bz, err := cdc.MarshalJSON(state)
	require.NoError(g.chain, err, moduleName)
	g.state[moduleName] = bz
}

// ProviderParams changes the provider module's parameters.
func (g *Genesis) ProviderParams(edit func(*providertypes.Params)) {
	EditGenesis(g, meshtypes.PortProvider, &providertypes.GenesisState{}, func(s *providertypes.GenesisState) {
		edit(&s.Params)
	})
}

// ConsumerParams changes the consumer module's parameters.
func (g *Genesis) ConsumerParams(edit func(*consumertypes.Params)) {
	EditGenesis(g, meshtypes.PortConsumer, &consumertypes.GenesisState{}, func(s *consumertypes.GenesisState) {
		edit(&s.Params)
	})
}

// StakingParams changes x/staking's parameters.
func (g *Genesis) StakingParams(edit func(*stakingtypes.Params)) {
	EditGenesis(g, stakingtypes.ModuleName, &stakingtypes.GenesisState{}, func(s *stakingtypes.GenesisState) {
		edit(&s.Params)
	})
}

// SlashingParams changes x/slashing's parameters.
func (g *Genesis) SlashingParams(edit func(*slashingtypes.Params)) {
	EditGenesis(g, slashingtypes.ModuleName, &slashingtypes.GenesisState{}, func(s *slashingtypes.GenesisState) {
		edit(&s.Params)
	})
}

func (cfg ChainConfig) withDefaults() ChainConfig {
	if cfg.Denom == "" {
		cfg.Denom = "u" + cfg.Name
	}
	if cfg.Validators == nil {
		cfg.Validators = []int64{100 * One, 100 * One, 100 * One, 100 * One}
	}
	if cfg.Delegators == nil {
		cfg.Delegators = []Delegator{
			{Name: "alice", Stakes: []int64{60 * One, 40 * One}},
			{Name: "bob", Stakes: []int64{0, 50 * One}},
			{Name: "carol", Stakes: []int64{0, 0, 30 * One}},
			{Name: "dave", Stakes: []int64{0, 0, 0, 20 * One}},
		}
	}
	if cfg.Unbonding == 0 {
		cfg.Unbonding = UnbondingTime
	}
	if cfg.InitialHeight == 0 {
		cfg.InitialHeight = 1
	}
	return cfg
}

func consensusParams() *cmtproto.ConsensusParams {
	return &cmtproto.ConsensusParams{
		Block: &cmtproto.BlockParams{MaxBytes: cmttypes.MaxBlockSizeBytes, MaxGas: -1},
		Evidence: &cmtproto.EvidenceParams{
			MaxAgeNumBlocks: 100_000,
			MaxAgeDuration:  21 * 24 * time.Hour,
			MaxBytes:        10_000,
		},
		Validator: &cmtproto.ValidatorParams{PubKeyTypes: []string{cmttypes.ABCIPubKeyTypeEd25519}},
	}
}

// addValidator makes a validator with its operator's account.
func (c *Chain) addValidator(name string) *Validator {
	v := &Validator{
		Chain:    c,
		Operator: newAccount(c, name),
		PrivVal: cmttypes.NewMockPVWithParams(
			ed25519.GenPrivKeyFromSecret([]byte(c.ChainID+"/"+name+"/consensus")), false, false,
		),
	}
	c.accounts[name] = v.Operator
	c.Validators = append(c.Validators, v)
	c.Signers[v.PrivVal.PrivKey.PubKey().Address().String()] = v.PrivVal
	return v
}

// genesis returns the genesis state. Validators begin unbonded, so that all hooks run when x/staking bonds them.
func (c *Chain) genesis(cfg ChainConfig) []byte {
	c.Helper()
	g := &Genesis{chain: c}
	if c.stock != nil {
		g.state = c.stock.DefaultGenesis()
	} else {
		g.state = c.App.DefaultGenesis()
	}

	var (
		order       []*Account
		staked      = sdkmath.ZeroInt()
		stakes      = make([]sdkmath.Int, len(cfg.Validators))
		delegations []stakingtypes.Delegation
	)
	delegate := func(a *Account, val int, amount int64) {
		if amount == 0 {
			return
		}
		amt := sdkmath.NewInt(amount)
		stakes[val], staked = stakes[val].Add(amt), staked.Add(amt)
		delegations = append(delegations, stakingtypes.NewDelegation(
			a.String(), c.Validators[val].String(), sdkmath.LegacyNewDecFromInt(amt),
		))
	}
	for i, self := range cfg.Validators {
		v := c.addValidator(fmt.Sprintf("val%d", i))
		order = append(order, v.Operator)
		stakes[i] = sdkmath.ZeroInt()
		delegate(v.Operator, i, self)
	}
	for _, d := range cfg.Delegators {
		a := newAccount(c, d.Name)
		c.accounts[d.Name] = a
		order = append(order, a)
		for val, amount := range d.Stakes {
			delegate(a, val, amount)
		}
	}
	relayer := newAccount(c, RelayerName)
	c.accounts[RelayerName] = relayer
	order = append(order, relayer)

	EditGenesis(g, authtypes.ModuleName, &authtypes.GenesisState{}, func(s *authtypes.GenesisState) {
		accs := make(authtypes.GenesisAccounts, 0, len(order))
		for i, a := range order {
			accs = append(accs, authtypes.NewBaseAccount(a.Address(), a.Key.PubKey(), uint64(i), 0))
		}
		*s = *authtypes.NewGenesisState(s.Params, accs)
	})
	EditGenesis(g, banktypes.ModuleName, &banktypes.GenesisState{}, func(s *banktypes.GenesisState) {
		for _, a := range order {
			s.Balances = append(s.Balances, banktypes.Balance{
				Address: a.String(), Coins: sdk.NewCoins(sdk.NewInt64Coin(cfg.Denom, Balance)),
			})
		}
		if staked.IsPositive() {
			s.Balances = append(s.Balances, banktypes.Balance{
				Address: authtypes.NewModuleAddress(stakingtypes.NotBondedPoolName).String(),
				Coins:   sdk.NewCoins(sdk.NewCoin(cfg.Denom, staked)),
			})
		}
	})
	EditGenesis(g, stakingtypes.ModuleName, &stakingtypes.GenesisState{}, func(s *stakingtypes.GenesisState) {
		s.Params.BondDenom = cfg.Denom
		s.Params.UnbondingTime = cfg.Unbonding
		for i, v := range c.Validators {
			s.Validators = append(s.Validators, c.genesisValidator(v, stakes[i]))
		}
		s.Delegations = delegations
	})
	EditGenesis(g, minttypes.ModuleName, &minttypes.GenesisState{}, func(s *minttypes.GenesisState) {
		s.Params.MintDenom = cfg.Denom
	})
	EditGenesis(g, govtypes.ModuleName, &govv1.GenesisState{}, func(s *govv1.GenesisState) {
		voting, expedited := 30*time.Second, 20*time.Second
		s.Params.VotingPeriod, s.Params.ExpeditedVotingPeriod = &voting, &expedited
		s.Params.MinDeposit = sdk.NewCoins(sdk.NewInt64Coin(cfg.Denom, One))
		s.Params.ExpeditedMinDeposit = sdk.NewCoins(sdk.NewInt64Coin(cfg.Denom, 2*One))
	})
	g.ProviderParams(func(p *providertypes.Params) {
		p.EpochDuration = Epoch
		p.MinCrossStake = sdkmath.NewInt(1000)
		p.PacketTimeout = PacketTimeout
	})
	g.ConsumerParams(func(p *consumertypes.Params) {
		p.EpochDuration = Epoch
		p.PacketTimeout = PacketTimeout
		p.FreshnessMargin = Margin
		p.MaxProviderSilence = Silence
	})
	if cfg.Genesis != nil {
		cfg.Genesis(g)
	}
	bz, err := json.Marshal(g.state)
	require.NoError(c, err)
	return bz
}

func (c *Chain) genesisValidator(v *Validator, stake sdkmath.Int) stakingtypes.Validator {
	c.Helper()
	pk, err := cryptocodec.FromCmtPubKeyInterface(v.PrivVal.PrivKey.PubKey())
	require.NoError(c, err)
	pkAny, err := codectypes.NewAnyWithValue(pk)
	require.NoError(c, err)
	return stakingtypes.Validator{
		OperatorAddress:   v.String(),
		ConsensusPubkey:   pkAny,
		Status:            stakingtypes.Unbonded,
		Tokens:            stake,
		DelegatorShares:   sdkmath.LegacyNewDecFromInt(stake),
		Description:       stakingtypes.Description{Moniker: v.Operator.Name},
		UnbondingTime:     time.Unix(0, 0).UTC(),
		Commission:        stakingtypes.NewCommission(sdkmath.LegacyZeroDec(), sdkmath.LegacyZeroDec(), sdkmath.LegacyZeroDec()),
		MinSelfDelegation: sdkmath.OneInt(),
	}
}

// AccountNames returns the names of all accounts, sorted.
func (c *Chain) AccountNames() []string {
	names := make([]string, 0, len(c.accounts))
	for name := range c.accounts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
