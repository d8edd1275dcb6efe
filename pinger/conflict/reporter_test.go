package conflict

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func start(t *testing.T, publish func(*schemas.Event) error) *Reporter {
	r := New(Config{Host: "r1", Publish: publish, Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	go r.Run(t.Context())
	return r
}

func address(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: byte(n >> 8), byte(n)})
}

func check(t *testing.T, r *Reporter, published, repeated, dropped float64) {
	t.Helper()
	got := []float64{testutil.ToFloat64(r.Metrics.published), testutil.ToFloat64(r.Metrics.repeated), testutil.ToFloat64(r.Metrics.dropped)}
	if diff := cmp.Diff([]float64{published, repeated, dropped}, got); diff != "" {
		t.Errorf("published, repeated, dropped (-want +got):\n%s", diff)
	}
}

func TestEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got schemas.Event
		r := start(t, func(e *schemas.Event) error { got = *e; return nil })
		mac := schemas.MAC{2, 0, 0, 0, 0, 9}
		found := schemas.Conflict{Address: address(1), Ethernet: &mac, Master: true, OtherInterface: "s1"}
		r.Report(found, "m0")
		synctest.Wait()
		want := schemas.Event{Type: schemas.TypeEvent, ID: got.ID, Time: time.Now().UTC(), Host: "r1", Interface: "m0", Direction: schemas.In, Conflict: &found}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || got.ID == "" {
			t.Errorf("id %q (-want +got):\n%s", got.ID, diff)
		}
	})
}

// Each address is published once in 10 s, each interface has its own budget, and memory is bounded.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const seconds, flood = 60, 1000
		got := map[string]int{}
		r := start(t, func(e *schemas.Event) error {
			got[fmt.Sprint(e.Conflict.OtherInterface, " ", e.Conflict.DAD)]++
			return nil
		})
		for second := range seconds {
			report := func(n int, on string, dad bool) {
				r.Report(schemas.Conflict{Address: address(n), OtherInterface: on, DAD: dad}, "m0")
				synctest.Wait()
			}
			for n := range flood {
				report(second*flood+n, "s1", false)
			}
			report(1, "s2", true)
			report(1, "s1", true)
			time.Sleep(time.Second)
		}
		if diff := cmp.Diff(map[string]int{"s1 false": seconds * maxPerSecond, "s2 true": seconds / 10}, got); diff != "" {
			t.Error(diff)
		}
		if n := len(r.last); n > 1+11*maxPerSecond {
			t.Errorf("%d addresses are kept", n)
		}
		check(t, r, seconds*maxPerSecond+seconds/10, seconds*2-seconds/10, seconds*(flood-maxPerSecond))
	})
}

func TestReportDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := start(t, func(*schemas.Event) error { <-release; return errors.New("no connection") })
		const all = 200
		for n := range all {
			r.Report(schemas.Conflict{Address: address(n), OtherInterface: fmt.Sprint("s", n)}, "m0")
			synctest.Wait()
		}
		check(t, r, 0, 0, all-maxWaiting-1)
		close(release)
		synctest.Wait()
		check(t, r, 0, 0, all)
	})
}
