package decode_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

// Another decoder, gopacket, reads the same from every well-formed message of the corpus that
// follows the IPv6 header. It knows all five messages, the options of RFC 4861, and the types
// and lengths of the others.
func TestOracle(t *testing.T) {
	compared := make(map[schemas.Kind]int)
	var d decode.Decoder
	for _, name := range captures(t) {
		for i, frame := range readCapture(t, name) {
			event, ok := d.Decode(frame.Data, frame.Length)
			if !ok || event.ND.Malformed != "" || event.Inet6.NextHeader != 58 {
				continue
			}
			want, ok := oracle(frame.Data)
			if !ok {
				t.Errorf("%s, frame %d: an event for us alone", name, i)
				continue
			}
			if diff := cmp.Diff(asJSON(t, want), asJSON(t, summarize(event))); diff != "" {
				t.Errorf("%s, frame %d (-gopacket +decoded):\n%s", name, i, diff)
			}
			compared[event.Kind()]++
		}
	}
	for _, kind := range []schemas.Kind{schemas.KindRS, schemas.KindRA, schemas.KindNS, schemas.KindNA, schemas.KindRD} {
		if compared[kind] < 100 {
			t.Errorf("only %d messages of kind %s were compared", compared[kind], kind)
		}
	}
}

// seen is what both decoders know.
type seen struct {
	Ethernet schemas.Ethernet
	Inet6    schemas.Inet6
	ICMP6    schemas.ICMP6
	ND       schemas.ND
	// Others counts the options that gopacket does not decode.
	Others int
}

func summarize(event *schemas.Event) seen {
	s := seen{Ethernet: *event.Ethernet, Inet6: *event.Inet6, ICMP6: *event.ICMP6, ND: *event.ND}
	if o := event.ND.Opt; o != nil {
		lists := reflect.ValueOf(*o)
		for i := range lists.NumField() {
			s.Others += lists.Field(i).Len()
		}
		s.Others -= len(o.SourceLinkLayer) + len(o.TargetLinkLayer) + len(o.PrefixInfo) + len(o.MTU)
		s.ND.Opt = &schemas.Options{
			SourceLinkLayer: o.SourceLinkLayer, TargetLinkLayer: o.TargetLinkLayer, PrefixInfo: o.PrefixInfo, MTU: o.MTU,
		}
	}
	return s
}

func oracle(frame []byte) (s seen, ok bool) {
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if e, ok := packet.Layer(layers.LayerTypeEthernet).(*layers.Ethernet); ok {
		s.Ethernet = schemas.Ethernet{Source: schemas.MAC(e.SrcMAC), Destination: schemas.MAC(e.DstMAC)}
	}
	if ip, ok := packet.Layer(layers.LayerTypeIPv6).(*layers.IPv6); ok {
		s.Inet6 = schemas.Inet6{Source: toAddr(ip.SrcIP), Destination: toAddr(ip.DstIP),
			Payload: ip.Length, NextHeader: uint8(ip.NextHeader), HopLimit: ip.HopLimit}
	}
	if icmp, ok := packet.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok {
		s.ICMP6 = schemas.ICMP6{Type: icmp.TypeCode.Type(), Code: icmp.TypeCode.Code()}
	}
	var options layers.ICMPv6Options
	switch m := packet.Layers()[len(packet.Layers())-1].(type) {
	case *layers.ICMPv6RouterSolicitation:
		s.ND.RS = &schemas.RS{}
		options = m.Options
	case *layers.ICMPv6RouterAdvertisement:
		s.ND.RA = &schemas.RA{
			CurHopLimit: m.HopLimit,
			Flag: schemas.RAFlags{Managed: m.ManagedAddressConfig(), Other: m.OtherConfig(),
				HomeAgent: m.Flags&0x20 > 0, Proxy: m.Flags&0x04 > 0, SNAC: m.Flags&0x02 > 0, Reserved: m.Flags&0x01 > 0},
			Preference: [...]string{"medium", "high", "reserved", "low"}[m.Flags>>3&3],
			Lifetime:   m.RouterLifetime, ReachableTimer: m.ReachableTime, RetransTimer: m.RetransTimer,
		}
		options = m.Options
	case *layers.ICMPv6NeighborSolicitation:
		s.ND.NS = &schemas.NS{TargetAddress: toAddr(m.TargetAddress)}
		options = m.Options
	case *layers.ICMPv6NeighborAdvertisement:
		s.ND.NA = &schemas.NA{TargetAddress: toAddr(m.TargetAddress),
			Flag: schemas.NAFlags{Router: m.Router(), Solicited: m.Solicited(), Override: m.Override()}}
		options = m.Options
	case *layers.ICMPv6Redirect:
		s.ND.RD = &schemas.RD{TargetAddress: toAddr(m.TargetAddress), DestinationAddress: toAddr(m.DestinationAddress)}
		options = m.Options
	default:
		return s, false
	}
	if len(options) > 0 {
		s.ND.Opt = &schemas.Options{}
	}
	for _, o := range options {
		switch o.Type {
		case layers.ICMPv6OptSourceAddress:
			s.ND.Opt.SourceLinkLayer = append(s.ND.Opt.SourceLinkLayer, schemas.LinkLayer{Address: schemas.MAC(o.Data)})
		case layers.ICMPv6OptTargetAddress:
			s.ND.Opt.TargetLinkLayer = append(s.ND.Opt.TargetLinkLayer, schemas.LinkLayer{Address: schemas.MAC(o.Data)})
		case layers.ICMPv6OptPrefixInfo:
			s.ND.Opt.PrefixInfo = append(s.ND.Opt.PrefixInfo, schemas.PrefixInfo{
				PrefixLength: o.Data[0],
				Flag: schemas.PrefixInfoFlags{OnLink: o.Data[1]&0x80 > 0, Autoconf: o.Data[1]&0x40 > 0,
					Router: o.Data[1]&0x20 > 0, PDPreferred: o.Data[1]&0x10 > 0, Reserved: o.Data[1] & 0x0f},
				ValidLifetime:     binary.BigEndian.Uint32(o.Data[2:]),
				PreferredLifetime: binary.BigEndian.Uint32(o.Data[6:]),
				Prefix:            toAddr(o.Data[14:]),
			})
		case layers.ICMPv6OptMTU:
			s.ND.Opt.MTU = append(s.ND.Opt.MTU, schemas.MTU{MTU: binary.BigEndian.Uint32(o.Data[2:])})
		default:
			s.Others++
		}
	}
	return s, true
}

func toAddr(ip net.IP) netip.Addr { return netip.AddrFrom16([16]byte(ip)) }
