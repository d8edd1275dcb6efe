package uplink

import (
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// The hub gets each alert once and in order, those that were raised before it was there too, and
// subscribers there see them at once.
func TestForward(t *testing.T) {
	p := newPair(t, hubConfig)
	p.raise(1000)
	u := p.uplink()
	p.startHub()
	live, err := p.hub.nc.SubscribeSync(schemas.SubjectAlerts)
	must(t, err)
	p.arrived()
	p.raise(1)
	p.arrived()
	for range p.sent {
		_, err := live.NextMsg(10 * time.Second)
		must(t, err)
	}
	if err := u.Health(); err != nil {
		t.Error(err)
	}
	p.raise(300)
	u.stop()
	p.arrived()
	if p.log.String() == "" || strings.Contains(p.log.String(), "away") {
		t.Error(p.log)
	}
}

// However often and whenever the edge and the hub end without notice, the hub has each alert
// once and in order.
func TestForwardThroughKills(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	p := newPair(t, hubConfig)
	p.startHub()
	u := p.uplink()
	for i := range 12 {
		p.raise(1 + rand.IntN(400))
		switch i % 3 {
		case 0:
			u.kill()
			p.raise(10)
			u = p.uplink()
		case 1:
			p.hub.stop()
			p.raise(10)
			p.hub.start()
		case 2:
			lab.Eventually(t, "alerts reach the hub", func() bool { return u.Health() == nil })
		}
	}
	p.arrived()
}

// A stream of the edge that was deleted and made again is forwarded from its start.
func TestStreamIsMadeAgain(t *testing.T) {
	p := newPair(t, hubConfig)
	p.startHub()
	u := p.uplink()
	p.raise(100)
	p.arrived()
	must(t, p.edge.js.DeleteStream(t.Context(), schemas.StreamAlerts))
	p.edge.stream()
	p.raise(10)
	p.arrived()
	u.stop()
	must(t, p.edge.js.DeleteStream(t.Context(), schemas.StreamAlerts))
	p.edge.stream()
	p.uplink()
	p.raise(200)
	p.arrived()
}

// A hub that has dropped the position together with old alerts gets no alert again, and one that has lost its
// newest alerts gets those again.
func TestHubForgets(t *testing.T) {
	p := newPair(t, hubConfig)
	p.startHub()
	u := p.uplink()
	p.raise(100)
	p.arrived()
	u.stop()
	stream, err := p.hub.js.Stream(t.Context(), schemas.StreamAlerts)
	must(t, err)
	must(t, stream.Purge(t.Context(), jetstream.WithPurgeSubject("nd.fences."+host)))
	u = p.uplink()
	p.raise(10)
	p.arrived()
	u.stop()
	for seq := uint64(1); seq <= 200; seq++ {
		alert, err := stream.GetMsg(t.Context(), seq)
		if err != nil || alert.Subject != schemas.SubjectAlerts {
			continue
		}
		if number, err := strconv.Atoi(string(alert.Data)); err == nil && number >= 50 {
			must(t, stream.DeleteMsg(t.Context(), seq))
		}
	}
	data, err := json.Marshal(position{u.done.Created, 50, "another process"})
	must(t, err)
	_, err = p.hub.js.PublishMsg(t.Context(), &nats.Msg{
		Subject: "nd.fences." + host, Data: data,
	})
	must(t, err)
	p.uplink()
	p.arrived()
}

// The next alert is the one after the position, unless a power failure has lost that one.
func TestNext(t *testing.T) {
	made := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	other := made.Add(time.Second)
	for name, tc := range map[string]struct {
		hub, noted    position
		before, first uint64
		want          uint64
		lost          bool
	}{
		"first alert":              {before: 10, first: 1, want: 1},
		"at the hub":               {hub: position{made, 7, "a"}, before: 10, first: 1, want: 8},
		"the hub knows better":     {hub: position{made, 7, "a"}, noted: position{made, 9, "a"}, before: 10, first: 1, want: 8},
		"dropped by the hub":       {noted: position{made, 9, "a"}, before: 10, first: 1, want: 10},
		"of another stream":        {hub: position{other, 7, "a"}, noted: position{other, 7, "a"}, before: 10, first: 1, want: 1},
		"the hub has another one":  {hub: position{other, 7, "a"}, noted: position{made, 9, "a"}, before: 10, first: 1, want: 10},
		"power failure":            {hub: position{made, 12, "a"}, before: 10, first: 1, want: 11},
		"this process":             {hub: position{made, 12, "me"}, before: 10, first: 1, want: 13},
		"all dropped at the edge":  {hub: position{made, 7, "a"}, before: 10, first: 9, want: 8, lost: true},
		"none dropped at the edge": {hub: position{made, 7, "a"}, before: 10, first: 8, want: 8},
	} {
		var log strings.Builder
		u := &Uplink{Config: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, run: "me", before: tc.before, done: tc.noted}
		got := u.next(tc.hub, &jetstream.StreamInfo{Created: made, State: jetstream.StreamState{FirstSeq: tc.first}})
		if lost := strings.Contains(log.String(), "alerts were dropped"); got != tc.want || lost != tc.lost {
			t.Errorf("%s: %d, %v, want %d, %v", name, got, lost, tc.want, tc.lost)
		}
	}
}

// A fault of the options names the option, and what it takes.
func TestOpen(t *testing.T) {
	file, user := key(t)
	h, err := Open("tls://n1,n2:99,tls://[2001:db8::1]", file, bus.Config{})
	must(t, err)
	var urls []string
	for _, u := range h.urls {
		urls = append(urls, u.String())
	}
	if diff := cmp.Diff([]string{"tls://n1:7422", "tls://n2:99", "tls://[2001:db8::1]:7422"}, urls); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if h.Host != host || h.Inboxes != "_INBOX."+user || h.tls == nil {
		t.Errorf("%+v", h)
	}
	if h, err := Open("nats-leaf://n1", file, bus.Config{CA: "/none"}); err != nil || h.tls != nil {
		t.Errorf("without TLS: %v", err)
	}
	for want, tc := range map[string]struct {
		urls, key string
		cfg       bus.Config
	}{
		`--hub: "nats://n1" is not a URL such as tls://`: {"nats://n1", file, bus.Config{}},
		`--hub: "n1" is not a URL`:                       {"n1", file, bus.Config{}},
		`--hub: "tls://" is not a URL`:                   {"tls://n1,", file, bus.Config{}},
		"--key: open /none":                              {"tls://n1", "/none", bus.Config{}},
		"is not the key of an edge":                      {"tls://n1", "uplink.go", bus.Config{}},
		"NATS_CA: open /none":                            {"tls://n1", file, bus.Config{CA: "/none"}},
		"NATS_CA: uplink.go has no certificate":          {"tls://n1", file, bus.Config{CA: "uplink.go"}},
		"NATS_CERT, NATS_KEY: need each other":           {"tls://n1", file, bus.Config{Cert: "c"}},
	} {
		if _, err := Open(tc.urls, tc.key, tc.cfg); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
