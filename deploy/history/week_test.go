package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/ruled"
	"github.com/ndmon/ndmon/ruled/state"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
)

// A day of the week that is made up: when stations are heard first, last, and how often in between.
const (
	opens, closes = 8 * hour, 18 * hour
	every         = 10 * time.Minute
)

var (
	monday = time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)
	// successor takes over an address on Tuesday afternoon.
	successor = schemas.MAC{2, 0, 0, 0, 9, 9}
)

// week makes up what three routers hear in a week.
type week struct {
	*testing.T
	conn   *bus.Conn
	config ruled.Config
	day    time.Time
	events map[string][]*schemas.Event // of the day, by host
	held   []string                    // what the history has to say, see line
}

// The history of a week has each time of each station with an address, once, although nd-ruled starts again every night
// and there is a flood in one of them. A day is heard within a second, as after an hour in which nd-ruled was away.
func TestWeek(t *testing.T) {
	url := bustest.Start(t, t.TempDir(), -1).ClientURL()
	t.Setenv("NATS_URL", url)
	w := &week{T: t, conn: connect(t, url, prometheus.NewRegistry())}
	must(t, process.Environment("RULED", &w.config))
	_, err := bus.EnsureStreams(t.Context(), w.conn.JetStream(), w.config.StreamConfig)
	must(t, err)
	for day := range 7 {
		w.day, w.events = monday.AddDate(0, 0, day), map[string][]*schemas.Event{}
		w.workday(day)
		if day == 2 {
			w.flood()
		}
		stop := w.ruled(url)
		w.publish()
		lab.Eventually(t, "the events of the day are evaluated", w.evaluated)
		stop()
	}
	slices.Sort(w.held)
	var got []string
	complete := func() bool {
		got = w.history("2001:db8::/32")
		return slices.Equal(got, w.held)
	}
	defer func() {
		if t.Failed() {
			t.Logf("the history (-want +got):\n%s", cmp.Diff(w.held, got))
		}
	}()
	lab.Eventually(t, "the history has all that was heard, and nothing else", complete)
	if made := len(w.history("fd00::/8")); made > 1000 {
		t.Errorf("the history has %d of 20,000 addresses of a flood", made)
	}
	copied(t, w.conn.JetStream())
	w.ask()
}

// workday makes up a day. Each station has an address that it keeps, and one of the day.
func (w *week) workday(day int) {
	for router := range 3 {
		for n := range 20 {
			mac, host, address := station(router, n), fmt.Sprint("r", router+1), fmt.Sprintf("2001:db8:%d::%x", router+1, n+1)
			switch {
			case router == 0 && n == 5 && day >= 3: // it has moved to another router
				host = "r2"
			case router == 0 && n == 7 && day == 1:
				w.hears(host, mac, address, opens, 12*hour)
				w.hears(host, successor, address, 14*hour, closes)
				continue
			case router == 2 && n == 9 && day == 4: // it is off for two hours
				w.hears(host, mac, address, opens, 13*hour)
				w.hears(host, mac, address, 15*hour, closes)
				continue
			}
			w.hears(host, mac, address, opens, closes)
			w.hears(host, mac, fmt.Sprintf("2001:db8:%d::%d:%x", router+1, day+1, n+1), opens, closes)
		}
	}
}

// station returns the Ethernet address of the nth station of a router.
func station(router, n int) schemas.MAC { return schemas.MAC{2, 0, 0, 0, byte(router), byte(n)} }

// hears makes up the solicitations of a station from one time of the day to another.
func (w *week) hears(host string, mac schemas.MAC, address string, from, to time.Duration) {
	for at := from; at <= to; at += every {
		w.solicits(host, mac, netip.MustParseAddr(address), at)
	}
	w.held = append(w.held, line(address, mac, host, w.day.Add(from), w.day.Add(to)))
}

// line describes a binding.
func line(address any, mac schemas.MAC, host string, from, to time.Time) string {
	return fmt.Sprintf("%v %v %s %s %s", address, mac, host, from.Format("Mon 15:04"), to.Format("Mon 15:04"))
}

// flood makes up 20,000 stations within 20 seconds of the night.
func (w *week) flood() {
	for n := range 20_000 {
		made := netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(n >> 8), 15: byte(n)})
		w.solicits("r3", schemas.MACOf(6<<40|uint64(n)), made, 22*hour+time.Duration(n)*time.Millisecond)
	}
}

func (w *week) solicits(host string, mac schemas.MAC, source netip.Addr, at time.Duration) {
	w.events[host] = append(w.events[host], &schemas.Event{
		Type: schemas.TypeEvent, ID: fmt.Sprintf("%v-%v-%v", w.day.Add(at).Unix(), mac, source), Time: w.day.Add(at), Host: host, Interface: "eth1", Direction: schemas.In,
		Ethernet: &schemas.Ethernet{Source: mac, Destination: schemas.MAC{0x33, 0x33, 0xff}},
		Inet6:    &schemas.Inet6{Source: source, Destination: netip.MustParseAddr("ff02::1:ff00:1"), Payload: 24, NextHeader: 58, HopLimit: 255},
		ICMP6:    &schemas.ICMP6{Type: 135},
		ND:       &schemas.ND{NS: &schemas.NS{TargetAddress: netip.MustParseAddr("2001:db8::1")}},
	})
}

// publish publishes the events of the day in their order, in batches as sensors do.
func (w *week) publish() {
	for host, events := range w.events {
		slices.SortStableFunc(events, func(a, b *schemas.Event) int { return a.Time.Compare(b.Time) })
		for batch := range slices.Chunk(events, 50) {
			var data [][]byte
			for _, e := range batch {
				data = append(data, e.AppendJSON(nil))
			}
			_, err := w.conn.JetStream().Publish(w.Context(), schemas.BatchSubject(host, "eth1"), bytes.Join(data, []byte("\n")))
			must(w, err)
		}
	}
}

// ruled runs an nd-ruled, which knows only what the one before it has stored, until stop is called.
func (w *week) ruled(url string) (stop func()) {
	registry := prometheus.NewRegistry()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	conn := connect(w, url, registry)
	go func() {
		ended <- ruled.Run(ctx, w.config, ruled.Deps{Log: slog.New(slog.NewTextHandler(w.Output(), nil)), Registry: registry, Conn: conn})
	}()
	return func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			w.Errorf("ruled ends: %v", err)
		}
	}
}

// evaluated reports whether no event waits for nd-ruled.
func (w *week) evaluated() bool {
	for host := range w.events {
		c, err := w.conn.JetStream().Consumer(w.Context(), schemas.StreamEvents, state.Name(w.config.Consumer, schemas.Partition(host)))
		if err != nil || c.CachedInfo().NumPending+uint64(c.CachedInfo().NumAckPending) > 0 {
			return false
		}
	}
	return true
}

// history returns what the command says, sorted.
func (w *week) history(args ...string) []string {
	lines := map[string]bool{}
	_, out, _ := run(append(args, "-o", "json")...)
	for text := range strings.Lines(out) {
		var b schemas.Binding
		must(w, json.Unmarshal([]byte(text), &b))
		if b.Contested {
			w.Errorf("contested: %s", text)
		}
		lines[line(b.Address, b.Ethernet, b.Host, b.First, b.Last)] = true
	}
	return slices.Sorted(maps.Keys(lines))
}

func connect(t testing.TB, url string, r *prometheus.Registry) *bus.Conn {
	conn, err := bus.Connect(bus.Config{URL: url}, bus.Options{Name: "test", Log: slog.New(slog.DiscardHandler), Registry: r})
	must(t, err)
	t.Cleanup(conn.NATS().Close)
	return conn
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ask asks what operators ask.
func (w *week) ask() {
	on := func(day int, at time.Duration) time.Time { return monday.AddDate(0, 0, day).Add(at) }
	desk, lunch, moved := station(0, 7), station(2, 9), station(0, 5)
	for _, question := range []struct {
		args []string
		want []string
	}{
		{[]string{"2001:db8:1::8", "--at", "2026-11-17T10:00:00Z"}, []string{line("2001:db8:1::8", desk, "r1", on(1, opens), on(1, 12*hour))}},
		{[]string{"2001:db8:1::8", "--at", "2026-11-17T15:00:00Z"}, []string{line("2001:db8:1::8", successor, "r1", on(1, 14*hour), on(1, closes))}},
		{[]string{"2001:db8:1::8", "--at", "2026-11-17T13:00:00Z"}, nil}, // between the two
		{[]string{"2001:db8:1::8", "--at", "2026-11-18T10:00:00Z"}, []string{line("2001:db8:1::8", desk, "r1", on(2, opens), on(2, closes))}},
		{[]string{"02:00:00:00:09:09"}, []string{line("2001:db8:1::8", successor, "r1", on(1, 14*hour), on(1, closes))}},
		{[]string{lunch.String(), "--at", "2026-11-20T16:00:00Z"}, []string{line("2001:db8:3::a", lunch, "r3", on(4, 15*hour), on(4, closes))}},
		{[]string{"2001:db8:1::6", "--at", "2026-11-18T12:00:00Z"}, []string{line("2001:db8:1::6", moved, "r1", on(2, opens), on(2, closes))}},
		{[]string{"2001:db8:1::6", "--at", "2026-11-19T12:00:00Z"}, []string{line("2001:db8:1::6", moved, "r2", on(3, opens), on(3, closes))}},
		{[]string{moved.String(), "--host", "r2", "--at", "2026-11-22T12:00:00Z"}, []string{
			line("2001:db8:1::6", moved, "r2", on(6, opens), on(6, closes)), line("2001:db8:1::7:6", moved, "r2", on(6, opens), on(6, closes)),
		}},
		{[]string{"2001:db8:2::4:1/128"}, []string{line("2001:db8:2::4:1", station(1, 0), "r2", on(3, opens), on(3, closes))}},
		{[]string{"2001:db8:2::/64", "--at", "2026-11-19T03:00:00Z"}, nil}, // at night
		{[]string{"2001:db8:1::8", "--since", "2026-11-22"}, []string{line("2001:db8:1::8", desk, "r1", on(6, opens), on(6, closes))}},
	} {
		if diff := cmp.Diff(question.want, w.history(question.args...)); diff != "" {
			w.Errorf("%v (-want +got):\n%s", question.args, diff)
		}
	}
	if here := w.history("2001:db8:3::/64", "--at", "2026-11-21T12:00:00Z"); len(here) != 40 {
		w.Errorf("%d addresses in a prefix, want the 40 of its 20 stations", len(here))
	}
}
