package keeper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cosmos/cosmos-sdk/codec"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"

	"github.com/mesh-security/mesh/internal/fuzztest"
	"github.com/mesh-security/mesh/x/consumer/types"
)

// FuzzGenesis: no genesis state makes decoding, Validate or InitGenesis panic; and what InitGenesis takes comes out of
// ExportGenesis again, field by field, and stays as it is when it goes in once more.
func FuzzGenesis(f *testing.F) {
	fx := newFixture(f, 1_000_000, 1_000_000)
	fx.addProvider(provider1, nil)
	fx.update(provider1, map[int]int64{0: 1_000})
	fx.epoch()
	fx.update(provider1, map[int]int64{0: 1_000, 1: 3_000})
	g, err := fx.k.ExportGenesis(fx.ctx)
	require.NoError(f, err)
	cdc := codec.NewProtoCodec(codectypes.NewInterfaceRegistry())
	for _, state := range []*types.GenesisState{g, types.DefaultGenesis()} {
		bz, err := cdc.MarshalJSON(state)
		require.NoError(f, err)
		f.Add(bz)
		bz, err = state.Marshal()
		require.NoError(f, err)
		f.Add(bz)
	}
	empty, _ := fx.ctx.CacheContext()
	clearStore(empty.KVStore(fx.key))
	f.Fuzz(func(t *testing.T, bz []byte) {
		if len(bz) > 1<<20 {
			return
		}
		var state types.GenesisState
		var err error
		require.NotPanics(t, func() {
			fuzztest.Allocates(t, len(bz), 4<<20, 4<<10, func() {
				if err = cdc.UnmarshalJSON(bz, &state); err != nil {
					state = types.GenesisState{}
					err = state.Unmarshal(bz) // chains have JSON, but what changes a byte here more often leaves a state
				}
				if err == nil {
					err = state.Validate()
				}
			})
		})
		if err != nil {
			return
		}
		imported := func(state types.GenesisState) (out *types.GenesisState) {
			ctx, _ := empty.CacheContext()
			require.NotPanics(t, func() {
				if fx.k.InitGenesis(ctx, state) == nil {
					out, err = fx.k.ExportGenesis(ctx)
					require.NoError(t, err)
				}
			})
			return out
		}
		first := imported(state)
		if first == nil {
			return
		}
		require.NoError(t, first.Validate())
		// The first epoch begins with the first block, and validators that the state does not know are registered and marked.
		if state.Epoch.Start.IsZero() {
			first.Epoch.Start = state.Epoch.Start
		}
		var except []string
		if len(state.Validators) < len(first.Validators) {
			except = []string{"Validators", "Changed", "Dirty"}
		}
		fuzztest.SameState(t, &state, first, except...)
		again := imported(state)
		require.Equal(t, again, imported(*again))
	})
}

func clearStore(store storetypes.KVStore) {
	var keys [][]byte
	it := store.Iterator(nil, nil)
	for ; it.Valid(); it.Next() {
		keys = append(keys, it.Key())
	}
	_ = it.Close()
	for _, key := range keys {
		store.Delete(key)
	}
}
