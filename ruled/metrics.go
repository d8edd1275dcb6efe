package ruled

import (
	"fmt"

	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/prometheus/client_golang/prometheus"
)

// registerStats registers how much is remembered.
func registerStats(r prometheus.Registerer, stats func() judge.Stats) error {
	type of func(judge.Stats) float64
	value := func(of of) func() float64 { return func() float64 { return of(stats()) } }
	gauge := func(name, help string, of of) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value(of))
	}
	counter := func(name, help string, of of) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value(of))
	}
	sensors := func(state string, of of) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "nd_ruled_sensors", Help: "Sensors that publish heartbeats: heard, or silent, which were reported as lost.",
			ConstLabels: prometheus.Labels{"state": state},
		}, value(of))
	}
	for _, c := range []prometheus.Collector{
		gauge("nd_ruled_links", "Links that are remembered.", func(s judge.Stats) float64 { return float64(s.Links) }),
		gauge("nd_ruled_stations", "Ethernet addresses that are remembered.", func(s judge.Stats) float64 { return float64(s.Stations) }),
		gauge("nd_ruled_neighbours", "IPv6 addresses that are remembered.", func(s judge.Stats) float64 { return float64(s.Addresses) }),
		counter("nd_ruled_neighbours_evicted_total", "IPv6 addresses that were forgotten because there were too many.", func(s judge.Stats) float64 { return float64(s.Evicted) }),
		counter("nd_ruled_links_evicted_total", "Links that were forgotten because there were too many, with their stations and addresses.", func(s judge.Stats) float64 { return float64(s.EvictedLinks) }),
		counter("nd_ruled_thresholds_evicted_total", "Counts of thresholds that were forgotten because there were too many, before their time was over.", func(s judge.Stats) float64 { return float64(s.ThresholdsDropped) }),
		sensors("heard", func(s judge.Stats) float64 { return float64(s.Sensors - s.Silent) }),
		sensors("silent", func(s judge.Stats) float64 { return float64(s.Silent) }),
		counter("nd_ruled_sensors_evicted_total", "Sensors that were forgotten because there were too many, those that were silent for longest.", func(s judge.Stats) float64 { return float64(s.SensorsEvicted) }),
	} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register ruled's metrics: %w", err)
		}
	}
	return nil
}
