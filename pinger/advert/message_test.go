package advert

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/pcapgo"
	"github.com/ndmon/ndmon/schemas"
)

// captured returns the first Router Advertisement of a capture of radvd.
func captured(t testing.TB, name string) advertisement {
	t.Helper()
	f, err := os.Open("../../sensor/testdata/corpus/" + name + ".pcap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		const ipv6, icmpv6 = 14, 14 + 40
		frame, _, err := r.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		if frame[icmpv6] == 134 {
			return frame[icmpv6:][:binary.BigEndian.Uint16(frame[ipv6+4:])]
		}
	}
}

// pref64 is the option for 64:ff9b::/96 with a lifetime of 1800 s (RFC 8781).
var pref64 = []byte{38, 2, 0x07, 0x08, 0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0}

// change returns what differs between two messages, by the place of the byte.
func change(a, b advertisement) map[int]byte {
	changed := map[int]byte{}
	for i := range b {
		if i >= len(a) || a[i] != b[i] {
			changed[i] = b[i]
		}
	}
	return changed
}

func TestRelayedChangesTheSourceAndTheFlag(t *testing.T) {
	mac := schemas.MAC{2, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5}
	full := captured(t, "radvd-full")
	before := bytes.Clone(full)
	at := len(full) - 6 // its last option is the source link-layer address
	want := map[int]byte{flagsAt: 0x0c, at + 1: 0xa1, at + 2: 0xa2, at + 3: 0xa3, at + 4: 0xa4, at + 5: 0xa5}
	if diff := cmp.Diff(want, change(full, full.relayed(mac))); diff != "" {
		t.Errorf("replaced (-want +got):\n%s", diff)
	}
	if !bytes.Equal(full, before) {
		t.Error("the message was changed")
	}
	without := captured(t, "radvd-nosllao")
	at = len(without)
	want = map[int]byte{flagsAt: 0x04, at: 1, at + 1: 1, at + 2: 2, at + 3: 0xa1, at + 4: 0xa2, at + 5: 0xa3, at + 6: 0xa4, at + 7: 0xa5}
	if diff := cmp.Diff(want, change(without, without.relayed(mac))); diff != "" {
		t.Errorf("added (-want +got):\n%s", diff)
	}
	if got := full.withdrawal(mac); len(got) != headLen+8 || got.lifetime() != 0 || got[headLen] != optSourceLinkLayer {
		t.Errorf("withdrawal is % x", got)
	}
}

// lifetimes returns the router lifetime and those of the options, in seconds.
func lifetimes(a advertisement) [][]uint32 {
	list := [][]uint32{{uint32(a.lifetime() / time.Second)}}
	for o := range a.options() {
		switch n := binary.BigEndian.Uint32(o[4:]); o[0] {
		case optPrefix:
			list = append(list, []uint32{optPrefix, n, binary.BigEndian.Uint32(o[8:])})
		case optRoute, optRDNSS, optDNSSL, optEncryptedDNS:
			list = append(list, []uint32{uint32(o[0]), n})
		case optPREF64:
			list = append(list, []uint32{optPREF64, uint32(binary.BigEndian.Uint16(o[2:]) &^ 7), uint32(o[3] & 7)})
		}
	}
	return list
}

func TestAge(t *testing.T) {
	full := append(bytes.Clone(captured(t, "radvd-full")), pref64...)
	full[headLen+8+3], full[headLen+4] = 0xff, 0xff
	copy(full[headLen+4:], []byte{0xff, 0xff, 0xff, 0xff}) // the first prefix is valid for ever
	binary.BigEndian.PutUint32(full[headLen+8:], 14400)
	for age, want := range map[time.Duration][][]uint32{
		900 * time.Millisecond: {{1800}, {3, 0xffffffff, 14400}, {3, 86400, 14400}, {24, 1800}, {24, 12}, {25, 900}, {31, 900}, {38, 1800, 0}},
		20 * time.Second:       {{1780}, {3, 0xffffffff, 14380}, {3, 86380, 14380}, {24, 1780}, {24, 0}, {25, 880}, {31, 880}, {38, 1776, 0}},
		24 * time.Hour:         {{0}, {3, 0xffffffff, 0}, {3, 0, 0}, {24, 0}, {24, 0}, {25, 0}, {31, 0}, {38, 0, 0}},
	} {
		a := advertisement(bytes.Clone(full))
		a.age(age)
		if diff := cmp.Diff(want, lifetimes(a)); diff != "" {
			t.Errorf("after %v (-want +got):\n%s", age, diff)
		}
	}
}

// Whatever the options contain, only their lifetimes, the source and the flag change.
func FuzzEdit(f *testing.F) {
	f.Add([]byte(captured(f, "radvd-full")))
	f.Add(append(make([]byte, headLen), pref64...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for rest := b; len(rest) > 0; { // as the listener checks
			size := headLen
			if len(rest) < len(b) {
				size = int(rest[1]) * 8
			}
			if size == 0 || size > len(rest) || len(rest)%8 != 0 {
				return
			}
			rest = rest[size:]
		}
		if len(b) < headLen {
			return
		}
		a := advertisement(b).relayed(schemas.MAC{2})
		a.age(time.Hour)
		if n := len(a) - len(b); n != 0 && n != 8 || !a.proxied() {
			t.Errorf("% x becomes % x", b, a)
		}
	})
}
