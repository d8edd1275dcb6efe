package capture

import (
	"time"

	"golang.org/x/sys/unix"
)

// clockStep is how far the time of a frame may be behind that of the one before
// it if the clock was not set back. The race between the kernel's time stamp and
// its queue takes microseconds, or milliseconds where something stops a
// processor in it.
const clockStep = time.Second

// merger puts the frames of two sources in the order of their time stamps. It
// keeps at most one frame of each, which stays in its source's buffer.
type merger struct {
	sides [2]side
	// poll reports which sources hold a frame. It costs less than a read that
	// finds none.
	poll func() (ready [2]bool, err error)
	// now is the clock of the time stamps.
	now func() time.Time

	// polled is right before poll was last called, zero if it was not since begin.
	// A source that was empty then gives no older frame but for the race of stamp
	// and queue.
	polled time.Time
	// ended says that no more frames come than the sources hold.
	ended bool
	// last is the time of the last frame, from is the side that it came from, and
	// again says that the one before came from there too.
	last  time.Time
	from  int
	again bool
}

// side is one source.
type side struct {
	// read returns the next frame, valid until the next call, or unix.EAGAIN.
	read func() (Frame, error)
	// ready says that the source may hold a frame.
	ready bool
	// frame is read and not delivered if full is set.
	frame Frame
	full  bool
}

// begin must be called before next after each wait.
func (m *merger) begin() {
	m.polled = time.Time{}
	// Where only one direction is busy, the next frame is most likely of that one,
	// and to read it first spares a poll.
	m.sides[m.from].ready = m.again
}

// end tells the merger that the sources get no more frames. After it next gives
// those that they hold.
func (m *merger) end() {
	m.ended = true
	for i := range m.sides {
		m.sides[i].ready = true
	}
}

// next returns the next frame, valid until the next call, or unix.EAGAIN if
// there is none. Any other error is of one source, and what is kept of the other
// comes with the next call.
func (m *merger) next() (Frame, error) {
	if err := m.fill(); err != nil {
		return Frame{}, err
	}
	if !m.sure() {
		m.polled = m.now()
		ready, err := m.poll()
		if err != nil {
			return Frame{}, err
		}
		for i := range m.sides {
			m.sides[i].ready = ready[i]
		}
		if err := m.fill(); err != nil {
			return Frame{}, err
		}
	}
	from := 0
	switch a, b := &m.sides[0], &m.sides[1]; {
	case a.full && !(b.full && b.frame.Time.Before(a.frame.Time)):
	case b.full:
		from = 1
	default:
		return Frame{}, unix.EAGAIN
	}
	m.again, m.from = m.from == from, from
	s := &m.sides[from]
	s.full = false
	f := s.frame
	if early := m.last.Sub(f.Time); early > 0 && early < clockStep {
		f.Time = m.last
	}
	m.last = f.Time
	return f, nil
}

// sure reports whether the older of the frames that are kept is the next one.
func (m *merger) sure() bool {
	a, b := &m.sides[0], &m.sides[1]
	switch {
	case m.ended || a.full && b.full:
		return true
	case !a.full && !b.full:
		return !m.polled.IsZero() // none is
	case a.full:
		b = a
	}
	// What this frame answers may have come to the other source since the poll.
	return !b.frame.Time.After(m.polled)
}

// fill reads a frame of each source that may hold one and of which none is kept.
func (m *merger) fill() error {
	for i := range m.sides {
		s := &m.sides[i]
		if s.full || !s.ready {
			continue
		}
		f, err := s.read()
		switch err {
		case nil:
			s.frame, s.full = f, true
		case unix.EAGAIN:
			s.ready = false
		default:
			s.ready = false
			return err
		}
	}
	return nil
}
