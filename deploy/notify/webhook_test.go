package notify

import (
	"encoding/json"
	"encoding/pem"
	"flag"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

var update = flag.Bool("update", false, "write the golden files")

// hook is a receiver of webhooks.
type hook struct {
	*httptest.Server
	mu sync.Mutex
	// requests are those that were taken.
	requests []request
	// answers are the statuses of the next requests; after them, all are taken.
	answers []int
}

type request struct {
	Path, Body string
	Header     http.Header
}

func newHook(t *testing.T, answers ...int) *hook {
	h := &hook{answers: answers}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.answers) > 0 {
		status := h.answers[0]
		h.answers = h.answers[1:]
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		if status != http.StatusOK {
			http.Error(w, "no \x1b[2J", status)
			return
		}
	}
	h.requests = append(h.requests, request{r.URL.String(), string(body), r.Header})
}

func (h *hook) taken() []request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.requests)
}

// ids are those in the header of the requests.
func (h *hook) ids() (ids []string) {
	for _, r := range h.taken() {
		ids = append(ids, r.Header.Get("Idempotency-Key"))
	}
	return ids
}

// A webhook gets each alert as it is stored, in order, whatever it answers at first.
func TestWebhook(t *testing.T) {
	h := newHook(t, http.StatusServiceUnavailable, http.StatusOK, http.StatusTooManyRequests, http.StatusUnauthorized, http.StatusFound)
	f := newFixture(t, 1<<30)
	f.start(strings.Replace(h.URL, "http://", "http://user:secret@", 1) + "/hook?key=1#header=X-Team: net+work&name=hook")
	f.store(5)
	f.complete(h.ids)
	first := h.taken()[0]
	want := map[string]string{"Content-Type": "application/json", "X-Team": "net+work", "Authorization": "Basic dXNlcjpzZWNyZXQ="}
	for name, value := range want {
		if got := first.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	var a schemas.Alert
	if err := a.ParseJSON([]byte(first.Body)); err != nil || a.ID != id(0) || first.Path != "/hook?key=1" {
		t.Errorf("%s: %s: %v", first.Path, first.Body, err)
	}
	if retries := f.metric("nd_notify_retries_total", "hook", ""); retries != 4 {
		t.Errorf("%v retries", retries)
	}
	for _, text := range []string{"alerts wait for the receiver", "503 Service Unavailable: no ?[2J", "the receiver takes alerts again"} {
		if !strings.Contains(f.log.String(), text) {
			t.Errorf("%q is not logged:\n%s", text, f.log)
		}
	}
	if strings.Contains(f.log.String(), "secret") {
		t.Errorf("the log has a secret:\n%s", f.log)
	}
}

// An alert that a webhook refuses does not keep the others from it.
func TestWebhookRefuses(t *testing.T) {
	h := newHook(t, http.StatusOK, http.StatusBadRequest)
	f := newFixture(t, 1<<30)
	f.start(h.URL + "#name=hook")
	f.store(4)
	lab.Eventually(t, "the others are delivered", func() bool { return len(h.taken()) == 3 })
	if diff := cmp.Diff([]string{id(0), id(2), id(3)}, h.ids()); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
	lab.Eventually(t, "they are counted", func() bool {
		return f.metric("nd_notify_alerts_total", "hook", "delivered") == 3 && f.metric("nd_notify_alerts_total", "hook", "refused") == 1
	})
}

// A receiver whose certificate is not trusted gets nothing, and one whose is gets alerts.
func TestAuthority(t *testing.T) {
	h := &hook{}
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	for to, want := range map[string]int{server.URL: 0, server.URL + "#ca=" + ca: 1} {
		if n, err := parsed(t, to)[0].send(t.Context(), []*alert{{Alert: *made(0)}}); n != want || (err == nil) != (want == 1) {
			t.Errorf("%s: %d, %v", to, n, err)
		}
	}
}

// hostile are alerts with texts that mean something to chats and terminals.
func hostile() (list []*alert) {
	a := made(7)
	a.Time = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	a.Summary = "<!channel> [click](http://example.org) \x1b[2J & \"quoted\"\n\xff"
	b := *a
	b.Interface, b.Description, b.Summary = "", "", "<b>"
	return []*alert{{Alert: *a}, {Alert: b}}
}

// The messages for chats are valid JSON, and show what is in an alert as text.
func TestChats(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "own.tmpl")
	must(t, os.WriteFile(own, []byte(`{"alerts":[{{range $i, $a := .}}{{if $i}},{{end}}{{json $a.Rule}}{{end}}]}`), 0o600))
	for name, receiver := range map[string]string{"slack": "slack+", "teams": "teams+", "own": ""} {
		t.Run(name, func(t *testing.T) {
			h := newHook(t)
			to := receiver + h.URL
			if name == "own" {
				to += "#batch=20&template=" + own
			}
			list, err := Parse("--to", []string{to})
			must(t, err)
			if n, err := list[0].send(t.Context(), hostile()); n != 2 || err != nil {
				t.Fatal(n, err)
			}
			got := h.taken()
			var value any
			if len(got) != 1 || json.Unmarshal([]byte(got[0].Body), &value) != nil {
				t.Fatalf("%q", got)
			}
			pretty, err := json.MarshalIndent(value, "", "  ")
			must(t, err)
			golden := filepath.Join("testdata", name+".json")
			if *update {
				must(t, os.WriteFile(golden, append(pretty, '\n'), 0o644))
			}
			want, err := os.ReadFile(golden)
			must(t, err)
			if diff := cmp.Diff(string(want), string(pretty)+"\n"); diff != "" {
				t.Errorf("(-want +got; -update writes the file)\n%s", diff)
			}
		})
	}
}
