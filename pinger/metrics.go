package pinger

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the pinger's counters. Those of a slave are kept with it, so that
// nothing is looked up while an echo is sent.
type metrics struct {
	commands      *prometheus.CounterVec
	sent          *prometheus.CounterVec
	probes        *prometheus.CounterVec
	rtt           prometheus.Histogram
	waiting       prometheus.Gauge
	strayReplies  prometheus.Counter
	publishErrors prometheus.Counter
	ways          prometheus.Gauge
	waysMoved     prometheus.Counter
	waysRefused   prometheus.Counter
	waysDropped   prometheus.Counter
}

// slaveMetrics are the counters of one slave.
type slaveMetrics struct {
	sent, solicited, advertised    prometheus.Counter
	reachable, unreachable, failed prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nd_pinger_commands_total",
			Help: "Relay commands received, by what became of them.",
		}, []string{"outcome"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nd_pinger_sent_total",
			Help: "Frames that the kernel took, by slave and kind: solicitation, echo, or advertisement for a target behind another interface.",
		}, []string{"slave", "kind"}),
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nd_pinger_probes_total",
			Help: "Probes by slave and by what came of them: reachable, unreachable, or error if nothing could be sent.",
		}, []string{"slave", "outcome"}),
		rtt: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "nd_pinger_rtt_seconds",
			Help:    "Time from a probe to its answer.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 17), // 50 µs to 3.3 s
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nd_pinger_pending",
			Help: "Probes that wait for an answer.",
		}),
		strayReplies: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_stray_replies_total",
			Help: "ICMPv6 messages that came in and answer no echo request that waits: late, duplicate or forged.",
		}),
		ways: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nd_pinger_ways",
			Help: "Targets to which the way is kept (PINGER_ROUTE, PINGER_PROXY), and those known on masters.",
		}),
		waysMoved: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_ways_moved_total",
			Help: "Targets that were found behind another slave than before.",
		}),
		waysRefused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_ways_refused_total",
			Help: "Targets that were found, and no way is kept to them because there are too many, or too many to one Ethernet address.",
		}),
		waysDropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_ways_dropped_total",
			Help: "Hints at where targets are that came faster than they could be looked into.",
		}),
		publishErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_publish_errors_total",
			Help: "Results that could not be published.",
		}),
	}
	for _, c := range []prometheus.Collector{m.commands, m.sent, m.probes, m.rtt, m.waiting, m.strayReplies, m.publishErrors,
		m.ways, m.waysMoved, m.waysRefused, m.waysDropped} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering the pinger's metrics: %w", err)
		}
	}
	for _, o := range outcomes {
		m.commands.WithLabelValues(string(o))
	}
	return m, nil
}

func (m *metrics) slave(name string) *slaveMetrics {
	return &slaveMetrics{
		sent:        m.sent.WithLabelValues(name, "echo"),
		solicited:   m.sent.WithLabelValues(name, "solicitation"),
		advertised:  m.sent.WithLabelValues(name, "advertisement"),
		reachable:   m.probes.WithLabelValues(name, "reachable"),
		unreachable: m.probes.WithLabelValues(name, "unreachable"),
		failed:      m.probes.WithLabelValues(name, "error"),
	}
}

// forget drops the counters of a slave that is none any more, so that
// interfaces that come and go under a glob do not fill the memory.
func (m *metrics) forget(name string) {
	labels := prometheus.Labels{"slave": name}
	m.sent.DeletePartialMatch(labels)
	m.probes.DeletePartialMatch(labels)
}
