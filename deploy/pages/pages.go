// Package pages keeps the pages in docs in step with the code. Its tests write the
// pages about fields and metrics, and check the links in all pages and the commands,
// options, variables, fields and metrics that they name. It holds no other code than
// what these tests and those of package trial share.
package pages

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the generated pages and golden files")

// Golden fails the test if the file at path does not contain got. With the flag
// -update it writes the file instead.
func Golden(t testing.TB, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is out of date; go test -update writes it (-want +got):\n%s", path, diff)
	}
}
