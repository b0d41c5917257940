//go:build unix

package watchtower

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock keeps a second watchtower from using the same state file. It falls with the process.
func lock(path string) (release func() error, err error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s is used by another process: %w", ErrState, path, err), f.Close())
	}
	return f.Close, nil
}
