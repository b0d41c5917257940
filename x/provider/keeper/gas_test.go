package keeper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// TestGas: cross-staking costs no more gas than a native delegation, for a delegator with one native delegation and
// three positions.
func TestGas(t *testing.T) {
	f, val, u, c := setup(t)
	for n := 1; n <= 3; n++ {
		require.NoError(t, c.Stake(u, n, 100))
	}
	f.NextBlock()
	f.Epoch()
	c.Relay()
	f.NextBlock()
	gas := func(fn func(ctx sdk.Context) error) uint64 {
		ctx, _ := f.Ctx.CacheContext()
		ctx = ctx.WithGasMeter(storetypes.NewInfiniteGasMeter()).WithKVGasConfig(storetypes.KVGasConfig())
		require.NoError(t, fn(ctx))
		return ctx.GasMeter().GasConsumed()
	}
	f.Fund(u, f.Collateral(u).Bonded)
	native := gas(func(ctx sdk.Context) error {
		_, err := f.StakingMsgs.Delegate(ctx, stakingtypes.NewMsgDelegate(u.String(), val.String(), sdk.NewInt64Coin(testutil.Denom, 100)))
		return err
	})
	cross := func(n int) uint64 {
		return gas(func(ctx sdk.Context) error {
			_, err := f.Msgs.CrossStake(ctx, &types.MsgCrossStake{
				Delegator: u.String(), ConsumerId: client, Validator: testutil.OperatorString(n), Amount: sdk.NewInt64Coin(testutil.Denom, 100),
			})
			return err
		})
	}
	t.Logf("native %d, cross-stake %d", native, cross(1))
	require.LessOrEqual(t, cross(1), native)
}
