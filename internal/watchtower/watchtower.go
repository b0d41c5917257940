package watchtower

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/cosmos/cosmos-sdk/codec"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	cryptocodec "github.com/cosmos/cosmos-sdk/crypto/codec"
	"github.com/cosmos/cosmos-sdk/crypto/keyring"
	sdk "github.com/cosmos/cosmos-sdk/types"
)

// ReadyMessage is logged once everything is set up. Nodes that do not answer yet do not delay it.
const ReadyMessage = "watchtower ready"

const forgetInterval = time.Minute

// Options are what is not in the configuration file.
type Options struct {
	Log *slog.Logger
	// DryRun finds evidence and logs what would be submitted; it needs no keys, sends nothing and leaves the state file
	// as it is.
	DryRun bool
	// Input is where a passphrase of the keyring is read from; standard input if nil.
	Input io.Reader

	now func() time.Time
}

// Tower is a watchtower.
type Tower struct {
	cfg     *Config
	opts    Options
	metrics *Metrics
	store   *Store
	chains  map[string]*chain
	unlock  func() error
}

// New sets up a watchtower: it locks and reads the state file and finds the keys. Close it when it is not needed any
// more.
func New(cfg *Config, opts Options) (_ *Tower, err error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.now == nil {
		opts.now = time.Now
	}
	if opts.Input == nil {
		opts.Input = os.Stdin
	}
	t := &Tower{
		cfg: cfg, opts: opts, metrics: NewMetrics(), chains: make(map[string]*chain, len(cfg.Chains)),
		unlock: func() error { return nil },
	}
	if !opts.DryRun {
		if t.unlock, err = lock(cfg.StateFile); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.unlock())
		}
	}()
	if t.store, err = OpenStore(cfg.StateFile, opts.DryRun); err != nil {
		return nil, err
	}
	var keys keyring.Keyring
	if cfg.submits() && !opts.DryRun {
		registry := codectypes.NewInterfaceRegistry()
		cryptocodec.RegisterInterfaces(registry)
		keys, err = keyring.New(sdk.KeyringServiceName(), cfg.Keyring.Backend, cfg.Keyring.Dir, opts.Input, codec.NewProtoCodec(registry))
		if err != nil {
			return nil, fmt.Errorf("keyring: %w", err)
		}
	}
	for i := range cfg.Chains {
		chainCfg := &cfg.Chains[i]
		c, err := newChain(chainCfg, time.Duration(cfg.PollInterval), t.metrics, opts.Log, opts.now)
		if err != nil {
			return nil, err
		}
		if keys != nil && !chainCfg.FollowOnly {
			if err := c.useKey(keys); err != nil {
				return nil, err
			}
		}
		t.chains[chainCfg.ChainID] = c
		t.metrics.initialise(chainCfg.ChainID)
	}
	return t, nil
}

// Close writes the state file and gives it free.
func (t *Tower) Close() error { return errors.Join(t.store.Save(), t.unlock()) }

// Metrics are the tower's metrics.
func (t *Tower) Metrics() *Metrics { return t.metrics }

// Run works until the context ends, and then returns nil.
func (t *Tower) Run(ctx context.Context) error {
	log := t.opts.Log
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	address := ""
	if t.cfg.Metrics != "" {
		stop, bound, err := t.serveMetrics(ctx)
		if err != nil {
			return err
		}
		defer stop()
		address = bound
	}

	poll, retention := time.Duration(t.cfg.PollInterval), time.Duration(t.cfg.Retention)
	var wg sync.WaitGroup
	var submitters []*submitter
	var ids []string
	for i := range t.cfg.Chains {
		c := t.chains[t.cfg.Chains[i].ChainID]
		ids = append(ids, c.cfg.ChainID)
		if c.cfg.FollowOnly {
			continue
		}
		s := &submitter{
			to: c, chains: t.chains, store: t.store, metrics: t.metrics, log: log.With("provider", c.cfg.ChainID), now: t.opts.now,
			poll: poll, retention: retention, dryRun: t.opts.DryRun, wake: make(chan struct{}, 1), looks: make(map[string]look),
		}
		submitters = append(submitters, s)
		wg.Go(func() { s.run(ctx) })
		if !t.opts.DryRun {
			log.Info("submits", "provider", c.cfg.ChainID, "account", c.address)
		}
	}
	wake := func() {
		for _, s := range submitters {
			select {
			case s.wake <- struct{}{}:
			default: // it will look anyway
			}
		}
	}
	for _, id := range ids {
		c := t.chains[id]
		f := &follower{
			cfg: c.cfg, nodes: c.nodes, store: t.store, metrics: t.metrics, log: c.log, now: t.opts.now,
			poll: poll, retention: retention, found: wake, agreed: make(map[[2]string]int64),
		}
		wg.Go(func() { f.run(ctx) })
	}
	wg.Go(func() { t.forget(ctx, retention) })
	log.Info(ReadyMessage, "chains", ids, "metrics", address, "state_file", t.cfg.StateFile, "dry_run", t.opts.DryRun)

	<-ctx.Done()
	log.Info("watchtower stops")
	wg.Wait()
	return nil
}

// forget drops old evidence from time to time.
func (t *Tower) forget(ctx context.Context, retention time.Duration) {
	for sleep(ctx, forgetInterval) {
		n, err := t.store.Forget(t.opts.now().Add(-retention))
		if err != nil {
			t.opts.Log.Error("cannot forget old evidence", "err", err)
		} else if n > 0 {
			t.opts.Log.Info("old evidence is forgotten", "pieces", n)
		}
	}
}

// serveMetrics serves /metrics and /healthz until it is stopped.
func (t *Tower) serveMetrics(ctx context.Context) (stop func(), address string, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", t.cfg.Metrics)
	if err != nil {
		return nil, "", fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", t.metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			t.opts.Log.Error("metrics", "err", err)
		}
	}()
	return func() { _ = server.Close() }, listener.Addr().String(), nil
}
