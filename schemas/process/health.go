package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Env has what every program works with.
type Env struct {
	// Name is the name of the program, ndmon if it is empty.
	Name     string
	Log      *slog.Logger
	Registry *prometheus.Registry
	// Health is served with the metrics.
	Health *Health
	// Memory is the number of bytes of memory that the process may use, 0 for no limit.
	Memory int64
}

// NewRegistry returns a registry with the metrics of the process, the Go runtime and the build.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	v, commit := build()
	info := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "nd_build_info", Help: "Always 1; the labels describe the build of this program.",
		ConstLabels: prometheus.Labels{"version": v, "revision": commit, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	return r
}

// healthy returns a metric of the health.
func healthy(h *Health) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "nd_healthy", Help: "1 while the process is healthy, otherwise 0: then /health on the same address says why.",
	}, func() float64 {
		if h.Err() != nil {
			return 0
		}
		return 1
	})
}

// landing is the page that links to the others, with the name and the version of the program.
const landing = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>%[1]s</title></head>
<body><h1>%[1]s</h1><p>Version %[2]s</p>
<ul><li><a href="/metrics">Metrics</a></li><li><a href="` + healthPath + `">Health</a></li></ul>
</body></html>
`

// ServeMetrics serves the registry and the health over HTTP until the context ends. With
// an empty address it serves nothing.
func ServeMetrics(ctx context.Context, addr string, env Env) error {
	if addr == "" {
		return nil
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("needs an address such as 127.0.0.1:9100: %w", err)
	}
	env.Registry.MustRegister(healthy(env.Health))
	page := fmt.Sprintf(landing, html.EscapeString(cmp.Or(env.Name, "ndmon")), html.EscapeString(Version()))
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, page) })
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

// Health holds the health of the parts of a process. A process without parts, the zero
// value, is not healthy: it is starting.
type Health struct {
	mu     sync.Mutex
	checks map[string]func() error
	note   func() error
}

var errStarting = errors.New("starting")

// Check registers a function that returns the fault of a part, or nil. It must not block.
func (h *Health) Check(part string, check func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checks == nil {
		h.checks = map[string]func() error{}
	}
	h.checks[part] = check
}

// Note registers a function that returns what a reader of the health should know, or nil. The
// process is healthy nevertheless. The function must not block.
func (h *Health) Note(note func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note = note
}

// Part adds a part that reports its fault, or nil, by the function returned. Until the
// first report it is starting.
func (h *Health) Part(name string) func(error) {
	set := func(err error) { h.Check(name, func() error { return err }) }
	set(errStarting)
	return set
}

// Err returns one line with the parts that are not healthy and the reasons, or nil if all
// are healthy.
func (h *Health) Err() error {
	if faults := h.Faults(); len(faults) > 0 {
		return errors.New(strings.Join(faults, "; "))
	}
	return nil
}

// Faults returns the parts that are not healthy, each with the reason.
func (h *Health) Faults() []string {
	h.mu.Lock()
	checks := maps.Clone(h.checks)
	h.mu.Unlock()
	if len(checks) == 0 {
		return []string{errStarting.Error()}
	}
	var faults []string
	for _, part := range slices.Sorted(maps.Keys(checks)) {
		if err := checks[part](); err != nil {
			faults = append(faults, part+": "+strings.Join(strings.Fields(err.Error()), " "))
		}
	}
	return faults
}

// ServeHTTP answers 200, or 503 with the reason in one line.
func (h *Health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if err := h.Err(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	h.mu.Lock()
	note := h.note
	h.mu.Unlock()
	if note != nil {
		if err := note(); err != nil {
			fmt.Fprintf(w, "healthy, but %v\n", err)
			return
		}
	}
	fmt.Fprintln(w, "healthy")
}

const (
	healthPath = "/health"
	// healthWait is less than the 30s that container engines give a check.
	healthWait = 5 * time.Second
	maxHealth  = 4096
)

// CheckHealth asks the running program that serves its metrics on an address for its
// health, and prints the answer. It returns Status(ExitFailure) unless that is healthy.
// The setting, a variable or an option, is where the user gives the address.
func CheckHealth(program, setting, addr string, stdout io.Writer) error {
	if addr == "" {
		return UsageError{Err: fmt.Errorf("%s is not set: it is the address on which the running %s serves its metrics", setting, program)}
	}
	// The address is one to listen on: it may lack a host, or name its port.
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: healthWait}
	answer, err := client.Get("http://localhost" + healthPath)
	if err != nil {
		err = errors.Unwrap(err) // the URL would mislead
	} else {
		defer answer.Body.Close()
		_, err = io.Copy(stdout, io.LimitReader(answer.Body, maxHealth))
	}
	if err != nil {
		fmt.Fprintf(stdout, "%s on %s does not answer: %v\n", program, addr, err)
	}
	if err != nil || answer.StatusCode != http.StatusOK {
		return Status(ExitFailure)
	}
	return nil
}
