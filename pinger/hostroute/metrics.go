package hostroute

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are the metrics of a Keeper.
type Metrics struct {
	routes                                prometheus.Gauge
	moved, refused, dropped, lost, resent prometheus.Counter
}

// NewMetrics registers the metrics. It panics if they are registered already.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	auto := promauto.With(registry)
	return &Metrics{
		routes: auto.NewGauge(prometheus.GaugeOpts{
			Name: "nd_pinger_host_routes",
			Help: "Targets with a host route or proxy (PINGER_ROUTE, PINGER_PROXY), and targets on masters whose location is cached.",
		}),
		moved: auto.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_host_routes_moved_total",
			Help: "Targets that were found behind another slave than before.",
		}),
		refused: auto.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_host_routes_refused_total",
			Help: "Targets that were found and have no host route because there are too many, or too many to one Ethernet address.",
		}),
		lost: auto.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_host_routes_lost_total",
			Help: "Host routes that another program has removed. The pinger makes them again.",
		}),
		resent: auto.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_host_routes_resent_total",
			Help: "Targets for which packets waited on a master until they had a host route, and were then routed again.",
		}),
		dropped: auto.NewCounter(prometheus.CounterOpts{
			Name: "nd_pinger_host_route_hints_dropped_total",
			Help: "Hints about the locations of targets that arrived faster than they could be processed.",
		}),
	}
}
