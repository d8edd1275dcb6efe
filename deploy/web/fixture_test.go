package web

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/state"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/ndmon/ndmon/schemas/presence"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
)

// hostile is a name that would change the page if it were not escaped: markup, a control character, and one that reverses text.
const hostile = `<img src=x onerror=alert(1)>"'&` + "\x1b[31m\u202e"

// site is a page on a server of NATS with a made-up fleet.
type site struct {
	testing.TB
	url  string
	s    *server
	nats string
	js   jetstream.JetStream
}

// must ends a test that cannot go on.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// connect returns a connection to a server of NATS.
func connect(t testing.TB, url, name string) *bus.Conn {
	t.Helper()
	conn, err := bus.Connect(bus.Config{URL: url}, bus.Options{Name: name, Log: quiet(), Registry: prometheus.NewRegistry()})
	must(t, err)
	t.Cleanup(conn.NATS().Close)
	lab.Eventually(t, "connected to NATS", conn.Connected)
	return conn
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// startNATS starts a server with the streams, and returns its URL.
func startNATS(t testing.TB) (url string, js jetstream.JetStream) {
	t.Helper()
	s := bustest.Start(t, t.TempDir(), -1)
	js = connect(t, s.ClientURL(), "fixture").JetStream()
	_, err := bus.EnsureStreams(t.Context(), js, bus.StreamConfig{
		NoEvents: true, AlertsBytes: 256 << 20, AlertsAge: time.Hour, HistoryBytes: 64 << 20, HistoryAge: 9600 * time.Hour,
	})
	must(t, err)
	return s.ClientURL(), js
}

// startSite starts a page with the configuration on a server of NATS.
func startSite(t testing.TB, url string, js jetstream.JetStream, edit ...func(*Config, *string)) *site {
	t.Helper()
	return startOn(t, url, js, connect(t, url, "page"), edit...)
}

// startOn is startSite on a connection.
func startOn(t testing.TB, url string, js jetstream.JetStream, conn *bus.Conn, edit ...func(*Config, *string)) *site {
	t.Helper()
	cfg, secret := Config{Listen: "127.0.0.1:0"}, ""
	for _, edit := range edit {
		edit(&cfg, &secret)
	}
	s, err := newServer(cfg, secret, time.Now, Deps{
		Log: quiet(), Conn: conn, Health: func(error) {}, Registry: prometheus.NewRegistry(),
		vendor: func(schemas.MAC) string { return hostile }, consumer: "ruled",
	})
	must(t, err)
	web := httptest.NewServer(s.handler())
	t.Cleanup(web.Close)
	t.Cleanup(web.CloseClientConnections)
	ended := make(chan struct{}, 2)
	for _, run := range []func() error{func() error { return s.model.Run(t.Context()) }, func() error { return s.follow(t.Context()) }} {
		go func() {
			run()
			ended <- struct{}{}
		}()
	}
	t.Cleanup(func() { <-ended; <-ended })
	return &site{t, web.URL, s, url, js}
}

// full starts a page with something on each of its parts.
func full(t *testing.T) *site {
	t.Helper()
	url, js := startNATS(t)
	storeAlerts(t, js, 3, warning)
	storeState(t, js, 3)
	storeHistory(t, js)
	serveStatus(t, url)
	site := startSite(t, url, js)
	lab.Eventually(t, "the page has what is stored", func() bool {
		list, _ := site.s.model.Alerts()
		return len(list) == 3 && len(site.s.model.Links()) == 1 && site.s.model.Fleet().Report != nil
	})
	return site
}

// warning is an alert about an RA with a hostile DNSSL name, from a station of its own.
func warning(n int) schemas.Alert {
	e := schemas.Event{
		Type: schemas.TypeEvent, ID: fmt.Sprint("e", n), Time: time.Now().UTC(), Host: "r1" + hostile, Interface: "eth1", Direction: schemas.In,
		Ethernet: &schemas.Ethernet{Source: schemas.MACOf(2<<40 | uint64(n)), Destination: schemas.MACOf(0x333300000001)},
		Inet6:    &schemas.Inet6{Source: netip.MustParseAddr("fe80::1"), Destination: schemas.AllNodes, Payload: 32, NextHeader: 58, HopLimit: 255},
		ICMP6:    &schemas.ICMP6{Type: 134},
		ND: &schemas.ND{
			RA:  &schemas.RA{Preference: schemas.PreferenceMedium, Lifetime: 1800},
			Opt: &schemas.Options{DNSSL: []schemas.DNSSL{{Lifetime: 900, Domain: []string{hostile + ".example"}}}},
		},
		Frame: []byte("\x33\x33\x00\x00\x00\x01\x02\x00\x00\x00\x00\x01\x86\xdd"),
	}
	return schemas.Alert{
		Type: schemas.TypeAlert, Time: e.Time, Severity: schemas.Warning, Host: e.Host, Interface: e.Interface, Rule: "rogue-router",
		Summary: "RA fe80::1, search " + hostile, Description: "unknown router", ID: e.ID + ".rogue-router", Event: e.AppendJSON(nil), Count: 2,
		Link: &schemas.Link{Router: &schemas.LinkRouter{Unknown: true}},
	}
}

func storeAlerts(t testing.TB, js jetstream.JetStream, n int, alert func(int) schemas.Alert) {
	t.Helper()
	for i := range n {
		a := alert(i)
		_, err := js.PublishAsync(schemas.SubjectAlerts, a.AppendJSON(nil), jetstream.WithStallWait(time.Minute))
		must(t, err)
	}
	<-js.PublishAsyncComplete()
}

// storeState stores the state of a link with so many neighbours.
func storeState(t testing.TB, js jetstream.JetStream, n int) {
	t.Helper()
	now := time.Now().UTC()
	l := link.State{Host: "r1" + hostile, Interface: "eth1", FirstSeen: now, LastSeen: now, Routers: []router.Learned{{
		Router: router.Router{
			MAC: schemas.MACOf(2<<40 | 1), LinkLocal: netip.MustParseAddr("fe80::1"), Lifetime: new(uint16(1800)), Flags: new(uint8(0xc0)), MTU: new(uint32(1500)),
			Prefixes: []router.Prefix{{Prefix: netip.MustParsePrefix("2001:db8::/64"), Flags: new(uint8(0xc0)), Valid: new(uint32(1<<32 - 1))}},
			DNSSL:    []router.Domain{{Domain: hostile + ".example", Lifetime: new(uint32(900))}},
			RDNSS:    []router.DNS{{Address: netip.MustParseAddr("2001:db8::53")}},
			Others:   []router.Option{{Type: 37, Text: hostile}},
		}, Since: now, Heard: now, Until: now.Add(time.Hour), LastSeen: now,
	}}}
	for i := range n {
		a := netip.MustParseAddr("2001:db8::").As16()
		a[12], a[13], a[14], a[15] = byte(i>>24), byte(i>>16), byte(i>>8), byte(i)
		l.Neighbours = append(l.Neighbours, link.Neighbour{
			Address: netip.AddrFrom16(a), Before: -1, Bindings: []link.Binding{{Ethernet: schemas.MACOf(2<<40 | uint64(i)), FirstSeen: now.Add(-time.Hour), LastSeen: now}},
		})
	}
	must(t, state.Write(t.Context(), js, "ruled-3", state.Head{Time: now}, []link.State{l}))
}

// storeHistory stores who had 2001:db8::42.
func storeHistory(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	for i := range 2 {
		b := schemas.Binding{
			Type: schemas.TypeBinding, Address: netip.MustParseAddr("2001:db8::42"), Ethernet: schemas.MACOf(2<<40 | uint64(i)), Vendor: hostile, Host: "r1" + hostile, Interface: "eth1",
			First: now.Add(-time.Duration(2-i) * time.Hour), Last: now.Add(-time.Duration(1-i) * time.Hour), Heard: []string{schemas.HeardNS}, Contested: i == 1,
		}
		_, err := js.Publish(t.Context(), b.Subject(), b.AppendJSON(nil))
		must(t, err)
	}
}

// serveStatus runs a sensor that answers with its status.
func serveStatus(t testing.TB, url string) {
	t.Helper()
	service, err := presence.Serve(connect(t, url, "sensor"), schemas.ServiceSensor, "r1"+hostile, new(process.Health))
	must(t, err)
	service.Describe(func(s *schemas.DaemonStatus) {
		s.Frames = []schemas.InterfaceFrames{{Interface: "eth1", Frames: uint64(time.Now().Unix())}}
		s.Interfaces = []string{hostile}
	})
}

// get returns the answer to a request, whose redirections are not followed.
func (s *site) get(path string, edit ...func(*http.Request)) (*http.Response, string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.url+path, nil)
	must(s, err)
	return s.do(r, edit...)
}

// post returns the answer to a form.
func (s *site) post(path, form string, edit ...func(*http.Request)) (*http.Response, string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), http.MethodPost, s.url+path, strings.NewReader(form))
	must(s, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return s.do(r, edit...)
}

func (s *site) do(r *http.Request, edit ...func(*http.Request)) (*http.Response, string) {
	s.Helper()
	for _, edit := range edit {
		edit(r)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	must(s, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(s, err)
	return answer, string(body)
}

// header returns a function that sets a header of a request.
func header(name, value string) func(*http.Request) {
	return func(r *http.Request) {
		if r.Header.Set(name, value); name == "Host" {
			r.Host = value
		}
	}
}
