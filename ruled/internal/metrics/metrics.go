// Package metrics has the counters of ruled.
package metrics

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the counters. Those with labels are looked up once, because that costs more than a rule.
type Metrics struct {
	Hosts                       *Hosts
	Events, Invalid, Missed     prometheus.Counter
	Alerts                      *Alerts
	Latency                     prometheus.Histogram
	AlertsAgain, Suppressed     prometheus.Counter
	Unstored, Unwritten         prometheus.Counter
	Relays, RelaysLost          prometheus.Counter
	RelaysLate, RelaysNothing   prometheus.Counter
	Rules                       prometheus.Gauge
	ReloadsTaken, ReloadsFailed prometheus.Counter
}

// New registers the counters.
func New(r prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vector := func(name, label, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	hosts := &Hosts{labels: map[string]string{}}
	relays := vector("nd_ruled_relays_total", "outcome", "Relay commands, by outcome: sent; lost, for NATS was away; late, for the event waited too long; or no_target, for the event that matched is no Neighbor Solicitation.")
	reloads := vector("nd_ruled_reloads_total", "outcome", "Times that a new rule file or new central rules were read, by outcome.")
	m := &Metrics{
		Hosts:   hosts,
		Events:  counter("nd_ruled_events_total", "Events evaluated, without the heartbeats of sensors."),
		Invalid: counter("nd_ruled_invalid_messages_total", "Lines of stored batches that are no event of the batch's subject; they were dropped."),
		Missed:  counter("nd_ruled_missed_batches_total", "Batches of events that the stream dropped before they were evaluated."),
		Alerts:  newAlerts(hosts),
		Latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "nd_ruled_alert_latency_seconds",
			Help:    "Time from the capture of a frame to its alert.",
			Buckets: []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 30, 300}, // a sensor keeps events while NATS is away
		}),
		AlertsAgain:   counter("nd_ruled_alerts_repeated_total", "Alerts not raised again for an event that was delivered again."),
		Unstored:      counter("nd_ruled_unstored_alerts_total", "Alerts that were written and not stored: there was no room for them."),
		Unwritten:     counter("nd_ruled_unwritten_alerts_total", "Alerts that were stored and not written: the program that reads them is too slow."),
		Suppressed:    counter("nd_ruled_suppressed_matches_total", "Matches of rules that their thresholds have suppressed; the next alert of the rule counts them."),
		Relays:        relays.WithLabelValues("sent"),
		RelaysLost:    relays.WithLabelValues("lost"),
		RelaysLate:    relays.WithLabelValues("late"),
		RelaysNothing: relays.WithLabelValues("no_target"),
		Rules:         prometheus.NewGauge(prometheus.GaugeOpts{Name: "nd_ruled_rules", Help: "Rules in force."}),
		ReloadsTaken:  reloads.WithLabelValues("taken"),
		ReloadsFailed: reloads.WithLabelValues("refused"),
	}
	for _, c := range []prometheus.Collector{m.Events, m.Invalid, m.Missed, m.Alerts.total, m.Latency, m.AlertsAgain, m.Unstored, m.Unwritten, m.Suppressed, relays, m.Rules, reloads} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register ruled's counters: %w", err)
		}
	}
	return m, nil
}
