package ruled

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/state"
	"github.com/ndmon/ndmon/schemas"
)

const linkRules = `<rules>
  <rule id="new-station"><match field="link.station.new"/><alert severity="info"/></rule>
  <rule id="changed"><match field="link.claim.changed"/></rule>
  <rule id="flip-flop"><match field="link.claim.flipflop"/></rule>
  <rule id="often"><match field="nd.ns"/><threshold type="threshold" track="ethernet.source" count="3" seconds="60"/></rule>
</rules>`

// from is a solicitation, the n-th, of a station for itself at an address.
func from(n int, station byte, address string) *schemas.Event {
	e := solicitation(n)
	e.Direction = schemas.In
	e.Ethernet.Source = schemas.MAC{2, 0, 0, 0, 0, station}
	e.Inet6.Source = netip.MustParseAddr(address)
	return e
}

func (f *fixture) wantAlerts(t *testing.T, want ...string) {
	t.Helper()
	for _, id := range want {
		if got := f.nextAlert(t).ID; got != id {
			t.Errorf("alert %s, want %s", got, id)
		}
	}
}

// What is known of the links, and what the thresholds have counted, outlives a stop.
func TestStateOutlivesAStop(t *testing.T) {
	f := start(t, linkRules)
	stop := f.run(t)
	f.publish(t, from(1, 1, "fe80::1"))
	f.publish(t, from(2, 1, "fe80::1"))
	f.wantAlerts(t, "e1.new-station")
	f.waitAcknowledged(t)
	stop()
	stop = f.run(t)
	f.publish(t, from(3, 1, "fe80::1"))
	f.publish(t, from(4, 2, "fe80::1"))
	f.wantAlerts(t, "e3.often", "e4.new-station", "e4.changed")
	stop()
	if log := f.log.String(); !strings.Contains(log, "going on from the stored state") {
		t.Error(log)
	}
}

// A ruled that is killed has stored its state some time before. The next one evaluates what came since then
// again, and comes to the same state and to the same alerts, each once.
func TestStateOutlivesAKill(t *testing.T) {
	f := start(t, linkRules)
	stop := f.run(t)
	f.publish(t, from(1, 1, "fe80::1"))
	f.wantAlerts(t, "e1.new-station")
	f.requestState(t)
	stored := f.storedState(t)
	f.publish(t, from(2, 2, "fe80::2"))
	f.publish(t, from(3, 3, "fe80::1")) // claims the address for another station; not in the stored state
	f.wantAlerts(t, "e2.new-station", "e3.new-station", "e3.changed")
	f.waitAcknowledged(t)
	stop()
	f.putState(t, stored) // as it was when it was killed
	f.run(t)
	f.publish(t, from(4, 1, "fe80::1"))
	f.publish(t, from(5, 2, "fe80::2"))
	f.publish(t, from(6, 9, "fe80::9"))
	f.wantAlerts(t, "e4.flip-flop", "e6.new-station")
}

// Events that were evaluated and not acknowledged come again when the connection was lost, and are not seen twice.
func TestStateOutlivesADisconnect(t *testing.T) {
	f := start(t, linkRules)
	f.run(t)
	f.publish(t, from(1, 1, "fe80::1"))
	f.publish(t, from(2, 2, "fe80::1"))
	f.publish(t, from(3, 1, "fe80::1"))
	f.wantAlerts(t, "e1.new-station", "e2.new-station", "e2.changed", "e3.flip-flop")
	if err := f.ruled.NATS().ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	f.publish(t, from(4, 1, "fe80::1"))
	f.publish(t, from(5, 3, "fe80::3"))
	f.wantAlerts(t, "e4.often", "e5.new-station")
}

// A state that cannot be read does no harm. One that belongs to another stream, as
// ndmon's does when it starts again, is what is known of the links all the same.
func TestStateThatDoesNotFit(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*testing.T, *fixture)
		want  []string
	}{
		"garbage": {func(t *testing.T, f *fixture) { f.putState(t, []byte("garbage")) }, []string{"e2.new-station", "e3.new-station"}},
		"another stream": {func(t *testing.T, f *fixture) {
			js := f.conn.JetStream()
			if err := js.DeleteStream(testContext(t), schemas.StreamEvents); err != nil {
				t.Fatal(err)
			}
		}, []string{"e3.new-station"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, linkRules)
			stop := f.run(t)
			f.publish(t, from(1, 1, "fe80::1"))
			f.wantAlerts(t, "e1.new-station")
			f.waitAcknowledged(t)
			stop()
			test.spoil(t, f)
			f.run(t)
			f.publish(t, from(2, 1, "fe80::1"))
			f.publish(t, from(3, 7, "fe80::7"))
			f.wantAlerts(t, test.want...)
		})
	}
}

func TestStateIsNotKept(t *testing.T) {
	f := start(t, linkRules)
	f.config.StateInterval = 0
	stop := f.run(t)
	f.publish(t, from(1, 1, "fe80::1"))
	f.wantAlerts(t, "e1.new-station")
	if running, err := state.Request(testContext(t), f.conn.NATS(), stateOf); err != nil || running {
		t.Error(running, err)
	}
	f.waitAcknowledged(t)
	stop()
	if names, err := state.Names(testContext(t), f.conn.JetStream()); err != nil || len(names) > 0 {
		t.Error(names, err)
	}
	if _, err := state.Read(testContext(t), f.conn.JetStream(), stateOf, nil); !errors.Is(err, state.ErrNone) {
		t.Error(err)
	}
}

func TestReadState(t *testing.T) {
	f := start(t, linkRules)
	f.run(t)
	e := from(1, 1, "fe80::1")
	f.publish(t, e)
	f.wantAlerts(t, "e1.new-station")
	f.requestState(t)
	var states []link.State
	head, err := state.Read(testContext(t), f.conn.JetStream(), stateOf, func(s link.State) error {
		states = append(states, s)
		return nil
	})
	if err != nil || head.Events != 1 || len(states) != 1 || len(states[0].Neighbours) != 1 {
		t.Fatalf("%v, %+v, %+v", err, head, states)
	}
	n := states[0].Neighbours[0]
	if states[0].Host != "r1" || n.Address != e.Inet6.Source || n.Bindings[0].Ethernet != e.Ethernet.Source || !n.Bindings[0].FirstSeen.Equal(e.Time) {
		t.Errorf("%+v", states[0])
	}
	for name, want := range map[string]float64{"nd_ruled_links": 1, "nd_ruled_stations": 1, "nd_ruled_neighbours": 1, "nd_ruled_neighbours_evicted_total": 0} {
		if got := f.counter(t, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// requestState has the running ruled store its state.
func (f *fixture) requestState(t *testing.T) {
	t.Helper()
	if running, err := state.Request(testContext(t), f.conn.NATS(), stateOf); err != nil || !running {
		t.Fatal(running, err)
	}
}

func (f *fixture) store(t *testing.T) jetstream.ObjectStore {
	t.Helper()
	store, err := f.conn.JetStream().ObjectStore(testContext(t), schemas.BucketState)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// storedState returns the stored state as it lies there.
func (f *fixture) storedState(t *testing.T) []byte {
	t.Helper()
	data, err := f.store(t).GetBytes(testContext(t), stateOf)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (f *fixture) putState(t *testing.T, data []byte) {
	t.Helper()
	if _, err := f.store(t).PutBytes(testContext(t), stateOf, data); err != nil {
		t.Fatal(err)
	}
}

// A rule that relays and asks what only the stream knows relays too.
func TestRelayInTurn(t *testing.T) {
	f := start(t, `<rules><rule id="newcomers"><match field="nd.ns"/><match field="link.station.new"/><relay/></rule></rules>`)
	relays := f.subscribe(t, "nd.relay.>")
	f.run(t)
	f.publish(t, from(2, 1, "fe80::1"))
	f.publish(t, from(3, 1, "fe80::1"))
	f.publish(t, from(4, 2, "fe80::2"))
	for _, want := range []string{"e2", "e4"} {
		msg, err := relays.NextMsgWithContext(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		var relay schemas.Relay
		if err := relay.ParseJSON(msg.Data); err != nil {
			t.Fatal(err)
		}
		if relay.Event != want || relay.Rule != "newcomers" {
			t.Errorf("%+v, want one for %s", relay, want)
		}
	}
}

// An alert says how many matches it stands for, and the metrics how many were held back.
func TestThreshold(t *testing.T) {
	f := start(t, `<rules><rule id="some"><match field="nd.ns"/><threshold type="limit" count="1" seconds="60"/></rule></rules>`)
	f.run(t)
	for n := range 5 {
		f.publish(t, solicitation(n))
	}
	later := solicitation(5)
	later.Time = later.Time.Add(2 * time.Minute)
	f.publish(t, later)
	if a := f.nextAlert(t); a.ID != "e0.some" || a.Count != 0 {
		t.Errorf("%+v", a)
	}
	if a := f.nextAlert(t); a.ID != "e5.some" || a.Count != 5 || !strings.Contains(a.Summary, "5 ") {
		t.Errorf("%+v", a)
	}
	if n := f.counter(t, "nd_ruled_suppressed_matches_total"); n != 4 {
		t.Errorf("%v are counted as held back, want 4", n)
	}
}

// BenchmarkRestart measures how long ruled takes to go on with 50,000 neighbours.
func BenchmarkRestart(b *testing.B) {
	table := link.New(link.Config{Neighbours: 100_000, ClaimTimeout: time.Hour, Silence: time.Hour})
	for n := range 50_000 {
		e := from(n, 1, fmt.Sprintf("2001:db8::%x:%x", n/65536+1, n%65536))
		e.Ethernet.Source = schemas.MAC{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)}
		table.Observe(e)
	}
	f := start(b, linkRules)
	f.config.Neighbours = 100_000
	stop := f.run(b)
	stop()
	states := table.State()
	b.ResetTimer()
	for b.Loop() {
		if err := state.Write(testContext(b), f.conn.JetStream(), stateOf, state.Head{Time: time.Now()}, states); err != nil {
			b.Fatal(err)
		}
		stop := f.run(b) // until it reads events
		stop()
	}
}

// The stream may have lost its newest events with the disk: what comes after them is
// evaluated, although ruled has seen their numbers before.
func TestEventsAreLostBehindTheState(t *testing.T) {
	f := start(t, linkRules)
	stop := f.run(t)
	for n := range 5 {
		f.publish(t, from(n, 1, "fe80::1"))
	}
	f.waitAcknowledged(t)
	stop()
	// As a block that was cut: the same stream, with lower numbers.
	stream := f.stream(t, schemas.StreamEvents)
	head, err := state.Read(testContext(t), f.conn.JetStream(), stateOf, func(link.State) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	head.Events = stream.CachedInfo().State.LastSeq + 100
	if err := state.Write(testContext(t), f.conn.JetStream(), stateOf, head, nil); err != nil {
		t.Fatal(err)
	}
	stop = f.run(t)
	f.publish(t, from(6, 2, "fe80::2"))
	for {
		if f.nextAlert(t).ID == "e6.new-station" {
			break
		}
	}
	stop()
	if log := f.log.String(); !strings.Contains(log, "the newest events are gone") {
		t.Errorf("the gap is not logged:\n%s", log)
	}
}

// A state of which a part is missing is waited for no longer than some seconds.
func TestStateWithAPartMissing(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the missing part")
	}
	f := start(t, linkRules)
	stop := f.run(t)
	f.publish(t, from(1, 1, "fe80::1"))
	f.wantAlerts(t, "e1.new-station")
	f.waitAcknowledged(t)
	stop()
	chunks := f.stream(t, "OBJ_"+schemas.BucketState)
	if err := chunks.Purge(testContext(t), jetstream.WithPurgeSubject("$O."+schemas.BucketState+".C.>")); err != nil {
		t.Fatal(err)
	}
	stop = f.run(t)
	f.publish(t, from(2, 1, "fe80::1"))
	f.wantAlerts(t, "e2.new-station")
	stop()
	if log := f.log.String(); !strings.Contains(log, "the state cannot be read") {
		t.Errorf("it is not logged:\n%s", log)
	}
}

// Requests for the state are answered together, a state a second.
func TestManyAskForTheState(t *testing.T) {
	f := start(t, linkRules)
	stop := f.run(t)
	defer stop()
	f.publish(t, from(1, 1, "fe80::1"))
	f.wantAlerts(t, "e1.new-station")
	answers := f.subscribe(t, "answers")
	const requests = 50
	for range requests {
		if err := f.conn.NATS().PublishRequest(schemas.StateSubject(stateOf), "answers", nil); err != nil {
			t.Fatal(err)
		}
	}
	for range requests {
		if m, err := answers.NextMsg(20 * time.Second); err != nil || string(m.Data) != "stored" {
			t.Fatalf("%v, %v", m, err)
		}
	}
	bucket := f.stream(t, "OBJ_"+schemas.BucketState)
	// Each state that is stored is a chunk and a name at least.
	if n := bucket.CachedInfo().State.LastSeq; n > requests/2 {
		t.Errorf("%d messages were stored for %d requests", n, requests)
	}
}
