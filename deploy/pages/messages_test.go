package pages

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/ndmon/ndmon/schemas"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The page about messages has an example of each, which fits the message's JSON Schema.
func TestExamplesOfMessages(t *testing.T) {
	page, err := os.ReadFile(root + "/docs/messages.md")
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	types := []string{schemas.TypeEvent, schemas.TypeAlert, schemas.TypeRelay, schemas.TypeResult}
	for _, messageType := range types {
		data, err := os.ReadFile(root + "/schemas/jsonschema/" + messageType + ".json")
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{messageType, schema.(map[string]any)["$id"].(string)} {
			if err := compiler.AddResource(name, schema); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen := map[string]bool{}
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(page, -1) {
		var message struct{ Type string }
		if err := json.Unmarshal(block[1], &message); err != nil {
			t.Fatalf("%v\n%s", err, block[1])
		}
		schema, err := compiler.Compile(message.Type)
		if err != nil {
			t.Fatal(err)
		}
		example, err := jsonschema.UnmarshalJSON(bytes.NewReader(block[1]))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(example); err != nil {
			t.Errorf("the example of %s: %v", message.Type, err)
		}
		seen[message.Type] = true
	}
	for _, messageType := range types {
		if !seen[messageType] {
			t.Errorf("there is no example of %s", messageType)
		}
	}
}
