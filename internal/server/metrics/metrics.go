// Package metrics counts what a server does, for Prometheus.
//
// Names begin with fernwerk_; what a scrape shows is listed in
// docs/reference/http.md. Labels have few values: methods and routes come from
// the server's tables, never from what a caller sent, so nobody can make series
// at will. Parts that count by themselves are asked at each scrape ([Metrics.Ask]).
package metrics

import (
	"context"
	"iter"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// durations are the bounds of a histogram of waiting, in seconds: a warm call
// takes half a millisecond, a host's whole pull a second.
var durations = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// Metrics are one server's counters.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	bytes    prometheus.Counter
	calls    *prometheus.CounterVec
	called   *prometheus.HistogramVec
	known    map[string]bool
}

// New makes the counters of a server. known are the names of its methods.
func New(version, replica string, known []string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fernwerk_http_requests_total", Help: "Requests answered, by route and status."}, []string{"route", "status"}),
		latency:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fernwerk_http_request_seconds", Help: "Time from a request's headers to the end of its answer.", Buckets: durations}, []string{"route"}),
		bytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "fernwerk_http_sent_bytes_total", Help: "Bytes of answers."}),
		calls:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fernwerk_calls_total", Help: "Calls of methods, by outcome: ok, or the error's code."}, []string{"method", "code"}),
		called:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fernwerk_call_seconds", Help: "Time of one call of a method.", Buckets: durations}, []string{"method"}),
		known:    map[string]bool{},
	}
	for _, name := range known {
		m.known[name] = true
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "fernwerk_build_info", Help: "1, with the version and the replica's name.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version(), "replica": replica}})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.latency, m.bytes, m.calls, m.called, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Kind says how a number behaves.
type Kind int

// The kinds.
const (
	Gauge   Kind = iota // goes up and down
	Counter             // only grows until a restart
)

// Ask has a part's number asked for at each scrape: connected hosts, sessions,
// a queue. read is called from several goroutines and must not wait long.
func (m *Metrics) Ask(kind Kind, name, help string, read func() float64) {
	if kind == Counter {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "fernwerk_" + name, Help: help}, read))
		return
	}
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fernwerk_" + name, Help: help}, read))
}

// Handler answers a scrape.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 20 * time.Second})
}

// Request counts one answered request. route is a pattern of the table.
func (m *Metrics) Request(route string, status int, bytes int64, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.latency.WithLabelValues(route).Observe(took.Seconds())
	m.bytes.Add(float64(bytes))
}

// Backend counts the calls of a backend.
func (m *Metrics) Backend(b methods.Backend) methods.Backend {
	if s, ok := b.(methods.Streamer); ok {
		return &streaming{counted{m, b}, s}
	}
	return &counted{m, b}
}

type counted struct {
	m *Metrics
	methods.Backend
}

func (c *counted) Call(ctx context.Context, actor methods.Actor, method string, params methods.Params) (any, error) {
	began := time.Now()
	v, err := c.Backend.Call(ctx, actor, method, params)
	c.m.done(method, began, err)
	return v, err
}

// done counts a call that has come to its end.
func (m *Metrics) done(method string, began time.Time, err error) {
	name := method
	if !m.known[name] {
		name = "unknown"
	}
	code := "ok"
	if err != nil {
		code = string(fleet.CodeOf(err))
	}
	m.calls.WithLabelValues(name, code).Inc()
	m.called.WithLabelValues(name).Observe(time.Since(began).Seconds())
}

// streaming counts calls whose lists are made while they are read: such a call
// ends with its list.
type streaming struct {
	counted
	from methods.Streamer
}

func (c *streaming) Stream(ctx context.Context, actor methods.Actor, method string, params methods.Params) (any, error) {
	began := time.Now()
	v, err := c.from.Stream(ctx, actor, method, params)
	if err == nil {
		switch list := v.(type) {
		case methods.Objects:
			return counting(c.m, method, began, list), nil
		case methods.Values:
			return counting(c.m, method, began, list), nil
		}
	}
	c.m.done(method, began, err)
	return v, err
}

func counting[T any](m *Metrics, method string, began time.Time, list iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var failed error
		defer func() { m.done(method, began, failed) }()
		for v, err := range list {
			failed = err
			if !yield(v, err) {
				return
			}
		}
	}
}
