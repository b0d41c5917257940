package types_test

import (
	"testing"

	"github.com/cosmos/gogoproto/proto"
	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/provider/types"
)

func TestToEventIsTheTypedEvent(t *testing.T) {
	big, ok := sdkmath.NewIntFromString("1000000000000000000000000000000000000")
	require.True(t, ok)
	for _, e := range []*types.EventCrossStake{
		{Amount: sdkmath.ZeroInt(), Shares: sdkmath.ZeroInt()},
		{
			Delegator: "cosmos1abc", ConsumerId: "07-tendermint-1", Validator: "partnervaloper1xyz",
			Amount: sdkmath.NewInt(17), Shares: big, PoolId: 1<<64 - 1,
		},
		{
			Delegator: "\"quoted\" \\ <b>&</b> \x00\n\t\x7f", ConsumerId: "é\u2028世界", Validator: "\xff\xfe",
			Amount: sdkmath.NewInt(-5), Shares: sdkmath.OneInt(), PoolId: 3,
		},
	} {
		want, err := sdk.TypedEventToEvent(e)
		require.NoError(t, err)
		require.Equal(t, want, e.ToEvent())
	}
	for _, e := range []interface {
		proto.Message
		ToEvent() sdk.Event
	}{
		&types.EventSettled{Amount: sdkmath.ZeroInt()},
		&types.EventSettled{Delegator: "cosmos1abc", PoolId: 1<<64 - 1, Amount: big},
		&types.EventBurned{Amount: sdkmath.ZeroInt(), Debt: sdkmath.ZeroInt()},
		&types.EventRewardsWithdrawn{},
		&types.EventRewardsWithdrawn{Delegator: "cosmos1abc", ConsumerId: "07-tendermint-1", Amount: "5ibc/AB,6stake", Receiver: "x<y>\""},
		&types.EventRewardsAccrued{},
		&types.EventRewardsAccrued{Delegator: "cosmos1abc", PoolId: 1<<64 - 1, Amount: "5ibc/AB"},
		&types.EventPoolRewarded{},
		&types.EventPoolRewarded{PoolId: 7, ConsumerId: "07-tendermint-1", Validator: "partnervaloper1xyz", Amount: "5ibc/AB"},
		&types.EventBurned{Delegator: "cosmos1abc", Validator: "cosmosvaloper1xyz", Amount: big, Unbonding: true, Debt: sdkmath.NewInt(7)},
	} {
		want, err := sdk.TypedEventToEvent(e)
		require.NoError(t, err)
		require.Equal(t, want, e.ToEvent())
	}
}
