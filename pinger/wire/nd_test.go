package wire

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/sys/unix"
)

// nextND waits for a Neighbor Solicitation or Advertisement on a wire.
func nextND(t *testing.T, wire *lab.Wire) (nd gopacket.Packet) {
	t.Helper()
	lab.Eventually(t, "a solicitation or an advertisement", func() bool {
		for _, f := range wire.Frames() {
			packet := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.Default)
			solicitation, advertisement := packet.Layer(layers.LayerTypeICMPv6NeighborSolicitation), packet.Layer(layers.LayerTypeICMPv6NeighborAdvertisement)
			if !f.Out && (solicitation != nil || advertisement != nil) {
				nd = packet
			}
		}
		return nd != nil
	})
	return nd
}

// What is sent is read back from the wire by gopacket.
func TestNDFrames(t *testing.T) {
	here, there := lab.New(t, "here"), lab.New(t, "there")
	here.Veth("a", there, "b")
	tap := there.Wire("b")
	link := here.Link("a").Attrs()
	on := &port.Port{Index: link.Index, MAC: schemas.MAC(link.HardwareAddr), Source: netip.MustParseAddr("fe80::1")}
	var nd *ND
	var err error
	here.Do(func() { nd, err = OpenND() })
	if err != nil {
		t.Fatal(err)
	}
	defer nd.Close()

	target, station := netip.MustParseAddr("2001:db8::1:2345:6789"), schemas.MAC{2, 0, 0, 0, 0, 9}
	to := port.Requester{On: on, Addr: netip.MustParseAddr("2001:db8::7"), MAC: station}
	option := func(t layers.ICMPv6Opt) layers.ICMPv6Options {
		return layers.ICMPv6Options{{Type: t, Data: on.MAC[:]}}
	}
	solicit := func(s Solicitation) func() error {
		return func() error {
			list := []Solicitation{s}
			nd.Solicit(list)
			return list[0].Err
		}
	}
	solicitation := func() *layers.ICMPv6NeighborSolicitation {
		return &layers.ICMPv6NeighborSolicitation{TargetAddress: target.AsSlice(), Options: option(layers.ICMPv6OptSourceAddress)}
	}
	advertisement := func(flags uint8) gopacket.Layer {
		return &layers.ICMPv6NeighborAdvertisement{Flags: flags, TargetAddress: target.AsSlice(), Options: option(layers.ICMPv6OptTargetAddress)}
	}
	for name, test := range map[string]struct {
		send        func() error
		to          schemas.MAC
		destination netip.Addr
		want        gopacket.Layer
	}{
		"to all": {solicit(Solicitation{On: on, Target: target}), schemas.MAC{0x33, 0x33, 0xff, 0x45, 0x67, 0x89},
			netip.MustParseAddr("ff02::1:ff45:6789"), solicitation()},
		"to one": {solicit(Solicitation{On: on, Target: target, At: &station}), station, target, solicitation()},
		"answer": {func() error { return nd.Advertise(to, target, false) }, station, to.Addr, advertisement(0x40)},
		"answer to duplicate address detection": {func() error {
			return nd.Advertise(port.Requester{On: on, Addr: netip.IPv6Unspecified(), MAC: station}, target, false)
		},
			schemas.MAC{0x33, 0x33, 0, 0, 0, 1}, netip.MustParseAddr("ff02::1"), advertisement(0)},
		"announcement": {func() error { return nd.Advertise(port.Requester{On: on}, target, true) },
			schemas.MAC{0x33, 0x33, 0, 0, 0, 1}, netip.MustParseAddr("ff02::1"), advertisement(0x20)},
	} {
		if err := test.send(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		packet := nextND(t, tap)
		if failed := packet.ErrorLayer(); failed != nil {
			t.Fatalf("%s: %v", name, failed.Error())
		}
		eth, ip := packet.Layer(layers.LayerTypeEthernet).(*layers.Ethernet), packet.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
		if [6]byte(eth.SrcMAC) != on.MAC || [6]byte(eth.DstMAC) != test.to {
			t.Errorf("%s: from %v to %v", name, eth.SrcMAC, eth.DstMAC)
		}
		if !ip.SrcIP.Equal(on.Source.AsSlice()) || !ip.DstIP.Equal(test.destination.AsSlice()) || ip.HopLimit != 255 {
			t.Errorf("%s: from %v to %v, hop limit %d", name, ip.SrcIP, ip.DstIP, ip.HopLimit)
		}
		got := packet.Layer(test.want.LayerType())
		if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(layers.BaseLayer{}, "Contents", "Payload")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		icmp := packet.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
		sent := icmp.Checksum
		if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{ComputeChecksums: true}, icmp, gopacket.Payload(icmp.Payload)); err != nil {
			t.Fatal(err)
		}
		if icmp.Checksum != sent || icmp.TypeCode.Code() != 0 {
			t.Errorf("%s: checksum %#x, want %#x, code %d", name, sent, icmp.Checksum, icmp.TypeCode.Code())
		}
	}

	// The kernel refuses some of many: the others leave, in their order.
	gone := *on
	gone.Index = 9999
	many := make([]Solicitation, 2*maxBatch+1)
	var want []netip.Addr
	for i := range many {
		many[i] = Solicitation{On: on, Target: netip.AddrFrom16([16]byte{0: 0x20, 15: byte(i)})}
		if i%3 == 0 {
			many[i].On = &gone
		} else {
			want = append(want, many[i].Target)
		}
	}
	nd.Solicit(many)
	for i := range many {
		if err := many[i].Err; (i%3 == 0) != (err == unix.ENXIO || err == unix.ENODEV) || i%3 != 0 && err != nil {
			t.Errorf("frame %d: %v", i, err)
		}
	}
	var got []netip.Addr
	lab.Eventually(t, "all that were accepted arrive", func() bool {
		got = append(got, lab.Solicited(tap.Frames())...)
		return len(got) >= len(want)
	})
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("solicited (-want +got):\n%s", diff)
	}
}
