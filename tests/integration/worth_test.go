package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"

	"github.com/mesh-security/mesh/internal/meshtest"
)

// still returns the config of a chain that mints nothing: what everybody has is known to the unit.
func still(cfg meshtest.ChainConfig) meshtest.ChainConfig {
	edit := cfg.Genesis
	cfg.Genesis = func(g *meshtest.Genesis) {
		meshtest.EditGenesis(g, minttypes.ModuleName, &minttypes.GenesisState{}, func(s *minttypes.GenesisState) {
			zero := sdkmath.LegacyZeroDec()
			s.Minter.Inflation, s.Params.InflationMax, s.Params.InflationMin, s.Params.InflationRateChange = zero, zero, zero, zero
		})
		if edit != nil {
			edit(g)
		}
	}
	return cfg
}

// worthOf is all that an account has of the chain's own coin: its balance, what it has staked, and what is unbonding.
func worthOf(t *testing.T, c *meshtest.Chain, a *meshtest.Account) sdkmath.Int {
	t.Helper()
	sum := c.Balance(a)
	for _, d := range delegationsOf(t, c, a) {
		sum = sum.Add(d.tokens)
	}
	for _, e := range c.Unbondings(a.Name) {
		sum = sum.Add(e.Balance)
	}
	return sum
}

// staked is what an account has delegated to a validator.
type staked struct {
	validator string
	tokens    sdkmath.Int
}

// delegationsOf returns an account's delegations on its chain.
func delegationsOf(t *testing.T, c *meshtest.Chain, a *meshtest.Account) []staked {
	t.Helper()
	ctx := c.CommittedContext()
	dels, err := c.App.StakingKeeper.GetAllDelegatorDelegations(ctx, a.Address())
	require.NoError(t, err)
	out := make([]staked, 0, len(dels))
	for _, d := range dels {
		valAddr, err := sdk.ValAddressFromBech32(d.ValidatorAddress)
		require.NoError(t, err)
		v, err := c.App.StakingKeeper.GetValidator(ctx, valAddr)
		require.NoError(t, err)
		out = append(out, staked{d.ValidatorAddress, v.TokensFromShares(d.Shares).TruncateInt()})
	}
	return out
}

// ledger is what accounts of a chain were worth when it was begun.
type ledger struct {
	t     *testing.T
	chain *meshtest.Chain
	worth map[string]sdkmath.Int
	order []string
}

func newLedger(t *testing.T, c *meshtest.Chain, names ...string) *ledger {
	t.Helper()
	l := &ledger{t: t, chain: c, worth: map[string]sdkmath.Int{}, order: names}
	for _, name := range names {
		l.worth[name] = worthOf(t, c, c.Account(name))
	}
	return l
}

// lost returns what an account has lost since.
func (l *ledger) lost(name string) sdkmath.Int {
	l.t.Helper()
	return l.worth[name].Sub(worthOf(l.t, l.chain, l.chain.Account(name)))
}

// requireNothingLost checks that nobody has lost or gained a unit.
func (l *ledger) requireNothingLost(names ...string) {
	l.t.Helper()
	if len(names) == 0 {
		names = l.order
	}
	for _, name := range names {
		require.Equal(l.t, "0", l.lost(name).String(), "%s on %s", name, l.chain.Name)
	}
}

// goHome takes back all that accounts have on the consumers and all that they delegate on the provider, at once, until they
// hold nothing but coins.
func goHome(t *testing.T, n *meshtest.Network, limit time.Duration, chain *meshtest.Chain, pairings []*meshtest.Pairing, names ...string) {
	t.Helper()
	before := n.BlockTime
	n.BlockTime = 15 * time.Second
	n.Until("everybody is home", limit, func() bool {
		away := false
		for _, name := range names {
			a := chain.Account(name)
			for _, p := range pairings {
				away = leave(p, name) || away
			}
			for _, d := range delegationsOf(t, chain, a) {
				away = true
				if d.tokens.IsPositive() {
					valAddr, err := sdk.ValAddressFromBech32(d.validator)
					require.NoError(t, err)
					a.Queue(chain.MsgUndelegate(name, &meshtest.Validator{Operator: accountAt(chain, valAddr)}, d.tokens.Int64()))
				}
			}
			away = away || len(chain.Unbondings(name)) > 0
		}
		return !away
	})
	n.BlockTime = before
}

// accountAt returns the operator of a validator.
func accountAt(c *meshtest.Chain, operator sdk.ValAddress) *meshtest.Account {
	for _, v := range c.Validators {
		if v.ValAddress().Equals(operator) {
			return v.Operator
		}
	}
	return nil
}
