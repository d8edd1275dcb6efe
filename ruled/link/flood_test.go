package link

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// A flood makes up something in each of its frames.
var floods = map[string]func(e *schemas.Event, n int){
	"addresses": func(*schemas.Event, int) {},
	"VLANs": func(e *schemas.Event, n int) {
		e.Ethernet.VLAN, e.Ethernet.InnerVLAN = new(uint16(1+n%4094)), new(uint16(1+n/4094%4094))
	},
	"interfaces":                  func(e *schemas.Event, n int) { e.Interface = fmt.Sprint("x", n) },
	"hosts":                       func(e *schemas.Event, n int) { e.Host = fmt.Sprint("h", n) },
	"a few in each of many VLANs": func(e *schemas.Event, n int) { e.Ethernet.VLAN = new(uint16(1 + n%4000)) },
	"mixed": func(e *schemas.Event, n int) {
		switch n % 4 {
		case 1:
			e.Ethernet.VLAN, e.Ethernet.InnerVLAN = new(uint16(1+n%4094)), new(uint16(1+n/4094%4094))
		case 2:
			e.Interface = fmt.Sprint("x", n)
		case 3:
			e.Host = fmt.Sprint("h", n)
		}
	},
}

// What was known before a flood is known in it and after it, whatever it makes
// up; nothing grows past its bound; and the true alert in it is raised.
func TestFloods(t *testing.T) {
	frames := 20_000
	if testing.Short() {
		frames /= 4
	}
	for name, makeUp := range floods {
		for _, lasts := range []time.Duration{time.Second, 5 * minute} {
			for _, twice := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s in %v, twice %t", name, lasts, twice), func(t *testing.T) {
					testFlood(t, frames, lasts, twice, makeUp)
				})
			}
		}
	}
}

func TestMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("a million frames")
	}
	frames := 1_000_000
	if raceDetector {
		frames /= 10
	}
	testFlood(t, frames, 10*minute, false, floods["mixed"])
}

func testFlood(t *testing.T, frames int, lasts time.Duration, twice bool, makeUp func(*schemas.Event, int)) {
	const bound, hosts = 5000, 300
	table := bounded(bound)

	// known is a frame of a host on one of the links there were before.
	links := []option{on("eth0"), on("eth1"), vlan(7), func(e *schemas.Event) { e.Host = "r2" }}
	known := func(n int, opts ...option) *schemas.Event {
		octet := fmt.Sprintf("%02x:%02x", n>>8, n&255)
		return ns("02:00:00:01:"+octet, fmt.Sprintf("2001:db8:1::%x", n+1), "2001:db8::1", append(opts, links[n%len(links)])...)
	}
	for n := range hosts {
		table.Observe(known(n, after(time.Duration(n)*time.Second/10)))
	}
	table.Observe(ra(gateway, gatewayLL, prefix("2001:db8:1::/64")))

	stolen := 0
	alert := func(at time.Duration) {
		t.Helper()
		e := known(stolen, after(at))
		e.Ethernet.Source = mac(attacker)
		if got := observe(table, e); !strings.Contains(got, "claim.contested") {
			t.Errorf("at %v, an address that is taken over is not reported: %s", at, got)
		}
		stolen += len(links)
		if got := observe(table, ra(attacker, gatewayLL, prefix("2001:db8:bad::/64"), after(at))); !strings.Contains(got, "router.wrongmac") {
			t.Errorf("at %v, an RA in the router's name is not reported: %s", at, got)
		}
	}
	send := func(n int, at time.Duration) {
		e := flood(n, 0)
		e.Time = epoch.Add(at)
		makeUp(e, n)
		table.Observe(e)
		if s := table.Stats(); s.Addresses > bound || s.Stations > bound || s.Links > maxLinks || table.asked.Used > maxRecent || table.probed.Used > maxRecent {
			t.Fatalf("%+v after frame %d", s, n)
		}
	}
	const again = 15 * time.Second
	step := lasts / time.Duration(frames)
	second := 0 // the next frame to be sent again
	resend := func(until time.Duration) {
		for at := func() time.Duration { return minute + time.Duration(second)*step + again }; twice && second < frames && at() <= until; second++ {
			send(second, at())
		}
	}
	for n := range frames {
		at := minute + time.Duration(n)*step
		resend(at)
		send(n, at)
		if n == frames/2 {
			alert(at)
		}
	}
	resend(minute + lasts + again)
	end := minute + lasts + again
	alert(end)
	forgotten := 0
	for n := range hosts {
		if n == 0 || n == len(links) {
			continue // the stolen ones
		}
		if got := observe(table, known(n, after(end+time.Second))); got != "" {
			forgotten++
			t.Logf("%d: %s", n, got)
		}
	}
	if forgotten > 0 {
		t.Errorf("%d of %d hosts are not known any more", forgotten, hosts)
	}
}

// A flood on made-up VLANs does not make a link forget what was asked for on it.
func TestFloodOfSolicitations(t *testing.T) {
	for name, solicit := range map[string]func(target string, opts ...option) *schemas.Event{
		"asked":  func(target string, opts ...option) *schemas.Event { return ns(other, "2001:db8::b", target, opts...) },
		"probed": func(target string, opts ...option) *schemas.Event { return ns(host, "::", target, opts...) },
	} {
		table := newTable()
		observe(table, ns(other, "2001:db8::b", "2001:db8::1"), ns(other, "2001:db8::b", "2001:db8::1", after(time.Second)))
		const frames = 2 * maxRecent
		targets := 0
		for n := range frames {
			at := after(minute + time.Duration(n)*10*time.Microsecond)
			e := solicit(fmt.Sprintf("2001:db8:2::%x:%x", n>>16, n&0xffff), at)
			floods["a few in each of many VLANs"](e, n)
			table.Observe(e)
			if n%100 == 0 && n > frames*3/4 {
				table.Observe(solicit(fmt.Sprintf("2001:db8:3::%x", n/100), at))
				targets++
			}
		}
		l := table.links[linkKey{"r1", "eth0", -1, -1}]
		if l == nil {
			t.Fatalf("%s: the link is forgotten", name)
		}
		remembered := map[string]int{"asked": l.asked.Len(), "probed": l.probed.Len()}[name]
		if remembered < targets {
			t.Errorf("%s: %d of %d targets are remembered", name, remembered, targets)
		}
	}
	// And so the answers are what they are.
	table := newTable()
	check(t, table, "", ns(host, global, "2001:db8::1"), ns(host, global, "2001:db8::1"))
	for n := range 2 * maxRecent {
		e := ns(other, "2001:db8::b", fmt.Sprintf("2001:db8:2::%x:%x", n>>16, n&0xffff), after(minute))
		floods["VLANs"](e, n)
		table.Observe(e)
	}
	check(t, table, "station.new claim.new", ns(other, "2001:db8::b", global, after(minute)))
	check(t, table, "", na(host, global, flags("SO"), after(minute)))
	check(t, table, "claim.new claim.expected dad dad.stranger", ns(other, "::", "2001:db8::c", after(minute)), na(host, "2001:db8::c", after(minute)))
}

// What was first seen in a flood is doubted while the flood goes on.
func TestFlooding(t *testing.T) {
	during := func(d time.Duration) option { return after(minute + d) }
	send := func(table *Table, from, to int, start time.Duration, on ...option) {
		for n := from; n < to; n++ {
			e := flood(n, start)
			for _, o := range on {
				o(e)
			}
			table.Observe(e)
		}
	}
	begin := func() *Table {
		table := newTable()
		check(t, table, "station.new claim.new", ns(host, global, "2001:db8::1"))
		send(table, 0, 200, minute)
		return table
	}
	stranger := ns(attacker, attackerLL, "2001:db8::1", during(time.Second))
	claim := na(attacker, global, during(2*time.Second), flags("S"))

	check(t, begin(), "flood station.new claim.new", stranger)
	check(t, begin(), "flood", stranger, ns(attacker, attackerLL, "2001:db8::1", during(2*time.Second)))
	check(t, begin(), "unsolicited claim.settled claim.changed claim.contested claim.spoofed", stranger, claim)
	check(t, begin(), "", ns(host, global, "2001:db8::1", during(time.Second)))
	check(t, begin(), "flood claim.new", ns(host, "2001:db8::aa", "2001:db8::1", during(time.Second)))
	check(t, begin(), "station.new claim.new", ns(attacker, attackerLL, "2001:db8::1", during(time.Second), on("eth1")))

	// It is over, or goes on for long.
	check(t, begin(), "", stranger, ns(attacker, attackerLL, "2001:db8::1", during(12*time.Second)))
	table := begin()
	observe(table, stranger)
	for at := 9; at <= 600; at += 9 {
		send(table, 200*at, 200*at+200, minute+time.Duration(at)*time.Second)
		observe(table, ns(attacker, attackerLL, "2001:db8::1", during(time.Duration(at)*time.Second)))
	}
	check(t, table, "flood", ns(attacker, attackerLL, "2001:db8::1", during(600*time.Second)))
	check(t, table, "", ns(attacker, attackerLL, "2001:db8::1", during(605*time.Second)))
	check(t, table, "flood station.new claim.new", ns(other, "fe80::b", "2001:db8::1", during(605*time.Second)))

	// On made-up links, but not on those that were there.
	table = begin()
	for n := range 150 {
		e := flood(n, 2*minute)
		floods["VLANs"](e, n)
		table.Observe(e)
	}
	const at = 2*minute + time.Second
	check(t, table, "flood station.new claim.new", ns(host, global, "2001:db8::1", after(at), vlan(4000)))
	check(t, table, "station.new claim.new", ns(other, "fe80::b", "2001:db8::1", after(at)))
	check(t, table, "flood station.new claim.new", ns(other, "fe80::b", "2001:db8::1", after(at), vlan(4000)))
	check(t, table, "", ns(host, global, "2001:db8::1", after(at+11*time.Second), vlan(4000)), ns(host, global, "2001:db8::1", after(at+11*time.Second), vlan(4000)))
}

// Who sends again after each storm what is left of it fills the room for what is
// lasting, but pushes out no host that was heard within the hour.
func TestPatientFlood(t *testing.T) {
	const bound, hosts = 1000, 100
	table := bounded(bound)
	known := func(n int, at time.Duration) *schemas.Event {
		return ns(fmt.Sprintf("02:00:00:01:00:%02x", n), fmt.Sprintf("2001:db8:1::%x", n+1), "2001:db8::1", after(at))
	}
	for n := range 2 * hosts {
		table.Observe(known(n%hosts, time.Duration(n)*time.Second/5))
	}
	at := minute
	for round := range 60 {
		for n := range 2 * bound {
			table.Observe(flood(round*2*bound+n, at))
		}
		at += 30 * time.Second
		for n := 2*bound - 1; n >= 0; n-- {
			if e := flood(round*2*bound+n, 0); table.links[linkKey{"r1", "eth0", -1, -1}].stations.Get(e.Ethernet.Source.Uint64()) != nil {
				e.Time = epoch.Add(at)
				table.Observe(e)
			}
		}
		at += 25 * time.Second
		if lasts := classes(table)[1][lasting]; lasts > bound-bound/5 {
			t.Fatalf("round %d: %d stations are lasting", round, lasts)
		}
	}
	for n := range hosts {
		if got := observe(table, known(n, at)); got != "" {
			t.Fatalf("%d: %s", n, got)
		}
	}
	// After an hour, they give way.
	for n := range 2 * bound {
		table.Observe(flood(1_000_000+n, at+2*time.Hour+time.Duration(n)*minute))
		e := flood(1_000_000+n, 0)
		e.Time = epoch.Add(at + 2*time.Hour + time.Duration(n)*minute)
		table.Observe(e)
	}
	if got := observe(table, known(0, at+40*time.Hour)); got != "station.new claim.new" {
		t.Errorf("an hour of silence: %q", got)
	}
}

// Where all the room is taken by what was seen once, a flood gets a tenth of it: entries in it can be distinguished.
func TestFloodHasRoom(t *testing.T) {
	const bound = 1000
	table := bounded(bound)
	for n := range bound {
		e := flood(n, 0)
		e.Time = epoch.Add(time.Duration(n) * minute)
		table.Observe(e)
	}
	for n := range 10 * bound {
		table.Observe(flood(bound+n, bound*minute))
	}
	for n := range bound / 10 {
		if e := flood(11*bound-1-n, bound*minute); observe(table, e) != "unsolicited flood" {
			t.Fatalf("%d before the last: %s", n, facts(e))
		}
	}
	if got := classes(table)[1][once] + classes(table)[1][lasting]; got < bound*9/10-1 {
		t.Errorf("%d of those before the flood are left", got)
	}
}

// A link is lasting with its second event, also where no other's was between.
func TestLinkLasts(t *testing.T) {
	table := newTable()
	observe(table, ns(host, global, "2001:db8::1"), ns(host, global, "2001:db8::1"), ns(host, global, "2001:db8::1", on("eth1")))
	if n := classes(table)[0][lasting]; n != 1 {
		t.Fatalf("%d links are lasting, want 1", n)
	}
	observe(table, ns(host, global, "2001:db8::1", on("eth1")))
	if n := classes(table)[0][lasting]; n != 2 {
		t.Errorf("%d links are lasting, want 2", n)
	}
}

// What a flood made up is no longer in memory once it is forgotten.
func TestFloodsLeaveNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("400,000 frames")
	}
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	for name, makeUp := range floods {
		table := bounded(1000)
		n := 0
		send := func(frames int) {
			for range frames {
				e := flood(n, 0)
				makeUp(e, n)
				table.Observe(e)
				n++
			}
		}
		send(20_000)
		before := heap()
		send(60_000)
		if more := heap() - before; more > 8<<20 {
			t.Errorf("%s: %d MB more", name, more>>20)
		}
		runtime.KeepAlive(table)
	}
}
