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

// configure fills the configuration and the common variables from the environment.
func (p *Program) configure(c *common) error {
	var errs []error
	for _, part := range p.variables(c) {
		err := Environment(part.prefix, part.spec)
		if v, ok := part.spec.(interface{ Validate() error }); ok && err == nil {
			err = v.Validate()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// variables are the structs for envconfig of a program, with the prefixes of their
// variables.
func (p *Program) variables(c *common) []struct {
	prefix string
	spec   any
} {
	return []struct {
		prefix string
		spec   any
	}{{p.Prefix, p.Config}, {p.Prefix, c}, {"", p.Shared}}
}

// writeVariables writes a table of the variables, each line indented.
func (p *Program) writeVariables(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "    VARIABLE\tDEFAULT\tMEANING")
	for _, v := range p.variables(&common{}) {
		// It fails only if the writer does.
		envconfig.Usagef(v.prefix, v.spec, table, "{{range .}}    {{usage_key .}}\t{{usage_default .}}\t{{usage_description .}}\n{{end}}")
	}
	table.Flush()
}

// unknownVariables returns the variables with the program's prefix that it does not read:
// a typing error, or a setting that has no effect.
func (p *Program) unknownVariables() []string {
	var keys strings.Builder
	for _, spec := range []any{p.Config, &common{}} {
		envconfig.Usagef(p.Prefix, spec, &keys, "{{range .}}{{usage_key .}}=\n{{end}}")
	}
	var names []string
	for _, setting := range os.Environ() {
		name, _, _ := strings.Cut(setting, "=")
		if strings.HasPrefix(name, p.Prefix+"_") && !strings.Contains("\n"+keys.String(), "\n"+name+"=") {
			names = append(names, name)
		}
	}
	return names
}
