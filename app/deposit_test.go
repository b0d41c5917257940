package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/x/authz"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"

	ibctesting "github.com/cosmos/ibc-go/v11/testing"

	"github.com/mesh-security/mesh/app/apptest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

// TestDepositsIntoValidatorsRewards: over every way to the message server, only the bond denom and registered rewards may be
// deposited; anything else changes nothing.
func TestDepositsIntoValidatorsRewards(t *testing.T) {
	coordinator := ibctesting.NewCustomAppCoordinator(t, 1, apptest.New)
	chain := coordinator.GetChain(ibctesting.GetChainID(1))
	a, ctx := apptest.App(chain), chain.GetContext()
	depositor := chain.SenderAccount.GetAddress()
	vals, err := a.StakingKeeper.GetAllValidators(ctx)
	require.NoError(t, err)
	coins := func(denoms ...string) (out sdk.Coins) {
		for _, denom := range denoms {
			out = out.Add(sdk.NewInt64Coin(denom, 1000))
		}
		return out
	}
	require.NoError(t, a.BankKeeper.MintCoins(ctx, "mint", coins("junk", "reward", "stake")))
	require.NoError(t, a.BankKeeper.SendCoinsFromModuleToAccount(ctx, "mint", depositor, coins("junk", "reward", "stake")))
	require.NoError(t, a.Mesh.Consumer.Providers.Set(ctx, "07-tendermint-0", consumertypes.Provider{
		Status: consumertypes.PROVIDER_STATUS_ACTIVE, Price: sdkmath.LegacyZeroDec(), Cap: sdkmath.ZeroInt(),
		Config: consumertypes.ProviderConfig{
			ProviderId: "07-tendermint-0", Discount: sdkmath.LegacyZeroDec(), MaxCap: sdkmath.ZeroInt(),
			MaxPowerRatio: sdkmath.LegacyZeroDec(), GovernanceWeight: sdkmath.LegacyZeroDec(), RewardRatio: sdkmath.LegacyZeroDec(),
			RewardDenoms: []consumertypes.RewardDenom{{Denom: "reward", MinTransfer: sdkmath.ZeroInt()}},
		},
	}))
	try := func(amount sdk.Coins, wrap bool) error {
		var msg sdk.Msg = &distrtypes.MsgDepositValidatorRewardsPool{
			Depositor: depositor.String(), ValidatorAddress: vals[0].OperatorAddress, Amount: amount,
		}
		if wrap {
			exec := authz.NewMsgExec(depositor, []sdk.Msg{msg})
			msg = &exec
		}
		cacheCtx, write := ctx.CacheContext()
		_, err := a.MsgServiceRouter().Handler(msg)(cacheCtx, msg)
		if err == nil {
			write()
		}
		return err
	}
	before := a.BankKeeper.GetAllBalances(ctx, depositor)
	for _, wrap := range []bool{false, true} {
		require.ErrorIs(t, try(coins("junk"), wrap), consumertypes.ErrDepositDenom)
		require.ErrorIs(t, try(coins("junk", "reward", "stake"), wrap), consumertypes.ErrDepositDenom)
	}
	require.Equal(t, before, a.BankKeeper.GetAllBalances(ctx, depositor))
	require.NoError(t, try(coins("reward"), false))
	require.NoError(t, try(coins("stake"), false))
	require.Equal(t, before.Sub(coins("reward", "stake")...), a.BankKeeper.GetAllBalances(ctx, depositor))
}
