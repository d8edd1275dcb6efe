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
	"github.com/ndmon/ndmon/schemas/internal/wire"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the JSON Schemas of the types into the folder jsonschema")

// The schemas in the folder are for programs in other languages.
func TestJSONSchemasAreThoseOfTheTypes(t *testing.T) {
	for messageType, schema := range messageSchemas() {
		if enum := schema.Members[0].Enum; len(enum) != 1 || enum[0] != messageType {
			t.Errorf("the type of %s is one of %q", messageType, enum)
		}
		got := append(jsonSchema(t, messageType), '\n')
		file := filepath.Join("jsonschema", messageType+".json")
		if *update {
			check(t, os.WriteFile(file, got, 0o644))
		}
		want, err := os.ReadFile(file)
		check(t, err)
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is old, run go test -update (-file +types):\n%s", file, diff)
		}
	}
}

func compileSchema(t *testing.T, messageType string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	for mt := range messageSchemas() {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(jsonSchema(t, mt)))
		check(t, err)
		check(t, c.AddResource(schemaID(mt), doc))
	}
	s, err := c.Compile(schemaID(messageType))
	check(t, err)
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
		{TypeBinding, Binding{Type: TypeBinding, Address: netip.MustParseAddr("2001:db8::42"), Ethernet: mac, First: now, Last: now, Heard: []string{HeardDAD, HeardNS}}},
		{TypeSilence, Silence{Type: TypeSilence, Kind: Silenced, Time: now, Until: now, Ethernet: &mac}},
		{TypeStatus, DaemonStatus{Type: TypeStatus, Time: now, Part: ServiceRuled, Started: now, State: "ok", Partitions: []uint32{1}, Rules: &RulesStatus{Source: "built-in"}, Silent: []SilentPart{{Host: "r1", Part: "sensor", Heard: now}}}},
	} {
		data, err := json.Marshal(tc.message)
		check(t, err)
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
	check(t, err)
	return compileSchema(t, messageType).Validate(doc)
}

// messageSchemas returns the schemas of the messages by the value of their member "type".
func messageSchemas() map[string]*wire.Schema {
	return map[string]*wire.Schema{TypeEvent: eventCodec.Schema(), TypeAlert: alertCodec.Schema(), TypeRelay: relayCodec.Schema(), TypeResult: resultCodec.Schema(), TypeStatus: statusCodec.Schema(), TypeBinding: bindingCodec.Schema(), TypeSilence: silenceCodec.Schema()}
}

// jsonSchema returns the JSON Schema (draft 2020-12) of a message. It allows members
// that it does not list, because later versions may add some.
func jsonSchema(t *testing.T, messageType string) []byte {
	t.Helper()
	doc := objectSchema(messageSchemas()[messageType])
	doc["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	doc["$id"] = schemaID(messageType)
	doc["title"] = messageType
	data, err := json.MarshalIndent(doc, "", "  ")
	check(t, err)
	return data
}

func schemaID(messageType string) string {
	return "https://ndmon.github.io/schemas/" + messageType + ".json"
}

func objectSchema(s *wire.Schema) map[string]any {
	properties := map[string]any{}
	required := []string{}
	for i := range s.Members {
		m := &s.Members[i]
		property := memberSchema(m)
		if m.List {
			property = map[string]any{"type": "array", "items": property}
			if m.Optional {
				property["minItems"] = 1
			}
		}
		if doc := m.Tag.Get("doc"); doc != "" {
			property["description"] = doc
		}
		properties[m.Name] = property
		if !m.Optional {
			required = append(required, m.Name)
		}
	}
	doc := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 {
		doc["required"] = required
	}
	return doc
}

func memberSchema(m *wire.Member) map[string]any {
	switch m.Kind {
	case wire.Object:
		return objectSchema(m.Object)
	case wire.Bool:
		return map[string]any{"type": "boolean"}
	case wire.Uint:
		doc := map[string]any{"type": "integer", "minimum": 0}
		// Beyond 2^53 a limit could not be read everywhere.
		if m.Max < 1<<53 {
			doc["maximum"] = m.Max
		}
		return doc
	case wire.String:
		doc := map[string]any{"type": "string"}
		switch {
		case len(m.Enum) == 1:
			return map[string]any{"const": m.Enum[0]}
		case m.Enum != nil:
			doc["enum"] = m.Enum
		}
		return doc
	case wire.Ethernet:
		return map[string]any{"type": "string", "pattern": "^[0-9a-f]{2}(:[0-9a-f]{2}){5}$"}
	case wire.IPv6:
		return map[string]any{"type": "string", "format": "ipv6"}
	case wire.Time:
		return map[string]any{"type": "string", "format": "date-time", "pattern": "Z$"}
	case wire.Bytes:
		return map[string]any{"type": "string", "contentEncoding": "base64"}
	case wire.Raw:
		return map[string]any{"$ref": schemaID(TypeEvent)}
	}
	panic("schemas: no message has a member of this kind")
}
