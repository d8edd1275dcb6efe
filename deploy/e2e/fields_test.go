package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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
	equal(t, "alerts of each rule", want, perRule(alerts))
	got, ids := map[string]int{}, map[string]bool{}
	for _, a := range alerts {
		if a.Rule == "all" {
			got[a.Interface]++
		}
		ids[a.ID] = true
	}
	equal(t, "frames of each file", perFile, got)
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
	equal(t, "alerts of each rule", want, perRule(alerts))
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
	equal(t, "alerts of each rule", want, perRule(alerts))
	for _, a := range alerts {
		vlan := a.Event.Ethernet.VLAN
		if tagged := a.Event.Ethernet.Source == "02:00:00:00:00:0c"; tagged != (vlan != nil) || vlan != nil && *vlan != 12 {
			t.Errorf("VLAN %v in the event of %s", vlan, a.Event.Ethernet.Source)
		}
	}
}

// facts are the contents of a frame, by the names of NDPMon's rule fields, read from
// its bytes here without any of ndmon's code. A field that is there and has no
// value has the value "".
type facts map[string][]string

func (f facts) add(field, value string) { f[field] = append(f[field], value) }
func (f facts) number(field string, n uint32) {
	f.add(field, strconv.FormatUint(uint64(n), 10))
}
func (f facts) address(field string, b []byte) {
	f.add(field, netip.AddrFrom16([16]byte(b)).String())
}
func (f facts) flag(field string, set bool) {
	if set {
		f.add(field, "")
	}
}

// factsOf reads a well-formed frame. It returns nil for what is no Neighbor
// Discovery.
func factsOf(frame []byte) facts {
	f := facts{}
	f.add("ethernet.destination", net.HardwareAddr(frame[:6]).String())
	f.add("ethernet.source", net.HardwareAddr(frame[6:12]).String())
	kind, packet := binary.BigEndian.Uint16(frame[12:]), frame[14:]
	if kind == 0x8100 {
		f.number("ethernet.vlan", uint32(binary.BigEndian.Uint16(packet)&0xfff))
		kind, packet = binary.BigEndian.Uint16(packet[2:]), packet[4:]
	}
	if kind != 0x86dd {
		return nil
	}
	length := binary.BigEndian.Uint16(packet[4:])
	f.number("inet6.payload", uint32(length))
	f.number("inet6.nextheader", uint32(packet[6]))
	f.number("inet6.hoplimit", uint32(packet[7]))
	f.address("inet6.source", packet[8:24])
	f.address("inet6.destination", packet[24:40])
	header, rest := packet[6], packet[40:40+int(length)]
	for header == 0 || header == 60 { // hop-by-hop, destination options
		header, rest = rest[0], rest[8*(1+int(rest[1])):]
	}
	if header != 58 || rest[0] < 133 || rest[0] > 137 {
		return nil
	}
	f.number("icmp6.type", uint32(rest[0]))
	f.number("icmp6.code", uint32(rest[1]))
	f.options(f.message(rest[0], rest[4:]))
	return f
}

// message reads what follows the checksum and returns the options.
func (f facts) message(kind byte, b []byte) (options []byte) {
	switch kind {
	case 133:
		f.add("nd.rs", "")
		return b[4:]
	case 134:
		f.add("nd.ra", "")
		f.number("nd.ra.curhoplimit", uint32(b[0]))
		f.flag("nd.ra.flag.managed", b[1]&0x80 != 0)
		f.flag("nd.ra.flag.other", b[1]&0x40 != 0)
		f.flag("nd.ra.flag.homeagent", b[1]&0x20 != 0)
		f.number("nd.ra.lifetime", uint32(binary.BigEndian.Uint16(b[2:])))
		f.number("nd.ra.reachabletimer", binary.BigEndian.Uint32(b[4:]))
		f.number("nd.ra.retranstimer", binary.BigEndian.Uint32(b[8:]))
		return b[12:]
	case 135:
		f.add("nd.ns", "")
		f.address("nd.ns.targetaddress", b[4:20])
		return b[20:]
	case 136:
		f.add("nd.na", "")
		f.flag("nd.na.flag.router", b[0]&0x80 != 0)
		f.flag("nd.na.flag.solicited", b[0]&0x40 != 0)
		f.flag("nd.na.flag.override", b[0]&0x20 != 0)
		f.address("nd.na.targetaddress", b[4:20])
		return b[20:]
	}
	f.add("nd.rd", "")
	f.address("nd.rd.targetaddress", b[4:20])
	f.address("nd.rd.destinationaddress", b[20:36])
	return b[36:]
}

func (f facts) options(b []byte) {
	for ; len(b) > 0; b = b[8*int(b[1]):] {
		switch b[0] {
		case 1:
			f.add("nd.opt.sourcelinklayer", "")
			f.add("nd.opt.sourcelinklayer.address", net.HardwareAddr(b[2:8]).String())
		case 2:
			f.add("nd.opt.targetlinklayer", "")
			f.add("nd.opt.targetlinklayer.address", net.HardwareAddr(b[2:8]).String())
		case 3:
			f.add("nd.opt.prefixinfo", "")
			f.flag("nd.opt.prefixinfo.flag.onlink", b[3]&0x80 != 0)
			f.flag("nd.opt.prefixinfo.flag.autoconf", b[3]&0x40 != 0)
			f.number("nd.opt.prefixinfo.validlifetime", binary.BigEndian.Uint32(b[4:]))
			f.number("nd.opt.prefixinfo.preferredlifetime", binary.BigEndian.Uint32(b[8:]))
			f.address("nd.opt.prefixinfo.prefix", b[16:32])
		case 5:
			f.add("nd.opt.mtu", "")
			f.number("nd.opt.mtu.mtu", binary.BigEndian.Uint32(b[4:]))
		}
	}
}

// holds reports whether any value of the field is the wanted one, or in it if
// that is a prefix.
func (f facts) holds(field, want string) bool {
	prefix, err := netip.ParsePrefix(want)
	return slices.ContainsFunc(f[field], func(value string) bool {
		if err == nil {
			return prefix.Contains(netip.MustParseAddr(value))
		}
		return value == want
	})
}
