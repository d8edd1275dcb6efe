package decode_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

// parts are the parts of an event that depend on the faults of a frame.
type parts struct {
	Inet6 struct {
		Extension []schemas.Extension `json:"extension,omitempty"`
		Fragment  *schemas.Fragment   `json:"fragment,omitempty"`
	} `json:"inet6"`
	ICMP6 *schemas.ICMP6  `json:"icmp6,omitempty"`
	ND    json.RawMessage `json:"nd"`
}

// partsOf returns an event without addresses and lengths.
func partsOf(t testing.TB, event *schemas.Event) string {
	t.Helper()
	p := parts{ICMP6: event.ICMP6, ND: json.RawMessage(asJSON(t, event.ND))}
	p.Inet6.Extension, p.Inet6.Fragment = event.Inet6.Extension, event.Inet6.Fragment
	return asJSON(t, p)
}

const (
	noExt  = `{"inet6":{},`
	typeRA = `"icmp6":{"type":134,"code":0},`
	typeNS = `"icmp6":{"type":135,"code":0},`
	// An NS in a first fragment and in an atomic one.
	firstFragment  = `{"inet6":{"extension":[{"header":44}],"fragment":{"id":16909060,"offset":0,"more":true}},`
	atomicFragment = `{"inet6":{"extension":[{"header":44}],"fragment":{"id":16909060,"offset":0}},`
	sllaJSON       = `"sourcelinklayer":[{"address":"02:00:00:00:00:01"}]`
)

// chainTest is a packet and the parts of its event (partsOf).
type chainTest struct {
	packet []byte
	want   string
}

func goodNS() string { return typeNS + `"nd":{` + isNS + `}}` }
func badSum() []byte { return flip(ns(), 2) }

func checkChains(t *testing.T, tests map[string]chainTest) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			event := eventOf(t, ether(test.packet))
			same(t, "event", test.want, partsOf(t, event))
			if got, want := event.Inet6.NextHeader, test.packet[6]; got != want {
				t.Errorf("next header %d, want %d", got, want)
			}
		})
	}
}

func TestChains(t *testing.T) {
	checkChains(t, map[string]chainTest{
		"no header":           {ip6(58, ns()), noExt + goodNS()},
		"hop-by-hop":          {ip6(0, ext(58, 0), ns()), `{"inet6":{"extension":[{"header":0}]},` + goodNS()},
		"destination options": {ip6(60, ext(58, 3), ns()), `{"inet6":{"extension":[{"header":60}]},` + goodNS()},
		"the longest header":  {ip6(60, ext(58, 255), ns()), `{"inet6":{"extension":[{"header":60}]},` + goodNS()},
		"routing":             {ip6(43, ext(58, 2), ns()), `{"inet6":{"extension":[{"header":43}]},` + goodNS()},
		"routing, bad checksum": {ip6(43, ext(58, 2), badSum()),
			`{"inet6":{"extension":[{"header":43}]},` + typeNS + `"nd":{` + isNS + `,"malformed":"bad checksum"}}`},
		"routing with stops ahead: the checksum is not for this destination": {
			ip6(43, flip(ext(58, 2), 3), badSum()), `{"inet6":{"extension":[{"header":43}]},` + goodNS()},
		"all headers": {ip6(0, ext(60, 0), ext(43, 1), ext(44, 2), frag(60, 0, false), ext(58, 0), ns()),
			`{"inet6":{"extension":[{"header":0},{"header":60},{"header":43},{"header":44},{"header":60}],` +
				`"fragment":{"id":16909060,"offset":0}},` + goodNS()},

		"nothing behind IPv6": {ip6(43), noExt + `"nd":{"malformed":"IPv6 header chain is cut short: header 43 (routing) is missing"}}`},
		"nothing behind a header": {ip6(0, ext(58, 0)),
			`{"inet6":{"extension":[{"header":0}]},"nd":{"malformed":"IPv6 header chain is cut short: header 58 (ICMPv6) is missing"}}`},
		"header not whole": {ip6(0, ext(58, 1)[:15]),
			`{"inet6":{"extension":[{"header":0}]},"nd":{"malformed":"IPv6 header chain is cut short: header 0 (hop-by-hop options) is not whole"}}`},
		"one byte of a header": {ip6(60, []byte{58}),
			`{"inet6":{"extension":[{"header":60}]},"nd":{"malformed":"IPv6 header chain is cut short: header 60 (destination options) is not whole"}}`},
		"fragment header not whole": {ip6(44, frag(58, 0, true)[:7]),
			`{"inet6":{"extension":[{"header":44}]},"nd":{"malformed":"IPv6 header chain is cut short in the first fragment (RFC 7112): header 44 (fragment) is not whole"}}`},
		"chain ends with the payload, not with the frame": {ip6Length(8, 60, ext(58, 0), ns()),
			`{"inet6":{"extension":[{"header":60}]},"nd":{"malformed":"IPv6 header chain is cut short: header 58 (ICMPv6) is missing"}}`},
	})
}

func TestFirstFragments(t *testing.T) {
	checkChains(t, map[string]chainTest{
		"first fragment":                   {ip6(44, frag(58, 0, true), ns()), firstFragment + goodNS()},
		"first fragment, checksum unknown": {ip6(44, frag(58, 0, true), badSum()), firstFragment + goodNS()},
		"first fragment, option goes on": {ip6(44, frag(58, 0, true), ns(slla(), prefixInfo()[:24])),
			firstFragment + typeNS + `"nd":{` + isNS + `,"opt":{` + sllaJSON + `}}}`},
		"first fragment, option's length goes on": {ip6(44, frag(58, 0, true), ns(slla(), []byte{3})),
			firstFragment + typeNS + `"nd":{` + isNS + `,"opt":{` + sllaJSON + `}}}`},
		"first fragment, option of length 0": {ip6(44, frag(58, 0, true), ns([]byte{3, 0})),
			firstFragment + typeNS + `"nd":{` + isNS + `,"malformed":"option 3 (prefix information) at byte 24 has length 0"}}`},
		"first fragment, message goes on": {ip6(44, frag(58, 0, true), ns()[:16]),
			firstFragment + typeNS + `"nd":{"malformed":"neighbor solicitation is cut short: 16 of its first 24 bytes are there"}}`},
		"first fragment, only the type": {ip6(44, frag(58, 0, true), ns()[:1]),
			firstFragment + typeNS + `"nd":{"malformed":"neighbor solicitation is cut short: 1 of its first 24 bytes are there"}}`},
		"first fragment, no message": {ip6(44, frag(58, 0, true)),
			firstFragment + `"nd":{"malformed":"IPv6 header chain is cut short in the first fragment (RFC 7112): header 58 (ICMPv6) is missing"}}`},
		"first fragment, header cut": {ip6(44, frag(60, 0, true), ext(58, 1)[:8]),
			`{"inet6":{"extension":[{"header":44},{"header":60}],"fragment":{"id":16909060,"offset":0,"more":true}},` +
				`"nd":{"malformed":"IPv6 header chain is cut short in the first fragment (RFC 7112): header 60 (destination options) is not whole"}}`},
		"atomic fragment":               {ip6(44, frag(58, 0, false), ns()), atomicFragment + goodNS()},
		"atomic fragment, bad checksum": {ip6(44, frag(58, 0, false), badSum()), atomicFragment + typeNS + `"nd":{` + isNS + `,"malformed":"bad checksum"}}`},
		"atomic fragment, bad option": {ip6(44, frag(58, 0, false), ns([]byte{3, 4})),
			atomicFragment + typeNS + `"nd":{` + isNS + `,"malformed":"option 3 (prefix information) at byte 24 is 32 bytes long, the message ends after 2"}}`},
		"first fragment in an atomic one": {ip6(44, frag(44, 0, false), frag(58, 0, true), badSum()),
			strings.Replace(firstFragment, `{"header":44}`, `{"header":44},{"header":44}`, 1) + goodNS()},
		"atomic fragment in a first one": {ip6(44, frag(44, 0, true), frag(58, 0, false), badSum()),
			strings.Replace(firstFragment, `{"header":44}`, `{"header":44},{"header":44}`, 1) + goodNS()},

		"two first fragments: the outer one tells": {ip6(44, frag(44, 0, true), flip(frag(58, 0, true), 7), ns()),
			strings.Replace(firstFragment, `{"header":44}`, `{"header":44},{"header":44}`, 1) + goodNS()},
	})
}

func TestLaterFragments(t *testing.T) {
	checkChains(t, map[string]chainTest{
		// A later fragment, which may hold anything, to the groups of ND.
		"later fragment": {ip6(44, frag(58, 8, true), ns()), laterFragment(true, 8, "a solicited-node group", 44)},
		"last fragment":  {ip6(44, frag(58, 8, false), ns()), laterFragment(false, 8, "a solicited-node group", 44)},
		"later fragment to all nodes, at the highest offset": {
			packet(router, allNodes, 44, frag(60, 0xfff8, false), make([]byte, 8)), laterFragment(false, 65528, "all nodes", 44)},
		"later fragment to all routers, of nothing": {
			packet(router, allRouters, 44, frag(58, 1216, true)), laterFragment(true, 1216, "all routers", 44)},
		"later fragment to the first solicited-node address": {
			packet(router, "ff02::1:ff00:0", 44, frag(58, 8, true), ns()), laterFragment(true, 8, "a solicited-node group", 44)},
		"later fragment to the last solicited-node address": {
			packet(router, "ff02::1:ffff:ffff", 44, frag(58, 8, true), ns()), laterFragment(true, 8, "a solicited-node group", 44)},
		"later fragment behind headers; what is behind it is not walked": {
			ip6(0, ext(60, 0), ext(43, 1), ext(44, 2), frag(60, 16, true), ext(58, 9)), laterFragment(true, 16, "a solicited-node group", 0, 60, 43, 44)},
		"later fragment in a first one": {
			ip6(44, flip(frag(44, 0, true), 7), frag(58, 8, false), ns()), laterFragment(false, 8, "a solicited-node group", 44, 44)},
		"later fragment, a fragment header in it": {
			ip6(44, frag(44, 8, false), frag(58, 0, true), ns()), laterFragment(false, 8, "a solicited-node group", 44)},
		"later fragment, its header not whole": {ip6(44, frag(58, 8, true)[:7]),
			`{"inet6":{"extension":[{"header":44}]},"nd":{"malformed":"IPv6 header chain is cut short: header 44 (fragment) is not whole"}}`},
	})
}

// laterFragment returns the parts of an event that is a later fragment.
func laterFragment(more bool, offset int, group string, headers ...int) string {
	var extension []string
	for _, header := range headers {
		extension = append(extension, fmt.Sprintf(`{"header":%d}`, header))
	}
	follow := ""
	if more {
		follow = `,"more":true`
	}
	return fmt.Sprintf(`{"inet6":{"extension":[%s],"fragment":{"id":16909060,"offset":%d%s}},`+
		`"nd":{"malformed":"later fragment, at byte %d, of a packet to %s: it may complete a hidden ND message (RFC 5722, RFC 6980)"}}`,
		strings.Join(extension, ","), offset, follow, offset, group)
}

// flip returns a copy of b with the lowest bit of one byte flipped.
func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// A message is decoded after any number of extension headers. The longest IPv6 packet can
// have 8188 of them before an NS.
func TestLongChain(t *testing.T) {
	for _, n := range []int{256, 257, 8188} {
		event, ok := decodeFrame(ether(ip6(60, bytes.Repeat(ext(60, 0), n-1), ext(58, 0), ns())))
		if !ok || event.ND.NS == nil || event.ND.Malformed != "" || event.Fault != nil || len(event.Inet6.Extension) != 256 {
			t.Errorf("NS behind %d headers: %.300s", n, asJSON(t, event))
		}
	}
}

// malformedTest is a packet and the members of its event.
type malformedTest struct {
	packet []byte
	nd     string // before the member malformed
	want   string
}

const sllaOpt = `"opt":{` + sllaJSON + `}`

// nsOptions is an NS with options.
func nsOptions(options ...[]byte) []byte { return ip6(58, ns(options...)) }

// withSLLA returns an NS in an event, with a source link-layer address and other options.
func withSLLA(list string) string { return `{` + isNS + `,"opt":{` + sllaJSON + `,` + list + `}` }

func checkMalformed(t *testing.T, tests map[string]malformedTest) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			event := eventOf(t, ether(test.packet))
			want := test.nd + `}`
			if test.want != "" {
				want = strings.TrimPrefix(test.nd, "{")
				if want != "" {
					want += ","
				}
				want = `{` + want + `"malformed":` + asJSON(t, test.want) + `}`
			}
			same(t, "nd", want, asJSON(t, event.ND))
		})
	}
}

func TestMalformed(t *testing.T) {
	checkMalformed(t, map[string]malformedTest{
		"bad checksum":             {ip6(58, flip(ns(slla()), 31)), `{` + isNS + `,"opt":{"sourcelinklayer":[{"address":"02:00:00:00:00:00"}]}`, "bad checksum"},
		"checksum of another host": {flip(ip6(58, ns()), 23), `{` + isNS, "bad checksum"},
		"checksum of an odd length": {ip6(58, flip(ns([]byte{7, 1, 0}), 26)), `{` + isNS,
			"bad checksum; option 7 (advertisement interval) at byte 24 is 8 bytes long, the message ends after 3"},
		"code":                 {ip6(58, icmp(135, 3, make([]byte, 4), target)), `{` + isNS, "ICMPv6 code is 3, not 0"},
		"IPv6 header of 4":     {append([]byte{0x40}, ip6(58, ns())[1:]...), `{` + isNS, "IPv6 header has version 4"},
		"only the type":        {ip6(58, []byte{135}), `{`, "neighbor solicitation is cut short: 1 of its first 24 bytes are there"},
		"RS cut":               {ip6(58, icmp(133, 0, make([]byte, 3))), `{`, "router solicitation is cut short: 7 of its first 8 bytes are there"},
		"RA cut":               {ip6(58, icmp(134, 0, make([]byte, 11))), `{`, "router advertisement is cut short: 15 of its first 16 bytes are there"},
		"NS cut":               {ip6(58, icmp(135, 0, make([]byte, 19))), `{`, "neighbor solicitation is cut short: 23 of its first 24 bytes are there"},
		"NA cut":               {ip6(58, icmp(136, 0, make([]byte, 19))), `{`, "neighbor advertisement is cut short: 23 of its first 24 bytes are there"},
		"redirect cut":         {ip6(58, icmp(137, 0, make([]byte, 35))), `{`, "redirect is cut short: 39 of its first 40 bytes are there"},
		"truncated in options": {ip6Length(32+64, 58, ns(slla())[:32], prefixInfo()), `{` + isNS + `,"opt":{` + sllaJSON + `,"prefixinfo":[{"prefix":"2001:db8:0:1::","prefixlength":64,"flag":{"onlink":true,"autoconf":true,"router":true},"validlifetime":86400,"preferredlifetime":14400}]}`, "truncated: IPv6 payload is 96 bytes long, the frame has room for 64"},
		"truncated in an option, bad checksum unknown": {ip6Length(64, 58, flip(ns(slla()), 2), prefixInfo()[:31]), `{` + isNS + `,` + sllaOpt,
			"truncated: IPv6 payload is 64 bytes long, the frame has room for 63"},
		"truncated in the message": {ip6Length(32, 58, ns()[:20]), `{`,
			"truncated: IPv6 payload is 32 bytes long, the frame has room for 20; neighbor solicitation is cut short: 20 of its first 24 bytes are there"},
		"jumbogram": {ip6Length(0, 0, ext(58, 0), ns(slla())), `{` + isNS + `,` + sllaOpt,
			"IPv6 payload length is 0 before a hop-by-hop options header, as in a jumbogram"},
	})
}

func TestMalformedOptions(t *testing.T) {
	checkMalformed(t, map[string]malformedTest{
		"option of length 0, then others": {nsOptions(slla(), []byte{3, 0, 1, 1, 1, 1, 1, 1}, slla()), `{` + isNS + `,` + sllaOpt,
			"option 3 (prefix information) at byte 32 has length 0"},
		"unknown option of length 0":         {nsOptions([]byte{99, 0}), `{` + isNS, "option 99 at byte 24 has length 0"},
		"option past the end":                {nsOptions(slla(), []byte{5, 2, 0, 0, 0, 0, 5, 220}), `{` + isNS + `,` + sllaOpt, "option 5 (MTU) at byte 32 is 16 bytes long, the message ends after 8"},
		"option past the payload":            {ip6Length(28, 58, ns(slla())[:28], make([]byte, 4)), `{` + isNS, "bad checksum; option 1 (source link-layer address) at byte 24 is 8 bytes long, the message ends after 4"},
		"option without a length":            {nsOptions(slla(), []byte{14}), `{` + isNS + `,` + sllaOpt, "option 14 (nonce) at byte 32 has no length"},
		"bytes behind the payload":           {append(ip6(58, ns(slla())), 5, 0, 1), `{` + isNS + `,` + sllaOpt, ""},
		"link-layer address of another kind": {nsOptions(option(1, macSource, make([]byte, 8))), `{` + isNS + `,` + sllaOpt, "option 1 (source link-layer address) at byte 24, 16 bytes long: must be 8 bytes long"},
		"target link-layer address too long": {nsOptions(option(2, macDestination, make([]byte, 16)), slla()), withSLLA(`"targetlinklayer":[{"address":"33:33:ff:00:00:42"}]`), "option 2 (target link-layer address) at byte 24, 24 bytes long: must be 8 bytes long"},
		"prefix information too short":       {nsOptions(option(3, make([]byte, 22)), slla()), `{` + isNS + `,` + sllaOpt, "option 3 (prefix information) at byte 24, 24 bytes long: must be 32 bytes long"},
		"prefix information too long":        {nsOptions(option(3, prefixInfo()[2:], make([]byte, 8)), slla()), withSLLA(`"prefixinfo":[{"prefix":"2001:db8:0:1::","prefixlength":64,"flag":{"onlink":true,"autoconf":true,"router":true},"validlifetime":86400,"preferredlifetime":14400}]`), "option 3 (prefix information) at byte 24, 40 bytes long: must be 32 bytes long"},
		"prefix of 129 bits":                 {nsOptions(option(3, []byte{129}, make([]byte, 29)), slla()), `{` + isNS + `,` + sllaOpt, "option 3 (prefix information) at byte 24, 32 bytes long: prefix length is over 128"},
		"MTU too long":                       {nsOptions(option(5, make([]byte, 2), be32(1400), make([]byte, 8)), slla()), withSLLA(`"mtu":[{"mtu":1400}]`), "option 5 (MTU) at byte 24, 16 bytes long: must be 8 bytes long"},
		"route information too long":         {nsOptions(option(24, []byte{48, 8}, be32(1800), addr("2001:db8:1::"), make([]byte, 8)), slla()), withSLLA(`"routeinfo":[{"prefix":"2001:db8:1::","prefixlength":48,"preference":"high","lifetime":1800}]`), "option 24 (route information) at byte 24, 32 bytes long: must be 8 to 24 bytes long"},
		"route of 1 bit in 8 bytes":          {nsOptions(option(24, []byte{1}, []byte{0}, be32(1800)), slla()), withSLLA(`"routeinfo":[{"prefix":"::","prefixlength":1,"preference":"medium","lifetime":1800}]`), "option 24 (route information) at byte 24, 8 bytes long: too short for its prefix length"},
		"route of 65 bits in 16 bytes":       {nsOptions(option(24, []byte{65}, []byte{0}, be32(1800), addr("2001:db8::")[:8]), slla()), withSLLA(`"routeinfo":[{"prefix":"2001:db8::","prefixlength":65,"preference":"medium","lifetime":1800}]`), "option 24 (route information) at byte 24, 16 bytes long: too short for its prefix length"},
		"route of 129 bits":                  {nsOptions(option(24, []byte{129}, make([]byte, 21)), slla()), `{` + isNS + `,` + sllaOpt, "option 24 (route information) at byte 24, 24 bytes long: prefix length is over 128"},
		"no DNS server":                      {nsOptions(option(25, make([]byte, 6)), slla()), `{` + isNS + `,` + sllaOpt, "option 25 (recursive DNS server) at byte 24, 8 bytes long: must be 24 bytes long or more"},
		"one and a half DNS servers":         {nsOptions(option(25, make([]byte, 2), be32(900), addr("2001:db8::53"), make([]byte, 8)), slla()), withSLLA(`"rdnss":[{"lifetime":900,"address":["2001:db8::53"]}]`), "option 25 (recursive DNS server) at byte 24, 32 bytes long: must be 8 bytes and 16 for each address"},
		"DNS search list too short":          {nsOptions(option(31, make([]byte, 6)), slla()), `{` + isNS + `,` + sllaOpt, "option 31 (DNS search list) at byte 24, 8 bytes long: must be 16 bytes long or more"},
		"DNS search list of padding":         {nsOptions(dnssl("\x00"), slla()), `{` + isNS + `,` + sllaOpt, "option 31 (DNS search list) at byte 24, 16 bytes long: holds no domain"},
		"domain past the end":                {nsOptions(dnssl("\x01a\x00\x07abcd"), slla()), withSLLA(`"dnssl":[{"lifetime":900,"domain":["a"]}]`), "option 31 (DNS search list) at byte 24, 16 bytes long: domain runs past the end"},
		"domain compressed, behind padding":  {nsOptions(dnssl("\x01a\x00\x00\x01b\x00\xc0\x00"), slla()), withSLLA(`"dnssl":[{"lifetime":900,"domain":["a","b"]}]`), "option 31 (DNS search list) at byte 24, 24 bytes long: domain has a label that is compressed or longer than 63 bytes"},
		"domain not ended":                   {nsOptions(dnssl("\x07abcdefg"), slla()), `{` + isNS + `,` + sllaOpt, "option 31 (DNS search list) at byte 24, 16 bytes long: domain runs past the end"},
		"domain compressed":                  {nsOptions(dnssl("\x01a\xc0\x00"), slla()), `{` + isNS + `,` + sllaOpt, "option 31 (DNS search list) at byte 24, 16 bytes long: domain has a label that is compressed or longer than 63 bytes"},
		"label of 64 bytes":                  {nsOptions(dnssl("\x40"+strings.Repeat("a", 64)+"\x00"), slla()), `{` + isNS + `,` + sllaOpt, "option 31 (DNS search list) at byte 24, 80 bytes long: domain has a label that is compressed or longer than 63 bytes"},
		"domain of 256 bytes":                {nsOptions(dnssl(strings.Repeat("\x3f"+strings.Repeat("a", 63), 3)+"\x3e"+strings.Repeat("a", 62)+"\x00"), slla()), `{` + isNS + `,` + sllaOpt, "option 31 (DNS search list) at byte 24, 264 bytes long: domain is longer than 255 bytes"},
		"domain of 257 bytes":                {nsOptions(dnssl(strings.Repeat("\x3f"+strings.Repeat("a", 63), 4)+"\x00"), slla()), `{` + isNS + `,` + sllaOpt, "option 31 (DNS search list) at byte 24, 272 bytes long: domain is longer than 255 bytes"},
		"PREF64 too short":                   {nsOptions(option(38, make([]byte, 6)), slla()), `{` + isNS + `,` + sllaOpt, "option 38 (PREF64) at byte 24, 8 bytes long: must be 16 bytes long"},
		"PREF64 too long":                    {nsOptions(option(38, be16(1800), addr("64:ff9b::")[:12], make([]byte, 8)), slla()), withSLLA(`"pref64":[{"prefix":"64:ff9b::","prefixlength":96,"lifetime":1800}]`), "option 38 (PREF64) at byte 24, 24 bytes long: must be 16 bytes long"},
		"PREF64 of a reserved length":        {nsOptions(option(38, []byte{0, 6}, make([]byte, 12)), slla()), `{` + isNS + `,` + sllaOpt, "option 38 (PREF64) at byte 24, 16 bytes long: prefix length code is reserved"},

		"several faults": {nsOptions(option(5, make([]byte, 14)), slla(), option(38, make([]byte, 6))), withSLLA(`"mtu":[{"mtu":0}]`),
			"option 5 (MTU) at byte 24, 16 bytes long: must be 8 bytes long; option 38 (PREF64) at byte 48, 8 bytes long: must be 16 bytes long"},
		"more faults than are told": {nsOptions(bytes.Repeat(option(5, make([]byte, 14)), 9), slla(), []byte{5, 0}), withSLLA(`"mtu":[{"mtu":0}` + strings.Repeat(`,{"mtu":0}`, 8) + `]`),
			"option 5 (MTU) at byte 24, 16 bytes long: must be 8 bytes long; option 5 (MTU) at byte 40, 16 bytes long: must be 8 bytes long; " +
				"option 5 (MTU) at byte 56, 16 bytes long: must be 8 bytes long; and 7 more"},
	})
}

// A domain of the greatest length is none too long.
func TestLongestDomain(t *testing.T) {
	labels := strings.Repeat("\x3f"+strings.Repeat("a", 63), 3) + "\x3d" + strings.Repeat("b", 61) + "\x00"
	event, ok := decodeFrame(ether(ip6(58, ns(dnssl(labels)))))
	if !ok || event.ND.Malformed != "" || len(labels) != 255 {
		t.Fatalf("malformed: %v", asJSON(t, event.ND))
	}
	want := strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("b", 61)
	same(t, "domain", []string{want}, event.ND.Opt.DNSSL[0].Domain)
}

// A capture may hold less of a frame than was on the wire.
func TestSnapLength(t *testing.T) {
	frame := ether(ip6(58, ns(slla(), prefixInfo())))
	tests := map[string]struct {
		captured []byte
		length   int
		// truncated is true when the capture alone has cut the message short.
		truncated bool
		want      string
	}{
		"whole":                   {frame, len(frame), false, ""},
		"length unknown":          {frame, 0, false, ""},
		"padding not captured":    {frame, len(frame) + 4, false, ""},
		"cut by the capture":      {frame[:len(frame)-1], len(frame), true, "truncated: IPv6 payload is 64 bytes long, 63 of them were captured"},
		"cut on the wire":         {frame[:len(frame)-1], len(frame) - 1, false, "truncated: IPv6 payload is 64 bytes long, the frame has room for 63"},
		"cut on both":             {frame[:len(frame)-9], len(frame) - 5, false, "truncated: IPv6 payload is 64 bytes long, the frame has room for 59"},
		"a jumbogram's end":       {ether(ip6Length(0, 0, ext(58, 0), ns(slla()))), 94 + 9, true, "IPv6 payload length is 0 before a hop-by-hop options header, as in a jumbogram; truncated: IPv6 payload is 49 bytes long, 40 of them were captured"},
		"a chain cut by the snap": {ether(ip6(0, ext(58, 0), ns()))[:60], 86, true, "truncated: IPv6 payload is 32 bytes long, 6 of them were captured; IPv6 header chain is cut short: header 0 (hop-by-hop options) is not whole"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			event := decodeWith(t, new(decode.Decoder), test.captured, test.length)
			same(t, "malformed", test.want, event.ND.Malformed)
			if event.ND.Truncated != test.truncated {
				t.Errorf("truncated is %v", event.ND.Truncated)
			}
		})
	}
}
