package watchtower

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cometbft/cometbft/crypto/ed25519"
	cmttypes "github.com/cometbft/cometbft/types"
)

func TestConflictingHeaders(t *testing.T) {
	clk := newClock()
	chain := newFakeChain("axelar-1", 6, clk.now().Add(-time.Hour)).grow(40)
	fork := chain.fork(fakeBase + 23).grow(11)
	honest, same, other := newFakeNode(t, chain), newFakeNode(t, chain), newFakeNode(t, fork)
	f := follow(t, clk, honest, same, other)

	f.catchUp(t)

	found := f.store.Evidence("")
	require.Len(t, found, 1)
	ev := found[0].Evidence
	require.Equal(t, KindMisbehaviour, ev.Kind)
	require.Equal(t, fakeBase+23, ev.Height, "the first height that differs")
	require.Equal(t, fakeBase+22, ev.CommonHeight)
	require.Len(t, ev.Headers, 2)
	require.ElementsMatch(t,
		[]string{chain.lightBlock(ev.Height).Hash().String(), fork.lightBlock(ev.Height).Hash().String()},
		[]string{ev.Headers[0].Hash().String(), ev.Headers[1].Hash().String()})
	require.Len(t, ev.Offenders(), 6, "all signed both")
	require.EqualValues(t, 1, metric(t, f.metrics, `nodes_conflict{chain="axelar-1"}`))

	// They go on disagreeing: the same evidence, once, and not looked for in every poll.
	before := other.requests.Load()
	for range 3 {
		chain.grow(1)
		fork.grow(1)
		f.catchUp(t)
	}
	require.LessOrEqual(t, other.requests.Load()-before, int64(3*3))
	clk.add(2 * conflictPause)
	f.catchUp(t)
	require.Len(t, f.store.Evidence(""), 1)
	require.EqualValues(t, 1, metric(t, f.metrics, `evidence_total{chain="axelar-1",kind="misbehaviour"}`))
	require.EqualValues(t, 0, metric(t, f.metrics, `rpc_errors_total{chain="axelar-1",node="`+other.url+`"}`))
}

// A node that stopped on a fork is compared at the height it has, however far the others are.
func TestConflictWithStoppedNode(t *testing.T) {
	clk := newClock()
	chain := newFakeChain("axelar-1", 4, clk.now().Add(-time.Hour)).grow(10)
	stopped, ahead := newFakeNode(t, chain), newFakeNode(t, chain)
	stopped.limit.Store(fakeBase + 7)
	f := follow(t, clk, stopped, ahead)
	f.catchUp(t)
	require.Empty(t, f.store.Evidence(""))
	require.EqualValues(t, 0, metric(t, f.metrics, `nodes_conflict{chain="axelar-1"}`))

	fork := chain.fork(fakeBase + 9)
	stopped.chain = fork
	stopped.limit.Store(fakeBase + 9)
	chain.grow(30)
	clk.add(time.Minute)
	f.catchUp(t)
	require.Len(t, f.store.Evidence(""), 1)
	require.Equal(t, fakeBase+9, f.store.Evidence("")[0].Evidence.Height)
}

// Where the first differing height is pruned, the lowest that both have serves.
func TestConflictPruned(t *testing.T) {
	clk := newClock()
	chain := newFakeChain("axelar-1", 4, clk.now().Add(-time.Hour)).grow(40)
	fork := chain.fork(fakeBase + 10).grow(29)
	a, b := newFakeNode(t, chain), newFakeNode(t, fork)
	b.earliest.Store(fakeBase + 31)
	f := follow(t, clk, a, b)
	f.catchUp(t)
	require.Len(t, f.store.Evidence(""), 1)
	require.Equal(t, fakeBase+31, f.store.Evidence("")[0].Evidence.Height)
}

// A node that makes up headers proves nothing: they are not signed by the chain's validators.
func TestConflictWithUnsignedHeaders(t *testing.T) {
	clk := newClock()
	chain := newFakeChain("axelar-1", 4, clk.now().Add(-time.Hour)).grow(20)
	fork := chain.fork(fakeBase + 11)
	for i, sig := range fork.commits[11].Signatures {
		if i == 0 {
			continue // one real signature is not two thirds
		}
		key := ed25519.GenPrivKey()
		signature, err := key.Sign(sig.Signature)
		require.NoError(t, err)
		fork.commits[11].Signatures[i].Signature = signature
	}
	f := follow(t, clk, newFakeNode(t, chain), newFakeNode(t, fork))
	f.catchUp(t)
	require.Empty(t, f.store.Evidence(""))
	require.EqualValues(t, 1, metric(t, f.metrics, `nodes_conflict{chain="axelar-1"}`), "but the operator is told")
	require.Equal(t, chain.height(), f.at(t))
}

// Only those who signed both headers for a block are offenders; absent and nil signers are not.
func TestOffenders(t *testing.T) {
	vote, headers := sampleEvidence(t)
	require.Equal(t, [][]byte{vote.DoubleVote.VoteA.ValidatorAddress}, vote.Offenders())
	require.Len(t, headers.Offenders(), 4)
	headers.Headers[0].Commit.Signatures[1] = cmttypes.NewCommitSigAbsent()
	headers.Headers[1].Commit.Signatures[2].BlockIDFlag = cmttypes.BlockIDFlagNil
	require.Equal(t, [][]byte{
		headers.Headers[0].Commit.Signatures[0].ValidatorAddress, headers.Headers[0].Commit.Signatures[3].ValidatorAddress,
	}, headers.Offenders())
	headers.Headers = headers.Headers[:1]
	require.Len(t, headers.Offenders(), 3, "of one header: whoever signed it")
}
