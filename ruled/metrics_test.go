package ruled

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
)

// gather returns the values of a metric by those of its labels, of a histogram the sum.
func (f *fixture) gather(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += l.GetValue() + " "
			}
			if family.GetName() == name {
				all[labels] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
			}
		}
	}
	return all
}

// A host's name is only a label, whatever is in it. A heartbeat is no frame.
func TestMetrics(t *testing.T) {
	f := start(t, testRules)
	stop := f.run(t)
	const hostile = "r2\n\"}\x1b[2J"
	newest := map[string]float64{}
	for n, host := range []string{"r1", hostile, "r1"} {
		e := solicitation(n)
		e.Host, e.Time = host, e.Time.Add(-time.Second)
		newest[host] = float64(e.Time.UnixNano()) / 1e9
		f.publish(t, e)
		f.nextAlert(t)
	}
	beat := solicitation(3)
	beat.ND, beat.ICMP6, beat.Inet6, beat.Ethernet = nil, nil, nil, nil
	beat.Sensor = &schemas.Heartbeat{Started: beat.Time, Interval: 10}
	f.publish(t, beat)
	f.waitAcknowledged(t)

	want := map[string]float64{
		"r1 all-ns info ": 2, `r2?"}?[2J all-ns info `: 1,
		"other other critical ": 0, "other other warning ": 0, "other other info ": 0,
	}
	if diff := cmp.Diff(want, f.gather(t, "nd_ruled_alerts_total")); diff != "" {
		t.Errorf("alerts by host, rule and severity (-want +got):\n%s", diff)
	}
	times := f.gather(t, "nd_ruled_newest_event_timestamp_seconds")
	for host, label := range map[string]string{"r1": "r1 ", hostile: `r2?"}?[2J `} {
		if got := times[label]; math.Abs(got-newest[host]) > 1e-3 {
			t.Errorf("newest event of %q at %v, want %v", host, got, newest[host])
		}
	}
	if sum := f.gather(t, "nd_ruled_alert_latency_seconds")[""]; sum < 3 {
		t.Errorf("latency of three alerts: %v s, each was a second late", sum)
	}
	if n := f.counter(t, "nd_ruled_partitions"); n != schemas.Partitions {
		t.Errorf("%v partitions", n)
	}
	if n := f.counter(t, "nd_ruled_pending_batches"); n != 0 {
		t.Errorf("%v batches wait", n)
	}
	stop()
}
