package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/wire"
	"github.com/ndmon/ndmon/deploy/lab"
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

// TestPrograms measures the programs that this builds.
func TestPrograms(t *testing.T) {
	lab.NeedRoot(t)
	bin := programs(t)
	t.Run("scenarios", func(t *testing.T) { testScenarios(t, bin) })
	t.Run("called off", func(t *testing.T) { testCalledOff(t, bin) })
}

// measured returns the figures of all scenarios by scenario and name.
func measured(t *testing.T, cfg Config) map[string]map[string]figure.Figure {
	t.Helper()
	figures := map[string]map[string]figure.Figure{}
	err := Run(t.Context(), cfg, func(f figure.Figure) {
		if figures[f.Scenario] == nil {
			figures[f.Scenario] = map[string]figure.Figure{}
		}
		if _, ok := figures[f.Scenario][f.Name]; ok {
			t.Errorf("%s: figure %q is there twice", f.Scenario, f.Name)
		}
		if f.Value < 0 || f.Value > 1e9 {
			t.Errorf("%s: figure %q is %v", f.Scenario, f.Name, f.Value)
		}
		if f.Unit == figure.Seconds && f.Value > patience.Seconds() {
			t.Errorf("%s: figure %q is %v s", f.Scenario, f.Name, f.Value)
		}
		if (f.Target == nil) != (f.Met == nil) {
			t.Errorf("%s: figure %q has target %v and verdict %v", f.Scenario, f.Name, f.Target, f.Met)
		}
		figures[f.Scenario][f.Name] = f
	})
	must(t, err)
	return figures
}

// testScenarios measures everything for a moment. It checks that the figures are
// there and add up, not how good they are.
func testScenarios(t *testing.T, bin string) {
	const rate, duration = 500, 200 * time.Millisecond
	const sent = 100
	cfg := Config{Bin: bin, Server: []string{os.Args[0], serveArgument}, Duration: duration, Rate: rate, Log: t.Output()}
	figures := measured(t, cfg)
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
		"relay-move":    {},
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

// testCalledOff is Ctrl-C: no program that was started lives on.
func testCalledOff(t *testing.T, bin string) {
	ctx, cancel := context.WithCancel(t.Context())
	cfg := Config{Bin: bin, Duration: time.Hour, Rate: 100, Scenarios: []string{"pipeline"}, Log: t.Output()}
	done := make(chan error)
	go func() { done <- Run(ctx, cfg, func(figure.Figure) {}) }()
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
	must(t, err)
	program := rules.Compile(set.Rules)
	if program.Len() != ruleCount+1 {
		t.Errorf("%d rules, want %d and the one that alerts", program.Len(), ruleCount)
	}
	evaluator := program.NewEvaluator()
	var d decode.Decoder
	for _, n := range []uint32{0, 1, 0xffff, 0x1_0000, 0xff_ffff, maxRate * 10} {
		for alerting, targets := range map[bool]netip.Prefix{false: quietTargets, true: alertTargets} {
			frame := wire.NewFrame()
			frame.Set(targets, n)
			e, ok := d.Decode(frame[:], wire.Len)
			if !ok || e.ND == nil || e.ND.NS == nil || e.ND.Malformed != "" || e.Fault != nil {
				t.Fatalf("frame %d is no valid solicitation: %+v", n, e)
			}
			matches := evaluator.Evaluate(e)
			if alerts := len(matches) == 1 && matches[0].ID == alertRule; alerts != alerting || len(matches) > 1 {
				t.Errorf("frame %d matches %v", n, matches)
			}
			if got, ok := wire.Number(alertTargets, e.ND.NS.TargetAddress); ok != alerting || ok && got != n {
				t.Errorf("frame %d has the number %d, %v", n, got, ok)
			}
		}
	}
}

func TestReport(t *testing.T) {
	r := &run{TB: t, scenario: "latency"}
	var report figure.Report
	r.report = func(f figure.Figure) { report.Figures = append(report.Figures, f) }
	took := make([]time.Duration, 101)
	for i := range took {
		took[100-i] = time.Duration(i) * time.Millisecond
	}
	r.spread("way", took, figure.Below(0.050), figure.Below(0.1))
	r.scenario = "idle"
	r.add(figure.Figure{Name: "lost", Value: 0, Unit: figure.Count, Target: figure.Exactly(0)})
	r.add(figure.Figure{Name: "rate", Value: 1234567, Unit: figure.PerSecond, Target: figure.AtLeast(1e6)})
	r.add(figure.Figure{Name: "memory", Value: 79.96e6, Unit: figure.Bytes})
	r.add(figure.Figure{Name: "processor", Value: 0.5, Unit: figure.Percent, Target: figure.Below(0.5)})

	var written bytes.Buffer
	must(t, report.WriteText(&written))
	_, table, _ := strings.Cut(written.String(), "\n\n") // the machine is before it
	var got []string
	for line := range strings.Lines(table) {
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
	must(t, report.WriteJSON(&text))
	var back figure.Report
	must(t, json.Unmarshal(text.Bytes(), &back))
	if diff := cmp.Diff(report, back); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

func TestCommandLine(t *testing.T) {
	var out, log bytes.Buffer
	must(t, Command(t.Context(), []string{"--help"}, &out, &log))
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
