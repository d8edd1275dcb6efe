package trial

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A flood of invented values raises few alerts of each rule, which count the matches.
// An attack on a host from before the flood is among them.
func TestFloods(t *testing.T) {
	made := func(n int) sender {
		return from(fmt.Sprintf("06:00:00:%02x:%02x:%02x", n>>16, n>>8&0xff, n&0xff), fmt.Sprintf("fe80::6:%x", n))
	}
	address := func(n int) string { return fmt.Sprintf("2001:db8::f:%x:%x", n>>16, n&0xffff) }
	honest := []timed{
		{time.Second, gateway.ra(usual, prefix(0xc0, 86400, 14400, "2001:db8::"))},
		{time.Second, host.use()}, {time.Second, host.with("2001:db8::a").use()},
		{time.Hour, host.use()}, {time.Second, host.with("2001:db8::a").use()},
		{time.Second, gateway.ra(usual, prefix(0xc0, 86400, 14400, "2001:db8::"))},
	}
	for _, test := range []struct {
		name   string
		frames int
		flood  func(n int) []byte
		// attack is a frame in the middle of the flood, want the alert that it must raise.
		attack []byte
		want   string
	}{
		{"each address claimed by two stations", 40_000, func(n int) []byte {
			by := attacker
			if n%2 == 1 {
				by = other
			}
			return by.na(32, address(n/2), lladdr(2, by.mac))
		}, attacker.na(32, "2001:db8::a", lladdr(2, attacker.mac)), "warning changed-ethernet-address 2001:db8::a was at 02:00:00:00:00:0a"},
		{"each address tested and denied", 40_000, func(n int) []byte {
			if n%2 == 1 {
				return attacker.na(32, address(n/2), lladdr(2, attacker.mac))
			}
			return made(n / 2).with("::").ns(address(n / 2))
		}, attacker.na(32, "2001:db8::a", lladdr(2, attacker.mac)), "warning changed-ethernet-address 2001:db8::a was at 02:00:00:00:00:0a"},
		{"routers", 20_000, func(n int) []byte { return made(n).ra(usual, prefix(0xc0, 86400, 14400, "2001:db8:bad::")) },
			gateway.ra(usual, prefix(0xc0, 86400, 14400, "2001:db8::"), rdnss(900, "2001:db8:bad::53")), "warning ra-changed DNS server 2001:db8:bad::53 is new"},
		{"stations with every fault", 20_000, func(n int) []byte { return made(n).na(32, address(n), lladdr(1, "ff:ff:ff:ff:ff:ff")) },
			attacker.ra(usual), "critical ra-from-unknown-router 02:00:00:00:00:66"},
	} {
		t.Run(test.name, func(t *testing.T) {
			frames, length := honest, test.frames
			if testing.Short() {
				length /= 8
			}
			for n := range length {
				if n == length/2 {
					frames = append(frames, timed{time.Millisecond, test.attack})
				}
				frames = append(frames, timed{20 * time.Microsecond, test.flood(n)})
			}
			alerts := map[string]int{}
			matches := map[string]uint64{}
			found := false
			c := onLink(builtin(), write(t, "flood.pcap", pcap(t, frames...)))
			_, _, err := c.frames(c.table(), func(m match) {
				if m.count == 0 || m.rule.Severity == "" {
					return
				}
				alerts[m.rule.ID]++
				matches[m.rule.ID] += m.count
				line := fmt.Sprint(m.rule.Severity, " ", m.rule.ID, " ", m.summary)
				severity, what, _ := strings.Cut(test.want, " ")
				rule, what, _ := strings.Cut(what, " ")
				found = found || strings.HasPrefix(line, severity+" "+rule+" ") && strings.Contains(line, what)
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !found {
				t.Errorf("nothing says %q: %v", test.want, alerts)
			}
			for rule, n := range alerts {
				if n > 250 { // the cap of a critical rule is 100, counted separately for the flood's own entries
					t.Errorf("%d alerts of %s, which stand for %d matches", n, rule, matches[rule])
				}
			}
		})
	}
}
