package pinger

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the pinger's counters. Those of a slave are kept with it, so that
// nothing is looked up while an echo is sent.
type metrics struct {
	commands      map[outcome]prometheus.Counter
	sent          *prometheus.CounterVec
	echoes        *prometheus.CounterVec
	rtt           prometheus.Histogram
	waiting       prometheus.Gauge
	strayReplies  prometheus.Counter
	publishErrors prometheus.Counter
}

// slaveMetrics are the counters of one slave.
type slaveMetrics struct {
	sent, reachable, unreachable, failed prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	commands := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nd_pinger_commands_total",
		Help: "Relay commands received, by what became of them.",
	}, []string{"outcome"})
	m := &metrics{
		commands: make(map[outcome]prometheus.Counter),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nd_pinger_echoes_sent_total",
			Help: "ICMPv6 echo requests that the kernel took, by slave.",
		}, []string{"slave"}),
		echoes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nd_pinger_echoes_total",
			Help: "ICMPv6 echo requests by slave and by what came of them: reachable, unreachable, or error if they could not be sent.",
		}, []string{"slave", "outcome"}),
		rtt: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "nd_pinger_rtt_seconds",
			Help:    "Round-trip time of the echoes, with the time in which the kernel found the neighbour.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 17), // 50 µs to 3.3 s
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nd_pinger_pending",
			Help: "ICMPv6 echo requests that wait for a reply.",
		}),
		strayReplies: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_stray_replies_total",
			Help: "ICMPv6 messages that came in and answer no echo request that waits: late, duplicate or forged.",
		}),
		publishErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_publish_errors_total",
			Help: "Results that could not be published.",
		}),
	}
	for _, c := range []prometheus.Collector{commands, m.sent, m.echoes, m.rtt, m.waiting, m.strayReplies, m.publishErrors} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering the pinger's metrics: %w", err)
		}
	}
	for _, o := range outcomes {
		m.commands[o] = commands.WithLabelValues(string(o))
	}
	return m, nil
}

func (m *metrics) slave(name string) *slaveMetrics {
	return &slaveMetrics{
		sent:        m.sent.WithLabelValues(name),
		reachable:   m.echoes.WithLabelValues(name, "reachable"),
		unreachable: m.echoes.WithLabelValues(name, "unreachable"),
		failed:      m.echoes.WithLabelValues(name, "error"),
	}
}

// forget drops the counters of a slave that is none any more, so that
// interfaces that come and go under a glob do not fill the memory.
func (m *metrics) forget(name string) {
	labels := prometheus.Labels{"slave": name}
	m.sent.DeletePartialMatch(labels)
	m.echoes.DeletePartialMatch(labels)
}
