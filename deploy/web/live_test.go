package web

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/prometheus/client_golang/prometheus"
)

func testRequest(t testing.TB, path string) *http.Request {
	t.Helper()
	return httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
}

// watch returns the events of a page, one in each string, until the context ends.
func (s *site) watch(ctx context.Context, page string) <-chan string {
	s.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/live?page="+page, nil)
	must(s, err)
	answer, err := http.DefaultClient.Do(r)
	must(s, err)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		s.Fatalf("%s %v", answer.Status, answer.Header)
	}
	events := make(chan string, 100)
	go func() {
		defer answer.Body.Close()
		defer close(events)
		var event strings.Builder
		for lines := bufio.NewReader(answer.Body); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if event.WriteString(line); line == "\n" {
				events <- event.String()
				event.Reset()
			}
		}
	}()
	return events
}

// expect waits for an event with a text.
func (s *site) expect(events <-chan string, text string) {
	s.Helper()
	timeout := time.After(lab.Patience)
	for {
		select {
		case event := <-events:
			if strings.Contains(event, text) {
				return
			}
		case <-timeout:
			s.Fatalf("no event with %q", text)
		}
	}
}

// watching returns the number of watchers and of different pages.
func (s *site) watching() int {
	s.s.live.mu.Lock()
	defer s.s.live.mu.Unlock()
	return s.s.live.watched + len(s.s.live.topics) - min(1, len(s.s.live.topics))
}

// A watcher gets what has changed, and a slow one holds up no other.
func TestLive(t *testing.T) {
	t.Parallel()
	url, js := startNATS(t)
	site := startSite(t, url, js)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// It reads nothing.
	slow, err := http.NewRequestWithContext(ctx, http.MethodGet, site.url+"/live?page=/", nil)
	must(t, err)
	answer, err := http.DefaultClient.Do(slow)
	must(t, err)
	defer answer.Body.Close()
	events := site.watch(ctx, "/")
	expect := func(text string) { t.Helper(); site.expect(events, text) }
	expect("Nothing is wrong")
	for n := range 5 {
		storeAlerts(t, js, 100, func(i int) schemas.Alert { return simple(fmt.Sprint("rule-", n, "-", i), schemas.Warning, "r1", 1) })
		expect(fmt.Sprintf("<strong>%d</strong> warning", (n+1)*100))
	}
	if n := site.watching(); n != 2 {
		t.Errorf("%v watchers", n)
	}
	cancel()
	lab.Eventually(t, "the watchers have left", func() bool { return site.watching() == 0 })
}

// The open pages are bounded.
func TestManyWatchers(t *testing.T) {
	h := newHub(prometheus.NewGauge(prometheus.GaugeOpts{}))
	p := &page{}
	for n := range maxTopics {
		if w, _ := h.join(p, testRequest(t, fmt.Sprint("/?q=", n)).URL); w == nil {
			t.Fatalf("watcher %d is refused", n)
		}
	}
	if w, _ := h.join(p, testRequest(t, "/?q=more").URL); w != nil {
		t.Error("one more page is rendered")
	}
	for range maxWatchers - maxTopics {
		if w, _ := h.join(p, testRequest(t, "/?q=1").URL); w == nil {
			t.Fatal("a watcher of a page that is rendered is refused")
		}
	}
	if w, _ := h.join(p, testRequest(t, "/?q=1").URL); w != nil {
		t.Error("one more watcher")
	}
}

// While NATS is away, open pages say so, and go on when it is back.
func TestNATSIsAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.Start(t, dir, -1)
	url, port := s.ClientURL(), s.Addr().(*net.TCPAddr).Port
	js := connect(t, url, "fixture").JetStream()
	streams := bus.StreamConfig{NoEvents: true, AlertsBytes: 1 << 20, AlertsAge: time.Hour}
	_, err := bus.EnsureStreams(t.Context(), js, streams)
	must(t, err)
	site := startSite(t, url, js)
	events := site.watch(t.Context(), "/")
	expect := func(text string) { t.Helper(); site.expect(events, text) }
	expect("Nothing is wrong")
	bustest.Stop(s)
	expect("NATS: not connected")
	if answer, body := site.get("/"); answer.StatusCode != http.StatusOK || strings.Count(body, "not connected") != 1 {
		t.Errorf("%s\n%s", answer.Status, body)
	}
	if answer, _ := site.get("/alerts/1"); answer.StatusCode != http.StatusBadGateway {
		t.Errorf("an alert: %s", answer.Status)
	}
	bustest.Start(t, dir, port)
	lab.Eventually(t, "the streams are back", func() bool { _, err := bus.EnsureStreams(t.Context(), js, streams); return err == nil })
	storeAlerts(t, js, 1, func(int) schemas.Alert { return simple("again", schemas.Warning, "r1", 1) })
	expect("Summary of again")
}
