package bench_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"cosmossdk.io/core/appmodule"

	"github.com/cosmos/cosmos-sdk/store/v2/gaskv"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
)

// span is how long something took: on the wall clock, and on a CPU.
type span struct{ wall, cpu time.Duration }

func (s span) add(t span) span { return span{s.wall + t.wall, s.cpu + t.cpu} }

func (s span) div(n int) span { return span{s.wall / time.Duration(n), s.cpu / time.Duration(n)} }

// spanOf measures f, which stays on its goroutine: the time that the garbage collector and others have is not in cpu.
func spanOf(f func()) span { return spanBy(clockThread, f) }

// spanOfAll measures f with all the goroutines that it and the garbage collector use.
func spanOfAll(f func()) span { return spanBy(clockProcess, f) }

func spanBy(clock uintptr, f func()) span {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu, wall := cpuTime(clock), time.Now()
	f()
	return span{wall: time.Since(wall), cpu: cpuTime(clock) - cpu}
}

// side is one of the two that a contest compares.
type side struct {
	// prepare and after, if set, run before and after a turn and do not count.
	prepare, after func()
	// run runs once and returns the time that counts.
	run func() span

	runs          int
	total         span
	bytes, allocs uint64
	// wall and cpu are the times of the turns.
	wall, cpu []float64
}

// turn runs the side so many times. As in package testing before a benchmark, earlier garbage is collected first.
func (s *side) turn(times int) {
	if s.prepare != nil {
		s.prepare()
	}
	var (
		before, after runtime.MemStats
		sum           span
	)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range times {
		sum = sum.add(s.run())
	}
	runtime.ReadMemStats(&after)
	if s.after != nil {
		s.after()
	}
	s.runs += times
	s.total = s.total.add(sum)
	s.bytes += after.TotalAlloc - before.TotalAlloc
	s.allocs += after.Mallocs - before.Mallocs
	s.wall, s.cpu = append(s.wall, float64(sum.wall)), append(s.cpu, float64(sum.cpu))
}

// contest compares what is benchmarked with a yardstick in the same run. Both are measured in turns, so that whatever
// else the machine does falls on both alike.
type contest struct {
	ours, base side
	// turn is how often a side runs before the other does.
	turn int
	// limit is the highest ratio allowed; 0 means none.
	limit float64
}

// minTurns is how many turns there are at least.
const minTurns = 12

// run runs the contest for as long as the benchmark wants. It reports the mean time of a run of each side on the wall
// clock (ns/op), and two ratios of a turn that is faster than three quarters of them, because whatever else the machine
// does only ever makes turns slower: one in CPU time (ratio), which the limit is for, and one on the wall clock.
func (t contest) run(b *testing.B) {
	b.Helper()
	turn := func() {
		t.ours.turn(t.turn)
		t.base.turn(t.turn)
	}
	for b.Loop() {
		turn()
	}
	for len(t.ours.cpu) < minTurns {
		turn()
	}
	b.ReportMetric(float64(t.ours.total.div(t.ours.runs).wall), "ns/op")
	b.ReportMetric(float64(t.ours.bytes)/float64(t.ours.runs), "B/op")
	b.ReportMetric(float64(t.ours.allocs)/float64(t.ours.runs), "allocs/op")
	b.ReportMetric(float64(t.base.total.div(t.base.runs).wall), "base-ns/op")
	ratio := quartile(t.ours.cpu) / quartile(t.base.cpu)
	b.ReportMetric(ratio, "ratio")
	b.ReportMetric(quartile(t.ours.wall)/quartile(t.base.wall), "wall-ratio")
	limit(b, "ratio", ratio, t.limit)
}

// quartile returns the value that a quarter of x is below.
func quartile(x []float64) float64 {
	return slices.Sorted(slices.Values(x))[len(x)/4]
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

// moduleTimer measures what one module's BeginBlock and EndBlock take.
type moduleTimer struct {
	module any
	// took is the time since it was last reset.
	took span
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
func (t *moduleTimer) BeginBlock(ctx context.Context) (err error) {
	if m, ok := t.module.(appmodule.HasBeginBlocker); ok && t.instead == nil {
		t.took = t.took.add(spanOf(func() { err = m.BeginBlock(ctx) }))
	}
	return err
}

// EndBlock implements appmodule.HasEndBlocker.
func (t *moduleTimer) EndBlock(ctx context.Context) (err error) {
	t.took = t.took.add(spanOf(func() {
		if t.instead != nil {
			t.instead(sdk.UnwrapSDKContext(ctx))
		} else if m, ok := t.module.(appmodule.HasEndBlocker); ok {
			err = m.EndBlock(ctx)
		}
	}))
	return err
}

// reset returns the time measured and starts anew.
func (t *moduleTimer) reset() span {
	took := t.took
	t.took = span{}
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
