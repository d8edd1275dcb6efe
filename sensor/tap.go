//go:build linux

package sensor

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/filter"
	"github.com/ndmon/ndmon/sensor/internal/capture"
	"github.com/ndmon/ndmon/sensor/internal/links"
)

// tap captures one interface, with a handle for each direction: the kernel's
// packet type is known to its filters only, not to who reads the frames.
type tap struct {
	// link is the interface as it was last seen.
	link links.Link
	marks

	handles []*capture.Handle
	readers sync.WaitGroup
	closing chan struct{}
	// full counts events that found the publisher's buffer full.
	full atomic.Uint64
}

// failure is the error that has ended the capture of an interface.
type failure struct {
	index int
	err   error
}

var directions = [...]struct {
	name   string
	filter filter.Direction
}{
	{schemas.In, filter.Incoming},
	{schemas.Out, filter.Outgoing},
}

// openTap captures the interface and publishes what comes. If that fails later,
// it says so on failures.
func (s *sensor) openTap(l links.Link, m marks, failures chan<- failure) (*tap, error) {
	t := &tap{link: l, marks: m, closing: make(chan struct{})}
	for _, d := range directions {
		program, err := filter.ND(d.filter)
		if err != nil {
			return nil, errors.Join(err, t.abandon())
		}
		h, err := capture.Open(l.Name, l.Index, capture.Options{
			Filter: program,
			// It is the interface that is promiscuous: asking once is enough.
			Promiscuous:   s.config.Promiscuous && d.filter == filter.Incoming,
			ReceiveBuffer: s.config.ReceiveBuffer,
		})
		if err != nil {
			return nil, errors.Join(err, t.abandon())
		}
		t.handles = append(t.handles, h)
	}
	for i, d := range directions {
		e := newEncoder(origin{host: s.host, iface: l.Name, direction: d.name, marks: m}, s.metrics)
		t.readers.Go(func() {
			err := t.handles[i].Frames(func(f capture.Frame) { s.deliver(t, e, f) })
			if err == nil {
				return
			}
			select {
			case failures <- failure{l.Index, err}:
			case <-t.closing:
			}
		})
	}
	return t, nil
}

// deliver publishes a frame if there is room.
func (s *sensor) deliver(t *tap, e *encoder, f capture.Frame) {
	subject, data, ok := e.frame(f)
	if !ok {
		return
	}
	if !s.Publisher.TryPublish(subject, "", data) {
		t.full.Add(1)
		s.metrics.droppedByBuf.Inc()
		return
	}
	s.metrics.published.Inc()
}

// abandon closes what was opened of a tap that cannot be opened whole.
func (t *tap) abandon() error {
	var failed []error
	for _, h := range t.handles {
		_, err := h.Close()
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// bound reports whether the interface is still the one that was opened.
func (t *tap) bound() bool {
	for _, h := range t.handles {
		if !h.Bound() {
			return false
		}
	}
	return true
}

// lost returns how many frames were lost since the last call.
func (t *tap) lost() (kernel, buffer uint64, err error) {
	for _, h := range t.handles {
		n, e := h.Dropped()
		kernel += n
		err = errors.Join(err, e)
	}
	return kernel, t.full.Swap(0), err
}

// close ends the capture and returns what lost would. Frames that the kernel
// has queued are published still.
func (t *tap) close() (kernel, buffer uint64, err error) {
	close(t.closing)
	for _, h := range t.handles {
		n, e := h.Close()
		kernel += n
		err = errors.Join(err, e)
	}
	t.readers.Wait()
	return kernel, t.full.Swap(0), err
}
