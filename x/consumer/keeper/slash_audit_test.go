package keeper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
)

// TestSlashBetweenInfractionAndLeavingIsNotPaidByNatives: virtual stake that was slashed before it left took fewer tokens
// with it than it had at the infraction. What the slash took of it left as well: natives lose what they would without any
// virtual stake.
func TestSlashBetweenInfractionAndLeavingIsNotPaidByNatives(t *testing.T) {
	f, natives := slashSetup(t)
	f.update(provider1, map[int]int64{0: 9000})
	f.epoch()
	f.requireVirtual(provider1, 0, 9000)
	for range 5 {
		f.block(blockTime)
	}
	infraction := f.ctx.BlockHeight() // signed with all 10,000
	f.block(blockTime)

	// Something else takes 10 % of everybody.
	first := sdkmath.LegacyNewDecWithPrec(10, 2)
	f.begin(blockTime)
	_, err := f.slasher.SlashWithInfractionReason(f.ctx, f.vals[0].cons, f.ctx.BlockHeight()-2, 10_000, first, stakingtypes.Infraction_INFRACTION_DOWNTIME)
	require.NoError(t, err)
	f.end()
	f.requireVirtual(provider1, 0, 8100)
	f.update(provider1, map[int]int64{0: 0})
	f.epoch()
	f.requireVirtual(provider1, 0, 0)

	before := f.tokensOf(natives[1], 0)
	f.doubleSign(0, infraction)
	f.begin(blockTime)
	// As without virtual stake: the fraction of what it had at the infraction.
	f.requireLoss(natives[1], 0, before, doubleSignFraction().Quo(sdkmath.LegacyOneDec().Sub(first)))
	f.end()
}
