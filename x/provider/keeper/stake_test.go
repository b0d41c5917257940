package keeper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

func TestStakeAndLeave(t *testing.T) {
	f := testutil.New(t)
	val := f.Validator(1_000_000, 1)
	u := f.Delegator(val, 1_000)
	f.NextBlock()
	c := f.Consumer("07-tendermint-0", nil)
	c.Bond(2)

	require.NoError(t, c.Stake(u, 1, 600))
	require.NoError(t, c.Stake(u, 2, 400))
	require.ErrorIs(t, c.Stake(u, 2, 1), types.ErrInsufficientCollateral)
	f.NextBlock()
	col := f.Collateral(u)
	require.Equal(t, "1000", col.MaxLien.String())
	require.Equal(t, "100", col.Budgets.String())
	f.Epoch()
	require.NotEmpty(t, c.Relay())
	require.Equal(t, sdkmath.NewInt(600), c.Stored[string(testutil.Operator(1))].Amount)
	require.Equal(t, sdkmath.NewInt(400), c.Stored[string(testutil.Operator(2))].Amount)
	require.Empty(t, c.Outbox())

	// Leave both chains: the longer of the two periods, not the sum.
	begin := f.Ctx.BlockTime()
	require.NoError(t, f.Undelegate(u, val, 1_000))
	require.NoError(t, c.Unstake(u, 1, 600))
	require.NoError(t, c.Unstake(u, 2, 400))
	f.NextBlock()
	require.EqualValues(t, 1, f.Entries(u, val)[0].UnbondingOnHoldRefCount)
	for i := 0; i < 2000 && len(f.Entries(u, val)) > 0; i++ {
		f.Epoch()
		for range c.Relay() {
			continue
		}
		c.Execute(1)
		c.Execute(2)
	}
	require.Equal(t, "1000", f.Balance(u).String())
	took := f.Ctx.BlockTime().Sub(begin)
	require.Less(t, took.Hours(), (testutil.Unbonding.Hours() + 10))
	found, err := f.Provider.Accounts.Has(f.Ctx, u)
	require.NoError(t, err)
	require.False(t, found)
}
