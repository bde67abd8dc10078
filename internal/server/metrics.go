package server

import (
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the numbers of one installation, in a registry of its own. Names follow Prometheus' conventions; labels
// come from bounded sets only, never from what a client sent.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

// newMetrics makes the registry of i. Its gauges are read when they are scraped and cost nothing otherwise.
func newMetrics(i *installation) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyward_requests_total",
			Help: "API requests answered, by exception; code is empty for success.",
		}, []string{"service", "operation", "code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "keyward_request_duration_seconds",
			Help:    "Time from a request's head to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12), // 0.1 ms to 2.4 s
		}, []string{"service", "operation"}),
	}
	m.registry.MustRegister(
		m.requests, m.took,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector(),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "keyward_clock_ahead_seconds",
			Help: "How far a rehearsal has moved the installation's clock ahead of the machine's.",
		}, func() float64 { return i.clock.Offset().Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "keyward_database_bytes",
			Help: "Size of the database file, its write-ahead log not included.",
		}, func() float64 { return fileSize(i.databasePath()) }),
	)
	return m
}

// fileSize is 0 for a file that cannot be looked at: a scrape must not fail for it.
func fileSize(path string) float64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return float64(info.Size())
}

// observe is wire.Config.Observe.
func (m *metrics) observe(service, operation, code string, took time.Duration) {
	m.requests.WithLabelValues(service, operation, code).Inc()
	m.took.WithLabelValues(service, operation).Observe(took.Seconds())
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
