package decode

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode/internal/addr"
)

// upper is what a chain of IPv6 headers leads to.
type upper struct {
	// message is the ICMPv6 message, as far as the packet holds it.
	message []byte
	// cut says how the chain ends before it shows a message, if it does: cut
	// short, or in a later fragment.
	cut string
	// more is set when the message goes on in other fragments.
	more bool
	// rerouted is set when the packet has more stops ahead, so that its
	// destination is not the one that the checksum covers.
	rerouted bool
}

// packet decodes an IPv6 packet and what it carries; on the wire, uncaptured
// bytes follow it. It returns false when the packet is not Neighbor Discovery
// and hides none.
func (d *Decoder) packet(b []byte, uncaptured int) bool {
	if len(b) < inet6Size {
		return false
	}
	header, payload := b[:inet6Size], b[inet6Size:]
	length := int(binary.BigEndian.Uint16(header[4:]))
	d.inet6.Payload = uint16(length)
	d.inet6.NextHeader = header[6]
	d.inet6.HopLimit = header[7]

	// Before a hop-by-hop header, 0 is no length (RFC 2675). Linux takes such a
	// packet to end with the frame, so that is where a message may hide.
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

// chain walks the extension headers, of which next is the first. It returns
// false when they lead to another protocol, when the packet is a later fragment
// to none of the groups that ND messages go to, and when there is nothing at all
// behind the IPv6 header of an ICMPv6 packet.
//
// What a later fragment holds is no chain of headers, and shows only when the
// packet is put together: a message that its first fragment does not begin
// (RFC 7112), or one that is laid over a harmless beginning (RFC 5722). Nodes
// send nothing to those groups that needs fragments, but for a large ping. To a
// host they do: ordinary traffic is full of its later fragments, so an ND message
// that hides in them is not seen. Nor is one behind a next header that does not
// lead to ICMPv6, although receivers look only at that of the first fragment (RFC
// 8200, section 4.5).
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

// extensionSize returns the size in bytes of an extension header of which at
// least a byte is there: more than are there when its length is not.
func extensionSize(header uint8, b []byte) int {
	if header == fragment || len(b) < 2 {
		return 8
	}
	return 8 * (int(b[1]) + 1) // RFC 8200, section 4.3
}

// fragmentHeader decodes a fragment header. Of several that of the later
// fragment, which ends the chain, is kept, or else the first that says that more
// fragments follow, or else the first.
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

// cutShort notes and words the fault of a chain that ends in a header that is
// missing or not whole.
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

// checksumOK checks an ICMPv6 message (RFC 4443, section 2.3; RFC 8200, section
// 8.1). addresses are the source and the destination, 32 bytes.
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
