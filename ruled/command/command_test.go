package command

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/process"
)

func TestCommandLine(t *testing.T) {
	for _, tc := range []struct {
		args   string
		status int
		want   string
	}{
		{"test r.xml c.pcap --why 2", process.ExitUsage, "nd-ruled test: is now ndmon rules test\n"},
		{"check", process.ExitUsage, "nd-ruled check: wrong number of arguments: nd-ruled check FILE; see nd-ruled check --help\n"},
		{"check --help", process.ExitOK, "nd-ruled check FILE"},
		{"neighbours --help", process.ExitOK, "nd-ruled neighbors [ADDRESS|PREFIX|MAC|HOST]..."},
		{"neighbors 192.0.2.1", process.ExitUsage, `"192.0.2.1" is not an IPv6 address`},
		{"neighbors -o xml", process.ExitUsage, `--output: "xml" is not a format: use table or json`},
		{"--learn", process.ExitUsage, "nd-ruled: --learn: needs a value; see nd-ruled --help\n"},
		{"--learn=long", process.ExitUsage, `nd-ruled: --learn: "long" is not a duration such as 1h; see`},
		{"--learn 0s", process.ExitUsage, `nd-ruled: --learn: "0s" is not a duration such as 1h; see`},
		{"fields", process.ExitOK, "nd.ra.lifetime"},
		{"builtin", process.ExitOK, "<rules"},
	} {
		if status, printed := runCommand(strings.Fields(tc.args)...); status != tc.status || !strings.Contains(printed, tc.want) {
			t.Errorf("nd-ruled %s: exit status %d, %q, want %d, %q", tc.args, status, printed, tc.status, tc.want)
		}
	}
}

func TestLearnTime(t *testing.T) {
	for _, args := range []string{"--learn=1h", "--learn 1h"} {
		c := Daemon()
		if err := c.ParseFlags(strings.Fields(args)); err != nil {
			t.Error(err)
		}
		if got := c.Flags().Lookup("learn").Value.(*learnTime); time.Duration(*got) != time.Hour {
			t.Errorf("%s: %v", args, time.Duration(*got))
		}
	}
}

func TestFilter(t *testing.T) {
	n := Neighbour{Host: "r1", Address: netip.MustParseAddr("2001:db8::42"), Ethernet: schemas.MAC{2, 0, 0, 0, 0, 1}}
	for text, want := range map[string]bool{
		"2001:db8::42": true, "2001:DB8:0::42": true, "2001:db8::43": false,
		"2001:db8::/64": true, "2001:db8::1/64": true, "2001:db8:1::/64": false, "::/0": true,
		"r1": true, "r2": false,
		"02:00:00:00:00:01": true, "02-00-00-00-00-01": true, "0200.0000.0001": true, "02:00:00:00:00:02": false,
	} {
		shown, err := ParseFilter(text)
		if err != nil || shown(n) != want {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{"", "r1/eth0", "192.0.2.1", "192.0.2.0/24", "2001:db8::/129", "02:00:00:00:01", "02:00"} {
		if _, err := ParseFilter(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
