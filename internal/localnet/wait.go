package localnet

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const pollInterval = 200 * time.Millisecond

// ErrGiveUp wraps an error that waiting longer cannot mend; WaitFor returns at
// once.
var ErrGiveUp = errors.New("")

// WaitFor polls until check says done. Errors of check count as "not yet",
// unless they wrap ErrGiveUp. After the timeout it returns ErrTimeout with what
// was waited for and what was seen last: the seen string, or the error.
func WaitFor(ctx context.Context, what string, timeout time.Duration, check func(context.Context) (done bool, seen string, err error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, ErrTimeout)
	defer cancel()
	last := "nothing"
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		done, seen, err := check(ctx)
		switch {
		case errors.Is(err, ErrGiveUp):
			return fmt.Errorf("waiting for %s: %w", what, err)
		case err != nil && ctx.Err() == nil:
			last = err.Error()
		case done && err == nil:
			return nil
		case seen != "":
			last = seen
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); errors.Is(cause, ErrTimeout) {
				return fmt.Errorf("%w after %s waiting for %s; last seen: %s", ErrTimeout, timeout, what, last)
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
}
