package decode_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

// allFaults returns the members of schemas.Fault, in their order.
func allFaults() []string {
	var names []string
	for field := range reflect.TypeFor[schemas.Fault]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// faultNames returns the members of a fault that are set, in their order.
func faultNames(f *schemas.Fault) []string {
	if f == nil {
		return nil
	}
	var names []string
	for i, name := range allFaults() {
		if reflect.ValueOf(*f).Field(i).Bool() {
			names = append(names, name)
		}
	}
	return names
}

// Each fault, in frames that have it alone or with the faults that it causes, and the most
// similar frames without it.
func TestFaults(t *testing.T) {
	var d decode.Decoder // for all frames, so that no fault remains from the one before
	seen := map[string]bool{}
	for _, test := range slices.Concat(packetFaults(), addressFaults(), stationFaults(), raFaults()) {
		t.Run(test.name, func(t *testing.T) {
			event := decodeWith(t, &d, test.frame, len(test.frame))
			names := faultNames(event.Fault)
			if diff := cmp.Diff(test.want, strings.Join(names, " ")); diff != "" {
				t.Errorf("faults (-want +got):\n%s\n%s", diff, asJSON(t, event.ND))
			}
			for _, name := range names {
				seen[name] = true
			}
		})
	}
	for _, name := range allFaults() {
		if !seen[name] {
			t.Errorf("no frame has the fault %s", name)
		}
	}
}

// Which options each message may have.
func TestNotAllowed(t *testing.T) {
	messages := map[string]func(o []byte) []byte{
		"RS": func(o []byte) []byte { return send(router, allRouters, rs(o)) },
		"RA": func(o []byte) []byte { return send(router, allNodes, ra(o)) },
		"NS": func(o []byte) []byte { return send(router, solicitedFor, ns(o)) },
		"NA": func(o []byte) []byte { return send(targetText, allNodes, na(0, o)) },
		"RD": func(o []byte) []byte { return send(router, host, rdFor("fe80::2", targetText, o)) },
	}
	only := map[int]string{1: "RS RA NS", 2: "NA RD", 4: "RD", 6: "NS", 33: "NS NA", 39: "NS NA", 40: "NS NA"}
	for _, typ := range []int{3, 5, 7, 8, 20, 21, 23, 24, 25, 26, 31, 34, 35, 37, 38, 41, 144} {
		only[typ] = "RA"
	}
	for _, typ := range []int{9, 10, 15, 16, 17, 18, 19, 27, 28, 29, 30, 138, 139} {
		only[typ] = "" // in none of these
	}
	for typ := range 256 {
		for name, message := range messages {
			event := eventOf(t, message(some(byte(typ))))
			where, limited := only[typ]
			want := limited && !slices.Contains(strings.Fields(where), name)
			if got := event.Fault != nil && event.Fault.NotAllowed; got != want {
				t.Errorf("option %d in %s: not allowed is %v, want %v", typ, name, got, want)
			}
		}
	}
}

// What a capture has cut off is no fault of the frame.
func TestFaultsOfSnapped(t *testing.T) {
	frame := send(targetText, allNodes, na(0x20, option(14, make([]byte, 30)), tlla()))
	chain := ether(ip6(0, ext(58, 0), ns()))
	tests := map[string]struct {
		captured []byte
		length   int
		want     string
	}{
		"whole":                    {frame, len(frame), ""},
		"snapped in the options":   {frame[:90], len(frame), ""},
		"cut in the options":       {frame[:90], 90, "discarded length"},
		"snapped in the message":   {frame[:60], len(frame), ""},
		"cut in the message":       {frame[:60], 60, "discarded length"},
		"cut and then snapped":     {frame[:60], 70, "discarded length"},
		"snapped in the chain":     {chain[:60], len(chain), ""},
		"cut in the chain":         {chain[:60], 60, "discarded length"},
		"snapped, checksum is bad": {edit(frame[:90], checksumAt, 0, 0), len(frame), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			event := decodeWith(t, new(decode.Decoder), test.captured, test.length)
			if diff := cmp.Diff(test.want, strings.Join(faultNames(event.Fault), " ")); diff != "" {
				t.Errorf("faults (-want +got):\n%s\n%s", diff, asJSON(t, event.ND))
			}
		})
	}
}

// Real traffic that is harmless has no faults.
func TestHarmless(t *testing.T) {
	const stopping = "radvd that stops sends lifetime 0 with the preference that it is configured to have"
	known := map[string]struct{ faults, reason string }{
		"radvd-full.pcap":           {"preference", stopping},
		"radvd-full_solicited.pcap": {"preference", stopping},
		"linux-rs_boot.pcap":        {"preference", stopping},
		"linux-privacy_addr.pcap":   {"preference", stopping},
	}
	var d decode.Decoder
	harmless := 0
	table := manifest(t)
	for _, name := range captures(t) {
		if table[name].Class != "harmless" {
			continue
		}
		harmless++
		var found []string
		for _, frame := range readCapture(t, name) {
			if event, ok := d.Decode(frame.Data, frame.Length); ok {
				found = append(found, faultNames(event.Fault)...)
			}
		}
		if got := strings.Join(found, " "); got != known[name].faults {
			t.Errorf("%s: faults %q, want %q (%s)", name, got, known[name].faults, known[name].reason)
		}
	}
	if harmless < 15 {
		t.Errorf("only %d captures are harmless", harmless)
	}
}

// How many frames of each capture have which fault.
func TestFaultsOfCorpus(t *testing.T) {
	var got strings.Builder
	var d decode.Decoder
	for _, name := range captures(t) {
		counts := map[string]int{}
		for _, frame := range readCapture(t, name) {
			if event, ok := d.Decode(frame.Data, frame.Length); ok {
				for _, fault := range faultNames(event.Fault) {
					counts[fault]++
				}
			}
		}
		fmt.Fprintf(&got, "%s:", name)
		for _, name := range allFaults() {
			if counts[name] > 0 {
				fmt.Fprintf(&got, " %s %d", name, counts[name])
			}
		}
		got.WriteByte('\n')
	}
	compareGolden(t, "faults.txt", got.String())
}
