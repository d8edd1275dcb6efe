package sensor

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// solicitation matches the NS for a target on an interface.
func solicitation(iface, direction, target string) func(message) bool {
	addr := netip.MustParseAddr(target)
	return func(m message) bool {
		e := m.event
		return e.Interface == iface && e.Direction == direction &&
			e.ND != nil && e.ND.NS != nil && e.ND.NS.TargetAddress == addr
	}
}

// advertisement matches the NA of a target on an interface.
func advertisement(iface, direction, target string) func(message) bool {
	addr := netip.MustParseAddr(target)
	return func(m message) bool {
		e := m.event
		return e.Interface == iface && e.Direction == direction &&
			e.ND != nil && e.ND.NA != nil && e.ND.NA.TargetAddress == addr
	}
}

// solicited solicits a target from a host, and waits until the sensor has received that.
func (r *running) solicited(t *testing.T, host *lab.Namespace, iface, target string) message {
	t.Helper()
	host.Solicit(netip.MustParseAddr(target))
	return r.sees(t, "the NS for "+target, solicitation(iface, schemas.In, target))
}

// pair makes a router with an interface eth0 and a host with eth0 behind it,
// numbered 2001:db8::1 and 2001:db8::2.
func pair(t *testing.T) (router, host *lab.Namespace) {
	t.Helper()
	router, host = lab.New(t, "router"), lab.New(t, "host")
	router.Veth("eth0", host, "eth0")
	router.Address("eth0", "2001:db8::1/64")
	host.Address("eth0", "2001:db8::2/64")
	return router, host
}

// startPair runs the sensor on the router of a pair, and waits until it captures eth0.
func startPair(t *testing.T, c Config, edit ...func(*Deps)) (r *running, router, host *lab.Namespace) {
	t.Helper()
	router, host = pair(t)
	r = start(t, router, c, edit...)
	r.capturing(t, "eth0", 1)
	return r, router, host
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDirection(t *testing.T) {
	c := config()
	c.Masters = []string{"eth0"}
	r, router, host := startPair(t, c)

	// The router solicits and the host answers.
	router.Solicit(netip.MustParseAddr("2001:db8::2"))
	out := r.sees(t, "the NS that leaves", solicitation("eth0", schemas.Out, "2001:db8::2"))
	in := r.sees(t, "the NA that comes back", advertisement("eth0", schemas.In, "2001:db8::2"))
	// The host solicits an address that no host has.
	r.solicited(t, host, "eth0", "2001:db8::3")

	if wrong := r.events(solicitation("eth0", schemas.In, "2001:db8::2")); len(wrong) > 0 {
		t.Errorf("an NS that left was captured as one that came: %+v", wrong)
	}
	if wrong := r.events(advertisement("eth0", schemas.Out, "2001:db8::2")); len(wrong) > 0 {
		t.Errorf("an NA that came was captured as one that left: %+v", wrong)
	}
	mac := schemas.MAC(router.Link("eth0").Attrs().HardwareAddr)
	switch e := out.event; {
	case e.Host != "r1", !e.Master, e.Ethernet.Source != mac, e.Ethernet.VLAN != nil, e.Inet6.HopLimit != 255:
		t.Errorf("event of the NS: %+v", e)
	case len(e.Frame) != 14+int(e.Inet6.Payload)+40:
		t.Errorf("the frame has %d bytes", len(e.Frame))
	}
	if in.event.Ethernet.Destination != mac || in.event.Time.Before(out.event.Time) {
		t.Errorf("event of the NA: %+v", in.event)
	}
	for _, e := range r.events(func(message) bool { return true }) {
		if !e.event.Master {
			t.Errorf("event of a master without the mark: %+v", e.event)
		}
	}
	if n := r.metric(t, "nd_sensor_frames_total", "interface", "eth0", "direction", "out", "kind", "ns"); n < 1 {
		t.Errorf("%v solicitations that left were counted", n)
	}
	if n := r.metric(t, "nd_sensor_interfaces"); n != 1 {
		t.Errorf("%v interfaces are captured by the metrics", n)
	}
	r.stop(t)
	if want := len(r.messages); r.metric(t, "nd_sensor_events_total") != float64(want) {
		t.Errorf("%v events counted, %d published", r.metric(t, "nd_sensor_events_total"), want)
	}
	if r.flushes != 1 {
		t.Errorf("flushed %d times at the end", r.flushes)
	}
}

// Both ends look for many addresses of each other at the same time. The router's
// events come in the order of their times, and each answer behind its question.
func TestOrder(t *testing.T) {
	lab.ReserveNeighbours(t, 192)
	r, router, host := startPair(t, config("eth0"))
	const each = 40 // the kernel has one neighbour table for all namespaces
	address := func(block, n int) string { return fmt.Sprintf("2001:db8::%x:%x", block, n) }
	for i := range each {
		router.Address("eth0", address(1, i)+"/128")
		host.Address("eth0", address(2, i)+"/128")
	}
	var asking sync.WaitGroup
	for from, block := range map[*lab.Namespace]int{router: 2, host: 1} {
		asking.Go(func() {
			for i := range each {
				from.Solicit(netip.MustParseAddr(address(block, i)))
			}
		})
	}
	asking.Wait()
	// An address that has solicited itself is in the neighbour cache and is not solicited.
	lab.Eventually(t, "both ends have answered most", func() bool {
		answers := map[string]int{}
		for _, m := range r.events(func(m message) bool { return m.event.ND.NA != nil }) {
			answers[m.event.Direction]++
		}
		return answers[schemas.In] > each/2 && answers[schemas.Out] > each/2
	})
	var last time.Time
	solicited, older, early, answers := map[netip.Addr]bool{}, 0, 0, 0
	events := r.events(func(message) bool { return true })
	for _, m := range events {
		e := m.event
		if e.Time.Before(last) {
			older++
		}
		last = e.Time
		switch {
		case e.ND.NS != nil:
			solicited[e.ND.NS.TargetAddress] = true
		case e.ND.NA != nil && e.ND.NA.Flag.Solicited:
			answers++
			if !solicited[e.ND.NA.TargetAddress] {
				early++
			}
		}
	}
	if older > 0 || early > 0 {
		t.Errorf("%d of %d events are older than the one before, %d of %d answers come before their question",
			older, len(events), early, answers)
	}
}

// A bridge between two stations: what it passes on is forwarded, what it sends
// itself is not, also from a new Ethernet address.
func TestForwarded(t *testing.T) {
	bridge, one, two := lab.New(t, "bridge"), lab.New(t, "one"), lab.New(t, "two")
	bridge.Bridge("br0")
	for port, station := range map[string]*lab.Namespace{"p1": one, "p2": two} {
		bridge.Veth(port, station, "eth0")
		check(t, bridge.Netlink.LinkSetMaster(bridge.Link(port), bridge.Link("br0")))
	}
	bridge.Up("br0")
	bridge.Address("br0", "2001:db8::1/64")
	one.Address("eth0", "2001:db8::11/64")
	two.Address("eth0", "2001:db8::12/64")
	r := start(t, bridge, config("p*", "br0"))
	for _, name := range []string{"p1", "p2", "br0"} {
		r.capturing(t, name, 1)
	}
	expect := func(what string, forwarded bool, match func(message) bool) {
		t.Helper()
		if m := r.sees(t, what, match); m.event.Forwarded != forwarded {
			t.Errorf("%s, of %v, has forwarded %v", what, m.event.Ethernet.Source, m.event.Forwarded)
		}
	}

	one.Solicit(netip.MustParseAddr("2001:db8::12"))
	expect("the NS that comes from a station", false, solicitation("p1", schemas.In, "2001:db8::12"))
	expect("the NS that leaves for the other", true, solicitation("p2", schemas.Out, "2001:db8::12"))
	expect("the NA that leaves for the first", true, advertisement("p1", schemas.Out, "2001:db8::12"))

	own := func(target string) {
		bridge.Solicit(netip.MustParseAddr(target))
		expect("the bridge's own NS", false, solicitation("br0", schemas.Out, target))
		expect("its copy that leaves by a port", false, solicitation("p1", schemas.Out, target))
	}
	own("2001:db8::21")
	link := bridge.Link("br0")
	mac := schemas.MAC{2, 0, 0, 0, 0, 0x42}
	check(t, bridge.Netlink.LinkSetHardwareAddr(link, mac[:]))
	r.logs(t, 1, "changed its Ethernet address", "interface=br0", "to=02:00:00:00:00:42")
	own("2001:db8::22")

	// The kernel advertises a new address at once, before the sensor hears of it.
	bridge.Do(func() {
		check(t, os.WriteFile("/proc/sys/net/ipv6/conf/br0/ndisc_notify", []byte("1"), 0))
	})
	mac[5]++
	check(t, bridge.Netlink.LinkSetHardwareAddr(link, mac[:]))
	expect("the NA with a new address", false, advertisement("br0", schemas.Out, "2001:db8::1"))
}

// The kernel removes the VLAN tag of a received frame.
func TestVLAN(t *testing.T) {
	r, _, host := startPair(t, config("eth0"))
	plain := r.solicited(t, host, "eth0", "2001:db8::30")
	if v := plain.event.Ethernet.VLAN; v != nil {
		t.Errorf("VLAN of a frame without a tag is %v", *v)
	}

	// The same, for another target, in VLAN 300 with priority 5.
	frame := slices.Concat(plain.event.Frame[:12], []byte{0x81, 0, 5<<5 | 300>>8, 300 & 0xff}, plain.event.Frame[12:])
	frame[4+14+40+8+15] = 0x31
	host.Send("eth0", frame)
	tagged := r.sees(t, "the tagged NS", solicitation("eth0", schemas.In, "2001:db8::31"))
	if v := tagged.event.Ethernet.VLAN; v == nil || *v != 300 {
		t.Errorf("VLAN of the tagged frame is %v, not 300", v)
	}
}

// Of several tags the kernel removes the outer one, and leaves LLC and SNAP headers as they are.
func TestWrapped(t *testing.T) {
	r, _, host := startPair(t, config("eth0"))
	plain := r.solicited(t, host, "eth0", "2001:db8::30").event.Frame

	llc := []byte{0, 80, 0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd} // RFC 1042
	for i, test := range []struct {
		name    string
		headers []byte // in place of the EtherType
		vlans   []uint16
		fault   bool
	}{
		{"QinQ", []byte{0x88, 0xa8, 0, 100, 0x81, 0, 0, 12, 0x86, 0xdd}, []uint16{100, 12}, false},
		{"three tags", []byte{0x88, 0xa8, 0, 100, 0x81, 0, 0, 12, 0x81, 0, 0, 13, 0x86, 0xdd}, []uint16{100, 12}, false},
		{"a priority", []byte{0x81, 0, 0xe0, 0, 0x86, 0xdd}, []uint16{0}, false},
		{"two priorities", []byte{0x81, 0, 0, 0, 0x81, 0, 0, 0, 0x86, 0xdd}, []uint16{0, 0}, true},
		{"SNAP", llc, nil, true},
		{"SNAP behind a priority", slices.Concat([]byte{0x81, 0, 0, 0}, llc), []uint16{0}, true},
		{"SNAP in QinQ", slices.Concat([]byte{0x88, 0xa8, 0, 100, 0x81, 0, 0, 12}, llc), []uint16{100, 12}, true},
	} {
		// The same, for another target.
		frame := slices.Concat(plain[:12], test.headers, plain[14:])
		frame[12+len(test.headers)+40+8+15] = byte(0x40 + i)
		host.Send("eth0", frame)
		e := r.sees(t, test.name, solicitation("eth0", schemas.In, fmt.Sprintf("2001:db8::%x", 0x40+i))).event
		var vlans []uint16
		for _, vlan := range []*uint16{e.Ethernet.VLAN, e.Ethernet.InnerVLAN} {
			if vlan != nil {
				vlans = append(vlans, *vlan)
			}
		}
		if fault := e.Fault != nil && e.Fault.Encapsulation; !slices.Equal(vlans, test.vlans) || fault != test.fault {
			t.Errorf("%s: VLANs %v, fault %v", test.name, vlans, fault)
		}
	}
}

// Only ND may be read, whatever was queued while the sockets had no filter.
func TestNoOtherTraffic(t *testing.T) {
	router, host := pair(t)
	echo := []byte{
		0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd,
		0x60, 0, 0, 0, 0, 8, 58, 255, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		128, 0, 0, 0, 0, 0, 0, 0,
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // a flood, so that frames come while the sockets are made
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				host.Send("eth0", slices.Repeat([][]byte{echo}, 100)...)
			}
		}
	}()
	r := start(t, router, config("eth0"))
	r.capturing(t, "eth0", 1)
	r.solicited(t, host, "eth0", "2001:db8::1")
	close(stop)
	<-stopped
	r.stop(t) // whose check looks at all events
	if n := r.metric(t, "nd_sensor_ignored_frames_total"); n != 0 {
		t.Errorf("%v frames were read that are no ND", n)
	}
	if n := r.metric(t, "nd_sensor_dropped_total"); n != 0 {
		t.Errorf("%v frames were lost", n)
	}
}

// The flush at the end may fail, which must not be silent.
func TestFlushFails(t *testing.T) {
	n := lab.New(t, "router")
	r := start(t, n, config())
	r.logs(t, 1, "waiting for interface")
	r.mu.Lock()
	r.flushError = os.ErrDeadlineExceeded
	r.mu.Unlock()
	r.cancel()
	err := <-r.done
	close(r.done)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Run: %v", err)
	}
}
