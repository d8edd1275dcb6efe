package web

import (
	"bufio"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// What the benchmarks have.
const (
	benchNeighbours = 50_000
	benchAlerts     = 10_000
)

// loaded starts a page with many neighbours and alerts, of 50 rules and 1,000 stations.
func loaded(b *testing.B) *site {
	b.Helper()
	url, js := stored(b)
	return onStored(b, url, js)
}

// stored starts a server of NATS that has them.
func stored(b *testing.B) (url string, js jetstream.JetStream) {
	b.Helper()
	url, js = startNATS(b)
	storeState(b, js, benchNeighbours)
	storeAlerts(b, js, benchAlerts, func(n int) schemas.Alert {
		a := warning(n % 1000)
		a.Rule = fmt.Sprint("rule-", n%50)
		return a
	})
	storeHistory(b, js)
	serveStatus(b, url)
	return url, js
}

// onStored starts a page, and waits until it has them.
func onStored(b *testing.B, url string, js jetstream.JetStream) *site {
	b.Helper()
	site := startSite(b, url, js)
	lab.Eventually(b, "the page has what is stored", func() bool {
		list, _ := site.s.model.Alerts()
		return len(list) == benchAlerts && len(site.s.model.Neighbours()) == benchNeighbours && site.s.model.Fleet().Report != nil
	})
	return site
}

// BenchmarkPage is a request for each page over loopback: 200 ms is the limit of the first paint.
func BenchmarkPage(b *testing.B) {
	site := loaded(b)
	for _, path := range []string{
		"/", "/?severity=info&each=1&q=fe80", "/links", "/neighbours", "/neighbours?vendor=x&since=2h&page=3", "/neighbours?what=2001:db8::/112",
		"/addresses/2001:db8::42", "/alerts/5000", "/rules", "/why?alert=5000", "/fleet", "/charts/alerts.svg",
	} {
		b.Run(path, func(b *testing.B) {
			longest := time.Duration(0)
			for b.Loop() {
				start := time.Now()
				if answer, body := site.get(path); answer.StatusCode != http.StatusOK {
					b.Fatalf("%s %s", answer.Status, body)
				}
				longest = max(longest, time.Since(start))
			}
			b.ReportMetric(float64(longest.Microseconds())/1000, "longest-ms")
			if longest > 200*time.Millisecond {
				b.Errorf("the longest took %v", longest)
			}
		})
	}
}

// BenchmarkWatchers is the processor time of 100 watchers of the first page while an alert comes every 100 ms, the server of NATS and
// the watchers' own included, as a share of a core.
func BenchmarkWatchers(b *testing.B) {
	site := loaded(b)
	var events atomic.Int64
	for range 100 {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, site.url+"/live?page=/", nil)
		must(b, err)
		answer, err := http.DefaultClient.Do(r)
		must(b, err)
		go func() { // it ends with the context of the benchmark
			defer answer.Body.Close()
			for lines := bufio.NewReader(answer.Body); ; {
				line, err := lines.ReadSlice('\n')
				if err != nil && err != bufio.ErrBufferFull {
					return
				}
				if strings.HasPrefix(string(line), "event:") {
					events.Add(1)
				}
			}
		}()
	}
	lab.Eventually(b, "all watch", func() bool { return events.Load() >= 100 })
	const measured = 10 * time.Second
	for b.Loop() {
		before, start, at := processorTime(b), events.Load(), time.Now()
		for n := 0; time.Since(at) < measured; n++ {
			storeAlerts(b, site.js, 1, func(int) schemas.Alert { return warning(n) })
			time.Sleep(100 * time.Millisecond)
		}
		b.ReportMetric(100*float64(processorTime(b)-before)/float64(time.Since(at)), "%-of-a-core")
		b.ReportMetric(float64(events.Load()-start)/100/time.Since(at).Seconds(), "events/s")
	}
}

// BenchmarkMemory is the memory in use that a page adds, with that of the server of NATS for what the page has read.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		url, js := stored(b)
		before := inUse()
		site := onStored(b, url, js)
		site.get("/")
		b.ReportMetric(float64(inUse()-before)/1e6, "MB")
	}
}

// inUse returns the bytes that are reachable.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// processorTime returns the processor time that this process used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
