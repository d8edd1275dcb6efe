package decode_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

// FuzzDecode decodes any frame, cut at any point, of which more or less may have been on the wire
// than was captured. The seeds are short, because the fuzzer tries to shorten what it finds, for up
// to a minute each, before it goes on.
func FuzzDecode(f *testing.F) {
	for _, test := range slices.Concat(goodOptions(), badOptions()) {
		if len(test.option) <= 48 {
			frame := raWithOption(test.option)
			f.Add(frame, uint16(len(frame)), 0)
		}
	}
	for _, frame := range [][]byte{
		send(router, allRouters, rs(slla())),
		send(targetText, allNodes, na(0x20, tlla())),
		send(router, host, rdFor("fe80::2", "2001:db8:1::1", tlla())),
		tagged(ip6(0, ext(44, 0), frag(58, 0, true), ns(slla())), tag(0x8100, 12)),
		tagged(ip6(58, ns()), tag(0x88a8, 12), tag(0x8100, 13)),
		behind(ether(ip6(58, ns())), tag(0x8100, 0), snap(64, 0x86dd)),
		ether(ip6(60, ext(43, 0), ext(44, 0), frag(58, 1216, false), ns())),
		ether(ip6Length(0, 0, ext(58, 0), ns(slla()))),
		ether(ip6(58, ns([]byte{1, 4, 0, 0}))),
	} {
		f.Add(frame, uint16(len(frame)), 0)
		f.Add(frame, uint16(len(frame)-9), 9)
	}
	var used decode.Decoder // by every frame before this one
	f.Fuzz(func(t *testing.T, frame []byte, cut uint16, uncaptured int) {
		checkFrame(t, &used, frame[:min(len(frame), int(cut))], uncaptured)
	})
}

// The invariants of events hold for the corpus.
func TestCorpus(t *testing.T) {
	var used decode.Decoder
	for _, name := range captures(t) {
		for i, frame := range readCapture(t, name) {
			if i%10 == 0 {
				checkFrame(t, &used, frame.Data, frame.Length-len(frame.Data))
			}
		}
	}
}

// checkFrame checks the invariants of the event of a frame.
func checkFrame(t *testing.T, used *decode.Decoder, frame []byte, uncaptured int) {
	t.Helper()
	before := bytes.Clone(frame)
	length := len(frame) + uncaptured
	event, ok := used.Decode(frame, length)
	if !ok {
		return
	}
	checkEvent(t, event, frame)
	event.Type, event.Direction = schemas.TypeEvent, schemas.In
	first := event.AppendJSON(nil)
	if len(first) > 10_000+100*len(frame) {
		t.Errorf("event of a frame of %d bytes is %d bytes long", len(frame), len(first))
	}
	again, ok := new(decode.Decoder).Decode(frame, length)
	if !ok {
		t.Fatal("decoded again it is no event")
	}
	again.Type, again.Direction = schemas.TypeEvent, schemas.In
	if second := asJSON(t, again); second != string(first) {
		t.Errorf("decoded again it is not the same, or published otherwise:\n%s\n%s", first, second)
	}
	var read schemas.Event
	if err := read.ParseJSON(first); err != nil {
		t.Errorf("event cannot be read back: %v", err)
	}
	if second := read.AppendJSON(nil); !bytes.Equal(second, first) {
		t.Errorf("event is another when it is read back:\n%s\n%s", first, second)
	}
	if !bytes.Equal(before, frame) {
		t.Errorf("frame was changed")
	}
}

// checkEvent checks the invariants of an event.
func checkEvent(t *testing.T, event *schemas.Event, frame []byte) {
	t.Helper()
	if event.Ethernet == nil || event.Inet6 == nil || event.ND == nil || !bytes.Equal(event.Frame, frame) {
		t.Fatalf("event has not all its parts: %s", asJSON(t, event))
	}
	checkFault(t, event)
	nd := event.ND
	messages := 0
	for _, is := range []bool{nd.RS != nil, nd.RA != nil, nd.NS != nil, nd.NA != nil, nd.RD != nil} {
		if is {
			messages++
		}
	}
	switch message := isMessage(event); {
	case messages > 1 || messages == 1 && !message:
		t.Errorf("message is not of the type %d", event.ICMP6.Type)
	case message == (event.ICMP6 == nil):
		if message {
			t.Error("message without an ICMPv6 type")
		} else if nd.Malformed == "" {
			t.Error("nothing decoded and nothing malformed")
		}
	case messages == 0 && (nd.Malformed == "" || nd.Opt != nil):
		t.Errorf("no message, but malformed %q and options %v", nd.Malformed, nd.Opt)
	}
	if len(nd.Malformed) > 600 || !printable(nd.Malformed) {
		t.Errorf("malformed is not a text for a person: %q", nd.Malformed)
	}
	if nd.Opt == nil {
		return
	}
	for _, o := range nd.Opt.PrefixInfo {
		if o.PrefixLength > 128 {
			t.Errorf("prefix of %d bits", o.PrefixLength)
		}
	}
	for _, o := range nd.Opt.RouteInfo {
		if o.PrefixLength > 128 {
			t.Errorf("route of %d bits", o.PrefixLength)
		}
	}
	for _, s := range nd.Opt.Statements(nil, func(string) bool { return false }) {
		if !printable(s.Text) {
			t.Errorf("option %d says %q", s.Number, s.Text)
		}
	}
	for _, o := range nd.Opt.RDNSS {
		if len(o.Address) == 0 {
			t.Error("no DNS server")
		}
	}
	for _, o := range nd.Opt.DNSSL {
		if len(o.Domain) == 0 {
			t.Error("no domain")
		}
		for _, domain := range o.Domain {
			if domain == "" || !printable(domain) {
				t.Errorf("domain is %q", domain)
			}
		}
	}
}

// checkFault checks the invariants of the faults of an event.
func checkFault(t *testing.T, event *schemas.Event) {
	t.Helper()
	if event.Fault != nil && *event.Fault == (schemas.Fault{}) {
		t.Error("fault without one")
	}
	kinds := map[string]string{ // that may have a fault; any may have the others
		"target": "ns na rd", "unspecified": "rs ns", "solicited": "na", "solicitednode": "ns", "ethernetmismatch": "rs ra ns na",
		"override": "na", "proxyoverride": "na", "targetmismatch": "na", "prefix": "ra", "prefixlength": "ra", "prefixlifetime": "ra",
		"preference": "ra", "reachabletimer": "ra", "mtu": "ra", "dns": "ra", "dnsname": "ra", "uri": "ra", "route": "ra", "redirectedheader": "rd",
	}
	// For some a message is discarded, for others it depends, for the rest it is not.
	discard := strings.Fields("checksum code length optionlength version hoplimit unspecified solicited")
	depends := strings.Fields("source target")
	if f := event.Inet6.Fragment; f != nil && f.More && event.ICMP6 != nil {
		discard = slices.DeleteFunc(discard, func(name string) bool { return name == "length" }) // the rest may be in another fragment
		depends = append(depends, "length")
	}
	discarded, may := false, false
	for _, name := range faultNames(event.Fault) {
		discarded = discarded || slices.Contains(discard, name)
		may = may || slices.Contains(depends, name)
		if in, ok := kinds[name]; ok && !strings.Contains(in, string(event.Kind())) {
			t.Errorf("%s has the fault %s", event.Kind(), name)
		}
		if event.ICMP6 == nil && !slices.Contains(strings.Fields("discarded length version zeropayload ethernetdestination eui64 encapsulation"), name) {
			t.Errorf("what shows no ICMPv6 type has the fault %s", name)
		}
	}
	if got := event.Fault.Discard(); got != discarded && !(got && may) {
		t.Errorf("discarded is %v: %v", got, faultNames(event.Fault))
	}

	f := event.Fault
	if f == nil {
		f = new(schemas.Fault)
	}
	snap, outer, inner := isSNAP(event.Frame), event.Ethernet.VLAN, event.Ethernet.InnerVLAN
	if want := snap || inner != nil && (*outer == 0 || *inner == 0); f.Encapsulation != want {
		t.Errorf("fault for the encapsulation is %v: in SNAP %v, %s", f.Encapsulation, snap, asJSON(t, event.Ethernet))
	}

	// What the text says, unless there is more than it says.
	text := event.ND.Malformed
	more := strings.Contains(text, " more")
	for _, fault := range []struct {
		is    bool
		words string
	}{{f.Checksum, "bad checksum"}, {f.Code, "ICMPv6 code is"}, {f.BadOption, "option "}, {f.Version, "header has version"}, {f.ZeroPayload, "payload length is 0"}} {
		if said := strings.Contains(text, fault.words); said != fault.is && (said || !more) {
			t.Errorf("fault is %v, and malformed %q", fault.is, text)
		}
	}
	if later := event.Inet6.Fragment != nil && event.Inet6.Fragment.Offset > 0; later != strings.Contains(text, "later fragment") && (later || !more) {
		t.Errorf("later fragment is %v, and malformed %q", later, text)
	} else if later && event.ICMP6 != nil {
		t.Error("message in a later fragment")
	}
	if f.Length && !more && !strings.Contains(text, "cut short") && !strings.Contains(text, "truncated") {
		t.Errorf("cut short, and malformed %q", text)
	}
	if want := event.ICMP6 != nil && event.Inet6.HopLimit != 255; f.HopLimit != want {
		t.Errorf("fault for hop limit %d: %v", event.Inet6.HopLimit, f.HopLimit)
	}
}

// isSNAP reports whether the EtherType of an event's frame is a length.
func isSNAP(frame []byte) bool {
	at := 12
	for range 2 {
		if frame[at] == 0x81 || frame[at] == 0x88 {
			at += 4
		}
	}
	return frame[at] < 6
}

// printable reports whether a text is printable ASCII.
func printable(text string) bool {
	for _, r := range text {
		if r < ' ' || r > '~' || r == utf8.RuneError {
			return false
		}
	}
	return true
}
