package decode_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

// layer2 is what an event says of VLAN tags: vlan, innervlan and the fault
// encapsulation, - for what it does not have.
func layer2(event *schemas.Event) string {
	number := func(n *uint16) string {
		if n == nil {
			return "-"
		}
		return fmt.Sprint(*n)
	}
	fault := "-"
	if event.Fault != nil && event.Fault.Encapsulation {
		fault = "fault"
	}
	return strings.Join([]string{number(event.Ethernet.VLAN), number(event.Ethernet.InnerVLAN), fault}, " ")
}

// Each way to wrap IPv6, as it is and with each tag that the kernel may have taken out.
func TestEncapsulation(t *testing.T) {
	const q, ad = 0x8100, 0x88a8
	ipv6, llc := be16(0x86dd), snap(72, 0x86dd)
	tests := []struct {
		name    string
		headers []byte
		// What the event says without a further tag, and with SetVLAN of 7 and of 0.
		want, with7, with0 string
	}{
		{"untagged", ipv6, "- - -", "7 - -", "0 - -"},
		{"VLAN", cat(tag(q, 12), ipv6), "12 - -", "7 12 -", "0 12 fault"},
		{"VLAN 4095 with priority 7", cat(tag(q, 0xffff), ipv6), "4095 - -", "7 4095 -", "0 4095 fault"},
		{"priority", cat(tag(q, 0), ipv6), "0 - -", "7 0 fault", "0 0 fault"},
		{"priority 5", cat(tag(q, 0xa000), ipv6), "0 - -", "7 0 fault", "0 0 fault"},
		{"priority, 802.1ad", cat(tag(ad, 0), ipv6), "0 - -", "7 0 fault", "0 0 fault"},
		{"QinQ", cat(tag(ad, 12), tag(q, 13), ipv6), "12 13 -", "7 12 -", "12 13 fault"},
		{"QinQ with priorities", cat(tag(ad, 0xa00c), tag(q, 0xe00d), ipv6), "12 13 -", "7 12 -", "12 13 fault"},
		{"QinQ the other way", cat(tag(q, 12), tag(ad, 13), ipv6), "12 13 -", "7 12 -", "12 13 fault"},
		{"two VLAN tags", cat(tag(q, 12), tag(q, 12), ipv6), "12 12 -", "7 12 -", "12 12 fault"},
		{"two priorities", cat(tag(q, 0), tag(q, 0), ipv6), "0 0 fault", "7 0 fault", "0 0 fault"},
		{"two priorities, 802.1ad and 802.1Q", cat(tag(ad, 0), tag(q, 0), ipv6), "0 0 fault", "7 0 fault", "0 0 fault"},
		{"priority before a VLAN", cat(tag(q, 0), tag(q, 12), ipv6), "0 12 fault", "7 12 fault", "0 12 fault"},
		// Linux passes over any number of priority tags.
		{"three priorities", cat(tag(q, 0), tag(q, 0), tag(q, 0), ipv6), "0 0 fault", "7 0 fault", "0 0 fault"},
		{"a hundred priorities", cat(bytes.Repeat(tag(q, 0), 100), ipv6), "0 0 fault", "7 0 fault", "0 0 fault"},
		{"priorities before a VLAN", cat(tag(q, 0), tag(ad, 0), tag(q, 0), tag(q, 12), ipv6), "0 12 fault", "7 12 fault", "0 12 fault"},
		{"priorities in QinQ", cat(tag(q, 0), tag(ad, 12), tag(q, 0), tag(q, 13), tag(q, 0), ipv6), "12 13 fault", "7 12 fault", "12 13 fault"},
		{"three priorities, SNAP", cat(tag(q, 0), tag(q, 0), tag(q, 0), llc), "0 0 fault", "7 0 fault", "0 0 fault"},
		// The tag that is dropped had the fault.
		{"priority in a VLAN", cat(tag(ad, 12), tag(q, 0x2000), ipv6), "12 0 fault", "7 12 fault", "0 12 fault"},
		{"SNAP", llc, "- - fault", "7 - fault", "0 - fault"},
		{"SNAP, length 0", snap(0, 0x86dd), "- - fault", "7 - fault", "0 - fault"},
		{"SNAP, the greatest length", snap(1535, 0x86dd), "- - fault", "7 - fault", "0 - fault"},
		{"SNAP in a VLAN", cat(tag(q, 12), llc), "12 - fault", "7 12 fault", "0 12 fault"},
		{"SNAP behind a priority", cat(tag(q, 0), llc), "0 - fault", "7 0 fault", "0 0 fault"},
		{"SNAP in QinQ", cat(tag(ad, 12), tag(q, 13), llc), "12 13 fault", "7 12 fault", "12 13 fault"},
	}
	var d decode.Decoder // all frames, so that nothing is left from one before
	message := send(router, solicitedFor, ns(slla()))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			frame := behind(message, test.headers)
			for _, set := range []struct {
				want string
				tags []uint16
			}{{test.want, nil}, {test.with7, []uint16{0xf007}}, {test.with0, []uint16{0xe000}}} {
				event := decodeWith(t, &d, frame, len(frame))
				for _, tag := range set.tags {
					d.SetVLAN(tag)
				}
				if got := layer2(event); got != set.want {
					t.Errorf("with the tags %x taken out: %s, want %s", set.tags, got, set.want)
				}
				if event.Fault.Discard() || event.ND.Malformed != "" {
					t.Errorf("discarded for %v, malformed %q", faultNames(event.Fault), event.ND.Malformed)
				}
				plain, _ := decodeFrame(message)
				if diff := cmp.Diff(asJSON(t, []any{plain.Inet6, plain.ICMP6, plain.ND}), asJSON(t, []any{event.Inet6, event.ICMP6, event.ND})); diff != "" {
					t.Errorf("another message (-untagged +wrapped):\n%s", diff)
				}
				if !bytes.Equal(event.Frame, frame) {
					t.Errorf("frame is %x, want %x", event.Frame, frame)
				}
			}
			if event, _ := d.Decode(message, len(message)); layer2(event) != "- - -" || event.Fault != nil {
				t.Errorf("left from the frame before: %s, faults %v", layer2(event), faultNames(event.Fault))
			}
		})
	}
}

// A frame that is wrapped otherwise, or cut within its IPv6 header, is no event.
func TestNotEncapsulated(t *testing.T) {
	const q, ad = 0x8100, 0x88a8
	ipv6, llc := be16(0x86dd), snap(72, 0x86dd)
	message := send(router, solicitedFor, ns(slla()))
	for name, headers := range map[string][]byte{
		"three VLAN tags":             cat(tag(ad, 12), tag(ad, 13), tag(q, 14), ipv6),
		"three VLAN tags, SNAP":       cat(tag(q, 12), tag(q, 13), tag(q, 14), llc),
		"three in a priority":         cat(tag(q, 0), tag(q, 12), tag(q, 13), tag(q, 14), ipv6),
		"priorities, another tag":     cat(tag(q, 0), tag(q, 0), tag(q, 0), tag(0x9100, 0), ipv6),
		"another kind of tag":         cat(tag(0x9100, 12), ipv6),
		"another kind of second tag":  cat(tag(q, 12), tag(0x9100, 13), ipv6),
		"SNAP, no length":             snap(1536, 0x86dd),
		"SNAP, no length, in a VLAN":  cat(tag(q, 12), snap(1536, 0x86dd)),
		"SNAP, the EtherType of IPv6": snap(0x86dd, 0x86dd),
		"SNAP, IPv4":                  snap(72, 0x0800),
		"SNAP, tag":                   cat(snap(72, q), be16(0), ipv6),
		"SNAP in SNAP":                cat(snap(72, 72), llc[2:]),
		"LLC, another destination":    flip(llc, 2),
		"LLC, another source":         flip(llc, 3),
		"LLC, another control field":  flip(llc, 4),
		"SNAP, OUI of bridge tunnels": edit(llc, 5, 0, 0, 0xf8),
		"SNAP, another OUI":           flip(llc, 5),
		"802.3 without LLC":           be16(72),
	} {
		frame := behind(message, headers)
		if event, ok := decodeFrame(frame); ok {
			t.Errorf("%s is an event: %s", name, asJSON(t, event))
		}
	}
	for _, headers := range [][]byte{
		cat(tag(q, 12), ipv6), cat(tag(ad, 12), tag(q, 13), ipv6), llc, cat(tag(q, 0), llc), cat(tag(ad, 12), tag(q, 13), llc),
	} {
		frame := behind(message, headers)
		for n := range len(frame) {
			whole := n > 12+len(headers)+40 // the IPv6 header and the ICMPv6 type
			if _, ok := decodeFrame(slices.Clone(frame[:n])); ok != whole {
				t.Errorf("cut at %d of %d, behind %x: is an event %v", n, len(frame), headers, ok)
			}
		}
	}
}
