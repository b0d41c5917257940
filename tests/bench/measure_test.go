package bench_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"cosmossdk.io/core/appmodule"

	"github.com/cosmos/cosmos-sdk/store/v2/gaskv"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
)

// contest compares what is benchmarked with a yardstick in the same run. Both are measured in turns, so that whatever
// else the machine does falls on both alike.
type contest struct {
	// ours and base run once and return the time that counts.
	ours, base func() time.Duration
	// turn is how often one side runs before the other does.
	turn int
	// limit is the highest ratio allowed; 0 means none.
	limit float64
}

// result is what a contest found: the mean time of a run of each side, and the median over all turns of their ratio.
type result struct {
	ours, base time.Duration
	ratio      float64
}

// minTurns is how many turns there are at least: a median of few says little.
const minTurns = 9

// run runs the contest for as long as the benchmark wants; only our side's runs are on its clock.
func (t contest) run(b *testing.B) result {
	b.Helper()
	var (
		ours, base time.Duration
		ratios     []float64
	)
	turn := func() {
		var o, y time.Duration
		for range t.turn {
			o += t.ours()
		}
		b.StopTimer()
		for range t.turn {
			y += t.base()
		}
		b.StartTimer()
		ours, base = ours+o, base+y
		ratios = append(ratios, float64(o)/float64(y))
	}
	for b.Loop() {
		turn()
	}
	for len(ratios) < minTurns {
		turn()
	}
	runs := time.Duration(len(ratios) * t.turn)
	r := result{ours: ours / runs, base: base / runs, ratio: median(ratios)}
	b.ReportMetric(float64(r.ours), "ns/op")
	b.ReportMetric(float64(r.base), "base-ns/op")
	b.ReportMetric(r.ratio, "ratio")
	limit(b, "ratio", r.ratio, t.limit)
	return r
}

// exceeded are the limits that were exceeded. A benchmark that fails prints no numbers, so TestMain fails in the end.
var exceeded []string

// limit notes if a value is above its limit; 0 means none.
func limit(b *testing.B, what string, value, most float64) {
	b.Helper()
	if most > 0 && value > most {
		exceeded = append(exceeded, fmt.Sprintf("%s: %s is %.3f, at most %g is allowed", b.Name(), what, value, most))
	}
}

// TestMain exits with an error if a limit was exceeded.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, line := range exceeded {
		fmt.Println("--- LIMIT:", line)
		code = 1
	}
	os.Exit(code)
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	n := len(x)
	if n%2 == 1 {
		return x[n/2]
	}
	return (x[n/2-1] + x[n/2]) / 2
}

// moduleTimer measures what one module's BeginBlock and EndBlock take.
type moduleTimer struct {
	module any
	// took is the time since it was last reset.
	took time.Duration
	// instead, if set, runs in place of EndBlock, and is measured so.
	instead func(sdk.Context)
}

var (
	_ appmodule.HasBeginBlocker = (*moduleTimer)(nil)
	_ appmodule.HasEndBlocker   = (*moduleTimer)(nil)
)

// IsOnePerModuleType implements depinject.OnePerModuleType.
func (*moduleTimer) IsOnePerModuleType() {}

// IsAppModule implements appmodule.AppModule.
func (*moduleTimer) IsAppModule() {}

// BeginBlock implements appmodule.HasBeginBlocker.
func (t *moduleTimer) BeginBlock(ctx context.Context) error {
	m, ok := t.module.(appmodule.HasBeginBlocker)
	if !ok || t.instead != nil {
		return nil
	}
	start := time.Now()
	err := m.BeginBlock(ctx)
	t.took += time.Since(start)
	return err
}

// EndBlock implements appmodule.HasEndBlocker.
func (t *moduleTimer) EndBlock(ctx context.Context) error {
	start := time.Now()
	defer func() { t.took += time.Since(start) }()
	if t.instead != nil {
		t.instead(sdk.UnwrapSDKContext(ctx))
		return nil
	}
	if m, ok := t.module.(appmodule.HasEndBlocker); ok {
		return m.EndBlock(ctx)
	}
	return nil
}

// reset returns the time measured and starts anew.
func (t *moduleTimer) reset() time.Duration {
	took := t.took
	t.took = 0
	return took
}

// timer puts a timer around a module's part of a block.
func (c *chain) timer(name string) *moduleTimer {
	c.Helper()
	t, ok := c.timers[name]
	if !ok {
		module, found := c.app.ModuleManager.Modules[name]
		if !found {
			c.Fatalf("no module %s", name)
		}
		t = &moduleTimer{module: module}
		c.timers[name] = t
		c.app.ModuleManager.Modules[name] = t
	}
	return t
}

// metered is a multistore that counts the gas of every access, whichever gas meter the access goes through: in
// BeginBlock and EndBlock modules use meters of their own.
type metered struct {
	branch
	meter storetypes.GasMeter
}

type branch = storetypes.CacheMultiStore

// CacheMultiStore implements storetypes.MultiStore.
func (m metered) CacheMultiStore() storetypes.CacheMultiStore {
	return metered{m.branch.CacheMultiStore(), m.meter}
}

// GetKVStore implements storetypes.MultiStore.
func (m metered) GetKVStore(key storetypes.StoreKey) storetypes.KVStore {
	return gaskv.NewStore(m.branch.GetKVStore(key), m.meter, storetypes.KVGasConfig())
}

// gasOf returns the gas of all that f does to the stores. What it writes is lost.
func (c *chain) gasOf(ctx sdk.Context, f func(sdk.Context)) uint64 {
	c.Helper()
	meter := storetypes.NewInfiniteGasMeter()
	f(ctx.WithMultiStore(metered{ctx.MultiStore().CacheMultiStore(), meter}))
	return meter.GasConsumed()
}
