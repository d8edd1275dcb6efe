package ruled

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/state"
	"github.com/ndmon/ndmon/schemas"
)

// A ruled that is killed has stored its state while it evaluated a batch. The next one evaluates the rest
// of the batch: each alert is raised once, and thresholds count no event twice.
func TestStateOutlivesAKillInABatch(t *testing.T) {
	f := start(t, `<rules>
  <rule id="all"><match field="nd.ns"/><alert severity="info"/></rule>
  <rule id="third"><match field="nd.ns"/><threshold type="threshold" count="3" seconds="60"/></rule>
</rules>`)
	f.config.StateInterval = 5 * time.Millisecond
	stop := f.run(t)
	const size = 1000
	sent := 0
	batch := func(size int) (events []*schemas.Event) {
		for range size {
			sent++
			events = append(events, solicitation(sent))
		}
		return events
	}
	seen := 0
	next := func() {
		t.Helper()
		seen++
		f.wantAlerts(t, fmt.Sprintf("e%d.all", seen))
		if seen%3 == 0 {
			f.wantAlerts(t, fmt.Sprintf("e%d.third", seen))
		}
	}
	var stored []byte
	var head state.Head
	for batches := uint64(1); head.Part == 0; batches++ {
		f.publish(t, batch(size)...)
		waitFor(t, "a state with the batch, or a part of it", func() bool {
			stored, head = f.copyState(t)
			return head.Events == batches
		})
		for seen < sent {
			next()
		}
	}
	f.waitAcknowledged(t)
	stop()
	f.putState(t, stored)
	f.run(t)
	f.publish(t, batch(10)...)
	for seen < sent {
		next()
	}
	f.waitAcknowledged(t)
	behind := sent - 10 - int(head.Events-1)*size - head.Part
	if got := f.counter(t, "nd_ruled_events_total"); int(got) != behind+10 {
		t.Errorf("evaluated %v events again, want %d behind event %d of batch %d", got-10, behind, head.Part, head.Events)
	}
	info, err := f.stream(t, schemas.StreamAlerts).Info(testContext(t), jetstream.WithSubjectFilter(schemas.SubjectAlerts))
	if err != nil {
		t.Fatal(err)
	}
	if n := info.State.Subjects[schemas.SubjectAlerts]; int(n) != sent+sent/3 {
		t.Errorf("%d alerts are stored, want %d", n, sent+sent/3)
	}
}

// copyState returns the stored state and its head.
func (f *fixture) copyState(t *testing.T) (stored []byte, head state.Head) {
	t.Helper()
	store, err := f.conn.JetStream().ObjectStore(testContext(t), schemas.BucketState)
	if err == nil {
		// If ruled stores another one meanwhile, nats.go waits for a part that is gone.
		ctx, cancel := context.WithTimeout(testContext(t), time.Second)
		defer cancel()
		stored, err = store.GetBytes(ctx, stateOf)
	}
	if err != nil {
		return nil, head // there is none yet, or no longer that one
	}
	if _, err := store.PutBytes(testContext(t), "copy", stored); err != nil {
		t.Fatal(err)
	}
	if head, err = state.Read(testContext(t), f.conn.JetStream(), "copy", func(link.State) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return stored, head
}

// A stream of single events, as sensors of earlier versions stored them, is read before the batches that follow.
func TestEventsOfEarlierVersions(t *testing.T) {
	for _, subject := range []string{schemas.SubjectEvents, "nd.events.r1.>", "nd.events.*.eth0.*"} {
		t.Run(subject, func(t *testing.T) {
			f := start(t, testRules)
			f.config.Events = subject
			js := f.conn.JetStream()
			if err := js.DeleteStream(testContext(t), schemas.StreamEvents); err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateStream(testContext(t), jetstream.StreamConfig{Name: schemas.StreamEvents, Subjects: []string{schemas.SubjectEvents}}); err != nil {
				t.Fatal(err)
			}
			elsewhere := solicitation(0)
			elsewhere.Host, elsewhere.Interface = "r2", "eth1"
			for _, e := range []*schemas.Event{elsewhere, solicitation(1), solicitation(2)} {
				f.publishRaw(t, schemas.EventSubject(e.Host, e.Interface, e.Kind()), e.AppendJSON(nil))
			}
			f.publishRaw(t, schemas.EventSubject("r1", "eth0", schemas.KindRA), solicitation(3).AppendJSON(nil)) // is none
			f.run(t)
			f.publish(t, elsewhere)
			f.publish(t, solicitation(4), solicitation(5))
			f.publish(t, solicitation(6))
			if subject == schemas.SubjectEvents {
				f.wantAlerts(t, "e0.all-ns")
			}
			f.wantAlerts(t, "e1.all-ns", "e2.all-ns", "e4.all-ns", "e5.all-ns", "e6.all-ns")
			f.waitAcknowledged(t)
			if got := f.counter(t, "nd_ruled_invalid_messages_total"); got != 1 {
				t.Errorf("%v lines are counted as invalid, want 1", got)
			}
			if s := f.stream(t, schemas.StreamEvents).CachedInfo().Config.Subjects; !slices.Equal(s, []string{schemas.SubjectBatches}) {
				t.Errorf("the stream has %q", s)
			}
		})
	}
}
