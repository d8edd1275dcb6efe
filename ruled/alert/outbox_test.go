package alert

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

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
			o.raise(ctx, raised{[]byte("alert "), strconv.Itoa(n) + " after ", uint64(n) + 7})
		}
		synctest.Wait()
		if len(got) != 3 {
			t.Errorf("handed over at once: %q", got)
		}
		o.raise(ctx, raised{[]byte("the last "), "3 after ", 9})
		cancel()
		<-ended
		want := []string{"alert 0 after 7", "alert 1 after 8", "alert 2 after 9", "the last 3 after 9"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A program that is slow is waited for. For one that is stuck the oldest alerts are left out,
// and counted.
func TestOutboxIsBounded(t *testing.T) {
	for _, slow := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) { testBound(t, slow) })
	}
}

func testBound(t *testing.T, slow bool) {
	const alerts = 40
	const most = 1 << 20
	big := make([]byte, most/10)
	release := make(chan struct{})
	var got []int
	dropped := newDropped()
	o := newOutbox(func(alert []byte, _ string, _ uint64) {
		switch {
		case slow:
			time.Sleep(stuckAfter / 2)
		case len(got) == 5:
			<-release
		}
		got = append(got, int(alert[0]))
	}, most, dropped)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); o.run(ctx) }()
	began := time.Now()
	for n := range alerts {
		o.raise(ctx, raised{alert: append([]byte{byte(n)}, big...)})
		if n < 6 {
			synctest.Wait()
		}
	}
	took := time.Since(began)
	close(release)
	cancel()
	<-ended
	if !slices.IsSorted(got) || got[len(got)-1] != alerts-1 || len(got) < 6+9 {
		t.Errorf("handed over: %v", got)
	}
	if lost := alerts - len(got); (lost == 0) != slow || testutil.ToFloat64(dropped) != float64(lost) {
		t.Errorf("%d of %d alerts are left out, counted %v", lost, alerts, testutil.ToFloat64(dropped))
	}
	if !slow && took != stuckAfter {
		t.Errorf("who raises alerts waited for %v", took)
	}
}
