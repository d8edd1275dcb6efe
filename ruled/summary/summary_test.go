package summary

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/schemas"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestSummary(t *testing.T) {
	for id, want := range map[string]string{
		"linux-unresolved#1":         "NS 2001:db8:1::10 (02:00:00:00:00:03) > ff02::1:ff00:101: who has 2001:db8:1::101, source MAC 02:00:00:00:00:03",
		"linux-anycast_forwarding#9": "NA fe80::ff:fe00:3 (02:00:00:00:00:03) > fe80::ff:fe00:4: here is fe80::ff:fe00:3, flags SO, target MAC 02:00:00:00:00:03",
		"rdisc6-norouter#1":          "RS fe80::ff:fe00:3 (02:00:00:00:00:03) > ff02::2: looks for routers",
		"si6-rd6_basic#3":            "Redirect fe80::ff:fe00:4 (02:00:00:00:00:04) > 2001:db8:1::10: reach 2001:db8:9::9 by way of fe80::ff:fe00:2, target MAC 02:00:00:00:00:04",
		"radvd-full#1":               "RA fe80::ff:fe00:4 (02:00:00:00:00:04) > ff02::1: router lifetime 1800s, preference high, cur hop limit 64, source MAC 02:00:00:00:00:04, prefix 2001:db8:1::/64 (valid 86400s, preferred 14400s) 2001:db8:2::/64 (valid 86400s, preferred 14400s), MTU 1500, route 2001:db8:cafe::/48 (1800s) ::/0 (12s), DNS 2001:db8:1::53 2001:db8:1::54, search example.com corp.example.org",
		"thc-kill_router6_H#2":       "RA fe80::ff:fe00:4 (02:00:00:00:00:02) > ff02::1: router lifetime 0s, preference high, cur hop limit 64",
		"thc-fuzz_ip6_na#136":        "RS fe80::ff:fe00:2 (02:00:00:00:00:02) > ff02::1 [malformed: option 254 at byte 8 is 1024 bytes long, the message ends after 24]: looks for routers",
		"thc-fake_router6_D#1":       "frame that may hide ND fe80::ff:fe00:2 (02:00:00:00:00:02) > ff02::1 [fragment at 0 of more, malformed: IPv6 header chain is cut short in the first fragment (RFC 7112): header 60 (destination options) is not whole]",
	} {
		if got := Of(corpus.Event(t, id)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", id, got, want)
		}
	}
	for _, e := range corpus.Events(t) {
		checkSummary(t, e)
	}
	e := corpus.Event(t, "linux-unresolved#1")
	e.Ethernet.VLAN, e.Inet6.HopLimit, e.ND.Malformed = new(uint16), 64, "bad checksum"
	if got, want := Of(e), "ff02::1:ff00:101 vlan 0 [hop limit 64, malformed: bad checksum]: who has"; !strings.Contains(got, want) {
		t.Errorf("summary %q does not contain %q", got, want)
	}
}

// Who did what to whom, with and without the sender's address and vendor, and the rest.
func TestDeed(t *testing.T) {
	for id, want := range map[string][3]string{
		"linux-unresolved#1":         {"2001:db8:1::10 (02:00:00:00:00:03) asks for 2001:db8:1::101", "02:00:00:00:00:03 asks for 2001:db8:1::101"},
		"linux-anycast_forwarding#9": {"02:00:00:00:00:03 claims fe80::ff:fe00:3, to fe80::ff:fe00:4", "02:00:00:00:00:03 claims fe80::ff:fe00:3, to fe80::ff:fe00:4"},
		"rdisc6-norouter#1":          {"fe80::ff:fe00:3 (02:00:00:00:00:03) looks for routers", "02:00:00:00:00:03 looks for routers"},
		"si6-rd6_basic#3": {
			"fe80::ff:fe00:4 (02:00:00:00:00:04) tells 2001:db8:1::10 to reach 2001:db8:9::9 through fe80::ff:fe00:2",
			"02:00:00:00:00:04 tells 2001:db8:1::10 to reach 2001:db8:9::9 through fe80::ff:fe00:2",
		},
		"radvd-full#1": {
			"fe80::ff:fe00:4 (02:00:00:00:00:04) tells all nodes: default router for 1800s", "02:00:00:00:00:04 tells all nodes: default router for 1800s",
			", prefix 2001:db8:1::/64 2001:db8:2::/64, route 2001:db8:cafe::/48 ::/0, DNS 2001:db8:1::53 2001:db8:1::54, search example.com corp.example.org",
		},
		"thc-kill_router6_H#2": {"fe80::ff:fe00:4 (02:00:00:00:00:02) tells all nodes: no default router", "02:00:00:00:00:02 tells all nodes: no default router"},
		"thc-fake_router6_D#1": {
			"fe80::ff:fe00:2 (02:00:00:00:00:02) sends all nodes a fragment that may hide ND", "02:00:00:00:00:02 sends all nodes a fragment that may hide ND",
			" [fragment at 0 of more, malformed: IPv6 header chain is cut short in the first fragment (RFC 7112): header 60 (destination options) is not whole]",
		},
	} {
		d := DeedOf(corpus.Event(t, id))
		if diff := cmp.Diff(want, [3]string{d.Full, d.Brief, d.More}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	e := corpus.Event(t, "linux-anycast_forwarding#9")
	was := schemas.MAC{2, 0, 0, 0, 0, 9}
	e.Link = &schemas.Link{Claim: []schemas.LinkClaim{{Address: e.ND.NA.TargetAddress, Ethernet: e.Ethernet.Source, Previous: &was, Contested: true}}}
	if got, want := DeedOf(e).Full, "02:00:00:00:00:03 takes fe80::ff:fe00:3 from 02:00:00:00:00:09, to fe80::ff:fe00:4"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	e.Link.DAD = &schemas.LinkDAD{Target: addr("fe80::9"), Prober: was}
	if got, want := DeedOf(e).Full, "02:00:00:00:00:03 denies 02:00:00:00:00:09 the address fe80::9"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	e = corpus.Event(t, "radvd-full#1")
	e.Link = &schemas.Link{Station: &schemas.LinkStation{Vendor: "Acme, Inc"}, RA: &schemas.LinkRA{Change: []string{"flags were none, are M", "MTU was 1500, is 1280"}}}
	if got, want := DeedOf(e), "fe80::ff:fe00:4 (02:00:00:00:00:04, Acme) tells all nodes: flags were none, are M; MTU was 1500, is 1280"; got.Full+got.More != want {
		t.Errorf("got %s%s, want %s", got.Full, got.More, want)
	}
}

func checkSummary(t testing.TB, e *schemas.Event) {
	t.Helper()
	d := DeedOf(e)
	for i, s := range []string{Of(e), d.Full, d.Brief, d.More} {
		if s == "" && i < 3 || len(s) > Max || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q of %s", s, e.AppendJSON(nil))
		}
	}
}

func TestSummaryLost(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	got := Of(&schemas.Event{Lost: &schemas.Lost{Kernel: 2, Buffer: 3, Since: at, Until: at.Add(time.Second)}})
	if want := "5 frames lost between 03:04:05.006 and 03:04:06.006: 2 in the kernel, 3 with the buffer full"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSummarySensor(t *testing.T) {
	state := &schemas.Heartbeat{Started: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), Interval: 10}
	for stopped, want := range map[bool]string{
		false: "heartbeat of a sensor that began to watch at 2026-01-02T03:04:05Z, one every 10s",
		true:  "last heartbeat of a sensor that began to watch at 2026-01-02T03:04:05Z, one every 10s",
	} {
		state.Stopped = stopped
		if got := Of(&schemas.Event{Sensor: state}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSummaryConflict(t *testing.T) {
	mac, other := schemas.MAC{2, 0, 0, 0, 0, 9}, schemas.MAC{2, 0, 0, 0, 0, 8}
	for want, c := range map[string]schemas.Conflict{
		"2001:db8::9 is in use on m0 (02:00:00:00:00:09) and on s1 (02:00:00:00:00:08): traffic for it goes to m0": {Ethernet: &mac, OtherEthernet: &other},
		"2001:db8::9 is in use on m0 and on s1: traffic for it goes to m0":                                         {},
		"2001:db8::9 is in use on m0 (02:00:00:00:00:09), so ndmon denied it to a host on s1 (02:00:00:00:00:08)":  {Ethernet: &mac, OtherEthernet: &other, DAD: true},
	} {
		c.Address, c.OtherInterface = addr("2001:db8::9"), "s1"
		if got := Of(&schemas.Event{Interface: "m0", Conflict: &c}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// What is known of the link comes with what it contradicts.
func TestSummaryLink(t *testing.T) {
	e := corpus.Event(t, "linux-unresolved#1")
	was := schemas.MAC{2, 0, 0, 0, 0, 9}
	e.Link = &schemas.Link{
		Station: &schemas.LinkStation{Vendor: "Acme, Inc"},
		Claim: []schemas.LinkClaim{
			{Address: addr("2001:db8:1::10"), Ethernet: e.Ethernet.Source, Previous: &was, Changed: true, Contested: true},
			{Address: addr("fe80::1"), Ethernet: e.Ethernet.Source, New: true},
		},
		DAD: &schemas.LinkDAD{Target: addr("2001:db8::1"), Prober: was},
		RA:  &schemas.LinkRA{MTU: true, Params: true, Flags: true, Change: []string{"flags were none, are M", "MTU was 1500, is 1280"}},
	}
	want := "NS 2001:db8:1::10 (02:00:00:00:00:03, Acme, Inc) > ff02::1:ff00:101 [2001:db8:1::10 was at 02:00:00:00:00:09, is claimed for 02:00:00:00:00:03, " +
		"02:00:00:00:00:09 was about to take 2001:db8::1, changed: flags were none, are M; MTU was 1500, is 1280]: who has 2001:db8:1::101, source MAC 02:00:00:00:00:03"
	if got := Of(e); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestSummaryHostile(t *testing.T) {
	e := corpus.Event(t, "radvd-full#1")
	e.ND.Opt = &schemas.Options{DNSSL: []schemas.DNSSL{{Domain: []string{"a\nCRITICAL: \x1b[31m\xff\u202eb"}}}}
	got := Of(e)
	if want := "search a?CRITICAL: ?[31m??b"; !strings.HasSuffix(got, want) {
		t.Errorf("summary %q does not end in %q", got, want)
	}
	checkSummary(t, e)
	e.ND.Malformed = strings.Repeat("é", 1000)
	for range 10000 {
		e.ND.Opt.DNSSL = append(e.ND.Opt.DNSSL, schemas.DNSSL{Domain: []string{strings.Repeat("x", 250)}})
	}
	checkSummary(t, e)
	if got := Of(e); !strings.HasSuffix(got, "é…") {
		t.Errorf("summary %q", got)
	}
}

func BenchmarkSummary(b *testing.B) {
	e := corpus.Event(b, "linux-unresolved#1")
	b.ReportAllocs()
	for b.Loop() {
		Of(e)
	}
}

// A summary names every flag that an RA or an NA has.
func TestSummaryFlags(t *testing.T) {
	for bit := range 8 {
		octet, all := uint8(1)<<bit, schemas.AllFlags()
		for _, test := range []struct {
			nd    schemas.ND
			names []string
		}{
			{schemas.ND{RA: &schemas.RA{Flag: all.RA.Decode(octet)}}, all.RA.Names(octet)},
			{schemas.ND{NA: &schemas.NA{Flag: all.NA.Decode(octet)}}, all.NA.Names(octet)},
		} {
			got := Of(&schemas.Event{ND: &test.nd})
			if strings.HasSuffix(got, ", flags "+strings.Join(test.names, "")) != (len(test.names) == 1) {
				t.Errorf("flags %q: %s", test.names, got)
			}
		}
	}
	set := schemas.ND{RA: &schemas.RA{Flag: schemas.RAFlags{Managed: true, Proxy: true, SNAC: true, Reserved: true}}}
	if got, want := Of(&schemas.Event{ND: &set}), ", flags MP SNAC reserved"; !strings.HasSuffix(got, want) {
		t.Errorf("%s does not end in %q", got, want)
	}
}

// FuzzOf writes the sentence of any event that can be read.
func FuzzOf(f *testing.F) {
	for i, e := range corpus.Events(f) {
		if i%10 == 0 {
			f.Add(e.AppendJSON(nil))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var e schemas.Event
		if e.ParseJSON(data) == nil {
			checkSummary(t, &e)
		}
	})
}
