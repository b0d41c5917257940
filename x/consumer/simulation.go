package consumer

import (
	"github.com/cosmos/cosmos-sdk/testutil/simsx"
	"github.com/cosmos/cosmos-sdk/types/module"
	simtypes "github.com/cosmos/cosmos-sdk/types/simulation"

	"github.com/mesh-security/mesh/x/consumer/simulation"
	"github.com/mesh-security/mesh/x/consumer/types"
)

var (
	_ module.AppModuleSimulation   = AppModule{}
	_ simsx.HasWeightedOperationsX = AppModule{}
	_ simsx.HasProposalMsgsX       = AppModule{}
)

// GenerateGenesisState draws a genesis state for the SDK's simulation.
func (AppModule) GenerateGenesisState(state *module.SimulationState) {
	simulation.RandomizedGenState(state)
}

// RegisterStoreDecoder prints what is different after export and import.
func (m AppModule) RegisterStoreDecoder(sdr simtypes.StoreDecoderRegistry) {
	sdr[types.StoreKey] = simtypes.NewStoreDecoderFuncFromCollectionsSchema(m.keeper.Schema)
}

// WeightedOperations is not used by the SDK since there is WeightedOperationsX.
func (AppModule) WeightedOperations(module.SimulationState) []simtypes.WeightedOperation { return nil }

// WeightedOperationsX registers the messages that users may sign.
func (m AppModule) WeightedOperationsX(weights simsx.WeightSource, reg simsx.Registry) {
	reg.Add(weights.Get("msg_post_price", 40), simulation.MsgPostPriceFactory(m.keeper))
	reg.Add(weights.Get("msg_prove_price", 5), simulation.MsgProvePriceFactory(m.keeper))
	for _, f := range simulation.StrangersFactories(m.keeper) {
		reg.Add(weights.Get("msg_consumer_stranger", 2), f)
	}
}

// ProposalMsgsX registers what governance may be asked to do.
func (AppModule) ProposalMsgsX(weights simsx.WeightSource, reg simsx.Registry) {
	reg.Add(weights.Get("msg_update_consumer_params", 50), simulation.MsgUpdateParamsFactory())
}
