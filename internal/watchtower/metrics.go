package watchtower

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const metricsNamespace = "mesh_watch"

// Metrics are the watchtower's Prometheus metrics, in a registry of their own.
type Metrics struct {
	registry *prometheus.Registry

	height      *prometheus.GaugeVec
	chainHeight *prometheus.GaugeVec
	lag         *prometheus.GaugeVec
	polled      *prometheus.GaugeVec
	skipped     *prometheus.CounterVec
	evidence    *prometheus.CounterVec
	submissions *prometheus.CounterVec
	open        *prometheus.GaugeVec
	rpcErrors   *prometheus.CounterVec
	nodesUp     *prometheus.GaugeVec
	conflict    *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: metricsNamespace, Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: metricsNamespace, Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	m.height = gauge("height", "Last height worked on.", "chain")
	m.chainHeight = gauge("chain_height", "Latest height its nodes tell.", "chain")
	m.lag = gauge("lag_blocks", "Blocks not worked on yet.", "chain")
	m.polled = gauge("last_poll_timestamp_seconds", "When a node of the chain answered last.", "chain")
	m.skipped = counter("skipped_blocks_total", "Blocks that no node had any more.", "chain")
	m.evidence = counter("evidence_total", "Evidence found, each piece once.", "chain", "kind")
	m.submissions = counter("submissions_total", "Attempts to submit, by result.", "provider", "chain", "kind", "result")
	m.open = gauge("open_submissions", "Submissions that are not finished.", "provider")
	m.rpcErrors = counter("rpc_errors_total", "Failed requests.", "chain", "node")
	m.nodesUp = gauge("nodes_up", "Nodes that answered the last poll.", "chain")
	m.conflict = gauge("nodes_conflict", "1 while nodes of the chain have different headers at one height.", "chain")
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Registry is where the metrics are registered.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// initialise makes every series of a chain exist from the start, so that alerts see zeros rather than nothing.
func (m *Metrics) initialise(chainID string) {
	m.lag.WithLabelValues(chainID)
	m.skipped.WithLabelValues(chainID)
	m.conflict.WithLabelValues(chainID)
	m.open.WithLabelValues(chainID)
	for _, kind := range []Kind{KindDoubleVote, KindMisbehaviour} {
		m.evidence.WithLabelValues(chainID, string(kind))
	}
}
