package capfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/google/gopacket/pcapgo"
)

// The magic numbers of pcap, in the byte order of the file.
const (
	magicMicroseconds = 0xa1b2c3d4
	magicNanoseconds  = 0xa1b23c4d
)

// newPcap returns a function that reads the packets of a pcap file.
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
