package decode_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/capfile"
	"github.com/ndmon/ndmon/sensor/decode"
)

var update = flag.Bool("update", false, "write the golden files again")

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
			compareGolden(t, test.golden+".json", string(nthEvent(t, test.capture, test.kind, test.n))+"\n")
		})
	}
}

// compareGolden compares with a golden file, or writes that.
func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		check(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	check(t, err)
	same(t, name, string(want), got)
}

// nthEvent returns an event of a capture as indented JSON of the members that the decoder fills in.
func nthEvent(t *testing.T, capture string, kind schemas.Kind, n int) []byte {
	t.Helper()
	var d decode.Decoder
	for _, frame := range readCapture(t, capture) {
		event, ok := d.Decode(frame.Data, frame.Length)
		if !ok || event.Kind() != kind {
			continue
		}
		if n--; n >= 0 {
			continue
		}
		if !bytes.Equal(event.Frame, frame.Data) {
			t.Errorf("frame is %x, want %x", event.Frame, frame.Data)
		}
		b, err := json.MarshalIndent(struct {
			Ethernet *schemas.Ethernet `json:"ethernet"`
			Inet6    *schemas.Inet6    `json:"inet6"`
			ICMP6    *schemas.ICMP6    `json:"icmp6,omitempty"`
			ND       *schemas.ND       `json:"nd"`
			Fault    *schemas.Fault    `json:"fault,omitempty"`
		}{event.Ethernet, event.Inet6, event.ICMP6, event.ND, event.Fault}, "", "  ")
		check(t, err)
		return b
	}
	t.Fatalf("capture %s: not enough events of kind %s", capture, kind)
	return nil
}

const corpus = "../testdata/corpus"

// readCapture returns the frames of a capture: the corpus's, unless its name has a folder.
func readCapture(t testing.TB, name string) (frames []capfile.Packet) {
	t.Helper()
	path := name
	if filepath.Base(name) == name {
		path = filepath.Join(corpus, name)
	}
	for p, err := range capfile.ReadFile(path) {
		check(t, err)
		p.Data = bytes.Clone(p.Data)
		frames = append(frames, p)
	}
	return frames
}

// captures returns the names of the corpus's captures.
func captures(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(corpus, "*.pcap"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captures in %s (%v)", corpus, err)
	}
	for i, path := range paths {
		paths[i] = filepath.Base(path)
	}
	return paths
}

// counts are frames of a capture, as the corpus's manifest counts them.
type counts struct {
	// Class is harmless, attack or probe, or fuzz.
	Class  string
	Frames int
	// ND counts the messages that are decoded, also those with a bad code.
	ND int
	// Cut counts frames that seem to be messages and cannot be decoded alone.
	Cut int
}

// manifest reads the table in the corpus's MANIFEST.md.
func manifest(t *testing.T) map[string]counts {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(corpus, "MANIFEST.md"))
	check(t, err)
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\| (\\d+) \\| (\\d+) \\| (\\d+) \\|")
	table := make(map[string]counts)
	for _, match := range row.FindAllStringSubmatch(string(text), -1) {
		var numbers [3]int
		for i := range numbers {
			if numbers[i], err = strconv.Atoi(match[3+i]); err != nil {
				t.Fatal(err)
			}
		}
		table[match[1]] = counts{match[2], numbers[0], numbers[1], numbers[2]}
	}
	return table
}

func TestManifest(t *testing.T) {
	// Captures for which the manifest counts differently.
	differences := map[string]struct {
		cut    int // events less the manifest's count
		reason string
	}{
		"si6-ns6_frag.pcap":          {-1, "one later fragment to a host, which is no event"},
		"thc-fake_advertise6_D.pcap": {1, "one later fragment to all nodes"},
		"thc-fake_router26_E-F.pcap": {6, "two first fragments that end before their ICMPv6 header (RFC 7112), and four later ones"},
		"thc-fake_router26_E-O.pcap": {2, "two later fragments, which overlap the first ones (RFC 5722)"},
		"thc-fake_router6_D.pcap":    {2, "two later fragments to all nodes"},
		"thc-flood_router26_F.pcap":  {150, "50 first fragments that end before their ICMPv6 header (RFC 7112), and 100 later ones"},
		"thc-flood_router6_D.pcap":   {28, "28 later fragments to all nodes"},
	}
	table := manifest(t)
	names := captures(t)
	if len(names) != len(table) {
		t.Errorf("%d captures, %d in the manifest", len(names), len(table))
	}
	var d decode.Decoder
	for _, name := range names {
		want, ok := table[name]
		if !ok {
			t.Errorf("capture %s is not in the manifest", name)
			continue
		}
		want.Cut += differences[name].cut
		got := counts{Class: want.Class}
		for _, frame := range readCapture(t, name) {
			got.Frames++
			event, ok := d.Decode(frame.Data, frame.Length)
			switch {
			case !ok:
			case isMessage(event) && !strings.Contains(event.ND.Malformed, "option"):
				got.ND++
			default:
				got.Cut++
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-manifest +decoded):\n%s", name, diff)
		}
	}
}

// isMessage reports whether the fixed part of a message was decoded, and that
// it is the one that the ICMPv6 type says.
func isMessage(event *schemas.Event) bool {
	nd := event.ND
	switch event.Kind() {
	case schemas.KindRS:
		return nd.RS != nil
	case schemas.KindRA:
		return nd.RA != nil
	case schemas.KindNS:
		return nd.NS != nil
	case schemas.KindNA:
		return nd.NA != nil
	case schemas.KindRD:
		return nd.RD != nil
	}
	return false
}
