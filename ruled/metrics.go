package ruled

import (
	"fmt"
	"time"

	"github.com/ndmon/ndmon/ruled/feed"
	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
)

// stats is how much all parts remember, and what they have to do.
type stats struct {
	judge.Stats
	partitions int
	pending    uint64
}

func (r *run) stats() (sum stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for partition, p := range r.parts {
		sum.Add(p.judge.Stats())
		sum.partitions++
		if partition == feed.EveryPartition {
			sum.partitions = schemas.Partitions
		}
		if p.feed != nil {
			sum.pending += p.feed.Pending()
		}
	}
	return sum
}

// registerStats registers how much is remembered, and what is to be done.
func (r *run) registerStats() error {
	type of func(stats) float64
	value := func(of of) func() float64 { return func() float64 { return of(r.stats()) } }
	gauge := func(name, help string, of of) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value(of))
	}
	counter := func(name, help string, of of) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value(of))
	}
	sensors := func(state string, of of) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "nd_ruled_sensors", Help: "Sensors and pingers that publish heartbeats: heard, or silent, which were reported as lost.",
			ConstLabels: prometheus.Labels{"state": state},
		}, value(of))
	}
	for _, c := range []prometheus.Collector{
		gauge("nd_ruled_links", "Links that are remembered.", func(s stats) float64 { return float64(s.Links) }),
		gauge("nd_ruled_stations", "Ethernet addresses that are remembered.", func(s stats) float64 { return float64(s.Stations) }),
		gauge("nd_ruled_neighbours", "IPv6 addresses that are remembered.", func(s stats) float64 { return float64(s.Addresses) }),
		gauge("nd_ruled_partitions", "Partitions of the events that this process evaluates, out of 16.", func(s stats) float64 { return float64(s.partitions) }),
		gauge("nd_ruled_pending_batches", "Batches of events in the stream that wait to be evaluated, as of the newest one that was read.", func(s stats) float64 { return float64(s.pending) }),
		counter("nd_ruled_neighbours_evicted_total", "IPv6 addresses that were forgotten because there were too many.", func(s stats) float64 { return float64(s.Evicted) }),
		counter("nd_ruled_links_evicted_total", "Links that were forgotten because there were too many, with their stations and addresses.", func(s stats) float64 { return float64(s.EvictedLinks) }),
		counter("nd_ruled_thresholds_evicted_total", "Counts of thresholds that were forgotten because there were too many, before their time was over.", func(s stats) float64 { return float64(s.ThresholdsDropped) }),
		sensors("heard", func(s stats) float64 { return float64(s.Sensors - s.Silent) }),
		sensors("silent", func(s stats) float64 { return float64(s.Silent) }),
		counter("nd_ruled_sensors_evicted_total", "Sensors that were forgotten because there were too many, those that were silent for longest.", func(s stats) float64 { return float64(s.SensorsEvicted) }),
		newest{r.newest, r.metrics.Hosts, prometheus.NewDesc("nd_ruled_newest_event_timestamp_seconds",
			"When the newest frame of a host was captured, in seconds since 1970. Hosts beyond 1,000 share the host other.", []string{"host"}, nil)},
	} {
		if err := r.Registry.Register(c); err != nil {
			return fmt.Errorf("register ruled's metrics: %w", err)
		}
	}
	return nil
}

// newest collects when the newest frame of each host was captured.
type newest struct {
	captured func() map[string]int64 // in nanoseconds since 1970, by host
	hosts    *metrics.Hosts
	desc     *prometheus.Desc
}

func (n newest) Describe(descs chan<- *prometheus.Desc) { descs <- n.desc }

func (n newest) Collect(to chan<- prometheus.Metric) {
	byLabel := map[string]int64{}
	for host, at := range n.captured() {
		label := n.hosts.Label(host)
		byLabel[label] = max(byLabel[label], at)
	}
	for host, at := range byLabel {
		to <- prometheus.MustNewConstMetric(n.desc, prometheus.GaugeValue, time.Duration(at).Seconds(), host)
	}
}

// newest returns when the newest frame of each host was captured.
func (r *run) newest() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]int64{}
	for _, p := range r.parts {
		for host, at := range p.judge.Newest() {
			all[host] = max(all[host], at)
		}
	}
	return all
}
