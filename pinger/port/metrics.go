package port

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics count the slaves, and per port what is sent and what came of it.
type Metrics struct {
	usable, unusable prometheus.Gauge
	sent             *prometheus.CounterVec
	probes           *prometheus.CounterVec
}

// Counters are the counters of one port. A Port keeps its own, so that nothing is
// looked up while a probe is sent.
type Counters struct {
	Echoes, Solicitations, Advertisements prometheus.Counter
	// Those are of neighbours, these of routers.
	RouterSolicitations, RouterAdvertisements prometheus.Counter
	Reachable, Unreachable, Failed            prometheus.Counter
}

// NewMetrics registers the metrics. It panics if they are registered already.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	auto := promauto.With(registry)
	slaves := auto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "nd_pinger_slaves",
		Help: "Slaves by state: usable, or unusable, among them each entry of PINGER_SLAVES that no interface matches.",
	}, []string{"state"})
	return &Metrics{
		usable:   slaves.WithLabelValues("usable"),
		unusable: slaves.WithLabelValues("unusable"),
		sent: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "nd_pinger_sent_total",
			Help: "Frames that the kernel accepted, by slave and kind: solicitation, echo, advertisement for a target behind another interface, router_solicitation, or router_advertisement.",
		}, []string{"slave", "kind"}),
		probes: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "nd_pinger_probes_total",
			Help: "Probes by slave and outcome: reachable, unreachable, or error if nothing could be sent.",
		}, []string{"slave", "outcome"}),
	}
}

func (m *Metrics) counters(name string) *Counters {
	return &Counters{
		Echoes:               m.sent.WithLabelValues(name, "echo"),
		Solicitations:        m.sent.WithLabelValues(name, "solicitation"),
		Advertisements:       m.sent.WithLabelValues(name, "advertisement"),
		RouterSolicitations:  m.sent.WithLabelValues(name, "router_solicitation"),
		RouterAdvertisements: m.sent.WithLabelValues(name, "router_advertisement"),
		Reachable:            m.probes.WithLabelValues(name, "reachable"),
		Unreachable:          m.probes.WithLabelValues(name, "unreachable"),
		Failed:               m.probes.WithLabelValues(name, "error"),
	}
}

// Count sets the numbers of usable and unusable slaves to those of the set.
func (m *Metrics) Count(s *Set) {
	usable := len(s.Usable())
	m.usable.Set(float64(usable))
	m.unusable.Set(float64(len(s.Slaves) - usable))
}

// Forget removes the counters of a port that no longer exists, so that interfaces that
// come and go under a glob do not accumulate.
func (m *Metrics) Forget(name string) {
	labels := prometheus.Labels{"slave": name}
	m.sent.DeletePartialMatch(labels)
	m.probes.DeletePartialMatch(labels)
}
