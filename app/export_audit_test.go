package app_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// TestZeroHeightExportKeepsHoldsAndDropsFlows: a chain that starts anew at height zero must know its held entries again,
// which then have another creation height, or they are never paid; and heights of the old chain must not be mixed with
// those of the new one.
func TestZeroHeightExportKeepsHoldsAndDropsFlows(t *testing.T) {
	net := meshtest.NewNetwork(t, 1, meshtest.ChainConfig{Name: "prov"}, meshtest.ChainConfig{Name: "cons"})
	prov, cons := net.Chain("prov"), net.Chain("cons")
	pairing := net.Pair(prov, cons)
	pairing.CrossStake("alice", cons.Validators[0], 50*meshtest.One) // of 100
	prov.Account("alice").Send(prov.MsgUndelegate("alice", prov.Validators[0], 60*meshtest.One))
	net.Until("stake arrives", 20*meshtest.Epoch, func() bool { return pairing.TotalVirtual().IsPositive() })
	require.NotEmpty(t, cons.ConsumerState().Flows)
	require.NotEmpty(t, prov.ProviderState().Holds)

	exported, err := prov.App.ExportAppStateAndValidators(true, nil, nil)
	require.NoError(t, err)
	var state map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(exported.AppState, &state))
	var provider providertypes.GenesisState
	var staking stakingtypes.GenesisState
	prov.App.AppCodec().MustUnmarshalJSON(state[providertypes.ModuleName], &provider)
	prov.App.AppCodec().MustUnmarshalJSON(state[stakingtypes.ModuleName], &staking)
	held := 0
	for _, ubd := range staking.UnbondingDelegations {
		for _, e := range ubd.Entries {
			if !e.OnHold() {
				continue
			}
			held++
			found := false
			for _, h := range provider.Holds {
				found = found || (h.CreationHeight == e.CreationHeight && h.CompletionTime.Equal(e.CompletionTime))
			}
			require.True(t, found, "nobody will release the entry of %s at height %d", e.Balance, e.CreationHeight)
		}
	}
	require.Equal(t, len(provider.Holds), held)
	for _, a := range provider.Accounts {
		require.Zero(t, a.Account.EvaluatedHeight)
	}
	require.Empty(t, provider.Flows)

	exported, err = cons.App.ExportAppStateAndValidators(true, nil, nil)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(exported.AppState, &state))
	var consumer consumertypes.GenesisState
	cons.App.AppCodec().MustUnmarshalJSON(state[consumertypes.ModuleName], &consumer)
	require.Empty(t, consumer.Flows)
	require.Empty(t, consumer.Heights)
}
