package schemas

import (
	"net/netip"
	"strings"
	"testing"
)

func TestCheckTarget(t *testing.T) {
	for addr, want := range map[string]string{
		"2001:db8::42":      "",
		"fd00::1":           "",
		"fec0::1":           "",
		"::2":               "",
		"":                  "missing",
		"192.0.2.1":         "192.0.2.1 is not an IPv6 address",
		"::ffff:192.0.2.1":  "::ffff:192.0.2.1 is not an IPv6 address",
		"fe80::1":           "fe80::1 is a link-local address",
		"febf::1%eth0":      "febf::1%eth0 is a link-local address",
		"2001:db8::42%eth0": "2001:db8::42%eth0 has a zone",
		"::":                ":: is the unspecified address",
		"::1":               "::1 is the loopback address",
		"ff02::1":           "ff02::1 is a multicast address",
	} {
		var a netip.Addr
		if addr != "" {
			a = netip.MustParseAddr(addr)
		}
		err := CheckTarget(a)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", addr, err, want)
		}
	}
}
