// Package wiretest makes messages for the tests of the package schemas and of its codec.
package wiretest

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/ndmon/ndmon/schemas/internal/wire"
)

// ContractEvent is an event as its sensor publishes it.
const ContractEvent = `{"type":"nd.event.v1","id":"e1","time":"2026-11-22T05:09:24.123456789Z","host":"r1","interface":"eth0","direction":"out","master":true,` +
	`"ethernet":{"source":"02:00:00:00:00:01","destination":"33:33:ff:00:00:42","vlan":12},` +
	`"inet6":{"source":"fe80::1","destination":"ff02::1:ff00:42","payload":32,"nextheader":58,"hoplimit":255},` +
	`"icmp6":{"type":135,"code":0},` +
	`"nd":{"ns":{"targetaddress":"2001:db8::42"},"opt":{"sourcelinklayer":[{"address":"02:00:00:00:00:01"}]}},` +
	`"frame":"MzP/AABCAgAAAAABht1gAAAAACA6/w=="}`

// Fill sets every member of a message, by reflection, so that none is forgotten. Each list gets two
// elements, each number its largest value, and each text characters that JSON escapes.
func Fill(t testing.TB, message any, s *wire.Schema) {
	t.Helper()
	fill(t, reflect.ValueOf(message).Elem(), s)
}

func fill(t testing.TB, v reflect.Value, s *wire.Schema) {
	for i := range s.Members {
		m := &s.Members[i]
		f := v.Field(i)
		switch {
		case m.List:
			f.Set(reflect.MakeSlice(f.Type(), 2, 2))
			fillValue(t, f.Index(0), m)
			fillValue(t, f.Index(1), m)
		case m.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
			fillValue(t, f.Elem(), m)
		default:
			fillValue(t, f, m)
		}
	}
}

func fillValue(t testing.TB, f reflect.Value, m *wire.Member) {
	switch m.Kind {
	case wire.Object:
		fill(t, f, m.Object)
	case wire.Bool:
		f.SetBool(true)
	case wire.Uint:
		f.SetUint(m.Max)
	case wire.String:
		f.SetString("a \"quoted\" <name> ü\n")
		if m.Enum != nil {
			f.SetString(m.Enum[0])
		}
	case wire.Ethernet:
		reflect.Copy(f, reflect.ValueOf([6]byte{0x02, 0, 0, 0, 0, 0xfe}))
	case wire.IPv6:
		f.Set(reflect.ValueOf(netip.MustParseAddr("2001:db8::42")))
	case wire.Time:
		f.Set(reflect.ValueOf(time.Date(2026, 11, 22, 5, 9, 24, 123456789, time.UTC)))
	case wire.Bytes:
		f.SetBytes([]byte{1, 2, 3, 4})
	case wire.Raw:
		f.Set(reflect.ValueOf(json.RawMessage("{ \"a\":\n[1, \"<ü \"] }")))
	default:
		t.Fatalf("no value for member %s", m.Name)
	}
}
