package decode_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Real frames of every message and option, and what becomes of them.
func TestGolden(t *testing.T) {
	// One RA in each wrapping that attackers used, and an NS on a network with
	// QinQ: see testdata/README.md.
	const wrapped = "testdata/wrapped.pcap"
	tests := []struct {
		golden  string
		capture string
		// The nth event of a kind in the capture, from 0.
		kind schemas.Kind
		n    int
	}{
		{"ns", "linux-resolution_nud.pcap", schemas.KindNS, 0},
		{"ns-dad-nonce", "linux-dad_ok.pcap", schemas.KindNS, 0},
		{"ns-destination-options", "si6-ns6_dst.pcap", schemas.KindNS, 0},
		{"ns-fragment-cut", "si6-ns6_frag.pcap", schemas.KindNS, 0},
		{"na", "linux-resolution_nud.pcap", schemas.KindNA, 0},
		{"na-hop-by-hop", "si6-na6_hbh.pcap", schemas.KindNA, 0},
		{"rs", "linux-rs_boot.pcap", schemas.KindRS, 0},
		{"ra-full", "radvd-full.pcap", schemas.KindRA, 0},
		{"ra-home-agent", "radvd-homeagent.pcap", schemas.KindRA, 0},
		{"ra-6lowpan", "radvd-lowpan_abro.pcap", schemas.KindRA, 0},
		{"ra-fragment", "si6-ra6_frag.pcap", schemas.KindRA, 0},
		{"ra-rogue", "thc-fake_router26.pcap", schemas.KindRA, 0},
		{"ra-atomic-fragments-cut", "thc-fake_router6_F.pcap", schemas.KindRA, 0},
		{"ra-fuzzed", "thc-fuzz_ip6_ra.pcap", schemas.KindRA, 700},
		{"rd", "linux-redirect.pcap", schemas.KindRD, 0},
		{"rd-forged", "thc-redir6.pcap", schemas.KindRD, 0},
		{"rd-flood", "thc-flood_redir6.pcap", schemas.KindRD, 0},
		{"ns-flood", "thc-flood_solicitate6.pcap", schemas.KindNS, 0},
		{"other-first-fragment", "thc-fake_router26_E-F.pcap", schemas.KindOther, 0},
		{"other-later-fragment", "thc-fake_router26_E-O.pcap", schemas.KindOther, 0},
		{"ra-priorities", wrapped, schemas.KindRA, 0},
		{"ra-service-priority", wrapped, schemas.KindRA, 1},
		{"ra-snap", wrapped, schemas.KindRA, 2},
		{"ra-priority-snap", wrapped, schemas.KindRA, 3},
		{"ns-qinq", wrapped, schemas.KindNS, 0},
	}
	for _, test := range tests {
		t.Run(test.golden, func(t *testing.T) {
			got := append(nthEvent(t, test.capture, test.kind, test.n), '\n')
			path := filepath.Join("testdata", "golden", test.golden+".json")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

// nthEvent returns an event of a capture as indented JSON of the members that
// the decoder fills in.
func nthEvent(t *testing.T, capture string, kind schemas.Kind, n int) []byte {
	t.Helper()
	var d decode.Decoder
	for _, frame := range readCapture(t, capture) {
		event, ok := d.Decode(frame.data, frame.length)
		if !ok || event.Kind() != kind {
			continue
		}
		if n--; n >= 0 {
			continue
		}
		if !bytes.Equal(event.Frame, frame.data) {
			t.Errorf("frame is %x, want %x", event.Frame, frame.data)
		}
		b, err := json.MarshalIndent(struct {
			Ethernet *schemas.Ethernet `json:"ethernet"`
			Inet6    *schemas.Inet6    `json:"inet6"`
			ICMP6    *schemas.ICMP6    `json:"icmp6,omitempty"`
			ND       *schemas.ND       `json:"nd"`
			Fault    *schemas.Fault    `json:"fault,omitempty"`
		}{event.Ethernet, event.Inet6, event.ICMP6, event.ND, event.Fault}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Fatalf("capture %s: not enough events of kind %s", capture, kind)
	return nil
}
