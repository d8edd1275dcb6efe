package pinger

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/pinger/internal/testlab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/decode"
	"golang.org/x/sys/unix"
)

// What is sent is read back from the wire by the decoder of the sensor.
func TestNDFrames(t *testing.T) {
	here, there := testlab.New(t), testlab.New(t)
	here.Veth("a", there, "b")
	tap := there.Frames("b")
	link := here.Link("a").Attrs()
	sl := &slave{index: link.Index, mac: schemas.MAC(link.HardwareAddr), source: netip.MustParseAddr("fe80::1")}
	var nd *ndSocket
	var err error
	here.Do(func() { nd, err = openND() })
	if err != nil {
		t.Fatal(err)
	}
	defer nd.Close()

	target, station := netip.MustParseAddr("2001:db8::1:2345:6789"), schemas.MAC{2, 0, 0, 0, 0, 9}
	to := asker{on: sl, addr: netip.MustParseAddr("2001:db8::7"), mac: station}
	type frame struct {
		To          schemas.MAC
		Destination netip.Addr
		ND          *schemas.ND
	}
	option := []schemas.LinkLayer{{Address: sl.mac}}
	for name, test := range map[string]struct {
		send func() error
		want frame
	}{
		"to all": {func() error { return nd.solicit(sl, target, nil) }, frame{schemas.MAC{0x33, 0x33, 0xff, 0x45, 0x67, 0x89}, netip.MustParseAddr("ff02::1:ff45:6789"),
			&schemas.ND{NS: &schemas.NS{TargetAddress: target}, Opt: &schemas.Options{SourceLinkLayer: option}}}},
		"to one": {func() error { return nd.solicit(sl, target, &station) }, frame{station, target,
			&schemas.ND{NS: &schemas.NS{TargetAddress: target}, Opt: &schemas.Options{SourceLinkLayer: option}}}},
		"answer": {func() error { return nd.advertise(sl, target, to) }, frame{station, to.addr,
			&schemas.ND{NA: &schemas.NA{TargetAddress: target, Flag: schemas.NAFlags{Solicited: true}}, Opt: &schemas.Options{TargetLinkLayer: option}}}},
	} {
		if err := test.send(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		data := tap.Next()
		var d decode.Decoder
		ev, ok := d.Decode(data, len(data))
		if !ok {
			t.Fatalf("%s: not ND: %x", name, data)
		}
		if ev.Fault != nil {
			t.Errorf("%s: the frame has a fault: %+v", name, ev.Fault)
		}
		got := frame{ev.Ethernet.Destination, ev.Inet6.Destination, ev.ND}
		if diff := cmp.Diff(test.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if ev.Ethernet.Source != sl.mac || ev.Inet6.Source != sl.source || ev.Inet6.HopLimit != 255 {
			t.Errorf("%s: from %v, %v, hop limit %d", name, ev.Ethernet.Source, ev.Inet6.Source, ev.Inet6.HopLimit)
		}
	}
	sl.index = 9999
	if err := nd.solicit(sl, target, nil); err != unix.ENXIO && err != unix.ENODEV {
		t.Errorf("out of an interface that is not there: %v", err)
	}
}

// advertise makes a Neighbor Advertisement.
func advertise(flags byte, target netip.Addr, options ...byte) []byte {
	b := target.As16()
	return append(append([]byte{136, 0, 0, 0, flags, 0, 0, 0}, b[:]...), options...)
}

func TestParseAdvertisement(t *testing.T) {
	target, mac := netip.MustParseAddr("2001:db8::42"), schemas.MAC{2, 0, 0, 0, 0, 0x42}
	option := append([]byte{2, 1}, mac[:]...)
	for name, test := range map[string]struct {
		message []byte
		want    *advertisement // nil if it is refused
	}{
		"full":            {advertise(0xe0, target, option...), &advertisement{target, true, true, &mac}},
		"for another":     {advertise(0x40, target, option...), &advertisement{target, true, false, &mac}},
		"unsolicited":     {advertise(0x20, target, option...), &advertisement{target, false, true, &mac}},
		"no option":       {advertise(0x60, target), &advertisement{target, true, true, nil}},
		"other option":    {advertise(0x60, target, append([]byte{1, 1, 9, 9, 9, 9, 9, 9}, option...)...), &advertisement{target, true, true, &mac}},
		"longer address":  {advertise(0x60, target, append([]byte{2, 2}, make([]byte, 14)...)...), &advertisement{target, true, true, nil}},
		"empty":           {nil, nil},
		"short":           {advertise(0x60, target)[:23], nil},
		"code":            {append([]byte{136, 1}, advertise(0x60, target)[2:]...), nil},
		"type":            {append([]byte{135}, advertise(0x60, target)[1:]...), nil},
		"multicast":       {advertise(0x60, netip.MustParseAddr("ff02::1")), nil},
		"option of 0":     {advertise(0x60, target, 2, 0, 0, 0, 0, 0, 0, 0), nil},
		"option too long": {advertise(0x60, target, 2, 2, 0, 0, 0, 0, 0, 0), nil},
		"half an option":  {advertise(0x60, target, 2), nil},
	} {
		got, ok := parseAdvertisement(test.message)
		if ok != (test.want != nil) {
			t.Errorf("%s: taken is %v", name, ok)
		} else if ok {
			if diff := cmp.Diff(*test.want, got, cmp.AllowUnexported(advertisement{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

func FuzzParseAdvertisement(f *testing.F) {
	f.Add(advertise(0xe0, netip.MustParseAddr("2001:db8::42"), 2, 1, 2, 0, 0, 0, 0, 0x42))
	f.Add(advertise(0x60, netip.MustParseAddr("2001:db8::42"), 2, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := parseAdvertisement(b); ok && (!a.target.IsValid() || a.target.IsMulticast()) {
			t.Errorf("target is %v", a.target)
		}
		parseReply(netip.IPv6Loopback(), b)
	})
}
