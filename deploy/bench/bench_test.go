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

// TestMain is also the nats-server and the bare loops, which ndbench runs as processes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && hidden()[os.Args[1]] != nil {
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

const corpus = "../../sensor/testdata/corpus"

// measured returns the figures of all scenarios by scenario, program and name.
func measured(t *testing.T, cfg Config) map[string]figure.Figure {
	t.Helper()
	figures := map[string]figure.Figure{}
	err := Run(t.Context(), cfg, func(f figure.Figure) {
		program, _, _ := strings.Cut(f.Program, " at ")
		key := f.Scenario + ": " + program + ": " + f.Name
		if _, ok := figures[key]; ok {
			t.Errorf("%q is there twice", key)
		}
		if f.Value < 0 || f.Value > 1e9 {
			t.Errorf("%q is %v", key, f.Value)
		}
		if f.Unit == figure.Seconds && f.Value > patience.Seconds() {
			t.Errorf("%q is %v s", key, f.Value)
		}
		if (f.Target == nil) != (f.Met == nil) {
			t.Errorf("%q has target %v and verdict %v", key, f.Target, f.Met)
		}
		figures[key] = f
	})
	must(t, err)
	return figures
}

// testScenarios measures everything for a moment. It checks that the figures are
// there and add up, not how good they are.
func testScenarios(t *testing.T, bin string) {
	const rate, duration = 500, 200 * time.Millisecond
	const sent = 100
	var names []string
	for _, s := range Scenarios() {
		// The hosts of lan test their addresses, which takes a minute. The edges need a cluster.
		if s.Name != "lan" && s.Name != "fleet-edges" {
			names = append(names, s.Name)
		}
	}
	figures := measured(t, Config{
		Bin: bin, Self: os.Args[0], Scenarios: names, Duration: duration, Rate: rate, Log: t.Output(),
		Hosts: 3, Servers: 1, Ruled: 1, Corpus: corpus,
	})
	exact := map[string]float64{}
	for _, p := range []string{"floor: bare loop", "pipeline: bare loop", "pipeline: ndmon", "pipeline-rules: ndmon", "pipeline-known: ndmon",
		"pipeline-alerts: ndmon", "pipeline-apart: separate processes"} {
		exact[p+": frames sent"], exact[p+": frames evaluated"], exact[p+": frames lost"] = sent, sent, 0
	}
	for p, frames := range map[string]float64{"pipeline-alerts: ndmon": sent / alertEvery, "latency: ndmon, standard output": sent,
		"latency: ndmon, NATS subscriber": sent, "latency: separate processes": sent} {
		exact[p+": frames that alert"], exact[p+": alerts that never came"], exact[p+": alerts that came again"] = frames, 0, 0
	}
	for _, p := range []string{"relay: bare loop", "relay: ndmon", "relay-new: ndmon", "relay-new-in: ndmon"} {
		// Not all need be relayed: other tests may fill the neighbour table, which
		// is one for the whole machine.
		exact[p+": solicitations"] = 200
	}
	for _, p := range []string{"relay-known: ndmon", "relay-answer: ndmon"} {
		exact[p+": solicitations sent"], exact[p+": solicitations lost"] = sent, 0
	}
	for _, p := range []string{"relay-scan: ndmon", "relay-scan-in: ndmon"} {
		exact[p+": hosts asked for meanwhile"], exact[p+": sends of another program that failed"] = 1, 0
	}
	exact["fleet-cost: 3 hosts: events lost"] = 0
	for _, name := range []string{"alerts missing", "alerts stored again", "alerts out of order"} {
		exact["fleet-takeover: 3 hosts: "+name] = 0
	}
	for key, want := range exact {
		if f, ok := figures[key]; !ok || f.Value != want {
			t.Errorf("%q is %v, want %v", key, f.Value, want)
		}
	}
	for _, key := range []string{
		"pipeline: ndmon: processor time a frame", "pipeline: ndmon: resident memory, ndmon",
		"pipeline-alerts: ndmon: frame to alert meanwhile, median", "highest: ndmon: frames a second without loss",
		"highest-alerts: ndmon: frames a second without loss", "latency: ndmon, standard output: frame to alert, p99",
		"read: ndmon: time", "read: ndmon, built-in rules: resident memory, at most",
		"relay: bare loop: solicitation to solicitation, median", "relay-due: ndmon: solicitation to solicitation, p99",
		"relay-due-in: ndmon: solicitation to advertisement, median", "idle: ndmon: resident memory, ndmon",
		"fleet-cost: 3 hosts: processor time an event", "fleet-rate: 3 hosts: events a second without loss", "fleet-catchup: 3 hosts: events evaluated a second",
		"fleet-takeover: 3 hosts: alerts of each host again after SIGKILL of nats-server, median", "fleet-takeover: 3 hosts: alerts sent",
		"idle: separate processes: resident memory, nd-pinger", "flooded: ndmon: resident memory, ndmon, 10s after",
	} {
		if figures[key].Value <= 0 {
			t.Errorf("%q is %v", key, figures[key].Value)
		}
	}
	if r := figures["pipeline: ndmon: processor time a frame"].Ratios; len(r) != 1 || r[0].To != bare || r[0].Times <= 0 {
		t.Errorf("ndmon's processor time has the ratios %v, want one to the bare loop", r)
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
	cfg := Config{Bin: bin, Duration: time.Hour, Rate: 100, Servers: 1, Ruled: 1, Scenarios: []string{"pipeline"}, Log: t.Output()}
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
			frame := wire.NewRequest()
			frame.SetSource(n)
			frame.Set(targets, n)
			e, ok := d.Decode(frame[:], wire.Len)
			if !ok || e.ND == nil || e.ND.NS == nil || e.ND.Malformed != "" || e.Fault != nil {
				t.Fatalf("frame %d is no valid solicitation: %+v", n, e)
			}
			matches := evaluator.Evaluate(e)
			if alerts := len(matches) == 1 && matches[0].ID == alertRule; alerts != alerting || len(matches) > 1 {
				t.Errorf("frame %d matches %v", n, matches)
			}
			line := fmt.Sprintf("12:00:00.000000 IP6 2001:db8:5::ff > ff02::1:ff00:1: ICMP6, neighbor solicitation, who has %v, length 32", e.ND.NS.TargetAddress)
			if got, ok := alerted([]byte(line)); ok != alerting || ok && got != n {
				t.Errorf("frame %d has the number %d, %v", n, got, ok)
			}
		}
	}
}

func TestReport(t *testing.T) {
	r := &run{TB: t, scenario: "latency", program: program{name: ndmon}, before: &[]figure.Figure{{Program: bare, Name: "way, p99", Value: 0.033}}}
	var report figure.Report
	r.report = func(f figure.Figure) { report.Figures = append(report.Figures, f) }
	took := make([]time.Duration, 101)
	for i := range took {
		took[100-i] = time.Duration(i) * time.Millisecond
	}
	r.spread("way", took, figure.Below(0.050), figure.Times(2, bare))
	r.compare(figure.Figure{Name: "all", Value: 1, Unit: figure.Seconds, Target: r.own(figure.Times(1, ndppd))})
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
		"SCENARIO PROGRAM MEASURED FIGURE RATIO TARGET",
		"latency ndmon way, median 50ms < 50ms MISSED",
		"way, p99 99ms 3.00 × bare loop <= 2.00 × bare loop MISSED",
		"way, maximum 100ms",
		"all 1s",
		"idle ndmon lost 0 = 0 met",
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
		"--servers 0":         "--servers",
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
