package capfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/gopacket/pcapgo"
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
	// pcapgo keeps only the lower 8 bits of the link type, and so reads some other types
	// as Ethernet. The upper 6 bits describe frame check sequences, the next 10 are
	// reserved (draft-ietf-opsawg-pcap, section 4).
	if link := order.Uint32(header[20:]) & 0xffff; link != linkEthernet {
		return nil, notEthernet(link)
	}
	r, err := pcapgo.NewReader(br)
	if err != nil {
		return nil, truncated(err)
	}
	// Some programs write packets that exceed the snapshot length in the header, and a
	// hostile header would make pcapgo allocate up to 4 GiB.
	r.SetSnaplen(MaxPacket)
	return func() (Packet, error) {
		data, ci, err := r.ZeroCopyReadPacketData()
		switch {
		case err == io.EOF && ci.CaptureLength == 0:
			return Packet{}, io.EOF
		case err != nil:
			return Packet{}, truncated(err)
		}
		return Packet{Data: data, Length: ci.Length, Time: ci.Timestamp.UTC()}, nil
	}, nil
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
}

var errTruncated = errors.New("the file is truncated")

func truncated(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errTruncated
	}
	return err
}

// linkEthernet is LINKTYPE_ETHERNET.
const linkEthernet = 1

func notEthernet(link uint32) error {
	name, ok := linkNames[link]
	if !ok {
		name = "unknown"
	}
	return fmt.Errorf("the link type is %d (%s), not Ethernet", link, name)
}

// linkNames are the names (https://www.tcpdump.org/linktypes.html) of the link types that
// captures on Linux are likely to have.
var linkNames = map[uint32]string{
	0: "NULL", 9: "PPP", 12: "RAW", 101: "RAW", 105: "IEEE802_11", 108: "LOOP", 113: "LINUX_SLL",
	127: "IEEE802_11_RADIOTAP", 189: "USB_LINUX", 195: "IEEE802_15_4_WITHFCS", 220: "USB_LINUX_MMAPPED",
	228: "IPV4", 229: "IPV6", 230: "IEEE802_15_4_NOFCS", 239: "NFLOG", 253: "NETLINK", 276: "LINUX_SLL2",
}
