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

func (q Query) subject() string {
	if q.Prefix.IsValid() {
		return schemas.HistoryOfPrefix(q.Prefix, q.Host)
	}
	return schemas.HistoryOfStation(q.MAC, q.Host)
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
	for next, more := uint64(1), true; more; {
		messages, err := jetstreamext.GetBatch(ctx, js, schemas.StreamHistory, batch, jetstreamext.GetBatchSubject(q.subject()), jetstreamext.GetBatchSeq(next))
		if err != nil {
			return nil, 0, fmt.Errorf("read stream %s: %w", schemas.StreamHistory, err)
		}
		n := 0
		for m, err := range messages {
			if errors.Is(err, jetstreamext.ErrNoMessages) {
				break
			}
			if errors.Is(err, nats.ErrNoResponders) {
				return nil, 0, bus.Explain(js, ErrNone)
			}
			if err != nil {
				return nil, 0, fmt.Errorf("read stream %s: %w", schemas.StreamHistory, err)
			}
			n, next = n+1, m.Sequence+1
			var b schemas.Binding
			if b.ParseJSON(m.Data) != nil || b.Subject() != m.Subject {
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
