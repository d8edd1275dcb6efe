package wire_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/internal/wire"
	"github.com/ndmon/ndmon/schemas/internal/wiretest"
)

// The seeds are short, because the fuzzer tries to shorten what it finds, for up
// to a minute each, before it goes on.
func FuzzParseJSON(f *testing.F) {
	short := schemas.Event{Type: schemas.TypeEvent, Direction: schemas.In}
	f.Add(short.AppendJSON(nil))
	var full schemas.Event
	wiretest.Fill(f, &full, wire.SchemaOf(reflect.TypeFor[schemas.Event]()))
	for _, part := range []schemas.Event{
		{Ethernet: full.Ethernet}, {Inet6: full.Inet6}, {ICMP6: full.ICMP6}, {Fault: &schemas.Fault{DNS: true}}, {Lost: full.Lost}, {Sensor: full.Sensor}, {Frame: full.Frame},
		{ND: &schemas.ND{RA: full.ND.RA}}, {ND: &schemas.ND{NA: full.ND.NA}}, {Link: &schemas.Link{DAD: full.Link.DAD}}, {Link: &schemas.Link{Claim: []schemas.LinkClaim{{}}}},
	} {
		part.Type, part.Direction = schemas.TypeEvent, schemas.In
		f.Add(part.AppendJSON(nil))
	}
	lists := reflect.ValueOf(*full.ND.Opt)
	for i := range lists.NumField() {
		if lists.Type().Field(i).Name == "PvD" {
			continue // is long
		}
		options := new(schemas.Options)
		reflect.ValueOf(options).Elem().Field(i).Set(lists.Field(i).Slice(0, 1))
		short.ND = &schemas.ND{Opt: options}
		f.Add(short.AppendJSON(nil))
	}
	short.ND = &schemas.ND{Opt: &schemas.Options{PvD: []schemas.PvD{{Opt: &schemas.PvDOptions{MTU: []schemas.MTU{{}}}}}}}
	f.Add(short.AppendJSON(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e schemas.Event
		if err := e.ParseJSON(data); err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("accepts invalid JSON: %q", data)
		}
		var again, std schemas.Event
		written := e.AppendJSON(nil)
		if err := again.ParseJSON(written); err != nil {
			t.Fatalf("cannot read what it wrote: %v\n%s", err, written)
		}
		if second := again.AppendJSON(nil); !bytes.Equal(written, second) {
			t.Fatalf("is different when it is read back:\n%s\n%s", written, second)
		}
		if err := json.Unmarshal(written, &std); err != nil {
			t.Fatalf("encoding/json cannot read what it wrote: %v\n%s", err, written)
		}
		equate := cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateApproxTime(0), cmpopts.EquateEmpty()}
		if !reflect.DeepEqual(e, std) { // which is quicker, but too strict
			if diff := cmp.Diff(e, std, equate); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// The codec and the two of the Go project, each with the example of the contract.
func BenchmarkCodec(b *testing.B) {
	var e schemas.Event
	data := []byte(wiretest.ContractEvent)
	if err := e.ParseJSON(data); err != nil {
		b.Fatal(err)
	}
	var buf []byte
	for _, bench := range []struct {
		name string
		run  func() error
	}{
		{"ParseJSON", func() error { return e.ParseJSON(data) }},
		{"AppendJSON", func() error { buf = e.AppendJSON(buf[:0]); return nil }},
		{"encoding/json/Unmarshal", func() error { return json.Unmarshal(data, new(schemas.Event)) }},
		{"encoding/json/Marshal", func() error { _, err := json.Marshal(&e); return err }},
		{"encoding/json/v2/Unmarshal", func() error { return jsonv2.Unmarshal(data, new(schemas.Event)) }},
		{"encoding/json/v2/Marshal", func() error {
			_, err := jsonv2.Marshal(&e, jsonv1.OmitEmptyWithLegacySemantics(true))
			return err
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := bench.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
