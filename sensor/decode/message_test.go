package decode_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

const (
	isNS = `"ns":{"targetaddress":"2001:db8::42"}`
	isRA = `"ra":{"curhoplimit":64,"flag":{},"preference":"medium","lifetime":1800,"reachabletimer":30000,"retranstimer":1000}`
)

// Options that are right.

func prefixInfo() []byte {
	return option(3, []byte{64, 0xe0}, be32(86400), be32(14400), make([]byte, 4), addr("2001:db8:0:1::"))
}

func rdnss() []byte {
	return option(25, make([]byte, 2), be32(900), addr("2001:db8::53"), addr("2001:db8::54"))
}

// ndTest is a message and the member nd of its event.
type ndTest struct {
	message []byte
	want    string
}

func checkND(t *testing.T, tests map[string]ndTest) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			event := eventOf(t, ether(ip6(58, test.message)))
			same(t, "nd", test.want, asJSON(t, event.ND))
			if got, want := event.ICMP6.Type, test.message[0]; got != want {
				t.Errorf("ICMPv6 type %d, want %d", got, want)
			}
		})
	}
}

func TestMessages(t *testing.T) {
	checkND(t, map[string]ndTest{
		"RS":           {rs(), `{"rs":{}}`},
		"RA":           {ra(), `{` + isRA + `}`},
		"NS":           {ns(), `{` + isNS + `}`},
		"NA":           {na(0), `{"na":{"flag":{},"targetaddress":"2001:db8::42"}}`},
		"NA, R":        {na(0x80), `{"na":{"flag":{"router":true},"targetaddress":"2001:db8::42"}}`},
		"NA, S":        {na(0x40), `{"na":{"flag":{"solicited":true},"targetaddress":"2001:db8::42"}}`},
		"NA, O":        {na(0x20), `{"na":{"flag":{"override":true},"targetaddress":"2001:db8::42"}}`},
		"NA, reserved": {na(0x1f), `{"na":{"flag":{},"targetaddress":"2001:db8::42"}}`},
		"redirect":     {rd(), `{"rd":{"targetaddress":"fe80::1","destinationaddress":"2001:db8::42"}}`},

		"RA, M":            {raFlags(0x80), raWith(`{"managed":true}`, "medium")},
		"RA, O":            {raFlags(0x40), raWith(`{"other":true}`, "medium")},
		"RA, H":            {raFlags(0x20), raWith(`{"homeagent":true}`, "medium")},
		"RA, P":            {raFlags(0x04), raWith(`{"proxy":true}`, "medium")},
		"RA, low":          {raFlags(0x18), raWith(`{}`, "low")},
		"RA, high":         {raFlags(0x08), raWith(`{}`, "high")},
		"RA, reserved":     {raFlags(0x10), raWith(`{}`, "reserved")},
		"RA, SNAC":         {raFlags(0x02), raWith(`{"snac":true}`, "medium")},
		"RA, reserved bit": {raFlags(0x01), raWith(`{"reserved":true}`, "medium")},
	})
}

func TestOptionMembers(t *testing.T) {
	checkND(t, map[string]ndTest{
		"source link-layer address": {ns(slla()), nsWith(`"sourcelinklayer":[{"address":"02:00:00:00:00:01"}]`)},
		"target link-layer address": {ns(option(2, macDestination)), nsWith(`"targetlinklayer":[{"address":"33:33:ff:00:00:42"}]`)},
		"several of a kind, and between them": {ns(slla(), option(5, make([]byte, 2), be32(1500)), option(1, macDestination)),
			nsWith(`"sourcelinklayer":[{"address":"02:00:00:00:00:01"},{"address":"33:33:ff:00:00:42"}],"mtu":[{"mtu":1500}]`)},
		"prefix information": {ns(prefixInfo()), nsWith(`"prefixinfo":[{"prefix":"2001:db8:0:1::","prefixlength":64,` +
			`"flag":{"onlink":true,"autoconf":true,"router":true},"validlifetime":86400,"preferredlifetime":14400}]`)},
		"prefix information as it was sent": {
			ns(option(3, []byte{0, 0x1f}, be32(0xffffffff), be32(0), make([]byte, 4), addr("2001:db8::1"))),
			nsWith(`"prefixinfo":[{"prefix":"2001:db8::1","prefixlength":0,"flag":{"pdpreferred":true,"reserved":15},"validlifetime":4294967295,"preferredlifetime":0}]`)},
		"redirected header": {ns(option(4, make([]byte, 6), ip6(6, make([]byte, 16)))),
			nsWith(`"redirectedheader":[{"source":"fe80::1","destination":"ff02::1:ff00:42","nextheader":6}]`)},
		"redirected header alone": {ns(option(4, make([]byte, 6), ip6(59))),
			nsWith(`"redirectedheader":[{"source":"fe80::1","destination":"ff02::1:ff00:42","nextheader":59}]`)},
		"redirected echo request": {ns(option(4, make([]byte, 6), ip6(58, icmp(128, 0, be16(0xface), be16(7))))),
			nsWith(`"redirectedheader":[{"source":"fe80::1","destination":"ff02::1:ff00:42","nextheader":58,"echo":{"identifier":64206,"sequence":7}}]`)},
		"redirected echo replies": {ns(option(4, make([]byte, 6), ip6(58, icmp(129, 0, be16(1), be16(0)))), option(4, make([]byte, 6), ip6(58, icmp(129, 0, be16(2), be16(3), make([]byte, 8))))),
			nsWith(`"redirectedheader":[{"source":"fe80::1","destination":"ff02::1:ff00:42","nextheader":58,"echo":{"identifier":1,"sequence":0}},` +
				`{"source":"fe80::1","destination":"ff02::1:ff00:42","nextheader":58,"echo":{"identifier":2,"sequence":3}}]`)},
		"redirected message that is no echo": {ns(option(4, make([]byte, 6), ip6(58, icmp(130, 0, be16(1), be16(0))))),
			nsWith(`"redirectedheader":[{"source":"fe80::1","destination":"ff02::1:ff00:42","nextheader":58}]`)},
		"redirected echo without its identifier": {ns(option(4, make([]byte, 6), ip6(58))),
			nsWith(`"redirectedheader":[{"source":"fe80::1","destination":"ff02::1:ff00:42","nextheader":58}]`)},
		"redirected packet that looks like an echo": {ns(option(4, make([]byte, 6), ip6(17, icmp(128, 0, be16(1), be16(0))))),
			nsWith(`"redirectedheader":[{"source":"fe80::1","destination":"ff02::1:ff00:42","nextheader":17}]`)},
		"redirected header of nothing":  {ns(option(4, make([]byte, 6))), nsWith(`"unknown":[{"type":4,"length":8,"content":"000000000000"}]`)},
		"redirected header of a bit":    {ns(option(4, make([]byte, 6), ip6(6)[:32])), nsWith(`"unknown":[{"type":4,"length":40,"content":"` + hex.EncodeToString(cat(make([]byte, 6), ip6(6)[:32])) + `"}]`)},
		"redirected header of not IPv6": {ns(option(4, make([]byte, 46))), nsWith(`"unknown":[{"type":4,"length":48,"content":"` + strings.Repeat("00", 46) + `"}]`)},
		"MTU":                           {ns(option(5, []byte{0xff, 0xff}, be32(0xfffffffe))), nsWith(`"mtu":[{"mtu":4294967294}]`)},
		"nonce":                         {ns(option(14, []byte{1, 0x23, 0x45, 0x67, 0x89, 0xab})), nsWith(`"nonce":[{"value":"0123456789ab"}]`)},
		"longer nonce":                  {ns(option(14, bytes.Repeat([]byte{0xff}, 14))), nsWith(`"nonce":[{"value":"ffffffffffffffffffffffffffff"}]`)},
		"route information without a prefix": {ns(option(24, []byte{0, 0x08}, be32(1800))),
			nsWith(`"routeinfo":[{"prefix":"::","prefixlength":0,"preference":"high","lifetime":1800}]`)},
		"route information of 16 bytes": {ns(option(24, []byte{64, 0x18}, be32(1800), addr("2001:db8::")[:8])),
			nsWith(`"routeinfo":[{"prefix":"2001:db8::","prefixlength":64,"preference":"low","lifetime":1800}]`)},
		"route information with reserved bits": {ns(option(24, []byte{0, 0xff}, be32(1800))),
			nsWith(`"routeinfo":[{"prefix":"::","prefixlength":0,"preference":"low","reserved":231,"lifetime":1800}]`)},
		"route information of 24 bytes": {ns(option(24, []byte{128, 0x10}, be32(0xffffffff), addr("2001:db8::1"))),
			nsWith(`"routeinfo":[{"prefix":"2001:db8::1","prefixlength":128,"preference":"reserved","lifetime":4294967295}]`)},
		"route information of 24 bytes for 0 bits": {ns(option(24, []byte{0, 0}, be32(1), addr("::"))),
			nsWith(`"routeinfo":[{"prefix":"::","prefixlength":0,"preference":"medium","lifetime":1}]`)},
		"DNS servers": {ns(rdnss()), nsWith(`"rdnss":[{"lifetime":900,"address":["2001:db8::53","2001:db8::54"]}]`)},
		"DNS servers twice": {ns(rdnss(), option(25, make([]byte, 2), be32(0), addr("::1"))),
			nsWith(`"rdnss":[{"lifetime":900,"address":["2001:db8::53","2001:db8::54"]},{"lifetime":0,"address":["::1"]}]`)},
		"DNS search list": {ns(dnssl("\x07example\x03org\x00\x01x\x00")),
			nsWith(`"dnssl":[{"lifetime":900,"domain":["example.org","x"]}]`)},
		"DNS search list twice": {ns(dnssl("\x01a\x00\x01b\x00"), dnssl("\x01c\x00")),
			nsWith(`"dnssl":[{"lifetime":900,"domain":["a","b"]},{"lifetime":900,"domain":["c"]}]`)},
		"DNS search list, behind padding": {ns(dnssl("\x01a\x00\x00\x00\x01b\x00")),
			nsWith(`"dnssl":[{"lifetime":900,"domain":["a","b"]}]`)},
		"DNS search list, any bytes": {ns(dnssl("\x0a\x00\n \x7f\xff.\\<\"\x1b\x01.\x00")),
			nsWith(`"dnssl":[{"lifetime":900,"domain":["\\000\\010\\032\\127\\255\\.\\\\<\"\\027.\\."]}]`)},
		"PREF64": {ns(option(38, be16(1800), addr("64:ff9b::")[:12])),
			nsWith(`"pref64":[{"prefix":"64:ff9b::","prefixlength":96,"lifetime":1800}]`)},
		"PREF64 /64":               {pref64(1), nsWith(`"pref64":[{"prefix":"2001:db8:1:2:3:4::","prefixlength":64,"lifetime":65528}]`)},
		"PREF64 /56":               {pref64(2), nsWith(`"pref64":[{"prefix":"2001:db8:1:2:3:4::","prefixlength":56,"lifetime":65528}]`)},
		"PREF64 /48":               {pref64(3), nsWith(`"pref64":[{"prefix":"2001:db8:1:2:3:4::","prefixlength":48,"lifetime":65528}]`)},
		"PREF64 /40":               {pref64(4), nsWith(`"pref64":[{"prefix":"2001:db8:1:2:3:4::","prefixlength":40,"lifetime":65528}]`)},
		"PREF64 /32":               {pref64(5), nsWith(`"pref64":[{"prefix":"2001:db8:1:2:3:4::","prefixlength":32,"lifetime":65528}]`)},
		"options that are unknown": {ns(option(0, make([]byte, 6)), option(255, make([]byte, 2038))), nsWith(`"unknown":[{"type":0,"length":8,"content":"000000000000"},{"type":255,"length":2040,"content":"` + strings.Repeat("00", 2038) + `"}]`)},
	})
}

func raWith(flags, preference string) string {
	return `{"ra":{"curhoplimit":64,"flag":` + flags + `,"preference":"` + preference +
		`","lifetime":1800,"reachabletimer":30000,"retranstimer":1000}}`
}

func nsWith(options string) string { return `{` + isNS + `,"opt":{` + options + `}}` }

// dnssl is a DNS Search List option, padded.
func dnssl(names string) []byte {
	return option(31, make([]byte, 2), be32(900), []byte(names), make([]byte, -len(names)&7))
}

// pref64 is an NS with a PREF64 option of the longest lifetime.
func pref64(code uint16) []byte {
	return ns(option(38, be16(0xfff8|code), addr("2001:db8:1:2:3:4::")[:12]))
}

// Every octet of flags is read from its position in the message or option.
func TestFlags(t *testing.T) {
	all := schemas.AllFlags()
	var d decode.Decoder
	for octet := range 256 {
		octet := uint8(octet)
		for name, test := range map[string]struct {
			message []byte
			want    any
			got     func(*schemas.ND) any
		}{
			"RA":                 {raFlags(octet), all.RA.Decode(octet), func(nd *schemas.ND) any { return nd.RA.Flag }},
			"preference":         {raFlags(octet), schemas.DecodePreference(octet), func(nd *schemas.ND) any { return nd.RA.Preference }},
			"NA":                 {na(octet), all.NA.Decode(octet), func(nd *schemas.ND) any { return nd.NA.Flag }},
			"prefix information": {ra(prefixOf(64, octet, 0, 0, "2001:db8::")), all.PrefixInfo.Decode(octet), func(nd *schemas.ND) any { return nd.Opt.PrefixInfo[0].Flag }},
			"PvD":                {ra(pvd(octet, 0, 0, name("x"), raOf(0, 0, 0))), all.PvD.Decode(octet), func(nd *schemas.ND) any { return nd.Opt.PvD[0].Flag }},
			"RA in a PvD":        {ra(pvd(0x20, 0, 0, name("x"), raOf(octet, 0, 0))), all.RA.Decode(octet), func(nd *schemas.ND) any { return nd.Opt.PvD[0].RA.Flag }},
			"registration": {ns(option(33, []byte{0, 0, octet, 0}, be16(1), make([]byte, 8))), all.Registration.Decode(octet),
				func(nd *schemas.ND) any { return nd.Opt.Registration[0].Flag }},
		} {
			event := decodeWith(t, &d, ether(ip6(58, test.message)), 1)
			if got := test.got(event.ND); got != test.want {
				t.Errorf("%s: flags %#02x are decoded as %+v", name, octet, got)
			}
		}
	}
}
