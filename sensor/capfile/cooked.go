package capfile

import (
	"encoding/binary"
	"fmt"
)

// The link types that are read (https://www.tcpdump.org/linktypes.html).
const (
	linkEthernet = 1
	linkSLL      = 113 // LINKTYPE_LINUX_SLL: tcpdump -i any -y LINUX_SLL
	linkSLL2     = 276 // LINKTYPE_LINUX_SLL2: tcpdump -i any
)

func readable(link uint32) bool { return link == linkEthernet || link == linkSLL || link == linkSLL2 }

// cooked is the header that Linux makes for a frame captured on all interfaces.
type cooked struct {
	length             int // of the header
	kind               uint16
	hardware, protocol uint16 // ARPHRD_ and, as in Ethernet, ETH_P_
	size               int    // of the sender's address
	from               [6]byte
	// iface is the index of the interface, 0 if it is unknown.
	iface uint32
}

const (
	ethernetHeader = 14
	minEtherType   = 0x600
	protocolLLC    = 4 // ETH_P_802_2
	hardwareEther  = 1 // ARPHRD_ETHER
	kindBroadcast  = 1 // PACKET_BROADCAST
	kindMulticast  = 2 // PACKET_MULTICAST
	kindOutgoing   = 4 // PACKET_OUTGOING
)

func parseCooked(link uint32, data []byte) (c cooked, ok bool) {
	be := binary.BigEndian
	switch {
	case link == linkSLL && len(data) >= 16:
		c = cooked{length: 16, kind: be.Uint16(data), hardware: be.Uint16(data[2:]), size: int(be.Uint16(data[4:])), from: [6]byte(data[6:]), protocol: be.Uint16(data[14:])}
	case link == linkSLL2 && len(data) >= 20:
		c = cooked{length: 20, protocol: be.Uint16(data), iface: be.Uint32(data[4:]), hardware: be.Uint16(data[8:]), kind: uint16(data[10]), size: int(data[11]), from: [6]byte(data[12:])}
	default:
		return c, false
	}
	return c, true
}

// asEthernet returns a packet of a link type as an Ethernet frame, in its memory. The frame of a cooked header has the sender and the
// protocol from there. The receiver is not in it: a group is that of the IPv6 destination, and a station is all zeros.
func asEthernet(link uint32, p Packet) (Packet, error) {
	if link == linkEthernet {
		return p, nil
	}
	if !readable(link) {
		return Packet{}, foreign(link)
	}
	c, ok := parseCooked(link, p.Data)
	switch {
	case !ok:
		return Packet{}, skip("that ends before its cooked header does")
	case c.hardware != hardwareEther || c.size != 6:
		return Packet{}, skip(fmt.Sprintf("of interfaces that are not Ethernet (ARPHRD %d)", c.hardware))
	}
	p.Data, p.Length = p.Data[c.length-ethernetHeader:], p.Length-c.length+ethernetHeader
	if c.protocol < minEtherType { // IEEE 802.3: the length is there
		if c.protocol != protocolLLC {
			return Packet{}, skip("of a protocol that has no EtherType")
		}
		c.protocol = uint16(min(p.Length-ethernetHeader, minEtherType-1))
	}
	to := c.receiver(p.Data[ethernetHeader:])
	copy(p.Data, to[:])
	copy(p.Data[6:], c.from[:])
	binary.BigEndian.PutUint16(p.Data[12:], c.protocol)
	if c.iface != 0 {
		p.Interface = fmt.Sprintf("if%d", c.iface)
	}
	return p, nil
}

// receiver returns the Ethernet destination of a frame with this payload.
func (c *cooked) receiver(payload []byte) (to [6]byte) {
	const destination, ipv6 = 24, 0x86dd // of the address in the IPv6 header
	switch {
	case c.kind == kindBroadcast:
		return [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	case c.kind != kindMulticast && c.kind != kindOutgoing:
	case c.protocol == ipv6 && len(payload) >= destination+16 && payload[destination] == 0xff:
		to = [6]byte{0x33, 0x33} // RFC 2464, section 7
		copy(to[2:], payload[destination+12:])
	case c.kind == kindMulticast:
		to[0] = 1
	}
	return to
}
