package decode

import (
	"encoding/binary"
	"reflect"
	"slices"
	"testing"
)

// The memory that a decoder keeps is that of the largest frame, however many it
// decodes, well-formed or not.
func TestMemoryIsBounded(t *testing.T) {
	const units = 2
	good := func(option uint8) []byte {
		o := make([]byte, 8*units)
		o[0], o[1] = option, units
		copy(o[8:], "\x01a\x00")
		return o
	}
	// A list of domains that ends in a fault when it has been read in part.
	badList := good(optDNSSL)
	badList[11] = 0xff

	var options [][]byte
	for option := range 256 {
		options = append(options, good(uint8(option)))
	}
	mixed := slices.Concat(
		slices.Concat(options...),
		[]byte{optSourceLinkLayer, 1, 0, 0, 0, 0, 0, 0, optTargetLinkLayer, 1, 0, 0, 0, 0, 0, 0, optMTU, 1, 0, 0, 0, 0, 0, 0},
		append([]byte{optPrefixInfo, 4}, make([]byte, 30)...),
		append([]byte{optRDNSS, 3}, make([]byte, 22)...),
		append([]byte{optRedirectedHeader, 7, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0, 0, 0, icmp6}, append(make([]byte, 33), echoRequest, 0, 0, 0, 0, 0, 0, 0)...))
	for name, frame := range map[string][]byte{
		"every option":      solicitation(mixed),
		"only a bad option": solicitation(badList),
	} {
		var d Decoder
		sizes := func() []int {
			sizes := []int{cap(d.memory.extensions), cap(d.memory.addresses), cap(d.memory.echoes), cap(d.memory.domains), cap(d.memory.text), cap(d.used)}
			options := reflect.ValueOf(d.options)
			for i := range options.NumField() {
				sizes = append(sizes, options.Field(i).Cap())
			}
			return sizes
		}
		decode := func() {
			if _, ok := d.Decode(frame, len(frame)); !ok {
				t.Fatalf("%s: no event", name)
			}
		}
		decode()
		before := sizes()
		for range 100 {
			decode()
		}
		if after := sizes(); !slices.Equal(before, after) {
			t.Errorf("%s: memory grows with the number of frames: %v, then %v", name, before, after)
		}
		if name == "every option" && slices.Contains(before[:16], 0) {
			t.Errorf("%s: a list was not used: %v", name, before)
		}
	}
}

// solicitation is a frame with an NS behind an extension header.
func solicitation(options []byte) []byte {
	ns := append([]byte{neighborSolicitation}, make([]byte, 23)...)
	frame := make([]byte, ethernetSize, 2000)
	binary.BigEndian.PutUint16(frame[12:], etherTypeIPv6)
	frame = append(frame, 0x60, 0, 0, 0)
	frame = binary.BigEndian.AppendUint16(frame, uint16(8+len(ns)+len(options)))
	frame = append(frame, destinationOptions, 255)
	frame = append(frame, make([]byte, 32)...)
	frame = append(frame, icmp6, 0, 0, 0, 0, 0, 0, 0)
	return slices.Concat(frame, ns, options)
}
