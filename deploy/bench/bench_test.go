//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/sensor/decode"
)

// TestMain is the nats-server too, which ndbench runs as a process.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveArgument {
		// It is killed when its scenario ends.
		if err := Command(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestScenarios measures everything for a moment: that the figures are there
// and add up, not how good they are.
func TestScenarios(t *testing.T) {
	needRoot(t)
	const rate, duration = 500, 200 * time.Millisecond
	const sent = 100
	cfg := Config{Bin: programs(t), Server: []string{os.Args[0], serveArgument}, Duration: duration, Rate: rate, Log: t.Output()}
	figures := map[string]map[string]Figure{}
	err := Run(t.Context(), cfg, func(f Figure) {
		if figures[f.Scenario] == nil {
			figures[f.Scenario] = map[string]Figure{}
		}
		if _, ok := figures[f.Scenario][f.Name]; ok {
			t.Errorf("%s: figure %q is there twice", f.Scenario, f.Name)
		}
		if f.Value < 0 || f.Value > 1e9 {
			t.Errorf("%s: figure %q is %v", f.Scenario, f.Name, f.Value)
		}
		if f.Unit == Seconds && f.Value > patience.Seconds() {
			t.Errorf("%s: figure %q is %v s", f.Scenario, f.Name, f.Value)
		}
		if (f.Target == nil) != (f.Met == nil) {
			t.Errorf("%s: figure %q has target %v and verdict %v", f.Scenario, f.Name, f.Target, f.Met)
		}
		figures[f.Scenario][f.Name] = f
	})
	if err != nil {
		t.Fatal(err)
	}

	want := map[string]map[string]float64{
		"pipeline":        {"frames sent": sent, "frames evaluated": sent, "frames lost": 0},
		"pipeline-alerts": {"frames sent": sent, "frames evaluated": sent, "frames lost": 0, "frames that alert": sent / alertEvery, "alerts that never came": 0, "alerts that came again": 0},
		"highest":         {},
		"highest-alerts":  {},
		"latency":         {"frames that alert": sent, "alerts that never came": 0, "alerts that came again": 0},
		"latency-apart":   {"frames that alert": sent, "alerts that never came": 0, "alerts that came again": 0},
		// Not all need be relayed: other tests may fill the neighbour table,
		// which is one for the whole machine.
		"relay":         {"solicitations on the master": sent},
		"relay-apart":   {"solicitations on the master": sent},
		"relay-known":   {"solicitations sent": sent, "solicitations lost": 0},
		"relay-answer":  {"solicitations sent": sent, "solicitations lost": 0},
		"relay-scan":    {"hosts asked for meanwhile": 1, "sends of another program that failed": 0},
		"relay-scan-in": {"hosts asked for meanwhile": 1, "sends of another program that failed": 0},
		"relay-way":     {},
		"idle":          {},
		"idle-apart":    {},
	}
	got := map[string]map[string]float64{}
	for scenario, names := range want {
		got[scenario] = map[string]float64{}
		for name := range names {
			if f, ok := figures[scenario][name]; ok {
				got[scenario][name] = f.Value
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
	for scenario, names := range map[string][]string{
		"pipeline":        {"processor time an evaluated frame, ndmon", "processor time a frame, sending and delivery", "resident memory, ndmon, at most"},
		"pipeline-alerts": {"frame to alert meanwhile, minimum"},
		"highest":         {"frames a second without loss"},
		"highest-alerts":  {"frames a second without loss"},
		"latency":         {"frame to alert, minimum", "frame to alert, maximum"},
		"latency-apart":   {"frame to alert, minimum"},
		"relay":           {"master to first slave, minimum", "master to both slaves, maximum"},
		"relay-apart":     {"master to first slave, minimum"},
		"idle":            {"resident memory, ndmon"},
		"idle-apart":      {"resident memory, nd-sensor", "resident memory, nd-pinger", "resident memory, nd-ruled", "resident memory, nats-server"},
	} {
		for _, name := range names {
			if figures[scenario][name].Value <= 0 {
				t.Errorf("%s: figure %q is %v", scenario, name, figures[scenario][name].Value)
			}
		}
	}
	for _, scenario := range []string{"relay", "relay-apart"} {
		if f, ok := figures[scenario]["not relayed to both slaves"]; !ok || f.Value >= sent {
			t.Errorf("%s: %v of %d are not relayed", scenario, f.Value, sent)
		}
	}
	if a, b := figures["relay"]["master to first slave, minimum"].Value, figures["relay"]["master to both slaves, minimum"].Value; a > b {
		t.Errorf("the first slave is reached after %v s, both after %v s", a, b)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root to make network namespaces, and CI=true forbids to skip")
	}
	t.Skip("needs root to make network namespaces")
}

// programs builds what is measured.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const module = "github.com/ndmon/ndmon/"
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir+string(filepath.Separator),
		module+"deploy/cmd/ndmon", module+"sensor/cmd/nd-sensor", module+"ruled/cmd/nd-ruled", module+"pinger/cmd/nd-pinger")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the programs: %v\n%s", err, out)
	}
	return dir
}

// TestRunIsCalledOff looks at Ctrl-C: nothing that was started lives on.
func TestRunIsCalledOff(t *testing.T) {
	needRoot(t)
	ctx, cancel := context.WithCancel(t.Context())
	bin := programs(t)
	cfg := Config{Bin: bin, Duration: time.Hour, Rate: 100, Scenarios: []string{"pipeline"}, Log: t.Output()}
	done := make(chan error)
	go func() { done <- Run(ctx, cfg, func(Figure) {}) }()
	running := func() bool {
		links, err := filepath.Glob("/proc/[0-9]*/exe")
		return err == nil && slices.ContainsFunc(links, func(link string) bool {
			path, err := os.Readlink(link)
			return err == nil && strings.HasPrefix(path, bin)
		})
	}
	for !running() {
		select {
		case err := <-done:
			t.Fatalf("it ended before: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("error %v, want that it was called off", err)
	}
	if running() {
		t.Error("a program lives on")
	}
}

func TestFrames(t *testing.T) {
	set, err := rulefile.Parse("rules.xml", []byte(writeRules(ruleCount)))
	if err != nil {
		t.Fatal(err)
	}
	program := rules.Compile(set.Rules)
	if program.Len() != ruleCount+1 {
		t.Errorf("%d rules, want %d and the one that alerts", program.Len(), ruleCount)
	}
	evaluator := program.NewEvaluator()
	var d decode.Decoder
	for _, n := range []uint32{0, 1, 0xffff, 0x1_0000, 0xff_ffff, maxRate * 10} {
		for _, prefix := range []struct {
			alerts bool
			frame  frame
		}{{false, framed(func(f *frame) { f.set(quietTargets, n) })}, {true, framed(func(f *frame) { f.set(alertTargets, n) })}} {
			e, ok := d.Decode(prefix.frame[:], frameLen)
			if !ok || e.ND == nil || e.ND.NS == nil || e.ND.Malformed != "" {
				t.Fatalf("frame %d is no valid solicitation: %+v", n, e)
			}
			matches := evaluator.Evaluate(e)
			if alerts := len(matches) == 1 && matches[0].ID == alertRule; alerts != prefix.alerts || len(matches) > 1 {
				t.Errorf("frame %d matches %v", n, matches)
			}
			if got, ok := number(alertTargets, e.ND.NS.TargetAddress); ok != prefix.alerts || ok && got != n {
				t.Errorf("frame %d has the number %d, %v", n, got, ok)
			}
		}
	}
}

func framed(set func(*frame)) (f frame) {
	set(&f)
	return f
}

func TestReport(t *testing.T) {
	r := &run{TB: t, scenario: "latency"}
	var report Report
	r.report = func(f Figure) { report.Figures = append(report.Figures, f) }
	took := make([]time.Duration, 101)
	for i := range took {
		took[100-i] = time.Duration(i) * time.Millisecond
	}
	r.spread("way", took, below(0.050), below(0.1))
	r.scenario = "idle"
	r.add(Figure{Name: "lost", Value: 0, Unit: Count, Target: exactly(0)})
	r.add(Figure{Name: "rate", Value: 1234567, Unit: PerSecond, Target: atLeast(1e6)})
	r.add(Figure{Name: "memory", Value: 79.96e6, Unit: Bytes})
	r.add(Figure{Name: "processor", Value: 0.5, Unit: Percent, Target: below(0.5)})

	var table bytes.Buffer
	if err := WriteTable(&table, report.Figures); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(table.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"SCENARIO MEASURED FIGURE TARGET",
		"latency way, minimum 0s",
		"way, median 50ms < 50ms MISSED",
		"way, p99 99ms < 100ms met",
		"way, maximum 100ms",
		"idle lost 0 = 0 met",
		"rate 1,234,567/s >= 1,000,000/s met",
		"memory 80.0 MB",
		"processor 0.50 % < 0.50 % MISSED",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}

	var text bytes.Buffer
	if err := report.writeJSON(&text); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(report, back); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		unit Unit
		v    float64
		want string
	}{
		{Seconds, 1.2345e-6, "1.23µs"}, {Seconds, 123.456e-6, "123µs"}, {Seconds, 12.345e-3, "12.3ms"}, {Seconds, 1, "1s"},
		{Count, 0, "0"}, {Count, 999, "999"}, {Count, 1000, "1,000"}, {Count, -1234567, "-1,234,567"}, {Count, -100, "-100"},
	} {
		if got := c.unit.text(c.v); got != c.want {
			t.Errorf("%v %s is written %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	m := metrics("# HELP a text\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\na_total 100\na{xx=\"1\"} 1e+02\nb 7\n")
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"a", nil, 107}, {"a", []string{`x="1"`}, 7}, {"a", []string{`x="1"`, `y="3"`}, 4}, {"b", nil, 7}, {"c", nil, 0},
	} {
		if got := m.sum(c.name, c.labels...); got != c.want {
			t.Errorf("%s%v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	var out, log bytes.Buffer
	if err := Command(t.Context(), []string{"--help"}, &out, &log); err != nil {
		t.Fatal(err)
	}
	for _, s := range Scenarios() {
		if !strings.Contains(out.String(), s.Name) {
			t.Errorf("the help does not name %s", s.Name)
		}
	}
	for args, want := range map[string]string{
		"--duration 0s":       "--duration",
		"--rate -1":           "--rate",
		"--rate 10000001":     "--rate",
		"nothing":             `"nothing"`,
		"--bin /nowhere idle": "--bin",
		"--fast":              "--help",
	} {
		err := Command(t.Context(), strings.Fields(args), &out, &log)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one about %s", args, err, want)
		}
	}
}
