package decode_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

// decodeFrame decodes a frame that was captured whole.
func decodeFrame(frame []byte) (*schemas.Event, bool) {
	return new(decode.Decoder).Decode(frame, len(frame))
}

// asJSON returns a value as JSON, for comparison.
func asJSON(t testing.TB, v any) string {
	t.Helper()
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func TestNoEvent(t *testing.T) {
	tests := map[string][]byte{
		"empty":                    nil,
		"Ethernet header cut":      ether(nil)[:13],
		"VLAN tag cut":             tagged(nil, tag(0x8100, 12))[:17],
		"IPv6 header cut":          ether(ip6(58, ns()))[:53],
		"ARP":                      cat(macDestination, macSource, be16(0x0806), make([]byte, 46)),
		"IPv4":                     cat(macDestination, macSource, be16(0x0800), ip6(58, ns())),
		"TCP":                      ether(ip6(6, make([]byte, 20))),
		"ESP":                      ether(ip6(50, ns())),
		"echo request":             ether(ip6(58, icmp(128, 0, make([]byte, 4)))),
		"type 132":                 ether(ip6(58, icmp(132, 0, make([]byte, 20)))),
		"type 138":                 ether(ip6(58, icmp(138, 0, make([]byte, 20)))),
		"MLD report":               ether(ip6(0, ext(58, 0), icmp(143, 0, make([]byte, 4)))),
		"ICMPv6 without a byte":    ether(ip6(58)),
		"NS behind the payload":    ether(ip6Length(0, 58, ns())),
		"later fragment":           ether(packet(router, host, 44, frag(58, 8, false), ns())),
		"later of a chain":         ether(packet(router, host, 44, frag(60, 8, true), ext(58, 0), ns())),
		"later behind a chain":     ether(packet(router, host, 0, ext(60, 0), ext(44, 0), frag(58, 8, true), ns())),
		"first fragment of UDP":    ether(ip6(44, frag(17, 0, true), make([]byte, 8))),
		"first fragment of echo":   ether(ip6(44, frag(58, 0, true), icmp(128, 0, make([]byte, 4)))),
		"first fragment, nodes":    ether(packet(router, allNodes, 44, frag(58, 0, true), icmp(128, 0, make([]byte, 4)))),
		"later fragment in first":  ether(packet(router, host, 44, frag(44, 0, true), frag(58, 8, false), ns())),
		"cut header before TCP":    ether(ip6(60, ext(6, 3)[:16])),
		"cut fragment header, TCP": ether(ip6(44, frag(6, 0, true)[:4])),
		"cut later fragment":       ether(packet(router, host, 44, frag(58, 8, true)[:4])),
		"later, UDP to nodes":      ether(packet(router, allNodes, 44, frag(17, 8, true), make([]byte, 8))),
		"later, group 3":           ether(packet(router, "ff02::3", 44, frag(58, 8, true), ns())),
		"later, mDNS":              ether(packet(router, "ff02::fb", 44, frag(58, 8, true), ns())),
		"later, nodes of this":     ether(packet(router, "ff01::1", 44, frag(58, 8, true), ns())),
		"later, routers of site":   ether(packet(router, "ff05::2", 44, frag(58, 8, true), ns())),
		"later, before solicited":  ether(packet(router, "ff02::1:feff:ffff", 44, frag(58, 8, true), ns())),
		"later, behind solicited":  ether(packet(router, "ff02::2:0:0", 44, frag(58, 8, true), ns())),
		"jumbogram with TCP":       ether(ip6Length(0, 0, ext(6, 0), make([]byte, 20))),
	}
	for name, frame := range tests {
		t.Run(name, func(t *testing.T) {
			if event, ok := decodeFrame(frame); ok {
				t.Errorf("is an event: %s", asJSON(t, event))
			}
		})
	}
}

func TestEthernet(t *testing.T) {
	tests := map[string]struct {
		frame []byte
		want  string
	}{
		"untagged": {ether(ip6(58, ns())), `{"source":"02:00:00:00:00:01","destination":"33:33:ff:00:00:42"}`},
		"group address as the source": {flip(ether(ip6(58, ns())), 6),
			`{"source":"03:00:00:00:00:01","destination":"33:33:ff:00:00:42","sourcemulticast":true}`},
		"VLAN": {tagged(ip6(58, ns()), tag(0x8100, 12)),
			`{"source":"02:00:00:00:00:01","destination":"33:33:ff:00:00:42","vlan":12}`},
		"VLAN 0": {tagged(ip6(58, ns()), tag(0x8100, 0)),
			`{"source":"02:00:00:00:00:01","destination":"33:33:ff:00:00:42","vlan":0}`},
		"service VLAN with a priority": {tagged(ip6(58, ns()), tag(0x88a8, 0xefff)),
			`{"source":"02:00:00:00:00:01","destination":"33:33:ff:00:00:42","vlan":4095}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			event, ok := decodeFrame(test.frame)
			if !ok {
				t.Fatal("no event")
			}
			if diff := cmp.Diff(test.want, asJSON(t, event.Ethernet)); diff != "" {
				t.Errorf("ethernet (-want +got):\n%s", diff)
			}
			if !bytes.Equal(event.Frame, test.frame) {
				t.Errorf("frame is %x, want %x", event.Frame, test.frame)
			}
		})
	}
}

// An event has nothing of the frame before.
func TestReuse(t *testing.T) {
	var d decode.Decoder
	frames := [][]byte{
		tagged(ip6(44, frag(60, 0, false), ext(58, 0), ra(slla(), option(5, make([]byte, 6)), make([]byte, 8))), tag(0x8100, 12)),
		ether(ip6(58, ns())),
		flip(ether(ip6(60, ext(58, 0))), 6),
		ether(ip6(58, na(0xe0, slla()))),
		ether(ip6(58, na(0))),
		ether(ip6(58, rd(slla(), option(4, make([]byte, 6), ip6(58, icmp(128, 0, make([]byte, 4))))))),
		send(router, solicitedFor, ns(slla())),                                                        // with no fault
		behind(send(router, solicitedFor, ns(slla())), tag(0x88a8, 12), tag(0x8100, 0), be16(0x86dd)), // with one
		behind(send(router, solicitedFor, ns(slla())), tag(0x88a8, 12), be16(0x86dd)),
		behind(send(router, solicitedFor, ns(slla())), snap(80, 0x86dd)),
		send(router, solicitedFor, ns(slla())),
		ether(ip6(58, rd(slla(), slla()))),
		ether(ip6(44, frag(58, 1216, true), ns())),
		ether(ip6(44, frag(58, 0, false), ns())),
		ether(ip6(58, rs(slla()))),
	}
	for range 2 {
		for _, frame := range frames {
			want, _ := decodeFrame(frame)
			got, ok := d.Decode(frame, len(frame))
			if !ok {
				t.Fatalf("no event: %x", frame)
			}
			if diff := cmp.Diff(asJSON(t, want), asJSON(t, got)); diff != "" {
				t.Errorf("event of a used decoder (-new +used):\n%s", diff)
			}
		}
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	frames := map[string][]byte{
		"NS":                 ether(ip6(58, ns(slla()))),
		"NS on a VLAN":       tagged(ip6(58, ns(slla())), tag(0x8100, 12)),
		"NS in QinQ":         tagged(ip6(58, ns(slla())), tag(0x88a8, 12), tag(0x8100, 0)),
		"NS in SNAP":         behind(ether(ip6(58, ns(slla()))), tag(0x8100, 12), snap(80, 0x86dd)),
		"NS behind headers":  ether(ip6(0, ext(44, 0), frag(58, 0, false), ns(slla()))),
		"NA":                 ether(ip6(58, na(0x60, option(2, macSource)))),
		"RS":                 ether(ip6(58, rs(slla()))),
		"RA":                 ether(ip6(58, ra(slla(), prefixInfo(), prefixInfo(), rdnss()))),
		"redirect":           ether(ip6(58, rd(slla(), option(4, make([]byte, 6), ip6(58, icmp(128, 0, make([]byte, 4))))))),
		"echo":               ether(ip6(58, icmp(128, 0, make([]byte, 60)))),
		"TCP":                ether(ip6(6, make([]byte, 60))),
		"later fragment":     ether(packet(router, host, 44, frag(58, 8, true), make([]byte, 60))),
		"many headers, echo": ether(ip6(60, bytes.Repeat(ext(60, 0), 100), ext(58, 0), icmp(128, 0, make([]byte, 60)))),
	}
	var d decode.Decoder
	for name, frame := range frames {
		decode := func() {
			if _, ok := d.Decode(frame, len(frame)); ok {
				d.SetVLAN(12)
			}
		}
		if n := testing.AllocsPerRun(100, decode); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
