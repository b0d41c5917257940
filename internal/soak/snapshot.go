package soak

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mesh-security/mesh/internal/localnet"
)

// loseData takes a node's data directory away; it begins again from a snapshot of
// the others. Only what it has signed is kept, as an operator must.
func (n *node) loseData() action {
	return action{
		inject: func(context.Context) error {
			n.aside()
			if err := n.Kill(); err != nil {
				return err
			}
			return n.wipe()
		},
		heal: func(context.Context) error { return nil }, // beginning again is the recovery
		recovered: func(ctx context.Context) (string, error) {
			seen, err := n.fromSnapshot(ctx)
			if err != nil {
				return "", err
			}
			n.back()
			return seen, nil
		},
	}
}

// wipe empties the data directory of a node that does not run, but for what it has signed.
func (n *node) wipe() error {
	state, err := os.ReadFile(signingState(n.Node))
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(n.DataDir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(n.DataDir(), e.Name())); err != nil {
			return err
		}
	}
	return os.WriteFile(signingState(n.Node), state, 0o600) //nolint:gosec // below the network's directory
}

// fromSnapshot starts a node without data: state sync from the others, and the
// same state as theirs in the end.
func (n *node) fromSnapshot(ctx context.Context) (string, error) {
	c := n.chain
	var servers []string
	for _, other := range c.nodes {
		if other != n {
			servers = append(servers, other.RPCAddress())
		}
	}
	head, err := c.Height(ctx)
	if err != nil {
		return "", err
	}
	trust := head - 2
	commit, err := c.RPC().Commit(ctx, &trust)
	if err != nil {
		return "", err
	}
	for _, s := range []struct {
		key   string
		value any
	}{
		{"enable", true},
		{"rpc_servers", strings.Join(servers, ",")},
		{"trust_height", int(trust)},
		{"trust_hash", commit.Header.Hash().String()},
		{"trust_period", "168h0m0s"},
		{"discovery_time", "5s"},
	} {
		if err := n.Configure("config.toml", "statesync", s.key, s.value); err != nil {
			return "", err
		}
	}
	began := time.Now()
	if err := n.Start(); err != nil {
		return "", err
	}
	if err := n.WaitReady(ctx, head, recovery); err != nil {
		return "", err
	}
	took := time.Since(began)
	if err := n.Configure("config.toml", "statesync", "enable", false); err != nil {
		return "", err
	}
	status, err := n.RPC().Status(ctx)
	if err != nil {
		return "", err
	}
	first, latest := status.SyncInfo.EarliestBlockHeight, status.SyncInfo.LatestBlockHeight
	if first <= 1 {
		return "", fmt.Errorf("%s has blocks from %d on: it did not begin from a snapshot", n.name(), first)
	}
	if err := c.sameState(ctx, n, latest); err != nil {
		return "", err
	}
	return fmt.Sprintf("state sync to %d in %.0fs, same app hash", first, took.Seconds()), nil
}

// sameState compares a node's state after a block with what the chain says of it.
func (c *chain) sameState(ctx context.Context, n *node, height int64) error {
	return localnet.WaitFor(ctx, fmt.Sprintf("block %d of %s on two nodes", height, c.ID), recovery, func(ctx context.Context) (bool, string, error) {
		own, err := n.RPC().Header(ctx, &height)
		if err != nil {
			return false, "", err
		}
		others, err := c.RPC().Header(ctx, &height)
		if err != nil {
			return false, "", err
		}
		if !bytes.Equal(own.Header.AppHash, others.Header.AppHash) {
			return false, "", fmt.Errorf("%w%s: app hash %X at %d, others have %X", localnet.ErrGiveUp, n.name(), own.Header.AppHash, height, others.Header.AppHash)
		}
		return true, "", nil
	})
}
