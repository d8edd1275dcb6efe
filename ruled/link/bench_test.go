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

// filled returns a table of a link that knows n neighbours.
func filled(n int) *Table {
	table := New(Config{Neighbours: DefaultNeighbours, ClaimTimeout: DefaultClaimTimeout, Silence: DefaultSilence})
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
		table := filled(DefaultNeighbours)
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
	table := New(Config{Neighbours: DefaultNeighbours, ClaimTimeout: DefaultClaimTimeout, Silence: DefaultSilence})
	for i := range DefaultNeighbours + 1000 {
		e := flood(i, 0)
		e.Interface = fmt.Sprint("if", i%(maxLinks-1))
		table.Observe(e)
	}
	events := make([]*schemas.Event, 4096)
	for i := range events {
		events[i] = flood(DefaultNeighbours+2000+i, minute)
		events[i].Interface = "small"
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Observe(events[i%len(events)])
	}
}

// BenchmarkNeighbours measures what 50,000 neighbours take: memory, and the time
// to write and to read the state.
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
