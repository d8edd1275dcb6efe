package ruled

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/prometheus/client_golang/prometheus"
)

// member is one of several ruled.
type member struct {
	conn   *bus.Conn
	shares chan string // "<partitions> of <members>", each time that it changes
	stop   func()
}

func (f *fixture) join(t *testing.T) *member {
	t.Helper()
	registry := prometheus.NewRegistry()
	m := &member{conn: connect(t, f.server, registry), shares: make(chan string, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	var log bytes.Buffer
	go func() {
		done <- Run(ctx, f.config, Deps{
			Log: slog.New(slog.NewTextHandler(&log, nil)), Registry: registry, Conn: m.conn,
			shared: func(owned []int, members int) { m.shares <- fmt.Sprint(len(owned), " of ", members) },
		})
	}()
	stopped := false
	m.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		if t.Failed() {
			t.Log(log.String())
		}
	}
	t.Cleanup(m.stop)
	return m
}

// waitShare waits until the member has a share.
func (m *member) waitShare(t *testing.T, want string) {
	t.Helper()
	for {
		select {
		case got := <-m.shares:
			if got == want {
				return
			}
		case <-testContext(t).Done():
			t.Fatalf("no share %q", want)
		}
	}
}

// flow publishes numbered frames of many hosts.
type flow struct {
	f    *fixture
	sent map[string]int
}

const flowHosts = 24

func (w *flow) send(t *testing.T, rounds int) {
	t.Helper()
	for range rounds {
		for h := range flowHosts {
			host := "host" + strconv.Itoa(h)
			e := solicitation(w.sent[host])
			e.ID = fmt.Sprintf("%s-%d", host, w.sent[host])
			e.Host, e.Time = host, corpus.At(w.sent[host])
			if _, err := w.f.conn.JetStream().Publish(testContext(t), schemas.BatchSubject(host, "eth0"), e.AppendJSON(nil)); err != nil {
				t.Fatal(err)
			}
			w.sent[host]++
		}
	}
}

// check waits until all alerts are stored, each once and in the order of its host.
func (w *flow) check(t *testing.T) {
	t.Helper()
	total := 0
	for _, n := range w.sent {
		total += n
	}
	stream := w.f.stream(t, schemas.StreamAlerts)
	waitFor(t, "all alerts", func() bool {
		info, err := stream.Info(testContext(t), jetstream.WithSubjectFilter(schemas.SubjectAlerts))
		if err != nil {
			t.Fatal(err)
		}
		return int(info.State.Subjects[schemas.SubjectAlerts]) >= total
	})
	got := map[string][]string{}
	if err := bus.ReadStored(testContext(t), w.f.stream(t, schemas.StreamAlerts), 1, false, func(msg jetstream.Msg, _ uint64) {
		var a schemas.Alert
		if msg.Subject() == schemas.SubjectAlerts {
			if err := json.Unmarshal(msg.Data(), &a); err != nil {
				t.Error(err)
			}
			got[a.Host] = append(got[a.Host], strings.TrimSuffix(a.ID, ".all-ns"))
		}
	}); err != nil {
		t.Fatal(err)
	}
	for host, n := range w.sent {
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf("%s-%d", host, i))
		}
		if !slices.Equal(got[host], want) {
			t.Errorf("alerts of %s: %v", host, got[host])
		}
	}
}

func startFlow(t *testing.T) *fixture {
	f := start(t, flowRules)
	if err := f.alerts.Unsubscribe(); err != nil { // they are read from the stream
		t.Fatal(err)
	}
	return f
}

const flowRules = `<rules><rule id="all-ns"><match field="nd.ns"/></rule></rules>`

// Members share the partitions. When one ends, or is cut off, the others have its partitions, and each alert is stored
// once, in the order of the host's events.
func TestShared(t *testing.T) {
	f := startFlow(t)
	w := &flow{f, map[string]int{}}
	a := f.join(t)
	a.waitShare(t, "16 of 1")
	w.send(t, 5)
	b := f.join(t)
	b.waitShare(t, "8 of 2")
	w.send(t, 5)
	c := f.join(t)
	a.waitShare(t, "6 of 3")
	c.waitShare(t, "5 of 3")
	w.send(t, 5)
	b.stop()
	a.waitShare(t, "8 of 2")
	w.send(t, 5)
	c.conn.NATS().Close() // as if it were cut off
	w.send(t, 5)
	a.waitShare(t, "16 of 1")
	w.send(t, 5)
	w.check(t)
}

// What a member that was taken over still publishes is refused by the server.
func TestFenced(t *testing.T) {
	f := startFlow(t)
	a := f.join(t)
	a.waitShare(t, "16 of 1")
	fences, err := f.stream(t, schemas.StreamAlerts).Info(testContext(t), jetstream.WithSubjectFilter(schemas.SubjectFences))
	if err != nil || len(fences.State.Subjects) != 1 {
		t.Fatal(err, fences)
	}
	var subject string
	for subject = range fences.State.Subjects {
	}
	fence, err := f.stream(t, schemas.StreamAlerts).GetLastMsgForSubject(testContext(t), subject)
	if err != nil {
		t.Fatal(err)
	}
	publish := func() error {
		msg := nats.NewMsg(schemas.SubjectAlerts)
		msg.Header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, subject)
		msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(fence.Sequence, 10))
		_, err := f.conn.JetStream().PublishMsg(testContext(t), msg)
		return err
	}
	if err := publish(); err != nil {
		t.Fatal(err)
	}
	b := f.join(t)
	b.waitShare(t, "8 of 2")
	a.conn.NATS().Close()
	b.waitShare(t, "16 of 1")
	var refused *jetstream.APIError
	if err := publish(); !errors.As(err, &refused) || refused.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
		t.Errorf("an alert of a member that was taken over: %v", err)
	}
}

// A fence that was lost with the stream, or has expired, is stored again, and the member goes on.
func TestFenceIsLost(t *testing.T) {
	f := startFlow(t)
	w := &flow{f, map[string]int{}}
	a := f.join(t)
	a.waitShare(t, "16 of 1")
	w.send(t, 2)
	if err := f.stream(t, schemas.StreamAlerts).Purge(testContext(t), jetstream.WithPurgeSubject(schemas.SubjectFences)); err != nil {
		t.Fatal(err)
	}
	w.send(t, 2)
	w.check(t)
	select {
	case share := <-a.shares:
		t.Errorf("it joined again, its share is %s", share)
	default:
	}
}
