package ruled

import (
	"fmt"

	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are ruled's counters, each labelled one resolved once: looking them
// up by label for every event costs more than a rule.
type metrics struct {
	events, invalid, missed     prometheus.Counter
	alerts                      map[schemas.Severity]prometheus.Counter
	alertsAgain                 prometheus.Counter
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
		Name: "nd_ruled_relays_total", Help: "Relay commands, by outcome: sent; lost, for NATS was away; or without a target, for the event that matched is no Neighbor Solicitation.",
	}, []string{"outcome"})
	reloads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nd_ruled_reloads_total", Help: "Times that the rule file was read again, by outcome.",
	}, []string{"outcome"})
	m := &metrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nd_ruled_events_total", Help: "Events evaluated.",
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
		relays:        relays.WithLabelValues("sent"),
		relaysLost:    relays.WithLabelValues("lost"),
		relaysNothing: relays.WithLabelValues("no target"),
		rules: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nd_ruled_rules", Help: "Rules in force.",
		}),
		reloadsTaken:  reloads.WithLabelValues("taken"),
		reloadsFailed: reloads.WithLabelValues("refused"),
	}
	for _, c := range []prometheus.Collector{m.events, m.invalid, m.missed, alerts, m.alertsAgain, relays, m.rules, reloads} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register ruled's counters: %w", err)
		}
	}
	return m, nil
}
