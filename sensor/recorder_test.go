package sensor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// message is an event and the subject of the message that it was in.
type message struct {
	subject string
	event   schemas.Event
}

// recorder is a Publisher that keeps what is published.
type recorder struct {
	mu       sync.Mutex
	messages []message
	live     []message
	faults   []string
	flushes  int
	// full refuses what TryPublish brings.
	full bool
	// flushError is what Flush returns.
	flushError error
}

func (r *recorder) TryPublish(subject, msgID string, data []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return false
	}
	r.keep(subject, msgID, data)
	return true
}

func (r *recorder) Publish(ctx context.Context, subject, msgID string, data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	r.keep(subject, msgID, data)
	return nil
}

func (r *recorder) Flush(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flushes++
	return r.flushError
}

// keep parses with encoding/json, which knows nothing of the codec in schemas.
func (r *recorder) keep(subject, msgID string, data []byte) {
	if msgID != "" {
		r.faults = append(r.faults, fmt.Sprintf("%s has the Nats-Msg-Id %q", subject, msgID))
	}
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		r.messages = append(r.messages, r.parse(subject, line))
	}
}

func (r *recorder) parse(subject string, data []byte) message {
	m := message{subject: subject}
	if err := json.Unmarshal(data, &m.event); err != nil {
		r.faults = append(r.faults, fmt.Sprintf("%s: %v in %s", subject, err, data))
	}
	return m
}

// listener is a Live that keeps what is published.
type listener struct{ *recorder }

func (listener) Listened(string) bool { return true }

func (l listener) Publish(subject string, data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live = append(l.live, l.parse(subject, data))
	return nil
}

func (r *recorder) setFull(full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = full
}

// events returns the messages so far that match.
func (r *recorder) events(match func(message) bool) []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []message
	for _, m := range r.messages {
		if match(m) {
			found = append(found, m)
		}
	}
	return found
}

// check fails the test for what no event may be.
func (r *recorder) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faults {
		t.Error(f)
	}
	ids := map[string]bool{}
	for _, m := range r.messages {
		e := m.event
		if want := schemas.BatchSubject(e.Host, e.Interface); m.subject != want {
			t.Errorf("subject %s of an event that belongs to %s", m.subject, want)
		}
		if e.Type != schemas.TypeEvent || e.ID == "" || ids[e.ID] {
			t.Errorf("event of type %q with id %q, which must be unique", e.Type, e.ID)
		}
		ids[e.ID] = true
		if e.Time.Location() != time.UTC || e.Time.Year() < 2000 {
			t.Errorf("event at %v", e.Time)
		}
		if e.Forwarded && e.Direction != schemas.Out {
			t.Errorf("forwarded though it was not sent: %+v", e)
		}
		if e.Lost == nil && e.Sensor == nil && (e.ICMP6 == nil || e.ICMP6.Type < 133 || e.ICMP6.Type > 137) && e.ND.Malformed == "" && e.Inet6.Fragment == nil {
			t.Errorf("event that is no ND: %+v", e)
		}
	}
	for _, m := range r.live {
		if want := schemas.EventSubject(m.event.Host, m.event.Interface, m.event.Kind()); m.subject != want {
			t.Errorf("subject %s of an event that belongs to %s", m.subject, want)
		}
		delete(ids, m.event.ID)
	}
	if len(r.live) > 0 && len(ids) > 0 {
		t.Errorf("%d events were stored and not published for those who listen", len(ids))
	}
}

// logBook keeps the log's lines.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// count returns how many lines contain all of the words.
func (l *logBook) count(words ...string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
lines:
	for line := range strings.Lines(l.buf.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		n++
	}
	return n
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// running is a Run in a namespace.
type running struct {
	*recorder
	log      *logBook
	registry *prometheus.Registry
	cancel   context.CancelFunc
	done     chan error
}

// start runs the sensor in the namespace until the test ends.
func start(t *testing.T, n *lab.Namespace, c Config, edit ...func(*Deps)) *running {
	t.Helper()
	r := &running{recorder: &recorder{}, log: &logBook{}, registry: prometheus.NewPedanticRegistry(), done: make(chan error, 1)}
	d := Deps{Log: slog.New(slog.NewTextHandler(r.log, nil)), Registry: r.registry, Live: listener{r.recorder}, Publisher: r}
	for _, e := range edit {
		e(&d)
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(t.Context())
	n.Go(func() { r.done <- Run(ctx, c, d) })
	t.Cleanup(func() {
		r.stop(t)
		if t.Failed() {
			t.Log("the sensor's log:\n" + r.log.String())
		}
		r.check(t)
	})
	return r
}

// stop ends the Run, which must end well.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err, ok := <-r.done; ok {
		if err != nil {
			t.Errorf("Run: %v", err)
		}
		close(r.done)
	}
}

// capturing waits until the log says so of the interface for the nth time.
func (r *running) capturing(t *testing.T, iface string, n int) {
	t.Helper()
	r.logs(t, n, "msg=capturing", "interface="+iface+" ")
}

// logs waits until n lines of the log contain all of the words.
func (r *running) logs(t *testing.T, n int, words ...string) {
	t.Helper()
	lab.Eventually(t, fmt.Sprintf("the log has %d lines with %q", n, words), func() bool { return r.log.count(words...) >= n })
}

// next waits until what f does gives one more line with all of the words.
func (r *running) next(t *testing.T, f func(), words ...string) {
	t.Helper()
	n := r.log.count(words...)
	f()
	r.logs(t, n+1, words...)
}

// sees waits until at least one message matches and returns the first.
func (r *running) sees(t *testing.T, what string, match func(message) bool) message {
	t.Helper()
	lab.Eventually(t, "there is an event of "+what, func() bool { return len(r.events(match)) > 0 })
	return r.events(match)[0]
}

// config returns the default configuration for a host r1 and a short period.
func config(interfaces ...string) Config {
	return Config{
		Host: "r1", Interfaces: interfaces, Promiscuous: true,
		Buffer: minBuffer, Report: minReport, ReceiveBuffer: 8 << 20,
	}
}

// metric returns the sum of the series of a metric that have all of the labels,
// given as name and value in turn.
func (r *running) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	check(t, err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for i := 0; i < len(labels); i += 2 {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}
				if !found {
					continue series
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}
