package localnet

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestHandshakeThatStalls: the relayer is started again if its handshake does not begin, or stops halfway, and only then.
func TestHandshakeThatStalls(t *testing.T) {
	const within = 20 * time.Millisecond
	wait := func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	var now atomic.Pointer[progress]
	seen := func(context.Context) (progress, error) { return *now.Load(), nil }
	is := func(begun, open int) { now.Store(&progress{begun, open}) }

	// Never begun, and then begun and stopped, beside a channel from before.
	is(1, 1)
	runs := 0
	err := untilOpen(t.Context(), within, seen, func(ctx context.Context) error {
		switch runs++; runs {
		case 1:
			return wait(ctx)
		case 2:
			is(2, 1)
			return wait(ctx)
		}
		is(3, 2)
		time.Sleep(4 * within) // the other side confirms
		return ctx.Err()
	})
	require.NoError(t, err)
	require.Equal(t, 3, runs)

	runs = 0
	err = untilOpen(t.Context(), within, seen, func(ctx context.Context) error {
		runs++
		return wait(ctx)
	})
	require.ErrorIs(t, err, errStalled)
	require.Equal(t, handshakeAttempts, runs)

	// What goes on is left alone, and so is what cannot be seen; other errors are not tried again.
	failed := errors.New("failed")
	for _, sees := range []func() func(context.Context) (progress, error){
		func() func(context.Context) (progress, error) {
			n := 0
			return func(context.Context) (progress, error) {
				n++
				return progress{begun: n / 4}, nil
			}
		},
		func() func(context.Context) (progress, error) {
			asked := false
			return func(context.Context) (progress, error) {
				if !asked {
					asked = true
					return progress{}, nil
				}
				return progress{}, errors.New("no answer")
			}
		},
	} {
		runs = 0
		err = untilOpen(t.Context(), within, sees(), func(ctx context.Context) error {
			runs++
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(5 * within):
				return failed
			}
		})
		require.ErrorIs(t, err, failed)
		require.Equal(t, 1, runs)
	}

	// Nothing is begun where the chain does not answer at all.
	err = untilOpen(t.Context(), within, func(context.Context) (progress, error) { return progress{}, failed }, wait)
	require.ErrorIs(t, err, failed)
}
