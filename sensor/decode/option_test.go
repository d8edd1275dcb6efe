package decode_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

// optionTest is an option in an RA and the members of its event.
type optionTest struct {
	name   string
	option []byte
	// want are the options of the event.
	want string
	// malformed is the fault after the option's type, name, position and size.
	malformed string
	// fault are the faults other than badoption and notallowed.
	fault string
}

// padded is an option of any content, with the padding that it needs.
func padded(typ uint8, parts ...[]byte) []byte {
	body := cat(parts...)
	return option(typ, body, make([]byte, -(len(body)+2)&7))
}

// name is a domain name as sent.
func name(labels ...string) []byte {
	var b []byte
	for _, label := range labels {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

func counted(b []byte) []byte { return cat(be16(uint16(len(b))), b) }

// encrypted is an Encrypted DNS option of priority 1 and a lifetime of 1800 s.
func encrypted(domain, addresses, parameters []byte) []byte {
	return padded(144, be16(1), be32(1800), counted(domain), counted(addresses), counted(parameters))
}

func parameter(key uint16, value string) []byte { return cat(be16(key), counted([]byte(value))) }

// pvd is a PvD option with options in it.
func pvd(flags, delay byte, sequence uint16, id []byte, rest ...[]byte) []byte {
	return padded(21, []byte{flags, delay}, be16(sequence), id, make([]byte, -(6+len(id))&7), cat(rest...))
}

// goodPvD has every option that a PvD option may contain.
func goodPvD() []byte {
	return pvd(0xe0, 5, 7, name("pvd", "example", "org"), raOf(0xc8, 1800, 30000), prefixInfo(), mtu(1400), routeOf(48, 8, "2001:db8:1::"),
		server("2001:db8::53"), dnssl("\x01a\x00"), padded(37, []byte("https://a.example")), option(38, be16(1800), addr("64:ff9b::")[:12]),
		encrypted(name("dns", "example"), nil, nil), some(200))
}

// goodOptions has an option of each type that is decoded.
func goodOptions() []optionTest { return slices.Concat(plainOptions(), nestedOptions()) }

// plainOptions are those without other options in them.
func plainOptions() []optionTest {
	key := []byte{0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00}
	return []optionTest{
		{"source link-layer address", slla(), `"sourcelinklayer":[{"address":"02:00:00:00:00:01"}]`, "", ""},
		{"target link-layer address", tlla(), `"targetlinklayer":[{"address":"02:00:00:00:00:01"}]`, "", ""},
		{"prefix information", prefixOf(64, 0xd0, 86400, 14400, "2001:db8:0:1::"),
			`"prefixinfo":[{"prefix":"2001:db8:0:1::","prefixlength":64,"flag":{"onlink":true,"autoconf":true,"pdpreferred":true},"validlifetime":86400,"preferredlifetime":14400}]`, "", ""},
		{"redirected header", option(4, make([]byte, 6), packet(host, "2001:db8::8", 58, icmp(128, 0, be16(1), be16(2)))),
			`"redirectedheader":[{"source":"2001:db8::7","destination":"2001:db8::8","nextheader":58,"echo":{"identifier":1,"sequence":2}}]`, "", ""},
		{"MTU", mtu(1500), `"mtu":[{"mtu":1500}]`, "", ""},
		{"advertisement interval", option(7, make([]byte, 2), be32(600_000)), `"advinterval":[{"interval":600000}]`, "", ""},
		{"home agent information", option(8, make([]byte, 2), be16(10), be16(1800)), `"homeagent":[{"preference":10,"lifetime":1800}]`, "", ""},
		{"CGA", option(11, []byte{4, 0}, bytes.Repeat([]byte{0xa1}, 16), addr("2001:db8::")[:8], []byte{2}, key, make([]byte, 4)),
			`"cga":[{"parameters":"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a120010db80000000002300d06092a864886f70d0101010500"}]`, "", ""},
		{"RSA signature", option(12, make([]byte, 2), bytes.Repeat([]byte{0x5a}, 16), []byte{1, 2, 3, 0}),
			`"rsa":[{"keyhash":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a","signature":"01020300"}]`, "", ""},
		{"timestamp", option(13, make([]byte, 6), be16(0), be32(1764100000), be16(0x4000)), `"timestamp":[{"time":"1764100000.250000"}]`, "", ""},
		{"nonce", option(14, []byte{1, 0x23, 0x45, 0x67, 0x89, 0xab}), `"nonce":[{"value":"0123456789ab"}]`, "", ""},
		{"trust anchor, domain name", option(15, []byte{2, 0}, name("ca", "example")),
			`"trustanchor":[{"nametype":2,"name":"ca.example"}]`, "", ""},
		{"trust anchor, X.501", option(15, []byte{1, 3, 0x30, 1, 0xff}, make([]byte, 9)),
			`"trustanchor":[{"nametype":1,"name":"3001ff000000000000"}]`, "", ""},
		{"certificate", option(16, []byte{1, 0, 0x30, 0x82, 0, 0}), `"certificate":[{"certtype":1,"content":"30820000"}]`, "", ""},
		{"IP address/prefix", option(17, []byte{4, 64}, make([]byte, 4), addr("2001:db8::")),
			`"addressprefix":[{"code":4,"prefixlength":64,"address":"2001:db8::"}]`, "", ""},
		{"neighbor advertisement acknowledgment", option(20, []byte{0, 1}, make([]byte, 4)), `"naack":[{"code":0,"status":1}]`, "", ""},
		{"neighbor advertisement acknowledgment with an address", option(20, []byte{0, 2}, make([]byte, 4), addr(host)),
			`"naack":[{"code":0,"status":2,"address":"2001:db8::7"}]`, "", ""},
		{"two PvDs", cat(pvd(0, 0, 1, name("a"), mtu(1400)), pvd(0, 0, 1, name("b"), mtu(1300))),
			`"pvd":[{"id":"a","flag":{},"delay":0,"sequence":1,"opt":{"mtu":[{"mtu":1400}]}},{"id":"b","flag":{},"delay":0,"sequence":1,"opt":{"mtu":[{"mtu":1300}]}}]`, "", ""},
		{"route information", routeOf(48, 8, "2001:db8:1::"), `"routeinfo":[{"prefix":"2001:db8:1::","prefixlength":48,"preference":"high","lifetime":1800}]`, "", ""},
		{"recursive DNS server", rdnss(), `"rdnss":[{"lifetime":900,"address":["2001:db8::53","2001:db8::54"]}]`, "", ""},
		{"RA flags extension", option(26, []byte{0x80, 0, 0, 0, 0, 1}), `"flagsextension":[{"bits":"800000000001"}]`, "", ""},
		{"RA flags extension, longer", option(26, bytes.Repeat([]byte{0xf0}, 14)), `"flagsextension":[{"bits":"f0f0f0f0f0f0f0f0f0f0f0f0f0f0"}]`, "", ""},
		{"DNS search list", dnssl("\x07example\x03org\x00"), `"dnssl":[{"lifetime":900,"domain":["example.org"]}]`, "", ""},
		{"address registration", option(33, []byte{2, 0, 0, 0}, be16(60), []byte{2, 0x12, 0x4b, 0, 1, 2, 3, 4}),
			`"registration":[{"status":2,"opaque":0,"p":0,"i":0,"flag":{},"tid":0,"lifetime":60,"rovr":"02124b0001020304"}]`, "", ""},
		{"extended address registration, R and T", option(33, []byte{0, 9, 0x03, 200}, be16(0xffff), bytes.Repeat([]byte{0xab}, 16)),
			`"registration":[{"status":0,"opaque":9,"p":0,"i":0,"flag":{"router":true,"transaction":true},"tid":200,"lifetime":65535,"rovr":"abababababababababababababababab"}]`, "", ""},
		{"extended address registration, P and I", option(33, []byte{0, 0, 0xac, 0}, be16(1), bytes.Repeat([]byte{1}, 32)),
			`"registration":[{"status":0,"opaque":0,"p":2,"i":3,"flag":{},"tid":0,"lifetime":1,"rovr":"` + strings.Repeat("01", 32) + `"}]`, "", ""},
		{"extended address registration, C", option(33, []byte{0, 0, 0x50, 0}, be16(1), bytes.Repeat([]byte{1}, 8)),
			`"registration":[{"status":0,"opaque":0,"p":1,"i":0,"flag":{"cryptoid":true},"tid":0,"lifetime":1,"rovr":"0101010101010101"}]`, "", ""},
		{"6LoWPAN context of 16 bytes", option(34, []byte{64, 0x1f}, make([]byte, 2), be16(1000), addr("2001:db8:0:1::")[:8]),
			`"context":[{"length":64,"compression":true,"cid":15,"lifetime":1000,"prefix":"2001:db8:0:1::"}]`, "", ""},
		{"6LoWPAN context of 24 bytes", option(34, []byte{128, 0xe1}, make([]byte, 2), be16(0), addr("2001:db8::1")),
			`"context":[{"length":128,"cid":1,"lifetime":0,"prefix":"2001:db8::1"}]`, "", ""},
		{"authoritative border router", option(35, be16(10), be16(2), be16(60), addr("2001:db8::1")),
			`"borderrouter":[{"version":131082,"lifetime":60,"address":"2001:db8::1"}]`, "", ""},
		{"captive portal", padded(37, []byte("https://portal.example.org/api?a=b#c%20d")),
			`"captiveportal":[{"uri":"https://portal.example.org/api?a=b#c%20d"}]`, "", ""},
		{"captive portal without padding", option(37, []byte("urn:ab")), `"captiveportal":[{"uri":"urn:ab"}]`, "", ""},
		{"PREF64", option(38, be16(1800), addr("64:ff9b::")[:12]), `"pref64":[{"prefix":"64:ff9b::","prefixlength":96,"lifetime":1800}]`, "", ""},
		{"crypto-ID parameters", padded(39, be16(0xf803), []byte{1, 7, 5, 0}, []byte{4, 1, 2}),
			`"cryptoid":[{"cryptotype":1,"modifier":7,"earolength":5,"publickey":"040102"}]`, "", ""},
		{"NDP signature", padded(40, be16(0xf805), make([]byte, 4), []byte{0x30, 1, 2, 3, 4}), `"ndpsignature":[{"signature":"3001020304"}]`, "", ""},
		{"resource directory address", option(41, make([]byte, 2), be32(3600), addr("2001:db8::5683")),
			`"resourcedirectory":[{"lifetime":3600,"address":"2001:db8::5683"}]`, "", ""},
		{"encrypted DNS", encrypted(name("dns", "example", "org"), cat(addr("2001:db8::53"), addr("2001:db8::54")),
			cat(parameter(1, "\x02h2\x02h3"), parameter(3, "\x03\x55"), parameter(7, "/dns-query{?dns}"))),
			`"encrypteddns":[{"priority":1,"lifetime":1800,"domain":"dns.example.org","address":["2001:db8::53","2001:db8::54"],"parameter":["alpn=h2,h3","port=853","dohpath=/dns-query{?dns}"]}]`, "", ""},
		{"encrypted DNS, only a domain", padded(144, be16(0xffff), be32(0xffffffff), counted(name("dns", "example"))),
			`"encrypteddns":[{"priority":65535,"lifetime":4294967295,"domain":"dns.example"}]`, "", ""},
		{"encrypted DNS, every parameter", encrypted(name("a"), nil, cat(parameter(0, "\x00\x01\x00\x03\x01\x00"), parameter(1, "\x05a,b\\\n\x02h2"), parameter(2, ""),
			parameter(3, "\x00\x00"), parameter(4, "\xc0\x00\x02\x01\xc0\x00\x02\x02"), parameter(5, "\xfe\x0d"), parameter(6, string(cat(addr("2001:db8::1"), addr("::")))),
			parameter(7, "/ \xff"), parameter(8, ""), parameter(9, ""), parameter(65535, "\xab\x00"))),
			`"encrypteddns":[{"priority":1,"lifetime":1800,"domain":"a","parameter":["mandatory=alpn,port,key256","alpn=a\\\\,b\\\\\\\\\\010,h2","no-default-alpn",` +
				`"port=0","ipv4hint=192.0.2.1,192.0.2.2","ech=/g0=","ipv6hint=2001:db8::1,::","dohpath=/\\032\\255","ohttp","key9","key65535=ab00"]}]`, "", ""},
		{"an option without fields", option(36, []byte{0, 1, 0, 0, 0, 0}), `"unknown":[{"type":36,"length":8,"content":"000100000000"}]`, "", ""},
		{"an unknown option", option(200, []byte{1, 2, 3, 4, 5, 0xff}), `"unknown":[{"type":200,"length":8,"content":"0102030405ff"}]`, "", ""},
	}
}

// nestedOptions are PvD options.
func nestedOptions() []optionTest {
	return []optionTest{
		{"PvD", pvd(0, 0, 0, name("x")), `"pvd":[{"id":"x","flag":{},"delay":0,"sequence":0}]`, "", ""},
		{"PvD, H", pvd(0x80, 0xf0, 0xffff, name("pvd", "example", "org")),
			`"pvd":[{"id":"pvd.example.org","flag":{"http":true},"delay":0,"sequence":65535}]`, "", ""},
		{"PvD, L", pvd(0x5f, 0xff, 1, name("pvd", "example", "org")),
			`"pvd":[{"id":"pvd.example.org","flag":{"legacy":true},"delay":15,"sequence":1}]`, "", ""},
		{"PvD, R", pvd(0x20, 0, 1, name("a", "b"), raOf(0x48, 900, 30000)),
			`"pvd":[{"id":"a.b","flag":{"ra":true},"delay":0,"sequence":1,"ra":{"curhoplimit":64,"flag":{"other":true},"preference":"high","lifetime":900,"reachabletimer":30000,"retranstimer":0}}]`, "", ""},
		{"PvD with all that it may have", goodPvD(),
			`"pvd":[{"id":"pvd.example.org","flag":{"http":true,"legacy":true,"ra":true},"delay":5,"sequence":7,` +
				`"ra":{"curhoplimit":64,"flag":{"managed":true,"other":true},"preference":"high","lifetime":1800,"reachabletimer":30000,"retranstimer":0},"opt":{` +
				`"prefixinfo":[{"prefix":"2001:db8:0:1::","prefixlength":64,"flag":{"onlink":true,"autoconf":true,"router":true},"validlifetime":86400,"preferredlifetime":14400}],` +
				`"mtu":[{"mtu":1400}],"routeinfo":[{"prefix":"2001:db8:1::","prefixlength":48,"preference":"high","lifetime":1800}],` +
				`"rdnss":[{"lifetime":900,"address":["2001:db8::53"]}],"dnssl":[{"lifetime":900,"domain":["a"]}],` +
				`"pref64":[{"prefix":"64:ff9b::","prefixlength":96,"lifetime":1800}],"captiveportal":[{"uri":"https://a.example"}],` +
				`"encrypteddns":[{"priority":1,"lifetime":1800,"domain":"dns.example"}],"unknown":[{"type":200,"length":8,"content":"000001020304"}]}}]`, "", ""},
		{"PvD with an option that others do not have", pvd(0, 0, 1, name("a", "b"), slla(), option(14, make([]byte, 6))),
			`"pvd":[{"id":"a.b","flag":{},"delay":0,"sequence":1,"opt":{"unknown":[{"type":1,"length":8,"content":"020000000001"},{"type":14,"length":8,"content":"000000000000"}]}}]`, "", ""},
	}
}

// Faults of names and parameters.
const (
	long     = "domain is longer than 255 bytes"
	past     = "domain runs past the end"
	label    = "domain has a label that is compressed or longer than 63 bytes"
	badValue = "service parameter has a value that its key does not have"
)

// badOptions has the faults of each type, and what the event lists of such an option.
func badOptions() []optionTest { return slices.Concat(badContents(), badResolvers()) }

// badContents are bad options other than Encrypted DNS.
func badContents() []optionTest {
	return []optionTest{
		{"advertisement interval too long", option(7, make([]byte, 2), be32(600_000), make([]byte, 8)), `"advinterval":[{"interval":600000}]`, "must be 8 bytes long", ""},
		{"home agent information too long", option(8, make([]byte, 2), be16(10), be16(1800), make([]byte, 8)), `"homeagent":[{"preference":10,"lifetime":1800}]`, "must be 8 bytes long", ""},
		{"CGA too short", option(11, make([]byte, 22)), ``, "must be 32 bytes long or more", ""},
		{"CGA, padding", option(11, []byte{29}, make([]byte, 29)), ``, "padding is longer than the option", ""},
		{"CGA, all padding", option(11, []byte{28}, make([]byte, 29)), `"cga":[{"parameters":""}]`, "", ""},
		{"RSA signature too short", option(12, make([]byte, 14)), ``, "must be 24 bytes long or more", ""},
		{"timestamp too short", some(13), ``, "must be 16 bytes long", ""},
		{"timestamp too long", option(13, make([]byte, 6), make([]byte, 16)), `"timestamp":[{"time":"0.000000"}]`, "must be 16 bytes long", ""},
		{"timestamp at its end", option(13, make([]byte, 6), bytes.Repeat([]byte{0xff}, 8)), `"timestamp":[{"time":"281474976710655.999984"}]`, "", ""},
		{"trust anchor, padding", option(15, []byte{2, 5, 0, 0, 0, 0}), ``, "padding is longer than the option", ""},
		{"trust anchor, bad domain", option(15, []byte{2, 0, 5, 0, 0, 0}), ``, past, ""},
		{"trust anchor of nothing", option(15, []byte{3, 4, 0, 0, 0, 0}), `"trustanchor":[{"nametype":3,"name":""}]`, "", ""},
		{"IP address/prefix too short", option(17, make([]byte, 14)), ``, "must be 24 bytes long", ""},
		{"IP address/prefix of 129 bits", option(17, []byte{1, 129}, make([]byte, 20)), `"addressprefix":[{"code":1,"prefixlength":129,"address":"::"}]`, "prefix length is over 128", ""},
		{"neighbor advertisement acknowledgment of 16 bytes", option(20, []byte{0, 3}, make([]byte, 12)), `"naack":[{"code":0,"status":3}]`, "must be 8 or 24 bytes long", ""},
		{"neighbor advertisement acknowledgment too long", option(20, []byte{0, 2}, make([]byte, 4), addr(host), make([]byte, 8)),
			`"naack":[{"code":0,"status":2,"address":"2001:db8::7"}]`, "must be 8 to 24 bytes long", ""},
		{"RFC 4068's link-layer address", some(19), `"unknown":[{"type":19,"length":8,"content":"000001020304"}]`, "", ""},
		{"NBMA shortcut limit too long", option(6, make([]byte, 14)), `"unknown":[{"type":6,"length":16,"content":"0000000000000000000000000000"}]`, "must be 8 bytes long", ""},
		{"address registration too short", some(33), ``, "must be 16 to 40 bytes long", ""},
		{"address registration too long", option(33, make([]byte, 6), make([]byte, 40)),
			`"registration":[{"status":0,"opaque":0,"p":0,"i":0,"flag":{},"tid":0,"lifetime":0,"rovr":"` + strings.Repeat("00", 32) + `"}]`, "must be 16 to 40 bytes long", ""},
		{"6LoWPAN context of 65 bits in 16 bytes", option(34, []byte{65, 1}, make([]byte, 2), be16(9), addr("2001:db8::")[:8]),
			`"context":[{"length":65,"cid":1,"lifetime":9,"prefix":"2001:db8::"}]`, "too short for its context length", ""},
		{"6LoWPAN context of 129 bits", option(34, []byte{129, 1}, make([]byte, 20)), ``, "context length is over 128", ""},
		{"authoritative border router too short", option(35, make([]byte, 14)), ``, "must be 24 bytes long", ""},
		{"captive portal of padding", option(37, make([]byte, 6)), ``, "holds no URI", ""},
		{"captive portal with a space", padded(37, []byte("https://a b")), `"captiveportal":[{"uri":"https://a\\032b"}]`, "", "uri"},
		{"captive portal with a line feed", padded(37, []byte("https://a\n")), `"captiveportal":[{"uri":"https://a\\010"}]`, "", "uri"},
		{"captive portal with a quote", padded(37, []byte(`"https://a`)), `"captiveportal":[{"uri":"\"https://a"}]`, "", "uri"},
		{"captive portal with a backslash", padded(37, []byte(`https:\\a`)), `"captiveportal":[{"uri":"https:\\\\\\\\a"}]`, "", "uri"},
		{"captive portal with a byte of UTF-8", padded(37, []byte("https://\u00e4")), `"captiveportal":[{"uri":"https://\\195\\164"}]`, "", "uri"},
		{"captive portal with a zero in it", padded(37, []byte("a\x00b")), `"captiveportal":[{"uri":"a\\000b"}]`, "", "uri"},
		{"crypto-ID parameters, key", option(39, be16(9), make([]byte, 4), make([]byte, 8)), ``, "public key runs past the end", ""},
		{"crypto-ID parameters too short", option(39, be16(9), make([]byte, 4)), ``, "must be 16 bytes long or more", ""},
		{"NDP signature, length", option(40, be16(9), make([]byte, 4), make([]byte, 8)), ``, "signature runs past the end", ""},
		{"resource directory address too long", option(41, make([]byte, 6), addr(host), make([]byte, 8)), `"resourcedirectory":[{"lifetime":0,"address":"2001:db8::7"}]`, "must be 24 bytes long", ""},
		{"route, its bits in the next option", cat(option(24, []byte{60, 0}, be32(1800)), option(200, []byte{0x0d, 0xb8, 0, 1, 0x23, 0x4f})),
			`"routeinfo":[{"prefix":"c801:db8:1:2340::","prefixlength":60,"preference":"medium","lifetime":1800}],"unknown":[{"type":200,"length":8,"content":"0db80001234f"}]`, "too short for its prefix length", ""},
		{"route, half of its bits in the next option", cat(option(24, []byte{100, 0}, be32(1800), addr("2001:db8:0:1::")[:8]), option(201, []byte{0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff})),
			`"routeinfo":[{"prefix":"2001:db8:0:1:c901:aabb:c000:0","prefixlength":100,"preference":"medium","lifetime":1800}],"unknown":[{"type":201,"length":8,"content":"aabbccddeeff"}]`, "too short for its prefix length", ""},
		{"route, its bits nowhere", option(24, []byte{48, 0}, be32(1800)), `"routeinfo":[{"prefix":"::","prefixlength":48,"preference":"medium","lifetime":1800}]`, "too short for its prefix length", ""},
		{"search list with shell characters", dnssl("\x0ca;reboot;b.c\x00"), `"dnssl":[{"lifetime":900,"domain":["a;reboot;b\\.c"]}]`, "", "dnsname"},
		{"search list with a line feed", dnssl("\x01a\x00\x03b\nc\x00"), `"dnssl":[{"lifetime":900,"domain":["a","b\\010c"]}]`, "", "dnsname"},
		{"search list of services", dnssl("\x04_tcp\x09A-z0-9_aZ\x00"), `"dnssl":[{"lifetime":900,"domain":["_tcp.A-z0-9_aZ"]}]`, "", ""},
		{"search list with a bad domain of shell characters", dnssl("\x02$(\xc0"), ``, label, "dnsname"},

		{"PvD without an end", option(21, make([]byte, 4), []byte{9, 'a'}), ``, past, ""},
		{"PvD of a bad label", option(21, make([]byte, 4), []byte{0x40, 'a'}), ``, label, ""},
		{"PvD of a long name", padded(21, make([]byte, 4), bytes.Repeat([]byte("\x01a"), 128)), ``, long, ""},
		{"PvD without a name", option(21, make([]byte, 6), mtu(1400)), `"pvd":[{"id":"","flag":{},"delay":0,"sequence":0,"opt":{"mtu":[{"mtu":1400}]}}]`, "holds no name", ""},
		{"PvD of shell characters", pvd(0, 0, 0, name("$(a)")), `"pvd":[{"id":"$(a)","flag":{},"delay":0,"sequence":0}]`, "", "dnsname"},
		{"PvD, R, without a header", pvd(0x20, 0, 1, name("a", "b"), make([]byte, 8)), `"pvd":[{"id":"a.b","flag":{"ra":true},"delay":0,"sequence":1}]`, "RA header runs past the end", ""},
		{"PvD with a DNS server at a group", pvd(0, 0, 1, name("a"), server("ff02::1")), `"pvd":[{"id":"a","flag":{},"delay":0,"sequence":1,"opt":{"rdnss":[{"lifetime":900,"address":["ff02::1"]}]}}]`, "", "dns"},
		{"PvD with a bad URI and a bad domain", pvd(0, 0, 1, name("a"), padded(37, []byte("a b")), dnssl("\x02a;\x00")),
			`"pvd":[{"id":"a","flag":{},"delay":0,"sequence":1,"opt":{"dnssl":[{"lifetime":900,"domain":["a;"]}],"captiveportal":[{"uri":"a\\032b"}]}}]`, "", "dnsname uri"},
	}
}

// badResolvers are bad Encrypted DNS options.
func badResolvers() []optionTest {
	resolver := func(rest string) string {
		return `"encrypteddns":[{"priority":1,"lifetime":1800,"domain":"a"` + rest + `}]`
	}
	domainOf := func(name string) string {
		return `"encrypteddns":[{"priority":1,"lifetime":1800,"domain":"` + name + `"}]`
	}
	parameters := func(b ...[]byte) []byte { return encrypted(name("a"), nil, cat(b...)) }
	return []optionTest{
		{"encrypted DNS too short", some(144), ``, "must be 16 bytes long or more", ""},
		{"encrypted DNS without a domain", padded(144, be16(1), be32(1800), be16(0), counted(addr(host))),
			`"encrypteddns":[{"priority":1,"lifetime":1800,"domain":"","address":["2001:db8::7"]}]`, "holds no domain", ""},
		{"encrypted DNS, domain's length", padded(144, be16(1), be32(1800), be16(9), name("a")), ``, past, ""},
		{"encrypted DNS, domain without its end", padded(144, be16(1), be32(1800), be16(2), name("a", "b")), ``, past, ""},
		{"encrypted DNS, domain shorter", encrypted(cat(name("a"), name("b")), nil, nil), domainOf("a"), "domain is shorter than its length says", ""},
		{"encrypted DNS, shell characters", encrypted(name("`a`"), nil, nil), domainOf("`a`"), "", "dnsname"},
		{"encrypted DNS at loopback", encrypted(name("a"), cat(addr(host), addr("::1")), nil), resolver(`,"address":["2001:db8::7","::1"]`), "", "dns"},
		{"encrypted DNS, 17 bytes of addresses", encrypted(name("a"), cat(addr(host), []byte{1}), parameter(8, "")), resolver(`,"address":["2001:db8::7"],"parameter":["ohttp"]`), "addresses are not 16 bytes long each", ""},
		{"encrypted DNS, addresses' length", option(144, be16(1), be32(1800), counted(name("a")), be16(17), make([]byte, 1)), resolver(``), "addresses run past the end", ""},
		{"encrypted DNS, one address of two", padded(144, be16(1), be32(1800), counted(name("a")), be16(64), addr(host)), resolver(`,"address":["2001:db8::7"]`), "addresses run past the end", ""},
		{"encrypted DNS, parameters' length", padded(144, be16(1), be32(1800), counted(name("a")), be16(0), be16(99), parameter(8, "")), resolver(`,"parameter":["ohttp"]`), "service parameters run past the end", ""},
		{"encrypted DNS, parameter's length", parameters(parameter(3, "\x03\x55"), be16(7), be16(9)), resolver(`,"parameter":["port=853"]`), "service parameters run past the end", ""},
		{"encrypted DNS, half a parameter", parameters(parameter(3, "\x03\x55"), be16(7)), resolver(`,"parameter":["port=853"]`), "service parameters run past the end", ""},
		{"encrypted DNS, order", parameters(parameter(8, ""), parameter(3, "\x03\x55")), resolver(`,"parameter":["ohttp","port=853"]`), "service parameters are not in their order", ""},
		{"encrypted DNS, a key twice", parameters(parameter(3, "\x03\x54"), parameter(3, "\x03\x55")), resolver(`,"parameter":["port=852","port=853"]`), "service parameters are not in their order", ""},
		{"encrypted DNS, mandatory of 3 bytes", parameters(parameter(0, "\x00\x01\x02")), resolver(`,"parameter":["key0=000102"]`), badValue, ""},
		{"encrypted DNS, no protocol", parameters(parameter(1, "")), resolver(`,"parameter":["key1"]`), badValue, ""},
		{"encrypted DNS, empty protocol", parameters(parameter(1, "\x00")), resolver(`,"parameter":["key1=00"]`), badValue, ""},
		{"encrypted DNS, cut protocol", parameters(parameter(1, "\x03\x68\x32")), resolver(`,"parameter":["key1=036832"]`), badValue, ""},
		{"encrypted DNS, no-default-alpn with a value", parameters(parameter(2, "\x01")), resolver(`,"parameter":["key2=01"]`), badValue, ""},
		{"encrypted DNS, port of 3 bytes", parameters(parameter(3, "\x01\x02\x03")), resolver(`,"parameter":["key3=010203"]`), badValue, ""},
		{"encrypted DNS, IPv4 hint of 5 bytes", parameters(parameter(4, "\x01\x02\x03\x04\x05")), resolver(`,"parameter":["key4=0102030405"]`), badValue, ""},
		{"encrypted DNS, IPv6 hint of 4 bytes", parameters(parameter(6, "\x01\x02\x03\x04")), resolver(`,"parameter":["key6=01020304"]`), badValue, ""},
	}
}

func TestOptions(t *testing.T) {
	var d decode.Decoder // all options, so that nothing is left from one before
	for _, test := range slices.Concat(goodOptions(), badOptions()) {
		t.Run(test.name, func(t *testing.T) {
			event := decodeWith(t, &d, raWithOption(test.option), 0)
			got := ""
			if event.ND.Opt != nil {
				got = strings.TrimSuffix(strings.TrimPrefix(asJSON(t, event.ND.Opt), "{"), "}")
			}
			same(t, "options", test.want, got)
			malformed := event.ND.Malformed
			if _, rest, ok := strings.Cut(malformed, "bytes long: "); ok {
				malformed = rest
			}
			same(t, "malformed", test.malformed, malformed)
			var faults []string
			bad := false
			for _, fault := range faultNames(event.Fault) {
				switch fault {
				case "badoption":
					bad = true
				case "notallowed", "redirectedheader":
				default:
					faults = append(faults, fault)
				}
			}
			if diff := cmp.Diff(test.fault, strings.Join(faults, " ")); diff != "" || bad != (test.malformed != "") {
				t.Errorf("bad option %v, faults (-want +got):\n%s", bad, diff)
			}
		})
	}
}

func raWithOption(option []byte) []byte { return send(router, allNodes, raOf(0, 1800, 0, option)) }

// Each type that has a list is decoded into it, with a size that the table of options allows.
func TestEveryOptionIsDecoded(t *testing.T) {
	listed := map[string]bool{}
	for _, test := range goodOptions() {
		name, _, _ := strings.Cut(strings.TrimPrefix(test.want, `"`), `"`)
		row := schemas.OptionTypeOf(test.option[0])
		if member := memberOf(row); name != member {
			t.Errorf("%s: is listed in %s, and the table says %s", test.name, name, member)
		}
		listed[name] = true
	}
	for _, row := range schemas.OptionTypes() {
		if !listed[memberOf(&row)] {
			t.Errorf("no test has option %d (%s)", row.Type, row.Name)
		}
	}
}

func memberOf(row *schemas.OptionType) string {
	if row == nil || row.Member == "" {
		return "unknown"
	}
	return row.Member
}

// A fault of an option in a PvD option is described with its position.
func TestFaultsInPvD(t *testing.T) {
	const bigMTU = "option 5 (MTU) at byte 32, 16 bytes long: must be 8 bytes long"
	tests := map[string]struct {
		inner []byte
		want  string // the options in the PvD option
		text  string
	}{
		"a size":      {cat(option(5, make([]byte, 2), be32(1400), make([]byte, 8)), mtu(1500)), `{"mtu":[{"mtu":1400},{"mtu":1500}]}`, bigMTU},
		"length 0":    {cat(mtu(1400), []byte{3, 0, 0, 0, 0, 0, 0, 0}, mtu(1500)), `{"mtu":[{"mtu":1400}]}`, "option 3 (prefix information) at byte 40 has length 0"},
		"past it":     {cat(mtu(1400), []byte{3, 4, 0, 0, 0, 0, 0, 0}), `{"mtu":[{"mtu":1400}]}`, "option 3 (prefix information) at byte 40 is 32 bytes long, the PvD option ends after 8"},
		"another PvD": {cat(pvd(0, 0, 1, name("b")), mtu(1400)), `{"mtu":[{"mtu":1400}],"unknown":[{"type":21,"length":16,"content":"0000000101620000000000000000"}]}`, "option 21 (PvD ID) at byte 32, 16 bytes long: must not stand in another one"},
	}
	for name1, test := range tests {
		t.Run(name1, func(t *testing.T) {
			event := eventOf(t, raWithOption(cat(pvd(0, 0, 1, name("a"), test.inner), slla())))
			same(t, "options", test.want, asJSON(t, event.ND.Opt.PvD[0].Opt))
			same(t, "malformed", "in the PvD option at byte 16, "+test.text, event.ND.Malformed)
			same(t, "faults", []string{"badoption"}, faultNames(event.Fault))
			if len(event.ND.Opt.SourceLinkLayer) != 1 {
				t.Error("the option behind it is not listed")
			}
		})
	}
}

// A frame that is full of one option makes an event that is not much larger.
func TestEventsAreBounded(t *testing.T) {
	var d decode.Decoder
	for _, test := range slices.Concat(goodOptions(), badOptions()) {
		options := bytes.Repeat(test.option, 60_000/len(test.option))
		frame := raWithOption(options)
		event := decodeWith(t, &d, frame, len(frame))
		event.Type, event.Direction = schemas.TypeEvent, schemas.In
		if size := len(event.AppendJSON(nil)); size > 10_000+100*len(frame) {
			t.Errorf("%s: event of a frame of %d bytes is %d bytes long", test.name, len(frame), size)
		}
	}
}
