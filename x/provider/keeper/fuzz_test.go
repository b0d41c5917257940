package keeper_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	"github.com/mesh-security/mesh/internal/fuzztest"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// unpanicked runs a message on a branch of the state and returns its error. A panic in a message is caught by baseapp, and is a
// defect all the same.
func unpanicked(t *testing.T, ctx sdk.Context, handle func(ctx sdk.Context) error) error {
	t.Helper()
	branch, _ := ctx.CacheContext()
	var err error
	require.NotPanics(t, func() { err = handle(branch) })
	return err
}

// FuzzSubmitDoubleVote: no evidence makes the handler panic or allocate out of proportion; what decodes encodes to something
// that decodes to the same; and no change of one bit or more proves anything but what the key has signed.
func FuzzSubmitDoubleVote(f *testing.F) {
	s := newSlasher(f, nil)
	valid := evidence(f, testutil.ConsensusKey(1), forkAt)
	bz, err := valid.Marshal()
	require.NoError(f, err)
	f.Add(bz)
	stranger := evidence(f, testutil.ConsensusKey(77), forkAt)
	bz, err = stranger.Marshal()
	require.NoError(f, err)
	f.Add(bz)
	f.Add([]byte{0x0A, 0x00, 0x12, 0x00})
	f.Fuzz(func(t *testing.T, bz []byte) {
		var ev cmtproto.DuplicateVoteEvidence
		var decoded error
		fuzztest.Allocates(t, len(bz), 64<<10, 256, func() { decoded = ev.Unmarshal(bz) })
		if decoded != nil {
			return
		}
		again, err := ev.Marshal()
		if err != nil {
			return // a time that has no encoding
		}
		var ev2 cmtproto.DuplicateVoteEvidence
		require.NoError(t, ev2.Unmarshal(again))
		require.Empty(t, cmp.Diff(ev, ev2, cmpopts.EquateEmpty()))
		thrice, err := ev2.Marshal()
		require.NoError(t, err)
		require.Equal(t, again, thrice)
		fuzztest.Allocates(t, len(bz), 8<<20, 64, func() {
			err = unpanicked(t, s.f.Ctx, func(ctx sdk.Context) error {
				_, err := s.f.Msgs.SubmitDoubleVote(ctx, &types.MsgSubmitDoubleVote{Submitter: s.w.String(), ConsumerId: client, Evidence: &ev})
				return err
			})
		})
		if err != nil {
			return
		}
		// Nobody has a signature over other votes.
		signed := map[string]bool{string(valid.VoteA.Signature): true, string(valid.VoteB.Signature): true}
		for _, v := range []*cmtproto.Vote{ev.VoteA, ev.VoteB} {
			require.True(t, signed[string(v.Signature)], "a proof from signatures that nobody made")
		}
		require.NotEqual(t, ev.VoteA.Signature, ev.VoteB.Signature)
	})
}

// FuzzSubmitMisbehaviour: no misbehaviour makes the handler panic or allocate out of proportion; what decodes encodes to
// something that decodes to the same; and none that is taken has other commits than those the validators signed.
func FuzzSubmitMisbehaviour(f *testing.F) {
	fork := newFork(f, nil)
	valid := fork.message().Misbehaviour
	bz, err := valid.Marshal()
	require.NoError(f, err)
	f.Add(bz)
	fork.b.round = 1
	bz, err = fork.message().Misbehaviour.Marshal()
	require.NoError(f, err)
	f.Add(bz)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, bz []byte) {
		var m ibctm.Misbehaviour
		var decoded error
		fuzztest.Allocates(t, len(bz), 64<<10, 256, func() { decoded = m.Unmarshal(bz) })
		if decoded != nil {
			return
		}
		again, err := m.Marshal()
		if err != nil {
			return // a time that has no encoding
		}
		var m2 ibctm.Misbehaviour
		require.NoError(t, m2.Unmarshal(again))
		require.Empty(t, cmp.Diff(m, m2, cmpopts.EquateEmpty()))
		fuzztest.Allocates(t, len(bz), 16<<20, 256, func() {
			err = unpanicked(t, fork.f.Ctx, func(ctx sdk.Context) error {
				_, err := fork.f.Msgs.SubmitMisbehaviour(ctx, &types.MsgSubmitMisbehaviour{Submitter: fork.w.String(), ConsumerId: client, Misbehaviour: &m})
				return err
			})
		})
		if err != nil {
			return
		}
		for _, h := range []*ibctm.Header{m.Header1, m.Header2} {
			hash := h.Commit.BlockID.Hash
			require.True(t, string(hash) == string(valid.Header1.Commit.BlockID.Hash) || string(hash) == string(valid.Header2.Commit.BlockID.Hash),
				"a block that nobody signed")
		}
	})
}

// FuzzGenesis: no genesis state makes decoding, Validate or InitGenesis panic; and what InitGenesis takes comes out of
// ExportGenesis again, field by field, and stays as it is when it goes in once more.
func FuzzGenesis(f *testing.F) {
	fx, _, _ := midFlight(f)
	g, err := fx.Provider.ExportGenesis(fx.Ctx)
	require.NoError(f, err)
	for _, state := range []*types.GenesisState{g, types.DefaultGenesis()} {
		bz, err := fx.Codec.MarshalJSON(state)
		require.NoError(f, err)
		f.Add(bz)
		bz, err = state.Marshal()
		require.NoError(f, err)
		f.Add(bz)
	}
	fx.Clear(types.StoreKey)
	f.Fuzz(func(t *testing.T, bz []byte) {
		if len(bz) > 1<<20 {
			return
		}
		var state types.GenesisState
		var err error
		require.NotPanics(t, func() {
			fuzztest.Allocates(t, len(bz), 4<<20, 4<<10, func() {
				if err = fx.Codec.UnmarshalJSON(bz, &state); err != nil {
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
		first := imported(t, fx, state)
		if first == nil {
			return
		}
		require.NoError(t, first.Validate())
		fuzztest.SameState(t, &state, first)
		require.Equal(t, first, imported(t, fx, *first))
	})
}

// imported returns what an import into an empty store exports, or nil if it is refused.
func imported(t *testing.T, fx *testutil.Fixture, state types.GenesisState) (out *types.GenesisState) {
	t.Helper()
	err := unpanicked(t, fx.Ctx, func(ctx sdk.Context) (err error) {
		if err = fx.Provider.InitGenesis(ctx, state); err == nil {
			out, err = fx.Provider.ExportGenesis(ctx)
			require.NoError(t, err)
		}
		return err
	})
	if err != nil {
		return nil
	}
	return out
}
