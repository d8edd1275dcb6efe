package pinger

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ndmon/ndmon/schemas"
)

type publications map[string]string

func (publications) Subscribe(string, func(string, []byte)) (func() error, error) { return nil, nil }

func (p publications) Publish(subject string, data []byte) error {
	p[subject] = string(data)
	return nil
}

// An event goes to Events, or to those who listen and to the stream.
func TestPublish(t *testing.T) {
	e := &schemas.Event{Type: schemas.TypeEvent, ID: "c1", Host: "r.1", Interface: "m0", Direction: schemas.In, Conflict: &schemas.Conflict{OtherInterface: "s1"}}
	bus := publications{}
	var direct *schemas.Event
	if err := (Deps{Bus: bus, Events: func(e *schemas.Event) { direct = e }}).publish(e); err != nil || direct != e || len(bus) > 0 {
		t.Errorf("passed %v, published %v, error %v", direct, bus, err)
	}
	if err := (Deps{Bus: bus}).publish(e); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"nd.batches.r=2E1.m0", "nd.events.r=2E1.m0.other"}, slices.Sorted(maps.Keys(bus))); diff != "" {
		t.Error(diff)
	}
	for subject, data := range bus {
		if data != string(e.AppendJSON(nil)) {
			t.Errorf("on %s: %s", subject, data)
		}
	}
}

// The last heartbeat says that the pinger has stopped.
func TestHeartbeat(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	now := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	var got []schemas.Event
	beat(ctx, Config{Host: "r1", Heartbeat: time.Hour - time.Millisecond}, Deps{now: func() time.Time { return now }, Events: func(e *schemas.Event) {
		beat := *e.Pinger
		got = append(got, schemas.Event{Type: e.Type, Time: e.Time, Host: e.Host, Direction: e.Direction, Pinger: &beat})
		now = now.Add(time.Second)
		cancel()
	}})
	started := now.Add(-2 * time.Second)
	event := func(second int, stopped bool) schemas.Event {
		return schemas.Event{Type: schemas.TypeEvent, Time: started.Add(time.Duration(second) * time.Second), Host: "r1", Direction: schemas.In,
			Pinger: &schemas.Heartbeat{Started: started, Interval: 3600, Stopped: stopped}}
	}
	if diff := cmp.Diff([]schemas.Event{event(0, false), event(1, true)}, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}
