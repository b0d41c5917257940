package watchtower

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	cmthttp "github.com/cometbft/cometbft/rpc/client/http"
	coretypes "github.com/cometbft/cometbft/rpc/core/types"
	rpctypes "github.com/cometbft/cometbft/rpc/jsonrpc/types"
)

const (
	requestTimeout  = 10 * time.Second
	maxNodeBackoff  = time.Minute
	maxResponseSize = 64 << 20
)

var (
	errNoNode = errors.New("no node answers as it should")
	// errNode marks a node that does not work: another one is asked, and this one is left alone for a while.
	errNode = errors.New("node does not work")
	// errMissing marks a node that works but cannot serve a request: another one is asked.
	errMissing = errors.New("node cannot serve this")
)

// nodeError marks an error as the node's. What the application answers is not.
func nodeError(err error) error {
	if err == nil || errors.Is(err, errNode) || errors.Is(err, errMissing) {
		return err
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	var answer *rpctypes.RPCError
	if errors.As(err, &answer) {
		return fmt.Errorf("%w: %w", errMissing, err)
	}
	return fmt.Errorf("%w: %w", errNode, err)
}

// node is one RPC address.
type node struct {
	*cmthttp.HTTP
	name string // the address without a password

	mu       sync.Mutex
	failures int
	retryAt  time.Time
}

// nodes are the RPC addresses of one chain.
type nodes struct {
	chainID string
	all     []*node
	metrics *Metrics
	log     *slog.Logger
	now     func() time.Time
	first   time.Duration // wait after the first failure
}

func newNodes(cfg *ChainConfig, first time.Duration, metrics *Metrics, log *slog.Logger, now func() time.Time) (*nodes, error) {
	out := &nodes{chainID: cfg.ChainID, metrics: metrics, log: log, now: now, first: first}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("default transport is a %T", http.DefaultTransport)
	}
	httpClient := &http.Client{Timeout: requestTimeout, Transport: limitedTransport{transport.Clone()}}
	for _, remote := range cfg.RPC {
		rpc, err := cmthttp.NewWithClient(remote, "/websocket", httpClient)
		if err != nil {
			return nil, fmt.Errorf("chain %q: rpc: %w", cfg.ChainID, err)
		}
		name := remote
		if u, err := url.Parse(remote); err == nil {
			name = u.Redacted()
		}
		out.all = append(out.all, &node{HTTP: rpc, name: name})
		metrics.rpcErrors.WithLabelValues(cfg.ChainID, name)
	}
	return out, nil
}

// limitedTransport cuts off answers that are larger than any honest one.
type limitedTransport struct{ base http.RoundTripper }

func (t limitedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxResponseSize), res.Body}
	return res, nil
}

// failed counts a failed request. A node that does not work is left alone for a while.
func (n *nodes) failed(of *node, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	if !errors.Is(err, errNode) {
		n.metrics.rpcErrors.WithLabelValues(n.chainID, of.name).Inc()
		n.log.Debug("request failed", "node", of.name, "err", err)
		return
	}
	of.mu.Lock()
	of.failures++
	wait := backoff(n.first, maxNodeBackoff, of.failures)
	of.retryAt = n.now().Add(wait)
	first := of.failures == 1
	of.mu.Unlock()
	n.metrics.rpcErrors.WithLabelValues(n.chainID, of.name).Inc()
	level := slog.LevelDebug
	if first {
		level = slog.LevelWarn
	}
	n.log.Log(context.Background(), level, "node failed", "node", of.name, "retry_in", wait, "err", err)
}

func (n *nodes) worked(of *node) {
	of.mu.Lock()
	defer of.mu.Unlock()
	if of.failures > 0 {
		n.log.Info("node answers again", "node", of.name)
	}
	of.failures, of.retryAt = 0, time.Time{}
}

func (n *nodes) waiting(of *node) bool {
	of.mu.Lock()
	defer of.mu.Unlock()
	return n.now().Before(of.retryAt)
}

// nodeStatus is a node that answered, with the blocks it has.
type nodeStatus struct {
	*node
	earliest, latest int64
	catchingUp       bool
}

func (n *nodes) status(ctx context.Context, of *node) (nodeStatus, error) {
	res, err := of.Status(ctx)
	if err != nil {
		return nodeStatus{}, nodeError(err)
	}
	if res.NodeInfo.Network != n.chainID {
		return nodeStatus{}, fmt.Errorf("%w: is of chain %q", errNode, res.NodeInfo.Network)
	}
	return nodeStatus{
		node: of, earliest: max(res.SyncInfo.EarliestBlockHeight, 1), latest: res.SyncInfo.LatestBlockHeight,
		catchingUp: res.SyncInfo.CatchingUp,
	}, nil
}

// poll asks all nodes at once and returns those that answer, in the order of the configuration.
func (n *nodes) poll(ctx context.Context) ([]nodeStatus, error) {
	results := make([]*nodeStatus, len(n.all))
	errs := make([]error, len(n.all))
	var wg sync.WaitGroup
	for i, of := range n.all {
		if n.waiting(of) {
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			res, err := n.status(ctx, of)
			if err != nil {
				n.failed(of, err)
				errs[i] = fmt.Errorf("%s: %w", of.name, err)
				return
			}
			n.worked(of)
			results[i] = &res
		})
	}
	wg.Wait()
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	var out []nodeStatus
	for _, res := range results {
		if res != nil {
			out = append(out, *res)
		}
	}
	n.metrics.nodesUp.WithLabelValues(n.chainID).Set(float64(len(out)))
	if len(out) == 0 {
		return nil, n.unreachable(errs)
	}
	n.metrics.polled.WithLabelValues(n.chainID).Set(float64(n.now().Unix()))
	return out, nil
}

// try runs fn against one node after the other until it does not fail by a node's fault.
func (n *nodes) try(ctx context.Context, fn func(ctx context.Context, at nodeStatus) error) error {
	var errs []error
	for _, of := range n.all {
		if n.waiting(of) {
			continue
		}
		at, err := n.status(ctx, of)
		if err == nil {
			err = fn(ctx, at)
			if !errors.Is(err, errNode) && !errors.Is(err, errMissing) {
				n.worked(of)
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n.failed(of, err)
		errs = append(errs, fmt.Errorf("%s: %w", of.name, err))
	}
	return n.unreachable(errs)
}

// unreachable sums up what nodes answered. It hides their errors: to whoever asks on behalf of another chain they are
// not that chain's nodes' fault.
func (n *nodes) unreachable(errs []error) error {
	if len(errs) == 0 {
		return fmt.Errorf("%w: chain %s: all wait to be tried again", errNoNode, n.chainID)
	}
	return fmt.Errorf("%w: chain %s: %v", errNoNode, n.chainID, errors.Join(errs...)) //nolint:errorlint // hidden
}

// nonNil is for answers that a node may leave empty.
func nonNil[T any](v *T, err error) (*T, error) {
	if err != nil {
		return nil, nodeError(err)
	}
	if v == nil {
		return nil, fmt.Errorf("%w: empty answer", errNode)
	}
	return v, nil
}

func (of *node) block(ctx context.Context, height int64) (*coretypes.ResultBlock, error) {
	res, err := nonNil(of.Block(ctx, &height))
	if err == nil && (res.Block == nil || res.Block.Height != height) {
		err = fmt.Errorf("%w: has no block %d", errNode, height)
	}
	return res, err
}
