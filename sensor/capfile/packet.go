package capfile

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxPacket is the length in bytes of the longest packet that is read: the greatest
// snapshot length of libpcap (MAXIMUM_SNAPLEN). A file with a longer one is corrupt.
const MaxPacket = 262144

// Packet is one packet of a capture file.
type Packet struct {
	// Data is valid until the next packet is read.
	Data []byte
	// Length is the packet's length in bytes on the wire.
	Length int
	// Time is in UTC. It is zero if the file has none, as in the simple packet blocks of
	// pcapng.
	Time time.Time
	// Interface is the name of the interface in the file: any bytes, or empty.
	Interface string
}

// errTruncated is the error of a file that ends within a packet or header.
var errTruncated = errors.New("the file is truncated")

// truncated returns errTruncated for the end of the file.
func truncated(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errTruncated
	}
	return err
}

// linkEthernet is LINKTYPE_ETHERNET.
const linkEthernet = 1

// notEthernet returns the error of another link type.
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
