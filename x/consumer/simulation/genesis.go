// Package simulation draws parameters and messages of the consumer module for the SDK's simulation of a chain.
package simulation

import (
	"math/rand"
	"time"

	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/types/module"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// RandomizedGenState puts a genesis state with random parameters into the simulation. It has no providers: these need IBC
// clients, so whoever simulates a pairing adds both.
func RandomizedGenState(state *module.SimulationState) {
	g := types.DefaultGenesis()
	g.Params = RandomParams(state.Rand)
	state.GenState[types.ModuleName] = state.Cdc.MustMarshalJSON(g)
}

// RandomParams returns valid parameters for chains whose unbonding period is a day or more; among them those that leave
// little room for work in a block.
func RandomParams(r *rand.Rand) types.Params {
	p := types.DefaultParams()
	p.EpochDuration = time.Duration(1+r.Intn(180)) * time.Minute
	p.MaxEpochOperations = uint32(1 + r.Intn(50))
	p.MaxValidatorsPerProvider = uint32(10 + r.Intn(200))
	p.GlobalMaxPowerRatio = sdkmath.LegacyNewDecWithPrec(r.Int63n(34), 2)
	p.MaxValidatorMultiple = sdkmath.LegacyNewDecWithPrec(r.Int63n(100), 1)
	p.RebalanceThreshold = sdkmath.LegacyNewDecWithPrec(r.Int63n(10), 2)
	p.MaxPriceChange = sdkmath.LegacyNewDecWithPrec(r.Int63n(200), 2)
	p.MaxPriceAge = time.Duration(6+r.Intn(48)) * time.Hour
	p.MaxProviderSilence = time.Duration(6+r.Intn(12)) * time.Hour
	p.FreshnessMargin = time.Duration(3+r.Intn(3)) * time.Hour
	p.PacketTimeout = time.Duration(1+r.Intn(24)) * time.Hour
	p.MaxRewardWithdrawals = uint32(1 + r.Intn(20))
	return p
}
