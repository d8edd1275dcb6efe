package alert

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// handed is an alert as a program gets it.
type handed struct {
	Alert string
	Seq   uint64
	After time.Duration // since the test began
}

// An alert is handed over when it is stored, and after a moment if it is not, each once and in their order.
func TestOutboxHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var got []handed
		o := newOutbox(func(alert []byte, seq uint64) {
			got = append(got, handed{string(alert), seq, time.Since(began)})
		}, 1<<10, false)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); o.run(ctx) }()
		for n := range 4 {
			o.raise(ctx, []byte(strconv.Itoa(n)), true)
		}
		o.store(7)
		synctest.Wait()
		time.Sleep(giveAfter / 2)
		o.store(8)
		synctest.Wait()
		time.Sleep(giveAfter)
		// The last two were handed over by now. That they are stored changes nothing.
		o.store(9)
		o.raise(ctx, []byte("4"), true)
		o.store(10)
		o.store(11)
		synctest.Wait()
		o.raise(ctx, []byte("never"), false)
		o.raise(ctx, []byte("5"), true)
		synctest.Wait()
		cancel() // with the rest at the end
		<-ended
		want := []handed{{"0", 7, 0}, {"1", 8, giveAfter / 2}, {"2", 0, giveAfter}, {"3", 0, giveAfter}, {"4", 11, 3 * giveAfter / 2}, {"never", 0, 3 * giveAfter / 2}, {"5", 0, 3 * giveAfter / 2}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A program that is slow is waited for. One that is stuck is not, unless nothing may be left out.
func TestOutboxIsBounded(t *testing.T) {
	for _, lossless := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const alerts = 40
			const most = 1 << 20
			big := make([]byte, most/10)
			release := make(chan struct{})
			var got []int
			o := newOutbox(func(alert []byte, _ uint64) {
				if len(got) == 5 {
					<-release
				}
				got = append(got, int(alert[0]))
			}, most, lossless)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); o.run(ctx) }()
			raised := make(chan struct{})
			go func() {
				defer close(raised)
				for n := range alerts {
					o.raise(ctx, append([]byte{byte(n)}, big...), true)
					o.store(0)
				}
			}()
			if lossless {
				time.Sleep(time.Hour)
				select {
				case <-raised:
					t.Fatal("alerts are left out")
				default:
				}
				close(release)
				<-raised
			} else {
				<-raised // although it is stuck
				close(release)
			}
			synctest.Wait()
			cancel()
			<-ended
			if !slices.IsSorted(got) || got[len(got)-1] != alerts-1 {
				t.Errorf("handed over: %v", got)
			}
			if lost := alerts - len(got); (lost == 0) != lossless || uint64(lost) != o.dropped {
				t.Errorf("%d of %d alerts are left out, counted %d", lost, alerts, o.dropped)
			}
		})
	}
}
