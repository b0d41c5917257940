package keeper_test

import (
	"context"
	"errors"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"

	sdk "github.com/cosmos/cosmos-sdk/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/mesh-security/mesh/x/provider/testutil"
)

func abciEvent(e sdk.Event) abci.Event { return abci.Event(e) }

func activeKey(clientID string, n int) collections.Pair[string, []byte] {
	return collections.Join(clientID, testutil.Operator(n))
}

func bookAt(clientID, denom string) collections.Pair[string, string] {
	return collections.Join(clientID, denom)
}

func accruedAt(delAddr sdk.AccAddress, clientID string, operator []byte, denom string) collections.Quad[sdk.AccAddress, string, []byte, string] {
	return collections.Join4(delAddr, clientID, operator, denom)
}

// mint gives an account a coin of any denom.
func mint(tb testutil.TB, f *testutil.Fixture, addr sdk.AccAddress, coin sdk.Coin) {
	tb.Helper()
	require.NoError(tb, f.Bank.MintCoins(f.Ctx, minttypes.ModuleName, sdk.NewCoins(coin)))
	require.NoError(tb, f.Bank.SendCoinsFromModuleToAccount(f.Ctx, minttypes.ModuleName, addr, sdk.NewCoins(coin)))
}

// pickyDistribution is x/distribution's keeper, which takes one denom only with a panic.
type pickyDistribution struct {
	f     *testutil.Fixture
	denom string
}

func (d pickyDistribution) FundCommunityPool(ctx context.Context, amount sdk.Coins, sender sdk.AccAddress) error {
	if amount.AmountOf(d.denom).IsPositive() {
		panic(errors.New("not this one"))
	}
	return d.f.Distr.FundCommunityPool(ctx, amount, sender)
}

type positionKeyType = collections.Pair[sdk.AccAddress, uint64]

func positionKey(delAddr sdk.AccAddress, id uint64) positionKeyType {
	return collections.Join(delAddr, id)
}
