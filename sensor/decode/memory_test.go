package decode_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/ndmon/ndmon/sensor/decode"
)

// The memory that a decoder keeps is that of the largest frame, however many it
// decodes, well-formed or not.
func TestMemoryIsBounded(t *testing.T) {
	var every []byte
	for option := range 256 {
		every = append(every, option2(uint8(option))...)
	}
	for _, test := range goodOptions() {
		every = append(every, test.option...)
	}
	// A list of domains that ends in a fault when it has been read in part.
	badList := dnssl("\x01a\x00\xff")
	for name, options := range map[string][]byte{
		"every option":         every,
		"only a bad option":    badList,
		"PvDs and bad lists":   bytes.Repeat(cat(goodPvD(), badList), 20),
		"only unknown options": bytes.Repeat(some(200), 170),
	} {
		frame := ether(ip6(60, ext(58, 0), ra(options)))
		var d decode.Decoder
		run := func() {
			if _, ok := d.Decode(frame, len(frame)); !ok {
				t.Fatalf("%s: no event", name)
			}
		}
		run()
		before := d.MemorySizes()
		for range 100 {
			run()
		}
		if after := d.MemorySizes(); !slices.Equal(before, after) {
			t.Errorf("%s: memory grows with the number of frames: %v, then %v", name, before, after)
		}
		if name == "every option" && slices.Contains(before, 0) {
			t.Errorf("%s: a list was not used: %v", name, before)
		}
	}
}

// option2 is an option of a type, of 16 bytes.
func option2(typ uint8) []byte {
	return option(typ, make([]byte, 6), []byte("\x01a\x00"), make([]byte, 5))
}
