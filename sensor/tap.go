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
	in, out *maker
	outlet  *outlet
	reader  sync.WaitGroup
	closing chan struct{}
	// frames counts the frames of Neighbor Discovery.
	frames atomic.Uint64
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
		in: s.liveMaker(l.Name, schemas.In, m), out: s.liveMaker(l.Name, schemas.Out, m),
	}
	t.outlet = s.newOutlet(l.Name, t.queue)
	t.handle, err = capture.Open(l.Name, l.Index, capture.Options{
		In: in, Out: out, Promiscuous: s.config.Promiscuous, ReceiveBuffer: s.config.ReceiveBuffer,
	})
	if err != nil {
		return nil, err
	}
	t.out.address = t.handle.Address
	t.reader.Go(func() {
		err := t.handle.Frames(t.deliver, t.idle)
		t.idle()
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

func (s *session) liveMaker(iface, direction string, o marks) *maker {
	m := newMaker(origin{host: s.host, iface: iface, direction: direction, marks: o}, s.metrics)
	m.own = &s.own
	return m
}

// deliver passes the event of a frame on.
func (t *tap) deliver(f capture.Frame) {
	m := t.in
	if f.Out {
		m = t.out
	}
	if e, subject, ok := m.frame(f); ok {
		t.frames.Add(1)
		t.outlet.take(e, subject) // queue returns no error
	}
}

// idle stores the events of the frames that were waiting.
func (t *tap) idle() { t.outlet.flush() }

// queue is outlet.store. It counts what finds the publisher's queue full.
func (t *tap) queue(subject string, batch []byte, events int) error {
	if t.outlet.Publisher.TryPublish(subject, "", batch) {
		t.outlet.metrics.published.Add(float64(events))
	} else {
		t.full.Add(uint64(events))
		t.outlet.metrics.droppedByBuf.Add(float64(events))
	}
	return nil
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
