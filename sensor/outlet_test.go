package sensor

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/schemas"
)

// What waits in the socket is stored together, in batches of a bounded size.
func TestBatches(t *testing.T) {
	f := firstNS(t)
	long := f
	long.Data = append(slices.Clone(f.Data), bytes.Repeat([]byte{0}, 60_000)...)
	long.Length = len(long.Data)
	for _, test := range []struct {
		name     string
		frames   int
		long     int // the frame that is longer than a batch
		stored   int // messages
		idleEach bool
	}{
		{name: "one frame", frames: 1, long: -1, stored: 1},
		{name: "frames that come alone", frames: 5, long: -1, stored: 5, idleEach: true},
		{name: "frames that wait together", frames: 50, long: -1, stored: 1},
		{name: "more than a batch", frames: 500, long: -1, stored: 5},
		{name: "a frame longer than a batch", frames: 50, long: 20, stored: 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &recorder{}
			s := newTestSensor(t, r)
			s.Live = listener{r}
			var judged []string
			s.Judge = func(e *schemas.Event) { judged = append(judged, strings.Clone(e.ID)) }
			tp, stored := s.testTap(), 0
			store := tp.outlet.store
			tp.outlet.store = func(subject string, batch []byte, events int) error {
				stored++
				if len(batch) > maxBatch && events > 1 {
					t.Errorf("a batch of %d events has %d bytes", events, len(batch))
				}
				return store(subject, batch, events)
			}
			for i := range test.frames {
				if i == test.long {
					tp.deliver(long)
				} else {
					tp.deliver(f)
				}
				if test.idleEach {
					tp.idle()
				}
			}
			tp.idle()
			r.check(t)
			var ids []string
			for _, m := range r.messages {
				ids = append(ids, m.event.ID)
			}
			if stored != test.stored || len(ids) != test.frames || !slices.Equal(ids, judged) || len(r.live) != test.frames {
				t.Errorf("%d events in %d batches, %d published, %d judged", len(ids), stored, len(r.live), len(judged))
			}
		})
	}
}

// Without a publisher, an event is encoded only for those who listen.
func TestNotStored(t *testing.T) {
	r := &recorder{}
	s := newTestSensor(t, nil)
	judged := 0
	s.Judge = func(*schemas.Event) { judged++ }
	tp, f := s.testTap(), firstNS(t)
	tp.deliver(f)
	s.Live = listener{r}
	tp.deliver(f)
	tp.idle()
	if judged != 2 || len(r.live) != 1 || len(tp.outlet.batch) != 0 {
		t.Errorf("%d events judged, %d published, %d bytes wait", judged, len(r.live), len(tp.outlet.batch))
	}
}
