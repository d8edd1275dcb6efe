package process

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type testConfig struct {
	Host    string        `split_words:"true" default:"r1" desc:"name of this host"`
	Count   uint16        `split_words:"true" default:"3" desc:"how many"`
	Period  time.Duration `split_words:"true" default:"10s" desc:"how often"`
	Enabled bool          `split_words:"true" desc:"whether"`
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (c testConfig) Validate() error {
	if c.Count == 0 {
		return errors.New("TEST_COUNT: takes a number above 0")
	}
	return nil
}

type sharedConfig struct {
	URL string `envconfig:"TESTNATS_URL" default:"nats://x" desc:"where"`
}

func run(t *testing.T, args []string, f func(context.Context, Env) error) (status int, stdout, stderr string, cfg testConfig) {
	t.Helper()
	var out, err bytes.Buffer
	var shared sharedConfig
	status = Main(Program{
		Name: "nd-test", Summary: "tests", Prefix: "TEST", Config: &cfg, Shared: &shared, Run: f,
	}, args, &out, &err)
	return status, out.String(), err.String(), cfg
}

func succeed(context.Context, Env) error { return nil }

func TestEnvironment(t *testing.T) {
	t.Setenv("TEST_HOST", "r2")
	t.Setenv("TEST_PERIOD", "1m")
	t.Setenv("COUNT", "9") // not ours: it has no prefix
	t.Setenv("TEST_HOTS", "typo")
	status, _, stderr, cfg := run(t, nil, succeed)
	if want := (testConfig{Host: "r2", Count: 3, Period: time.Minute}); status != ExitOK || cfg != want {
		t.Errorf("status %d, %+v, want %+v", status, cfg, want)
	}
	if !strings.Contains(stderr, "TEST_HOTS") || strings.Contains(stderr, "TEST_HOST ") {
		t.Errorf("the variable without effect is not named:\n%s", stderr)
	}
}

func TestBadEnvironment(t *testing.T) {
	for name, tc := range map[string]struct{ variable, value, want string }{
		"number":   {"TEST_COUNT", "many", `nd-test: TEST_COUNT: "many" is not a whole number` + "\n"},
		"range":    {"TEST_COUNT", "70000", `nd-test: TEST_COUNT: "70000" is not a whole number` + "\n"},
		"duration": {"TEST_PERIOD", "10", `nd-test: TEST_PERIOD: "10" is not a duration such as 10s or 1m30s` + "\n"},
		"bool":     {"TEST_ENABLED", "maybe", `nd-test: TEST_ENABLED: "maybe" is not true or false` + "\n"},
		"validate": {"TEST_COUNT", "0", "nd-test: TEST_COUNT: takes a number above 0\n"},
		"level":    {"TEST_LOG_LEVEL", "loud", `nd-test: TEST_LOG_LEVEL: "loud" is not a level: use off, error, warn, info, debug or trace` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(tc.variable, tc.value)
			status, _, stderr, _ := run(t, nil, succeed)
			if status != ExitUsage || stderr != tc.want {
				t.Errorf("status %d, %q, want %q", status, stderr, tc.want)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	status, stdout, _, _ := run(t, []string{"--help"}, nil)
	for _, want := range []string{"TEST_HOST ", "name of this host", "10s", "TESTNATS_URL", "nats://x", "TEST_METRICS"} {
		if status != ExitOK || !strings.Contains(stdout, want) {
			t.Errorf("status %d, the help does not have %q:\n%s", status, want, stdout)
		}
	}
	if status, stdout, _, _ = run(t, []string{"--version"}, nil); status != ExitOK || !strings.HasPrefix(stdout, "nd-test ") || !strings.Contains(stdout, "go1.") {
		t.Errorf("status %d, version %q", status, stdout)
	}
	if status, _, stderr, _ := run(t, []string{"eth0"}, nil); status != ExitUsage || !strings.Contains(stderr, `"eth0"`) {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// The commands and faults of every program.
func TestCommandLine(t *testing.T) {
	for _, tc := range []struct {
		args           string
		status         int
		stdout, stderr string // parts of them
	}{
		{"help", ExitOK, "TEST_HOST ", ""},
		{"help health", ExitOK, "TEST_METRICS", ""},
		{"health --help", ExitOK, "TEST_METRICS", ""},
		{"version", ExitOK, "nd-test 0.1.0-dev, commit ", ""},
		{"-V", ExitOK, "nd-test 0.1.0-dev, commit ", ""},
		{"completion bash", ExitOK, "__start_nd-test", ""},
		{"completion fish", ExitOK, "nd-test", ""},
		{"completion zsh", ExitOK, "#compdef nd-test", ""},
		{"completion", ExitUsage, "", "nd-test completion: needs the name of a shell: bash, fish, zsh; see nd-test completion --help\n"},
		{"completion csh", ExitUsage, "", "nd-test completion: needs the name of a shell: bash, fish, zsh; see nd-test completion --help\n"},
		{"help helth", ExitUsage, "", "nd-test help: unknown command \"helth\" (did you mean health?); see nd-test help --help\n"},
		{"helth", ExitUsage, "", "nd-test: unknown command \"helth\" (did you mean health?); see nd-test --help\n"},
		{"health now", ExitUsage, "", "nd-test health: unexpected argument \"now\"; see nd-test health --help\n"},
		{"--versoin", ExitUsage, "", "nd-test: unknown option \"--versoin\" (did you mean --version?); see nd-test --help\n"},
		{"-i eth0", ExitUsage, "", "nd-test: unknown option \"-i\"; see nd-test --help\n"},
		{"--version=x", ExitUsage, "", "nd-test: --version: \"x\" is not true or false; see nd-test --help\n"},
	} {
		status, stdout, stderr, _ := run(t, strings.Fields(tc.args), nil)
		if status != tc.status || !strings.Contains(stdout, tc.stdout) || stderr != tc.stderr || (tc.stdout == "") != (stdout == "") {
			t.Errorf("nd-test %s: exit status %d, %q, %q, want %d, %q, %q", tc.args, status, stdout, stderr, tc.status, tc.stdout, tc.stderr)
		}
	}
}

func TestBuildInfo(t *testing.T) {
	families, err := NewRegistry().Gather()
	check(t, err)
	for _, f := range families {
		if f.GetName() != "nd_build_info" {
			continue
		}
		m := f.GetMetric()[0]
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if m.GetGauge().GetValue() != 1 || labels["version"] != "0.1.0-dev" || labels["revision"] == "" || labels["goversion"] != runtime.Version() {
			t.Errorf("nd_build_info: %v", m)
		}
		return
	}
	t.Error("there is no nd_build_info")
}

func TestExitStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		status int
		stderr string
	}{
		"stopped":        {context.Canceled, ExitOK, "stopped"},
		"failed":         {errors.New("no luck"), ExitFailure, "no luck"},
		"usage":          {UsageError{Err: errors.New("one\ntwo")}, ExitUsage, "nd-test: one\nnd-test: two\n"},
		"faults of file": {UsageError{Err: errors.New("f:1: one\nf:2: two"), Located: true}, ExitUsage, "\nf:1: one\nf:2: two\n"},
	} {
		status, _, stderr, _ := run(t, nil, func(context.Context, Env) error { return tc.err })
		if status != tc.status || !strings.Contains(stderr, tc.stderr) {
			t.Errorf("%s: status %d, want %d; %q", name, status, tc.status, stderr)
		}
	}
}

func TestServeMetrics(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	addr := l.Addr().String()
	env := Env{Name: "nd-test <x>", Log: slog.New(slog.DiscardHandler), Registry: NewRegistry(), Health: new(Health)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := ServeMetrics(ctx, addr, env); err == nil {
		t.Error("metrics are served on an address that is taken")
	}
	l.Close()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "test_total"})
	env.Registry.MustRegister(counter)
	counter.Inc()
	check(t, ServeMetrics(ctx, addr, env))
	get := func(path string) (status int, body string) {
		t.Helper()
		resp, err := http.Get("http://" + addr + path)
		check(t, err)
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		check(t, err)
		return resp.StatusCode, string(data)
	}
	if _, body := get("/metrics"); !strings.Contains(body, "test_total 1\n") || !strings.Contains(body, "nd_healthy 0\n") {
		t.Errorf("metrics while the process is starting:\n%s", body)
	}
	env.Health.Part("test")(nil)
	if _, body := get("/metrics"); !strings.Contains(body, "nd_healthy 1\n") {
		t.Errorf("metrics of a healthy process:\n%s", body)
	}
	// The page at / links to all others, and there is no other.
	status, page := get("/")
	if status != http.StatusOK || !strings.Contains(page, "<h1>nd-test &lt;x&gt;</h1>") || !strings.Contains(page, Version()) {
		t.Errorf("%d, %s", status, page)
	}
	links := regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(links) != 2 {
		t.Errorf("links %q", links)
	}
	for _, link := range links {
		if status, _ := get(link[1]); status != http.StatusOK {
			t.Errorf("%s: status %d", link[1], status)
		}
	}
	if status, _ := get("/other"); status != http.StatusNotFound {
		t.Errorf("another path: status %d", status)
	}
}

func TestHealth(t *testing.T) {
	var h Health
	expect := func(want string) {
		t.Helper()
		got := "healthy"
		if err := h.Err(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	expect("starting")
	events := h.Part("events")
	expect("events: starting")
	away := errors.New("not\nconnected")
	h.Check("NATS", func() error { return away })
	expect("NATS: not connected; events: starting")
	events(nil)
	away = nil
	expect("healthy")
	events(errors.New("lost"))
	expect("events: lost")
}

// The program checks the health of its running process with the same environment.
func TestCheckHealth(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:", "[::1]:", ":", "0.0.0.0:", "[::]:", "localhost:"} {
		t.Run(listen, func(t *testing.T) {
			addr := listen + freePort(t, listen+"0")
			t.Setenv("TEST_METRICS", addr)
			t.Setenv("http_proxy", "http://192.0.2.1:1") // is not for us
			ask := func(status int, stdout string) {
				t.Helper()
				if s, out, stderr, _ := run(t, []string{"health"}, nil); s != status || out != stdout || stderr != "" {
					t.Errorf("status %d, %q, %q, want %d, %q", s, out, stderr, status, stdout)
				}
			}
			if status, _, stderr, _ := run(t, nil, func(_ context.Context, env Env) error {
				ask(ExitFailure, "starting\n")
				set := env.Health.Part("test")
				ask(ExitFailure, "test: starting\n")
				set(nil)
				ask(ExitOK, "healthy\n")
				return nil
			}); status != ExitOK {
				t.Errorf("status %d, %s", status, stderr)
			}
		})
	}
}

func TestCheckHealthWithoutAnswer(t *testing.T) {
	if status, out, stderr, _ := run(t, []string{"health"}, nil); status != ExitUsage || out != "" ||
		stderr != "nd-test health: TEST_METRICS is not set: it is the address on which the running nd-test serves its metrics\n" {
		t.Errorf("status %d, %q, %q", status, out, stderr)
	}
	addr := "127.0.0.1:" + freePort(t, "127.0.0.1:0")
	t.Setenv("TEST_METRICS", addr)
	want := "nd-test on " + addr + " does not answer: dial tcp " + addr + ": connect: connection refused\n"
	if status, out, _, _ := run(t, []string{"health"}, nil); status != ExitFailure || out != want {
		t.Errorf("status %d, %q, want %q", status, out, want)
	}
	if status, _, stderr, _ := run(t, []string{"health", "now"}, nil); status != ExitUsage || stderr == "" {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// freePort returns a port that no process listens on.
func freePort(t *testing.T, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	check(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	check(t, err)
	return port
}

// Only an interface that is up and not loopback counts, a failed listing counts as one,
// and each of them restarts the time.
func TestWaitNoInterfaces(t *testing.T) {
	up := []net.Interface{{Name: "lo", Flags: net.FlagUp | net.FlagLoopback}, {Name: "eth0", Flags: net.FlagUp}}
	down := []net.Interface{{Name: "lo", Flags: net.FlagUp | net.FlagLoopback}, {Name: "sit0"}}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		interfaces := func() ([]net.Interface, error) {
			switch now := time.Since(start); {
			case now < time.Minute, now >= 65*time.Second && now < 66*time.Second:
				return up, nil
			case now >= 70*time.Second && now < 71*time.Second:
				return nil, errors.New("cannot list")
			}
			return down, nil
		}
		if err := waitNoInterfaces(t.Context(), 10*time.Second, interfaces); err != errNoInterfaces {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took != 81*time.Second {
			t.Errorf("after %v, want 10s after it was left for good at 71s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := waitNoInterfaces(ctx, 10*time.Second, func() ([]net.Interface, error) { return up, nil }); err != nil {
			t.Errorf("error %v with an interface up", err)
		}
	})
}

// The process fails, so that its supervisor restarts it.
func TestMainNoInterfaces(t *testing.T) {
	t.Setenv("TEST_ALONE", "500ms")
	if status, _, stderr, _ := run(t, nil, succeed); status != ExitUsage || stderr != "nd-test: TEST_ALONE: must be 0s or at least 1s\n" {
		t.Errorf("status %d, %q", status, stderr)
	}
	t.Setenv("TEST_ALONE", "1h")
	if status, _, stderr, _ := run(t, nil, succeed); status != ExitOK {
		t.Errorf("status %d, %s", status, stderr)
	}
}
