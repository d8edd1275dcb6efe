package ruled

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"
)

func TestAlertAndRelay(t *testing.T) {
	f := start(t, testRules)
	relays := f.subscribe(t, "nd.relay.>")
	f.run(t)
	e := solicitation(1)
	f.publish(t, e)

	got := f.nextAlert(t)
	var event schemas.Event
	if err := event.ParseJSON(got.Event); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(e.AppendJSON(nil)), string(event.AppendJSON(nil))); diff != "" {
		t.Errorf("event in the alert (-published +got):\n%s", diff)
	}
	if got.Summary == "" {
		t.Error("the alert has no summary")
	}
	got.Summary, got.Event = "", nil
	want := schemas.Alert{
		Type: schemas.TypeAlert, Time: e.Time, Severity: schemas.Info, Host: "r1", Interface: "eth0",
		Rule: "all-ns", Description: "every NS", ID: "e1.all-ns",
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("alert (-want +got):\n%s", diff)
	}

	msg, err := relays.NextMsgWithContext(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	var relay schemas.Relay
	if err := json.Unmarshal(msg.Data, &relay); err != nil {
		t.Fatal(err)
	}
	if relay.ID == "" || relay.Time.Before(e.Time) {
		t.Errorf("relay command: id %q, time %v", relay.ID, relay.Time)
	}
	relay.ID, relay.Time = "", time.Time{}
	wantRelay := schemas.Relay{
		Type: schemas.TypeRelay, Expires: e.Time.Add(f.config.RelayTTL), Host: "r1",
		Target: netip.MustParseAddr("2001:db8::42"), Rule: "relay", Event: "e1",
		Solicitation: &schemas.Solicitation{
			Host: "r1", Interface: "eth0", Direction: schemas.Out, Source: e.Inet6.Source, Ethernet: e.Ethernet.Source,
		},
	}
	if diff := cmp.Diff(wantRelay, relay, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("relay command (-want +got):\n%s", diff)
	}
	if want := "nd.relay.r1"; msg.Subject != want {
		t.Errorf("relay command on %s, want %s", msg.Subject, want)
	}
}

// A line that is no event of its subject is counted, and holds nothing up.
func TestInvalidMessages(t *testing.T) {
	f := start(t, testRules)
	f.run(t)
	event := func(n int, change ...func(*schemas.Event)) []byte {
		e := solicitation(n)
		for _, c := range change {
			c(e)
		}
		return e.AppendJSON(nil)
	}
	good, id := event(1), func(id string) func(*schemas.Event) { return func(e *schemas.Event) { e.ID = id } }
	lines := func(lines ...[]byte) []byte { return bytes.Join(lines, []byte("\n")) }
	const subject = "nd.batches.r1.eth0"
	invalid := 0
	for _, m := range []struct {
		subject string
		data    []byte
		invalid int
	}{
		{subject, nil, 1},
		{subject, []byte("garbage"), 1},
		{subject, []byte(`{"type":"nd.event.v1"}`), 1},
		{"nd.batches.r2.eth0", good, 1},
		{"nd.batches.r1.eth1", good, 1},
		{"nd.batches.r1", good, 0}, // in no partition
		{"nd.batches.r1.eth0.ns", good, 0},
		{"nd.batches.r1.eth0=", good, 1},
		{subject, event(1, id(strings.Repeat("x", 1000))), 1},
		{subject, event(1, id("e\r\n1")), 1},
		{subject, event(1, id("")), 1},
		{subject, event(1, func(e *schemas.Event) { e.Link = &schemas.Link{} }), 1},
		{subject, bytes.Repeat([]byte("\n"), 1000), 1000},
		{subject, bytes.Repeat([]byte("{}\n"), 1<<18), 1 << 18},
		{subject, bytes.Repeat([]byte("["), 1<<20), 1},
		// The others of a batch count.
		{subject, lines(event(2), []byte("garbage"), event(3, func(e *schemas.Event) { e.Host = "r2" }), nil, event(4)), 3},
		{subject, append(bytes.Join([][]byte{event(5), event(6)}, []byte("\r\n")), "\r\n"...), 0},
		{subject, lines(event(7), bytes.Repeat([]byte(" "), 1<<19), event(8), nil), 1},
	} {
		f.publishRaw(t, m.subject, m.data)
		invalid += m.invalid
	}
	f.publish(t, solicitation(9))
	f.wantAlerts(t, "e2.all-ns", "e4.all-ns", "e5.all-ns", "e6.all-ns", "e7.all-ns", "e8.all-ns", "e9.all-ns")
	f.waitAcknowledged(t)
	if got := f.counter(t, "nd_ruled_invalid_messages_total"); got != float64(invalid) {
		t.Errorf("%v lines were counted as invalid, want %d", got, invalid)
	}
}

// An event that comes again, in this run of ruled or the next, alerts once.
func TestEventAgainAlertsOnce(t *testing.T) {
	f := start(t, testRules)
	stop := f.run(t)
	f.publish(t, solicitation(1))
	f.publish(t, solicitation(1)) // as a sensor does that missed an acknowledgement
	f.publish(t, solicitation(2))
	f.wantAlerts(t, "e1.all-ns", "e2.all-ns")
	f.waitAcknowledged(t)
	stop()
	f.run(t)
	f.publish(t, solicitation(2))
	f.publish(t, solicitation(3))
	f.wantAlerts(t, "e3.all-ns")
	if got := f.counter(t, "nd_ruled_alerts_repeated_total"); got != 1 {
		t.Errorf("%v alerts were recognised as raised before, want 1", got)
	}
}

// What was not acknowledged comes again at once when ruled is back, not after the consumer's AckWait.
func TestUnacknowledgedEventsComeAgain(t *testing.T) {
	f := start(t, testRules)
	ctx := testContext(t)
	stop := f.run(t)
	f.publish(t, solicitation(1))
	f.nextAlert(t)
	f.waitAcknowledged(t)
	stop()
	// Another reader takes three events and dies.
	c, err := f.conn.JetStream().Consumer(ctx, schemas.StreamEvents, stateOf)
	if err != nil {
		t.Fatal(err)
	}
	for n := 2; n <= 4; n++ {
		f.publish(t, solicitation(n))
		if _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
	}
	f.run(t)
	f.wantAlerts(t, "e2.all-ns", "e3.all-ns", "e4.all-ns")
}

// Frames that the sensor lost are an alert, whatever the rules say.
func TestLostFramesAlert(t *testing.T) {
	f := start(t, `<rules><rule id="never"><match field="nd.ra"/></rule></rules>`)
	f.run(t)
	now := time.Now().UTC()
	f.publish(t, &schemas.Event{
		Type: schemas.TypeEvent, ID: "l1", Time: now, Host: "r1", Interface: "eth0", Direction: schemas.In,
		Lost: &schemas.Lost{Kernel: 12, Buffer: 3, Since: now.Add(-time.Second), Until: now},
	})
	got := f.nextAlert(t)
	if got.Rule != "events-lost" || got.Severity != schemas.Warning || !strings.Contains(got.Summary, "12") {
		t.Errorf("alert %+v", got)
	}
}

// A conflict that a pinger publishes is an alert by the built-in rules: once, and again after
// ten minutes.
func TestConflictAlerts(t *testing.T) {
	f := start(t, `<rules><builtin/></rules>`)
	f.run(t)
	begun := time.Now().UTC().Truncate(time.Second)
	report := func(n int, after time.Duration, master, dad bool) {
		f.publish(t, &schemas.Event{
			Type: schemas.TypeEvent, ID: fmt.Sprint("c", n), Time: begun.Add(after), Host: "r1", Interface: "m0", Direction: schemas.In,
			Conflict: &schemas.Conflict{Address: netip.MustParseAddr("2001:db8::9"), OtherInterface: "s1", Master: master, DAD: dad},
		})
	}
	report(1, 0, true, false)
	got := f.nextAlert(t)
	if got.ID != "c1.master-address-claimed" || got.Severity != schemas.Critical || got.Summary != "2001:db8::9 is in use on m0 and on s1: traffic for it goes to m0" {
		t.Errorf("alert %+v", got)
	}
	report(2, 10*time.Second, true, false)
	report(3, 11*time.Second, false, false)
	report(4, 12*time.Second, true, true)
	report(5, 11*time.Minute, true, false)
	f.wantAlerts(t, "c3.address-on-two-links", "c4.dad-denied", "c5.master-address-claimed")
}

// So are events that the stream dropped before they were evaluated.
func TestDroppedEventsAlert(t *testing.T) {
	f := start(t, testRules)
	stop := f.run(t)
	f.publish(t, solicitation(1))
	f.nextAlert(t)
	f.waitAcknowledged(t)
	stop()
	for n := 2; n <= 5; n++ {
		f.publish(t, solicitation(n))
	}
	if err := f.stream(t, schemas.StreamEvents).Purge(testContext(t), jetstream.WithPurgeSequence(5)); err != nil {
		t.Fatal(err)
	}
	f.run(t)
	f.wantAlerts(t, "e5.events-missed", "e5.all-ns")
}

func TestReload(t *testing.T) {
	f := start(t, testRules)
	f.run(t)
	alertOf := func(n int) string {
		f.publish(t, solicitation(n))
		return f.nextAlert(t).Rule
	}
	if got := alertOf(1); got != "all-ns" {
		t.Errorf("rule %s", got)
	}
	rules := func() float64 {
		families, err := f.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() == "nd_ruled_rules" {
				return family.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return 0
	}
	// In one step, as a careful editor does.
	next := f.config.Rules + ".new"
	writeFile(t, next, `<rules><rule id="other"><match field="nd.ns"/></rule></rules>`)
	if err := os.Rename(next, f.config.Rules); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new rules", func() bool { return rules() == 1 })
	if got := alertOf(2); got != "other" {
		t.Errorf("rule %s after the change", got)
	}
	writeFile(t, f.config.Rules, `<rules><rule id="bad"><match field="nd.nope"/></rule></rules>`)
	waitFor(t, "the refusal of the bad rules", func() bool {
		n, err := testutil.GatherAndCount(f.registry, "nd_ruled_reloads_total")
		if err != nil {
			t.Fatal(err)
		}
		return n > 0 && f.counter(t, "nd_ruled_reloads_total") >= 2
	})
	if got := alertOf(3); got != "other" {
		t.Errorf("rule %s after bad rules", got)
	}
}

func TestBadRulesAtStart(t *testing.T) {
	f := start(t, `<rules><rule id="bad"><match field="nd.nope"/></rule></rules>`)
	registry := prometheus.NewRegistry()
	conn := connect(t, f.server, registry)
	err := Run(testContext(t), f.config, Deps{Log: slog.New(slog.DiscardHandler), Registry: registry, Conn: conn})
	var usage process.UsageError
	if !errors.As(err, &usage) || !strings.HasPrefix(err.Error(), f.config.Rules+":1: ") {
		t.Errorf("error %v", err)
	}
}

// Ruled stops although its rules have become a pipe without a writer.
func TestRunEndsWithPipeForRules(t *testing.T) {
	f := start(t, testRules)
	stop := f.run(t)
	if err := os.Remove(f.config.Rules); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(f.config.Rules, 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the refusal", func() bool { return f.counter(t, "nd_ruled_reloads_total") == 1 })
	stop()
}

// learn has ruled learn from events until it has observed them all.
func (f *fixture) learn(t *testing.T, events ...*schemas.Event) Learned {
	t.Helper()
	f.config.Consumer, f.config.Learn = "learn", time.Hour
	f.registry = prometheus.NewRegistry()
	conn := connect(t, f.server, f.registry)
	var learned Learned
	reading := make(chan struct{}, 1)
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		done <- Run(ctx, f.config, Deps{
			Log: slog.New(slog.DiscardHandler), Registry: f.registry, Conn: conn,
			Health:  begun(reading),
			Learned: func(l Learned) { learned = l },
		})
	}()
	<-reading
	frames := 0
	for _, e := range events {
		f.publish(t, e)
		if e.Sensor == nil {
			frames++
		}
	}
	waitFor(t, "all events are evaluated", func() bool { return f.counter(t, "nd_ruled_events_total") == float64(frames) })
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return learned
}

func TestLearn(t *testing.T) {
	f := start(t, linkRules)
	f.publish(t, advertisement(1, "fe80::bad")) // before the learning
	learned := f.learn(t, advertisement(2, "fe80::1"), advertisement(3, "fe80::2"))
	if links := learned.Links; len(links) != 1 || links[0].Host != "r1" || len(links[0].Routers) != 2 {
		t.Fatalf("%+v", links)
	}
	var config bytes.Buffer
	if err := learned.WriteRouters(&config); err != nil || !strings.Contains(config.String(), "fe80::2") {
		t.Errorf("%v\n%s", err, config.String())
	}
	if _, err := f.conn.JetStream().Consumer(testContext(t), schemas.StreamEvents, "learn"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("the consumer is still there: %v", err)
	}
}

// Where there is nothing to write, it is said why.
func TestLearnNothing(t *testing.T) {
	faulty := advertisement(1, "2001:db8::1") // RFC 4861, section 6.1.2: from a link-local address
	faulty.Fault = &schemas.Fault{Source: true, Discarded: true}
	elsewhere := solicitation(2)
	elsewhere.Interface = "eth1"
	for _, tc := range []struct {
		name   string
		events []*schemas.Event
		want   string
	}{
		{"nothing", nil, "no Neighbor Discovery message came"},
		{"no advertisement", []*schemas.Event{solicitation(1), elsewhere},
			"2 Neighbor Discovery messages came, from r1/eth0, r1/eth1, but no Router Advertisement"},
		{"no router", []*schemas.Event{faulty, elsewhere},
			"1 Router Advertisements came, from r1/eth0, r1/eth1, but none that hosts accept (RFC 4861, section 6.1.2)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			learned := start(t, linkRules).learn(t, tc.events...)
			learned.Took = 0
			var config bytes.Buffer
			if err := learned.WriteRouters(&config); err == nil || err.Error() != "no router was learned: "+tc.want || config.Len() > 0 {
				t.Errorf("%v, want %s\n%s", err, tc.want, config.String())
			}
		})
	}
}

func advertisement(n int, router string) *schemas.Event {
	e := from(n, 1, router)
	e.ICMP6.Type = 134
	e.ND = &schemas.ND{RA: &schemas.RA{CurHopLimit: 64, Preference: "medium", Lifetime: 1800}}
	return e
}
