package sensor

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ndmon/ndmon/schemas"
)

// kinds are the kinds of events, in the order of every array with an element for each.
var kinds = [...]schemas.Kind{
	schemas.KindRS, schemas.KindRA, schemas.KindNS, schemas.KindNA, schemas.KindRD, schemas.KindOther,
}

// metrics are the sensor's metrics. The series of an interface are deleted with it,
// because a host on which containers come and go has ever new interface names.
type metrics struct {
	frames       *prometheus.CounterVec
	ignored      prometheus.Counter
	published    prometheus.Counter
	droppedByOS  prometheus.Counter
	droppedByBuf prometheus.Counter
	interfaces   prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nd_sensor_dropped_total",
		Help: "Frames lost: kernel, because they were not read in time; buffer, because it was full while NATS was away.",
	}, []string{"reason"})
	m := &metrics{
		frames: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nd_sensor_frames_total",
			Help: "Neighbor Discovery frames captured, by interface, direction and kind.",
		}, []string{"interface", "direction", "kind"}),
		ignored:      counter("nd_sensor_ignored_frames_total", "Frames read that turned out not to be Neighbor Discovery."),
		published:    counter("nd_sensor_events_total", "Events passed to the publisher, without heartbeats."),
		droppedByOS:  dropped.WithLabelValues("kernel"),
		droppedByBuf: dropped.WithLabelValues("buffer"),
		interfaces: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nd_sensor_interfaces",
			Help: "Interfaces that are captured.",
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.frames, m.ignored, m.published, dropped, m.interfaces} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register the sensor's metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) forKinds(iface, direction string) (counters [len(kinds)]prometheus.Counter) {
	for i, k := range kinds {
		counters[i] = m.frames.WithLabelValues(iface, direction, string(k))
	}
	return counters
}

func (m *metrics) forget(iface string) {
	m.frames.DeletePartialMatch(prometheus.Labels{"interface": iface})
}
