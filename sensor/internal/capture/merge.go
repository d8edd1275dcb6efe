//go:build linux

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
	// now is the clock of the time stamps.
	now func() time.Time
	// ended says that no more frames come than the sources hold.
	ended bool
	// last is the time of the last frame.
	last time.Time
}

// source is where frames come from.
type source interface {
	// holds reports whether there is a frame to read.
	holds() (bool, error)
	// read returns the next frame, valid until the next call, or unix.EAGAIN.
	read() (Frame, error)
}

// side is a source with what the merger knows of it.
type side struct {
	source
	// frame is read and not delivered if full is set.
	frame Frame
	full  bool
	// looked is right before the source was asked whether it holds a frame. If
	// ready is not set, it held none.
	looked time.Time
	ready  bool
	// reads is how many frames were read since begin.
	reads int
}

// begin finds out which sources hold frames. It must be called before next after
// each wait.
func (m *merger) begin() error {
	for i := range m.sides {
		s := &m.sides[i]
		s.reads = 0
		if err := m.look(s); err != nil {
			return err
		}
	}
	return nil
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
	s, other, err := m.older()
	if err != nil {
		return Frame{}, err
	}
	// What this frame answers may have come to the other source since it was
	// empty.
	if !other.full && !m.ended && s.frame.Time.After(other.looked) {
		if err := m.look(other); err != nil {
			return Frame{}, err
		}
		if s, _, err = m.older(); err != nil {
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

// older returns the side that keeps the older frame, of equals the first, and
// the other one.
func (m *merger) older() (s, other *side, err error) {
	a, b := &m.sides[0], &m.sides[1]
	if err := m.fill(a); err != nil {
		return nil, nil, err
	}
	if err := m.fill(b); err != nil {
		return nil, nil, err
	}
	switch {
	case a.full && !(b.full && b.frame.Time.Before(a.frame.Time)):
		return a, b, nil
	case b.full:
		return b, a, nil
	default:
		return nil, nil, unix.EAGAIN
	}
}

// fill reads a frame if there may be one and none is kept.
func (m *merger) fill(s *side) error {
	// Most often one frame has come, and to look costs less than to read in vain.
	if s.reads == 1 && !s.full && s.ready && !m.ended {
		if err := m.look(s); err != nil {
			return err
		}
	}
	if s.full || !s.ready {
		return nil
	}
	s.reads++
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

// look finds out whether the source holds a frame.
func (m *merger) look(s *side) (err error) {
	s.looked = m.now()
	s.ready, err = s.holds()
	return err
}
