package decode

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode/internal/addr"
)

// upper is the result of walking a chain of IPv6 headers.
type upper struct {
	// message is the ICMPv6 message, as far as the packet contains it.
	message []byte
	// cut describes how the chain ends before a message, cut short or in a later fragment; it
	// is empty if there is a message.
	cut string
	// more says that the message continues in other fragments.
	more bool
	// rerouted says that a routing header has segments left, so that the destination is not
	// the one that the checksum covers.
	rerouted bool
}

// packet decodes an IPv6 packet. uncaptured is the number of bytes that followed b on the wire.
// It returns false if the packet neither is Neighbor Discovery nor can hide it.
func (d *Decoder) packet(b []byte, uncaptured int) bool {
	if len(b) < inet6Size {
		return false
	}
	header, payload := b[:inet6Size], b[inet6Size:]
	length := int(binary.BigEndian.Uint16(header[4:]))
	d.inet6.Payload = uint16(length)
	d.inet6.NextHeader = header[6]
	d.inet6.HopLimit = header[7]

	// Before a hop-by-hop header, 0 is no length (RFC 2675). For Linux such a packet ends with
	// the frame, so a message may follow.
	jumbogram := length == 0 && d.inet6.NextHeader == hopByHop
	if jumbogram {
		length = min(len(payload)+uncaptured, math.MaxUint16)
	}
	whole := length <= len(payload)
	if whole {
		payload = payload[:length]
	}
	missing := length - len(payload)
	d.checked.snapped = 0 < missing && missing <= uncaptured
	d.checked.from, d.checked.to = addr.Of(header[8:24]), addr.Of(header[24:40])
	u, ok := d.chain(d.inet6.NextHeader, payload)
	if !ok || u.cut == "" && !isND(u.message[0]) {
		return false
	}

	d.inet6.Source = netip.AddrFrom16([16]byte(header[8:24]))
	d.inet6.Destination = netip.AddrFrom16([16]byte(header[24:40]))
	if version := header[0] >> 4; version != inet6Version {
		d.refused(&d.fault.Version, true)
		d.malformed.add("IPv6 header has version %d", version)
	}
	if jumbogram {
		d.found(&d.fault.ZeroPayload, true)
		d.malformed.add("IPv6 payload length is 0 before a hop-by-hop options header, as in a jumbogram")
	}
	switch {
	case missing > uncaptured:
		d.cut()
		d.malformed.add("truncated: IPv6 payload is %d bytes long, the frame has room for %d",
			length, len(payload)+uncaptured)
	case missing > 0:
		d.malformed.add("truncated: IPv6 payload is %d bytes long, %d of them were captured",
			length, len(payload))
	}
	d.nd.Truncated = d.checked.snapped
	d.checked.rerouted = u.rerouted
	if u.cut != "" {
		d.malformed.add("%s", u.cut)
		return true
	}
	if whole && !u.more && !u.rerouted && len(u.message) >= icmp6Size && !checksumOK(header[8:40], u.message) {
		d.refused(&d.fault.Checksum, true)
		d.malformed.add("bad checksum")
	}
	d.message(u.message, whole && !u.more)
	return true
}

// chain walks the extension headers from the first one, next. It returns false if they lead to
// another protocol, if the packet is a later fragment that is not sent to one of the groups of
// ND messages, or if nothing follows the IPv6 header of an ICMPv6 packet.
//
// The content of a later fragment is not a chain of headers. Only the reassembled packet shows it:
// a message that the first fragment does not begin (RFC 7112), or one that overwrites a harmless
// beginning (RFC 5722). To those groups, nodes send nothing that needs fragments except a large
// ping. To a host they do: later fragments are common in ordinary traffic, so an ND message that
// hides in them is not detected. Neither is one after a next header that does not lead to ICMPv6,
// although receivers use only the next header of the first fragment (RFC 8200, section 4.5).
func (d *Decoder) chain(next uint8, rest []byte) (u upper, ok bool) {
	if !leadsToICMP6(next) || next == icmp6 && len(rest) == 0 {
		return u, false
	}
	for next != icmp6 && len(rest) > 0 {
		following := rest[0]
		if !leadsToICMP6(following) {
			return u, false
		}
		if len(d.memory.extensions) < maxExtensions {
			d.memory.extensions = append(d.memory.extensions, schemas.Extension{Header: next})
			d.inet6.Extension = d.memory.extensions
		}
		if next == fragment && len(rest) >= 4 {
			later := binary.BigEndian.Uint16(rest[2:])&offsetMask != 0
			if later && d.checked.to.GroupOfND() == "" {
				return u, false
			}
			u.more = u.more || !later && rest[3]&moreMask != 0
		}
		size := extensionSize(next, rest)
		if size > len(rest) {
			u.cut = d.cutShort(next, "not whole", u.more)
			return u, true
		}
		switch next {
		case fragment:
			d.fragmentHeader(rest)
			if d.fragment.Offset > 0 {
				u.cut = fmt.Sprintf("later fragment, at byte %d, of a packet to %s: it may complete a hidden ND message (RFC 5722, RFC 6980)",
					d.fragment.Offset, d.checked.to.GroupOfND())
				return u, true
			}
		case routing:
			u.rerouted = u.rerouted || rest[3] > 0 // Segments Left
		}
		next, rest = following, rest[size:]
	}
	if len(rest) == 0 {
		u.cut = d.cutShort(next, "missing", u.more)
	}
	u.message = rest
	return u, true
}

// extensionSize returns the size in bytes of an extension header of which b has at least one
// byte. If b does not include its length, the size is more than b has.
func extensionSize(header uint8, b []byte) int {
	if header == fragment || len(b) < 2 {
		return 8
	}
	return 8 * (int(b[1]) + 1) // RFC 8200, section 4.3
}

// fragmentHeader decodes a fragment header. Of several, the event has the one of a later fragment,
// which ends the chain, or else the first one after which more fragments follow, or else the first.
func (d *Decoder) fragmentHeader(b []byte) {
	f := schemas.Fragment{
		ID:     binary.BigEndian.Uint32(b[4:]),
		Offset: binary.BigEndian.Uint16(b[2:]) & offsetMask,
		More:   b[3]&moreMask != 0,
	}
	if d.inet6.Fragment == nil || f.Offset > 0 || f.More && !d.fragment.More {
		d.fragment = f
		d.inet6.Fragment = &d.fragment
	}
}

// cutShort sets the fault of a chain that ends in a header that is missing or not whole, and
// returns it in words.
func (d *Decoder) cutShort(header uint8, how string, first bool) string {
	d.cut()
	name := "ICMPv6"
	switch header {
	case hopByHop:
		name = "hop-by-hop options"
	case routing:
		name = "routing"
	case fragment:
		name = "fragment"
	case destinationOptions:
		name = "destination options"
	}
	where := ""
	if first {
		where = " in the first fragment (RFC 7112)"
	}
	return fmt.Sprintf("IPv6 header chain is cut short%s: header %d (%s) is %s", where, header, name, how)
}

// checksumOK reports whether an ICMPv6 message has the right checksum (RFC 4443, section 2.3;
// RFC 8200, section 8.1). addresses are the source and the destination, 32 bytes.
func checksumOK(addresses, message []byte) bool {
	sum := uint64(len(message)) + icmp6
	sum += sum32(addresses) + sum32(message)
	for sum > math.MaxUint16 {
		sum = sum>>16 + sum&math.MaxUint16
	}
	return sum == math.MaxUint16
}

// sum32 adds big-endian numbers of 32 bits, which gives the same checksum as numbers of 16
// bits. It does not overflow below 16 GB.
func sum32(b []byte) uint64 {
	var sum uint64
	for ; len(b) >= 8; b = b[8:] {
		sum += uint64(binary.BigEndian.Uint32(b)) + uint64(binary.BigEndian.Uint32(b[4:]))
	}
	var tail [8]byte
	copy(tail[:], b)
	return sum + uint64(binary.BigEndian.Uint32(tail[:])) + uint64(binary.BigEndian.Uint32(tail[4:]))
}
