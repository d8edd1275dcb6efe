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

// origin is where frames come from.
type origin struct {
	host, iface string
	direction   string
	marks
}

// encoder makes the messages of one origin. It uses its memory again for each,
// and is not for concurrent use.
type encoder struct {
	origin   origin
	subjects [len(kinds)]string
	frames   [len(kinds)]prometheus.Counter
	ignored  prometheus.Counter
	// solicited is Deps.Solicited, nil for none.
	solicited func(*schemas.Event)
	// own are the host's Ethernet addresses, nil where nothing is forwarded.
	own *atomic.Pointer[map[schemas.MAC]struct{}]
	// address, if set, returns the one that the interface has now.
	address func() (mac [6]byte, ok bool)

	decoder decode.Decoder
	// id is the event's, of which the first prefix bytes stay the same.
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

// frame returns the event of a frame and the subject to publish it on. The data
// is valid until the next call. It returns false for what is no Neighbor
// Discovery: a frame that the kernel queued while the filter was attached.
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

// lost returns the event that tells of lost frames, like frame.
func (e *encoder) lost(l *schemas.Lost) (subject string, data []byte) {
	ev := schemas.Event{Lost: l}
	return e.subjects[slices.Index(kinds[:], ev.Kind())], e.encode(&ev, l.Until)
}

// encode fills in what the decoder cannot know.
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

// forwarded reports whether the host sent the frame for another station. The
// follower hears of a new address of an interface some milliseconds late, so the
// interface itself is asked about one that is not known. Only what leaves another
// interface with it, as by the port of a bridge, is taken for forwarded meanwhile.
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
