package advert

import (
	"encoding/binary"
	"iter"
	"math"
	"time"

	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/net/ipv6"
)

// advertisement is the ICMPv6 message of a Router Advertisement (RFC 4861, section 4.2). The
// lengths of its options are valid.
type advertisement []byte

// Parts of the message, and the bit by which a proxy marks what it relays (RFC 4389,
// section 4.1.3.3).
const (
	flagsAt    = 5
	lifetimeAt = 6
	headLen    = 16
	flagProxy  = 0x04
)

// The options that are changed.
const (
	optSourceLinkLayer = 1   // RFC 4861, section 4.6.1
	optPrefix          = 3   // RFC 4861, section 4.6.2
	optRoute           = 24  // RFC 4191, section 2.3
	optRDNSS           = 25  // RFC 8106, section 5.1
	optDNSSL           = 31  // RFC 8106, section 5.2
	optPREF64          = 38  // RFC 8781, section 4
	optEncryptedDNS    = 144 // RFC 9463, section 6.1
)

// options returns the options, which are parts of the message.
func (a advertisement) options() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := a[headLen:]; len(rest) > 0; {
			length := int(rest[1]) * 8
			if !yield(rest[:length]) {
				return
			}
			rest = rest[length:]
		}
	}
}

func (a advertisement) proxied() bool { return a[flagsAt]&flagProxy != 0 }

// lifetime returns the router lifetime.
func (a advertisement) lifetime() time.Duration {
	return time.Duration(binary.BigEndian.Uint16(a[lifetimeAt:])) * time.Second
}

func (a advertisement) setLifetime(d time.Duration) {
	binary.BigEndian.PutUint16(a[lifetimeAt:], uint16(min(d/time.Second, math.MaxUint16)))
}

// relayed returns a copy as it is sent from a slave: with the Proxy flag, and the slave's
// link-layer address as the source. All other bytes are as they were.
func (a advertisement) relayed(mac schemas.MAC) advertisement {
	b := make(advertisement, len(a), len(a)+8)
	copy(b, a)
	b[flagsAt] |= flagProxy
	found := false
	for o := range b.options() {
		if o[0] == optSourceLinkLayer {
			clear(o[2:])
			copy(o[2:], mac[:])
			found = true
		}
	}
	if !found {
		b = append(append(b, optSourceLinkLayer, 1), mac[:]...)
	}
	return b
}

// withdrawal returns an advertisement with the parameters of this one, no option but the
// source link-layer address, and router lifetime 0.
func (a advertisement) withdrawal(mac schemas.MAC) advertisement {
	b := a[:headLen].relayed(mac)
	b.setLifetime(0)
	return b
}

// age reduces all lifetimes by the time that has passed since the message was received.
func (a advertisement) age(passed time.Duration) {
	by := uint32(passed / time.Second)
	reduce := func(b []byte) {
		// All bits set is infinity (RFC 4861, section 4.6.2).
		if n := binary.BigEndian.Uint32(b); n != math.MaxUint32 {
			binary.BigEndian.PutUint32(b, n-min(n, by))
		}
	}
	a.setLifetime(max(0, a.lifetime()-passed.Truncate(time.Second)))
	for o := range a.options() {
		switch o[0] {
		case optPrefix:
			if len(o) >= 12 {
				reduce(o[4:])
				reduce(o[8:])
			}
		case optRoute, optRDNSS, optDNSSL, optEncryptedDNS:
			reduce(o[4:])
		case optPREF64: // in 13 bits, in units of 8 s
			n := binary.BigEndian.Uint16(o[2:])
			left := uint32(n>>3) * 8
			binary.BigEndian.PutUint16(o[2:], uint16((left-min(left, by))/8)<<3|n&7)
		}
	}
}

// solicitation returns a Router Solicitation (RFC 4861, section 4.1).
func solicitation(mac schemas.MAC) []byte {
	b := []byte{byte(ipv6.ICMPTypeRouterSolicitation), 7: 0, 8: optSourceLinkLayer, 9: 1}
	return append(b, mac[:]...)
}
