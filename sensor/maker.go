package sensor

import (
	"crypto/rand"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/capture"
	"github.com/ndmon/ndmon/sensor/decode"
)

type origin struct {
	host, iface string
	direction   string
	marks
}

// maker makes the events of one origin. It reuses its memory for each event, and must not
// be used concurrently.
type maker struct {
	origin   origin
	subjects [len(kinds)]string
	frames   [len(kinds)]prometheus.Counter
	ignored  prometheus.Counter
	// own are the host's Ethernet addresses; nil if no frame is marked as forwarded.
	own *atomic.Pointer[map[schemas.MAC]struct{}]
	// address, if set, returns the Ethernet address that the interface has now.
	address func() (mac [6]byte, ok bool)

	decoder decode.Decoder
	// id is the id of the event; its first prefix bytes are the same for all.
	id     []byte
	prefix int
	count  uint64
}

func newMaker(o origin, m *metrics) *maker {
	e := &maker{origin: o, frames: m.forKinds(o.iface, o.direction), ignored: m.ignored}
	for i, k := range kinds {
		e.subjects[i] = schemas.EventSubject(o.host, o.iface, k)
	}
	// 80 random bits for each capture, then a number.
	e.id = append(e.id, rand.Text()[:16]+"-"...)
	e.prefix = len(e.id)
	return e
}

// frame returns the event of a frame and the subject to publish it on. The event is valid
// until the next call. It returns false if the frame is not Neighbor Discovery: the
// kernel queued it before the filter was attached.
func (m *maker) frame(f capture.Frame) (e *schemas.Event, subject string, ok bool) {
	if e, ok = m.decoder.Decode(f.Data, f.Length); !ok {
		m.ignored.Inc()
		return nil, "", false
	}
	if f.Tagged {
		m.decoder.SetVLAN(f.VLAN)
	}
	kind := slices.Index(kinds[:], e.Kind())
	m.frames[kind].Inc()
	m.complete(e, f.Time)
	return e, m.subjects[kind], true
}

// lost returns an event that reports lost frames, like frame.
func (m *maker) lost(l *schemas.Lost) *schemas.Event {
	e := &schemas.Event{Lost: l}
	m.complete(e, l.Until)
	return e
}

// complete adds to an event what the decoder cannot know.
func (m *maker) complete(e *schemas.Event, t time.Time) {
	m.count++
	m.id = strconv.AppendUint(m.id[:m.prefix], m.count, 10)

	e.Type = schemas.TypeEvent
	e.SetID(m.id)
	e.Time = t
	e.Host, e.Interface = m.origin.host, m.origin.iface
	e.Direction, e.Master, e.Proxy = m.origin.direction, m.origin.master, m.origin.proxy
	e.Forwarded = m.forwarded(e)
}

// forwarded reports whether the host sent the frame for another station. The follower learns a new
// address of an interface some milliseconds late, so an address that is not among the host's is
// compared with the one that the interface has now. Only a frame with the new address that leaves
// by another interface, such as the port of a bridge, is meanwhile marked as forwarded by mistake.
func (m *maker) forwarded(e *schemas.Event) bool {
	if m.own == nil || e.Direction != schemas.Out || e.Ethernet == nil {
		return false
	}
	if _, own := (*m.own.Load())[e.Ethernet.Source]; own {
		return false
	}
	if m.address == nil {
		return true
	}
	now, ok := m.address()
	return !ok || now != e.Ethernet.Source
}
