package rules

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/schemas"
)

func TestWriteFieldTable(t *testing.T) {
	var b bytes.Buffer
	if err := WriteFieldTable(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if got, want := len(lines), len(schemas.Fields())+1; got != want {
		t.Fatalf("%d lines, want %d", got, want)
	}
	column := strings.Index(lines[0], "MEANING")
	for i, f := range schemas.Fields() {
		line := lines[i+1]
		if !strings.HasPrefix(line, f.Name+" ") || !strings.Contains(line[:column], " "+f.Type.String()+" ") || !strings.HasPrefix(line[column:], f.Doc) {
			t.Errorf("line of %s: %s", f.Name, line)
		}
	}
}
