package link

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

const (
	minute = time.Minute
	global = "2001:db8::a"
)

// A scan is recognised by the targets that do not answer, also where the host itself solicits them.
func TestScan(t *testing.T) {
	target := func(n int) string { return fmt.Sprintf("2001:db8::5:%x", n) }
	for _, test := range []struct {
		name string
		scan func(*Table, int)
		want bool
	}{
		{"without an answer", func(table *Table, n int) { table.Observe(ns(other, "fe80::b", target(n))) }, true},
		{"by the host itself", func(table *Table, n int) { table.Observe(ns(other, "fe80::b", target(n), sent)) }, true},
		{"with answers", func(table *Table, n int) {
			table.Observe(ns(other, "fe80::b", target(n)))
			table.Observe(na(host, target(n), flags("SO"), to("fe80::b")))
		}, false},
		{"by the pinger behind a slave", func(table *Table, n int) { table.Observe(ns(other, "fe80::b", target(n), proxied)) }, false},
		{"slowly", func(table *Table, n int) {
			table.Observe(ns(other, "fe80::b", target(n), after(time.Duration(n)*time.Second)))
		}, false},
		{"the same again and again", func(table *Table, n int) { table.Observe(ns(other, "fe80::b", target(n%100))) }, false},
		{"before they are used", func(table *Table, n int) { table.Observe(ns(host, "::", target(n))) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			table := newTable()
			for n := range 3 * maxOpen {
				test.scan(table, n)
			}
			if got := table.out.Unanswered; got != test.want {
				t.Errorf("unanswered: %t", got)
			}
		})
	}
}

// Each scenario is what a table sees and what it says of the last event.
func TestObserve(t *testing.T) {
	known := []*schemas.Event{ns(host, global, "2001:db8::1"), na(host, hostLL)} // the host and two addresses of it
	seen := func(events ...*schemas.Event) []*schemas.Event {
		return append(known[:len(known):len(known)], events...)
	}
	for _, test := range []struct {
		name   string
		events []*schemas.Event
		want   string
	}{
		{"new station", []*schemas.Event{ns(host, global, "2001:db8::1")}, "station.new claim.new"},
		{"nothing new", seen(ns(host, global, "2001:db8::1", after(minute))), ""},
		{"new address of a known station", seen(ns(host, "2001:db8::aa", "2001:db8::1")), "claim.new claim.early"},
		{"another link", seen(ns(host, global, "2001:db8::1", on("eth1"))), "station.new claim.new"},
		{"another VLAN", seen(ns(host, global, "2001:db8::1", vlan(7))), "station.new claim.new"},
		{"another inner VLAN", []*schemas.Event{ns(host, global, "2001:db8::1", vlan(7), inner(1)), ns(host, global, "2001:db8::1", vlan(7), inner(2))}, "station.new claim.new"},
		{"a priority is no VLAN", []*schemas.Event{ns(host, global, "2001:db8::1", vlan(7)), ns(host, global, "2001:db8::1", vlan(0), inner(7))}, ""},
		{"a frame that is discarded changes nothing", []*schemas.Event{
			ns(host, global, "2001:db8::1", discard),
			ns(host, global, "2001:db8::1"),
		}, "station.new claim.new"},
		{"back after a long silence", seen(ns(host, global, "2001:db8::1", after(31*24*time.Hour))), "station.returned"},
		{"back soon", seen(ns(host, global, "2001:db8::1", after(29*24*time.Hour))), ""},
		{"Ethernet source that no station has", []*schemas.Event{ns("33:33:00:00:00:01", global, "2001:db8::1")}, ""},

		{"solicited answer", seen(ns(other, "fe80::b", global, after(minute)), na(host, global, flags("SO"), after(minute+time.Second))), ""},
		{"unsolicited answer", seen(na(host, global, after(minute))), "unsolicited"},
		{"answer that comes late", seen(ns(other, "fe80::b", global), na(host, global, flags("SO"), after(11*time.Second))), "unsolicited"},

		{"address claimed by another station", seen(na(attacker, global, after(minute))),
			"unsolicited station.new claim.changed claim.contested claim.unasked"},
		{"the same by a solicited answer", seen(ns(other, "fe80::b", global, after(minute)), na(attacker, global, flags("SO"), after(minute))),
			"station.new claim.changed claim.contested"},
		{"the same by a solicitation", seen(ns(attacker, global, "2001:db8::1", after(minute))), "station.new claim.changed claim.contested"},
		{"by the option alone", seen(ns(host, global, "2001:db8::1", lladdr(attacker), after(minute))), "claim.changed claim.contested"},
		{"by a station with an address of its own", seen(ns(attacker, attackerLL, "2001:db8::1"), na(attacker, global, after(minute))),
			"unsolicited claim.changed claim.contested claim.spoofed claim.unasked"},
		{"claimed again by the same", seen(na(attacker, global, after(minute)), na(attacker, global, after(2*minute))), "unsolicited"},
		{"the owner defends itself", seen(na(attacker, global, after(minute)), ns(host, global, "2001:db8::1", after(2*minute))),
			"claim.settled claim.flipflop claim.contested claim.disputed"},
		{"the attacker goes on", seen(na(attacker, global, after(minute)), ns(host, global, "2001:db8::1", after(2*minute)), na(attacker, global, after(3*minute))),
			"unsolicited claim.settled claim.flipflop claim.contested claim.disputed claim.unasked"},
		{"still disputed", seen(na(attacker, global, after(minute)), ns(host, global, "2001:db8::1", after(2*minute)), ns(host, global, "2001:db8::1", after(3*minute))),
			"claim.disputed"},
		{"return to an older one", seen(na(attacker, global, after(minute)), na(other, global, after(2*minute)), ns(host, global, "2001:db8::1", after(3*minute))),
			"claim.settled claim.reused claim.contested claim.disputed"},
		{"the attacker falls silent", seen(na(attacker, global, after(minute)), ns(host, global, "2001:db8::1", after(2*minute)), ns(host, global, "2001:db8::1", after(70*minute))), ""},
		{"the owner falls silent", seen(na(attacker, global, after(minute)), ns(attacker, global, "2001:db8::1", after(70*minute))), "claim.adopted"},
		{"and is a stranger when it is back", seen(na(attacker, global, after(minute)), ns(attacker, global, "2001:db8::1", after(70*minute)), ns(host, global, "2001:db8::1", after(71*minute))),
			"claim.settled claim.changed claim.contested"},
		{"address given to another after a long silence", seen(ns(other, global, "2001:db8::1", after(70*minute))), "station.new claim.changed claim.contested claim.adopted"},
		{"addresses of two stations claimed by one", seen(ns(other, "fe80::b", "2001:db8::1"), na(attacker, "fe80::b", after(minute)), na(attacker, global, after(minute))),
			"unsolicited claim.changed claim.contested claim.serial claim.unasked"},
		{"all addresses of one claimed by another", seen(na(attacker, hostLL, after(minute)), na(attacker, global, after(minute))),
			"unsolicited claim.changed claim.contested claim.unasked"},

		{"anycast address", []*schemas.Event{
			ns(host, hostLL, "2001:db8::"),
			na(gateway, "2001:db8::", from("2001:db8::1"), flags("RS")), na(other, "2001:db8::", from("2001:db8::2"), flags("RS")),
		}, "station.new claim.new"},
		{"an address that is not anycast", seen(ns(other, "fe80::b", global), na(attacker, global, from(attackerLL), flags("S"))),
			"station.new claim.changed claim.contested"},
		{"the host's own answer for a station elsewhere", seen(ns(other, "fe80::b", global), ns(gateway, gatewayLL, global),
			na(gateway, global, from(gatewayLL), flags("S"), proxied)), ""},
		{"and the station's own after it", seen(ns(other, "fe80::b", global), ns(gateway, gatewayLL, global),
			na(gateway, global, from(gatewayLL), flags("S"), proxied), ns(host, global, "2001:db8::1")), ""},

		{"the host's own frames", []*schemas.Event{na(host, global, sent), ns(host, global, "2001:db8::1", sent), ra(host, hostLL, sent)}, ""},
		{"a frame that the host has forwarded", []*schemas.Event{na(host, global, sent, forwarded)}, "unsolicited station.new claim.new"},
		{"the host takes its address back", seen(ns(attacker, attackerLL, "2001:db8::1"), na(attacker, global, after(minute)), na(host, global, sent, after(minute+time.Second))), ""},
		{"the host's own address claimed", []*schemas.Event{na(host, global, sent), na(attacker, global, after(minute))},
			"unsolicited station.new claim.own claim.changed claim.contested claim.unasked"},
		{"and claimed again", []*schemas.Event{na(host, global, sent), na(attacker, global, after(minute)), ns(host, global, "2001:db8::1", sent, after(minute)), na(attacker, global, after(minute+time.Second))},
			"unsolicited claim.settled claim.own claim.flipflop claim.contested claim.disputed claim.unasked"},

		{"an address that is announced after its test", []*schemas.Event{ns(host, "::", global), na(host, global, after(2*time.Second))}, "claim.new claim.early claim.expected"},
		{"one that another has tested", []*schemas.Event{ns(other, global, "2001:db8::1"), ns(attacker, "::", global, after(minute)), na(attacker, global, after(minute+2*time.Second))},
			"unsolicited claim.changed claim.contested claim.unasked"},
		{"an address long after the start", []*schemas.Event{ns(host, hostLL, "2001:db8::1"), ns(host, global, "2001:db8::1", after(minute))}, "claim.new"},

		{"an advertisement without an address claims nothing for its target", seen(ns(gateway, gatewayLL, "2001:db8::1"), ns(host, global, global), na(gateway, global, from(gatewayLL), flags("S"), bare)), ""},
		{"but its sender has its source", seen(na(attacker, global, bare, after(minute))), "unsolicited station.new claim.changed claim.contested claim.unasked"},
		{"the second of two addresses in an advertisement", seen(na(host, global, func(e *schemas.Event) {
			e.ND.Opt.TargetLinkLayer = append(e.ND.Opt.TargetLinkLayer, schemas.LinkLayer{Address: mac(attacker)})
		}, after(minute))), "unsolicited claim.settled claim.changed claim.contested claim.unasked"},
		{"by a frame whose Ethernet source no station has", seen(na("33:33:00:00:00:01", global, lladdr(attacker), after(minute))),
			"unsolicited claim.changed claim.contested claim.unasked"},

		{"service addresses of two that are gone", []*schemas.Event{
			ns(host, hostLL, "2001:db8::1"), ns(other, "fe80::b", "2001:db8::1"), ns(attacker, attackerLL, "2001:db8::1"),
			na(host, "2001:db8::c1"), na(other, "2001:db8::c2"), na(attacker, "2001:db8::c1", after(minute)), na(attacker, "2001:db8::c2", after(minute)),
		}, "unsolicited claim.changed claim.contested claim.spoofed claim.unasked"},
		{"service addresses of two that answer", []*schemas.Event{
			ns(host, hostLL, "2001:db8::1"), ns(other, "fe80::b", "2001:db8::1"), ns(attacker, attackerLL, "2001:db8::1"),
			na(host, "2001:db8::c1"), na(other, "2001:db8::c2"), na(attacker, "2001:db8::c1", after(minute)), na(attacker, "2001:db8::c2", after(minute)),
			na(host, "2001:db8::c1", after(minute)), na(other, "2001:db8::c2", after(minute)),
			na(attacker, "2001:db8::c1", after(minute)), na(attacker, "2001:db8::c2", after(minute)),
		}, "unsolicited claim.settled claim.flipflop claim.contested claim.disputed claim.spoofed claim.serial claim.unasked"},

		{"duplicate address detection", []*schemas.Event{ns(host, "::", global)}, "station.new"},
		{"denied", []*schemas.Event{ns(host, "::", global), na(other, global, after(time.Second))}, "station.new claim.new claim.expected dad dad.stranger"},
		{"denied to a multiple of what the last one remembers", []*schemas.Event{ns(host, "::", global), ns(other, "::", hostLL), ns(other, "::", "fe80::c"), na(attacker, global, after(50*time.Second))},
			"unsolicited station.new claim.new dad dad.stranger"},
		{"not denied by oneself", []*schemas.Event{ns(host, "::", global), na(host, global, after(time.Second))}, "claim.new claim.early claim.expected"},
		{"not denied a minute later", []*schemas.Event{ns(host, "::", global), na(other, global, after(61*time.Second))}, "unsolicited station.new claim.new"},
		{"denied by a test at the same time", []*schemas.Event{ns(host, "::", global), ns(other, "::", global, after(time.Second))}, "station.new dad dad.stranger"},
		{"its own test again", []*schemas.Event{ns(host, "::", global), ns(host, "::", global, after(time.Second))}, ""},
		{"denied again", []*schemas.Event{
			ns(host, "::", global), na(attacker, global, after(time.Second)),
			ns(host, "::", "2001:db8::aa", after(2*time.Second)), na(other, "2001:db8::aa", after(3*time.Second)),
		}, "station.new claim.new claim.expected dad dad.stranger dad.again"},
		{"denied to two by one", []*schemas.Event{
			ns(host, "::", global), na(attacker, global, after(time.Second)),
			ns(other, "::", "2001:db8::b", after(2*time.Second)), na(attacker, "2001:db8::b", after(3*time.Second)),
		}, "claim.new claim.early claim.expected dad dad.stranger dad.again"},
		{"denied by one who is known to have it", []*schemas.Event{ns(other, global, "2001:db8::1"), ns(host, "::", global), na(other, global, after(time.Second))}, "dad"},
		{"denied by one who has tested it before", []*schemas.Event{ns(other, "::", global), ns(host, "::", global, after(3*time.Second)), na(other, global, after(4*time.Second))}, "claim.new claim.early claim.expected dad"},
		{"two denied by one who is known to have them", []*schemas.Event{
			ns(other, global, "2001:db8::1"), ns(other, "2001:db8::aa", "2001:db8::1"),
			ns(host, "::", global), na(other, global, after(time.Second)), ns(host, "::", "2001:db8::aa"), na(other, "2001:db8::aa", after(time.Second)),
		}, "dad"},
		{"the prober has used it since", []*schemas.Event{ns(host, "::", global), na(host, global, after(time.Second)), na(other, global, after(2*time.Second))},
			"station.new claim.changed claim.contested"},
		{"a test that comes back with its nonce", []*schemas.Event{ns(host, "::", global, nonce("0a0b0c0d0e0f")), ns(other, "::", global, nonce("0a0b0c0d0e0f"))}, "station.new"},
		{"one that comes back late, and the announcement", []*schemas.Event{ns(host, "::", global, nonce("0a0b0c0d0e0f")), ns(other, "::", global, nonce("0a0b0c0d0e0f"), after(3*time.Second)), na(host, global, after(4*time.Second))},
			"claim.new claim.early claim.expected"},
		{"a test at the same time with another nonce", []*schemas.Event{ns(host, "::", global, nonce("0a0b0c0d0e0f")), ns(other, "::", global, nonce("000000000001"))}, "station.new dad dad.stranger"},
		{"denied at another address of the prober's", []*schemas.Event{ns(host, "::", global), na(other, global, to(hostLL), toStation(host), after(time.Second))},
			"station.new claim.new claim.expected dad dad.stranger"},
		{"an answer to another", []*schemas.Event{ns(gateway, "fe80::c", "2001:db8::1"), ns(host, "::", global), na(other, global, to("fe80::c"), after(time.Second))}, "station.new claim.new claim.expected"},
		{"an answer to an unknown station", []*schemas.Event{ns(host, "::", global), na(other, global, to("fe80::c"), after(time.Second))}, "station.new claim.new claim.expected dad dad.stranger"},
		{"the same denied twice", []*schemas.Event{ns(host, "::", global), na(other, global, after(time.Second)), na(other, global, after(2*time.Second))}, "dad"},
	} {
		t.Run(test.name, func(t *testing.T) { check(t, newTable(), test.want, test.events...) })
	}
}

const benchNeighbours = 100_000

// filled returns a table of a link that knows n neighbours.
func filled(n int) *Table {
	table := bounded(benchNeighbours)
	for range 2 {
		for i := range n {
			table.Observe(flood(i, 0))
		}
	}
	return table
}

func BenchmarkObserve(b *testing.B) {
	for _, n := range []int{1, 50_000} {
		b.Run(fmt.Sprintf("NS and NA with %d neighbours", n), func(b *testing.B) {
			table := filled(n)
			events := make([]*schemas.Event, 4096)
			for i := range events {
				events[i] = flood(i*n/len(events), time.Minute)
				if i%2 == 0 {
					events[i] = ns(host, global, "2001:db8::1", after(time.Minute))
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				table.Observe(events[i%len(events)])
			}
		})
	}
	b.Run("RA", func(b *testing.B) {
		table := newTable(configured())
		e := ra(gateway, gatewayLL, prefix("2001:db8::/64"), mtu(1500))
		b.ReportAllocs()
		for b.Loop() {
			table.Observe(e)
		}
	})
	b.Run("flood of new addresses", func(b *testing.B) {
		table := filled(benchNeighbours)
		e := flood(0, time.Minute)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			binary.BigEndian.PutUint32(e.Ethernet.Source[2:], uint32(i))
			octets := e.Inet6.Source.As16()
			binary.BigEndian.PutUint64(octets[8:], 1<<48+uint64(i))
			e.Inet6.Source, e.ND.NA.TargetAddress = netip.AddrFrom16(octets), netip.AddrFrom16(octets)
			table.Observe(e)
		}
	})
}

// A fleet of many links with a full table, of which a small one gets new addresses.
func BenchmarkManyLinks(b *testing.B) {
	table := bounded(benchNeighbours)
	for i := range benchNeighbours + 1000 {
		e := flood(i, 0)
		e.Interface = fmt.Sprint("if", i%(maxLinks-1))
		table.Observe(e)
	}
	events := make([]*schemas.Event, 4096)
	for i := range events {
		events[i] = flood(benchNeighbours+2000+i, minute)
		events[i].Interface = "small"
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Observe(events[i%len(events)])
	}
}

// BenchmarkNeighbours measures what 50,000 neighbours take: memory, and the time to write and to read the state.
func BenchmarkNeighbours(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	table := filled(50_000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	for b.Loop() {
		restart(b, table.cfg, table)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
}
