// Package fuzztest has what fuzz targets check beside their own properties.
package fuzztest

import (
	"runtime"
	"testing"
)

// Allocates runs fn on an input of so many bytes, and fails unless it allocates at most constant + factor·size bytes: an
// input must not cost memory out of proportion to what its sender paid for. What fn allocates counts although it is freed
// again, and so does what other goroutines allocate meanwhile.
func Allocates(tb testing.TB, size int, constant, factor uint64, fn func()) {
	tb.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	if used, most := after.TotalAlloc-before.TotalAlloc, constant+factor*uint64(size); used > most {
		tb.Errorf("%d bytes of input made it allocate %d, at most %d are in proportion", size, used, most)
	}
}
