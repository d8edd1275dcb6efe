package e2e

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
)

// ndpmonFields are NDPMon's 40 fields, with a value that some of the frames
// below have and one that none has; fields that have no value have none here.
var ndpmonFields = []struct{ name, value, other string }{
	{"ethernet.source", "02:00:00:00:00:04", "02:00:00:00:00:99"},
	{"ethernet.destination", "33:33:00:00:00:01", "33:33:00:00:00:99"},
	{"inet6.source", "fe80::/10", "2001:db8:ffff::1"},
	{"inet6.destination", "ff02::1", "fec0::/10"},
	{"inet6.payload", "32", "65535"},
	{"inet6.nextheader", "58", "6"},
	{"inet6.hoplimit", "255", "254"},
	{"icmp6.type", "135", "1"},
	{"icmp6.code", "0", "255"},
	{"nd.rs", "", ""},
	{"nd.ra", "", ""},
	{"nd.ns", "", ""},
	{"nd.na", "", ""},
	{"nd.rd", "", ""},
	{"nd.ra.curhoplimit", "64", "7"},
	{"nd.ra.flag.managed", "", ""},
	{"nd.ra.flag.other", "", ""},
	{"nd.ra.flag.homeagent", "", ""},
	{"nd.ra.lifetime", "0", "4242"},
	{"nd.ra.reachabletimer", "0", "4294967294"},
	{"nd.ra.retranstimer", "0", "4294967294"},
	{"nd.ns.targetaddress", "2001:db8:1::1", "2001:db8:ffff::/48"},
	{"nd.na.flag.router", "", ""},
	{"nd.na.flag.solicited", "", ""},
	{"nd.na.flag.override", "", ""},
	{"nd.na.targetaddress", "2001:db8:1::10", "::"},
	{"nd.rd.targetaddress", "fe80::ff:fe00:2", "::1"},
	{"nd.rd.destinationaddress", "2001:db8:9::9", "2001:db8:8::/48"},
	{"nd.opt.sourcelinklayer", "", ""},
	{"nd.opt.targetlinklayer", "", ""},
	{"nd.opt.prefixinfo", "", ""},
	{"nd.opt.mtu", "", ""},
	{"nd.opt.sourcelinklayer.address", "02:00:00:00:00:04", "02:00:00:00:00:99"},
	{"nd.opt.targetlinklayer.address", "02:00:00:00:00:03", "02:00:00:00:00:99"},
	{"nd.opt.prefixinfo.flag.onlink", "", ""},
	{"nd.opt.prefixinfo.flag.autoconf", "", ""},
	{"nd.opt.prefixinfo.validlifetime", "86400", "86401"},
	{"nd.opt.prefixinfo.preferredlifetime", "14400", "14401"},
	{"nd.opt.prefixinfo.prefix", "2001:db8:1::/64", "2001:db8:2222::/64"},
	{"nd.opt.mtu.mtu", "1500", "9000"},
}

// fieldCaptures are captures whose frames are all well-formed.
var fieldCaptures = []string{
	"linux-resolution_nud", "linux-redirect", "linux-rs_boot", "linux-dad_conflict",
	"radvd-full", "radvd-full_solicited", "radvd-homeagent", "radvd-minimal",
	"si6-na6_hbh", "si6-na6_sol_rtr", "si6-ns6_dst", "si6-ra6_basic", "si6-ra6_dst", "si6-ra6_curhop1", "si6-rd6_basic",
	"si6-ra6_life0", "thc-fake_router6", "thc-fake_router26", "thc-redir6",
}

// variants are the rules that are made of each field.
var variants = []string{"match", "no-match", "match-other", "no-match-other"}

func ruleFor(field, value, variant string) string {
	element := strings.TrimSuffix(variant, "-other")
	if value != "" {
		value = fmt.Sprintf(" value=%q", value)
	}
	return fmt.Sprintf("<rule id=%q><%s field=%q%s/></rule>\n", variant+" "+field, element, field, value)
}

// expected reports, from RULES.md, whether a rule with that condition matches a
// frame: a field inside one message type makes the rule fail for another.
func expected(f facts, field, value, variant string) bool {
	if parts := strings.Split(field, "."); len(parts) > 2 && parts[0] == "nd" && parts[1] != "opt" && f["nd."+parts[1]] == nil {
		return false
	}
	return f.holds(field, value) == strings.HasPrefix(variant, "match")
}

func TestFieldsOfNDPMon(t *testing.T) {
	t.Parallel()
	if len(ndpmonFields) != 40 {
		t.Fatalf("there are %d of NDPMon's 40 fields", len(ndpmonFields))
	}
	// No capture has a Router Advertisement with the flags M and O.
	ra := lab.RouterAdvertisement(macOf("02:00:00:00:00:04"), netip.MustParseAddr("fe80::ff:fe00:4"), 1800)
	managed, other := ra, ra
	managed.Body, other.Body = slices.Clone(ra.Body), slices.Clone(ra.Body)
	managed.Body[1], other.Body[1] = 0x80, 0x40
	files := []string{write(t, "made.pcap", pcap(t, captured{time.Unix(1, 0), managed.Frame()}, captured{time.Unix(2, 0), other.Frame()}))}
	for _, name := range fieldCaptures {
		files = append(files, corpus(t, name))
	}
	var frames []facts
	perFile := map[string]int{}
	for _, path := range files {
		for _, c := range discovery(readCapture(t, path)) {
			frames = append(frames, factsOf(c.data))
			perFile[strings.TrimSuffix(filepath.Base(path), ".pcap")]++
		}
	}

	rules := `<rule id="all"><match field="inet6.source" value="::/0"/></rule>` + "\n"
	want := map[string]int{"all": len(frames)}
	for _, field := range ndpmonFields {
		for _, variant := range variants {
			value := field.value
			if strings.HasSuffix(variant, "-other") {
				if value = field.other; value == "" {
					continue
				}
			}
			rules += ruleFor(field.name, value, variant)
			n := 0
			for _, f := range frames {
				if expected(f, field.name, value, variant) {
					n++
				}
			}
			// A value that all frames have, or none, would show little.
			switch {
			case variant == "match-other" && n != 0:
				t.Errorf("%d frames have %s=%s, the test wants a value that none has", n, field.name, value)
			case variant == "match" && n == 0:
				t.Errorf("no frame has %s=%q", field.name, value)
			}
			if n > 0 {
				want[variant+" "+field.name] = n
			}
		}
	}
	p := succeed(t, program("ndmon", "-r", strings.Join(files, ","), "-o", "json",
		"-R", write(t, "fields.xml", []byte("<config_ndpmon><rules>\n"+rules+"</rules></config_ndpmon>\n"))))
	alerts := printed(t, p)
	if diff := cmp.Diff(want, perRule(alerts)); diff != "" {
		t.Errorf("alerts of each rule (-want +got):\n%s", diff)
	}
	got, ids := map[string]int{}, map[string]bool{}
	for _, a := range alerts {
		if a.Rule == "all" {
			got[a.Interface]++
		}
		ids[a.ID] = true
	}
	if diff := cmp.Diff(perFile, got); diff != "" {
		t.Errorf("frames of each file (-want +got):\n%s", diff)
	}
	if len(ids) != len(alerts) {
		t.Errorf("%d alerts have %d ids", len(alerts), len(ids))
	}
}

// Fields that are ndmon's own, where a file has them.
func TestFieldsOfACaptureFile(t *testing.T) {
	t.Parallel()
	tagged := lab.Solicitation(macOf("02:00:00:00:00:01"), netip.MustParseAddr("fe80::1"), netip.MustParseAddr("2001:db8::2"))
	plain := tagged.Frame()
	tagged.VLAN = 12
	now := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	one := write(t, "one.pcap", pcap(t, captured{now, plain}, captured{now, tagged.Frame()}))
	other := write(t, "other.pcapng", pcapng(t, "eth7", captured{now, plain}))
	rules := "<rules>"
	want := map[string]int{}
	for _, tc := range []struct {
		field, value, variant string
		frames                int
	}{
		{"ethernet.vlan", "12", "match", 1},
		{"ethernet.vlan", "12", "no-match", 2},
		{"ethernet.vlan", "13", "match-other", 0},
		{"host", "r.1", "match", 3},
		{"host", "r.1", "no-match", 0},
		{"host", "r2", "match-other", 0},
		{"host", "r2", "no-match-other", 3},
		{"interface", "one", "match", 2},
		{"interface", "one", "no-match", 1},
		{"interface", "eth7", "match-other", 1},
		{"direction", "in", "match", 3},
		{"direction", "in", "no-match", 0},
		{"direction", "out", "match-other", 0},
		{"direction", "out", "no-match-other", 3},
		{"master", "", "match", 0},
		{"master", "", "no-match", 3},
	} {
		rules += ruleFor(tc.field, tc.value, tc.variant)
		if tc.frames > 0 {
			want[tc.variant+" "+tc.field] = tc.frames
		}
	}
	p := succeed(t, program("ndmon", "-r", one+","+other, "--host", "r.1", "-o", "json",
		"-R", write(t, "rules.xml", []byte(rules+"</rules>"))))
	alerts := printed(t, p)
	if diff := cmp.Diff(want, perRule(alerts)); diff != "" {
		t.Errorf("alerts of each rule (-want +got):\n%s", diff)
	}
	for _, a := range alerts {
		if a.Host != "r.1" || a.Event.Host != "r.1" || a.Time != "2026-01-02T03:04:05.000000678Z" || a.Event.Time != a.Time {
			t.Errorf("host %q %q, time %q %q", a.Host, a.Event.Host, a.Time, a.Event.Time)
			break
		}
	}
}

// Fields that only a live interface has: direction, master and a tag that the
// interface has taken off.
func TestFieldsOfAnInterface(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	rules := "<rules>"
	for _, tc := range [][3]string{
		{"direction", "in", "match"}, {"direction", "in", "no-match"},
		{"direction", "out", "match-other"}, {"direction", "out", "no-match-other"},
		{"master", "", "match"}, {"master", "", "no-match"},
		{"ethernet.vlan", "12", "match"}, {"ethernet.vlan", "12", "no-match"}, {"ethernet.vlan", "13", "match-other"},
		{"interface", lab.Master, "match"}, {"interface", lab.Master, "no-match"}, {"interface", lab.Slave2, "match-other"},
	} {
		// Only of the frames that the test makes.
		condition := `<match field="nd.ns.targetaddress" value="2001:db8:7::/64"/>`
		rules += strings.Replace(ruleFor(tc[0], tc[1], tc[2]), "</rule>", condition+"</rule>", 1)
	}
	rules += "</rules>"
	p := r.Start(program("ndmon", "-m", lab.Master, "-s", lab.Slave1, "-i", lab.Slave2, "-o", "json",
		"--data", t.TempDir(), "-R", write(t, "rules.xml", []byte(rules))))
	p.Stderr.WaitFor("interface=" + lab.Slave2)
	p.Stderr.WaitFor("interface=" + lab.Master)

	target := netip.MustParseAddr("2001:db8:7::7")
	from := func(mac string) lab.Message {
		return lab.Solicitation(macOf(mac), netip.MustParseAddr("fe80::9"), target)
	}
	tagged := from("02:00:00:00:00:0c")
	tagged.VLAN = 12
	r.Wire(lab.Master).Send(from("02:00:00:00:00:01").Frame())                      // out, master
	r.Upstream.Wire("eth0").Send(from("02:00:00:00:00:02").Frame(), tagged.Frame()) // in, master
	r.Host2.Wire("eth0").Send(from("02:00:00:00:00:03").Frame())                    // in, no master
	want := map[string]int{
		"match direction": 3, "no-match direction": 1, "match-other direction": 1, "no-match-other direction": 3,
		"match master": 3, "no-match master": 1,
		"match ethernet.vlan": 1, "no-match ethernet.vlan": 3,
		"match interface": 3, "no-match interface": 1, "match-other interface": 1,
	}
	total := 0
	for _, n := range want {
		total += n
	}
	lab.Eventually(t, "the alerts are printed", func() bool { return len(p.Stdout.Lines()) >= total })
	stop(t, p)
	alerts := printed(t, p)
	if diff := cmp.Diff(want, perRule(alerts)); diff != "" {
		t.Errorf("alerts of each rule (-want +got):\n%s", diff)
	}
	for _, a := range alerts {
		vlan := a.Event.Ethernet.VLAN
		if tagged := a.Event.Ethernet.Source == "02:00:00:00:00:0c"; tagged != (vlan != nil) || vlan != nil && *vlan != 12 {
			t.Errorf("VLAN %v in the event of %s", vlan, a.Event.Ethernet.Source)
		}
	}
}
