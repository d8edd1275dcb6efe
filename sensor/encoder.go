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

// encoder makes the messages of one origin. It reuses its memory for each message, and
// must not be used concurrently.
type encoder struct {
	origin    origin
	subjects  [len(kinds)]string
	frames    [len(kinds)]prometheus.Counter
	ignored   prometheus.Counter
	solicited func(*schemas.Event)
	// own are the host's Ethernet addresses; nil if no frame is marked as forwarded.
	own *atomic.Pointer[map[schemas.MAC]struct{}]
	// address, if set, returns the Ethernet address that the interface has now.
	address func() (mac [6]byte, ok bool)

	decoder decode.Decoder
	// id is the id of the event; its first prefix bytes are the same for all.
	id     []byte
	prefix int
	count  uint64
	json   []byte
}

func newEncoder(o origin, m *metrics) *encoder {
	e := &encoder{origin: o, frames: m.forKinds(o.iface, o.direction), ignored: m.ignored}
	for i, k := range kinds {
		e.subjects[i] = schemas.EventSubject(o.host, o.iface, k)
	}
	// 80 random bits for each capture, then a number.
	e.id = append(e.id, rand.Text()[:16]+"-"...)
	e.prefix = len(e.id)
	return e
}

// frame returns the event of a frame and the subject to publish it on. The data is valid
// until the next call. It returns false if the frame is not Neighbor Discovery: the
// kernel queued it before the filter was attached.
func (e *encoder) frame(f capture.Frame) (subject string, data []byte, ok bool) {
	ev, ok := e.decoder.Decode(f.Data, f.Length)
	if !ok {
		e.ignored.Inc()
		return "", nil, false
	}
	if f.Tagged {
		e.decoder.SetVLAN(f.VLAN)
	}
	kind := slices.Index(kinds[:], ev.Kind())
	e.frames[kind].Inc()
	return e.subjects[kind], e.encode(ev, f.Time), true
}

// lost returns an event that reports lost frames, like frame.
func (e *encoder) lost(l *schemas.Lost) (subject string, data []byte) {
	ev := schemas.Event{Lost: l}
	return e.subjects[slices.Index(kinds[:], ev.Kind())], e.encode(&ev, l.Until)
}

// encode adds what the decoder cannot know, and encodes the event.
func (e *encoder) encode(ev *schemas.Event, t time.Time) []byte {
	e.count++
	e.id = strconv.AppendUint(e.id[:e.prefix], e.count, 10)

	ev.Type = schemas.TypeEvent
	ev.SetID(e.id)
	ev.Time = t
	ev.Host, ev.Interface = e.origin.host, e.origin.iface
	ev.Direction, ev.Master, ev.Proxy = e.origin.direction, e.origin.master, e.origin.proxy
	ev.Forwarded = e.forwarded(ev)
	if e.solicited != nil && ev.ND != nil && ev.ND.NS != nil {
		e.solicited(ev)
	}
	e.json = ev.AppendJSON(e.json[:0])
	ev.ID = ""
	return e.json
}

// forwarded reports whether the host sent the frame for another station. The follower learns a new
// address of an interface some milliseconds late, so an address that is not among the host's is
// compared with the one that the interface has now. Only a frame with the new address that leaves
// by another interface, such as the port of a bridge, is meanwhile marked as forwarded by mistake.
func (e *encoder) forwarded(ev *schemas.Event) bool {
	if e.own == nil || ev.Direction != schemas.Out || ev.Ethernet == nil {
		return false
	}
	if _, own := (*e.own.Load())[ev.Ethernet.Source]; own {
		return false
	}
	if e.address == nil {
		return true
	}
	now, ok := e.address()
	return !ok || now != ev.Ethernet.Source
}
