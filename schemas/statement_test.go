package schemas

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func nothing(string) bool { return false }

func TestStatements(t *testing.T) {
	address := netip.MustParseAddr("2001:db8::53")
	options := &Options{
		SourceLinkLayer: []LinkLayer{{Address: MAC{2, 0, 0, 0, 0, 1}}},
		PrefixInfo: []PrefixInfo{{Prefix: netip.MustParseAddr("2001:db8::"), PrefixLength: 64, ValidLifetime: 86400, PreferredLifetime: 14400,
			Flag: PrefixInfoFlags{OnLink: true, Autoconf: true, Reserved: 3}}},
		MTU:   []MTU{{MTU: 1500}, {MTU: 1400}},
		Nonce: []Nonce{{Value: "00"}}, // another in each message
		RDNSS: []RDNSS{{Lifetime: 900, Address: []netip.Addr{address, netip.MustParseAddr("2001:db8::54")}}},
		NAAck: []NAAck{{Status: 2, Address: &address}, {Status: 1}},
		PvD: []PvD{{ID: "pvd.example", Flag: PvDFlags{RA: true}, Sequence: 1, RA: &RA{CurHopLimit: 64, Preference: PreferenceMedium, Lifetime: 1800, Flag: RAFlags{Managed: true}},
			Opt: &PvDOptions{
				PrefixInfo: []PrefixInfo{{Prefix: netip.MustParseAddr("2001:db8:bad::"), PrefixLength: 64, ValidLifetime: 1, PreferredLifetime: 2, Flag: PrefixInfoFlags{OnLink: true, Autoconf: true}}},
				MTU:        []MTU{{MTU: 1300}, {MTU: 1280}},
				Unknown:    []UnknownOption{{Type: 200, Length: 8, Content: "0102"}}}}},
		Context:       []Context{{Length: 64, CID: 1, Lifetime: 60, Prefix: netip.MustParseAddr("2001:db8::")}},
		CaptivePortal: []CaptivePortal{{URI: "https://portal.example/api"}},
		EncryptedDNS: []EncryptedDNS{{Priority: 1, Lifetime: 1800, Domain: "dns.example", Address: []netip.Addr{address}, Parameter: []string{"alpn=h2", "port=853"}},
			{Priority: 2, Lifetime: 3}},
		Unknown: []UnknownOption{{Type: 36, Length: 8, Content: "000100000000"}, {Type: 42, Length: 8, Content: "00"}, {Type: 200, Length: 8, Content: "0102"}},
	}
	const pvd = "id pvd.example, flag (ra), delay 0, sequence 1, ra (curhoplimit 64, flag (managed), preference medium, reachabletimer 0, retranstimer 0), " +
		"opt (prefixinfo (prefix 2001:db8:bad::, prefixlength 64, flag (onlink, autoconf)), mtu (mtu 1300), mtu (mtu 1280), unknown (type 200, length 8, content 0102))"
	type statement struct {
		Number    uint8
		Text      string
		Lifetimes []uint64
	}
	want := []statement{
		{1, "address 02:00:00:00:00:01", nil},
		{3, "prefix 2001:db8::, prefixlength 64, flag (onlink, autoconf, reserved 3)", []uint64{86400, 14400}},
		{5, "mtu 1500", nil},
		{5, "mtu 1400", nil},
		{25, "address 2001:db8::53, address 2001:db8::54", []uint64{900}},
		{20, "code 0, status 2, address 2001:db8::53", nil},
		{20, "code 0, status 1", nil},
		{21, pvd, []uint64{1800, 1, 2}},
		{34, "length 64, cid 1, prefix 2001:db8::", []uint64{60}},
		{37, "uri https://portal.example/api", nil},
		{144, "priority 1, domain dns.example, address 2001:db8::53, parameter alpn=h2, parameter port=853", []uint64{1800}},
		{144, "priority 2", []uint64{3}},
		{36, "length 8, content 000100000000", nil},
		{200, "length 8, content 0102", nil},
	}
	var got []statement
	for _, s := range options.Statements(nil, nothing) {
		if s.Type != OptionTypeOf(s.Number) {
			t.Errorf("option %d has the row %+v", s.Number, s.Type)
		}
		got = append(got, statement{s.Number, s.Text, s.Lifetimes})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statements (-want +got):\n%s", diff)
	}

	// Those that are skipped are left out, and what was there stays.
	first := Statement{Text: "first"}
	some := options.Statements([]Statement{first}, func(member string) bool { return member != "captiveportal" })
	if len(some) != 2 || some[0].Text != "first" || some[1].Number != 37 {
		t.Errorf("with all but captive portals skipped: %+v", some)
	}
}

// An unassigned type is named by its number.
func TestStatementName(t *testing.T) {
	for number, want := range map[uint8]string{5: "MTU", 22: "option 22", 200: "option 200"} {
		if got := (&Statement{Number: number}).Name(); got != want {
			t.Errorf("option %d is called %q, want %q", number, got, want)
		}
	}
}

// Every member of every option is in the text or among the lifetimes, except of the
// types whose content is different in each message.
func TestStatementsAreComplete(t *testing.T) {
	options := fullEvent(t).ND.Opt
	found := map[string]bool{}
	lifetimes := map[string]int{}
	for _, s := range options.Statements(nil, nothing) {
		name := "unknown"
		if s.Type != nil {
			name = s.Type.Member
		}
		for _, word := range strings.FieldsFunc(s.Text, func(r rune) bool { return strings.ContainsRune(" ,()", r) }) {
			found[name+" "+word] = true
		}
		lifetimes[name] = len(s.Lifetimes)
	}
	for _, f := range Fields() {
		path := strings.Split(f.Name, ".")
		if len(path) < 4 || path[1] != "opt" {
			continue
		}
		if row := OptionTypeOf(typeOf(path[2])); row != nil && row.Varies || f.Name == "nd.opt.unknown.type" {
			continue
		}
		last := f.path[len(f.path)-1]
		if last.Tag.Get("lifetime") == "true" {
			lifetimes[path[2]]-- // fullEvent has two of each inner list
			continue
		}
		if !found[path[2]+" "+path[len(path)-1]] {
			t.Errorf("%s is not in the text", f.Name)
		}
	}
	for name, left := range lifetimes {
		if name != "pvd" && left != 0 {
			t.Errorf("%s has %d lifetimes more than members for them", name, left)
		}
	}
}

func typeOf(member string) uint8 {
	for _, row := range OptionTypes() {
		if row.Member == member {
			return row.Type
		}
	}
	return 0
}

func TestStatementsOfNothingCostNothing(t *testing.T) {
	full := fullEvent(t).ND.Opt
	all := func(string) bool { return true }
	var dst []Statement
	if n := testing.AllocsPerRun(100, func() {
		dst = full.Statements(dst[:0], all)
		dst = new(Options).Statements(dst[:0], nothing)
	}); n != 0 || len(dst) != 0 {
		t.Errorf("%v allocations, %d statements", n, len(dst))
	}
}

func BenchmarkStatements(b *testing.B) {
	full := fullEvent(b).ND.Opt
	var dst []Statement
	for _, bench := range []struct {
		name    string
		options *Options
		skip    func(string) bool
	}{{"none", new(Options), nothing}, {"skipped", full, func(string) bool { return true }}, {"full", full, nothing}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = bench.options.Statements(dst[:0], bench.skip)
			}
		})
	}
}
