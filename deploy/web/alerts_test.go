package web

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// simple returns an alert without an event in order.
func simple(rule string, severity schemas.Severity, host string, station int) schemas.Alert {
	event := schemas.Event{
		Type: schemas.TypeEvent, ID: "e", Time: time.Now().UTC(), Host: host, Interface: "eth0", Direction: schemas.In,
		Ethernet: &schemas.Ethernet{Source: schemas.MACOf(2<<40 | uint64(station)), VLAN: new(uint16(7))},
	}
	return schemas.Alert{
		Type: schemas.TypeAlert, Time: event.Time, Severity: severity, Host: host, Interface: "eth0", Rule: rule, Summary: "Summary of " + rule, ID: "e." + rule, Event: event.AppendJSON(nil),
	}
}

// Alerts are grouped, filtered, and a flood of stations is one row.
func TestGroups(t *testing.T) {
	t.Parallel()
	url, js := startNATS(t)
	storeAlerts(t, js, 2, func(int) schemas.Alert { return simple("a", schemas.Warning, "r1", 1) })
	storeAlerts(t, js, 1, func(int) schemas.Alert { return simple("a", schemas.Warning, "r1", 2) })
	storeAlerts(t, js, 1, func(int) schemas.Alert { return simple("b", schemas.Critical, "r2", 3) })
	storeAlerts(t, js, 500, func(n int) schemas.Alert { return simple("flood", schemas.Info, "r1", 100+n) })
	for _, broken := range []string{"", "{", `{"type":"nd.alert.v1"}`, `{"type":"nd.alert.v1","rule":"` + strings.Repeat("x", 2000) + `"}`} {
		_, err := js.Publish(t.Context(), schemas.SubjectAlerts, []byte(broken))
		must(t, err)
	}
	site := startSite(t, url, js)
	lab.Eventually(t, "all alerts", func() bool { list, dropped := site.s.model.Alerts(); return len(list) == 504 && dropped == 4 })
	rows := func(query string) (rows []string) {
		t.Helper()
		r := testRequest(t, "/?"+query)
		data, err := site.s.groups(t.Context(), r)
		must(t, err)
		for _, g := range data.(nowPage).Groups {
			rows = append(rows, fmt.Sprintf("%s %s %s %s %d/%d", g.Severity, g.Rule, g.Link, g.Station, g.Stations, g.Alerts))
		}
		return rows
	}
	const one, two, b = "warning a r1/eth0.7 02:00:00:00:00:01 1/2", "warning a r1/eth0.7 02:00:00:00:00:02 1/1", "critical b r2/eth0.7 02:00:00:00:00:03 1/1"
	const flood = "info flood r1/eth0.7  500/500"
	for query, want := range map[string][]string{
		"":                              {b, two, one},
		"severity=critical":             {b},
		"severity=info":                 {b, two, one, flood},
		"severity=info&host=r1":         {two, one, flood},
		"rule=a&q=00:00:02":             {two},
		"q=SUMMARY+OF+B":                {b},
		"severity=info&interface=eth1":  nil,
		"severity=info&q=R2/ETH0.7":     {b},
		"severity=nonsense&host=&rule=": {b, two, one},
	} {
		if diff := cmp.Diff(want, rows(query)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", query, diff)
		}
	}
	if got := rows("severity=info&rule=flood&each=1&page=5"); len(got) != 100 {
		t.Errorf("%d rows on the last page of a flood", len(got))
	}
	_, body := site.get("/")
	if !strings.Contains(body, "4 messages in the stream are no alerts") {
		t.Errorf("what is dropped is not shown:\n%s", body)
	}
}

// What is silenced on one page is silenced on all, and a group that is acknowledged comes back with the next alert.
func TestSilences(t *testing.T) {
	t.Parallel()
	natsURL, js := startNATS(t)
	storeAlerts(t, js, 1, func(int) schemas.Alert { return simple("a", schemas.Warning, "r1", 1) })
	one := startSite(t, natsURL, js, func(c *Config, _ *string) { c.UserHeader = "X-Remote-User" })
	other := startSite(t, natsURL, js)
	ann := header("X-Remote-User", "ann")
	shows := func(text string, want bool) {
		t.Helper()
		lab.Eventually(t, fmt.Sprintf("the page shows %q: %v", text, want), func() bool {
			_, body := other.get("/")
			return strings.Contains(body, text) == want
		})
	}
	shows("Summary of a", true)
	form := url.Values{"rule": {"a"}, "host": {"r1"}, "interface": {"eth0"}, "vlan": {"7"}, "station": {"02:00:00:00:00:01"}, "for": {"1h"}, "reason": {"known"}, "kind": {schemas.Silenced}, "who": {"eve"}}
	answer, body := one.post("/silence", form.Encode(), ann)
	if answer.StatusCode != 303 {
		t.Fatalf("%s\n%s", answer.Status, body)
	}
	group := answer.Header.Get("Location")
	if _, body := one.get(group, ann); !strings.Contains(body, "Silenced by ann at") || !strings.Contains(body, "End the silence") {
		t.Errorf("the silence is not shown at once:\n%s", body)
	}
	shows("Summary of a", false)
	shows("1 groups are acknowledged or silenced", true)
	if _, body := other.get("/?hidden=1"); !strings.Contains(body, "Silenced by ann") {
		t.Errorf("who silenced it is not shown:\n%s", body)
	}
	storeAlerts(t, js, 1, func(int) schemas.Alert { return simple("a", schemas.Warning, "r1", 1) })
	shows("<strong>2</strong> warning", true)
	shows("Summary of a", false)

	key := schemas.Silence{Rule: "a", Host: "r1", Interface: "eth0", VLAN: new(uint16(7)), Ethernet: new(schemas.MACOf(2<<40 | 1))}
	form.Set("key", key.Key())
	if answer, body := one.post("/unsilence", form.Encode(), ann); answer.StatusCode != 303 {
		t.Errorf("%s\n%s", answer.Status, body)
	}
	shows("Summary of a", true)

	form.Set("kind", schemas.Acknowledged)
	one.post("/silence", form.Encode(), ann)
	shows("Summary of a", false)
	storeAlerts(t, js, 1, func(int) schemas.Alert { return simple("a", schemas.Warning, "r1", 1) })
	shows("Summary of a", true)

	// One for all stations of the link, which ends by itself.
	form.Del("station")
	form.Set("kind", schemas.Silenced)
	form.Set("for", "2s")
	one.post("/silence", form.Encode(), ann)
	shows("Summary of a", false)
	shows("Summary of a", true)
	// What others write into the bucket does no harm.
	for _, broken := range []string{"", "{}", `{"type":"nd.silence.v1"}`} {
		_, err := js.Publish(t.Context(), key.Subject(), []byte(broken))
		must(t, err)
	}
	shows("Summary of a", true)
}
