package types_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

func TestToEventIsTheTypedEvent(t *testing.T) {
	for _, e := range []*types.EventVirtualStakeChanged{
		{},
		{ProviderId: "07-tendermint-1", Changes: []types.VirtualChange{{Tokens: sdkmath.ZeroInt()}}},
		{ProviderId: "<\"bitcoin\">", Changes: []types.VirtualChange{
			{Validator: "cosmosvaloper1abc", Increase: true, Tokens: sdkmath.NewInt(1 << 62)},
			{Validator: "é\\ \n& \xff", Tokens: sdkmath.NewInt(7)},
		}},
	} {
		want, err := sdk.TypedEventToEvent(e)
		require.NoError(t, err)
		require.Equal(t, want, e.ToEvent())
	}
}
