package keeper_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// slashSetup is a chain whose first validator has 1,000 native tokens (600 its own, 300 and 100 of two delegators) and may
// get 9,000 virtual ones.
func slashSetup(t *testing.T) (f *fixture, natives []sdk.AccAddress) {
	t.Helper()
	f = newFixture(t, 600, 20_000, 20_000)
	natives = []sdk.AccAddress{
		sdk.AccAddress(f.vals[0].addr),
		f.delegate('a', 0, sdkmath.NewInt(300*oneToken)),
		f.delegate('b', 0, sdkmath.NewInt(100*oneToken)),
	}
	f.setParams(func(p *types.Params) { p.MaxValidatorMultiple = sdkmath.LegacyNewDec(9) })
	f.addProvider(provider1, nil)
	f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = sdkmath.LegacyNewDecWithPrec(1, 3) })
	return f, natives
}

func (f *fixture) tokensOf(del sdk.AccAddress, val int) sdkmath.LegacyDec {
	f.t.Helper()
	d, err := f.staking.GetDelegation(f.ctx, del, f.vals[val].addr)
	require.NoError(f.t, err)
	return f.validator(val).TokensFromShares(d.Shares)
}

// requireLoss asserts that a delegation lost the fraction of what it had, to one power unit spread over the validator.
func (f *fixture) requireLoss(del sdk.AccAddress, val int, before, fraction sdkmath.LegacyDec) {
	f.t.Helper()
	want := before.Mul(sdkmath.LegacyOneDec().Sub(fraction))
	diff := f.tokensOf(del, val).Sub(want).Abs()
	require.True(f.t, diff.LTE(sdkmath.LegacyNewDec(oneToken).Mul(fraction)), "has %s, should have %s of %s", f.tokensOf(del, val), want, before)
}

func (f *fixture) doubleSign(val int, height int64) {
	f.misbehaving = append(f.misbehaving, abci.Misbehavior{
		Type:      abci.MisbehaviorType_DUPLICATE_VOTE,
		Validator: abci.Validator{Address: f.vals[val].cons, Power: f.powers[height-2][string(f.vals[val].addr)]},
		Height:    height, Time: f.ctx.BlockTime(), TotalVotingPower: 1,
	})
}

func doubleSignFraction() sdkmath.LegacyDec { return slashingtypes.DefaultSlashFractionDoubleSign }

func TestDoubleSignAfterVirtualStakeLeftCostsNativesTheNominalFraction(t *testing.T) {
	f, natives := slashSetup(t)
	f.update(provider1, map[int]int64{0: 9000})
	f.epoch()
	f.requireVirtual(provider1, 0, 9000)
	for range 5 {
		f.block(blockTime)
	}
	infraction := f.ctx.BlockHeight() // signed with all 10,000
	f.update(provider1, map[int]int64{0: 0})
	f.epoch()
	f.requireVirtual(provider1, 0, 0)
	before := []sdkmath.LegacyDec{f.tokensOf(natives[0], 0), f.tokensOf(natives[1], 0), f.tokensOf(natives[2], 0)}
	require.EqualValues(t, 10_000, f.powers[infraction-2][string(f.vals[0].addr)])

	f.doubleSign(0, infraction)
	f.block(blockTime)
	require.True(t, f.slashing.IsTombstoned(f.ctx, f.vals[0].cons))
	for i, del := range natives {
		f.requireLoss(del, 0, before[i], doubleSignFraction())
	}
}

func TestDoubleSignAfterPartOfVirtualStakeLeftCostsEverybodyTheNominalFraction(t *testing.T) {
	f, natives := slashSetup(t)
	f.update(provider1, map[int]int64{0: 9000})
	f.epoch()
	for range 5 {
		f.block(blockTime)
	}
	infraction := f.ctx.BlockHeight()
	f.update(provider1, map[int]int64{0: 900})
	f.epoch()
	f.requireVirtual(provider1, 0, 900)
	before := f.tokensOf(natives[1], 0)
	f.doubleSign(0, infraction)
	f.begin(blockTime)
	f.requireLoss(natives[1], 0, before, doubleSignFraction())
	f.requireLoss(types.VirtualAccount(provider1), 0, sdkmath.LegacyNewDec(900*oneToken), doubleSignFraction())
	require.Equal(t, "855000000", f.record(provider1, 0).Amount.String(), "the stored amount follows")
	require.Equal(t, "855000000", f.record(provider1, 0).ExecutedAmount.String())
	f.end()
}

func TestDoubleSignAfterVirtualStakeCameCostsEverybodyTheNominalFraction(t *testing.T) {
	f, natives := slashSetup(t)
	for range 5 {
		f.block(blockTime)
	}
	infraction := f.ctx.BlockHeight()
	f.update(provider1, map[int]int64{0: 9000})
	f.epoch()
	f.requireVirtual(provider1, 0, 9000)
	before := f.tokensOf(natives[2], 0)
	f.doubleSign(0, infraction)
	f.begin(blockTime)
	f.requireLoss(natives[2], 0, before, doubleSignFraction())
	f.requireLoss(types.VirtualAccount(provider1), 0, sdkmath.LegacyNewDec(9000*oneToken), doubleSignFraction())
	f.end()
}

func TestDowntimeAfterVirtualStakeLeftCostsNativesTheNominalFraction(t *testing.T) {
	for _, left := range []int64{0, 900, 8999} {
		f, natives := slashSetup(t)
		f.update(provider1, map[int]int64{0: 9000})
		f.epoch()
		for range 12 {
			f.block(blockTime)
		}
		f.absent[string(f.vals[0].addr)] = true
		missed := func() int64 {
			info, err := f.slashing.GetValidatorSigningInfo(f.ctx, f.vals[0].cons)
			require.NoError(t, err)
			return info.MissedBlocksCounter
		}
		for missed() < 4 {
			f.block(blockTime)
		}
		f.update(provider1, map[int]int64{0: left})
		f.epoch() // the fifth missed block
		f.requireVirtual(provider1, 0, left)
		require.False(t, f.validator(0).Jailed)
		before := []sdkmath.LegacyDec{f.tokensOf(natives[0], 0), f.tokensOf(natives[1], 0), f.tokensOf(natives[2], 0)}
		f.block(blockTime) // the sixth: slashed with the power of 10,000
		require.True(t, f.validator(0).Jailed)
		for i, del := range natives {
			f.requireLoss(del, 0, before[i], slashingtypes.DefaultSlashFractionDowntime)
		}
	}
}

func TestNativeUnbondingIsStillSlashedWithItsEntry(t *testing.T) {
	f, natives := slashSetup(t)
	f.update(provider1, map[int]int64{0: 9000})
	f.epoch()
	for range 5 {
		f.block(blockTime)
	}
	infraction := f.ctx.BlockHeight()
	f.block(blockTime)
	_, _, err := f.staking.Undelegate(f.ctx, natives[1], f.vals[0].addr, sdkmath.LegacyNewDec(300*oneToken))
	require.NoError(t, err)
	f.update(provider1, map[int]int64{0: 0})
	f.epoch()
	before := f.tokensOf(natives[0], 0)
	f.doubleSign(0, infraction)
	f.block(blockTime)
	f.requireLoss(natives[0], 0, before, doubleSignFraction())
	ubd, err := f.staking.GetUnbondingDelegation(f.ctx, natives[1], f.vals[0].addr)
	require.NoError(t, err)
	require.Equal(t, "285000000", ubd.Entries[0].Balance.String())
}

func TestSlashWithoutVirtualStakeIsUnchanged(t *testing.T) {
	f, natives := slashSetup(t)
	for range 5 {
		f.block(blockTime)
	}
	infraction := f.ctx.BlockHeight()
	f.block(blockTime)
	before := f.tokensOf(natives[0], 0)
	f.doubleSign(0, infraction)
	f.block(blockTime)
	f.requireLoss(natives[0], 0, before, doubleSignFraction())
}

func TestFlowsArePrunedWhenNoSlashCanAsk(t *testing.T) {
	f := newFixture(t, 100, 100, 100)
	f.addProvider(provider1, nil)
	for i := range 5 {
		f.update(provider1, map[int]int64{0: int64(10 + i)})
		f.epoch()
	}
	export := func() int {
		records, err := f.k.Flows.Export(f.ctx)
		require.NoError(t, err)
		return len(records)
	}
	require.Equal(t, 5, export())
	// Two unbonding periods and more than the evidence's blocks later.
	f.quiet = true
	for range 1010 {
		f.block(time.Second)
	}
	f.quiet = false
	f.update(provider1, nil)
	f.block(43 * 24 * time.Hour)
	f.epoch()
	for range 3 {
		f.block(blockTime)
	}
	require.Less(t, export(), 5)
}
