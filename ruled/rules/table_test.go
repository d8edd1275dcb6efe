package rules

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
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
