package schemas

import (
	"encoding/json"
	"fmt"
)

// MessageTypes returns the values of the member "type" of the messages.
func MessageTypes() []string { return []string{TypeEvent, TypeAlert, TypeRelay, TypeResult} }

// JSONSchema returns the JSON Schema (draft 2020-12) of a message, by the value
// of its member "type". Members may be added to a message later, so a schema
// allows others than it lists.
func JSONSchema(messageType string) ([]byte, error) {
	for t, name := range messageTypes {
		if name != messageType {
			continue
		}
		s := newShape(t)
		doc := s.jsonSchema()
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

func (s *shape) jsonSchema() map[string]any {
	properties := map[string]any{}
	required := []string{}
	for i := range s.members {
		m := &s.members[i]
		property := m.jsonSchema()
		if m.list {
			property = map[string]any{"type": "array", "items": property}
			if m.optional {
				property["minItems"] = 1
			}
		}
		if m.doc != "" {
			property["description"] = m.doc
		}
		properties[m.name] = property
		if !m.optional {
			required = append(required, m.name)
		}
	}
	doc := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 {
		doc["required"] = required
	}
	return doc
}

func (m *member) jsonSchema() map[string]any {
	switch m.kind {
	case kindObject:
		return m.object.jsonSchema()
	case kindBool:
		return map[string]any{"type": "boolean"}
	case kindUint:
		doc := map[string]any{"type": "integer", "minimum": 0}
		// Beyond 2^53 a limit could not be read everywhere.
		if m.max < 1<<53 {
			doc["maximum"] = m.max
		}
		return doc
	case kindString:
		doc := map[string]any{"type": "string"}
		switch {
		case m.name == "type" && len(m.enum) == 1:
			return map[string]any{"const": m.enum[0]}
		case m.enum != nil:
			doc["enum"] = m.enum
		}
		return doc
	case kindMAC:
		return map[string]any{"type": "string", "pattern": "^[0-9a-f]{2}(:[0-9a-f]{2}){5}$"}
	case kindAddr:
		return map[string]any{"type": "string", "format": "ipv6"}
	case kindTime:
		return map[string]any{"type": "string", "format": "date-time", "pattern": "Z$"}
	case kindBytes:
		return map[string]any{"type": "string", "contentEncoding": "base64"}
	case kindRaw:
		return map[string]any{"$ref": schemaID(TypeEvent)}
	}
	panic("schemas: no message has a member of this kind")
}
