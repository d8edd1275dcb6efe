package trial

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/ndmon/ndmon/schemas"
)

// Functions that make frames by hand. Each returns the bytes of one layer.

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func be16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func ip(text string) []byte {
	a := netip.MustParseAddr(text).As16()
	return a[:]
}

func ether(text string) []byte {
	m, err := schemas.ParseMAC(text)
	if err != nil {
		panic(err)
	}
	return m[:]
}

// sender has the source addresses and the hop limit of frames.
type sender struct {
	mac, addr string
	hopLimit  byte
}

func from(mac, addr string) sender { return sender{mac, addr, 255} }

// to returns a frame with a message to a group or to a host of the link.
func (s sender) to(destination string, message []byte) []byte {
	const other = "02:00:00:00:00:0c"
	mac := ether(other)
	if d := ip(destination); d[0] == 0xff {
		mac = join([]byte{0x33, 0x33}, d[12:])
	}
	header := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolICMPv6, HopLimit: s.hopLimit, SrcIP: ip(s.addr), DstIP: ip(destination)}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(message[0], message[1])}
	buffer := gopacket.NewSerializeBuffer()
	if err := errors.Join(icmp.SetNetworkLayerForChecksum(header), gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: ether(s.mac), DstMAC: mac, EthernetType: layers.EthernetTypeIPv6}, header, icmp, gopacket.Payload(message[4:]))); err != nil {
		panic(err)
	}
	return buffer.Bytes()
}

// ns returns a Neighbor Solicitation. From :: it is duplicate address detection.
func (s sender) ns(target string, options ...[]byte) []byte {
	group := join(ip("ff02::1:ff00:0")[:13], ip(target)[13:])
	return s.to(netip.AddrFrom16([16]byte(group)).String(), join([]byte{135, 0, 0, 0, 0, 0, 0, 0}, ip(target), join(options...)))
}

// use returns a frame that binds the sender's address to its station.
func (s sender) use() []byte { return s.ns("2001:db8::c", lladdr(1, s.mac)) }

// na returns an advertisement to all nodes. The flags are R 128, S 64 and O 32.
func (s sender) na(flags byte, target string, options ...[]byte) []byte {
	return s.to("ff02::1", join([]byte{136, 0, 0, 0, flags, 0, 0, 0}, ip(target), join(options...)))
}

func (s sender) ra(p params, options ...[]byte) []byte {
	return s.to("ff02::1", join([]byte{134, 0, 0, 0, p.hopLimit, p.flags}, be16(1800), be32(0), be32(0), join(options...)))
}

// rd returns a Redirect to a next hop.
func (s sender) rd(target string) []byte {
	return s.to("2001:db8::c", join([]byte{137, 0, 0, 0, 0, 0, 0, 0}, ip(target), ip("2001:db8:9::9")))
}

// params are the parameters of an RA that the tests change.
type params struct{ hopLimit, flags byte }

func option(typ byte, parts ...[]byte) []byte {
	body := join(parts...)
	body = append(body, make([]byte, (6-len(body)%8+8)%8)...)
	return join([]byte{typ, byte((len(body) + 2) / 8)}, body)
}

// lladdr returns a Source (1) or Target (2) Link-Layer Address option.
func lladdr(typ byte, mac string) []byte { return option(typ, ether(mac)) }

func prefix(flags byte, valid, preferred uint32, addr string) []byte {
	return option(3, []byte{64, flags}, be32(valid), be32(preferred), be32(0), ip(addr))
}

func mtu(n uint32) []byte { return option(5, be16(0), be32(n)) }

func rdnss(lifetime uint32, addr string) []byte { return option(25, be16(0), be32(lifetime), ip(addr)) }

// dnssl returns a DNS Search List option with a domain of two labels.
func dnssl(lifetime uint32, label, top string) []byte {
	name := join([]byte{byte(len(label))}, []byte(label), []byte{byte(len(top))}, []byte(top), []byte{0})
	return option(31, be16(0), be32(lifetime), name)
}

func route(flags byte, lifetime uint32, addr string) []byte {
	return option(24, []byte{48, flags}, be32(lifetime), ip(addr))
}

// epoch is when the first frame of a test is captured.
var epoch = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// timed is a frame and the time between the previous frame and it.
type timed struct {
	after time.Duration
	frame []byte
}

// pcap returns a capture file.
func pcap(t *testing.T, frames ...timed) []byte {
	t.Helper()
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	must(t, w.WriteFileHeader(65535, layers.LinkTypeEthernet))
	at := epoch
	for _, f := range frames {
		at = at.Add(f.after)
		must(t, w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(f.frame), Length: len(f.frame)}, f.frame))
	}
	return file.Bytes()
}

// write writes a file into a temporary folder and returns its path.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, data, 0o644))
	return path
}

// The first router is the link's own, whatever is odd about its RAs. It is not reported
// as rogue, and the unknown router after it is.
func TestOddRouterFirst(t *testing.T) {
	zeros := func(n int) []byte { return make([]byte, n) }
	good := prefix(0xc0, 86400, 14400, "2001:db8::")
	for name, frame := range map[string][]byte{
		"nothing odd":                      gateway.ra(usual, good),
		"DNS search list of 8 bytes":       gateway.ra(usual, good, option(31, zeros(6))),
		"DNS search list with bad padding": gateway.ra(usual, good, option(31, zeros(6), []byte("\x03lan\x00\xff\xff\xff"))),
		"MTU of 16 bytes":                  gateway.ra(usual, good, option(5, zeros(14))),
		"MTU of 100":                       gateway.ra(usual, good, mtu(100)),
		"PREF64 of 8 bytes":                gateway.ra(usual, good, option(38, zeros(6))),
		"no DNS server":                    gateway.ra(usual, good, option(25, zeros(6))),
		"one and a half DNS servers":       gateway.ra(usual, good, option(25, zeros(30))),
		"DNS server of a group":            gateway.ra(usual, good, rdnss(900, "ff02::fb")),
		"prefix of 24 bytes":               gateway.ra(usual, option(3, zeros(22))),
		"prefix of 129 bits":               gateway.ra(usual, option(3, []byte{129}, zeros(29))),
		"prefix of 80 bits":                gateway.ra(usual, option(3, []byte{80, 0xc0}, be32(86400), be32(14400), be32(0), ip("2001:db8::"))),
		"preferred longer than valid":      gateway.ra(usual, prefix(0xc0, 100, 14400, "2001:db8::")),
		"link-local prefix":                gateway.ra(usual, prefix(0xc0, 86400, 14400, "fe80::")),
		"link-layer address of 16 bytes":   gateway.ra(usual, good, option(1, zeros(14))),
		"link-local route":                 gateway.ra(usual, good, route(0, 900, "fe80::")),
		"captive portal of nothing":        gateway.ra(usual, good, option(37, zeros(6))),
		"PvD without a name":               gateway.ra(usual, good, option(21, zeros(6))),
		"an unknown option":                gateway.ra(usual, good, option(99, zeros(6))),
		"an option of hosts":               gateway.ra(usual, good, lladdr(2, gateway.mac)),
		"two MTUs":                         gateway.ra(usual, good, mtu(1500), mtu(1400)),
		"two lifetimes of a prefix":        gateway.ra(usual, good, prefix(0xc0, 100, 50, "2001:db8::")),
		"two routes to the same":           gateway.ra(usual, good, route(0, 900, "2001:db8:9::"), route(8, 100, "2001:db8:9::")),
		"reserved preference":              gateway.ra(params{64, 0x10}, good),
		"every flag":                       gateway.ra(params{64, 0xff}, good),
		"no default router":                gateway.to("ff02::1", join([]byte{134, 0, 0, 0, 64, 0}, be16(0), be32(0), be32(0), good)),
		"reachable time of a day":          gateway.to("ff02::1", join([]byte{134, 0, 0, 0, 64, 0}, be16(1800), be32(86_400_000), be32(0), good)),
	} {
		t.Run(name, func(t *testing.T) {
			frames := []timed{{time.Second, frame}, {time.Minute, frame}, {time.Minute, attacker.ra(usual, prefix(0xc0, 86400, 14400, "2001:db8:bad::"))}, {time.Second, frame}}
			alerts := alertLines(t, builtin(), write(t, "odd.pcap", pcap(t, frames...)))
			if count(alerts, "^critical ra-from-unknown-router "+attacker.mac) == 0 {
				t.Errorf("the stranger is no rogue:\n%s", strings.Join(alerts, "\n"))
			}
			if n := count(alerts, "^(critical|warning) (ra-from|router-|next-router|ra-changed)[^ ]* "+gateway.mac); n > 0 {
				t.Errorf("the link's own router is accused:\n%s", strings.Join(alerts, "\n"))
			}
		})
	}
}
