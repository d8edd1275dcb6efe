package metrics

import (
	"sync"

	"github.com/ndmon/ndmon/ruled/internal/printable"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxHosts bounds the hosts with series of their own, maxAlerts the series of alerts. Hosts come from the
	// network, and rules change.
	maxHosts  = 1000
	maxAlerts = 10_000
	// other is the label of everything beyond these bounds.
	other = "other"
	// maxLabel is the most characters of a host or rule in a label.
	maxLabel = 128
)

// Hosts has the hosts with series of their own.
type Hosts struct {
	mu     sync.Mutex
	labels map[string]string // by name
}

// Label returns the label of a host: its name, made printable, or "other" if there are too many hosts.
func (h *Hosts) Label(host string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	label, ok := h.labels[host]
	switch {
	case ok:
		return label
	case len(h.labels) >= maxHosts:
		return other
	}
	label = printable.Replace(host, maxLabel)
	h.labels[host] = label
	return label
}

// Alerts counts the alerts by rule, severity and host.
type Alerts struct {
	hosts *Hosts
	total *prometheus.CounterVec

	mu     sync.Mutex
	series map[alert]prometheus.Counter
}

type alert struct {
	rule     string
	severity schemas.Severity
	host     string
}

func newAlerts(hosts *Hosts) *Alerts {
	a := &Alerts{hosts: hosts, series: map[alert]prometheus.Counter{}, total: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nd_ruled_alerts_total", Help: "Alerts raised, by rule, severity and host; those beyond 10,000 series, and of hosts beyond 1,000, by severity alone.",
	}, []string{"rule", "severity", "host"})}
	for _, s := range []schemas.Severity{schemas.Info, schemas.Warning, schemas.Critical} {
		a.add(alert{other, s, other})
	}
	return a
}

// Inc counts an alert.
func (a *Alerts) Inc(rule string, severity schemas.Severity, host string) {
	key := alert{rule, severity, a.hosts.Label(host)}
	a.mu.Lock()
	defer a.mu.Unlock()
	counter, ok := a.series[key]
	switch {
	case ok:
	case key.host == other, len(a.series) >= maxAlerts:
		counter = a.series[alert{other, severity, other}]
	default:
		counter = a.add(key)
	}
	counter.Inc()
}

func (a *Alerts) add(key alert) prometheus.Counter {
	a.series[key] = a.total.WithLabelValues(printable.Replace(key.rule, maxLabel), string(key.severity), key.host)
	return a.series[key]
}
