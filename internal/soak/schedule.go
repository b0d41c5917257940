package soak

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Shape is what a schedule is made for: two chains of so many nodes each.
type Shape struct {
	Nodes int
	// Skewed is the index of the validator with a clock of its own.
	Skewed int
	// Without are kinds that this machine cannot make.
	Without map[Kind]bool
}

// Lane is a sequence of faults, one after the other. Lanes run at the same
// time, so faults of different lanes overlap; those that must not are in one.
type Lane struct {
	Name string
	// first are the kinds that come once each before any comes again.
	first []Kind
	// then are drawn from after that.
	then  []Kind
	draw  func(rng *rand.Rand, kind Kind) Fault
	rng   *rand.Rand
	drawn int
}

// Required is how many faults the lane makes whatever the time.
func (l *Lane) Required() int { return len(l.first) }

// Next is the lane's next fault. Which one depends on the seed alone.
func (l *Lane) Next() Fault {
	var kind Kind
	if l.drawn < len(l.first) {
		kind = l.first[l.drawn]
	} else {
		kind = l.then[l.rng.IntN(len(l.then))]
	}
	l.drawn++
	return l.draw(l.rng, kind)
}

// What of a chain's faults takes long comes once on each chain's lane.
var (
	lengthyKinds = []Kind{FullDisk, LoseData}
	briefKinds   = []Kind{KillNode, KillChain, FreezeNode, CutNode, SplitChain}
	relayerKinds = []Kind{KillRelayer, CutRelayer, TwoRelayers}
)

// NewSchedule makes the lanes of a seed: one for the nodes of each chain, one for
// clocks, one for the relayers, one for floods. The first faults of all
// lanes together have every kind that can be made.
func NewSchedule(seed uint64, shape Shape) []*Lane {
	deal := rand.New(rand.NewPCG(seed, 0))
	usable := func(kinds []Kind) []Kind {
		return slices.DeleteFunc(slices.Clone(kinds), func(k Kind) bool { return shape.Without[k] })
	}
	shuffled := func(kinds []Kind) []Kind {
		kinds = usable(kinds)
		deal.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		return kinds
	}
	perChain := make([][]Kind, 2)
	side := deal.IntN(2)
	for _, kind := range append(shuffled(lengthyKinds), shuffled(briefKinds)...) {
		perChain[side] = append(perChain[side], kind)
		side = 1 - side
	}
	var lanes []*Lane
	add := func(name string, first, then []Kind, draw func(*rand.Rand, Kind) Fault) {
		if len(first) == 0 {
			return
		}
		rng := rand.New(rand.NewPCG(seed, uint64(len(lanes)+1)))
		lanes = append(lanes, &Lane{Name: name, first: first, then: then, draw: draw, rng: rng})
	}
	for chain, name := range []string{"nodes of the first chain", "nodes of the second chain"} {
		kinds := perChain[chain]
		slices.SortStableFunc(kinds, func(a, b Kind) int { return turn(a) - turn(b) })
		add(name, kinds, usable(append(slices.Clone(lengthyKinds), briefKinds...)), shape.nodeFault(chain))
	}
	clocks := deal.IntN(2)
	add("clocks", []Kind{WrongClock, WrongClock}, []Kind{WrongClock}, func(rng *rand.Rand, kind Kind) Fault {
		clocks = 1 - clocks
		return Fault{
			Kind: kind, Chain: clocks, Nodes: []int{shape.Skewed},
			Hold: between(rng, 15, 30), Skew: skews[rng.IntN(len(skews))],
		}
	})
	add("relayers", append([]Kind{AwayRelayer}, shuffled(relayerKinds)...), append(usable(relayerKinds), AwayRelayer), func(rng *rand.Rand, kind Kind) Fault {
		f := Fault{Kind: kind, Chain: -1}
		switch kind {
		case AwayRelayer:
			f.Hold = between(rng, 64, 70)
		case CutRelayer:
			f.Chain, f.Hold = rng.IntN(2), between(rng, 8, 15)
		case TwoRelayers: // the second takes some seconds to begin
			f.Hold = between(rng, 20, 28)
		default:
			f.Hold = between(rng, 2, 6)
		}
		return f
	})
	add("floods", []Kind{StaleFlood}, []Kind{StaleFlood}, func(rng *rand.Rand, kind Kind) Fault {
		return Fault{Kind: kind, Chain: -1, Hold: between(rng, 15, 25)}
	})
	return lanes
}

// skews are how wrong clocks can be, from little to far beyond everything.
var skews = []time.Duration{
	2 * time.Second, -2 * time.Second, 10 * time.Second, -10 * time.Second,
	time.Minute, -time.Minute, 10 * time.Minute, -10 * time.Minute, time.Hour, -time.Hour,
}

// turn says when a kind's turn is in a lane of nodes. There must be snapshots before data are lost; and a chain halts
// only while the relayer is there, which is away for the longest at the beginning.
func turn(k Kind) int {
	switch k {
	case FullDisk, LoseData:
		return 1
	case KillChain, SplitChain:
		return 2
	default:
		return 0
	}
}

// nodeFault draws a fault of a chain's nodes. The first node keeps all blocks,
// so its data is never lost; the one with the clock keeps its disk.
func (s Shape) nodeFault(chain int) func(*rand.Rand, Kind) Fault {
	return func(rng *rand.Rand, kind Kind) Fault {
		f := Fault{Kind: kind, Chain: chain, Hold: between(rng, 6, 14)}
		switch kind {
		case KillChain:
			f.Nodes, f.Hold = upTo(s.Nodes), between(rng, 3, 8)
		case SplitChain:
			f.Nodes = rng.Perm(s.Nodes)[:s.Nodes/2]
			slices.Sort(f.Nodes)
		case FullDisk, LoseData:
			for f.Nodes == nil || f.Nodes[0] == s.Skewed {
				f.Nodes = []int{1 + rng.IntN(s.Nodes-1)}
			}
			f.Hold = between(rng, 1, 4)
		default:
			f.Nodes = []int{rng.IntN(s.Nodes)}
		}
		return f
	}
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// between draws a number of seconds.
func between(rng *rand.Rand, low, high int) time.Duration {
	return time.Duration(low+rng.IntN(high-low+1)) * time.Second
}
