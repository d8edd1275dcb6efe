package decode_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

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
	if err != nil {
		t.Fatal(err)
	}
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
			event, ok := d.Decode(frame.data, frame.length)
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
