package soak

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"
)

const testChain = "skew-1"

func newTestKey(tb testing.TB) (*skewedKey, string, string) {
	tb.Helper()
	dir := tb.TempDir()
	keyFile, state := filepath.Join(dir, "key.json"), filepath.Join(dir, "state.json")
	pv := privval.GenFilePV(keyFile, state)
	pv.Save()
	return &skewedKey{pv: pv}, keyFile, state
}

func precommit(height int64, hash byte, at time.Time) *cmtproto.Vote {
	block := cmtproto.BlockID{Hash: make([]byte, 32), PartSetHeader: cmtproto.PartSetHeader{Total: 1, Hash: make([]byte, 32)}}
	block.Hash[0] = hash
	return &cmtproto.Vote{Type: cmtproto.PrecommitType, Height: height, BlockID: block, Timestamp: at}
}

func TestSkewedKeyShiftsTime(t *testing.T) {
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for i, skew := range append([]time.Duration{0}, skews...) {
		key, _, _ := newTestKey(t)
		key.setSkew(skew)
		public, err := key.GetPubKey()
		require.NoError(t, err)

		vote := precommit(int64(10+i), 1, now)
		require.NoError(t, key.SignVote(testChain, vote))
		require.Equal(t, now.Add(skew), vote.Timestamp)
		require.True(t, public.VerifySignature(cmttypes.VoteSignBytes(testChain, vote), vote.Signature), "the time is signed")

		proposal := &cmtproto.Proposal{Type: cmtproto.ProposalType, Height: int64(100 + i), BlockID: vote.BlockID, Timestamp: now}
		require.NoError(t, key.SignProposal(testChain, proposal))
		require.Equal(t, now.Add(skew), proposal.Timestamp)
		require.True(t, public.VerifySignature(cmttypes.ProposalSignBytes(testChain, proposal), proposal.Signature))

		require.EqualValues(t, 1, key.signed.Load())
		require.Equal(t, skew != 0, key.shifted.Load() == 1)
	}
}

// Neither a change of the clock nor a restart makes it sign two blocks at one height.
func TestSkewedKeyNeverSignsTwice(t *testing.T) {
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	key, keyFile, state := newTestKey(t)
	first := precommit(7, 1, now)
	require.NoError(t, key.SignVote(testChain, first))

	key.setSkew(time.Hour)
	again := precommit(7, 1, now)
	require.NoError(t, key.SignVote(testChain, again), "the same vote")
	require.Equal(t, first.Signature, again.Signature)
	require.Equal(t, first.Timestamp, again.Timestamp)

	key = &skewedKey{pv: privval.LoadFilePV(keyFile, state)}
	for _, skew := range skews {
		key.setSkew(skew)
		require.Error(t, key.SignVote(testChain, precommit(7, 2, now)), "another block")
		require.Error(t, key.SignVote(testChain, precommit(6, 1, now)), "an earlier height")
	}
	require.NoError(t, key.SignVote(testChain, precommit(8, 2, now)))
}

func TestClockWatch(t *testing.T) {
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	var w clockWatch
	w.see(1, now.Add(-time.Second), now)
	w.see(2, now.Add(3*time.Second), now)
	w.see(2, now.Add(-time.Hour), now) // seen before
	ahead, behind := w.worst()
	require.Equal(t, 3*time.Second, ahead)
	require.Equal(t, time.Second, behind)
}

// A node that comes back finds its signer at once, however it went.
func TestSignerComesBack(t *testing.T) {
	key, _, _ := newTestKey(t)
	port, err := freePort()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	s := &signer{skewedKey: key, chainID: testChain, address: fmt.Sprintf("tcp://127.0.0.1:%d", port), cancel: cancel, done: make(chan struct{})}
	go s.serve(ctx)
	t.Cleanup(s.stop)
	for height := range int64(3) {
		listener, err := privval.NewSignerListener(s.address, log.NewNopLogger())
		require.NoError(t, err)
		client, err := privval.NewSignerClient(listener, testChain)
		require.NoError(t, err)
		require.NoError(t, client.WaitForConnection(30*time.Second))
		vote := precommit(1+height, 1, time.Now())
		require.NoError(t, client.SignVote(testChain, vote))
		require.NotEmpty(t, vote.Signature)
		require.NoError(t, listener.Stop()) // as if it had been killed
	}
}
