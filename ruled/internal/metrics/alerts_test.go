package metrics

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
)

// counted returns the alerts that were counted, by the labels rule, severity and host.
func counted(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "nd_ruled_alerts_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			all[labels["rule"]+" "+labels["severity"]+" "+labels["host"]] = m.GetCounter().GetValue()
		}
	}
	return all
}

func TestAlerts(t *testing.T) {
	r := prometheus.NewRegistry()
	m, err := New(r)
	if err != nil {
		t.Fatal(err)
	}
	m.Alerts.Inc("rogue-ra", schemas.Critical, "r1")
	m.Alerts.Inc("rogue-ra", schemas.Critical, "r1")
	m.Alerts.Inc("rogue-ra", schemas.Warning, "r1")
	m.Alerts.Inc("rogue-ra", schemas.Critical, "r2\x1b[2J\"\n\xff")
	m.Alerts.Inc("new-station", schemas.Info, strings.Repeat("ä", 1000))
	want := map[string]float64{
		"other critical other": 0, "other warning other": 0, "other info other": 0,
		"rogue-ra critical r1": 2, "rogue-ra warning r1": 1, `rogue-ra critical r2?[2J"??`: 1,
		"new-station info " + strings.Repeat("ä", maxLabel) + "…": 1,
	}
	if diff := cmp.Diff(want, counted(t, r)); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
	if n := testing.AllocsPerRun(100, func() { m.Alerts.Inc("rogue-ra", schemas.Critical, "r1") }); n != 0 {
		t.Errorf("%v allocations for an alert", n)
	}
}

// Whoever invents hosts or has many rules match gets no more series, and the alerts are counted nevertheless.
func TestAlertsBounded(t *testing.T) {
	for name, series := range map[string]struct {
		rules, hosts, want int
	}{
		"hosts": {1, 2 * maxHosts, maxHosts},
		"rules": {2 * maxAlerts, 1, maxAlerts},
		"both":  {50, maxHosts, maxAlerts},
	} {
		t.Run(name, func(t *testing.T) {
			r := prometheus.NewRegistry()
			m, err := New(r)
			if err != nil {
				t.Fatal(err)
			}
			for rule := range series.rules {
				for host := range series.hosts {
					m.Alerts.Inc(fmt.Sprint("rule", rule), schemas.Critical, fmt.Sprint("r", host))
				}
			}
			all, sum := counted(t, r), 0.0
			for _, n := range all {
				sum += n
			}
			if n := len(all); n < series.want || n > series.want+3 {
				t.Errorf("%d series, want %d and one for each severity", n, series.want)
			}
			if sum != float64(series.rules*series.hosts) {
				t.Errorf("%v alerts are counted", sum)
			}
			if others := all["other critical other"]; others == 0 {
				t.Error("none is counted as another's")
			}
		})
	}
}
