//go:build linux

package bench

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ndmon/ndmon/schemas"
)

// frame is an Ethernet frame with a Neighbor Solicitation (RFC 4861, section
// 4.3) that has a source link-layer address option.
type frame [frameLen]byte

// Where its parts begin.
const (
	ip6At    = 14
	icmp6At  = ip6At + 40
	targetAt = icmp6At + 8
	optionAt = targetAt + 16
	frameLen = optionAt + 8
)

// The targets are in these prefixes, and end in their number.
var (
	quietTargets = netip.MustParsePrefix("2001:db8:5:0:1::/96")
	alertTargets = netip.MustParsePrefix("2001:db8:5:0:2::/96")
)

// set makes it a frame whose target is that of the number in the prefix.
func (f *frame) set(targets netip.Prefix, number uint32) {
	target := numbered(targets, number).As16()
	source := netip.MustParseAddr("2001:db8:5::ff").As16()
	*f = frame{
		0: 0x33, 1: 0x33, 2: 0xff, 3: target[13], 4: target[14], 5: target[15],
		6: 0x02, 11: 0xff,
		12: 0x86, 13: 0xdd,
		ip6At: 0x60, ip6At + 5: frameLen - icmp6At, ip6At + 6: 58, ip6At + 7: 255,
		icmp6At: 135,
		// A source link-layer address of 8 bytes.
		optionAt: 1, optionAt + 1: 1, optionAt + 2: 0x02, optionAt + 7: 0xff,
	}
	copy(f[ip6At+8:], source[:])
	// The solicited-node address, ff02::1:ffXX:XXXX (RFC 4291, section 2.7.1).
	group := f[ip6At+24 : icmp6At]
	group[0], group[1], group[11], group[12] = 0xff, 0x02, 0x01, 0xff
	copy(group[13:], target[13:])
	copy(f[targetAt:], target[:])
	// The pseudo header's addresses stand right before the message; its length
	// and next header are added (RFC 8200, section 8.1).
	sum := uint32(frameLen-icmp6At) + 58
	for at := ip6At + 8; at < frameLen; at += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[at:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(f[icmp6At+2:], ^uint16(sum))
}

// numbered returns the address of a number in a prefix of 96 bits.
func numbered(p netip.Prefix, number uint32) netip.Addr {
	b := p.Addr().As16()
	binary.BigEndian.PutUint32(b[12:], number)
	return netip.AddrFrom16(b)
}

// number takes numbered back.
func number(p netip.Prefix, a netip.Addr) (uint32, bool) {
	if !p.Contains(a) {
		return 0, false
	}
	b := a.As16()
	return binary.BigEndian.Uint32(b[12:]), true
}

// writeRules writes a rule file with as many rules that match none of our
// frames, each after having looked at the message's kind and at an address, a
// prefix or a number, and one that alerts on alertTargets.
func writeRules(count int) string {
	var b strings.Builder
	b.WriteString("<rules>\n")
	rule := func(field, value string) {
		b.WriteString(`<rule><match field="nd.ns"/><match field="` + field + `" value="` + value + "\"/></rule>\n")
	}
	for i := range uint32(count) {
		switch i % 3 {
		case 0:
			rule("nd.ns.targetaddress", numbered(netip.MustParsePrefix("2001:db8:6::/96"), i).String())
		case 1:
			rule("inet6.source", netip.PrefixFrom(numbered(netip.MustParsePrefix("2001:db8:7::/96"), i<<8), 120).String())
		case 2:
			// RFC 8200, section 3: beyond what an Ethernet frame holds.
			rule("inet6.payload", strconv.Itoa(2000+int(i%60000)))
		}
	}
	b.WriteString(`<rule id="` + alertRule + `"><match field="nd.ns.targetaddress" value="` + alertTargets.String() + "\"/></rule>\n")
	b.WriteString("</rules>\n")
	return b.String()
}

const alertRule = "ndbench"

// alerted returns the number of the frame that an alert is about.
func alerted(alert *schemas.Alert, event *schemas.Event) (uint32, bool) {
	if alert.Rule != alertRule || event.ParseJSON(alert.Event) != nil || event.ND == nil || event.ND.NS == nil {
		return 0, false
	}
	return number(alertTargets, event.ND.NS.TargetAddress)
}
