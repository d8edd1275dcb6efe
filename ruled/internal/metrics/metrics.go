// Package metrics has the counters of ruled.
package metrics

import (
	"fmt"

	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the counters. Those with labels are looked up once, because that costs more
// than a rule.
type Metrics struct {
	Events, Invalid, Missed     prometheus.Counter
	Alerts                      map[schemas.Severity]prometheus.Counter
	AlertsAgain, Suppressed     prometheus.Counter
	Unstored                    prometheus.Counter
	Relays, RelaysLost          prometheus.Counter
	RelaysNothing               prometheus.Counter
	Rules                       prometheus.Gauge
	ReloadsTaken, ReloadsFailed prometheus.Counter
}

// New registers the counters.
func New(r prometheus.Registerer) (*Metrics, error) {
	alerts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nd_ruled_alerts_total", Help: "Alerts raised, by severity.",
	}, []string{"severity"})
	relays := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nd_ruled_relays_total", Help: "Relay commands, by outcome: sent; lost, for NATS was away; or no_target, for the event that matched is no Neighbor Solicitation.",
	}, []string{"outcome"})
	reloads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nd_ruled_reloads_total", Help: "Times that the rule file was read again, by outcome.",
	}, []string{"outcome"})
	m := &Metrics{
		Events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_ruled_events_total", Help: "Events evaluated, without the heartbeats of sensors.",
		}),
		Invalid: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_ruled_invalid_messages_total", Help: "Messages on an event subject that are no event of that subject; they were dropped.",
		}),
		Missed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_ruled_missed_events_total", Help: "Events that the stream dropped before they were evaluated.",
		}),
		Alerts: map[schemas.Severity]prometheus.Counter{
			schemas.Info:     alerts.WithLabelValues(string(schemas.Info)),
			schemas.Warning:  alerts.WithLabelValues(string(schemas.Warning)),
			schemas.Critical: alerts.WithLabelValues(string(schemas.Critical)),
		},
		AlertsAgain: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_ruled_alerts_repeated_total", Help: "Alerts not raised again for an event that was delivered again.",
		}),
		Unstored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_ruled_unstored_alerts_total", Help: "Alerts that were written and not stored: there was no room for them.",
		}),
		Suppressed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_ruled_suppressed_matches_total", Help: "Matches of rules that their thresholds have suppressed; the next alert of the rule counts them.",
		}),
		Relays:        relays.WithLabelValues("sent"),
		RelaysLost:    relays.WithLabelValues("lost"),
		RelaysNothing: relays.WithLabelValues("no_target"),
		Rules: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nd_ruled_rules", Help: "Rules in force.",
		}),
		ReloadsTaken:  reloads.WithLabelValues("taken"),
		ReloadsFailed: reloads.WithLabelValues("refused"),
	}
	for _, c := range []prometheus.Collector{m.Events, m.Invalid, m.Missed, alerts, m.AlertsAgain, m.Unstored, m.Suppressed, relays, m.Rules, reloads} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register ruled's counters: %w", err)
		}
	}
	return m, nil
}
