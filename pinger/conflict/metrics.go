package conflict

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are the metrics of a Reporter.
type Metrics struct{ published, repeated, dropped prometheus.Counter }

// NewMetrics registers the metrics. It panics if they are registered already.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	total := promauto.With(registry).NewCounterVec(prometheus.CounterOpts{
		Name: "nd_pinger_conflicts_total",
		Help: "Addresses found on two links, by outcome: published as an event, repeated within 10 s, or dropped because there were too many or NATS was away.",
	}, []string{"outcome"})
	return &Metrics{total.WithLabelValues("published"), total.WithLabelValues("repeated"), total.WithLabelValues("dropped")}
}
