// Package simulation draws parameters and messages of the provider module for the SDK's simulation of a chain.
package simulation

import (
	"math/rand"
	"time"

	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/types/module"

	"github.com/mesh-security/mesh/x/provider/types"
)

// RandomizedGenState puts a genesis state with random parameters into the simulation. It has no consumers: these need IBC
// clients, so whoever simulates a pairing adds both.
func RandomizedGenState(state *module.SimulationState) {
	g := types.DefaultGenesis()
	g.Params = RandomParams(state.Rand)
	state.GenState[types.ModuleName] = state.Cdc.MustMarshalJSON(g)
}

// RandomParams returns valid parameters; among them those that leave little room for work in a block.
func RandomParams(r *rand.Rand) types.Params {
	p := types.DefaultParams()
	p.EpochDuration = time.Duration(1+r.Intn(180)) * time.Minute
	p.MinCrossStake = sdkmath.NewInt(1 + r.Int63n(10_000))
	p.MaxPositions = uint32(3 + r.Intn(100))
	p.MaxUnbondingClaims = uint32(1 + r.Intn(types.HardMaxUnbondingClaims))
	p.MaxNativeDelegations = uint32(10 + r.Intn(300))
	p.MaxSettlementSteps = uint32(20 + r.Intn(200))
	p.PacketTimeout = time.Duration(1+r.Intn(24)) * time.Hour
	if r.Intn(2) == 0 {
		p.SlashDestination = types.SLASH_DESTINATION_COMMUNITY_POOL
	}
	p.SubmitterRewardMax = sdkmath.NewInt(r.Int63n(1_000_000_000))
	return p
}
