package trial

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// Hand-made frames: every function returns the bytes of one layer.

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

// sender is where a frame comes from.
type sender struct {
	mac, addr string
	hopLimit  byte
}

func from(mac, addr string) sender { return sender{mac, addr, 255} }

// to sends a message to a group, or to a host of the link.
func (s sender) to(destination string, message []byte) []byte {
	const other = "02:00:00:00:00:0c"
	mac := ether(other)
	if d := ip(destination); d[0] == 0xff {
		mac = join([]byte{0x33, 0x33}, d[12:])
	}
	header := join([]byte{0x60, 0, 0, 0}, be16(uint16(len(message))), []byte{58, s.hopLimit})
	return join(mac, ether(s.mac), be16(0x86dd), header, ip(s.addr), ip(destination), summed(ip(s.addr), ip(destination), message))
}

// ns asks for an address, as a host does or, from ::, duplicate address detection.
func (s sender) ns(target string, options ...[]byte) []byte {
	group := join(ip("ff02::1:ff00:0")[:13], ip(target)[13:])
	return s.to(netip.AddrFrom16([16]byte(group)).String(), join([]byte{135, 0, 0, 0, 0, 0, 0, 0}, ip(target), join(options...)))
}

// use is what a station sends that has an address.
func (s sender) use() []byte { return s.ns("2001:db8::c", lladdr(1, s.mac)) }

// na makes an address known. Of flags, R is 128, S 64 and O 32.
func (s sender) na(flags byte, target string, options ...[]byte) []byte {
	return s.to("ff02::1", join([]byte{136, 0, 0, 0, flags, 0, 0, 0}, ip(target), join(options...)))
}

func (s sender) ra(p params, options ...[]byte) []byte {
	return s.to("ff02::1", join([]byte{134, 0, 0, 0, p.hopLimit, p.flags}, be16(1800), be32(0), be32(0), join(options...)))
}

// rd redirects to a next hop.
func (s sender) rd(target string) []byte {
	return s.to("2001:db8::c", join([]byte{137, 0, 0, 0, 0, 0, 0, 0}, ip(target), ip("2001:db8:9::9")))
}

// params are those of an RA that tests change.
type params struct{ hopLimit, flags byte }

func option(typ byte, parts ...[]byte) []byte {
	body := join(parts...)
	body = append(body, make([]byte, (6-len(body)%8+8)%8)...)
	return join([]byte{typ, byte((len(body) + 2) / 8)}, body)
}

// lladdr is a Source (1) or Target (2) Link-Layer Address option.
func lladdr(typ byte, mac string) []byte { return option(typ, ether(mac)) }

func prefix(flags byte, valid, preferred uint32, addr string) []byte {
	return option(3, []byte{64, flags}, be32(valid), be32(preferred), be32(0), ip(addr))
}

func mtu(n uint32) []byte { return option(5, be16(0), be32(n)) }

func rdnss(lifetime uint32, addr string) []byte { return option(25, be16(0), be32(lifetime), ip(addr)) }

// dnssl is of a domain of two labels.
func dnssl(lifetime uint32, label, top string) []byte {
	name := join([]byte{byte(len(label))}, []byte(label), []byte{byte(len(top))}, []byte(top), []byte{0})
	return option(31, be16(0), be32(lifetime), name)
}

func route(flags byte, lifetime uint32, addr string) []byte {
	return option(24, []byte{48, flags}, be32(lifetime), ip(addr))
}

// summed puts the checksum into a message.
func summed(source, destination, m []byte) []byte {
	sum := 0
	covered := join(source, destination, be32(uint32(len(m))), be32(58), m, make([]byte, len(m)%2))
	for i := 0; i < len(covered); i += 2 {
		sum += int(covered[i])<<8 | int(covered[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	m = slices.Clone(m)
	binary.BigEndian.PutUint16(m[2:], ^uint16(sum))
	return m
}

// epoch is when the first frame of a test is captured.
var epoch = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// timed is a frame and how long after the one before it it is captured.
type timed struct {
	after time.Duration
	frame []byte
}

// pcap returns a capture file.
func pcap(frames ...timed) []byte {
	le32 := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	file := join(le32(0xa1b2c3d4), le32(2|4<<16), le32(0), le32(0), le32(65535), le32(1))
	at := epoch
	for _, f := range frames {
		at = at.Add(f.after)
		for _, part := range [][]byte{le32(uint32(at.Unix())), le32(uint32(at.Nanosecond() / 1000)), le32(uint32(len(f.frame))), le32(uint32(len(f.frame))), f.frame} {
			file = append(file, part...)
		}
	}
	return file
}

// write puts a file into the test's folder.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
