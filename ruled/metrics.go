package ruled

import (
	"fmt"

	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are ruled's counters, each labelled one resolved once: looking them
// up by label for every event costs more than a rule.
type metrics struct {
	events, invalid, missed     prometheus.Counter
	alerts                      map[schemas.Severity]prometheus.Counter
	alertsAgain, suppressed     prometheus.Counter
	unstored                    prometheus.Counter
	relays, relaysLost          prometheus.Counter
	relaysNothing               prometheus.Counter
	rules                       prometheus.Gauge
	reloadsTaken, reloadsFailed prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	alerts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nd_ruled_alerts_total", Help: "Alerts raised, by severity.",
	}, []string{"severity"})
	relays := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nd_ruled_relays_total", Help: "Relay commands, by outcome: sent; lost, for NATS was away; or no_target, for the event that matched is no Neighbor Solicitation.",
	}, []string{"outcome"})
	reloads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nd_ruled_reloads_total", Help: "Times that the rule file was read again, by outcome.",
	}, []string{"outcome"})
	m := &metrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_ruled_events_total", Help: "Events evaluated, without the heartbeats of sensors.",
		}),
		invalid: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_ruled_invalid_messages_total", Help: "Messages on an event subject that are no event of that subject; they were dropped.",
		}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_ruled_missed_events_total", Help: "Events that the stream dropped before they were evaluated.",
		}),
		alerts: map[schemas.Severity]prometheus.Counter{
			schemas.Info:     alerts.WithLabelValues(string(schemas.Info)),
			schemas.Warning:  alerts.WithLabelValues(string(schemas.Warning)),
			schemas.Critical: alerts.WithLabelValues(string(schemas.Critical)),
		},
		alertsAgain: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_ruled_alerts_repeated_total", Help: "Alerts not raised again for an event that was delivered again.",
		}),
		unstored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_ruled_unstored_alerts_total", Help: "Alerts that were written and not stored: there was no room for them.",
		}),
		suppressed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_ruled_suppressed_matches_total", Help: "Matches of rules that their thresholds have suppressed; the next alert of the rule counts them.",
		}),
		relays:        relays.WithLabelValues("sent"),
		relaysLost:    relays.WithLabelValues("lost"),
		relaysNothing: relays.WithLabelValues("no_target"),
		rules: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nd_ruled_rules", Help: "Rules in force.",
		}),
		reloadsTaken:  reloads.WithLabelValues("taken"),
		reloadsFailed: reloads.WithLabelValues("refused"),
	}
	for _, c := range []prometheus.Collector{m.events, m.invalid, m.missed, alerts, m.alertsAgain, m.unstored, m.suppressed, relays, m.rules, reloads} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register ruled's counters: %w", err)
		}
	}
	return m, nil
}

// known is how much ruled remembers.
type known struct {
	link.Stats
	thresholdsDropped uint64
	sensors, silent   int
	sensorsEvicted    uint64
}

// known returns how much is remembered or, while an event waits for its alerts to
// be stored, how much was: who looks at the figures must not wait with it.
func (e *evaluation) known() known {
	if e.mu.TryLock() {
		e.figures.Store(&known{e.links.Stats(), e.thresholds.Dropped(), e.sensors.order.Len(), e.sensors.silent, e.sensors.evicted})
		e.mu.Unlock()
	}
	if k := e.figures.Load(); k != nil {
		return *k
	}
	return known{}
}

// registerState registers what is known of the links.
func (e *evaluation) registerState(r prometheus.Registerer) error {
	stats := func(of func(known) float64) func() float64 {
		return func() float64 { return of(e.known()) }
	}
	for _, c := range []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "nd_ruled_links", Help: "Links that something is known of."},
			stats(func(k known) float64 { return float64(k.Links) })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "nd_ruled_stations", Help: "Ethernet addresses that are remembered."},
			stats(func(k known) float64 { return float64(k.Stations) })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "nd_ruled_neighbours", Help: "IPv6 addresses that are remembered."},
			stats(func(k known) float64 { return float64(k.Addresses) })),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "nd_ruled_neighbours_evicted_total", Help: "IPv6 addresses that were forgotten for want of room."},
			stats(func(k known) float64 { return float64(k.Evicted) })),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "nd_ruled_links_evicted_total", Help: "Links that were forgotten for want of room, with all that was known of them."},
			stats(func(k known) float64 { return float64(k.EvictedLinks) })),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "nd_ruled_thresholds_evicted_total", Help: "Counts of thresholds that were forgotten for want of room before their time was over."},
			stats(func(k known) float64 { return float64(k.thresholdsDropped) })),
		prometheus.NewGaugeFunc(sensorsIn("heard"), stats(func(k known) float64 { return float64(k.sensors - k.silent) })),
		prometheus.NewGaugeFunc(sensorsIn("silent"), stats(func(k known) float64 { return float64(k.silent) })),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "nd_ruled_sensors_evicted_total", Help: "Sensors that were forgotten because there were too many, those that were silent for longest."},
			stats(func(k known) float64 { return float64(k.sensorsEvicted) })),
	} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register ruled's counters: %w", err)
		}
	}
	return nil
}

func sensorsIn(state string) prometheus.GaugeOpts {
	return prometheus.GaugeOpts{
		Name: "nd_ruled_sensors", Help: "Sensors that publish heartbeats: heard, or silent, which were reported as lost.",
		ConstLabels: prometheus.Labels{"state": state},
	}
}
