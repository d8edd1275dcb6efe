package link

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/schemas"
)

// flood returns the n-th event of a flood: an NA of a station that never was, ten microseconds after the one before.
func flood(n int, start time.Duration) *schemas.Event {
	e := na("06:00:00:00:00:00", "2001:db8::", after(start+time.Duration(n)*10*time.Microsecond))
	binary.BigEndian.PutUint32(e.Ethernet.Source[2:], uint32(n))
	e.ND.Opt.TargetLinkLayer[0].Address = e.Ethernet.Source
	octets := e.Inet6.Source.As16()
	binary.BigEndian.PutUint64(octets[8:], 1<<40+uint64(n))
	e.Inet6.Source, e.ND.NA.TargetAddress = netip.AddrFrom16(octets), netip.AddrFrom16(octets)
	return e
}

// What was known before a flood is known after it, and in the middle of it too.
func TestFlood(t *testing.T) {
	const bound = 1000
	table := bounded(bound)
	check(t, table, "station.new claim.new", ns(host, global, "2001:db8::1")) // seen once
	check(t, table, "station.new claim.new", ns(other, "2001:db8::b", "2001:db8::1"))
	check(t, table, "station.new claim.new", ns(other, "2001:db8::b", "2001:db8::1", on("eth1")))
	for n := range 100 * bound {
		table.Observe(flood(n, minute))
		if s := table.Stats(); s.Addresses > bound || s.Stations > bound {
			t.Fatalf("%+v after %d frames", s, n)
		}
		if n == 50*bound {
			check(t, table, "unsolicited station.new claim.settled claim.changed claim.contested claim.unasked", na(attacker, global, after(minute+time.Second/2)))
		}
	}
	if evicted := table.Stats().Evicted; evicted < 98*bound {
		t.Errorf("%d evicted", evicted)
	}
	at := after(minute + 2*time.Second)
	check(t, table, "claim.settled claim.flipflop claim.contested claim.disputed", ns(host, global, "2001:db8::1", at))
	check(t, table, "", ns(other, "2001:db8::b", "2001:db8::1", at))
	check(t, table, "", ns(other, "2001:db8::b", "2001:db8::1", on("eth1"), at))
}

// A slow flood, which looks like a growing link, pushes out what was seen once, not what is seen again.
func TestSlowGrowth(t *testing.T) {
	const bound = 100
	table := bounded(bound)
	check(t, table, "station.new claim.new", ns(other, "2001:db8::b", "2001:db8::1"))
	check(t, table, "", ns(host, global, "2001:db8::1"), ns(host, global, "2001:db8::1", after(time.Second)))
	for n := range 10 * bound {
		e := flood(n, 0)
		e.Time = epoch.Add(time.Duration(n) * minute)
		table.Observe(e)
	}
	check(t, table, "", ns(host, global, "2001:db8::1", after(2000*minute)))
	check(t, table, "station.new claim.new", ns(other, "2001:db8::b", "2001:db8::1", after(2000*minute)))
}

// A link that grows does not take another's room.
func TestLinksShare(t *testing.T) {
	const bound = 1000
	table := bounded(bound)
	quiet := func(n int) *schemas.Event { e := flood(n, 0); e.Interface = "eth1"; e.Time = epoch; return e }
	for n := range 50 {
		table.Observe(quiet(n))
	}
	for n := range 20 * bound {
		table.Observe(flood(n, 0))
	}
	for n := range 50 {
		if e := quiet(n); observe(table, e) != "unsolicited" {
			t.Fatalf("%d is forgotten: %s", n, facts(e))
		}
	}
}

func TestLinksAreBounded(t *testing.T) {
	table := bounded(100)
	for n := range 2 * maxLinks {
		table.Observe(ns(host, global, "2001:db8::1", on(fmt.Sprint("if", n)), after(time.Duration(n)*time.Second)))
	}
	if s := table.Stats(); s.Links != maxLinks || s.Addresses > 100 || table.asked.Used > maxLinks || table.known.Used != maxLinks {
		t.Errorf("%+v, %d asked", s, table.asked.Used)
	}
	check(t, table, "", ns(host, hostLL, "2001:db8::1", on(fmt.Sprint("if", 2*maxLinks-1)), after(2*maxLinks*time.Second)),
		ns(host, hostLL, "2001:db8::1", on(fmt.Sprint("if", 2*maxLinks-1)), after(2*maxLinks*time.Second)))
}

func TestAskedIsBounded(t *testing.T) {
	table := newTable()
	for n := range 3 * maxQueue {
		e := ns(host, hostLL, "2001:db8::1")
		octets := ip("2001:db8::").As16()
		binary.BigEndian.PutUint32(octets[12:], uint32(n))
		e.ND.NS.TargetAddress = netip.AddrFrom16(octets)
		table.Observe(e)
	}
	if n := table.asked.Used; n != maxQueue {
		t.Errorf("%d targets are remembered, want %d", n, maxQueue)
	}
}

// random returns an event that a busy and hostile link may have.
func random(r *rand.Rand, at time.Duration) *schemas.Event {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	sender := pick(host, other, gateway, attacker)
	address := pick(global, hostLL, "fe80::b", gatewayLL, attackerLL, "2001:db8::1", fmt.Sprintf("2001:db8::%x", r.IntN(300)))
	opts := []option{after(at), on(pick("eth0", "eth0", "eth1"))}
	if r.IntN(5) == 0 {
		opts = append(opts, sent)
	}
	switch r.IntN(6) {
	case 0:
		return ns(sender, "::", address, append(opts, nonce(pick("01", "02")))...)
	case 1:
		return ns(sender, address, "2001:db8::1", opts...)
	case 2, 3:
		return na(sender, address, append(opts, flags(pick("O", "SO", "RSO", "S")), from(pick(address, attackerLL)))...)
	case 4:
		more := []option{
			func(*schemas.Event) {}, radvert(stops), radvert(stub), captivePortal(pick("https://a", "https://b")), unknown(200, pick("01", "02")),
			encryptedDNS("dns.example", uint32(r.IntN(2000))), pvd(rdnss("2001:db8::53", 900)), pref64("64:ff9b::/96", uint16(r.IntN(2000))), route("::/0", "low", 600),
		}
		return ra(sender, pick(gatewayLL, attackerLL), append(opts, prefix(pick("2001:db8::/64", "2001:db8:bad::/64", "fd00::/64")), flags(pick("", "M")), more[r.IntN(len(more))])...)
	}
	return rd(sender, pick(gatewayLL, attackerLL), attackerLL, "2001:db8:9::9", opts...)
}

// Who goes on from a stored state says the same as who never stopped.
func TestStateGoesOn(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	config := Config{Neighbours: 200, ClaimTimeout: time.Hour, Silence: 24 * time.Hour}
	one, two := New(config), New(config)
	for n := range 20000 {
		at := time.Duration(n) * 7 * time.Second
		e := random(r, at)
		one.Observe(e)
		want := e.Link
		one.out.Claim = append([]schemas.LinkClaim(nil), one.out.Claim...) // is used again
		wantFacts := facts(e)
		two.Observe(e)
		if diff := cmp.Diff(wantFacts, facts(e)); diff != "" {
			t.Fatalf("event %d, %v (-without +with a restart): %s", n, want, diff)
		}
		if n%500 == 250 {
			two = restart(t, config, two)
		}
	}
	if diff := cmp.Diff(one.State(), two.State(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("(-without +with restarts)\n%s", diff)
	}
}

// restart returns a table that goes on from the state of another, by way of JSON.
func restart(t testing.TB, config Config, from *Table) *Table {
	t.Helper()
	data, err := json.Marshal(from.State())
	if err != nil {
		t.Fatal(err)
	}
	var states []State
	if err := json.Unmarshal(data, &states); err != nil {
		t.Fatal(err)
	}
	table := New(config)
	for _, s := range states {
		if err := table.Restore(s); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

func TestRestoreRefuses(t *testing.T) {
	table := newTable()
	observe(table, ns(host, global, "2001:db8::1"))
	good := func() State { return newTableOf(t, table).State()[0] }
	for name, spoil := range map[string]func(*State){
		"no claims":          func(s *State) { s.Neighbours[0].Bindings = nil },
		"many claims":        func(s *State) { s.Neighbours[0].Bindings = make([]Binding, maxBindings+1) },
		"a speaker of none":  func(s *State) { s.Neighbours[0].Speaker = 1 },
		"one before of none": func(s *State) { s.Neighbours[0].Before = -2 },
		"an IPv4 address":    func(s *State) { s.Neighbours[0].Address = ip("192.0.2.1") },
		"no address":         func(s *State) { s.Neighbours[0].Address = addr{} },
		"many routers":       func(s *State) { s.Routers = make([]router.Learned, router.MaxLearned+1) },
		"no target":          func(s *State) { s.Asked = make([]Target, 1) },
	} {
		s := good()
		spoil(&s)
		if err := newTable().Restore(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := table.Restore(good()); err == nil {
		t.Error("a link that is known: no error")
	}
}

func newTableOf(t *testing.T, from *Table) *Table { return restart(t, from.cfg, from) }

// octets is a source of random numbers that are the octets of an input, so that
// what is new in an input can be changed bit by bit.
type octets []byte

func (o *octets) Uint64() uint64 {
	const rest = 1 << 40 // not 0, which rand.IntN would refuse for ever
	if len(*o) == 0 {
		return rest
	}
	octet := (*o)[0]
	*o = (*o)[1:]
	return uint64(octet)<<56 | rest
}

// What the events hold never makes the table panic or grow.
func FuzzObserve(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		seed := make([]byte, 100)
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		source := octets(data[:min(len(data), 1000)])
		r := rand.New(&source)
		table := New(Config{Neighbours: 1 + r.IntN(20), ClaimTimeout: time.Duration(1+r.IntN(256)) * minute, Silence: time.Hour, Learn: r.IntN(7) == 0})
		for len(source) > 0 {
			// Clocks go back, and some are far off.
			at := time.Duration(r.IntN(256)) * minute / 4
			if r.IntN(50) == 0 {
				at = time.Duration(r.IntN(256)) << 55
			}
			e := random(r, at)
			switch r.IntN(8) {
			case 0:
				e.Ethernet.VLAN = new(uint16(r.IntN(256)))
			case 1:
				e.Interface = fmt.Sprint(r.IntN(256))
			case 2:
				e.Host = fmt.Sprint(r.IntN(256))
			}
			table.Observe(e)
			if r.IntN(50) == 0 {
				table = restart(t, table.cfg, table)
			}
		}
		if s := table.Stats(); s.Addresses > table.cfg.Neighbours || s.Stations > table.cfg.Neighbours {
			t.Errorf("%+v", s)
		}
	})
}

// The classes of entries in a state.
const (
	flooded = iota
	once
	lasting
)

// classes counts the links, stations and addresses of a table by class.
func classes(table *Table) (all [3][3]int) {
	class := func(isLasting, isFlood bool) int {
		switch {
		case isLasting:
			return lasting
		case isFlood:
			return flooded
		}
		return once
	}
	for _, s := range table.State() {
		all[0][class(s.Lasting, s.Flood)]++
		for _, st := range s.Stations {
			all[1][class(st.Lasting, st.Flood)]++
		}
		for _, n := range s.Neighbours {
			all[2][class(n.Lasting, n.Flood)]++
		}
	}
	return all
}

// After a restart, what was lasting is, and what was a flood's is.
func TestStateInAFlood(t *testing.T) {
	table := newTable()
	check(t, table, "", ns(host, global, "2001:db8::1"), ns(host, global, "2001:db8::1"))
	check(t, table, "station.new claim.new", ns(other, "fe80::b", "2001:db8::1", on("eth1")))
	for n := range 300 {
		table.Observe(flood(n, minute))
		e := flood(n, minute)
		floods["VLANs"](e, n)
		table.Observe(e)
	}
	again := newTableOf(t, table)
	if diff := cmp.Diff(classes(table), classes(again)); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	// The links: 201 and 99 VLANs, eth0 with the latter, and eth1, which nothing was told of again. The entries: 201 on
	// eth0 and on as many VLANs, 99 on eth0 that the storm began with, with the host, and 99 on VLANs, with eth1's.
	want := [3][3]int{{201, 1, 100}, {402, 100, 100}, {402, 100, 100}}
	if diff := cmp.Diff(want, classes(table)); diff != "" {
		t.Errorf("links, stations and addresses by class (-want +got)\n%s", diff)
	}
	// A state of an older version has less about the links.
	old := table.State()
	older := newTable()
	for _, s := range old {
		s.Lasting, s.Flood, s.FirstSeen, s.LastSeen = false, false, time.Time{}, time.Time{}
		if err := older.Restore(s); err != nil {
			t.Fatal(err)
		}
	}
	check(t, older, "", ns(host, global, "2001:db8::1", after(2*minute)))
}
