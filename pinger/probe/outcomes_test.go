package probe

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// outcomesOfSource returns the constants of type outcome in the package.
func outcomesOfSource(t *testing.T) (list []outcome) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "outcome" {
				return true
			}
			for _, v := range spec.Values {
				if text, ok := v.(*ast.BasicLit); ok {
					value, err := strconv.Unquote(text.Value)
					if err != nil {
						t.Fatal(err)
					}
					list = append(list, outcome(value))
				}
			}
			return true
		})
	}
	return list
}

func TestOutcomes(t *testing.T) {
	declared := outcomesOfSource(t)
	if len(declared) < 2 {
		t.Fatalf("outcomes of the source: %v", declared)
	}
	listed := slices.Sorted(slices.Values(outcomes[:]))
	if slices.Sort(declared); !slices.Equal(declared, listed) {
		t.Errorf("outcomes are %v, but the constants are %v", listed, declared)
	}
	word := regexp.MustCompile(`^[a-z][a-z_]*$`)
	for _, o := range declared {
		if !word.MatchString(string(o)) {
			t.Errorf("%q is no good value of a label", o)
		}
	}
	r := prometheus.NewRegistry()
	NewMetrics(r)
	if n, err := testutil.GatherAndCount(r, "nd_pinger_commands_total"); err != nil || n != len(declared) {
		t.Errorf("%d counters from the start (%v), want %d", n, err, len(declared))
	}
}
