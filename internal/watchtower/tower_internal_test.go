package watchtower

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"
)

// stage is two provider chains with different prefixes and a consumer of both, each served by two nodes.
type stage struct {
	dir       string
	consumer  *fakeChain
	providers []*fakeChain
	nodes     map[string][]*fakeNode
	config    string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir(), nodes: make(map[string][]*fakeNode)}
	start := time.Now().Add(-time.Hour)
	s.consumer = newFakeChain("axelar-1", 4, start).grow(60)
	text := fmt.Sprintf("state_file = %q\nmetrics = \"127.0.0.1:0\"\npoll_interval = \"50ms\"\n[keyring]\nbackend = \"test\"\ndir = %q\n",
		filepath.Join(s.dir, "state.json"), s.dir)
	add := func(chain *fakeChain, more string) {
		a, b := newFakeNode(t, chain), newFakeNode(t, chain)
		s.nodes[chain.id] = []*fakeNode{a, b}
		text += fmt.Sprintf("[[chains]]\nchain_id = %q\nrpc = [%q, %q]\n%s\n", chain.id, a.url, b.url, more)
	}
	add(s.consumer, "follow_only = true")
	for i, prefix := range []string{"osmo", "juno"} {
		chain := newFakeChain(prefix+"-1", 3, start)
		app := newFakeApp(t, chain.id, prefix, s.consumer, fakeBase+20)
		app.validators[i].Tokens = math.NewInt(int64(1000 + i)) // the first is backed on both, the second on juno only
		app.newKey(t, s.dir, "watcher-"+prefix)
		chain.app = app
		chain.grow(30)
		s.providers = append(s.providers, chain)
		add(chain, fmt.Sprintf("bech32_prefix = %q\ngas_price = \"0.03uosmo\"\nkey = %q", prefix, "watcher-"+prefix))
	}
	s.config = filepath.Join(s.dir, "watch.toml")
	require.NoError(t, os.WriteFile(s.config, []byte(text), 0o600))
	return s
}

// run starts a tower and returns a function that stops it, as SIGTERM does, and its log.
func (s *stage) run(t *testing.T, dryRun bool) (stop func(), log *logBuffer) {
	t.Helper()
	cfg, err := LoadConfig(s.config)
	require.NoError(t, err)
	log = new(logBuffer)
	tower, err := New(cfg, Options{Log: testLog(log), DryRun: dryRun})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tower.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(20 * time.Second):
			t.Error("does not stop")
		}
		require.NoError(t, tower.Close())
	}
	t.Cleanup(stop)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), ReadyMessage) }, 10*time.Second, 5*time.Millisecond)
	return stop, log
}

// grow makes blocks on the providers until a condition holds.
func (s *stage) grow(t *testing.T, until func() bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, p := range s.providers {
			p.produce()
		}
		return until()
	}, 30*time.Second, 50*time.Millisecond)
}

func (s *stage) proofs() (out [2]int) {
	for i, p := range s.providers {
		out[i], _, _ = p.app.counts()
	}
	return out
}

func TestTower(t *testing.T) {
	s := newStage(t)
	stop, log := s.run(t, false)

	// Backed on both.
	s.consumer.produce(s.consumer.doubleVote(0, fakeBase+31))
	s.grow(t, func() bool { return s.proofs() == [2]int{1, 1} })

	// Backed on one, while one node of each chain is down, and across a restart right in the middle.
	for _, nodes := range s.nodes {
		nodes[0].down.Store(true)
	}
	s.consumer.produce(s.consumer.doubleVote(1, fakeBase+44))
	require.Eventually(t, func() bool { _, _, checked := s.providers[1].app.counts(); return checked == 2 }, 20*time.Second, 5*time.Millisecond)
	stop()
	require.Contains(t, log.String(), "watchtower stops")
	stop, log = s.run(t, false)
	s.grow(t, func() bool { return s.proofs() == [2]int{1, 2} && strings.Contains(log.String(), "proof is accepted") })

	// Found while it was away.
	stop()
	for _, nodes := range s.nodes {
		nodes[0].down.Store(false)
		nodes[1].down.Store(true)
	}
	s.consumer.grow(45)
	s.consumer.produce(s.consumer.doubleVote(2, fakeBase+70))
	for _, p := range s.providers {
		p.app.set(func(a *fakeApp) { a.validators[2].Tokens = math.NewInt(9) })
	}
	stop, log = s.run(t, false)
	s.grow(t, func() bool { return s.proofs() == [2]int{2, 3} })

	// Metrics, as Prometheus reads them.
	address := regexp.MustCompile(`metrics=(\S+)`).FindStringSubmatch(log.String())[1]
	get := func(path string) string {
		res, err := http.Get("http://" + address + path)
		require.NoError(t, err)
		defer res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(body)
	}
	require.Equal(t, "ok\n", get("/healthz"))
	require.Eventually(t, func() bool {
		text := get("/metrics")
		for _, line := range []string{
			fmt.Sprintf(`mesh_watch_height{chain="axelar-1"} %g`, float64(s.consumer.height())),
			`mesh_watch_lag_blocks{chain="axelar-1"} 0`,
			`mesh_watch_nodes_up{chain="axelar-1"} 1`,
			`mesh_watch_evidence_total{chain="axelar-1",kind="double_vote"} 1`,
			`mesh_watch_submissions_total{chain="axelar-1",kind="double_vote",provider="juno-1",result="accepted"} 1`,
			`mesh_watch_submissions_total{chain="axelar-1",kind="double_vote",provider="osmo-1",result="accepted"} 1`,
			`mesh_watch_open_submissions{provider="juno-1"} 0`,
		} {
			if !strings.Contains(text, line+"\n") {
				return false
			}
		}
		return strings.Contains(text, `mesh_watch_rpc_errors_total{chain="axelar-1",node="`+s.nodes["axelar-1"][1].url+`"}`)
	}, 10*time.Second, 50*time.Millisecond)

	// Nothing was sent twice.
	stop()
	for i, exp := range []int{2, 3} {
		_, _, checked := s.providers[i].app.counts()
		require.Equal(t, exp, checked)
	}
	// Each account has its own chain's prefix.
	require.Contains(t, log.String(), "account=osmo1")
	require.Contains(t, log.String(), "account=juno1")
}

func TestTowerDryRun(t *testing.T) {
	s := newStage(t)
	s.consumer.produce(s.consumer.doubleVote(0, fakeBase+31))
	stop, log := s.run(t, true)
	require.Eventually(t, func() bool { return strings.Count(log.String(), "would submit") == 2 }, 20*time.Second, 10*time.Millisecond)
	stop()
	require.NoFileExists(t, filepath.Join(s.dir, "state.json"))
	for _, p := range s.providers {
		_, _, checked := p.app.counts()
		require.Zero(t, checked)
	}
}

func TestNewRefuses(t *testing.T) {
	testCases := []struct {
		name     string
		malleate func(*testing.T, *Config)
		expErr   string
	}{
		{"key that is not there", func(_ *testing.T, c *Config) { c.Chains[1].Key = "nobody" }, `chain "osmo-1": key: "nobody"`},
		{"state file that is broken", func(t *testing.T, c *Config) {
			t.Helper()
			require.NoError(t, os.WriteFile(c.StateFile, []byte("{"), 0o600))
		}, "state file cannot be used"},
		{"state file of another process", func(t *testing.T, c *Config) {
			t.Helper()
			release, err := lock(c.StateFile)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, release()) })
		}, "used by another process"},
		{"directory that is not there", func(_ *testing.T, c *Config) { c.StateFile += "/none/state.json" }, "state file cannot be used"},
	}
	for _, tc := range testCases {
		t.Run(tc.name, func(t *testing.T) {
			s := newStage(t)
			cfg, err := LoadConfig(s.config)
			require.NoError(t, err)
			tc.malleate(t, cfg)
			_, err = New(cfg, Options{})
			require.ErrorContains(t, err, tc.expErr)
			for _, nodes := range s.nodes {
				require.Zero(t, nodes[0].requests.Load(), "setting up asks nobody")
			}
		})
	}
}

func TestTowerMetricsAddressTaken(t *testing.T) {
	s := newStage(t)
	cfg, err := LoadConfig(s.config)
	require.NoError(t, err)
	cfg.Metrics = strings.TrimPrefix(s.nodes["axelar-1"][0].url, "http://")
	tower, err := New(cfg, Options{})
	require.NoError(t, err)
	require.ErrorContains(t, tower.Run(t.Context()), "metrics")
	require.NoError(t, tower.Close())
}
