package capfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"time"
)

// The pcapng format is that of draft-ietf-opsawg-pcapng. It is not read by pcapgo.NgReader,
// which panics on some corrupt files, allocates the length that a packet claims, up to
// 4 GiB, and does not distinguish a truncated file from a whole one.

// Block types. blockSection is the same in both byte orders.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
)

// Options of an interface description block.
const (
	optionEnd        = 0
	optionName       = 2
	optionResolution = 9
	optionOffset     = 14
)

const (
	byteOrderMagic = 0x1a2b3c4d

	// maxBlock is the length in bytes of the longest block that is read: a packet and up
	// to 1 MiB of options.
	maxBlock = MaxPacket + 1<<20
	// maxInterfaces bounds how many interfaces a section may describe.
	maxInterfaces = 4096
	// maxName is the length in bytes of the longest interface name: ALTIFNAMSIZ in
	// linux/if.h without the final zero. Longer ones are ignored.
	maxName = 127
	// maxSeconds is the end of the year 9999, the last one in RFC 3339.
	maxSeconds = 253402300799
)

type ngReader struct {
	r          *bufio.Reader
	order      binary.ByteOrder
	interfaces []ngInterface
	block      []byte
}

// ngInterface is an interface description block.
type ngInterface struct {
	name     string
	link     uint32
	invalid  skip   // why its packets cannot be read, if they cannot
	snapshot uint32 // bytes, 0 for no limit
	// ticks is the number of units of a time stamp in a second.
	ticks uint64
	// offset is in seconds.
	offset int64
}

func (n *ngReader) next() (Packet, error) {
	for {
		kind, body, err := n.readBlock()
		if err != nil {
			return Packet{}, err
		}
		switch kind {
		case blockSection:
			err = n.section(body)
		case blockInterface:
			if len(n.interfaces) == maxInterfaces {
				return Packet{}, fmt.Errorf("the section has more than %d interfaces", maxInterfaces)
			}
			n.interfaces = append(n.interfaces, n.describe(body))
		case blockEnhanced, blockPacket:
			return n.packet(kind, body)
		case blockSimple:
			return n.simple(body)
		}
		if err != nil {
			return Packet{}, err
		}
	}
}

// readBlock reads a block and returns what is between its two lengths, valid until the next
// call. At the end of the file the error is io.EOF.
func (n *ngReader) readBlock() (kind uint32, body []byte, err error) {
	// The shortest block is one without a body; that of a section has more.
	head, err := n.r.Peek(12)
	if err != nil {
		if len(head) == 0 {
			return 0, nil, err
		}
		return 0, nil, truncated(err)
	}
	if binary.BigEndian.Uint32(head) == blockSection {
		// The length is in the byte order that follows it.
		switch binary.LittleEndian.Uint32(head[8:]) {
		case byteOrderMagic:
			n.order = binary.LittleEndian
		case bits.ReverseBytes32(byteOrderMagic):
			n.order = binary.BigEndian
		default:
			return 0, nil, errors.New("the section has no valid byte order")
		}
	}
	kind = n.order.Uint32(head)
	length := n.order.Uint32(head[4:])
	if length < 12 || length%4 != 0 || length > maxBlock {
		return 0, nil, fmt.Errorf("the length of a block of type %d is %d bytes", kind, length)
	}
	if cap(n.block) < int(length) {
		n.block = make([]byte, length)
	}
	n.block = n.block[:length]
	if _, err := io.ReadFull(n.r, n.block); err != nil {
		return 0, nil, truncated(err)
	}
	if again := n.order.Uint32(n.block[length-4:]); again != length {
		return 0, nil, fmt.Errorf("a block of type %d has the lengths %d and %d", kind, length, again)
	}
	return kind, n.block[8 : length-4], nil
}

// section begins a section with its own interfaces.
func (n *ngReader) section(body []byte) error {
	if len(body) < 16 {
		return errors.New("the section header is too short")
	}
	if major := n.order.Uint16(body[4:]); major != 1 {
		return fmt.Errorf("the version of the pcapng section is %d.%d, not 1", major, n.order.Uint16(body[6:]))
	}
	n.interfaces = n.interfaces[:0]
	return nil
}

// describe reads an interface description block.
func (n *ngReader) describe(body []byte) ngInterface {
	if len(body) < 8 {
		return ngInterface{invalid: "of an interface whose description is too short"}
	}
	i := ngInterface{
		link:     uint32(n.order.Uint16(body)),
		snapshot: n.order.Uint32(body[4:]),
		ticks:    1_000_000,
	}
	for options := body[8:]; len(options) >= 4; {
		code, length := n.order.Uint16(options), int(n.order.Uint16(options[2:]))
		if code == optionEnd {
			break
		}
		padded := 4 + (length+3)&^3
		if padded > len(options) {
			i.invalid = "of an interface whose description has an option that is too long"
			break
		}
		value := options[4 : 4+length]
		options = options[padded:]
		switch code {
		case optionName:
			if length <= maxName {
				i.name = string(value)
			}
		case optionResolution:
			var ok bool
			if i.ticks, ok = ticks(value); !ok {
				i.invalid = "of an interface whose time resolution is impossible"
			}
		case optionOffset:
			if length != 8 {
				i.invalid = "of an interface whose time offset is not 8 bytes long"
				continue
			}
			i.offset = int64(n.order.Uint64(value))
		}
	}
	return i
}

// ticks returns the number of units in a second from an if_tsresol option: a power of 10
// or, with the highest bit, of 2.
func ticks(value []byte) (n uint64, ok bool) {
	if len(value) != 1 {
		return 1, false
	}
	exponent, base, highest := value[0]&0x7f, uint64(10), byte(19)
	if value[0]&0x80 != 0 {
		base, highest = 2, 63
	}
	if exponent > highest {
		return 1, false
	}
	n = 1
	for range exponent {
		n *= base
	}
	return n, true
}

// packet reads an enhanced packet block or its obsolete predecessor.
func (n *ngReader) packet(kind uint32, body []byte) (Packet, error) {
	if len(body) < 20 {
		return Packet{}, tooShort
	}
	id := n.order.Uint32(body)
	if kind == blockPacket {
		id = uint32(n.order.Uint16(body)) // a count of drops follows
	}
	i, err := n.of(id)
	if err != nil {
		return Packet{}, err
	}
	t, err := i.time(uint64(n.order.Uint32(body[4:]))<<32 | uint64(n.order.Uint32(body[8:])))
	if err != nil {
		return Packet{}, err
	}
	captured, length := n.order.Uint32(body[12:]), n.order.Uint32(body[16:])
	data, err := cut(body[20:], captured, length)
	if err != nil {
		return Packet{}, err
	}
	return asEthernet(i.link, Packet{Data: data, Length: int(length), Time: t, Interface: i.name})
}

// tooShort is the error of a block that is too short for a packet.
const tooShort = skip("whose block is too short")

func (n *ngReader) simple(body []byte) (Packet, error) {
	if len(body) < 4 {
		return Packet{}, tooShort
	}
	i, err := n.of(0)
	if err != nil {
		return Packet{}, err
	}
	length := n.order.Uint32(body)
	captured := length
	if i.snapshot != 0 {
		captured = min(captured, i.snapshot)
	}
	data, err := cut(body[4:], captured, length)
	if err != nil {
		return Packet{}, err
	}
	return asEthernet(i.link, Packet{Data: data, Length: int(length), Interface: i.name})
}

// cut returns the captured bytes of a packet with a length on the wire.
func cut(data []byte, captured, length uint32) ([]byte, error) {
	switch {
	case uint64(captured) > uint64(len(data)) || captured > MaxPacket:
		return nil, skip("whose length exceeds that of its block")
	case captured > length || length > math.MaxInt32:
		return nil, skip("with more captured bytes than it had")
	}
	return data[:captured], nil
}

// of returns an interface whose packets can be read.
func (n *ngReader) of(id uint32) (*ngInterface, error) {
	if uint64(id) >= uint64(len(n.interfaces)) {
		return nil, skip("of an interface that the file does not describe")
	}
	i := &n.interfaces[id]
	switch {
	case i.invalid != "":
		return nil, i.invalid
	case !readable(i.link):
		return nil, foreign(i.link)
	}
	return i, nil
}

func (i *ngInterface) time(stamp uint64) (time.Time, error) {
	seconds := int64(stamp / i.ticks)
	// The fraction is less than ticks, so the product's upper half is too.
	hi, lo := bits.Mul64(stamp%i.ticks, uint64(time.Second))
	nanoseconds, _ := bits.Div64(hi, lo, i.ticks)
	if seconds < 0 || seconds > maxSeconds || i.offset < -seconds || i.offset > maxSeconds-seconds {
		return time.Time{}, skip("whose time is not between the years 1970 and 9999")
	}
	return time.Unix(seconds+i.offset, int64(nanoseconds)).UTC(), nil
}
