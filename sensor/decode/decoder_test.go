package decode_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

// decodeFrame decodes a frame that was captured whole.
func decodeFrame(frame []byte) (*schemas.Event, bool) {
	return new(decode.Decoder).Decode(frame, len(frame))
}

// eventOf returns the event of a frame that was captured whole.
func eventOf(t testing.TB, frame []byte) *schemas.Event {
	t.Helper()
	return decodeWith(t, new(decode.Decoder), frame, len(frame))
}

func decodeWith(t testing.TB, d *decode.Decoder, frame []byte, length int) *schemas.Event {
	t.Helper()
	event, ok := d.Decode(frame, length)
	if !ok {
		t.Fatalf("no event: %.100x", frame)
	}
	return event
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// asJSON returns a value as JSON, for comparison.
func asJSON(t testing.TB, v any) string {
	t.Helper()
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	check(t, e.Encode(v))
	return strings.TrimSuffix(b.String(), "\n")
}

func TestNoEvent(t *testing.T) {
	tests := map[string][]byte{
		"empty":                    nil,
		"Ethernet header cut":      ether(nil)[:13],
		"VLAN tag cut":             tagged(nil, tag(0x8100, 12))[:17],
		"IPv6 header cut":          ether(ip6(58, ns()))[:53],
		"ARP":                      cat(macDestination, macSource, be16(0x0806), make([]byte, 46)),
		"IPv4":                     cat(macDestination, macSource, be16(0x0800), ip6(58, ns())),
		"TCP":                      ether(ip6(6, make([]byte, 20))),
		"ESP":                      ether(ip6(50, ns())),
		"echo request":             ether(ip6(58, icmp(128, 0, make([]byte, 4)))),
		"type 132":                 ether(ip6(58, icmp(132, 0, make([]byte, 20)))),
		"type 138":                 ether(ip6(58, icmp(138, 0, make([]byte, 20)))),
		"MLD report":               ether(ip6(0, ext(58, 0), icmp(143, 0, make([]byte, 4)))),
		"ICMPv6 without a byte":    ether(ip6(58)),
		"NS behind the payload":    ether(ip6Length(0, 58, ns())),
		"later fragment":           ether(packet(router, host, 44, frag(58, 8, false), ns())),
		"later of a chain":         ether(packet(router, host, 44, frag(60, 8, true), ext(58, 0), ns())),
		"later behind a chain":     ether(packet(router, host, 0, ext(60, 0), ext(44, 0), frag(58, 8, true), ns())),
		"first fragment of UDP":    ether(ip6(44, frag(17, 0, true), make([]byte, 8))),
		"first fragment of echo":   ether(ip6(44, frag(58, 0, true), icmp(128, 0, make([]byte, 4)))),
		"first fragment, nodes":    ether(packet(router, allNodes, 44, frag(58, 0, true), icmp(128, 0, make([]byte, 4)))),
		"later fragment in first":  ether(packet(router, host, 44, frag(44, 0, true), frag(58, 8, false), ns())),
		"cut header before TCP":    ether(ip6(60, ext(6, 3)[:16])),
		"cut fragment header, TCP": ether(ip6(44, frag(6, 0, true)[:4])),
		"cut later fragment":       ether(packet(router, host, 44, frag(58, 8, true)[:4])),
		"later, UDP to nodes":      ether(packet(router, allNodes, 44, frag(17, 8, true), make([]byte, 8))),
		"later, group 3":           ether(packet(router, "ff02::3", 44, frag(58, 8, true), ns())),
		"later, mDNS":              ether(packet(router, "ff02::fb", 44, frag(58, 8, true), ns())),
		"later, nodes of this":     ether(packet(router, "ff01::1", 44, frag(58, 8, true), ns())),
		"later, routers of site":   ether(packet(router, "ff05::2", 44, frag(58, 8, true), ns())),
		"later, before solicited":  ether(packet(router, "ff02::1:feff:ffff", 44, frag(58, 8, true), ns())),
		"later, behind solicited":  ether(packet(router, "ff02::2:0:0", 44, frag(58, 8, true), ns())),
		"jumbogram with TCP":       ether(ip6Length(0, 0, ext(6, 0), make([]byte, 20))),
	}
	for name, frame := range tests {
		t.Run(name, func(t *testing.T) {
			if event, ok := decodeFrame(frame); ok {
				t.Errorf("is an event: %s", asJSON(t, event))
			}
		})
	}
}

func TestEthernet(t *testing.T) {
	tests := map[string]struct {
		frame []byte
		want  string
	}{
		"untagged": {ether(ip6(58, ns())), `{"source":"02:00:00:00:00:01","destination":"33:33:ff:00:00:42"}`},
		"group address as the source": {flip(ether(ip6(58, ns())), 6),
			`{"source":"03:00:00:00:00:01","destination":"33:33:ff:00:00:42","sourcemulticast":true}`},
		"VLAN":   {tagged(ip6(58, ns()), tag(0x8100, 12)), `{"source":"02:00:00:00:00:01","destination":"33:33:ff:00:00:42","vlan":12}`},
		"VLAN 0": {tagged(ip6(58, ns()), tag(0x8100, 0)), `{"source":"02:00:00:00:00:01","destination":"33:33:ff:00:00:42","vlan":0}`},
		"service VLAN with a priority": {tagged(ip6(58, ns()), tag(0x88a8, 0xefff)),
			`{"source":"02:00:00:00:00:01","destination":"33:33:ff:00:00:42","vlan":4095}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			event := eventOf(t, test.frame)
			same(t, "ethernet", test.want, asJSON(t, event.Ethernet))
			if !bytes.Equal(event.Frame, test.frame) {
				t.Errorf("frame is %x, want %x", event.Frame, test.frame)
			}
		})
	}
}

// An event has nothing of the frame before.
func TestReuse(t *testing.T) {
	var d decode.Decoder
	frames := [][]byte{
		tagged(ip6(44, frag(60, 0, false), ext(58, 0), ra(slla(), option(5, make([]byte, 6)), make([]byte, 8))), tag(0x8100, 12)),
		ether(ip6(58, ns())),
		flip(ether(ip6(60, ext(58, 0))), 6),
		ether(ip6(58, na(0xe0, slla()))),
		ether(ip6(58, na(0))),
		ether(ip6(58, rd(slla(), option(4, make([]byte, 6), ip6(58, icmp(128, 0, make([]byte, 4))))))),
		send(router, solicitedFor, ns(slla())),                                                        // with no fault
		behind(send(router, solicitedFor, ns(slla())), tag(0x88a8, 12), tag(0x8100, 0), be16(0x86dd)), // with one
		behind(send(router, solicitedFor, ns(slla())), tag(0x88a8, 12), be16(0x86dd)),
		behind(send(router, solicitedFor, ns(slla())), snap(80, 0x86dd)),
		send(router, solicitedFor, ns(slla())),
		ether(ip6(58, rd(slla(), slla()))),
		ether(ip6(44, frag(58, 1216, true), ns())),
		ether(ip6(44, frag(58, 0, false), ns())),
		ether(ip6(58, rs(slla()))),
	}
	for range 2 {
		for _, frame := range frames {
			want, _ := decodeFrame(frame)
			got, ok := d.Decode(frame, len(frame))
			if !ok {
				t.Fatalf("no event: %x", frame)
			}
			if diff := cmp.Diff(asJSON(t, want), asJSON(t, got)); diff != "" {
				t.Errorf("event of a used decoder (-new +used):\n%s", diff)
			}
		}
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	frames := map[string][]byte{
		"NS":                 ether(ip6(58, ns(slla()))),
		"NS on a VLAN":       tagged(ip6(58, ns(slla())), tag(0x8100, 12)),
		"NS in QinQ":         tagged(ip6(58, ns(slla())), tag(0x88a8, 12), tag(0x8100, 0)),
		"NS in SNAP":         behind(ether(ip6(58, ns(slla()))), tag(0x8100, 12), snap(80, 0x86dd)),
		"NS behind headers":  ether(ip6(0, ext(44, 0), frag(58, 0, false), ns(slla()))),
		"NA":                 ether(ip6(58, na(0x60, option(2, macSource)))),
		"RS":                 ether(ip6(58, rs(slla()))),
		"RA":                 ether(ip6(58, ra(slla(), prefixInfo(), prefixInfo(), rdnss()))),
		"redirect":           ether(ip6(58, rd(slla(), option(4, make([]byte, 6), ip6(58, icmp(128, 0, make([]byte, 4))))))),
		"echo":               ether(ip6(58, icmp(128, 0, make([]byte, 60)))),
		"TCP":                ether(ip6(6, make([]byte, 60))),
		"later fragment":     ether(packet(router, host, 44, frag(58, 8, true), make([]byte, 60))),
		"many headers, echo": ether(ip6(60, bytes.Repeat(ext(60, 0), 100), ext(58, 0), icmp(128, 0, make([]byte, 60)))),
	}
	var d decode.Decoder
	for name, frame := range frames {
		decode := func() {
			if _, ok := d.Decode(frame, len(frame)); ok {
				d.SetVLAN(12)
			}
		}
		if n := testing.AllocsPerRun(100, decode); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

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

func BenchmarkDecode(b *testing.B) {
	// Options of some 17 prefixes and routes: the flood's first RA.
	flood := firstOf(b, "thc-flood_router26.pcap", schemas.KindRA)
	for _, bench := range []struct {
		name  string
		frame []byte
	}{
		{"NS", firstOf(b, "linux-resolution_nud.pcap", schemas.KindNS)},
		{"NS-nonce", firstOf(b, "linux-dad_ok.pcap", schemas.KindNS)},
		{"NS-hop-by-hop", firstOf(b, "si6-ns6_hbh.pcap", schemas.KindNS)},
		{"NS-QinQ", tagged(ip6(58, ns(slla())), tag(0x88a8, 12), tag(0x8100, 13))},
		{"NS-SNAP", behind(ether(ip6(58, ns(slla()))), snap(80, 0x86dd))},
		{"NA", firstOf(b, "linux-resolution_nud.pcap", schemas.KindNA)},
		{"RA", firstOf(b, "radvd-minimal.pcap", schemas.KindRA)},
		{"RA-full", firstOf(b, "radvd-full.pcap", schemas.KindRA)},
		{"RA-flood", flood},
		{"RD", firstOf(b, "linux-redirect.pcap", schemas.KindRD)},
		{"malformed", ether(ip6(58, ns([]byte{3, 0})))},
		{"malformed-180-times", ether(ip6(58, ra(bytes.Repeat([]byte{3, 1, 0, 0, 0, 0, 0, 0}, 180))))},
		{"later-fragment", ether(packet(router, host, 44, frag(58, 1216, true), make([]byte, 60)))},
		{"later-fragment-to-nodes", ether(packet(router, allNodes, 44, frag(58, 1216, true), make([]byte, 60)))},
		{"echo", ether(ip6(58, icmp(128, 0, make([]byte, 60))))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var d decode.Decoder
			b.ReportAllocs()
			b.SetBytes(int64(len(bench.frame)))
			for b.Loop() {
				d.Decode(bench.frame, len(bench.frame))
			}
		})
	}
}

// firstOf returns the first frame of a kind in a capture.
func firstOf(b *testing.B, capture string, kind schemas.Kind) []byte {
	b.Helper()
	var d decode.Decoder
	for _, frame := range readCapture(b, capture) {
		if event, ok := d.Decode(frame.Data, frame.Length); ok && event.Kind() == kind {
			return frame.Data
		}
	}
	b.Fatalf("capture %s: no %s", capture, kind)
	return nil
}
