package web

import (
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/ndmon/ndmon/schemas"
)

// paths are those of all pages of the full site.
func paths() []string {
	return []string{
		"/", "/?severity=info&each=1&hidden=1&q=rogue", "/alerts/1", "/links", "/neighbours", "/neighbours?what=2001:db8::/64&vendor=img&since=2h", "/addresses/2001:db8::42",
		"/stations/02:00:00:00:00:01", "/find", "/find?address=2001:db8::42", "/rules", "/why", "/why?alert=1", "/fleet",
	}
}

// What others wrote is escaped on every page, and what is not printable is shown as such.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	site := full(t)
	list, _ := site.s.model.Alerts()
	g := group{Rule: list[0].Rule, Link: list[0].Link, Station: list[0].Station}
	for _, path := range append(paths(), g.URL()) {
		answer, body := site.get(path)
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s\n%s", path, answer.Status, body)
		}
		if strings.Contains(body, "<img src=x") || strings.ContainsFunc(body, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }) {
			t.Errorf("%s has a name as it is:\n%s", path, body)
		}
		if path != "/find" && path != "/why" && path != "/rules" && !strings.Contains(body, "img src=x") {
			t.Errorf("%s does not have the name:\n%s", path, body)
		}
		if got := answer.Header.Get("Content-Security-Policy"); got != policy {
			t.Errorf("%s: the policy is %q", path, got)
		}
		if strings.Contains(body, "style=") || strings.Contains(body, "<style") || strings.Contains(body, "onload") {
			t.Errorf("%s has code or style inside", path)
		}
		if len(answer.Header["Set-Cookie"]) > 0 {
			t.Errorf("%s sets a cookie", path)
		}
	}
}

// An alert has its event with the names of rule fields, its frame, and links to what it is about.
func TestAlertPage(t *testing.T) {
	t.Parallel()
	url, js := startNATS(t)
	storeAlerts(t, js, 1, warning)
	broken := simple("broken", schemas.Info, "r1", 1)
	broken.Event = []byte(`{"nd":{"ra":[1,"x",{"deep":null}]},"other":true}`)
	storeAlerts(t, js, 1, func(int) schemas.Alert { return broken })
	site := startSite(t, url, js)
	_, body := site.get("/alerts/1")
	for _, want := range []string{
		"<dt>nd.ra.lifetime</dt><dd>1800 <small>router lifetime of the RA", "<dt>link.router.unknown</dt><dd>yes", "00000000  33 33 00 00 00 01 02 00", `href="/addresses/fe80::1"`,
		`href="/stations/02:00:00:00:00:00"`, `href="/why?alert=1"`, `href="/group?`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s:\n%s", want, body)
		}
	}
	if strings.Contains(body, "<dt>frame</dt>") || strings.Count(body, "<dt>host</dt>") != 1 {
		t.Errorf("the page has something twice:\n%s", body)
	}
	if answer, body := site.get("/alerts/2"); answer.StatusCode != http.StatusOK || !strings.Contains(body, "not in order") || !strings.Contains(body, "<dt>nd.ra</dt><dd>x") || !strings.Contains(body, "<dt>other</dt><dd>yes") {
		t.Errorf("%s\n%s", answer.Status, body)
	}
	if answer, _ := site.get("/why?alert=2"); answer.StatusCode != http.StatusOK {
		t.Errorf("why: %s", answer.Status)
	}
	if answer, _ := site.get("/alerts/3"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("one that is not there: %s", answer.Status)
	}
}
