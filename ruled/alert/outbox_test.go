package alert

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func newDropped() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "dropped"})
}

// Alerts are handed over in their order, also those that are left when the context ends.
func TestOutboxHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		o := newOutbox(func(alert []byte, id string, after uint64) {
			got = append(got, string(alert)+id+strconv.FormatUint(after, 10))
		}, 1<<10, newDropped())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); o.run(ctx) }()
		for n := range 3 {
			o.raise(raised{[]byte("alert "), strconv.Itoa(n) + " after ", uint64(n) + 7})
		}
		synctest.Wait()
		if len(got) != 3 {
			t.Errorf("handed over at once: %q", got)
		}
		cancel()
		o.raise(raised{[]byte("the last "), "3 after ", 9})
		<-ended
		want := []string{"alert 0 after 7", "alert 1 after 8", "alert 2 after 9", "the last 3 after 9"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A program that is stuck makes nothing wait: the oldest alerts are left out, and counted.
func TestOutboxIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const alerts = 40
		const most = 1 << 20
		big := make([]byte, most/10)
		release := make(chan struct{})
		var got []int
		dropped := newDropped()
		o := newOutbox(func(alert []byte, _ string, _ uint64) {
			if len(got) == 5 {
				<-release
			}
			got = append(got, int(alert[0]))
		}, most, dropped)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); o.run(ctx) }()
		for n := range alerts {
			o.raise(raised{alert: append([]byte{byte(n)}, big...)})
			if n < 6 {
				synctest.Wait()
			}
		}
		close(release)
		cancel()
		<-ended
		if !slices.IsSorted(got) || got[len(got)-1] != alerts-1 || len(got) < 6+9 {
			t.Errorf("handed over: %v", got)
		}
		if lost := alerts - len(got); lost == 0 || testutil.ToFloat64(dropped) != float64(lost) {
			t.Errorf("%d of %d alerts are left out, counted %v", lost, alerts, testutil.ToFloat64(dropped))
		}
	})
}
