package pinger

import (
	"strings"
	"testing"
	"time"

	"github.com/ndmon/ndmon/pinger/kernel"
)

func TestConfigValidate(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		want   string // part of the error; "" for none
	}{
		"good":            {func(c *Config) {}, ""},
		"globs, prefixes": {func(c *Config) { c.Slaves = []string{" eth[12] ", "lan*", "2001:db8::7/64"} }, ""},
		"least": {func(c *Config) {
			c.Slaves, c.Rate, c.HoldDown, c.Timeout, c.Table = []string{"a"}, 1, 0, minTimeout, kernel.MaxTables
		}, ""},
		"most": {func(c *Config) {
			c.Rate, c.HoldDown, c.Timeout, c.Table, c.Verify = maxRate, time.Hour, 3*time.Second, maxTable, maxVerify
		}, ""},
		"no slaves":      {func(c *Config) { c.Slaves = nil }, "PINGER_SLAVES is not set"},
		"empty slave":    {func(c *Config) { c.Slaves = []string{"a", ""} }, "PINGER_SLAVES: has an empty entry"},
		"bad glob":       {func(c *Config) { c.Slaves = []string{"eth["} }, `PINGER_SLAVES: "eth["`},
		"address":        {func(c *Config) { c.Slaves = []string{"2001:db8::1"} }, `PINGER_SLAVES: "2001:db8::1" is an address`},
		"long name":      {func(c *Config) { c.Slaves = []string{strings.Repeat("a", 128)} }, "PINGER_SLAVES"},
		"IPv4 prefix":    {func(c *Config) { c.Slaves = []string{"a", "192.0.2.0/24"} }, ""},
		"bad prefix":     {func(c *Config) { c.Slaves = []string{"2001:db8::/129"} }, "PINGER_SLAVES: \"2001:db8::/129\" is not an address prefix"},
		"link-local":     {func(c *Config) { c.Slaves = []string{"fe80::/64"} }, "link-local"},
		"rate 0":         {func(c *Config) { c.Rate = 0 }, "PINGER_RATE=0"},
		"rate too large": {func(c *Config) { c.Rate = maxRate + 1 }, "PINGER_RATE=20001"},
		"rate < slaves":  {func(c *Config) { c.Rate = 1 }, "number of slaves (2)"},
		"heartbeat":      {func(c *Config) { c.Heartbeat = time.Millisecond }, "PINGER_HEARTBEAT=1ms: takes 1s to 1h, or 0 for none"},
		"hold-down":      {func(c *Config) { c.HoldDown = -1 }, "PINGER_HOLD_DOWN"},
		"timeout":        {func(c *Config) { c.Timeout = time.Millisecond }, "PINGER_TIMEOUT=1ms"},
		"too many wait":  {func(c *Config) { c.Rate, c.Timeout = maxRate, 4*time.Second }, "PINGER_TIMEOUT=4s: too long with PINGER_RATE=20000"},
		"bad master":     {func(c *Config) { c.Masters = []string{"eth["} }, `PINGER_MASTERS: "eth["`},
		"route":          {func(c *Config) { c.Route = true }, "PINGER_ROUTE=true: needs PINGER_MASTERS"},
		"dad":            {func(c *Config) { c.DAD = true }, "PINGER_DAD=true: needs PINGER_PROXY=true"},
		"ra":             {func(c *Config) { c.RA = true }, "PINGER_RA=true: needs PINGER_PROXY"},
		"proxy":          {func(c *Config) { c.Proxy = true }, "PINGER_PROXY=true: needs PINGER_MASTERS"},
		"host routes":    {func(c *Config) { c.Route, c.Proxy, c.Masters = true, true, []string{"m*"} }, ""},
		"verify":         {func(c *Config) { c.Verify = 0 }, "PINGER_VERIFY=0s: takes 100ms to 1h"},
		"table":          {func(c *Config) { c.Table = 0 }, "PINGER_TABLE=0"},
		"table between":  {func(c *Config) { c.Table++ }, "PINGER_TABLE=4861001: takes a multiple of 1000"},
		"last table":     {func(c *Config) { c.Table = maxTable + kernel.MaxTables }, "PINGER_TABLE"},
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
