package demo

import (
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"

	"github.com/mesh-security/mesh/internal/localnet"
)

func demoWorld(t *testing.T) *world {
	t.Helper()
	topo, err := localnet.LoadTopology("../../cmd/meshnet/topologies/demo.yaml")
	require.NoError(t, err)
	w, err := newWorld(topo)
	require.NoError(t, err)
	for _, dir := range w.everyDirection() {
		dir.terms, err = newTerms(dir.spec, dir.provider.decimals, dir.consumer.decimals, math.LegacyNewDecWithPrec(33, 2), math.LegacyNewDec(3))
		require.NoError(t, err)
	}
	return w
}

// stakeThird is what the step "third chain" does to the ledger.
func stakeThird(w *world) {
	for _, dir := range w.thirds {
		for _, who := range dir.provider.delegators {
			for v, whole := range who.again {
				who.onThird[v] = dir.provider.base(whole)
			}
		}
	}
}

func TestNewWorld(t *testing.T) {
	w := demoWorld(t)
	require.Equal(t, "juno-local", w.third.id)
	require.Equal(t, w.third, w.chain("juno-local"))
	require.Nil(t, w.chain("other"))
	require.Len(t, w.everyChain(), 3)
	require.Len(t, w.everyDirection(), 4)
	require.Equal(t, w.directions[0], w.from(w.chains[0]), "the third chain provides to nobody and is not asked")
	require.Equal(t, w.directions[1], w.to(w.chains[0]))
	for _, c := range w.chains {
		for _, who := range c.delegators {
			require.False(t, who.leaves && len(who.again) > 0, "%s leaves everything: it must not be bound elsewhere", who.name)
			require.LessOrEqual(t, len(who.again), 1, "its rewards are those of one validator")
		}
	}

	topo, err := localnet.LoadTopology("../../cmd/meshnet/topologies/demo.yaml")
	require.NoError(t, err)
	topo.Pairings[2], topo.Pairings[3] = topo.Pairings[3], topo.Pairings[2]
	_, err = newWorld(topo)
	require.ErrorContains(t, err, "in this order")
	topo.Pairings = topo.Pairings[:3]
	_, err = newWorld(topo)
	require.ErrorContains(t, err, "3 chains and 3 pairings")
}

func TestThirdAllied(t *testing.T) {
	w := demoWorld(t)
	stakeThird(w)
	allied, err := w.thirds[0].thirdAllied()
	require.NoError(t, err)
	require.Equal(t, []string{"0", "18000000"}, spell(allied), "40 OSMO at 0.5, less a tenth")
	allied, err = w.thirds[1].thirdAllied()
	require.NoError(t, err)
	require.Equal(t, []string{"5000000", "5000000"}, spell(allied))

	half := w.thirds[0].half()
	require.Equal(t, "0.250000000000000000", half.String())
	allied, err = w.thirds[0].thirdAllied()
	require.NoError(t, err)
	require.Equal(t, []string{"0", "9000000"}, spell(allied))

	w.thirds[0].provider.delegators[1].onThird[0] = math.NewInt(1_000_000_000)
	_, err = w.thirds[0].thirdAllied()
	require.ErrorContains(t, err, "at most", "the ledger does not cut: it must not come to that")
	w.thirds[0].terms.maxCap = math.ZeroInt()
	allied, err = w.thirds[0].thirdAllied()
	require.NoError(t, err)
	require.Equal(t, []string{"0", "0"}, spell(allied))
}

// The question must be decided one way with allied votes and the other way without.
func TestCounted(t *testing.T) {
	w := demoWorld(t)
	stakeThird(w)
	d := &demo{world: w}
	of := func(weight string) func(*direction) math.LegacyDec {
		return func(dir *direction) math.LegacyDec {
			if dir == w.thirds[0] {
				return math.LegacyMustNewDecFromStr(weight)
			}
			return dir.weight
		}
	}
	for _, tc := range []struct {
		weight, yes, no string
		passes          bool
	}{
		{"1", "60000000", "68000000", false},
		{"0.5", "60000000", "59000000", true},
		{"0", "60000000", "50000000", true},
	} {
		got, err := d.counted(of(tc.weight))
		require.NoError(t, err)
		require.Equal(t, tc.yes, got.yes.String())
		require.Equal(t, tc.no, got.no.String())
		require.Equal(t, got.yes.Add(got.no), got.total)
		require.Equal(t, tc.passes, got.passes())
	}
	full, err := d.counted(func(*direction) math.LegacyDec { return math.LegacyOneDec() })
	require.NoError(t, err)
	require.False(t, full.passes())
	require.Equal(t, "138000000", full.total.String())
}
