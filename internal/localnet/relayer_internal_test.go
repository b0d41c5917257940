package localnet

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestHandshakeThatNeverBegins: the relayer is started again if it has begun nothing, and only then.
func TestHandshakeThatNeverBegins(t *testing.T) {
	wait := func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	begun := func(is bool, err error) func(context.Context) (bool, error) {
		return func(context.Context) (bool, error) { return is, err }
	}

	runs := 0
	err := untilBegun(t.Context(), time.Millisecond, begun(false, nil), func(ctx context.Context) error {
		if runs++; runs < 3 {
			return wait(ctx)
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 3, runs)

	runs = 0
	err = untilBegun(t.Context(), time.Millisecond, begun(false, nil), func(ctx context.Context) error {
		runs++
		return wait(ctx)
	})
	require.ErrorIs(t, err, errNotBegun)
	require.Equal(t, beginAttempts, runs)

	// What has begun, or may have, is left alone; other errors are not tried again.
	failed := errors.New("failed")
	for _, asked := range []func(context.Context) (bool, error){begun(true, nil), begun(false, errors.New("no answer"))} {
		runs = 0
		err = untilBegun(t.Context(), time.Millisecond, asked, func(ctx context.Context) error {
			runs++
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(50 * time.Millisecond):
				return failed
			}
		})
		require.ErrorIs(t, err, failed)
		require.Equal(t, 1, runs)
	}
}
