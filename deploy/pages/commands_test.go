package pages

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/command"
	"github.com/ndmon/ndmon/pinger"
	ruled "github.com/ndmon/ndmon/ruled/command"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/ndmon/ndmon/sensor"
	"github.com/spf13/cobra"
)

// programs returns the commands of all programs.
func programs() []*cobra.Command {
	return []*cobra.Command{
		command.New(false),
		process.Program{Name: "nd-sensor", Prefix: "SENSOR", Config: new(sensor.Config), Shared: new(bus.Config)}.Command(),
		ruled.Daemon(),
		process.Program{Name: "nd-pinger", Prefix: "PINGER", Config: new(pinger.Config), Shared: new(bus.Config)}.Command(),
	}
}

// help returns what the arguments print.
func help(t *testing.T, program int, args ...string) string {
	t.Helper()
	var out, errors strings.Builder
	if status := process.Execute(programs()[program], args, &out, &errors); status != process.ExitOK {
		t.Fatalf("%q: exit status %d: %s", args, status, errors.String())
	}
	return out.String()
}

// Each command of ndmon is on the page with its help, each daemon with its variables.
func TestCommandsPage(t *testing.T) {
	var page strings.Builder
	page.WriteString(`# Commands and variables

This page is generated from the help of the programs. Options may stand before or after arguments. Besides those on this page, each program has
the commands ` + "`help`, `version` and `completion`: for completion in your shell, run `source <(ndmon completion bash)`" + `.

**Exit status**: 0; 1 if the program ran and failed; 2 if the command line, a variable, the rules or the surroundings (a missing
capability, a port in use, another instance) are at fault, so that a restart does not help. The message names the option or variable.

An option of ndmon takes precedence over a variable. ndmon also reads the variables of the daemons that it has no option for, such as
` + "`PINGER_RATE=500 ndmon -m eth0 -s eth1`" + `.
`)
	block := func(level int, title, text string) {
		fmt.Fprintf(&page, "\n%s %s\n\n```text\n%s\n```\n", strings.Repeat("#", level), title, strings.TrimSpace(text))
	}
	var write func(c *cobra.Command, path []string)
	write = func(c *cobra.Command, path []string) {
		block(min(3, 2+len(path)), c.CommandPath(), help(t, 0, append(path, "--help")...))
		for _, sub := range c.Commands() {
			if !sub.Hidden && (sub.Runnable() || sub.HasSubCommands()) {
				write(sub, append(slices.Clone(path), sub.Name()))
			}
		}
	}
	all := programs()
	write(all[0], nil)
	for _, c := range all[1:] {
		_, variables, _ := strings.Cut(c.Long, "variables:\n")
		block(2, c.Name(), variables)
	}
	Golden(t, "../../docs/commands.md", page.String())
}

var (
	span        = regexp.MustCompile("`([^`\n]+)`")
	commandLine = regexp.MustCompile(`(?:^|&& |; |\| )(?:sudo )?(?:\S+=\S+ )*(?:bin/)?(ndmon|nd-sensor|nd-ruled|nd-pinger)((?: [^\s|;&>#)']+)*)`)
	option      = regexp.MustCompile(`^--[a-z-]+`)
	variable    = regexp.MustCompile(`\b(?:NATS|SENSOR|RULED|PINGER|ALERTS|NDMON)_[A-Z_]*[A-Z]\b`)
)

// Each command, option and variable that a page names exists.
func TestCommandsThatPagesName(t *testing.T) {
	known := strings.Builder{}
	var options func(c *cobra.Command)
	options = func(c *cobra.Command) {
		known.WriteString(c.Long + "\n" + c.Flags().FlagUsages())
		for _, sub := range c.Commands() {
			options(sub)
		}
	}
	for _, c := range programs() {
		options(c)
	}
	for _, path := range []string{"docker-compose.yml", "deploy/systemd/ndmon.service", ".ci/run"} {
		text, err := os.ReadFile(root + "/" + path)
		must(t, err)
		known.Write(text)
	}
	for path, page := range pages(t) {
		if strings.HasSuffix(path, "CHANGELOG.md") {
			continue // it names what is no more
		}
		for _, name := range variable.FindAllString(page, -1) {
			if !regexp.MustCompile(`\b` + name + `\b`).MatchString(known.String()) {
				t.Errorf("%s names the variable %s, which no program has", path, name)
			}
		}
		var code []string
		for line := range strings.Lines(page) {
			if text, ok := strings.CutPrefix(line, "    "); ok {
				code = append(code, strings.TrimSpace(text))
			}
			for _, found := range span.FindAllStringSubmatch(line, -1) {
				code = append(code, found[1])
				if name := option.FindString(found[1]); name != "" && name != "--help" && !strings.Contains(known.String(), name+" ") {
					t.Errorf("%s names the option %s, which no command has", path, name)
				}
			}
		}
		for _, text := range code {
			for _, found := range commandLine.FindAllStringSubmatch(text, -1) {
				if err := checkCommand(found[1], strings.Fields(found[2])); err != nil {
					t.Errorf("%s: %s: %v", path, text, err)
				}
			}
		}
	}
}

// checkCommand returns an error if a program has no such command or option.
func checkCommand(program string, args []string) error {
	all := programs()
	c := all[slices.IndexFunc(all, func(c *cobra.Command) bool { return c.Name() == program })]
	c.InitDefaultHelpFlag()
	for i := 0; i < len(args); i++ {
		name, isOption := strings.CutPrefix(args[i], "-")
		if !isOption || name == "" {
			sub := slices.IndexFunc(c.Commands(), func(sub *cobra.Command) bool { return sub.Name() == args[i] })
			if sub >= 0 {
				c = c.Commands()[sub]
			} else if c.HasSubCommands() {
				// The programs get these when they run.
				if !slices.Contains([]string{"version", "completion", "help"}, args[i]) {
					return fmt.Errorf("%s has no command %s", c.CommandPath(), args[i])
				}
				return nil
			}
			continue
		}
		name, _, hasValue := strings.Cut(strings.TrimPrefix(name, "-"), "=")
		flag := c.Flags().Lookup(name)
		if len(name) == 1 {
			flag = c.Flags().ShorthandLookup(name)
		}
		switch {
		case flag == nil && (name == "version" || name == "help"):
		case flag == nil:
			return fmt.Errorf("%s has no option %s", c.CommandPath(), args[i])
		case flag.NoOptDefVal == "" && !hasValue:
			i++
		}
	}
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
