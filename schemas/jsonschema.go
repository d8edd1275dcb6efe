package schemas

import (
	"encoding/json"
	"fmt"

	"github.com/ndmon/ndmon/schemas/internal/wire"
)

// MessageTypes returns the values of the member "type" of the messages.
func MessageTypes() []string { return []string{TypeEvent, TypeAlert, TypeRelay, TypeResult} }

// JSONSchema returns the JSON Schema (draft 2020-12) of a message, by the value
// of its member "type". It allows members that it does not list, because later
// versions may add some.
func JSONSchema(messageType string) ([]byte, error) {
	for _, s := range []*wire.Schema{eventCodec.Schema(), alertCodec.Schema(), relayCodec.Schema(), resultCodec.Schema()} {
		if s.Members[0].Enum[0] != messageType {
			continue
		}
		doc := objectSchema(s)
		doc["$schema"] = "https://json-schema.org/draft/2020-12/schema"
		doc["$id"] = schemaID(messageType)
		doc["title"] = messageType
		return json.MarshalIndent(doc, "", "  ")
	}
	return nil, fmt.Errorf("there is no message type %q", messageType)
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
