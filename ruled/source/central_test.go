package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/central"
	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for ctx := within(t); !done(); {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		case <-ticker.C:
		}
	}
}

func connect(t *testing.T, url string) *bus.Conn {
	t.Helper()
	c, err := bus.Connect(bus.Config{URL: url}, bus.Options{Name: "test", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Drain(within(t)) })
	return c
}

// safeLog is a log that is read while it is written.
type safeLog struct {
	mu  sync.Mutex
	log bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}

// follower is a source that follows the central rules.
type follower struct {
	*Source
	t   *testing.T
	log *safeLog
}

// follow returns a source that follows the central rules, until it is stopped.
func follow(t *testing.T, from Central) (f *follower, stop func()) {
	t.Helper()
	f = &follower{t: t, log: new(safeLog)}
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if f.Source, err = Load("", from, slog.New(slog.NewTextHandler(f.log, nil)), m); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Follow(ctx, nil) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Follow: %v", err)
		}
	})
	t.Cleanup(stop)
	return f, stop
}

// ready waits until the source is ready.
func (f *follower) ready() *follower {
	f.t.Helper()
	if err := f.Ready(within(f.t)); err != nil {
		f.t.Fatal(err)
	}
	return f
}

// now returns the status of the rules.
func (f *follower) now() *schemas.RulesStatus {
	var status schemas.DaemonStatus
	f.Describe(&status)
	return status.Rules
}

// has waits until a revision with a number of rules is in force.
func (f *follower) has(revision uint64, rules int) {
	f.t.Helper()
	waitFor(f.t, fmt.Sprintf("revision %d; log:\n%s", revision, f.log), func() bool { return f.now().Revision == revision && f.Rules().count == rules })
}

// pusher is a client that pushes rules.
type pusher struct {
	t *testing.T
	*central.Store
	js jetstream.JetStream
}

func newPusher(t *testing.T, s *server.Server) *pusher {
	t.Helper()
	js := connect(t, s.ClientURL()).JetStream()
	store, err := central.Open(within(t), js, true)
	if err != nil {
		t.Fatal(err)
	}
	return &pusher{t, store, js}
}

func (p *pusher) push(data string) (revision uint64) {
	p.t.Helper()
	var former uint64
	newest, err := p.Newest(within(p.t))
	if err == nil {
		former = newest.Revision
	}
	revision, err = p.Push(within(p.t), &central.Revision{Data: []byte(data)}, former)
	if err != nil {
		p.t.Fatal(err)
	}
	return revision
}

var builtinRules = len(rulefile.Builtin().Rules)

func TestTwoFollowOneStore(t *testing.T) {
	s := bustest.Start(t, t.TempDir(), -1)
	a, _ := follow(t, Central{Conn: connect(t, s.ClientURL()), Make: true})
	b, _ := follow(t, Central{Conn: connect(t, s.ClientURL())})
	for _, f := range []*follower{a, b} {
		f.ready().has(0, builtinRules) // without a store
	}
	waitFor(t, "the store", func() bool { _, err := central.Open(within(t), a.central.Conn.JetStream(), false); return err == nil })
	p := newPusher(t, s)
	for i := range uint64(3) {
		p.push(rulesOf(int(i) + 1))
		a.has(i+1, int(i)+1)
		b.has(i+1, int(i)+1)
	}
	// A set with faults is refused, and the old rules stay in force.
	refused := p.push("<rules>\n<rule><match field='no.such'/></rule></rules>")
	for _, f := range []*follower{a, b} {
		waitFor(t, "the refusal", func() bool { return f.now().Refused != "" })
		if r := f.now(); r.Source != "bucket" || !strings.HasPrefix(r.Refused, fmt.Sprintf("revision %d:2: ", refused)) || !strings.Contains(r.Refused, "no.such") {
			t.Errorf("refused: %+v", r)
		}
		f.has(3, 3)
		waitFor(t, "the metrics", func() bool {
			return testutil.ToFloat64(f.m.ReloadsFailed) == 1 && testutil.ToFloat64(f.m.ReloadsTaken) == 3
		})
		if log := f.log.String(); !strings.Contains(log, "rules: revision 4:2: ") || !strings.Contains(log, `"the new rules are refused, the old ones stay in force" revision=4`) {
			t.Errorf("log:\n%s", log)
		}
	}
	// The next good one is taken, such as that of a rollback.
	p.push(rulesOf(2))
	a.has(5, 2)
	if r := a.now(); r.Refused != "" {
		t.Errorf("refused: %+v", r)
	}
	// A deleted key is the built-in rules.
	kv, err := p.js.KeyValue(within(t), "ND_RULES")
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(within(t), "rules"); err != nil {
		t.Fatal(err)
	}
	a.has(6, builtinRules)
	// A store that is lost changes nothing; a new one begins again at revision 1.
	if err := p.js.DeleteKeyValue(within(t), "ND_RULES"); err != nil {
		t.Fatal(err)
	}
	newPusher(t, s).push(rulesOf(4))
	a.has(1, 4)
	b.has(1, 4)
}

// One that was away gets the newest set when it is back.
func TestPushWhileOneIsAway(t *testing.T) {
	dir := t.TempDir()
	s := bustest.Start(t, dir, -1)
	f, _ := follow(t, Central{Conn: connect(t, s.ClientURL())})
	p := newPusher(t, s)
	p.push(rulesOf(1))
	f.has(1, 1)
	port := s.Addr().(*net.TCPAddr).Port
	bustest.Stop(s)
	waitFor(t, "the loss of the connection", func() bool { return !f.central.Conn.Connected() })
	other := bustest.Start(t, dir, -1)
	newPusher(t, other).push(rulesOf(2))
	bustest.Stop(other)
	f.has(1, 1)
	bustest.Start(t, dir, port)
	f.has(2, 2)
}

func TestStartWithoutNATS(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "rules.xml")
	s := bustest.Start(t, t.TempDir(), -1)
	port := s.Addr().(*net.TCPAddr).Port
	newPusher(t, s).push(rulesOf(7))
	f, stop := follow(t, Central{Conn: connect(t, s.ClientURL()), File: file})
	f.ready().has(1, 7) // and nothing else at the beginning
	waitFor(t, "the file", func() bool { _, err := os.Stat(file); return err == nil })
	stop()
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if set, err := rulefile.Parse(file, kept); err != nil || len(set.Rules) != 7 {
		t.Errorf("the file is no rule file: %v", err)
	}
	store := s.StoreDir()
	bustest.Stop(s)

	away := Central{Conn: connect(t, s.ClientURL()), File: file}
	f, stop = follow(t, away)
	f.has(1, 7)
	select {
	case <-f.Source.ready:
		t.Error("it is ready without NATS")
	default:
	}
	bustest.StartWith(t, &server.Options{Port: port, JetStream: true, StoreDir: filepath.Dir(store)})
	f.ready().has(1, 7)
	if n := testutil.ToFloat64(f.m.ReloadsTaken); n != 0 {
		t.Errorf("%v sets were taken, want none: it is the same", n)
	}
	stop()
}

// A broken or hostile file leads to the built-in rules.
func TestBrokenKeptFile(t *testing.T) {
	for name, content := range map[string]string{
		"empty":       "",
		"no end":      rulesOf(3),
		"only an end": fmt.Sprintf(keptEnd, 3, time.Now().Format(time.RFC3339)),
		"no revision": rulesOf(3) + "\n<!-- revision x of y -->\n",
		"no time":     rulesOf(3) + fmt.Sprintf(keptEnd, 3, "now"),
		"faulty":      "<rules><rule/></rules>" + fmt.Sprintf(keptEnd, 3, time.Now().Format(time.RFC3339)),
		"zeroes":      string(make([]byte, 1<<20)),
		"large":       "large",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "rules.xml")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if content == "large" {
				if err := os.Truncate(file, 2*rulefile.MaxSize); err != nil {
					t.Fatal(err)
				}
			}
			f, _ := follow(t, Central{File: file})
			f.ready().has(0, builtinRules)
			if n := strings.Count(f.log.String(), "the central rules that were kept cannot be used"); n != 1 {
				t.Errorf("log:\n%s", f.log)
			}
		})
	}
}

// A hostile value is refused, soon.
func TestHostileValues(t *testing.T) {
	s := bustest.Start(t, t.TempDir(), -1)
	f, _ := follow(t, Central{Conn: connect(t, s.ClientURL())})
	f.ready()
	p := newPusher(t, s)
	fill := func(begin, part string) string {
		return begin + strings.Repeat(part, (1<<20-1000-len(begin))/len(part))
	}
	for name, value := range map[string]string{
		"nothing":   "",
		"entities":  `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><rules>&b;</rules>`,
		"depth":     fill("", "<rules>"),
		"rules":     fill("<rules>", "<rule/>"),
		"text":      fill("", "not XML "),
		"bytes":     fill("", "\xff\x00"),
		"attribute": fill("<rules a='", "'' "),
	} {
		revision := p.push(value)
		waitFor(t, name, func() bool { return strings.HasPrefix(f.now().Refused, fmt.Sprintf("revision %d:", revision)) })
		if faults := f.now().Refused; len(faults) > 1<<13 {
			t.Errorf("%s: %d bytes of faults", name, len(faults))
		}
		f.has(0, builtinRules)
	}
	last := p.push(rulesOf(1))
	f.has(last, 1)
}

// Another account's subjects lead to the same rules.
func TestOtherSubjects(t *testing.T) {
	s := bustest.Start(t, t.TempDir(), -1)
	conn := connect(t, s.ClientURL())
	p := newPusher(t, s)
	p.push(rulesOf(2))
	f, _ := follow(t, Central{Conn: conn, Newest: central.Newest, Changed: "up.changed"})
	f.ready().has(1, 2)
	p.push(rulesOf(3))
	if err := conn.Publish("up.changed", nil); err != nil {
		t.Fatal(err)
	}
	f.has(2, 3)
}
