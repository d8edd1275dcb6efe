package notify

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the metrics of a Notifier.
type Metrics struct {
	alerts  *prometheus.CounterVec
	retries *prometheus.CounterVec
	waiting *prometheus.GaugeVec
}

// NewMetrics registers the metrics of receivers with these names.
func NewMetrics(r prometheus.Registerer, receivers ...string) *Metrics {
	m := &Metrics{
		alerts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nd_notify_alerts_total",
			Help: "Alerts for a receiver: delivered, refused (the receiver will never take it), invalid (a message that is not an alert), dropped (by the stream, before the receiver took them; at most so many).",
		}, []string{"receiver", "outcome"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nd_notify_retries_total", Help: "Attempts to deliver alerts to a receiver that failed and are repeated.",
		}, []string{"receiver"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "nd_notify_waiting", Help: "Alerts that are stored and that the receiver does not have yet, before filters.",
		}, []string{"receiver"}),
	}
	r.MustRegister(m.alerts, m.retries, m.waiting)
	for _, name := range receivers {
		m.of(name)
	}
	return m
}

// receiverMetrics are those of one receiver.
type receiverMetrics struct {
	delivered, refused, invalid, dropped, retries prometheus.Counter
	waiting                                       prometheus.Gauge
}

func (m *Metrics) of(name string) receiverMetrics {
	outcome := func(o string) prometheus.Counter { return m.alerts.WithLabelValues(name, o) }
	return receiverMetrics{
		delivered: outcome("delivered"), refused: outcome("refused"), invalid: outcome("invalid"), dropped: outcome("dropped"),
		retries: m.retries.WithLabelValues(name), waiting: m.waiting.WithLabelValues(name),
	}
}
