package link

import (
	"fmt"
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
	for name, makeUp := range floods {
		for _, lasts := range []time.Duration{time.Second, 5 * minute} {
			for _, twice := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s in %v, twice %t", name, lasts, twice), func(t *testing.T) {
					testFlood(t, 20_000, lasts, twice, makeUp)
				})
			}
		}
	}
}

func TestMillion(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("a million frames take a while")
	}
	testFlood(t, 1_000_000, 10*minute, false, floods["mixed"])
}

func testFlood(t *testing.T, frames int, lasts time.Duration, twice bool, makeUp func(*schemas.Event, int)) {
	const bound, hosts = 5000, 300
	table := New(Config{Neighbours: bound, ClaimTimeout: DefaultClaimTimeout, Silence: DefaultSilence})

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
			t.Errorf("at %v, an address that is taken over is not told of: %s", at, got)
		}
		stolen += len(links)
		if got := observe(table, ra(attacker, gatewayLL, prefix("2001:db8:bad::/64"), after(at))); !strings.Contains(got, "router.wrongmac") {
			t.Errorf("at %v, an RA in the router's name is not told of: %s", at, got)
		}
	}
	send := func(n int, at time.Duration) {
		e := flood(n, 0)
		e.Time = epoch.Add(at)
		makeUp(e, n)
		table.Observe(e)
		if s := table.Stats(); s.Addresses > bound || s.Stations > bound || s.Links > maxLinks || table.asked.used > maxRecent || table.probed.used > maxRecent {
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
	if chunks := len(table.bindings.chunks); chunks > bound/chunkSize+1 {
		t.Errorf("%d chunks of addresses", chunks)
	}
}
