package wire

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"
	"time"
)

// Kinds that no optional member of a message has yet.
func TestCodecOfOtherOptionalMembers(t *testing.T) {
	type inner struct {
		Number uint8 `json:"number"`
	}
	type message struct {
		Number uint32          `json:"number,omitempty"`
		Addr   netip.Addr      `json:"addr,omitempty"`
		MAC    [6]byte         `json:"mac,omitempty"`
		Time   time.Time       `json:"time,omitempty"`
		Inner  inner           `json:"inner,omitempty"`
		Bits   []uint16        `json:"bits,omitempty"`
		Bool   *bool           `json:"bool,omitempty"`
		Raw    json.RawMessage `json:"raw,omitempty"`
		Last   uint64          `json:"last"`
	}
	codec := NewCodec[message]()
	const full = `{"number":4294967295,"addr":"::1","mac":"02:00:00:00:00:01","time":"2026-11-22T05:09:24Z","inner":{"number":255},"bits":[1,65535,3],"bool":false,"raw":{"a":[1,"x"]},"last":18446744073709551615}`
	var m message
	for _, data := range []string{full, `{"last":0}`, full, `{"bits":[7],"last":1}`} {
		if err := codec.Parse([]byte(data), &m); err != nil {
			t.Fatal(err)
		}
		if got := string(codec.Append(nil, &m)); got != data {
			t.Errorf("%s is written as\n%s", data, got)
		}
	}
}

func TestAppendIPv6WritesWhatNetipWrites(t *testing.T) {
	check := func(addr netip.Addr) {
		t.Helper()
		if got, want := string(AppendIPv6(nil, addr)), string(addr.AppendTo(nil)); got != want {
			t.Errorf("%s is written as %s", want, got)
		}
	}
	// Every way in which groups of 1, 2, 3 and 4 digits can be zero.
	for zeros := range 1 << 8 {
		var octets [16]byte
		for i := range 8 {
			if zeros&(1<<i) == 0 {
				group := 0xabcd >> (4 * (i % 4))
				octets[2*i], octets[2*i+1] = byte(group>>8), byte(group)
			}
		}
		check(netip.AddrFrom16(octets))
	}
	for _, s := range []string{"::ffff:10.0.0.1", "10.0.0.1", "fe80::1%eth0", "100:10:1:f000:f00:f0:f:0"} {
		check(netip.MustParseAddr(s))
	}
	check(netip.Addr{})
}

func TestPlainStopsAtTheFirstByteThatIsNot(t *testing.T) {
	for c := range 256 {
		c := byte(c)
		special := c < ' ' || c == '"' || c == '\\' || c >= 0x80
		for at := range 20 {
			s := bytes.Repeat([]byte{'!'}, 20)
			want := len(s)
			s[at] = c
			if special {
				want = at
			}
			if got := plain(s); got != want {
				t.Errorf("%q: %d, want %d", s, got, want)
			}
		}
	}
}
