package find

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/ndmon/ndmon/schemas/process"
)

// parse returns what the command would look for, or its exit status and output.
func parse(args string) (cfg config, status int, stdout, stderr string) {
	var out, err bytes.Buffer
	c := newCommand(func(_ context.Context, parsed config, _ io.Writer) (bool, error) {
		cfg = parsed
		return true, nil
	})
	status = process.Execute(c, strings.Fields(args), &out, &err)
	return cfg, status, out.String(), err.String()
}

func TestOptions(t *testing.T) {
	t.Setenv("NATS_USER", "op")
	target := netip.MustParseAddr("2001:db8::42")
	nats := func(url string) bus.Config { return bus.Config{URL: url, User: "op"} }
	for args, want := range map[string]config{
		"2001:DB8::42":                                   {Target: target, NATS: nats("nats://127.0.0.1:4222"), Wait: defaultWait},
		"--nats nats://n 2001:db8::42 -o json":           {Target: target, NATS: nats("nats://n"), JSON: true, Wait: defaultWait},
		"2001:db8::42 --wait 10s --output text --nats x": {Target: target, NATS: nats("x"), Wait: 10 * time.Second},
	} {
		got, status, _, stderr := parse(args)
		if status != process.ExitOK {
			t.Errorf("%s: %d, %s", args, status, stderr)
		} else if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", args, diff)
		}
	}
	t.Setenv("NATS_URL", "nats://env")
	if got, _, _, stderr := parse("::2"); got.NATS.URL != "nats://env" {
		t.Errorf("the server of the environment: %q, %s", got.NATS.URL, stderr)
	}
}

func TestBadOptions(t *testing.T) {
	for args, want := range map[string]string{
		"":                 "find ADDRESS",
		"::2 ::3":          "find ADDRESS",
		"host":             `"host" is not an IPv6 address`,
		"2001:db8::/64":    "is not an IPv6 address",
		"192.0.2.1":        "192.0.2.1 is not an IPv6 address",
		"::ffff:192.0.2.1": "is not an IPv6 address",
		"fe80::1":          "link-local",
		"fe80::1%eth0":     "link-local",
		"2001:db8::1%eth0": "zone",
		"ff02::1":          "multicast",
		"::":               "unspecified",
		"::1":              "loopback",
		"::2 -o xml":       "--output",
		"::2 --wait 0s":    "--wait: must be above 0",
		"::2 --wait 2h":    "at most 1h",
		"::2 --wait soon":  "--wait",
		"::2 --nats=":      "--nats: is empty",
		"::2 -m eth0":      "find --help",
		"::2 --nats":       "--nats: needs a value",
	} {
		if _, status, _, stderr := parse(args); status != process.ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit status %d, %s, want one with %q", args, status, stderr, want)
		}
	}
	t.Setenv("NATS_PASSWORD", "secret")
	if _, status, _, stderr := parse("::2"); status != process.ExitUsage || !strings.Contains(stderr, "NATS_PASSWORD") {
		t.Errorf("a password without a user: %d, %s", status, stderr)
	}
	if _, status, stdout, _ := parse("-h"); status != process.ExitOK || !strings.Contains(stdout, "--wait") {
		t.Errorf("help: %d, %s", status, stdout)
	}
}

var sought = netip.MustParseAddr("2001:db8::42")

// resultOf returns a result for the sought address.
func resultOf(host, slave string, status schemas.Status, change func(*schemas.Result)) schemas.Result {
	r := schemas.Result{Type: schemas.TypeResult, ID: "1", Time: time.Now().UTC(), Host: host, Relay: "another", Target: sought, Slave: slave, Status: status}
	if change != nil {
		change(&r)
	}
	return r
}

// pingers answer the next command for every host with results, each on its host's
// subject, and return the command.
func pingers(t *testing.T, s *server.Server, results ...schemas.Result) <-chan schemas.Relay {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	must(t, err)
	t.Cleanup(nc.Close)
	commands := make(chan schemas.Relay, 1)
	if _, err := nc.Subscribe(schemas.SubjectRelayAll, func(m *nats.Msg) {
		var command schemas.Relay
		if err := command.ParseJSON(m.Data); err != nil {
			t.Errorf("command %s: %v", m.Data, err)
		}
		commands <- command
		for _, r := range results {
			data, err := json.Marshal(r)
			if err == nil {
				err = nc.Publish(schemas.ResultSubject(r.Host), data)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	must(t, nc.Flush())
	return commands
}

// The search ends soon after the first result, whatever command that is for.
func TestFindFinds(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t, t.TempDir(), -1)
	mac := schemas.MAC{2, 0, 0, 0, 0, 0x42}
	results := []schemas.Result{
		resultOf("r1", "", schemas.Suppressed, func(r *schemas.Result) { r.Reason = schemas.HeldDown }),
		resultOf("r1", "s1", schemas.Reachable, func(r *schemas.Result) { r.Target = netip.MustParseAddr("2001:db8::43") }),
		resultOf("r2.example", "s2", schemas.Reachable, func(r *schemas.Result) { r.RTT, r.Ethernet = "1.2ms", &mac }),
	}
	for _, format := range []string{"text", "json"} {
		commands := pingers(t, s, results...)
		var out bytes.Buffer
		before := time.Now()
		cfg := config{Target: sought, NATS: bus.Config{URL: s.ClientURL()}, Wait: time.Hour, JSON: format == "json"}
		if found, err := find(t.Context(), cfg, &out); !found || err != nil {
			t.Fatalf("%s: found %t, %v", format, found, err)
		}
		command := <-commands
		if command.Type != schemas.TypeRelay || command.ID == "" || command.Host != schemas.EveryHost || !command.Now || command.Target != sought ||
			command.Time.Before(before) || !command.Expires.Equal(command.Time.Add(cfg.Wait)) || command.Solicitation != nil {
			t.Errorf("command %+v", command)
		}
		if format == "text" {
			if want := "r2.example  s2  02:00:00:00:00:42  1.2ms\n"; out.String() != want {
				t.Errorf("output %q, want %q", &out, want)
			}
			continue
		}
		var got []schemas.Result
		for decoder := json.NewDecoder(&out); decoder.More(); {
			var r schemas.Result
			must(t, decoder.Decode(&r))
			got = append(got, r)
		}
		// The pingers of the first round answer too.
		if len(got) < 2 || got[0].Target != sought || !cmp.Equal(got[0], results[0], cmpopts.EquateComparable(netip.Addr{})) {
			t.Errorf("results %+v", got)
		}
	}
}

// For an address that no host has, the reasons why hosts did not look are written.
func TestFindNothing(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t, t.TempDir(), -1)
	pingers(t, s,
		resultOf("r1", "s1", schemas.Unreachable, nil),
		resultOf("r2", "", schemas.Suppressed, func(r *schemas.Result) { r.Reason, r.Error = schemas.OverBudget, "100 probes in this second" }))
	cfg := config{Target: sought, NATS: bus.Config{URL: s.ClientURL()}, Wait: 2 * time.Second}
	var out bytes.Buffer
	if found, err := find(t.Context(), cfg, &out); found || err != nil {
		t.Fatalf("found %t, %v", found, err)
	}
	if diff := cmp.Diff(`no host has 2001:db8::42
  r1 looked behind s1
  r2 did not look: over budget: 100 probes in this second
`, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestFindCannotAsk(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t, t.TempDir(), -1)
	cfg := config{Target: sought, NATS: bus.Config{URL: s.ClientURL()}, Wait: time.Hour}
	var out bytes.Buffer
	found, err := find(t.Context(), cfg, &out)
	if found || !errors.Is(err, errNoPinger) || !strings.Contains(err.Error(), s.ClientURL()) || out.Len() > 0 {
		t.Errorf("without a pinger: found %t, %v, output %q", found, err, &out)
	}

	// A client subscribes to the commands, but what it sends is not a result of a pinger.
	forged := resultOf("r1", "s1", schemas.Reachable, nil)
	nc, err := nats.Connect(s.ClientURL())
	must(t, err)
	defer nc.Close()
	if _, err := nc.Subscribe(schemas.SubjectRelayAll, func(*nats.Msg) {
		data, err := json.Marshal(forged)
		if err != nil {
			t.Error(err)
		}
		for subject, data := range map[string][]byte{
			"nd.results.r2": data, "nd.results.r1": bytes.Replace(data, []byte(schemas.TypeResult), []byte("x"), 1), "nd.results.r3": []byte("garbage"), "nd.results.r4": nil,
		} {
			if err := nc.Publish(subject, data); err != nil {
				t.Error(err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	must(t, nc.Flush())
	cfg.Wait = 300 * time.Millisecond
	found, err = find(t.Context(), cfg, &out)
	if found || err == nil || !strings.Contains(err.Error(), "no pinger answered within 300ms") || out.Len() > 0 {
		t.Errorf("without a result: found %t, %v, output %q", found, err, &out)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	cfg.NATS.URL = "nats://" + l.Addr().String()
	l.Close()
	if found, err := find(t.Context(), cfg, &out); found || err == nil || !strings.Contains(err.Error(), cfg.NATS.URL) {
		t.Errorf("without a server: found %t, %v", found, err)
	}
}

// A user without the right to send commands gets that error.
func TestFindWithoutPermission(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, Users: []*server.User{{
		Username: "op", Password: "x", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{schemas.SubjectRelayAll}}},
	}}})
	must(t, err)
	s.Start()
	defer bustest.Stop(s)
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	cfg := config{Target: sought, NATS: bus.Config{URL: s.ClientURL(), User: "op", Password: "x"}, Wait: time.Hour}
	if found, err := find(t.Context(), cfg, io.Discard); found || !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("found %t, %v", found, err)
	}
	cfg.NATS.Password = "y"
	if found, err := find(t.Context(), cfg, io.Discard); found || !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("with a wrong password: found %t, %v", found, err)
	}
}

func TestFindCommand(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t, t.TempDir(), -1)
	var out, errs bytes.Buffer
	for args, want := range map[string]int{"--help": 0, "fe80::1": 2, "2001:db8::42 --nats " + s.ClientURL(): 2} {
		out.Reset()
		errs.Reset()
		if got := process.Execute(Command(), strings.Fields(args), &out, &errs); got != want {
			t.Errorf("%s: exit status %d, want %d", args, got, want)
		}
		if said := strings.HasPrefix(errs.String(), "find: ") && out.Len() == 0; said != (want != 0) {
			t.Errorf("%s: standard error %q, output %q", args, &errs, &out)
		}
	}
	pingers(t, s, resultOf("r1", "s1", schemas.Unreachable, nil))
	out.Reset()
	if got := process.Execute(Command(), []string{"2001:db8::42", "--nats", s.ClientURL(), "--wait", "2s"}, &out, &errs); got != 1 || !strings.HasPrefix(out.String(), "no host has") {
		t.Errorf("no host has it: exit status %d, %s%s", got, &out, &errs)
	}
	pingers(t, s, resultOf("r2", "s2", schemas.Reachable, nil))
	if got := process.Execute(Command(), []string{"2001:db8::42", "--nats", s.ClientURL(), "--wait", "1h"}, &out, &errs); got != 0 || !strings.HasSuffix(out.String(), "r2  s2  -  -\n") {
		t.Errorf("found: exit status %d, %s%s", got, &out, &errs)
	}
}

func TestSearch(t *testing.T) {
	mac := schemas.MAC{2, 0, 0, 0, 0, 0x42}
	reason := func(why schemas.Reason, err string) func(*schemas.Result) {
		return func(r *schemas.Result) { r.Reason, r.Error = why, err }
	}
	for name, tt := range map[string]struct {
		results []schemas.Result
		answers string
		summary string
	}{
		"the same answer again": {
			[]schemas.Result{resultOf("r1", "s1", schemas.Reachable, nil), resultOf("r1", "s1", schemas.Reachable, nil)},
			"r1  s1  -  -\n", "",
		},
		"location already known": {
			[]schemas.Result{
				resultOf("r1", "s1", schemas.Reachable, func(r *schemas.Result) { r.Ethernet = &mac }),
				resultOf("r1", "s1", schemas.Reachable, func(r *schemas.Result) { r.RTT, r.Ethernet = "310µs", &mac }),
			},
			"r1  s1  02:00:00:00:00:42  -\n", "",
		},
		"another answers for it": {
			[]schemas.Result{
				resultOf("r1", "s1", schemas.Reachable, func(r *schemas.Result) { r.Proxied, r.RTT, r.Ethernet = true, "310µs", &mac }),
				resultOf("r2", "s1", schemas.Reachable, func(r *schemas.Result) { r.Ethernet = &mac }),
			},
			"r1  s1  02:00:00:00:00:42  310µs  (answered by another router for it)\nr2  s1  02:00:00:00:00:42  -\n", "",
		},
		"hostile": {
			[]schemas.Result{resultOf("r\x1b[31m", "s\n1", schemas.Reachable, func(r *schemas.Result) { r.RTT = strings.Repeat("9", 1000) })},
			"r?[31m  s?1  -  " + strings.Repeat("9", maxText) + "…\n", "",
		},
		"every reason": {
			[]schemas.Result{
				resultOf("r2", "s2", schemas.Failed, reason(schemas.SlaveDown, "link is down")),
				resultOf("r2", "s1", schemas.Unreachable, nil),
				resultOf("r2", "s3", schemas.Unreachable, nil),
				resultOf("r1", "", schemas.Suppressed, reason(schemas.HeldDown, "")),
				resultOf("r3", "", schemas.Failed, reason("", "an older pinger's")),
				resultOf("r4", "s1", schemas.Failed, nil),
			},
			"", `  r1 did not look: held down
  r2 looked behind s1, s3
  r2 did not look behind s2: slave down: link is down
  r3 did not look: an older pinger's
  r4 did not look behind s1: error
`,
		},
		"held down for another command": {
			[]schemas.Result{
				resultOf("r1", "", schemas.Suppressed, reason(schemas.HeldDown, "")),
				resultOf("r1", "s1", schemas.Unreachable, nil),
				resultOf("r2", "s1", schemas.Suppressed, reason(schemas.HeldDown, "")),
				resultOf("r2", "s1", schemas.Unreachable, nil),
				resultOf("r2", "s1", schemas.Suppressed, reason(schemas.HeldDown, "")),
				resultOf("r2", "s1", schemas.Suppressed, reason(schemas.OverBudget, "")),
				resultOf("r3", "s1", schemas.Failed, reason(schemas.NoRoute, "")),
				resultOf("r3", "s1", schemas.Suppressed, reason(schemas.HeldDown, "")),
			},
			"", `  r1 looked behind s1
  r2 looked behind s1
  r3 did not look behind s1: no route
`,
		},
	} {
		s := newSearch(sought)
		answers := ""
		for _, r := range tt.results {
			answers += string(s.add(r))
		}
		if answers != tt.answers || s.found != (answers != "") {
			t.Errorf("%s: answers %q, want %q", name, answers, tt.answers)
		}
		if s.found {
			continue
		}
		var out bytes.Buffer
		must(t, s.summary(&out))
		if diff := cmp.Diff("no host has 2001:db8::42\n"+tt.summary, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Forged results take bounded memory.
func TestSearchIsBounded(t *testing.T) {
	s := newSearch(sought)
	for i := range 2 * maxResults {
		s.add(resultOf("r", strings.Repeat("s", i%7)+time.Duration(i).String(), schemas.Reachable, nil))
	}
	if len(s.probes) != maxResults || len(s.written) != maxResults {
		t.Errorf("%d ports, %d lines", len(s.probes), len(s.written))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
