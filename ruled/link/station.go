package link

import (
	"github.com/ndmon/ndmon/ruled/internal/pool"
	"github.com/ndmon/ndmon/schemas"
)

// observeStation notes the sender. It returns nil for an Ethernet source that no station
// can have.
func (t *Table) observeStation(l *link, e *schemas.Event, now int64) *station {
	mac := e.Ethernet.Source
	if mac.IsMulticast() || mac == (schemas.MAC{}) {
		return nil
	}
	t.sender = schemas.LinkStation{Vendor: t.vendor(mac)}
	key := mac.Uint64()
	i := l.stations.Find(key)
	known := i != pool.None
	if !known {
		class := l.stations.Classify(now)
		i = l.stations.Insert(key, class)
		t.out.Flood = class == pool.Flooded
	}
	s := l.stations.At(i)
	if !known {
		s.first, s.last = now, now
		t.sender.New = true
		t.sender.UnknownVendor = t.cfg.Vendor != nil && t.sender.Vendor == "" && !mac.IsLocal()
	} else {
		t.sender.Returned = now-s.last > int64(t.cfg.Silence)
		s.last = now
		t.out.Flood = l.stations.SeenAt(i, s.first, now)
	}
	if t.sender != (schemas.LinkStation{}) {
		t.out.Station = &t.sender
	}
	return s
}

func (t *Table) vendor(mac schemas.MAC) string {
	if t.cfg.Vendor == nil {
		return ""
	}
	return t.cfg.Vendor(mac)
}
