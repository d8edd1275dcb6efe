package iface

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParsePatterns(t *testing.T) {
	for text, want := range map[string]string{ // "" for no error
		"eth0": "", " eth0 ": "", "eth[0-3]": "", "*": "", "wlan-ñ": "", strings.Repeat("e", MaxNameLength): "", `eth\[0]`: "",
		"2001:db8::/64": "", "2001:db8::7/64": "", "::/0": "", "192.0.2.0/24": "", "fe80::1/128": "", `192.0.2.1\9`: "",

		"": "has an empty entry", " ": "has an empty entry",
		"eth[0": `"eth[0" is not a glob`, "x*[": `"x*[" is not a glob`, `eth\`: "a backslash ends it",
		"2001:db8::/129": `"2001:db8::/129" is not an address prefix`, "eth0/1": "is not an address prefix", "2001:db8::/64/64": "is not an address prefix",
		"::ffff:10.0.0.0/104": "is not an address prefix", "fe80::1%eth0/64": "is not an address prefix",
		"fe80::/64": "link-local", "fe80::/10": "link-local",
		"2001:db8::1": "as a prefix it is 2001:db8::1/128", "fe80::1%eth0": "as a prefix it is fe80::1/128",
		"192.0.2.1": "as a prefix it is 192.0.2.1/32", "::ffff:192.0.2.1": "as a prefix it is 192.0.2.1/32",
		"eth0:1": "cannot be the name", "eth0 eth1": "cannot be the name", "..": "cannot be the name", "a\x7f": "cannot be the name",
		strings.Repeat("e", MaxNameLength+1): "is too long",
	} {
		patterns, err := ParsePatterns([]string{text})
		switch {
		case want == "" && (err != nil || len(patterns) != 1 || patterns[0].String() != strings.TrimSpace(text)):
			t.Errorf("%q: %v, %v", text, patterns, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "separated by commas")):
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	_, err := ParsePatterns([]string{"eth[", "eth0", "", "2001:db8::1"})
	for _, want := range []string{`"eth["`, "empty", "2001:db8::1/128"} {
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v is not one line with %s", err, want)
		}
	}
}

func TestMatches(t *testing.T) {
	addresses := func(prefixes ...string) (list []Address) {
		for _, p := range prefixes {
			list = append(list, Address{Prefix: netip.MustParsePrefix(p)})
		}
		return list
	}
	eth1 := &Link{Name: "eth1", AltNames: []string{"lan", "enp0s31f6"}, Addresses: addresses("fe80::1/64", "2001:db8::1/64", "192.0.2.7/24")}
	lo := &Link{Name: "lo", Flags: unix.IFF_LOOPBACK, Addresses: addresses("2001:db8::2/128", "127.0.0.1/8")}
	for text, want := range map[string][2]bool{ // eth1, lo
		"eth1":             {true, false},
		"eth":              {false, false},
		"eth11":            {false, false},
		"lan":              {true, false},
		"lo":               {false, true},
		"*":                {true, false},
		"eth?":             {true, false},
		"eth[01]":          {true, false},
		"enp*":             {true, false},
		"l*":               {true, false},
		`eth\1`:            {true, false},
		"2001:db8::9/64":   {true, false},
		"2001:db8::1/128":  {true, false},
		"2001:db8::2/128":  {false, false},
		"2001:db9::/32":    {false, false},
		"192.0.2.0/24":     {true, false},
		"198.51.100.0/24":  {false, false},
		"fe80::1/128":      {true, false},
		"fe80::2/128":      {false, false},
		"0.0.0.0/0":        {true, false},
		"127.0.0.0/8":      {false, false},
		"uplink-of-router": {false, false},
	} {
		p, err := ParsePattern(text)
		check(t, err)
		if got := [2]bool{p.Matches(eth1), p.Matches(lo)}; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}
