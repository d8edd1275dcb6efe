package ruled

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ndmon/ndmon/schemas"
)

func TestAlertAndRelay(t *testing.T) {
	f := start(t, testRules)
	relays, err := f.conn.NATS().SubscribeSync("nd.relay.>")
	if err != nil {
		t.Fatal(err)
	}
	f.run(t)
	f.waitRelaying(t)
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

// An event that is no event of its subject is counted, ended, and holds nothing
// up.
func TestInvalidMessages(t *testing.T) {
	f := start(t, testRules)
	f.run(t)
	good := solicitation(1).AppendJSON(nil)
	longID := solicitation(1)
	longID.ID = strings.Repeat("x", 1000)
	for _, m := range []struct {
		subject string
		data    []byte
	}{
		{"nd.events.r1.eth0.ns", nil},
		{"nd.events.r1.eth0.ns", []byte("garbage")},
		{"nd.events.r1.eth0.ns", []byte(`{"type":"nd.event.v1"}`)},
		{"nd.events.r2.eth0.ns", good},
		{"nd.events.r1.eth1.ns", good},
		{"nd.events.r1.eth0.ra", good},
		{"nd.events.r1.ns", good},
		{"nd.events.r1.eth0=.ns", good},
		{"nd.events.r1.eth0.ns", longID.AppendJSON(nil)},
		{"nd.events.r1.eth0.ns", bytes.Replace(good, []byte(`"e1"`), []byte(`"e\r\n1"`), 1)},
		{"nd.events.r1.eth0.ns", bytes.Replace(good, []byte(`"e1"`), []byte(`""`), 1)},
	} {
		f.publishRaw(t, m.subject, m.data)
	}
	f.publish(t, solicitation(2))
	if got := f.nextAlert(t).ID; got != "e2.all-ns" {
		t.Errorf("alert %s, want e2.all-ns", got)
	}
	f.waitAcknowledged(t)
	if got := f.counter(t, "nd_ruled_invalid_messages_total"); got != 11 {
		t.Errorf("%v messages were counted as invalid, want 11", got)
	}
}

// An event that comes again, in this run of ruled or the next, alerts once.
func TestEventAgainAlertsOnce(t *testing.T) {
	f := start(t, testRules)
	stop := f.run(t)
	f.publish(t, solicitation(1))
	f.publish(t, solicitation(1)) // as a sensor does that missed an acknowledgement
	f.publish(t, solicitation(2))
	for _, want := range []string{"e1.all-ns", "e2.all-ns"} {
		if got := f.nextAlert(t).ID; got != want {
			t.Errorf("alert %s, want %s", got, want)
		}
	}
	f.waitAcknowledged(t)
	stop()
	f.run(t)
	f.publish(t, solicitation(2))
	f.publish(t, solicitation(3))
	if got := f.nextAlert(t).ID; got != "e3.all-ns" {
		t.Errorf("alert %s, want e3.all-ns", got)
	}
	if got := f.counter(t, "nd_ruled_alerts_repeated_total"); got != 1 {
		t.Errorf("%v alerts were recognised as raised before, want 1", got)
	}
}

// What was not acknowledged comes again at once when ruled is back, not after
// the consumer's AckWait.
func TestUnacknowledgedEventsComeAgain(t *testing.T) {
	f := start(t, testRules)
	ctx := testContext(t)
	stop := f.run(t)
	f.publish(t, solicitation(1))
	f.nextAlert(t)
	f.waitAcknowledged(t)
	stop()
	// Another reader takes three events and dies.
	c, err := f.conn.JetStream().Consumer(ctx, schemas.StreamEvents, f.config.Consumer)
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
	for n := 2; n <= 4; n++ {
		if got, want := f.nextAlert(t).ID, fmt.Sprintf("e%d.all-ns", n); got != want {
			t.Errorf("alert %s, want %s", got, want)
		}
	}
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
	stream, err := f.conn.JetStream().Stream(testContext(t), schemas.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	for _, sequence := range []uint64{3, 4} {
		if err := stream.DeleteMsg(testContext(t), sequence); err != nil {
			t.Fatal(err)
		}
	}
	f.run(t)
	var got []string
	for range 3 {
		got = append(got, f.nextAlert(t).ID)
	}
	want := []string{"e2.all-ns", "e5.events-missed", "e5.all-ns"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
}
