package web

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/deploy/web/model"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// The newest alerts are kept, whatever comes, and those of a stream that is made again.
func TestNewestAlerts(t *testing.T) {
	t.Parallel()
	url, js := startNATS(t)
	numbered := func(from int) func(int) schemas.Alert {
		return func(n int) schemas.Alert { return simple(fmt.Sprint("rule-", from+n), schemas.Warning, "r1", 1) }
	}
	storeAlerts(t, js, 12_000, numbered(0))
	site := startSite(t, url, js)
	newest := func(want int, rule string) {
		t.Helper()
		lab.Eventually(t, "the newest is "+rule, func() bool {
			list, dropped := site.s.model.Alerts()
			return len(list) == want && list[want-1].Rule == rule && dropped == 0
		})
	}
	newest(model.MaxAlerts, "rule-11999")
	before, _ := site.s.model.Alerts()
	for n := range 5 {
		storeAlerts(t, js, 1000, numbered(12_000+n*1000))
		newest(model.MaxAlerts, fmt.Sprint("rule-", 12_999+n*1000))
	}
	if before[0].Rule != "rule-2000" || before[len(before)-1].Rule != "rule-11999" {
		t.Error("a list that was read has changed")
	}
	must(t, js.DeleteStream(t.Context(), schemas.StreamAlerts))
	_, err := bus.EnsureStreams(t.Context(), js, bus.StreamConfig{NoEvents: true, AlertsBytes: 1 << 20, AlertsAge: time.Hour, HistoryBytes: 1 << 20, HistoryAge: time.Hour})
	must(t, err)
	storeAlerts(t, js, 3, numbered(0))
	newest(3, "rule-2")
	if faults := strings.Join(site.s.model.Faults(), "\n"); strings.Contains(faults, "alerts") {
		t.Error(faults)
	}
}

// Links and neighbours are those that are stored, and ruled is asked for newer ones while a user looks at them.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	url, js := startNATS(t)
	storeState(t, js, 250)
	site := startSite(t, url, js)
	asked := make(chan string, 100)
	_, err := connect(t, url, "ruled").Subscribe("nd.state.*", func(subject string, _ []byte) { asked <- subject })
	must(t, err)
	lab.Eventually(t, "the neighbours", func() bool { return len(site.s.model.Neighbours()) == 250 })
	data, err := site.s.neighbours(t.Context(), testRequest(t, "/neighbours?page=2"))
	must(t, err)
	if d := data.(neighboursPage); len(d.Rows) != 50 || d.Pager.First != 201 || d.Pager.Rows != 250 || d.Pager.Before != "/neighbours?page=1" || d.Pager.After != "" {
		t.Errorf("%+v", d.Pager)
	}
	if subject := <-asked; !strings.HasPrefix(subject, "nd.state.") {
		t.Error(subject)
	}
	storeState(t, js, 10)
	lab.Eventually(t, "the newer state", func() bool { return len(site.s.model.Neighbours()) == 10 })
	for query, want := range map[string]int{
		"what=2001:db8::5": 1, "what=2001:db8::/125": 8, "what=02:00:00:00:00:07": 1, "what=r1": 0, "interface=eth1": 10, "interface=eth2": 0,
		"vendor=IMG": 10, "vendor=cisco": 0, "since=1h": 10, "since=2026-01-01": 10, "page=9": 10,
	} {
		data, err := site.s.neighbours(t.Context(), testRequest(t, "/neighbours?"+query))
		must(t, err)
		if got := len(data.(neighboursPage).Rows); got != want {
			t.Errorf("%s: %d rows, want %d", query, got, want)
		}
	}
	// What is no state is a line on the page, and the rest stays.
	store, err := js.ObjectStore(t.Context(), schemas.BucketState)
	must(t, err)
	_, err = store.PutBytes(t.Context(), "ruled-4", []byte("no state"))
	must(t, err)
	lab.Eventually(t, "the fault is shown", func() bool {
		_, body := site.get("/links")
		return strings.Contains(body, "neighbours: read state ruled-4") && strings.Contains(body, "10 addresses")
	})
}

// A frame that is entered is compared with what is known of its link.
func TestWhyOnALink(t *testing.T) {
	t.Parallel()
	site := full(t)
	answer, body := site.post("/why", "frame="+strings.ReplaceAll(pairs(frameBytes(), 1), " ", "")+"&on=r1%3Cimg+src%3Dx+onerror%3Dalert%281%29%3E%22%27%26%1B%5B31m%E2%80%AE%2Feth1")
	if answer.StatusCode != http.StatusOK || !strings.Contains(body, "link.station.new") && !strings.Contains(body, "link.claim") {
		t.Errorf("%s: the link is not known:\n%s", answer.Status, body)
	}
	if !strings.Contains(body, "selected") {
		t.Error("the link is not chosen any more")
	}
}

// The answers of the pingers appear, and what others send in their place is bounded.
func TestFind(t *testing.T) {
	t.Parallel()
	url, js := startNATS(t)
	storeHistory(t, js)
	site := startSite(t, url, js)
	pinger := connect(t, url, "pinger").NATS()
	_, err := pinger.Subscribe(schemas.SubjectRelayAll, func(m *nats.Msg) {
		var command schemas.Relay
		if command.ParseJSON(m.Data) != nil {
			return
		}
		mac := schemas.MAC{2}
		r := schemas.Result{
			Type: schemas.TypeResult, ID: "x", Time: time.Now().UTC(), Host: "r9" + hostile, Relay: command.ID, Target: command.Target, Slave: "eth7", Status: schemas.Reachable, RTT: "1ms", Ethernet: &mac,
		}
		for n := range 2000 {
			r.Slave = fmt.Sprint("eth", n)
			pinger.Publish(schemas.ResultSubject(r.Host), r.AppendJSON(nil))
		}
	})
	must(t, err)
	must(t, pinger.Flush())
	lab.Eventually(t, "the rights are known", func() bool { return site.s.model.Rights().Find })
	if answer, body := site.post("/find", "address=2001:db8::42"); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/find?address=2001%3Adb8%3A%3A42" {
		t.Errorf("%s %s\n%s", answer.Status, answer.Header.Get("Location"), body)
	}
	lab.Eventually(t, "the answers", func() bool {
		_, body := site.get("/find?address=2001:db8::42")
		return strings.Contains(body, "eth7  02:00:00:00:00:00  1ms") && !strings.Contains(body, "may still come") && strings.Contains(body, "contested")
	})
	if _, body := site.get("/find?address=2001:db8::42"); len(body) > 4*maxFound {
		t.Errorf("the page has %d bytes", len(body))
	}
	if _, body := site.get("/find?address=fe80::1"); !strings.Contains(body, "link-local") {
		t.Errorf("an address that cannot be looked for:\n%s", body)
	}
}

// What was found is kept for a while, in a bounded number.
func TestFindsAreBounded(t *testing.T) {
	t.Parallel()
	url, js := startNATS(t)
	site := startSite(t, url, js)
	at := func(n int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", n)) }
	for n := range maxFinds {
		site.s.finds.list[at(n+1)] = &found{asked: time.Now(), done: true}
	}
	for n := range maxAsking {
		if !site.s.start(at(1000 + n)) {
			t.Errorf("search %d is refused", n)
		}
	}
	if site.s.start(at(2000)) {
		t.Error("one search more")
	}
	if !site.s.start(at(1000)) {
		t.Error("a search that is under way is refused")
	}
	site.s.finds.mu.Lock()
	defer site.s.finds.mu.Unlock()
	if n := len(site.s.finds.list); n > maxFinds {
		t.Errorf("%d answers are kept", n)
	}
}
