package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// Query says which bindings to read.
type Query struct {
	// Prefix is that of the addresses, MAC that of the station if Prefix is not valid.
	Prefix netip.Prefix
	MAC    schemas.MAC
	Host   string // a plain name; empty for all
	// From and To bound the time in which a station was heard with an address, if they are not zero.
	From, To time.Time
}

// ParseQuery reads an IPv6 address, a prefix or an Ethernet address.
func ParseQuery(s string) (q Query, err error) {
	if q.MAC, err = schemas.ParseMAC(s); err == nil {
		return q, nil
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Is6() && addr.Zone() == "" {
		q.Prefix = netip.PrefixFrom(addr, 128)
		return q, nil
	}
	if prefix, err := netip.ParsePrefix(s); err == nil && prefix.Addr().Is6() {
		q.Prefix = prefix.Masked()
		return q, nil
	}
	return q, fmt.Errorf("%q is not an IPv6 address, a prefix or an Ethernet address, such as 2001:db8::42, 2001:db8::/64 or 02:00:00:00:00:01", s)
}

// slack is how much longer than the history says a station may have been heard, because a later time is
// written to it only after some minutes.
const slack = 12 * time.Minute

// clocks is how much the clocks of a sensor and of the server may differ.
const clocks = time.Hour

// source returns where the bindings are, and the subject of one.
func (q Query) source() (stream, subjects string, subject func(*schemas.Binding) string) {
	if q.Prefix.IsValid() {
		return schemas.StreamHistory, schemas.HistoryOfPrefix(q.Prefix, q.Host), (*schemas.Binding).Subject
	}
	return schemas.StreamStations, schemas.HistoryOfStation(q.MAC, q.Host), (*schemas.Binding).StationSubject
}

func (q Query) wants(b *schemas.Binding) bool {
	return (!q.Prefix.IsValid() || q.Prefix.Contains(b.Address)) &&
		(q.To.IsZero() || !b.First.After(q.To)) && (q.From.IsZero() || !b.Last.Add(slack).Before(q.From))
}

// batch is how many messages are read at a time.
const batch = 1000

// ErrNone says that the fleet keeps no history.
var ErrNone = fmt.Errorf("there is no stream %s: no nd-ruled or ndmon has kept a history here (RULED_HISTORY_BYTES)", schemas.StreamHistory)

// Read returns the bindings that a query wants, by address, then by time, and how many messages are no binding.
func Read(ctx context.Context, nc *nats.Conn, q Query) (list []schemas.Binding, invalid int, err error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, 0, err
	}
	stream, subjects, subject := q.source()
	start := jetstreamext.GetBatchSeq(1)
	if !q.From.IsZero() {
		start = jetstreamext.GetBatchStartTime(q.From.Add(-slack - clocks)) // a binding is stored after its last time
	}
	for more := true; more; {
		n := 0
		for m, err := range bus.GetBatch(ctx, js, stream, batch, jetstreamext.GetBatchSubject(subjects), start) {
			if errors.Is(err, nats.ErrNoResponders) {
				return nil, 0, bus.Explain(js, ErrNone)
			}
			if err != nil {
				return nil, 0, err
			}
			n, start = n+1, jetstreamext.GetBatchSeq(m.Sequence+1)
			var b schemas.Binding
			if b.ParseJSON(m.Data) != nil || subject(&b) != m.Subject {
				invalid++
			} else if q.wants(&b) {
				list = append(list, b)
			}
		}
		more = n == batch
	}
	slices.SortFunc(list, func(a, b schemas.Binding) int {
		return cmp.Or(a.Address.Compare(b.Address), a.First.Compare(b.First), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Interface, b.Interface))
	})
	return list, invalid, nil
}
