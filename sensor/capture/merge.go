package capture

import (
	"time"

	"golang.org/x/sys/unix"
)

// clockStep is the least difference by which a frame must be older than the previous one
// to show that the clock was set back. The race between the kernel's time stamp and its
// queue takes microseconds, or milliseconds if a processor is stopped in between.
const clockStep = time.Second

// merger puts the frames of two sources in the order of their time stamps. The frames that it
// holds stay in their source's buffer.
type merger struct {
	sides [2]side
	// poll reports which sources hold a frame. It costs less than a read that finds none.
	poll func() (ready [2]bool, err error)
	// now is the clock of the time stamps.
	now func() time.Time

	// polled is the time right before the last call of poll, or zero if there was none since begin.
	// A source that was empty then has no older frame, apart from the race between stamp and queue.
	polled time.Time
	// ended says that the sources receive no more frames.
	ended bool
	// last is the time of the last frame, from is the side that it came from, and again
	// says that the frame before it came from there too.
	last  time.Time
	from  int
	again bool
}

type side struct {
	// read returns frames, valid until the next call, and whether the source may hold more, or unix.EAGAIN.
	read func() (frames []Frame, more bool, err error)
	// ready says that the source may hold a frame.
	ready bool
	// frames were read and are not delivered yet.
	frames []Frame
}

// begin must be called before next after each wait.
func (m *merger) begin() {
	m.polled = time.Time{}
	// If only one direction is busy, the next frame is most likely of that one: reading it
	// first saves a poll.
	m.sides[m.from].ready = m.again
}

// end says that the sources receive no more frames. After it, next returns those that they hold.
func (m *merger) end() {
	m.ended = true
	for i := range m.sides {
		m.sides[i].ready = true
	}
}

// next returns the next frame, valid until the next call, or unix.EAGAIN if there is none.
// Any other error is of one source; the next call returns the frame of the other.
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
	case len(a.frames) > 0 && !(len(b.frames) > 0 && b.frames[0].Time.Before(a.frames[0].Time)):
	case len(b.frames) > 0:
		from = 1
	default:
		return Frame{}, unix.EAGAIN
	}
	m.again, m.from = m.from == from, from
	s := &m.sides[from]
	f := s.frames[0]
	s.frames = s.frames[1:]
	if early := m.last.Sub(f.Time); early > 0 && early < clockStep {
		f.Time = m.last
	}
	m.last = f.Time
	return f, nil
}

// sure reports whether the older one of the frames that are held is the next.
func (m *merger) sure() bool {
	a, b := m.sides[0].frames, m.sides[1].frames
	switch {
	case m.ended || len(a) > 0 && len(b) > 0:
		return true
	case len(a)+len(b) == 0:
		return !m.polled.IsZero() // none is
	case len(a) > 0:
		b = a
	}
	// The question that this frame answers may have reached the other source since the poll.
	return !b[0].Time.After(m.polled)
}

// fill reads frames of each source that may have one and of which none is held.
func (m *merger) fill() (err error) {
	for i := range m.sides {
		s := &m.sides[i]
		if len(s.frames) > 0 || !s.ready {
			continue
		}
		if s.frames, s.ready, err = s.read(); err != nil && err != unix.EAGAIN {
			return err
		}
	}
	return nil
}

// Frame is one captured frame.
type Frame struct {
	// Data is valid until the function that received the frame returns.
	Data []byte
	// Length is the frame's length in bytes on the wire. It is greater than the length of
	// Data if the frame was cut.
	Length int
	// Time is the kernel's time stamp, or the time of the previous frame if that is later;
	// the comment at Frames says why.
	Time time.Time
	// Out reports whether the host sent the frame.
	Out bool
	// VLAN is the tag control information of the 802.1Q tag that the kernel removed from
	// the frame, and Tagged reports whether there was one.
	VLAN   uint16
	Tagged bool
}
