package watchtower

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sort"

	cmttypes "github.com/cometbft/cometbft/types"
)

// compare looks whether the chain's full nodes have the same headers. Each is compared with the one that is furthest, at
// the highest height both have: headers contain their predecessor's hash, so a fork shows at every later height.
func (f *follower) compare(ctx context.Context, up []nodeStatus) error {
	furthest := up[0]
	for _, at := range up[1:] {
		if at.latest > furthest.latest {
			furthest = at
		}
	}
	var (
		errs     []error
		compared int
		conflict bool
	)
	for _, at := range up {
		pair := [2]string{furthest.name, at.name}
		if at.node == furthest.node || at.latest < furthest.earliest {
			continue
		}
		if at.latest <= f.agreed[pair] {
			compared++
			continue
		}
		same, err := f.same(ctx, furthest, at, at.latest)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		compared++
		if same {
			f.agreed[pair] = at.latest
			continue
		}
		conflict = true
		f.compareAfter = f.now().Add(conflictPause)
		if err := f.conflict(ctx, furthest, at, f.agreed[pair], at.latest); err != nil {
			errs = append(errs, err)
		}
	}
	switch gauge := f.metrics.conflict.WithLabelValues(f.cfg.ChainID); {
	case conflict:
		gauge.Set(1)
	case compared > 0:
		gauge.Set(0)
	}
	return errors.Join(errs...)
}

// same reports whether two nodes have the same header at a height.
func (f *follower) same(ctx context.Context, a, b nodeStatus, height int64) (bool, error) {
	var hashes [2][]byte
	for i, of := range []nodeStatus{a, b} {
		header, err := of.signedHeader(ctx, f.cfg.ChainID, height)
		if err != nil {
			f.nodes.failed(of.node, err)
			return false, fmt.Errorf("%s: %w", of.name, err)
		}
		hashes[i] = header.Hash()
	}
	return bytes.Equal(hashes[0], hashes[1]), nil
}

// conflict finds the first height at which two nodes differ and records both headers, if both are signed.
func (f *follower) conflict(ctx context.Context, a, b nodeStatus, agreed, height int64) error {
	chainID := f.cfg.ChainID
	lowest := max(a.earliest, b.earliest, agreed+1)
	var failed error
	n := sort.Search(int(height-lowest), func(i int) bool {
		if failed != nil {
			return true
		}
		same, err := f.same(ctx, a, b, lowest+int64(i))
		failed = err
		return err != nil || !same
	})
	if failed != nil {
		return failed
	}
	fork := lowest + int64(n)
	f.log.Error("nodes of the chain have different headers", "height", fork, "node_a", a.name, "node_b", b.name)

	headers := make([]*cmttypes.LightBlock, 2)
	for i, of := range []nodeStatus{a, b} {
		header, err := of.lightBlock(ctx, chainID, fork)
		if err != nil {
			// Without two thirds behind it, a header proves nothing but a node that is not to be believed.
			return fmt.Errorf("%s: header is not proof: %w", of.name, err)
		}
		headers[i] = header
	}
	if bytes.Compare(headers[0].Hash(), headers[1].Hash()) > 0 {
		headers[0], headers[1] = headers[1], headers[0]
	}
	older := headers[0].Time
	if headers[1].Time.Before(older) {
		older = headers[1].Time
	}
	return f.record(&Evidence{
		ChainID: chainID, Kind: KindMisbehaviour, Height: fork, CommonHeight: fork - 1, Time: older, Headers: headers,
	})
}
