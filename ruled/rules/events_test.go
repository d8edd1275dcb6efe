package rules_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/schemas"
)

// mutate makes another event of a corpus event: with what the kernel knows of a
// frame, options of another, repeated or missing parts.
func mutate(t testing.TB, rng *rand.Rand, events []*schemas.Event) *schemas.Event {
	e := corpus.Parse(t, events[rng.IntN(len(events))].AppendJSON(nil))
	other := events[rng.IntN(len(events))]
	for range 1 + rng.IntN(4) {
		switch rng.IntN(12) {
		case 0:
			e.Direction = schemas.Out
		case 1:
			e.Master = true
		case 2:
			if e.Ethernet != nil {
				vlan := uint16(rng.IntN(3))
				e.Ethernet.VLAN = &vlan
			}
		case 3:
			if e.Ethernet != nil {
				e.Ethernet.SourceMulticast = true
			}
		case 4:
			e.Inet6 = other.Inet6
		case 5:
			e.ICMP6 = nil
		case 6:
			if e.ND != nil && other.ND != nil {
				e.ND.Opt = other.ND.Opt
			}
		case 7:
			repeatOptions(e, other)
		case 8:
			if e.ND != nil {
				e.ND.Opt = nil
			}
		case 9:
			e.ND = nil
		case 10:
			e.Host = "r1"
		case 11:
			if rng.IntN(10) == 0 {
				e.Ethernet, e.Inet6 = nil, nil
			}
		}
	}
	return e
}

// repeatOptions appends the options of other to those of e.
func repeatOptions(e, other *schemas.Event) {
	if e.ND == nil || e.ND.Opt == nil || other.ND == nil || other.ND.Opt == nil {
		return
	}
	a, b := *e.ND.Opt, other.ND.Opt
	a.SourceLinkLayer = append(a.SourceLinkLayer[:len(a.SourceLinkLayer):len(a.SourceLinkLayer)], b.SourceLinkLayer...)
	a.PrefixInfo = append(a.PrefixInfo[:len(a.PrefixInfo):len(a.PrefixInfo)], b.PrefixInfo...)
	a.MTU = append(a.MTU[:len(a.MTU):len(a.MTU)], b.MTU...)
	a.RDNSS = append(a.RDNSS[:len(a.RDNSS):len(a.RDNSS)], b.RDNSS...)
	a.DNSSL = append(a.DNSSL[:len(a.DNSSL):len(a.DNSSL)], b.DNSSL...)
	e.ND.Opt = &a
}

// tree returns the event as it is published, read without its type.
func tree(t testing.TB, e *schemas.Event) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(e.AppendJSON(nil)))
	decoder.UseNumber()
	var m map[string]any
	if err := decoder.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}
