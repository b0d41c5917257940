package model_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// longUnbonding is the unbonding period of chains that may need a day to agree: their clients live longer than that.
const longUnbonding = 21 * 24 * time.Hour

// TestRandomHistoriesThatChangeVersion: while delegators stake and unstake and packets are lost, governance of each side, when
// it pleases, gives up the channel for IBC v2 and that for a channel again. What was in flight is lost, and what one side
// sends before the other has followed is refused; all of it is sent again within a day (ADR 008). Invariants hold after
// every block, and in the end both sides agree.
func TestRandomHistoriesThatChangeVersion(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newVersionWorld(t, rt)
		p := w.pairings[0]
		actions := map[string]func(*rapid.T){
			"stake": w.crossStake, "stake more": w.crossStake, "unstake": w.crossUnstake, "redelegate": w.crossRedelegate,
			"network": w.network, "version": func(rt *rapid.T) { w.changeVersion(rt, p) },
		}
		names := slices.Sorted(maps.Keys(actions))
		for range rapid.IntRange(4, 10).Draw(rt, "actions") {
			actions[rapid.SampledFrom(names).Draw(rt, "action")](rt)
			w.n.Steps(rapid.IntRange(0, 3).Draw(rt, "blocks"))
		}
		w.changeVersion(rt, p)
		w.n.Relayer.Policy = meshtest.Perfect
		w.n.Step()
		w.n.BlockTime = 2 * time.Hour
		p.WaitConverged(48 * time.Hour)
	})
}

// newVersionWorld is a provider and a consumer that have IBC v2 as well, and use either.
func newVersionWorld(t *testing.T, rt *rapid.T) *world {
	t.Helper()
	genesis := func(g *meshtest.Genesis) {
		// Packets live for some of the blocks at the end.
		g.ConsumerParams(func(p *consumertypes.Params) {
			p.MaxProviderSilence, p.PacketTimeout = 5*24*time.Hour, 10*time.Hour
		})
		g.ProviderParams(func(p *providertypes.Params) { p.PacketTimeout = 10 * time.Hour })
	}
	n := meshtest.NewNetwork(tb{t, rt}, rapid.Int64().Draw(rt, "seed"),
		meshtest.ChainConfig{Name: "prov", Unbonding: longUnbonding, Genesis: genesis},
		meshtest.ChainConfig{Name: "cons", Unbonding: longUnbonding, Genesis: genesis},
	)
	n.Relayer.Shuffle = true
	w := &world{n: n, prov: n.Chain("prov")}
	p := n.NewPairing(n.Connect(w.prov, n.Chain("cons")), w.prov, n.Chain("cons"))
	p.Link().RegisterCounterparties()
	if rapid.Bool().Draw(rt, "IBC v2") {
		p.UseV2()
	}
	p.SetUp()
	w.pairings = append(w.pairings, p)
	return w
}

// changeVersion changes the version of IBC on both sides, one some blocks after the other, while the old way may still be
// open on the other side.
func (w *world) changeVersion(rt *rapid.T, p *meshtest.Pairing) {
	toV2 := !p.ConsumerConfig.UsesV2()
	onProvider := func() {
		p.RetireOnProvider()
		if toV2 {
			w.n.Steps(rapid.IntRange(0, 2).Draw(rt, "blocks without"))
			p.UpdateConsumer(func(*providertypes.ConsumerConfig) {})
		}
	}
	onConsumer := func() {
		p.RetireOnConsumer()
		if toV2 {
			w.n.Steps(rapid.IntRange(0, 2).Draw(rt, "blocks without"))
			p.UpdateProvider(func(*consumertypes.ProviderConfig) {})
		}
	}
	if toV2 {
		p.UseV2()
	} else {
		p.UseV1()
	}
	first, second := onProvider, onConsumer
	if rapid.Bool().Draw(rt, "consumer first") {
		first, second = onConsumer, onProvider
	}
	first()
	w.n.Steps(rapid.IntRange(0, 6).Draw(rt, "blocks between"))
	second()
	if !toV2 {
		w.n.Steps(2)
		require.NoError(w.n, p.OpenChannel())
	}
	w.n.Step()
}
