package probe

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are the metrics that do not belong to a port.
type Metrics struct {
	commands      [outcomes]prometheus.Counter
	rtt           prometheus.Histogram
	pending       prometheus.Gauge
	strayReplies  prometheus.Counter
	publishErrors prometheus.Counter
}

// NewMetrics registers the metrics. It panics if they are registered already.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	auto := promauto.With(registry)
	commands := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "nd_pinger_commands_total",
		Help: "Relay commands received, by outcome.",
	}, []string{"outcome"})
	m := &Metrics{
		rtt: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "nd_pinger_rtt_seconds",
			Help:    "Time from probes to answers.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 17), // 50 µs to 3.3 s
		}),
		pending: auto.NewGauge(prometheus.GaugeOpts{
			Name: "nd_pinger_pending",
			Help: "Probes that wait for answers.",
		}),
		strayReplies: auto.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_stray_replies_total",
			Help: "ICMPv6 messages received that match no pending echo request: late, duplicate or forged.",
		}),
		publishErrors: auto.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_publish_errors_total",
			Help: "Results that could not be published.",
		}),
	}
	for o := range outcomes { // so that each is counted from 0 on
		m.commands[o] = commands.WithLabelValues(o.String())
	}
	return m
}
