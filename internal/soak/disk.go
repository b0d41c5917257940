package soak

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mesh-security/mesh/internal/localnet"
)

const (
	// diskRoom is what a node has left on its small disk before it is filled.
	diskRoom = 24 << 20
	// diskAfter is what it has left when the disk has been emptied.
	diskAfter = 1 << 30
	// diskDeath is how long a node may go on with a full disk.
	diskDeath = 45 * time.Second
	// diskRestart is how long a node gets to come back with what is on the disk.
	diskRestart = 90 * time.Second
)

// logPart is a part of a log, in bytes.
type logPart struct{ from, to int64 }

// fullDisk puts a node's data on a small disk and fills it.
func (n *node) fullDisk() action {
	var before, from int64
	filler := filepath.Join(n.DataDir(), "filler")
	return action{
		inject: func(ctx context.Context) error {
			n.aside()
			var err error
			if before, err = n.chain.Height(ctx); err != nil {
				return err
			}
			if err := n.Stop(); err != nil {
				return err
			}
			if err := n.smallDisk(); err != nil {
				return err
			}
			if err := n.Start(); err != nil {
				return err
			}
			if err := n.WaitReady(ctx, before, recovery); err != nil {
				return err
			}
			from = fileSize(n.Log)
			return fill(filler)
		},
		observe: func(ctx context.Context) (string, error) { return n.dies(ctx) },
		heal: func(context.Context) error {
			err := errors.Join(n.Kill(), ignoreMissing(os.Remove(filler)))
			n.mu.Lock()
			n.damaged = append(n.damaged, logPart{from, fileSize(n.Log)})
			n.mu.Unlock()
			used, sizeErr := dirSize(n.DataDir())
			if err := errors.Join(err, sizeErr); err != nil {
				return err
			}
			return errors.Join(n.ResizeData(used+diskAfter), n.Start())
		},
		recovered: func(ctx context.Context) (string, error) {
			seen := "came back by itself"
			began := fileSize(n.Log)
			if err := n.WaitReady(ctx, before+2, diskRestart); err != nil {
				if ctx.Err() != nil {
					return "", err
				}
				// An operator would do the same: the databases are beyond repair.
				if err := n.Kill(); err != nil {
					return "", err
				}
				n.mu.Lock()
				n.damaged = append(n.damaged, logPart{began, fileSize(n.Log)})
				n.mu.Unlock()
				if err := n.wipe(); err != nil {
					return "", err
				}
				anew, err := n.fromSnapshot(ctx)
				if err != nil {
					return "", err
				}
				seen = "data were damaged; " + anew
			}
			n.back()
			return seen, nil
		},
	}
}

// smallDisk leaves the node, which does not run, little room.
func (n *node) smallDisk() error {
	used, err := dirSize(n.DataDir())
	if err != nil {
		return err
	}
	if n.DataMounted() {
		return n.ResizeData(used + diskRoom)
	}
	return n.MountData(used + diskRoom)
}

// dies waits for a node on a full disk to die, or to make no more blocks.
func (n *node) dies(ctx context.Context) (string, error) {
	began := time.Now()
	var height int64
	changed := began
	seen := ""
	err := localnet.WaitFor(ctx, n.name()+" to notice that its disk is full", diskDeath, func(ctx context.Context) (bool, string, error) {
		if !n.Running() {
			seen = fmt.Sprintf("died %.0fs after its disk was full", time.Since(began).Seconds())
			return true, "", nil
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		status, err := n.RPC().Status(ctx)
		if err == nil && status.SyncInfo.LatestBlockHeight != height {
			height, changed = status.SyncInfo.LatestBlockHeight, time.Now()
		}
		if time.Since(changed) > 12*time.Second {
			seen = fmt.Sprintf("stopped at %d with its disk full", height)
			return true, "", nil
		}
		return false, fmt.Sprintf("height %d", height), nil
	})
	return seen, err
}

// fill writes a file until the disk has no byte left.
func fill(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	for size := 1 << 20; size > 0; {
		_, err := file.Write(make([]byte, size))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			return err
		}
	}
	return nil
}

func dirSize(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return ignoreMissing(err) // databases delete files while they are counted
		}
		info, err := e.Info()
		if err != nil {
			return ignoreMissing(err)
		}
		sum += (info.Size() + 4095) &^ 4095
		return nil
	})
	return sum, err
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
