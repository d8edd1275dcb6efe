package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/ndmon/ndmon/schemas/presence"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func url(s *server.Server) bus.Config { return bus.Config{URL: s.ClientURL()} }

// execute runs ndmon fleet.
func execute(t *testing.T, cfg bus.Config, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	t.Setenv("NATS_URL", cfg.URL)
	var out, errs strings.Builder
	status = process.Execute(Command(), append(args, "--wait", "2s"), &out, &errs)
	return status, out.String(), errs.String()
}

// daemon runs the service of a daemon until the test ends.
func daemon(t *testing.T, cfg bus.Config, part, host string) (connected <-chan bool, health *process.Health) {
	t.Helper()
	conn, err := bus.Connect(cfg, bus.Options{Name: part, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	check(t, err)
	t.Cleanup(func() { check(t, conn.Drain(context.Background())) })
	reached := make(chan bool, 1)
	conn.OnConnect(func(bool) {
		conn.NATS().Flush()
		reached <- true
	})
	health = new(process.Health)
	health.Part("x")(nil)
	service, err := presence.Serve(conn, part, host, health)
	check(t, err)
	service.Describe(func(s *schemas.DaemonStatus) { s.Lost++ })
	return reached, health
}

// The service is made while NATS is away, and comes back with it.
func TestServiceComesWithNATS(t *testing.T) {
	s := bustest.Start(t, t.TempDir(), -1)
	cfg, port := url(s), s.Addr().(*net.TCPAddr).Port
	if status, stdout, stderr := execute(t, cfg); status != 2 || stdout != "" || !strings.Contains(stderr, "no daemon of ndmon is connected") {
		t.Errorf("without a daemon: %d, %s, %s", status, stdout, stderr)
	}
	bustest.Stop(s)
	if status, stdout, stderr := execute(t, cfg); status != 2 || stdout != "" || !strings.Contains(stderr, "connect to NATS at "+cfg.URL) {
		t.Errorf("without NATS: %d, %s, %s", status, stdout, stderr)
	}
	connected, health := daemon(t, cfg, schemas.ServiceSensor, "r.1")
	for range 2 {
		s := bustest.Start(t, t.TempDir(), port)
		<-connected
		asker, err := nats.Connect(s.ClientURL())
		check(t, err)
		m, err := asker.Request("$SRV.STATUS.nd-sensor.r=2E1", nil, 10*time.Second)
		check(t, err)
		var got schemas.DaemonStatus
		check(t, got.ParseJSON(m.Data))
		if got.Host != "r.1" || got.Part != "nd-sensor" || got.Version != process.Version() || got.State != "ok" || got.Lost != 1 || time.Since(got.Time).Abs() > time.Hour {
			t.Errorf("%+v", got)
		}
		asker.Close()
		bustest.Stop(s)
	}
	bustest.Start(t, t.TempDir(), port)
	<-connected
	health.Check("capture", func() error { return fmt.Errorf("interface eth0\ncannot be captured") })
	status, stdout, stderr := execute(t, cfg, "-o", "json")
	var got Row
	lines := strings.SplitAfter(stdout, "\n")
	check(t, json.Unmarshal([]byte(lines[0]), &got))
	if status != 1 || got.Host != "r.1" || got.State != "degraded" || cmp.Diff([]string{"capture: interface eth0 cannot be captured"}, got.Amiss) != "" {
		t.Errorf("%d, %s%s", status, stdout, stderr)
	}
	if len(lines) != 3 || !strings.HasPrefix(lines[1], `{"amiss":["no nd-ruled answers: `) {
		t.Errorf("%q", lines)
	}
}

// respond answers requests for the status as a service that does what the test says.
func respond(t *testing.T, s *server.Server, answer func(m *nats.Msg)) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	check(t, err)
	t.Cleanup(nc.Close)
	_, err = nc.Subscribe("$SRV.STATS", answer)
	check(t, err)
	check(t, nc.Flush())
	return nc
}

// stats returns an answer to $SRV.STATS.
func stats(status []byte) []byte {
	return fmt.Appendf(nil, `{"name":"x","endpoints":[{"name":"status","data":%s}]}`, status)
}

// All of 3,000 answers are listed, in whatever portions they come.
func TestManyAnswers(t *testing.T) {
	s := bustest.Start(t, t.TempDir(), -1)
	const hosts = 3000
	respond(t, s, func(m *nats.Msg) {
		for i := range hosts {
			a := status(schemas.ServiceNdmon, fmt.Sprint("r", i))
			a.Time = time.Now()
			check(t, m.Respond(stats(a.AppendJSON(nil))))
			if i%1000 == 999 {
				time.Sleep(200 * time.Millisecond)
			}
		}
	})
	if status, stdout, stderr := execute(t, url(s)); status != 0 || strings.Count(stdout, "\n") != hosts+1 {
		t.Errorf("%d, %d lines, %s", status, strings.Count(stdout, "\n"), stderr)
	}
}

// Forged answers neither break the terminal nor take memory without bound, and hide no other.
func TestHostileAnswers(t *testing.T) {
	s := bustest.Start(t, t.TempDir(), -1)
	bad := status(schemas.ServiceNdmon, "evil\x1b[2J\nhost\t"+strings.Repeat("é", 300), func(s *schemas.DaemonStatus) {
		s.Version, s.Interfaces, s.Faults = "\x1b]0;x\x07", []string{"\x9b31m", "a\u202eb"}, []string{"\r\n" + strings.Repeat("x", 1000)}
		s.Rules = &schemas.RulesStatus{Source: "\x00"}
	})
	answered := make(chan bool, 2)
	respond(t, s, func(m *nats.Msg) {
		defer func() { answered <- true }()
		good := status(schemas.ServiceNdmon, "good")
		good.Time = time.Now()
		for _, data := range [][]byte{
			nil, []byte("no JSON"), []byte(`[]`), []byte(`{"endpoints":[]}`), stats([]byte(`null`)), stats([]byte(`{"type":"nd.status.v1"}`)),
			stats(bytes.Replace(good.AppendJSON(nil), []byte(`"ndmon"`), []byte(`"x"`), 1)),
			stats(bytes.Replace(good.AppendJSON(nil), []byte(`"started":"2026`), []byte(`"started":"x`), 1)),
			bytes.Repeat([]byte(`[`), 1<<20-1), stats(bad.AppendJSON(nil)), stats(good.AppendJSON(nil)),
		} {
			check(t, m.Respond(data))
		}
		many := status(schemas.ServiceRuled, "many", func(s *schemas.DaemonStatus) {
			for i := range 12_000 {
				s.Silent = append(s.Silent, schemas.SilentPart{Host: fmt.Sprint(i), Part: "sensor", Heard: sent})
			}
		})
		large, small := stats(many.AppendJSON(nil)), stats(good.AppendJSON(nil))
		for i := range 10_000 {
			check(t, m.Respond(bytes.Replace(small, []byte(`"good"`), fmt.Appendf(nil, `"r%d"`, i), 1)))
			if i%100 == 99 {
				check(t, m.Respond(large))
			}
		}
	})
	code, stdout, stderr := execute(t, url(s))
	for _, r := range stdout {
		if r != '\n' && (r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u202e') {
			t.Fatalf("%q is written to the terminal: %.2000q", r, stdout)
		}
	}
	if code != 1 || stderr != "" || !strings.Contains(stdout, "\ngood ") || !strings.Contains(stdout, "too many answers") {
		t.Errorf("%d, %.2000s, %s", code, stdout, stderr)
	}
	var longest int
	for line := range strings.Lines(stdout) {
		longest = max(longest, len([]rune(line)))
	}
	if n := strings.Count(stdout, "\n"); longest > 1200 || n > 2*maxAnswers {
		t.Errorf("%d lines, the longest of %d characters", n, longest)
	}
	<-answered
	if code, stdout, _ := execute(t, url(s), "-o", "json"); code != 1 || !strings.Contains(stdout, `"host":"good"`) {
		t.Errorf("%d, %.2000s", code, stdout)
	}
}

func TestUsage(t *testing.T) {
	for want, args := range map[string][]string{
		`--output: "xml" is not a format`: {"-o", "xml"},
		"--wait: must be above 0":         {"--wait", "0s"},
	} {
		var out, errs strings.Builder
		if status := process.Execute(Command(), args, &out, &errs); status != 2 || !strings.Contains(errs.String(), want) {
			t.Errorf("%q: %d, %s", args, status, errs.String())
		}
	}
}
