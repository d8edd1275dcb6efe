//go:build linux

package capture

import (
	"time"

	"golang.org/x/sys/unix"
)

// sides is how many sources a merger has, one for each direction.
const sides = 2

// clockStep is how far the time of a frame may be behind that of the one before
// it if the clock was not set back. The race between the kernel's time stamp and
// its queue takes microseconds, or milliseconds where something stops a
// processor in it.
const clockStep = time.Second

// merger puts the frames of two sources in the order of their time stamps. It
// keeps at most one frame of each, which stays in its source's buffer.
type merger struct {
	sides [sides]side
	// poll reports which sources may hold a frame.
	poll func() ([sides]bool, error)
	// now is the clock of the time stamps.
	now func() time.Time

	// polled is when poll was last asked. A source that is not ready was empty
	// then, so what comes from it is not older but for the race.
	polled time.Time
	// ended says that no more frames come than the sources hold.
	ended bool
	// last is the time of the last frame.
	last time.Time
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

// begin finds out which sources hold frames. It must be called before next after
// each wait.
func (m *merger) begin() error {
	m.polled = m.now()
	ready, err := m.poll()
	for i := range m.sides {
		m.sides[i].ready = ready[i]
	}
	return err
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
	s, err := m.older()
	if err != nil {
		return Frame{}, err
	}
	if !m.sure(s) {
		if err := m.begin(); err != nil {
			return Frame{}, err
		}
		if s, err = m.older(); err != nil {
			return Frame{}, err
		}
	}
	s.full = false
	f := s.frame
	if early := m.last.Sub(f.Time); early > 0 && early < clockStep {
		f.Time = m.last
	}
	m.last = f.Time
	return f, nil
}

// older returns the side that keeps the older frame, of equals the first.
func (m *merger) older() (*side, error) {
	a, b := &m.sides[0], &m.sides[1]
	for _, s := range [...]*side{a, b} {
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
	switch {
	case a.full && !(b.full && b.frame.Time.Before(a.frame.Time)):
		return a, nil
	case b.full:
		return b, nil
	default:
		return nil, unix.EAGAIN
	}
}

// sure reports whether the other source cannot hold a frame that comes before
// that of the side. What the frame answers may have come to it since it was
// empty.
func (m *merger) sure(s *side) bool {
	both := m.sides[0].full && m.sides[1].full
	return both || m.ended || !s.frame.Time.After(m.polled)
}

// fill reads a frame if there may be one and none is kept.
func (s *side) fill() error {
	if s.full || !s.ready {
		return nil
	}
	f, err := s.read()
	switch err {
	case nil:
		s.frame, s.full = f, true
		return nil
	case unix.EAGAIN:
		s.ready = false
		return nil
	default:
		s.ready = false
		return err
	}
}
