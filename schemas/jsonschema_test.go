package schemas

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the JSON Schemas of the types into the folder jsonschema")

// The schemas in the folder are for programs in other languages.
func TestJSONSchemasAreThoseOfTheTypes(t *testing.T) {
	for _, messageType := range MessageTypes() {
		got, err := JSONSchema(messageType)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		file := filepath.Join("jsonschema", messageType+".json")
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is old, run go test -update (-file +types):\n%s", file, diff)
		}
	}
	if _, err := JSONSchema("nd.event.v0"); err == nil {
		t.Error("there is a schema of an unknown type")
	}
}

func compileSchema(t *testing.T, messageType string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	for _, mt := range MessageTypes() {
		data, err := JSONSchema(mt)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(schemaID(mt), doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile(schemaID(messageType))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestJSONSchemasAcceptMessages(t *testing.T) {
	full := fullEvent(t)
	now := time.Date(2026, 11, 22, 5, 9, 24, 0, time.UTC)
	mac := MAC{2}
	for _, tc := range []struct {
		messageType string
		message     any
	}{
		{TypeEvent, json.RawMessage(contractEvent)},
		{TypeEvent, json.RawMessage(full.AppendJSON(nil))},
		{TypeAlert, Alert{Type: TypeAlert, Time: now, Severity: Warning, Host: "r1", ID: "a", Event: json.RawMessage(contractEvent)}},
		{TypeRelay, Relay{Type: TypeRelay, Time: now, Expires: now, Target: netip.MustParseAddr("2001:db8::42")}},
		{TypeResult, Result{Type: TypeResult, Time: now, Target: netip.MustParseAddr("2001:db8::42"), Status: Reachable, RTT: "1ms", Ethernet: &mac}},
		{TypeResult, Result{Type: TypeResult, Time: now, Target: netip.MustParseAddr("2001:db8::42"), Status: Suppressed, Error: "held down"}},
	} {
		data, err := json.Marshal(tc.message)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, tc.messageType, data); err != nil {
			t.Errorf("%s: %v\n%s", tc.messageType, err, data)
		}
	}
}

// What the schema refuses, ParseJSON refuses.
func TestJSONSchemaRefuses(t *testing.T) {
	for name, edit := range map[string][2]string{
		"type":      {"nd.event.v1", "nd.alert.v1"},
		"no host":   {`"host":"r1",`, ``},
		"hop limit": {`"hoplimit":255`, `"hoplimit":256`},
		"direction": {`"direction":"out"`, `"direction":"up"`},
		"MAC":       {`"source":"02:00:00:00:00:01"`, `"source":"02"`},
		"address":   {`"source":"fe80::1"`, `"source":"fe80::x"`},
		"list":      {`[{"address":"02:00:00:00:00:01"}]`, `[]`},
	} {
		data := []byte(strings.Replace(contractEvent, edit[0], edit[1], 1))
		if validate(t, TypeEvent, data) == nil {
			t.Errorf("%s: the schema accepts %s", name, data)
		}
		if new(Event).ParseJSON(data) == nil {
			t.Errorf("%s: ParseJSON accepts %s", name, data)
		}
	}
}

func validate(t *testing.T, messageType string, data []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return compileSchema(t, messageType).Validate(doc)
}
