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

// describeType says for a user what values of a Go type, or of a pflag type, look like.
func describeType(name string) string {
	switch {
	case name == "bool":
		return "true or false"
	case name == "time.Duration", name == "duration":
		return "a duration such as 10s or 1m30s"
	case strings.HasPrefix(name, "int"), strings.HasPrefix(name, "uint"):
		return "a whole number"
	case strings.HasPrefix(name, "float"):
		return "a number"
	}
	return "a " + name
}

// variables are the variables of one struct for envconfig.
type variables struct {
	prefix string
	spec   any
}

// read fills the structs from the environment and validates them.
func read(list []variables) error {
	var errs []error
	for _, v := range list {
		err := Environment(v.prefix, v.spec)
		if validator, ok := v.spec.(interface{ Validate() error }); ok && err == nil {
			err = validator.Validate()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// writeTable writes a table of the variables, each line indented.
func writeTable(w io.Writer, list []variables) {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "    VARIABLE\tDEFAULT\tMEANING")
	for _, v := range list {
		// It fails only if the writer does.
		envconfig.Usagef(v.prefix, v.spec, table, "{{range .}}    {{usage_key .}}\t{{usage_default .}}\t{{usage_description .}}\n{{end}}")
	}
	table.Flush()
}

// unknown returns the variables with a prefix that are not in the list: a typing error, or
// a setting that has no effect.
func unknown(prefix string, list []variables) (names []string) {
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
