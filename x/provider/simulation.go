package provider

import (
	"github.com/cosmos/cosmos-sdk/testutil/simsx"
	"github.com/cosmos/cosmos-sdk/types/module"
	simtypes "github.com/cosmos/cosmos-sdk/types/simulation"

	"github.com/mesh-security/mesh/x/provider/simulation"
	"github.com/mesh-security/mesh/x/provider/types"
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
	sdr[types.StoreKey] = simtypes.NewStoreDecoderFuncFromCollectionsSchema(m.k.Schema)
}

// WeightedOperations is not used by the SDK since there is WeightedOperationsX.
func (AppModule) WeightedOperations(module.SimulationState) []simtypes.WeightedOperation { return nil }

// WeightedOperationsX registers the messages that users may sign.
func (m AppModule) WeightedOperationsX(weights simsx.WeightSource, reg simsx.Registry) {
	reg.Add(weights.Get("msg_cross_stake", 100), simulation.MsgCrossStakeFactory(m.k))
	reg.Add(weights.Get("msg_cross_unstake", 60), simulation.MsgCrossUnstakeFactory(m.k))
	reg.Add(weights.Get("msg_cross_redelegate", 40), simulation.MsgCrossRedelegateFactory(m.k))
	reg.Add(weights.Get("msg_withdraw_mesh_rewards", 30), simulation.MsgWithdrawRewardsFactory(m.k))
	reg.Add(weights.Get("msg_submit_double_vote", 5), simulation.MsgSubmitDoubleVoteFactory(m.k))
	reg.Add(weights.Get("msg_vouch_key", 5), simulation.MsgVouchKeyFactory(m.k))
	for _, f := range simulation.StrangersFactories(m.k) {
		reg.Add(weights.Get("msg_provider_stranger", 2), f)
	}
}

// ProposalMsgsX registers what governance may be asked to do.
func (AppModule) ProposalMsgsX(weights simsx.WeightSource, reg simsx.Registry) {
	reg.Add(weights.Get("msg_update_provider_params", 50), simulation.MsgUpdateParamsFactory())
}
