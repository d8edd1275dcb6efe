package schemas

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compareAddr = cmpopts.EquateComparable(netip.Addr{})

// contractEvent is the example of the contract.
const contractEvent = `{"type":"nd.event.v1","id":"e1","time":"2026-11-22T05:09:24.123456789Z","host":"r1","interface":"eth0","direction":"out","master":true,` +
	`"ethernet":{"source":"02:00:00:00:00:01","destination":"33:33:ff:00:00:42","vlan":12},` +
	`"inet6":{"source":"fe80::1","destination":"ff02::1:ff00:42","payload":32,"nextheader":58,"hoplimit":255},` +
	`"icmp6":{"type":135,"code":0},` +
	`"nd":{"ns":{"targetaddress":"2001:db8::42"},"opt":{"sourcelinklayer":[{"address":"02:00:00:00:00:01"}]}},` +
	`"frame":"MzP/AABCAgAAAAABht1gAAAAACA6/w=="}`

// fullEvent has every member set, by reflection, so that none is forgotten.
func fullEvent(t testing.TB) *Event {
	t.Helper()
	e := new(Event)
	fill(t, reflect.ValueOf(e).Elem(), eventShape)
	return e
}

func fill(t testing.TB, v reflect.Value, s *shape) {
	for i := range s.members {
		m := &s.members[i]
		f := v.Field(i)
		switch {
		case m.list:
			f.Set(reflect.MakeSlice(f.Type(), 2, 2))
			fillValue(t, f.Index(0), m)
			fillValue(t, f.Index(1), m)
		case m.pointer:
			f.Set(reflect.New(f.Type().Elem()))
			fillValue(t, f.Elem(), m)
		default:
			fillValue(t, f, m)
		}
	}
}

func fillValue(t testing.TB, f reflect.Value, m *member) {
	switch m.kind {
	case kindObject:
		fill(t, f, m.object)
	case kindBool:
		f.SetBool(true)
	case kindUint:
		f.SetUint(m.max)
	case kindString:
		f.SetString("a \"quoted\" <name> ü\n")
		if m.enum != nil {
			f.SetString(m.enum[0])
		}
	case kindMAC:
		f.Set(reflect.ValueOf(MAC{0x02, 0, 0, 0, 0, 0xfe}))
	case kindAddr:
		f.Set(reflect.ValueOf(netip.MustParseAddr("2001:db8::42")))
	case kindTime:
		f.Set(reflect.ValueOf(time.Date(2026, 11, 22, 5, 9, 24, 123456789, time.UTC)))
	case kindBytes:
		f.SetBytes([]byte{1, 2, 3, 4})
	default:
		t.Fatalf("no value for member %s", m.name)
	}
}

func TestAppendJSONWritesWhatEncodingJSONWrites(t *testing.T) {
	var contract Event
	if err := json.Unmarshal([]byte(contractEvent), &contract); err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]*Event{"contract": &contract, "full": fullEvent(t)} {
		want, err := Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(e.AppendJSON(nil))); diff != "" {
			t.Errorf("%s (-encoding/json +AppendJSON):\n%s", name, diff)
		}
	}
	if got := string(contract.AppendJSON(nil)); got != contractEvent {
		t.Errorf("the contract's event is written as\n%s", got)
	}
}

func TestParseJSONReadsWhatAppendJSONWrites(t *testing.T) {
	full := fullEvent(t)
	data := full.AppendJSON(nil)
	used := fullEvent(t)                                                // memory that held another event
	used.ND.Opt.RDNSS = append(used.ND.Opt.RDNSS, used.ND.Opt.RDNSS...) // longer than what is read into it
	for name, e := range map[string]*Event{"new": new(Event), "used": used} {
		if err := e.ParseJSON(data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(full, e, compareAddr); diff != "" {
			t.Errorf("%s (-written +read):\n%s", name, diff)
		}
		if err := e.ParseJSON([]byte(contractEvent)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := string(e.AppendJSON(nil)); got != contractEvent {
			t.Errorf("%s: memory of the full event shows through:\n%s", name, got)
		}
	}
}

func TestParseJSONTakes(t *testing.T) {
	for name, edit := range map[string][2]string{
		"unknown members": {`"host"`, `"new":{"a":[1,-2.5e3,null,true,"x\u00fc\"",{}],"b":[]},"host"`},
		"white space":     {`"host":`, "\n \"host\"\t: \r"},
		"another order":   {`"type":"nd.event.v1","id":"e1"`, `"id":"e1","type":"nd.event.v1"`},
		"an escape":       {`"id":"e1"`, `"id":"\u00651"`},
	} {
		var e Event
		if err := e.ParseJSON([]byte(strings.Replace(contractEvent, edit[0], edit[1], 1))); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := string(e.AppendJSON(nil)); got != contractEvent {
			t.Errorf("%s: read as\n%s", name, got)
		}
	}
}

func TestParseJSONRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"another type":         {"nd.event.v1", "nd.alert.v1", `none of ["nd.event.v1"]`},
		"no host":              {`"host":"r1",`, ``, `no member "host"`},
		"no hop limit":         {`,"hoplimit":255`, ``, `no member "hoplimit"`},
		"number too large":     {`"hoplimit":255`, `"hoplimit":256`, "256 is more than 255"},
		"number far too large": {`"hoplimit":255`, `"hoplimit":99999999999999999999999`, "too large"},
		"negative number":      {`"hoplimit":255`, `"hoplimit":-1`, "whole number"},
		"fraction":             {`"hoplimit":255`, `"hoplimit":2.5`, "whole number"},
		"leading zero":         {`"hoplimit":255`, `"hoplimit":0255`, "begins with 0"},
		"vlan out of range":    {`"vlan":12`, `"vlan":4096`, "more than 4095"},
		"string for a number":  {`"hoplimit":255`, `"hoplimit":"255"`, "whole number"},
		"number for a string":  {`"host":"r1"`, `"host":1`, `expected '"'`},
		"null":                 {`"host":"r1"`, `"host":null`, `expected '"'`},
		"direction":            {`"direction":"out"`, `"direction":"up"`, `none of ["in" "out"]`},
		"MAC address":          {`"source":"02:00:00:00:00:01"`, `"source":"02:00:00:00:00"`, "not an Ethernet address"},
		"IPv4 address":         {`"source":"fe80::1"`, `"source":"10.0.0.1"`, "not an IPv6 address"},
		"zone":                 {`"source":"fe80::1"`, `"source":"fe80::1%eth0"`, "not an IPv6 address"},
		"time":                 {"2026-11-22T", "22.11.2026 ", `member "time"`},
		"frame":                {`"frame":"Mz`, `"frame":"!!`, `member "frame"`},
		"member twice":         {`"host":"r1"`, `"host":"r1","host":"r2"`, "comes twice"},
		"empty option list":    {`[{"address":"02:00:00:00:00:01"}]`, `[]`, "is empty"},
		"not closed":           {`w=="}`, `w=="`, "expected"},
		"trailing comma":       {`w=="}`, `w==",}`, "expected"},
		"something behind":     {`w=="}`, `w=="}x`, "follows the object"},
		"control character":    {`"r1"`, "\"r\x01\"", "control character"},
		"not UTF-8":            {`"r1"`, "\"r\xff\"", "not UTF-8"},
		"deep nesting":         {`"host"`, `"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `,"host"`, "deep"},
	} {
		data := strings.Replace(contractEvent, tc.old, tc.new, 1)
		if data == contractEvent {
			t.Fatalf("%s: nothing replaced", name)
		}
		var e Event
		err := e.ParseJSON([]byte(data))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
	}
	for _, data := range []string{"", "null", "[]", "{}", "1", `"x"`, "{", `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":"\`} {
		if err := new(Event).ParseJSON([]byte(data)); err == nil {
			t.Errorf("%q was taken", data)
		}
	}
}

// Kinds that no optional member has yet.
func TestCodecOfOtherOptionalMembers(t *testing.T) {
	type inner struct {
		Number uint8 `json:"number"`
	}
	type message struct {
		Number uint32     `json:"number,omitempty"`
		Addr   netip.Addr `json:"addr,omitempty"`
		MAC    MAC        `json:"mac,omitempty"`
		Time   time.Time  `json:"time,omitempty"`
		Inner  inner      `json:"inner,omitempty"`
		Bits   []uint16   `json:"bits,omitempty"`
		Bool   *bool      `json:"bool,omitempty"`
		Last   uint64     `json:"last"`
	}
	s := newShape(reflect.TypeFor[message]())
	const full = `{"number":4294967295,"addr":"::1","mac":"02:00:00:00:00:01","time":"2026-11-22T05:09:24Z","inner":{"number":255},"bits":[1,65535,3],"bool":false,"last":18446744073709551615}`
	var m message
	for _, data := range []string{full, `{"last":0}`, full, `{"bits":[7],"last":1}`} {
		if err := parseJSON([]byte(data), placeOf(&m), s); err != nil {
			t.Fatal(err)
		}
		if got := string(appendObject(nil, placeOf(&m), s)); got != data {
			t.Errorf("%s is written as\n%s", data, got)
		}
	}
}

func TestAppendAddrWritesWhatNetipWrites(t *testing.T) {
	check := func(addr netip.Addr) {
		t.Helper()
		if got, want := string(appendAddr(nil, addr)), string(addr.AppendTo(nil)); got != want {
			t.Errorf("%s is written as %s", want, got)
		}
	}
	// Every way in which groups of 1, 2, 3 and 4 digits can be zero.
	for zeros := range 1 << 8 {
		var octets [16]byte
		for i := range 8 {
			if zeros&(1<<i) == 0 {
				group := 0xabcd >> (4 * (i % 4))
				octets[2*i], octets[2*i+1] = byte(group>>8), byte(group)
			}
		}
		check(netip.AddrFrom16(octets))
	}
	for _, s := range []string{"::ffff:10.0.0.1", "10.0.0.1", "fe80::1%eth0", "100:10:1:f000:f00:f0:f:0"} {
		check(netip.MustParseAddr(s))
	}
	check(netip.Addr{})
}

func TestPlainStopsAtTheFirstByteThatIsNot(t *testing.T) {
	for c := range 256 {
		c := byte(c)
		special := c < ' ' || c == '"' || c == '\\' || c >= 0x80
		for at := range 20 {
			s := bytes.Repeat([]byte{'!'}, 20)
			want := len(s)
			s[at] = c
			if special {
				want = at
			}
			if got := plain(s); got != want {
				t.Errorf("%q: %d, want %d", s, got, want)
			}
		}
	}
}

func TestCodecDoesNotAllocate(t *testing.T) {
	var e Event
	data := []byte(contractEvent)
	var buf []byte
	var values []Value
	run := func() {
		if err := e.ParseJSON(data); err != nil {
			t.Fatal(err)
		}
		buf = e.AppendJSON(buf[:0])
		values = values[:0]
		for _, f := range Fields() {
			values = f.AppendValues(values, &e)
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations for an event in used memory", n)
	}
}

// The seeds are short, because the fuzzer tries to shorten what it finds, for up
// to a minute each, before it goes on.
func FuzzParseJSON(f *testing.F) {
	short := Event{Type: TypeEvent, Direction: In}
	f.Add(short.AppendJSON(nil))
	full := fullEvent(f)
	for _, part := range []Event{
		{Ethernet: full.Ethernet}, {Inet6: full.Inet6}, {ICMP6: full.ICMP6}, {Fault: &Fault{DNS: true}}, {Lost: full.Lost}, {Sensor: full.Sensor}, {Frame: full.Frame},
		{ND: &ND{RA: full.ND.RA}}, {ND: &ND{NA: full.ND.NA}}, {Link: &Link{DAD: full.Link.DAD}}, {Link: &Link{Claim: []LinkClaim{{}}}},
	} {
		part.Type, part.Direction = TypeEvent, In
		f.Add(part.AppendJSON(nil))
	}
	lists := reflect.ValueOf(*full.ND.Opt)
	for i := range lists.NumField() {
		if lists.Type().Field(i).Name == "PvD" {
			continue // is long
		}
		options := new(Options)
		reflect.ValueOf(options).Elem().Field(i).Set(lists.Field(i).Slice(0, 1))
		short.ND = &ND{Opt: options}
		f.Add(short.AppendJSON(nil))
	}
	short.ND = &ND{Opt: &Options{PvD: []PvD{{Opt: &PvDOptions{MTU: []MTU{{}}}}}}}
	f.Add(short.AppendJSON(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e Event
		if err := e.ParseJSON(data); err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("took what is no JSON: %q", data)
		}
		var again, std Event
		written := e.AppendJSON(nil)
		if err := again.ParseJSON(written); err != nil {
			t.Fatalf("cannot read what it wrote: %v\n%s", err, written)
		}
		if second := again.AppendJSON(nil); !bytes.Equal(written, second) {
			t.Fatalf("is another when it is read back:\n%s\n%s", written, second)
		}
		if err := json.Unmarshal(written, &std); err != nil {
			t.Fatalf("encoding/json cannot read what it wrote: %v\n%s", err, written)
		}
		equate := cmp.Options{compareAddr, cmpopts.EquateApproxTime(0), cmpopts.EquateEmpty()}
		if !reflect.DeepEqual(e, std) { // which is quicker, but too strict
			if diff := cmp.Diff(e, std, equate); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func BenchmarkEvent(b *testing.B) {
	var e Event
	data := []byte(contractEvent)
	if err := e.ParseJSON(data); err != nil {
		b.Fatal(err)
	}
	b.Run("ParseJSON", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := e.ParseJSON(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("AppendJSON", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf = e.AppendJSON(buf[:0])
		}
	})
	b.Run("AppendValues", func(b *testing.B) {
		b.ReportAllocs()
		var values []Value
		for b.Loop() {
			values = values[:0]
			for _, f := range Fields() {
				values = f.AppendValues(values, &e)
			}
		}
	})
	b.Run("encoding/json/Unmarshal", func(b *testing.B) {
		for b.Loop() {
			var e Event
			if err := json.Unmarshal(data, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding/json/Marshal", func(b *testing.B) {
		for b.Loop() {
			if _, err := json.Marshal(&e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Commands and results are written as encoding/json writes them too, full and
// empty, and commands are read back.
func TestCommandsAndResults(t *testing.T) {
	relays, results := make([]Relay, 2), make([]Result, 2)
	fill(t, reflect.ValueOf(&relays[0]).Elem(), relayShape)
	fill(t, reflect.ValueOf(&results[0]).Elem(), resultShape)
	same := func(message any, got []byte) {
		t.Helper()
		want, err := Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%T (-encoding/json +AppendJSON):\n%s", message, diff)
		}
	}
	for i := range relays {
		same(&relays[i], relays[i].AppendJSON(nil))
		same(&results[i], results[i].AppendJSON(nil))
	}
	var back Relay
	if err := back.ParseJSON(relays[0].AppendJSON(nil)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(relays[0], back, compareAddr); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}
