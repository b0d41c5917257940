package soak

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"

	"github.com/mesh-security/mesh/internal/localnet"
)

var testShape = Shape{Nodes: 4, Skewed: 3}

// take draws the first faults of each lane.
func take(lanes []*Lane, n int) [][]Fault {
	out := make([][]Fault, len(lanes))
	for i, l := range lanes {
		for range n {
			out[i] = append(out[i], l.Next())
		}
	}
	return out
}

func TestScheduleFollowsFromSeed(t *testing.T) {
	for seed := range uint64(50) {
		require.Equal(t, take(NewSchedule(seed, testShape), 30), take(NewSchedule(seed, testShape), 30))
	}
	require.NotEqual(t, take(NewSchedule(1, testShape), 30), take(NewSchedule(2, testShape), 30))
}

func TestScheduleHasEveryKind(t *testing.T) {
	for seed := range uint64(200) {
		seen := map[Kind]bool{}
		clocks := map[int]bool{}
		for _, l := range NewSchedule(seed, testShape) {
			for range l.Required() {
				f := l.Next()
				seen[f.Kind] = true
				if f.Kind == WrongClock {
					clocks[f.Chain] = true
				}
			}
		}
		for _, k := range Kinds {
			require.True(t, seen[k], "seed %d: %s", seed, k)
		}
		require.Len(t, clocks, 2, "seed %d: a wrong clock on each chain", seed)
	}
}

func TestScheduleLeavesOut(t *testing.T) {
	shape := testShape
	shape.Without = map[Kind]bool{CutNode: true, SplitChain: true, CutRelayer: true, FullDisk: true}
	for seed := range uint64(20) {
		seen := map[Kind]bool{}
		for _, faults := range take(NewSchedule(seed, shape), 40) {
			for _, f := range faults {
				seen[f.Kind] = true
			}
		}
		for _, k := range Kinds {
			require.Equal(t, !shape.Without[k], seen[k], "seed %d: %s", seed, k)
		}
	}
}

// What a fault may hit: a chain halts only where it is meant to, the first node keeps all blocks, and a client is never
// without updates for its trusting period.
func TestScheduleKeepsBounds(t *testing.T) {
	for seed := range uint64(100) {
		for _, faults := range take(NewSchedule(seed, testShape), 60) {
			for _, f := range faults {
				require.Positive(t, f.Hold)
				for _, n := range f.Nodes {
					require.Less(t, n, testShape.Nodes)
				}
				switch f.Kind {
				case KillChain:
					require.Len(t, f.Nodes, testShape.Nodes)
				case SplitChain:
					require.Len(t, f.Nodes, testShape.Nodes/2)
				case KillNode, FreezeNode, CutNode:
					require.Len(t, f.Nodes, 1)
				case FullDisk, LoseData:
					require.Len(t, f.Nodes, 1)
					require.NotContains(t, []int{0, testShape.Skewed}, f.Nodes[0])
				case WrongClock:
					require.Equal(t, []int{testShape.Skewed}, f.Nodes)
					require.NotZero(t, f.Skew)
				case AwayRelayer:
					require.Greater(t, f.Hold.Seconds(), 60.0, "longer than a packet lives")
					require.Less(t, f.Hold.Seconds(), 75.0)
				default:
					require.Empty(t, f.Nodes)
				}
			}
		}
	}
}

func TestWhereIsSpelt(t *testing.T) {
	chains := []string{"a", "b"}
	require.Equal(t, "both chains", Fault{Chain: -1}.where(chains))
	require.Equal(t, "b node0+node2", Fault{Chain: 1, Nodes: []int{0, 2}}.where(chains))
	require.Equal(t, "a node3 by -1h0m0s", Fault{Chain: 0, Nodes: []int{3}, Skew: skews[len(skews)-1]}.where(chains))
}

// The topology fits the faults: packets time out while the relayer is away, light clients do not expire, and one validator
// may be away whatever the delegators do.
func TestTopologyFitsTheFaults(t *testing.T) {
	topo, err := localnet.LoadTopology("../../cmd/meshnet/topologies/soak.yaml")
	require.NoError(t, err)
	require.Len(t, topo.Chains, 2)
	require.Len(t, topo.Pairings, 2)
	const longestAway = 70 * time.Second
	for _, c := range topo.Chains {
		require.Equal(t, testShape.Nodes, c.Validators)
		require.Positive(t, c.SnapshotInterval)
		trusting := time.Duration(c.UnbondingTime) * time.Duration(topo.Relayer.TrustingPercent) / 100
		require.Greater(t, trusting, longestAway+youngClient)
		for _, module := range []string{"meshprovider", "meshconsumer"} {
			timeout, err := time.ParseDuration(c.Genesis["app_state."+module+".params.packet_timeout"].(string))
			require.NoError(t, err)
			require.LessOrEqual(t, timeout, time.Minute)
		}
		stake, ok := math.NewIntFromString(c.Stake)
		require.True(t, ok)
		// Native and allied stake of all delegators with one validator, the price being 1.5 at most with 3 % on top.
		native := math.NewInt(mostNative + 1_000_000).MulRaw(int64(len(delegators)))
		allied := native.MulRaw(155).QuoRaw(100)
		one := stake.Add(native).Add(allied)
		all := stake.MulRaw(int64(c.Validators)).Add(native).Add(allied)
		require.True(t, one.MulRaw(3).LT(all), "%s of %s is less than a third", one, all)
	}
}
