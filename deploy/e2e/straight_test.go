package e2e

import (
	"bytes"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// consecutive checks that events are of frames that follow each other, and returns how many there are.
func consecutive(t *testing.T, where string, events [][]byte) int {
	t.Helper()
	last := -1
	n := 0
	for _, data := range events {
		e := parse[schemas.Event](t, data)
		if e.ND == nil || e.ND.RA == nil {
			continue
		}
		number := int(e.ND.RA.ReachableTimer)
		if last >= 0 && number != last+1 {
			t.Fatalf("%s: frame %d follows frame %d", where, number, last)
		}
		last = number
		n++
	}
	return n
}

// Those who listen to the events of a running ndmon get them from then on without a gap, and
// neither their coming nor their leaving costs an alert.
func TestListenersComeAndGo(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	p := monitor(t, r)
	nc := connect(t, r.Namespace, localNATS)
	f := startFlow(t, r.Upstream.Wire("eth0"))
	for range 5 {
		f.wait(300)
		messages := make(chan *nats.Msg, 1<<16)
		sub, err := nc.ChanSubscribe(schemas.SubjectEvents, messages)
		must(t, err)
		must(t, nc.Flush())
		f.wait(300)
		must(t, sub.Unsubscribe())
		must(t, nc.Flush())
		close(messages)
		var events [][]byte
		for m := range messages {
			events = append(events, m.Data)
		}
		if n := consecutive(t, "subscriber", events); n < 200 {
			t.Errorf("a listener got %d events of some 300", n)
		}
	}
	frames := f.end()
	lab.Eventually(t, "the last alert is written", func() bool {
		on := numbers(t, printed(t, p))
		return len(on) > 0 && on[len(on)-1] == frames-1
	})
	exactlyOnce(t, "standard output", frames, printed(t, p))
	exactlyOnce(t, "stream", frames, storedAlerts(t, nc))
	stop(t, p)
}

// With --record, the events of the time before are in the stream, as batches, also after a kill. Without it there is none.
func TestRecord(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	data := t.TempDir()
	connected := func() *nats.Conn { return connect(t, r.Namespace, localNATS) }
	start := func(args ...string) *lab.Process {
		p := r.Start(program("ndmon", append([]string{"-i", lab.Master, "--data", data}, args...)...))
		p.Stderr.WaitFor("msg=capturing")
		return p
	}
	p := start()
	if _, err := jet(t, connected()).Stream(t.Context(), schemas.StreamEvents); err == nil {
		t.Error("events are stored without --record")
	}
	stop(t, p)

	p = start("--record", "1h")
	f := startFlow(t, r.Upstream.Wire("eth0"))
	f.wait(500)
	frames := f.end()
	recorded := func() (events [][]byte) {
		err := bus.ReadStored(t.Context(), stream(t, connected(), schemas.StreamEvents), 1, false, func(m jetstream.Msg, _ uint64) {
			events = append(events, bytes.Split(m.Data(), []byte("\n"))...)
		})
		must(t, err)
		return events
	}
	lab.Eventually(t, "all events are recorded", func() bool { return consecutive(t, "stream", recorded()) == frames })
	p.Kill()
	p = start("--record", "2h")
	if n := consecutive(t, "stream after a kill", recorded()); n != frames {
		t.Errorf("%d events are recorded, want %d", n, frames)
	}
	if age := stream(t, connected(), schemas.StreamEvents).CachedInfo().Config.MaxAge; age.Hours() != 2 {
		t.Errorf("events are kept for %v", age)
	}
	stop(t, p)
}
