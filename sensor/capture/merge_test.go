package capture

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// queued is a frame of a fake source: its time stamp, and when it can be read.
// Both are in microseconds.
type queued struct{ stamp, at int }

// fake is two sources and their clock, on which everything that the merger does
// takes a microsecond.
type fake struct {
	clock   int
	sources [2]fakeSource
	polls   int
}

type fakeSource struct {
	*fake
	out    bool
	queue  []queued
	failed error // in place of unix.EAGAIN
}

func (k *fakeSource) there() bool { return len(k.queue) > 0 && k.queue[0].at <= k.clock }

func (k *fake) poll() (ready [2]bool, err error) {
	k.clock++
	k.polls++
	for i := range ready {
		ready[i] = k.sources[i].there() || k.sources[i].failed != nil
	}
	return ready, nil
}

// atOnce is how many frames a fake source returns at once.
const atOnce = 4

func (k *fakeSource) read() (frames []Frame, more bool, err error) {
	k.clock++
	for len(frames) < atOnce && k.there() {
		q := k.queue[0]
		k.queue = k.queue[1:]
		frames = append(frames, Frame{Out: k.out, Time: at(q.stamp), Length: q.stamp})
	}
	switch {
	case len(frames) > 0:
		return frames, len(frames) == atOnce, nil
	case k.failed != nil:
		return nil, false, k.failed
	}
	return nil, false, unix.EAGAIN
}

func at(stamp int) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(stamp) * time.Microsecond)
}

func newFake(clock int, in, out []queued) (*fake, *merger) {
	k := &fake{clock: clock}
	m := &merger{poll: k.poll, now: func() time.Time { k.clock++; return at(k.clock) }}
	for i, queue := range [...][]queued{in, out} {
		k.sources[i] = fakeSource{fake: k, out: i == 1, queue: queue}
		m.sides[i].read = k.sources[i].read
	}
	return k, m
}

// describe returns what a frame became: the direction, the stamp and, if it is another, the time.
func describe(f Frame) string {
	s := fmt.Sprintf("in %d", f.Length)
	if f.Out {
		s = fmt.Sprintf("out %d", f.Length)
	}
	if now := int(f.Time.Sub(at(0)) / time.Microsecond); now != f.Length {
		s += fmt.Sprintf(" at %d", now)
	}
	return s
}

func TestMerge(t *testing.T) {
	late := int(clockStep/time.Microsecond) + 100
	for _, test := range []struct {
		name    string
		clock   int
		in, out []queued
		want    []string
	}{
		{"empty", 100, nil, nil, nil},
		{"one source", 100, []queued{{1, 1}, {2, 2}, {3, 3}}, nil, []string{"in 1", "in 2", "in 3"}},
		{"other source", 100, nil, []queued{{1, 1}, {2, 2}}, []string{"out 1", "out 2"}},
		{"alternating", 100, []queued{{1, 1}, {4, 4}}, []queued{{2, 2}, {3, 3}, {5, 5}},
			[]string{"in 1", "out 2", "out 3", "in 4", "out 5"}},
		{"equal", 100, []queued{{5, 5}, {5, 5}}, []queued{{5, 5}}, []string{"in 5", "in 5", "out 5"}},
		// The other source is found empty before the question comes to it.
		{"question and answer meanwhile", 100, []queued{{100, 100}, {101, 101}, {105, 105}}, []queued{{104, 104}},
			[]string{"in 100", "in 101", "out 104", "in 105"}},
		{"race of stamp and queue", 100, []queued{{20, 20}}, []queued{{19, 108}}, []string{"in 20", "out 19 at 20"}},
		{"the clock was set back", late, []queued{{late, late}}, []queued{{10, late + 8}}, []string{fmt.Sprintf("in %d", late), "out 10"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			k, m := newFake(test.clock, test.in, test.out)
			var got []string
			for range 3 { // waits
				m.begin()
				f, err := m.next()
				for ; err == nil; f, err = m.next() {
					got = append(got, describe(f))
				}
				if err != unix.EAGAIN {
					t.Fatal(err)
				}
				k.clock += 10
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A flood of one direction neither delays the other nor makes the merger poll for each frame.
func TestMergeFlood(t *testing.T) {
	const flood = 10_000
	var in []queued
	for i := range flood {
		in = append(in, queued{2 * i, 2 * i})
	}
	k, m := newFake(2*flood, in, []queued{{flood - 1, flood - 1}, {flood + 1, flood + 1}})
	m.begin()
	last, got := -1, 0
	for f, err := m.next(); err == nil; f, err = m.next() {
		if f.Length <= last {
			t.Fatalf("frame of %d after the one of %d", f.Length, last)
		}
		last = f.Length
		got++
	}
	if got != flood+2 || k.polls > 1 {
		t.Errorf("%d frames with %d polls", got, k.polls)
	}
}

// What the other source holds is not lost with the one that fails.
func TestMergeFails(t *testing.T) {
	broken := errors.New("broken")
	k, m := newFake(100, []queued{{201, 1}, {203, 1}}, []queued{{202, 1}, {204, 1}, {205, 1}})
	k.sources[0].failed = broken
	m.begin()
	var got []string
	var failed []error
	for {
		f, err := m.next()
		switch err {
		case nil:
			got = append(got, describe(f))
			continue
		case unix.EAGAIN:
		default:
			if failed = append(failed, err); len(failed) == 1 {
				m.end()
			}
			continue
		}
		break
	}
	if diff := cmp.Diff([]string{"in 201", "out 202", "in 203", "out 204", "out 205"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(failed) != 2 || failed[0] != broken || failed[1] != broken { // at the end again
		t.Errorf("failures %v", failed)
	}
}

// Whatever comes when: times never go back, what was queued before another frame
// was stamped comes before it, and nothing is held back.
func TestMergeOrder(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 0))
		var sent [2][]queued
		for i := range sent {
			now := 0
			for range random.IntN(200) {
				stamp := now + random.IntN(10)
				now = stamp + random.IntN(1+random.IntN(8)) // the race
				sent[i] = append(sent[i], queued{stamp, now})
			}
		}
		k, m := newFake(0, sent[0], sent[1])
		type got struct {
			queued
			time time.Time
		}
		var frames []got
		for len(k.sources[0].queue)+len(k.sources[1].queue) > 0 {
			began := k.clock
			m.begin()
			for f, err := m.next(); err != unix.EAGAIN; f, err = m.next() {
				i := 0
				if f.Out {
					i = 1
				}
				frames = append(frames, got{sent[i][0], f.Time})
				sent[i] = sent[i][1:]
			}
			for _, s := range k.sources {
				if len(s.queue) > 0 && s.queue[0].at <= began {
					t.Fatalf("seed %d: a frame of %d was held back at %d", seed, s.queue[0].at, k.clock)
				}
			}
			k.clock += random.IntN(20)
		}
		if !slices.IsSortedFunc(frames, func(a, b got) int { return a.time.Compare(b.time) }) {
			t.Fatalf("seed %d: times go back", seed)
		}
		if len(sent[0])+len(sent[1]) > 0 {
			t.Fatalf("seed %d: frames are missing", seed)
		}
		for i, f := range frames {
			for _, later := range frames[i+1:] {
				if later.at < f.stamp {
					t.Fatalf("seed %d: a frame queued at %d came behind the one stamped at %d", seed, later.at, f.stamp)
				}
			}
		}
	}
}
