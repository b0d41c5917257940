package keeper_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// TestRandomActions lets delegators act natively and across, at random, on two consumers whose packets get lost, while governance
// changes fractions, and checks the invariants after every block. At the end everybody leaves and everything is free.
func TestRandomActions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { randomActions(t, false) })
}

// TestRandomSlashes does the same while native validators, pools and batches are slashed. In the end everything owed is
// burned, or a shortfall of those who have nothing left.
func TestRandomSlashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { randomActions(t, true) })
}

// randomSlash slashes a pool or batch, or a native validator.
func randomSlash(t *rapid.T, f *testutil.Fixture, vals []sdk.ValAddress) {
	fraction := sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(1, 30).Draw(t, "slash"), 2)
	g, err := f.Provider.ExportGenesis(f.Ctx)
	require.NoError(t, err)
	if len(g.Pools) > 0 && rapid.Bool().Draw(t, "a pool") {
		r := g.Pools[rapid.IntRange(0, len(g.Pools)-1).Draw(t, "pool")]
		if r.Pool.IsMatured() {
			return
		}
		_, err := f.Provider.SlashOne(f.Ctx, r.Id, fraction)
		require.NoError(t, err)
	} else {
		val := vals[rapid.IntRange(0, len(vals)-1).Draw(t, "slashed")]
		v, err := f.Staking.GetValidator(f.Ctx, val)
		require.NoError(t, err)
		ago := rapid.Int64Range(0, 3).Draw(t, "ago")
		if !v.IsUnbonded() {
			f.NativeSlash(val, ago, fraction.String())
		}
	}
}

func randomActions(t *rapid.T, slashes bool) {
	// Small amounts have voting power, so that they can be slashed.
	reduction := sdk.DefaultPowerReduction
	sdk.DefaultPowerReduction = sdkmath.OneInt()
	defer func() { sdk.DefaultPowerReduction = reduction }()
	f := testutil.New(t)
	nativeRatios := []string{"0", "0.05", "0.5"}
	f.SetNativeRatio(rapid.SampledFrom(nativeRatios).Draw(t, "native ratio"))
	f.SetParams(func(p *types.Params) {
		p.MaxPositions = uint32(rapid.IntRange(2, 20).Draw(t, "max positions"))
		p.MaxSettlementSteps = uint32(rapid.SampledFrom([]int{20, 40, 1000}).Draw(t, "steps"))
	})
	vals := []sdk.ValAddress{f.Validator(5_000, 1_000), f.Validator(7_000, 1)}
	actors := []sdk.AccAddress{sdk.AccAddress(vals[0])}
	for range 3 {
		u := f.Account(sdkmath.NewInt(10_000))
		require.NoError(t, f.Delegate(u, vals[rapid.IntRange(0, 1).Draw(t, "val")], rapid.Int64Range(1, 10_000).Draw(t, "delegate")))
		actors = append(actors, u)
	}
	f.NextBlock()
	consumers := []*testutil.Consumer{
		f.Consumer("a", func(c *types.ConsumerConfig) {
			c.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(1, 100).Draw(t, "ratio"), 2)
		}),
		f.Consumer("b", func(c *types.ConsumerConfig) { c.UnbondingPeriod = 30 * 24 * time.Hour }),
	}
	for _, c := range consumers {
		c.Bond(2)
	}
	f.Epoch()
	pick := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(t, name) }
	for range rapid.IntRange(10, 60).Draw(t, "blocks") {
		for range pick("actions", 4) {
			u, v, c := actors[pick("actor", len(actors))], vals[pick("native validator", 2)], consumers[pick("consumer", 2)]
			n, amount := 1+pick("validator", 2), rapid.Int64Range(1, 4_000).Draw(t, "amount")
			if slashes && pick("slash", 6) == 0 {
				randomSlash(t, f, vals)
				continue
			}
			switch pick("kind", 12) {
			case 0:
				_ = f.Delegate(u, v, amount)
			case 1, 2:
				_ = f.Undelegate(u, v, amount)
			case 3:
				_ = f.Redelegate(u, v, vals[pick("to", 2)], amount)
			case 4:
				for _, e := range f.Entries(u, v) {
					_ = f.CancelUndelegation(u, v, e.CreationHeight, min(amount, e.Balance.Int64()))
				}
			case 5, 6:
				_ = c.Stake(u, n, amount)
			case 7, 8:
				_ = c.Unstake(u, n, amount)
			case 9:
				_ = c.Redelegate(u, n, 3-n, amount)
			case 10:
				cfg := c.Status().Config
				cfg.MaxSlashFractionDoubleSign = sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(1, 100).Draw(t, "new ratio"), 2)
				_, _ = f.Msgs.UpdateConsumer(f.Ctx, &types.MsgUpdateConsumer{Authority: f.Authority, Config: cfg})
			case 11:
				f.SetNativeRatio(rapid.SampledFrom(nativeRatios).Draw(t, "new native ratio"))
			}
		}
		switch pick("time", 6) {
		case 0, 1:
			f.NextBlock()
		case 2:
			f.Epoch()
		case 3:
			f.NextBlockAfter(time.Duration(1+pick("days", 8)) * 24 * time.Hour)
		case 4:
			for _, c := range consumers {
				if pick("relayed", 3) > 0 {
					c.Relay()
					c.Execute(1)
					c.Execute(2)
				}
			}
		case 5:
			// Packets in flight are lost.
			for _, p := range f.IBC.Take() {
				for _, c := range consumers {
					if p.Channel == c.Channel {
						c.Timeout(p)
					}
				}
			}
		}
	}
	if rapid.Bool().Draw(t, "left alone") {
		comesToRest(t, f)
	}
	// Everybody leaves; packets get lost for ever, so clocks are forced.
	for _, u := range actors {
		for _, c := range consumers {
			for n := 1; n <= 2; n++ {
				leaveAll(f, c, u, n)
			}
		}
	}
	f.IBC.Take()
	f.NextBlock()
	for _, u := range actors {
		for _, v := range vals {
			if d, err := f.Staking.GetDelegation(f.Ctx, u, v); err == nil && !v.Equals(sdk.ValAddress(u)) {
				val, err := f.Staking.GetValidator(f.Ctx, v)
				require.NoError(t, err)
				_ = f.Undelegate(u, v, val.TokensFromShares(d.Shares).TruncateInt64())
			}
		}
	}
	f.Skip(62 * 24 * time.Hour)
	f.Blocks(60) // few steps a block
	g, err := f.Provider.ExportGenesis(f.Ctx)
	require.NoError(t, err)
	require.Empty(t, g.Pools)
	require.Empty(t, g.Positions)
	require.Empty(t, g.Holds)
	require.Equal(t, g.Totals.Owed.String(), g.Totals.Burned.Add(g.Totals.Shortfall).String())
	require.True(t, g.Totals.Debt.IsZero() && g.Totals.Debtors == 0, "%s of %d", g.Totals.Debt, g.Totals.Debtors)
	for _, a := range g.Accounts {
		require.False(t, a.Account.Barred)
	}
	require.Empty(t, g.Accounts)
}

// comesToRest checks that what is left alone, with no packet relayed, holds no native entry and marks nobody for ever.
func comesToRest(t *rapid.T, f *testutil.Fixture) {
	for range 90 {
		f.NextBlockAfter(2 * day)
	}
	f.Blocks(60) // few steps a block
	g, err := f.Provider.ExportGenesis(f.Ctx)
	require.NoError(t, err)
	require.Empty(t, g.Holds)
	require.Empty(t, g.Marked)
	require.Empty(t, g.Walks)
}

// leaveAll unstakes everything, also when the claims on the validator are as many as allowed.
func leaveAll(f *testutil.Fixture, c *testutil.Consumer, u sdk.AccAddress, n int) {
	f.Helper()
	for range 2 {
		res, err := f.Queries.Positions(f.Ctx, &types.QueryPositionsRequest{Delegator: u.String()})
		require.NoError(f, err)
		for _, p := range res.Positions {
			if p.ConsumerId == c.ClientID && p.Operator == testutil.OperatorString(n) && p.Value.IsPositive() {
				err := c.Unstake(u, n, p.Value.Int64())
				if err == nil {
					return
				}
				require.ErrorIs(f, err, types.ErrTooManyClaims)
				f.Skip(31 * 24 * time.Hour)
				f.Skip(31 * 24 * time.Hour)
			}
		}
	}
}
