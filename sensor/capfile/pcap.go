package capfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// The magic numbers of pcap, in the byte order of the file.
const (
	magicMicroseconds = 0xa1b2c3d4
	magicNanoseconds  = 0xa1b23c4d
)

func newPcap(br *bufio.Reader) (func() (Packet, error), error) {
	header, err := br.Peek(24)
	order := pcapOrder(header)
	switch {
	case order == nil:
		return nil, errors.New("this is no pcap or pcapng file")
	case err != nil:
		return nil, truncated(err)
	}
	if major, minor := order.Uint16(header[4:]), order.Uint16(header[6:]); major != 2 || minor != 4 {
		return nil, fmt.Errorf("the version of the pcap file is %d.%d, not 2.4", major, minor)
	}
	// The upper 6 bits describe frame check sequences, the next 10 are reserved
	// (draft-ietf-opsawg-pcap, section 4).
	link := order.Uint32(header[20:]) & 0xffff
	if !readable(link) {
		return nil, fmt.Errorf("all packets are %w", foreign(link))
	}
	p := &pcapReader{r: br, order: order, link: link, unit: time.Microsecond}
	if order.Uint32(header) == magicNanoseconds {
		p.unit = time.Nanosecond
	}
	br.Discard(len(header)) // it is in the buffer
	return p.next, nil
}

// pcapReader reads the packets of a pcap file. It is not pcapgo.Reader, which ends at a packet with impossible
// lengths, and keeps only 8 bits of the link type.
type pcapReader struct {
	r     *bufio.Reader
	order binary.ByteOrder
	link  uint32
	unit  time.Duration // of the fractions of seconds
	data  []byte
}

func (p *pcapReader) next() (Packet, error) {
	header, err := p.r.Peek(16)
	if err != nil {
		if len(header) == 0 {
			return Packet{}, err
		}
		return Packet{}, truncated(err)
	}
	seconds, fraction := p.order.Uint32(header), p.order.Uint32(header[4:])
	captured, length := p.order.Uint32(header[8:]), p.order.Uint32(header[12:])
	// Some programs write packets that exceed the snapshot length in the header.
	if captured > MaxPacket {
		return Packet{}, fmt.Errorf("the packet's length is %d bytes, more than %d", captured, MaxPacket)
	}
	if cap(p.data) < int(captured) {
		p.data = make([]byte, captured)
	}
	p.data = p.data[:captured]
	p.r.Discard(len(header)) // it is in the buffer
	if _, err := io.ReadFull(p.r, p.data); err != nil {
		return Packet{}, truncated(err)
	}
	data, err := cut(p.data, captured, length)
	if err != nil {
		return Packet{}, err
	}
	t := time.Unix(int64(seconds), int64(fraction)*int64(p.unit)).UTC()
	return asEthernet(p.link, Packet{Data: data, Length: int(length), Time: t})
}

// pcapOrder returns the byte order of a pcap file, or nil if the file is none.
func pcapOrder(header []byte) binary.ByteOrder {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch order.Uint32(header) {
		case magicMicroseconds, magicNanoseconds:
			return order
		}
	}
	return nil
}

// MaxPacket is the length in bytes of the longest packet that is read: the greatest
// snapshot length of libpcap (MAXIMUM_SNAPLEN). A file with a longer one is corrupt.
const MaxPacket = 262144

// Packet is one packet of a capture file.
type Packet struct {
	// Data is valid until the next packet is read.
	Data []byte
	// Length is the packet's length in bytes on the wire.
	Length int
	// Time is in UTC. It is zero if the file has none, as in the simple packet blocks of pcapng.
	Time time.Time
	// Interface is the name of the interface in the file: any bytes, or empty.
	Interface string
	// Number is the packet's in the file, from 1 on.
	Number int
}

var errTruncated = errors.New("the file is truncated")

func truncated(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errTruncated
	}
	return err
}

// foreign returns the error of a packet of a link type that is not read.
func foreign(link uint32) error {
	name, ok := linkNames[link]
	if !ok {
		name = "unknown"
	}
	return skip(fmt.Sprintf("of link type %d (%s)", link, name))
}

// linkNames are the names (https://www.tcpdump.org/linktypes.html) of the link types that
// captures on Linux are likely to have.
var linkNames = map[uint32]string{
	0: "NULL", 9: "PPP", 12: "RAW", 101: "RAW", 105: "IEEE802_11", 108: "LOOP",
	127: "IEEE802_11_RADIOTAP", 189: "USB_LINUX", 195: "IEEE802_15_4_WITHFCS", 220: "USB_LINUX_MMAPPED",
	228: "IPV4", 229: "IPV6", 230: "IEEE802_15_4_NOFCS", 239: "NFLOG", 253: "NETLINK",
}
