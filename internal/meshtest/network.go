package meshtest

import (
	"math/rand"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	ibctesting "github.com/cosmos/ibc-go/v11/testing"
)

// SeedEnv is the environment variable that fixes the seed of NewNetwork's random source.
const SeedEnv = "MESH_TEST_SEED"

var genesisTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Network is a number of chains with one clock, the links between them and a relayer.
type Network struct {
	testing.TB

	// Rand is the source of everything random in the network.
	Rand *rand.Rand
	// Seed is what Rand was seeded with.
	Seed int64
	// BlockTime is how far Step moves the clock.
	BlockTime time.Duration
	// Relayer carries packets between the chains.
	Relayer *Relayer
	// SkipInvariants turns the check after every block off.
	SkipInvariants bool

	coord  *ibctesting.Coordinator
	chains []*Chain
	byName map[string]*Chain
	links  []*Link

	pairings []*Pairing
}

// NewNetwork starts one chain for each config. Everything is derived from the seed, which is printed if the test
// fails; the environment variable MESH_TEST_SEED replaces it.
func NewNetwork(tb testing.TB, seed int64, configs ...ChainConfig) *Network {
	tb.Helper()
	if s := os.Getenv(SeedEnv); s != "" {
		var err error
		seed, err = strconv.ParseInt(s, 10, 64)
		require.NoError(tb, err, SeedEnv)
	}
	n := &Network{
		TB:        tb,
		Rand:      rand.New(rand.NewSource(seed)),
		Seed:      seed,
		BlockTime: 5 * time.Second,
		coord:     &ibctesting.Coordinator{CurrentTime: genesisTime, Chains: map[string]*ibctesting.TestChain{}},
		byName:    map[string]*Chain{},
	}
	n.Relayer = newRelayer(n)
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("random source: %s=%d", SeedEnv, seed)
		}
	})
	for _, cfg := range configs {
		c := newChain(n, cfg)
		n.chains = append(n.chains, c)
		n.byName[cfg.Name] = c
		n.coord.Chains[c.ChainID] = c.TestChain
	}
	return n
}

// Chain returns the chain of that name.
func (n *Network) Chain(name string) *Chain {
	n.Helper()
	c, ok := n.byName[name]
	require.True(n, ok, "no chain %q", name)
	return c
}

// Chains returns all chains, in the order of their configs.
func (n *Network) Chains() []*Chain { return n.chains }

// Now returns the time of the next block, before the next Step moves it.
func (n *Network) Now() time.Time { return n.coord.CurrentTime }

// Step moves the clock by BlockTime, lets the relayer work and makes a block on every chain.
func (n *Network) Step() {
	n.Helper()
	n.StepBy(n.BlockTime)
}

// StepBy is Step with another time between blocks.
func (n *Network) StepBy(d time.Duration) {
	n.Helper()
	n.coord.IncrementTimeBy(d)
	for _, c := range n.chains {
		c.ProposedHeader.Time = n.coord.CurrentTime.Add(c.Skew)
	}
	n.Relayer.work()
	for _, c := range n.chains {
		if !c.Halted {
			c.NextBlock()
		}
	}
	n.checkBacking()
}

// Steps makes count steps.
func (n *Network) Steps(count int) {
	n.Helper()
	for range count {
		n.Step()
	}
}

// Advance steps until d has passed, BlockTime at a time.
func (n *Network) Advance(d time.Duration) {
	n.Helper()
	for end := n.Now().Add(d); n.Now().Before(end); {
		n.Step()
	}
}

// AdvanceIn steps until d has passed, in steps of at most step.
func (n *Network) AdvanceIn(d, step time.Duration) {
	n.Helper()
	for end := n.Now().Add(d); n.Now().Before(end); {
		n.StepBy(min(step, end.Sub(n.Now())))
	}
}

// Until steps until cond holds and fails the test if that takes longer than limit.
func (n *Network) Until(what string, limit time.Duration, cond func() bool) {
	n.Helper()
	for end := n.Now().Add(limit); !cond(); n.Step() {
		if n.Now().After(end) {
			require.FailNow(n, "waited in vain", "%s: not within %s", what, limit)
		}
	}
}
