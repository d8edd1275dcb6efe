package pinger

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConfigValidate(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		want   string // part of the error; "" for none
	}{
		"good":            {func(c *Config) {}, ""},
		"globs, prefixes": {func(c *Config) { c.Slaves = []string{" eth[12] ", "lan*", "2001:db8::7/64"} }, ""},
		"least": {func(c *Config) {
			c.Slaves, c.Rate, c.HoldDown, c.Timeout, c.Table = []string{"a"}, 1, 0, minTimeout, maxTables
		}, ""},
		"most": {func(c *Config) {
			c.Rate, c.HoldDown, c.Timeout, c.Table, c.Verify = maxRate, time.Hour, 3*time.Second, maxTable, maxVerify
		}, ""},
		"no slaves":      {func(c *Config) { c.Slaves = nil }, "PINGER_SLAVES is not set"},
		"empty slave":    {func(c *Config) { c.Slaves = []string{"a", ""} }, "PINGER_SLAVES: has an empty entry"},
		"bad glob":       {func(c *Config) { c.Slaves = []string{"eth["} }, `PINGER_SLAVES: "eth[" is not a glob`},
		"long name":      {func(c *Config) { c.Slaves = []string{"abcdefghijklmnop"} }, "PINGER_SLAVES"},
		"IPv4 prefix":    {func(c *Config) { c.Slaves = []string{"192.0.2.0/24"} }, "is not an IPv6 prefix"},
		"bad prefix":     {func(c *Config) { c.Slaves = []string{"2001:db8::/129"} }, "is not an IPv6 prefix"},
		"link-local":     {func(c *Config) { c.Slaves = []string{"fe80::/64"} }, "link-local"},
		"rate 0":         {func(c *Config) { c.Rate = 0 }, "PINGER_RATE=0"},
		"rate too large": {func(c *Config) { c.Rate = maxRate + 1 }, "PINGER_RATE=20001"},
		"rate < slaves":  {func(c *Config) { c.Rate = 1 }, "number of slaves (2)"},
		"hold-down":      {func(c *Config) { c.HoldDown = -1 }, "PINGER_HOLD_DOWN"},
		"timeout":        {func(c *Config) { c.Timeout = time.Millisecond }, "PINGER_TIMEOUT=1ms"},
		"too many wait":  {func(c *Config) { c.Rate, c.Timeout = maxRate, 4*time.Second }, "PINGER_TIMEOUT=4s: too long with PINGER_RATE=20000"},
		"bad master":     {func(c *Config) { c.Masters = []string{"eth["} }, `PINGER_MASTERS: "eth[" is not a glob`},
		"route":          {func(c *Config) { c.Route = true }, "PINGER_ROUTE=true: needs PINGER_MASTERS"},
		"proxy":          {func(c *Config) { c.Proxy = true }, "PINGER_PROXY=true: needs PINGER_MASTERS"},
		"ways":           {func(c *Config) { c.Route, c.Proxy, c.Masters = true, true, []string{"m*"} }, ""},
		"verify":         {func(c *Config) { c.Verify = 0 }, "PINGER_VERIFY=0s: takes 100ms to 1h"},
		"table":          {func(c *Config) { c.Table = 0 }, "PINGER_TABLE=0"},
		"table between":  {func(c *Config) { c.Table++ }, "PINGER_TABLE=4861001: takes a multiple of 1000"},
		"last table":     {func(c *Config) { c.Table = maxTable + maxTables }, "PINGER_TABLE"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			test.change(&cfg)
			err := cfg.Validate()
			switch {
			case test.want == "" && err != nil:
				t.Errorf("error %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n")):
				t.Errorf("error is %v, want one line with %q", err, test.want)
			}
		})
	}
}

func TestPatternMatches(t *testing.T) {
	eth1 := &link{name: "eth1", addresses: []address{{addr: netip.MustParseAddr("fe80::1")}, {addr: netip.MustParseAddr("2001:db8::1")}}}
	lo := &link{name: "lo", loopback: true, addresses: []address{{addr: netip.MustParseAddr("2001:db8::2")}}}
	tests := map[string][2]bool{ // eth1, lo
		"eth1":           {true, false},
		"eth":            {false, false},
		"lo":             {false, true},
		"*":              {true, false},
		"eth?":           {true, false},
		"2001:db8::9/64": {true, false},
		"2001:db9::/32":  {false, false},
	}
	for text, want := range tests {
		patterns, err := parsePatterns("PINGER_SLAVES", []string{text})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, [2]bool{patterns[0].matches(eth1), patterns[0].matches(lo)}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}
