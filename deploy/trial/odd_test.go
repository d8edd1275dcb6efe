package trial

import (
	"strings"
	"testing"
	"time"
)

// The first router is the link's own, whatever is odd about its RAs. It is not reported
// as rogue, and the unknown router after it is.
func TestOddRouterFirst(t *testing.T) {
	zeros := func(n int) []byte { return make([]byte, n) }
	good := prefix(0xc0, 86400, 14400, "2001:db8::")
	for name, frame := range map[string][]byte{
		"nothing odd":                      gateway.ra(usual, good),
		"DNS search list of 8 bytes":       gateway.ra(usual, good, option(31, zeros(6))),
		"DNS search list with bad padding": gateway.ra(usual, good, option(31, zeros(6), []byte("\x03lan\x00\xff\xff\xff"))),
		"MTU of 16 bytes":                  gateway.ra(usual, good, option(5, zeros(14))),
		"MTU of 100":                       gateway.ra(usual, good, mtu(100)),
		"PREF64 of 8 bytes":                gateway.ra(usual, good, option(38, zeros(6))),
		"no DNS server":                    gateway.ra(usual, good, option(25, zeros(6))),
		"one and a half DNS servers":       gateway.ra(usual, good, option(25, zeros(30))),
		"DNS server of a group":            gateway.ra(usual, good, rdnss(900, "ff02::fb")),
		"prefix of 24 bytes":               gateway.ra(usual, option(3, zeros(22))),
		"prefix of 129 bits":               gateway.ra(usual, option(3, []byte{129}, zeros(29))),
		"prefix of 80 bits":                gateway.ra(usual, option(3, []byte{80, 0xc0}, be32(86400), be32(14400), be32(0), ip("2001:db8::"))),
		"preferred longer than valid":      gateway.ra(usual, prefix(0xc0, 100, 14400, "2001:db8::")),
		"link-local prefix":                gateway.ra(usual, prefix(0xc0, 86400, 14400, "fe80::")),
		"link-layer address of 16 bytes":   gateway.ra(usual, good, option(1, zeros(14))),
		"link-local route":                 gateway.ra(usual, good, route(0, 900, "fe80::")),
		"captive portal of nothing":        gateway.ra(usual, good, option(37, zeros(6))),
		"PvD without a name":               gateway.ra(usual, good, option(21, zeros(6))),
		"an unknown option":                gateway.ra(usual, good, option(99, zeros(6))),
		"an option of hosts":               gateway.ra(usual, good, lladdr(2, gateway.mac)),
		"two MTUs":                         gateway.ra(usual, good, mtu(1500), mtu(1400)),
		"two lifetimes of a prefix":        gateway.ra(usual, good, prefix(0xc0, 100, 50, "2001:db8::")),
		"two routes to the same":           gateway.ra(usual, good, route(0, 900, "2001:db8:9::"), route(8, 100, "2001:db8:9::")),
		"reserved preference":              gateway.ra(params{64, 0x10}, good),
		"every flag":                       gateway.ra(params{64, 0xff}, good),
		"no default router":                gateway.to("ff02::1", join([]byte{134, 0, 0, 0, 64, 0}, be16(0), be32(0), be32(0), good)),
		"reachable time of a day":          gateway.to("ff02::1", join([]byte{134, 0, 0, 0, 64, 0}, be16(1800), be32(86_400_000), be32(0), good)),
	} {
		t.Run(name, func(t *testing.T) {
			frames := []timed{{time.Second, frame}, {time.Minute, frame}, {time.Minute, attacker.ra(usual, prefix(0xc0, 86400, 14400, "2001:db8:bad::"))}, {time.Second, frame}}
			alerts := alertLines(t, builtin(), write(t, "odd.pcap", pcap(t, frames...)))
			if count(alerts, "^critical ra-from-unknown-router "+attacker.mac) == 0 {
				t.Errorf("the stranger is no rogue:\n%s", strings.Join(alerts, "\n"))
			}
			if n := count(alerts, "^(critical|warning) (ra-from|router-|next-router|ra-changed)[^ ]* "+gateway.mac); n > 0 {
				t.Errorf("the link's own router is accused:\n%s", strings.Join(alerts, "\n"))
			}
		})
	}
}
