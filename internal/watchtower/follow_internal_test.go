package watchtower

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	cmttypes "github.com/cometbft/cometbft/types"
)

// follow sets up a follower of a chain's nodes.
func follow(t *testing.T, clk *clock, nodes ...*fakeNode) *follower {
	t.Helper()
	cfg := &ChainConfig{ChainID: nodes[0].chain.id, FollowOnly: true, MaxBackfill: DefaultMaxBackfill}
	for _, n := range nodes {
		cfg.RPC = append(cfg.RPC, n.url)
	}
	store, err := OpenStore(filepath.Join(t.TempDir(), "state.json"), false)
	require.NoError(t, err)
	metrics := NewMetrics()
	c, err := newChain(cfg, time.Second, metrics, testLog(t.Output()), clk.now)
	require.NoError(t, err)
	metrics.initialise(cfg.ChainID)
	return &follower{
		cfg: cfg, nodes: c.nodes, store: store, metrics: metrics, log: c.log, now: clk.now, poll: time.Second,
		retention: DefaultRetention, found: func() {}, agreed: make(map[[2]string]int64),
	}
}

// catchUp steps until nothing more is known to be there.
func (f *follower) catchUp(t *testing.T) {
	t.Helper()
	for range 1000 {
		more, err := f.step(t.Context())
		require.NoError(t, err)
		if !more {
			return
		}
	}
	t.Fatal("never catches up")
}

func (f *follower) at(t *testing.T) int64 {
	t.Helper()
	height, ok := f.store.Height(f.cfg.ChainID)
	require.True(t, ok)
	return height
}

func TestFollowFindsEvidence(t *testing.T) {
	clk := newClock()
	chain := newFakeChain("axelar-1", 5, clk.now().Add(-10*time.Minute)).grow(30)
	first, second := chain.doubleVote(0, fakeBase+9), chain.doubleVote(3, fakeBase+21)
	chain.produce(first, second)
	chain.grow(25)
	third := chain.doubleVote(1, fakeBase+40)
	chain.produce(third)
	f := follow(t, clk, newFakeNode(t, chain))
	woken := 0
	f.found = func() { woken++ }

	f.catchUp(t)

	require.Equal(t, chain.height(), f.at(t))
	found := f.store.Evidence("")
	require.Len(t, found, 3)
	var votes []*cmttypes.DuplicateVoteEvidence
	for _, ev := range found {
		require.Equal(t, KindDoubleVote, ev.Evidence.Kind)
		require.Equal(t, "axelar-1", ev.Evidence.ChainID)
		dve, err := cmttypes.DuplicateVoteEvidenceFromProto(ev.Evidence.DoubleVote)
		require.NoError(t, err)
		require.Equal(t, dve.VoteA.Height, ev.Evidence.Height)
		votes = append(votes, dve)
	}
	require.ElementsMatch(t, []*cmttypes.DuplicateVoteEvidence{first, second, third}, votes)
	require.Equal(t, 2, woken, "once per chunk with evidence")
	require.EqualValues(t, 3, metric(t, f.metrics, `evidence_total{chain="axelar-1",kind="double_vote"}`))
	require.EqualValues(t, chain.height(), metric(t, f.metrics, `height{chain="axelar-1"}`))
	require.EqualValues(t, 0, metric(t, f.metrics, `lag_blocks{chain="axelar-1"}`))
}

// Reading the same blocks again finds nothing new, also after a restart from the file.
func TestFollowSameBlocksTwice(t *testing.T) {
	clk := newClock()
	chain := newFakeChain("axelar-1", 4, clk.now().Add(-time.Hour)).grow(5)
	chain.produce(chain.doubleVote(2, fakeBase+3))
	chain.grow(3)
	f := follow(t, clk, newFakeNode(t, chain))
	f.catchUp(t)

	f.store.Advance("axelar-1", fakeBase) // as if the place was lost
	again, err := OpenStore(f.store.path, false)
	require.NoError(t, err)
	require.Len(t, again.Evidence(""), 1, "evidence is on disk")
	again.Advance("axelar-1", fakeBase)
	f.store = again
	f.catchUp(t)

	require.Len(t, f.store.Evidence(""), 1)
	require.EqualValues(t, 1, metric(t, f.metrics, `evidence_total{chain="axelar-1",kind="double_vote"}`))
}

func TestFollowOutages(t *testing.T) {
	clk := newClock()
	chain := newFakeChain("axelar-1", 4, clk.now().Add(-time.Hour)).grow(50)
	a, b := newFakeNode(t, chain), newFakeNode(t, chain)
	f := follow(t, clk, a, b)
	a.down.Store(true)
	f.catchUp(t)
	require.Equal(t, chain.height(), f.at(t), "the other node is enough")
	require.EqualValues(t, 1, metric(t, f.metrics, `nodes_up{chain="axelar-1"}`))
	failed := metric(t, f.metrics, `rpc_errors_total{chain="axelar-1",node="`+a.url+`"}`)
	require.EqualValues(t, 1, failed, "a node that fails is left alone for a while")

	// Both down: an error, nothing lost.
	b.down.Store(true)
	place := f.at(t)
	chain.produce(chain.doubleVote(1, fakeBase+44))
	chain.grow(3)
	for range 5 {
		_, err := f.step(t.Context())
		require.ErrorIs(t, err, errNoNode)
		clk.add(10 * time.Second)
	}
	require.Equal(t, place, f.at(t))

	// One comes back after its wait.
	a.down.Store(false)
	clk.add(maxNodeBackoff)
	f.catchUp(t)
	require.Equal(t, chain.height(), f.at(t))
	require.Len(t, f.store.Evidence(""), 1)
}

// A node that is behind is neither an error nor a way back, and another one takes over where it ends.
func TestFollowNodesBehind(t *testing.T) {
	clk := newClock()
	chain := newFakeChain("axelar-1", 4, clk.now().Add(-time.Hour)).grow(60)
	behind, ahead := newFakeNode(t, chain), newFakeNode(t, chain)
	behind.limit.Store(fakeBase + 10)
	f := follow(t, clk, behind, ahead)
	f.catchUp(t)
	require.Equal(t, fakeBase+59, f.at(t))

	ahead.down.Store(true)
	f.catchUp(t)
	require.Equal(t, fakeBase+59, f.at(t), "no way back")
	require.EqualValues(t, 0, metric(t, f.metrics, `lag_blocks{chain="axelar-1"}`))

	chain.grow(5)
	behind.limit.Store(1 << 62)
	f.catchUp(t)
	require.Equal(t, fakeBase+64, f.at(t))
}

func TestFollowPrunedHeights(t *testing.T) {
	clk := newClock()
	chain := newFakeChain("axelar-1", 4, clk.now().Add(-time.Hour)).grow(10)
	pruned, archive := newFakeNode(t, chain), newFakeNode(t, chain)
	f := follow(t, clk, pruned, archive)
	f.catchUp(t)

	// While we were away one node pruned: the other still has the blocks.
	chain.produce(chain.doubleVote(0, fakeBase+5))
	chain.grow(100)
	pruned.earliest.Store(fakeBase + 90)
	f.catchUp(t)
	require.Equal(t, chain.height(), f.at(t))
	require.Len(t, f.store.Evidence(""), 1)
	require.EqualValues(t, 0, metric(t, f.metrics, `skipped_blocks_total{chain="axelar-1"}`))

	// Both pruned: the gap is counted, and what is left is read.
	place := f.at(t)
	chain.grow(50)
	chain.produce(chain.doubleVote(2, fakeBase+130))
	earliest := place + 41
	pruned.earliest.Store(earliest)
	archive.earliest.Store(earliest)
	f.catchUp(t)
	require.Equal(t, chain.height(), f.at(t))
	require.Len(t, f.store.Evidence(""), 2)
	require.EqualValues(t, 40, metric(t, f.metrics, `skipped_blocks_total{chain="axelar-1"}`))
}

func TestFollowStart(t *testing.T) {
	// Blocks are 5 s apart; the newest is at the clock's time.
	const blocks = 400
	testCases := []struct {
		name     string
		malleate func(*ChainConfig, *fakeNode)
		exp      int64
	}{
		{"oldest within the evidence age", func(_ *ChainConfig, n *fakeNode) { n.maxAge = 500 * time.Second }, fakeBase + 299},
		{"all of a young chain", func(*ChainConfig, *fakeNode) {}, fakeBase},
		{"what the node still has", func(_ *ChainConfig, n *fakeNode) { n.earliest.Store(fakeBase + 217) }, fakeBase + 217},
		{"bounded", func(c *ChainConfig, _ *fakeNode) { c.MaxBackfill = 33 }, fakeBase + 367},
		{"nothing is young enough", func(_ *ChainConfig, n *fakeNode) { n.maxAge = -time.Hour }, fakeBase + 399},
		{"configured", func(c *ChainConfig, _ *fakeNode) { c.StartHeight = fakeBase + 123 }, fakeBase + 123},
	}
	for _, tc := range testCases {
		t.Run(tc.name, func(t *testing.T) {
			clk := newClock()
			chain := newFakeChain("axelar-1", 3, clk.now().Add(-(blocks-1)*5*time.Second)).grow(blocks)
			node := newFakeNode(t, chain)
			f := follow(t, clk, node)
			tc.malleate(f.cfg, node)
			_, err := f.step(t.Context())
			require.NoError(t, err)
			require.Equal(t, min(tc.exp+chunk-1, chain.height()), f.at(t), "first chunk")
		})
	}
}

// Evidence older than what is kept is not taken.
func TestFollowOldEvidence(t *testing.T) {
	clk := newClock()
	chain := newFakeChain("axelar-1", 3, clk.now().Add(-time.Hour)).grow(5)
	chain.produce(chain.doubleVote(0, fakeBase+2))
	f := follow(t, clk, newFakeNode(t, chain))
	f.retention = 50 * time.Minute
	f.cfg.StartHeight = fakeBase
	f.catchUp(t)
	require.Empty(t, f.store.Evidence(""))
	require.Equal(t, chain.height(), f.at(t))
}

func TestFollowBadNodes(t *testing.T) {
	testCases := []struct {
		name     string
		malleate func(*fakeNode)
	}{
		{"of another chain", func(n *fakeNode) { other := "juno-1"; n.network.Store(&other) }},
		{"header that hides evidence", func(n *fakeNode) {
			hide := func(h *cmttypes.Header) { h.EvidenceHash = noEvidence }
			n.mangle.Store(&hide)
		}},
		{"header of another chain", func(n *fakeNode) {
			other := func(h *cmttypes.Header) { h.ChainID = "juno-1" }
			n.mangle.Store(&other)
		}},
		{"wrong heights", func(n *fakeNode) {
			shift := func(h *cmttypes.Header) { h.Height += 7 }
			n.mangle.Store(&shift)
		}},
	}
	for _, tc := range testCases {
		t.Run(tc.name, func(t *testing.T) {
			clk := newClock()
			chain := newFakeChain("axelar-1", 3, clk.now().Add(-time.Hour)).grow(5)
			chain.produce(chain.doubleVote(0, fakeBase+2))
			bad, good := newFakeNode(t, chain), newFakeNode(t, chain)
			tc.malleate(bad)

			alone := follow(t, clk, bad)
			alone.cfg.StartHeight = fakeBase
			_, err := alone.step(t.Context())
			require.Error(t, err)
			require.Empty(t, alone.store.Evidence(""))

			f := follow(t, clk, bad, good)
			f.cfg.StartHeight = fakeBase
			f.catchUp(t)
			require.Len(t, f.store.Evidence(""), 1)
			require.Positive(t, metric(t, f.metrics, `rpc_errors_total{chain="axelar-1",node="`+bad.url+`"}`))
		})
	}
}

// A crash between finding evidence and going on loses nothing: the place is never ahead of the evidence.
func TestFollowCannotSave(t *testing.T) {
	clk := newClock()
	chain := newFakeChain("axelar-1", 3, clk.now().Add(-time.Hour)).grow(5)
	chain.produce(chain.doubleVote(0, fakeBase+2))
	f := follow(t, clk, newFakeNode(t, chain))
	f.cfg.StartHeight = fakeBase
	rename := f.store.rename
	calls := 0
	f.store.rename = func(from, to string) error {
		if calls++; calls > 1 {
			return errCrash
		}
		return rename(from, to)
	}
	_, err := f.step(t.Context())
	require.ErrorIs(t, err, errCrash)

	again, err := OpenStore(f.store.path, false)
	require.NoError(t, err)
	height, ok := again.Height("axelar-1")
	require.True(t, ok)
	require.Equal(t, fakeBase-1, height)
	f.store = again
	f.catchUp(t)
	require.Len(t, again.Evidence(""), 1)
}

func TestGuarded(t *testing.T) {
	_, err := guarded(func() (int, error) { panic("boom") })
	require.ErrorContains(t, err, "boom")
	n, err := guarded(func() (int, error) { return 7, nil })
	require.NoError(t, err)
	require.Equal(t, 7, n)
}
