package link

import (
	"github.com/ndmon/ndmon/ruled/link/internal/pool"
	"github.com/ndmon/ndmon/schemas"
)

// station records an Ethernet address on a link.
type station struct {
	first, last int64
	// own is an address that the station had before any other station, as a hash.
	own uint32
	// taken are the last two stations whose addresses it claimed within repeatWindow, as
	// hashes, and takenAt is when it did so last.
	taken   [2]uint32
	takenAt int64
	// denied is the last tested address that a stranger denied to the station, denies the
	// last that the station, a stranger to the address, denied to another.
	denied, denies denial
}

// denial records which address was denied, as a hash, and when.
type denial struct {
	addr uint32
	at   int64
}

// another notes a denial and reports whether another address was denied within
// repeatWindow before.
func (d *denial) another(addr uint32, now int64) bool {
	again := d.addr != 0 && d.addr != addr && now-d.at <= repeatWindow && now >= d.at
	*d = denial{addr, now}
	return again
}

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

// hash shortens what is compared with few others only, so that a collision is unlikely.
func hash(high, low uint64) uint32 {
	const odd = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	h := (high ^ low*odd) * odd
	return uint32(h>>32) | 1 // 0 stands for none
}

func hashAddr(a [16]byte) uint32 {
	var high, low uint64
	for i := range 8 {
		high = high<<8 | uint64(a[i])
		low = low<<8 | uint64(a[8+i])
	}
	return hash(high, low)
}
