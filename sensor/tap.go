package sensor

import (
	"sync"
	"sync/atomic"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/ndmon/ndmon/sensor/capture"
	"github.com/ndmon/ndmon/sensor/filter"
)

type tap struct {
	// link is the interface as it was last listed.
	link iface.Link
	marks

	handle  *capture.Handle
	in, out *encoder
	reader  sync.WaitGroup
	closing chan struct{}
	// full counts events that found the publisher's queue full.
	full atomic.Uint64
}

type failure struct {
	index int
	err   error
}

// openTap captures the interface and publishes its frames in their order. If that
// fails later, it sends the error to failures.
func (s *session) openTap(l iface.Link, m marks, failures chan<- failure) (*tap, error) {
	in, err := filter.ND(filter.Incoming)
	if err != nil {
		return nil, err
	}
	out, err := filter.ND(filter.Outgoing)
	if err != nil {
		return nil, err
	}
	t := &tap{
		link: l, marks: m, closing: make(chan struct{}),
		in: s.liveEncoder(l.Name, schemas.In, m), out: s.liveEncoder(l.Name, schemas.Out, m),
	}
	t.handle, err = capture.Open(l.Name, l.Index, capture.Options{
		In: in, Out: out, Promiscuous: s.config.Promiscuous, ReceiveBuffer: s.config.ReceiveBuffer,
	})
	if err != nil {
		return nil, err
	}
	t.out.address = t.handle.Address
	t.reader.Go(func() {
		err := t.handle.Frames(func(f capture.Frame) { s.deliver(t, f) })
		if err == nil {
			return
		}
		select {
		case failures <- failure{l.Index, err}:
		case <-t.closing:
		}
	})
	return t, nil
}

func (s *session) liveEncoder(iface, direction string, m marks) *encoder {
	e := newEncoder(origin{host: s.host, iface: iface, direction: direction, marks: m}, s.metrics)
	e.solicited, e.own = s.Solicited, &s.own
	return e
}

// deliver publishes a frame if the publisher's queue has space.
func (s *session) deliver(t *tap, f capture.Frame) {
	e := t.in
	if f.Out {
		e = t.out
	}
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

func (t *tap) lost() (kernel, buffer uint64, err error) {
	kernel, err = t.handle.Dropped()
	return kernel, t.full.Swap(0), err
}

// close ends the capture and returns what lost would return. Frames that the kernel has
// queued are still published.
func (t *tap) close() (kernel, buffer uint64, err error) {
	close(t.closing)
	kernel, err = t.handle.Close()
	t.reader.Wait()
	return kernel, t.full.Swap(0), err
}
