package rules

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
)

var update = flag.Bool("update", false, "write the page of fields in docs")

func TestWriteFieldPage(t *testing.T) {
	const path = "../../docs/fields.md"
	var got bytes.Buffer
	if err := WriteFieldPage(&got); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s is old; go test ./rules -update writes it anew (-want +got):\n%s", path, diff)
	}
}

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
