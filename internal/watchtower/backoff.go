package watchtower

import "time"

// backoff doubles from first with each failure after the first one, up to most.
func backoff(first, most time.Duration, failures int) time.Duration {
	d := first
	for i := 1; i < failures && d < most; i++ {
		d *= 2
	}
	return min(d, most)
}
