package decode_test

import (
	"bytes"
	"testing"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

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
		if event, ok := d.Decode(frame.data, frame.length); ok && event.Kind() == kind {
			return frame.data
		}
	}
	b.Fatalf("capture %s: no %s", capture, kind)
	return nil
}
