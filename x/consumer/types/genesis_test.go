package types_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// TestGenesisOfHugeAmounts: sums of amounts that no chain has are refused, not a panic.
func TestGenesisOfHugeAmounts(t *testing.T) {
	huge := sdkmath.NewIntFromBigInt(new(big.Int).Lsh(big.NewInt(1), 255))
	book := types.NewRewardBook()
	book.Collected, book.Pending, book.InFlight, book.WaitingSince = huge, huge, huge, time.Unix(1, 0)
	require.NotPanics(t, func() { require.ErrorIs(t, book.Validate(), types.ErrInvalidGenesis) })

	config := types.ProviderConfig{
		ProviderId: "07-tendermint-0", ChainId: "provider-1", CollateralDenom: "uosmo", CollateralDecimals: 6, PriceFeed: types.PriceFeedGovernance,
		Discount: sdkmath.LegacyZeroDec(), MaxCap: sdkmath.NewInt(1), MaxPowerRatio: sdkmath.LegacyNewDecWithPrec(1, 1),
		GovernanceWeight: sdkmath.LegacyZeroDec(), RewardRatio: sdkmath.LegacyOneDec(),
	}
	gs := types.DefaultGenesis()
	gs.Providers = []types.Provider{types.NewProvider(config, time.Unix(1, 0))}
	require.NoError(t, gs.Validate())
	gs.RewardBooks = []types.RewardBookEntry{{ProviderId: config.ProviderId, Denom: "umesh", Book: types.NewRewardBook()}}
	for i := range byte(2) {
		gs.Rewards = append(gs.Rewards, types.RewardEntry{ProviderId: config.ProviderId, Denom: "umesh", Validator: []byte{i}, Amount: huge})
	}
	require.NotPanics(t, func() { require.ErrorIs(t, gs.Validate(), types.ErrInvalidGenesis) })
}
