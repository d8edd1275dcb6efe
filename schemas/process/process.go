// Package process is what the main functions of ndmon's programs share:
// configuration from the environment, --help and --version, the log, the
// metrics and the exit status.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/kelseyhightower/envconfig"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Exit statuses.
const (
	ExitOK = 0
	// ExitFailure: the program ran and failed.
	ExitFailure = 1
	// ExitUsage: the command line or the configuration is bad.
	ExitUsage = 2
)

// Program is a daemon that is configured by its environment.
type Program struct {
	// Name is that of the binary, Summary one line on what it does.
	Name, Summary string
	// Prefix is that of its variables, such as SENSOR.
	Prefix string
	// Config points to a struct for envconfig, whose fields have no envconfig
	// tags but split_words: with such a tag envconfig also takes a variable
	// without the prefix, and HOST may well be set for other reasons. If it has
	// a method Validate() error, that is called once it is filled.
	Config any
	// Shared points to the part of the configuration whose variables have no
	// prefix.
	Shared any
	// Usage tells, in the help, of arguments that the caller of Main has taken.
	Usage string
	// Run does the work until the context ends.
	Run func(ctx context.Context, env Env) error
}

// Env is what a program gets to work with.
type Env struct {
	Log      *slog.Logger
	Registry *prometheus.Registry
	// Health is served with the metrics.
	Health *Health
	// Memory is how many bytes of memory the process may take, 0 for any number.
	Memory int64
}

// common are the variables that every program has, with its prefix.
type common struct {
	LogLevel string        `split_words:"true" default:"info" desc:"what is logged: error, warn, info, debug or trace"`
	Metrics  string        `desc:"address on which Prometheus metrics are served, and the health, such as 127.0.0.1:9100 (default: none)"`
	Alone    time.Duration `split_words:"true" default:"0s" desc:"end after so long without any network interface that is up but loopback, for a container that has joined the network of another one: once that has ended, only a new start joins the new network; 0s: never"`
}

// Main runs a program to its end and returns the exit status.
func Main(p Program, args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == "health" {
		return p.health(stdout, stderr)
	}
	for _, arg := range args {
		switch arg {
		case "-h", "--help":
			p.help(stdout)
			return ExitOK
		case "-V", "--version":
			fmt.Fprintln(stdout, Version(p.Name))
			return ExitOK
		default:
			fmt.Fprintf(stderr, "%s: unknown argument %q: it is configured by its environment, see --help\n", p.Name, arg)
			return ExitUsage
		}
	}
	var shared common
	if err := p.configure(&shared); err != nil {
		UsageError{Err: err}.Print(stderr, p.Name)
		return ExitUsage
	}
	level, err := ParseLevel(shared.LogLevel)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %s_LOG_LEVEL: %v\n", p.Name, p.Prefix, err)
		return ExitUsage
	}
	if shared.Alone != 0 && shared.Alone < minAlone {
		fmt.Fprintf(stderr, "%s: %s_ALONE: takes 0s or a duration of at least %v\n", p.Name, p.Prefix, minAlone)
		return ExitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	env := Env{Log: NewLogger(stderr, level), Registry: NewRegistry(), Health: new(Health), Memory: LimitMemory()}
	if err := ServeMetrics(ctx, shared.Metrics, env); err != nil {
		fmt.Fprintf(stderr, "%s: %s_METRICS: %v\n", p.Name, p.Prefix, err)
		return ExitUsage
	}
	env.Log.Info("starting", "version", Version(p.Name))
	for _, name := range p.unknown(&shared) {
		env.Log.Warn("there is no such variable, it does nothing; see --help", "variable", name)
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if shared.Alone > 0 {
		go func() { end(alone(ctx, shared.Alone, net.Interfaces)) }()
	}
	err = p.Run(ctx, env)
	if context.Cause(ctx) == errAlone {
		err = errAlone
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		var usage UsageError
		if errors.As(err, &usage) {
			usage.Print(stderr, p.Name)
			return ExitUsage
		}
		env.Log.Error("failed", "error", err)
		return ExitFailure
	}
	env.Log.Info("stopped")
	return ExitOK
}

// health asks the running process of the same environment how it is.
func (p *Program) health(stdout, stderr io.Writer) int {
	var c common
	if err := Environment(p.Prefix, &c); err != nil {
		UsageError{Err: err}.Print(stderr, p.Name)
		return ExitUsage
	}
	return AskHealth(p.Name, p.Prefix+"_METRICS", c.Metrics, stdout, stderr)
}

// UsageError is an error of the configuration that shows only when the program
// runs.
type UsageError struct {
	Err error
	// Located says that each line of the error begins with FILE:LINE, which
	// editors look for at the beginning.
	Located bool
}

func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the error itself.
func (e UsageError) Unwrap() error { return e.Err }

// Print writes the error for a person.
func (e UsageError) Print(w io.Writer, program string) {
	if e.Located {
		fmt.Fprintln(w, e.Err)
		return
	}
	for line := range strings.Lines(e.Err.Error()) {
		fmt.Fprintf(w, "%s: %s\n", program, strings.TrimSuffix(line, "\n"))
	}
}

func (p *Program) configure(c *common) error {
	var errs []error
	for _, part := range []struct {
		prefix string
		spec   any
	}{{p.Prefix, p.Config}, {"", p.Shared}, {p.Prefix, c}} {
		err := Environment(part.prefix, part.spec)
		if v, ok := part.spec.(interface{ Validate() error }); ok && err == nil {
			err = v.Validate()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Environment fills a struct for envconfig from the variables with a prefix. Its
// error names the variable that is bad and what it takes.
func Environment(prefix string, spec any) error {
	err := envconfig.Process(prefix, spec)
	var parse *envconfig.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("%s: %q is not %s", parse.KeyName, parse.Value, takes(parse.TypeName))
	}
	if err != nil {
		return fmt.Errorf("read the environment: %w", err)
	}
	return nil
}

// takes says for a person what values of a Go type look like.
func takes(goType string) string {
	switch {
	case goType == "bool":
		return "true or false"
	case goType == "time.Duration":
		return "a duration such as 10s or 1m30s"
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"):
		return "a whole number"
	case strings.HasPrefix(goType, "float"):
		return "a number"
	}
	return "a " + goType
}

// unknown names the variables with our prefix that nobody reads: a typing
// error, or a setting that the user believes in.
func (p *Program) unknown(c *common) []string {
	var known strings.Builder
	for _, spec := range []any{p.Config, c} {
		// It fails only where the writer does.
		envconfig.Usagef(p.Prefix, spec, &known, "{{range .}}{{usage_key .}}=\n{{end}}")
	}
	var names []string
	for _, setting := range os.Environ() {
		name, _, _ := strings.Cut(setting, "=")
		if strings.HasPrefix(name, p.Prefix+"_") && !strings.Contains("\n"+known.String(), "\n"+name+"=") {
			names = append(names, name)
		}
	}
	return names
}

func (p *Program) help(w io.Writer) {
	fmt.Fprintf(w, "%s: %s\n\n", p.Name, p.Summary)
	if p.Usage != "" {
		fmt.Fprintf(w, "%s\n\n", p.Usage)
	}
	fmt.Fprintf(w, "%s health asks the running one of the same environment how it is, on %s_METRICS: exit\nstatus 0, or 1 and the reason.\n\n", p.Name, p.Prefix)
	fmt.Fprint(w, "It is configured by its environment; the only options are --help and --version.\n\n")
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "VARIABLE\tDEFAULT\tMEANING")
	for _, spec := range []struct {
		prefix string
		spec   any
	}{{p.Prefix, p.Config}, {p.Prefix, &common{}}, {"", p.Shared}} {
		envconfig.Usagef(spec.prefix, spec.spec, table, "{{range .}}{{usage_key .}}\t{{usage_default .}}\t{{usage_description .}}\n{{end}}")
	}
	table.Flush()
}

// LevelTrace is below slog's levels: everything, each frame's fate included.
const LevelTrace = slog.LevelDebug - 4

// ParseLevel reads a log level by the names that NS-Monitor has.
func ParseLevel(s string) (slog.Level, error) {
	switch strings.ToLower(s) {
	case "error":
		return slog.LevelError, nil
	case "warn":
		return slog.LevelWarn, nil
	case "info":
		return slog.LevelInfo, nil
	case "debug":
		return slog.LevelDebug, nil
	case "trace":
		return LevelTrace, nil
	}
	return 0, fmt.Errorf("%q is no level, takes error, warn, info, debug or trace", s)
}

// NewLogger returns a logger that writes lines of text.
func NewLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.LevelKey && a.Value.Any() == slog.Level(LevelTrace) {
				a.Value = slog.StringValue("TRACE")
			}
			return a
		},
	}))
}

// NewRegistry returns a registry that has the process's own figures.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// ServeMetrics serves the registry and the health over HTTP until the context
// ends; an empty address serves nothing.
func ServeMetrics(ctx context.Context, addr string, env Env) error {
	if addr == "" {
		return nil
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("takes an address such as 127.0.0.1:9100: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(env.Registry, promhttp.HandlerOpts{}))
	mux.Handle(healthPath, env.Health)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { srv.Close() })
	go func() {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			env.Log.Error("metrics are no longer served", "error", err)
		}
	}()
	env.Log.Info("serving metrics", "url", "http://"+listener.Addr().String()+"/metrics")
	return nil
}

// Version says what a binary was built from: the module's version, the commit
// where the build knew it, and the Go release.
func Version(name string) string {
	version, commit := "(devel)", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		modified := ""
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = " (modified)"
			}
		}
		commit += modified
	}
	return fmt.Sprintf("%s %s, commit %s, %s %s/%s", name, version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
