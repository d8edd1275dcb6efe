package schemas

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ndmon/ndmon/schemas/internal/wiretest"
)

var compareAddr = cmpopts.EquateComparable(netip.Addr{})

const contractEvent = wiretest.ContractEvent

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fullEvent returns an event with every member set.
func fullEvent(t testing.TB) *Event {
	e := new(Event)
	wiretest.Fill(t, e, eventCodec.Schema())
	return e
}

// asEncodingJSON returns the JSON that encoding/json writes without HTML escaping.
func asEncodingJSON(t *testing.T, message any) string {
	t.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	check(t, enc.Encode(message))
	return strings.TrimSuffix(b.String(), "\n")
}

func TestAppendJSONWritesWhatEncodingJSONWrites(t *testing.T) {
	var contract Event
	check(t, json.Unmarshal([]byte(contractEvent), &contract))
	for name, e := range map[string]*Event{"contract": &contract, "full": fullEvent(t)} {
		if diff := cmp.Diff(asEncodingJSON(t, e), string(e.AppendJSON(nil))); diff != "" {
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

func TestParseJSONAccepts(t *testing.T) {
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
			t.Errorf("%q was accepted", data)
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

// The other messages are written as encoding/json writes them too, full and
// empty, and commands are read back.
func TestOtherMessages(t *testing.T) {
	alerts, relays, results := make([]Alert, 2), make([]Relay, 2), make([]Result, 2)
	wiretest.Fill(t, &alerts[0], alertCodec.Schema())
	wiretest.Fill(t, &relays[0], relayCodec.Schema())
	wiretest.Fill(t, &results[0], resultCodec.Schema())
	same := func(message any, got []byte) {
		t.Helper()
		if diff := cmp.Diff(asEncodingJSON(t, message), string(got)); diff != "" {
			t.Errorf("%T (-encoding/json +AppendJSON):\n%s", message, diff)
		}
	}
	for i := range relays {
		same(&alerts[i], alerts[i].AppendJSON(nil))
		same(&relays[i], relays[i].AppendJSON(nil))
		same(&results[i], results[i].AppendJSON(nil))
	}
	var back Relay
	check(t, back.ParseJSON(relays[0].AppendJSON(nil)))
	if diff := cmp.Diff(relays[0], back, compareAddr); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

// What rules ask of an event, for each captured frame.
func BenchmarkFields(b *testing.B) {
	var e Event
	if err := e.ParseJSON([]byte(contractEvent)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var values []Value
	for b.Loop() {
		values = values[:0]
		for _, f := range Fields() {
			values = f.AppendValues(values, &e)
		}
	}
}

func TestCheckTarget(t *testing.T) {
	for addr, want := range map[string]string{
		"2001:db8::42":      "",
		"fd00::1":           "",
		"fec0::1":           "",
		"::2":               "",
		"":                  "missing",
		"192.0.2.1":         "192.0.2.1 is not an IPv6 address",
		"::ffff:192.0.2.1":  "::ffff:192.0.2.1 is not an IPv6 address",
		"fe80::1":           "fe80::1 is a link-local address",
		"febf::1%eth0":      "febf::1%eth0 is a link-local address",
		"2001:db8::42%eth0": "2001:db8::42%eth0 has a zone",
		"::":                ":: is the unspecified address",
		"::1":               "::1 is the loopback address",
		"ff02::1":           "ff02::1 is a multicast address",
	} {
		var a netip.Addr
		if addr != "" {
			a = netip.MustParseAddr(addr)
		}
		err := CheckTarget(a)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", addr, err, want)
		}
	}
}

func TestEscapeToken(t *testing.T) {
	for name, want := range map[string]string{
		"r1":        "r1",
		"eth0.100":  "eth0=2E100",
		"a b":       "a=20b",
		"*":         "=2A",
		">":         "=3E",
		"":          "=",
		"=":         "=3D",
		"=2E":       "=3D2E",
		"rü":        "r=C3=BC",
		"a-b_C9":    "a-b_C9",
		"\x00\xff/": "=00=FF=2F",
	} {
		if got := EscapeToken(name); got != want {
			t.Errorf("EscapeToken(%q) = %q, want %q", name, got, want)
		}
	}
	for _, token := range []string{"", "a.b", "=2", "=2e", "=41", "==", "a=", "=ZZ", "a b", "*"} {
		if name, err := UnescapeToken(token); err == nil {
			t.Errorf("UnescapeToken(%q) = %q, want an error", token, name)
		}
	}
}

func TestSubjects(t *testing.T) {
	if got, want := EventSubject("r1.example.org", "eth0.100", KindNS), "nd.events.r1=2Eexample=2Eorg.eth0=2E100.ns"; got != want {
		t.Errorf("EventSubject = %s, want %s", got, want)
	}
	if got, want := RelaySubject("r1"), "nd.relay.r1"; got != want {
		t.Errorf("RelaySubject = %s, want %s", got, want)
	}
	if got, want := ResultSubject("r1"), "nd.results.r1"; got != want {
		t.Errorf("ResultSubject = %s, want %s", got, want)
	}
}

func FuzzEscapeToken(f *testing.F) {
	for _, name := range []string{"eth0.100", "", "=", "=41", "=2E", "a b*>", "\x00\xff"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if len(name) > 40 {
			return // nothing new, and the fuzzer would spend its time on making it short again
		}
		token := EscapeToken(name)
		if token == "" || strings.ContainsAny(token, ".*> \t\r\n\x00") {
			t.Fatalf("EscapeToken(%q) = %q is no token", name, token)
		}
		if back, err := UnescapeToken(token); err != nil || back != name {
			t.Fatalf("UnescapeToken(%q) = %q, %v, want %q", token, back, err, name)
		}
		if back, err := UnescapeToken(name); err == nil && EscapeToken(back) != name {
			t.Fatalf("UnescapeToken(%q) = %q, whose token is %q", name, back, EscapeToken(back))
		}
	})
}
