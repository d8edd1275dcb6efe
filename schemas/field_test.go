package schemas

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ndpmonFields is NDPMon's table: each field and the type of its value.
const ndpmonFields = `
ethernet.source ethernet address
ethernet.destination ethernet address
inet6.source ipv6 address
inet6.destination ipv6 address
inet6.payload uint16
inet6.nextheader uint8
inet6.hoplimit uint8
icmp6.type uint8
icmp6.code uint8
nd.rs no value
nd.ra no value
nd.ns no value
nd.na no value
nd.rd no value
nd.ra.curhoplimit uint8
nd.ra.flag.managed no value
nd.ra.flag.other no value
nd.ra.flag.homeagent no value
nd.ra.lifetime uint16
nd.ra.reachabletimer uint32
nd.ra.retranstimer uint32
nd.ns.targetaddress ipv6 address
nd.na.flag.router no value
nd.na.flag.solicited no value
nd.na.flag.override no value
nd.na.targetaddress ipv6 address
nd.rd.targetaddress ipv6 address
nd.rd.destinationaddress ipv6 address
nd.opt.sourcelinklayer no value
nd.opt.targetlinklayer no value
nd.opt.prefixinfo no value
nd.opt.mtu no value
nd.opt.sourcelinklayer.address ethernet address
nd.opt.targetlinklayer.address ethernet address
nd.opt.prefixinfo.flag.onlink no value
nd.opt.prefixinfo.flag.autoconf no value
nd.opt.prefixinfo.validlifetime uint32
nd.opt.prefixinfo.preferredlifetime uint32
nd.opt.prefixinfo.prefix ipv6 address
nd.opt.mtu.mtu uint32
`

func TestFieldsHaveNDPMons(t *testing.T) {
	want := map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(ndpmonFields)) {
		name, typ, _ := strings.Cut(strings.TrimSpace(line), " ")
		want[name] = typ
	}
	got := map[string]string{}
	for _, f := range Fields() {
		if f.NDPMon {
			got[f.Name] = f.Type.String()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-NDPMon +ours)\n%s", diff)
	}
	if len(want) != 40 {
		t.Errorf("NDPMon has 40 fields, the list here %d", len(want))
	}
	for name, typ := range map[string]FieldType{"host": String, "interface": String, "direction": String, "master": NoValue, "ethernet.vlan": Uint16} {
		if f, ok := FieldByName(name); !ok || f.Type != typ {
			t.Errorf("field %s: %+v", name, f)
		}
	}
}

// A rule field is a path in the event: AppendValues finds the values that the JSON has there.
func TestAppendValuesFindsTheValuesOfTheJSON(t *testing.T) {
	contract := new(Event)
	check(t, contract.ParseJSON([]byte(contractEvent)))
	for _, e := range []*Event{fullEvent(t), contract, new(Event)} {
		var doc any
		check(t, json.Unmarshal(e.AppendJSON(nil), &doc))
		for i, f := range Fields() {
			if f.Index != i {
				t.Errorf("%s: Index %d, want %d", f.Name, f.Index, i)
			}
			var want []Value
			for _, found := range at(doc, strings.Split(f.Name, ".")) {
				want = append(want, value(t, f, found))
			}
			if f.Type == NoValue && len(want) > 1 {
				want = want[:1<<lists(f)] // one for each element of the lists around it, each of two
			}
			if f.Gate != nil {
				inside, open := f.Gate.Enter(e)
				if !open && len(want) > 0 {
					t.Errorf("%s has values, but its gate is closed", f.Name)
				}
				if open {
					if f.IsFlag() && f.FlagIn(inside) != (len(want) > 0) {
						t.Errorf("%s: FlagIn %t", f.Name, f.FlagIn(inside))
					}
					if diff := cmp.Diff(want, f.AppendValuesIn(nil, inside), compareAddr); diff != "" {
						t.Errorf("%s (-JSON +AppendValuesIn):\n%s", f.Name, diff)
					}
				}
			}
			if diff := cmp.Diff(want, f.AppendValues(nil, e), compareAddr); diff != "" {
				t.Errorf("%s (-JSON +AppendValues):\n%s", f.Name, diff)
			}
		}
	}
}

// lists returns the number of lists around a field.
func lists(f *Field) int {
	n := 0
	for _, m := range f.path[:len(f.path)-1] {
		if m.List {
			n++
		}
	}
	return n
}

// at returns the values at a path, in each element of lists.
func at(doc any, path []string) []any {
	if list, ok := doc.([]any); ok {
		var all []any
		for _, element := range list {
			all = append(all, at(element, path)...)
		}
		return all
	}
	if len(path) == 0 {
		return []any{doc}
	}
	object, ok := doc.(map[string]any)
	if !ok || object[path[0]] == nil {
		return nil
	}
	return at(object[path[0]], path[1:])
}

func value(t *testing.T, f *Field, found any) Value {
	t.Helper()
	switch f.Type {
	case NoValue:
		return Value{}
	case EthernetAddress:
		mac, err := ParseMAC(found.(string))
		check(t, err)
		return Value{Num: mac.Uint64()}
	case IPv6Address:
		addr := netip.Addr{}
		if found != "" {
			addr = netip.MustParseAddr(found.(string))
		}
		return Value{Addr: addr}
	case String:
		return Value{Str: found.(string)}
	}
	return Value{Num: uint64(found.(float64))}
}

// A gate is closed if the object or list around the field is absent.
func TestGates(t *testing.T) {
	for name, want := range map[string]struct{ full, empty bool }{
		"host": {true, true}, "ethernet.vlan": {true, false}, "nd.ra": {true, false}, "nd.ra.flag.managed": {true, false},
		"nd.opt.prefixinfo.flag.onlink": {true, false}, "fault": {true, true}, "fault.checksum": {true, false}, "link.claim.new": {true, false}, "link.ra.mtu": {true, false},
	} {
		f, ok := FieldByName(name)
		if !ok {
			t.Fatal(name)
		}
		open := func(e *Event) bool {
			if f.Gate == nil {
				return true
			}
			_, open := f.Gate.Enter(e)
			return open
		}
		if full, empty := open(fullEvent(t)), open(new(Event)); full != want.full || empty != want.empty {
			t.Errorf("%s: open %t in a full event, %t in an empty one", name, full, empty)
		}
	}
	lifetime, _ := FieldByName("nd.ra.lifetime")
	flag, _ := FieldByName("nd.ra.flag.other")
	if lifetime.Gate != flag.Gate {
		t.Error("two fields of an RA have different gates")
	}
}

func TestFieldsAreDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Fields() {
		if seen[f.Name] {
			t.Errorf("%s comes twice", f.Name)
		}
		seen[f.Name] = true
		if f.Doc == "" || (f.Example == "") != (f.Type == NoValue) {
			t.Errorf("%s: doc %q, example %q", f.Name, f.Doc, f.Example)
		}
		if f.Enum != nil && !slices.Contains(f.Enum, f.Example) {
			t.Errorf("%s: the example %q is none of %q", f.Name, f.Example, f.Enum)
		}
	}
	messages := map[string]bool{}
	for _, f := range Fields() {
		if f.Message != "" {
			messages[f.Message] = true
			if !strings.HasPrefix(f.Name, f.Message+".") {
				t.Errorf("%s is not inside its Message %s", f.Name, f.Message)
			}
		}
	}
	if diff := cmp.Diff([]string{"conflict", "nd.na", "nd.ns", "nd.ra", "nd.rd"}, slices.Sorted(maps.Keys(messages))); diff != "" {
		t.Error(diff)
	}
}
