package e2e

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// facts are the contents of a frame, by the names of NDPMon's rule fields, read from
// its bytes here without any of ndmon's code. A field that is there and has no
// value has the value "".
type facts map[string][]string

func (f facts) add(field, value string) { f[field] = append(f[field], value) }
func (f facts) number(field string, n uint32) {
	f.add(field, strconv.FormatUint(uint64(n), 10))
}
func (f facts) address(field string, b []byte) {
	f.add(field, netip.AddrFrom16([16]byte(b)).String())
}
func (f facts) flag(field string, set bool) {
	if set {
		f.add(field, "")
	}
}

// factsOf reads a well-formed frame. It returns nil for what is no Neighbor
// Discovery.
func factsOf(frame []byte) facts {
	f := facts{}
	f.add("ethernet.destination", net.HardwareAddr(frame[:6]).String())
	f.add("ethernet.source", net.HardwareAddr(frame[6:12]).String())
	kind, packet := binary.BigEndian.Uint16(frame[12:]), frame[14:]
	if kind == 0x8100 {
		f.number("ethernet.vlan", uint32(binary.BigEndian.Uint16(packet)&0xfff))
		kind, packet = binary.BigEndian.Uint16(packet[2:]), packet[4:]
	}
	if kind != 0x86dd {
		return nil
	}
	length := binary.BigEndian.Uint16(packet[4:])
	f.number("inet6.payload", uint32(length))
	f.number("inet6.nextheader", uint32(packet[6]))
	f.number("inet6.hoplimit", uint32(packet[7]))
	f.address("inet6.source", packet[8:24])
	f.address("inet6.destination", packet[24:40])
	header, rest := packet[6], packet[40:40+int(length)]
	for header == 0 || header == 60 { // hop-by-hop, destination options
		header, rest = rest[0], rest[8*(1+int(rest[1])):]
	}
	if header != 58 || rest[0] < 133 || rest[0] > 137 {
		return nil
	}
	f.number("icmp6.type", uint32(rest[0]))
	f.number("icmp6.code", uint32(rest[1]))
	f.options(f.message(rest[0], rest[4:]))
	return f
}

// message reads what follows the checksum and returns the options.
func (f facts) message(kind byte, b []byte) (options []byte) {
	switch kind {
	case 133:
		f.add("nd.rs", "")
		return b[4:]
	case 134:
		f.add("nd.ra", "")
		f.number("nd.ra.curhoplimit", uint32(b[0]))
		f.flag("nd.ra.flag.managed", b[1]&0x80 != 0)
		f.flag("nd.ra.flag.other", b[1]&0x40 != 0)
		f.flag("nd.ra.flag.homeagent", b[1]&0x20 != 0)
		f.number("nd.ra.lifetime", uint32(binary.BigEndian.Uint16(b[2:])))
		f.number("nd.ra.reachabletimer", binary.BigEndian.Uint32(b[4:]))
		f.number("nd.ra.retranstimer", binary.BigEndian.Uint32(b[8:]))
		return b[12:]
	case 135:
		f.add("nd.ns", "")
		f.address("nd.ns.targetaddress", b[4:20])
		return b[20:]
	case 136:
		f.add("nd.na", "")
		f.flag("nd.na.flag.router", b[0]&0x80 != 0)
		f.flag("nd.na.flag.solicited", b[0]&0x40 != 0)
		f.flag("nd.na.flag.override", b[0]&0x20 != 0)
		f.address("nd.na.targetaddress", b[4:20])
		return b[20:]
	}
	f.add("nd.rd", "")
	f.address("nd.rd.targetaddress", b[4:20])
	f.address("nd.rd.destinationaddress", b[20:36])
	return b[36:]
}

func (f facts) options(b []byte) {
	for ; len(b) > 0; b = b[8*int(b[1]):] {
		switch b[0] {
		case 1:
			f.add("nd.opt.sourcelinklayer", "")
			f.add("nd.opt.sourcelinklayer.address", net.HardwareAddr(b[2:8]).String())
		case 2:
			f.add("nd.opt.targetlinklayer", "")
			f.add("nd.opt.targetlinklayer.address", net.HardwareAddr(b[2:8]).String())
		case 3:
			f.add("nd.opt.prefixinfo", "")
			f.flag("nd.opt.prefixinfo.flag.onlink", b[3]&0x80 != 0)
			f.flag("nd.opt.prefixinfo.flag.autoconf", b[3]&0x40 != 0)
			f.number("nd.opt.prefixinfo.validlifetime", binary.BigEndian.Uint32(b[4:]))
			f.number("nd.opt.prefixinfo.preferredlifetime", binary.BigEndian.Uint32(b[8:]))
			f.address("nd.opt.prefixinfo.prefix", b[16:32])
		case 5:
			f.add("nd.opt.mtu", "")
			f.number("nd.opt.mtu.mtu", binary.BigEndian.Uint32(b[4:]))
		}
	}
}

// holds reports whether any value of the field is the wanted one, or in it if
// that is a prefix.
func (f facts) holds(field, want string) bool {
	prefix, err := netip.ParsePrefix(want)
	return slices.ContainsFunc(f[field], func(value string) bool {
		if err == nil {
			return prefix.Contains(netip.MustParseAddr(value))
		}
		return value == want
	})
}
