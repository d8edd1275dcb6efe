package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/kelseyhightower/envconfig"
)

// Environment fills a struct for envconfig from the variables with a prefix. The error
// names the variable and the values that it takes.
func Environment(prefix string, spec any) error {
	err := envconfig.Process(prefix, spec)
	var parse *envconfig.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("%s: %q is not %s", parse.KeyName, parse.Value, describeType(parse.TypeName))
	}
	if err != nil {
		return fmt.Errorf("read the environment: %w", err)
	}
	return nil
}

// Load does what Environment does, and calls the method Validate() error of the struct if it
// has one. Its error is a UsageError.
func Load(prefix string, spec any) error {
	err := Environment(prefix, spec)
	if v, ok := spec.(interface{ Validate() error }); ok && err == nil {
		err = v.Validate()
	}
	if err != nil {
		return UsageError{Err: err}
	}
	return nil
}

// variables are the variables of one struct for envconfig.
type variables struct {
	prefix string
	spec   any
}

func writeTable(w io.Writer, list []variables) {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "    VARIABLE\tDEFAULT\tMEANING")
	for _, v := range list {
		// It fails only if the writer does.
		envconfig.Usagef(v.prefix, v.spec, table, "{{range .}}    {{usage_key .}}\t{{usage_default .}}\t{{usage_description .}}\n{{end}}")
	}
	table.Flush()
}

// unknownVariables returns the variables with a prefix that are not in the list: a typing error, or
// a setting that has no effect.
func unknownVariables(prefix string, list []variables) (names []string) {
	var keys strings.Builder
	for _, v := range list {
		envconfig.Usagef(v.prefix, v.spec, &keys, "{{range .}}{{usage_key .}}=\n{{end}}")
	}
	for _, setting := range os.Environ() {
		name, _, _ := strings.Cut(setting, "=")
		if strings.HasPrefix(name, prefix+"_") && !strings.Contains("\n"+keys.String(), "\n"+name+"=") {
			names = append(names, name)
		}
	}
	return names
}
