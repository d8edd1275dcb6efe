package bus

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t testing.TB, url string) *Conn {
	t.Helper()
	return connectAs(t, Config{URL: url})
}

func connectAs(t testing.TB, cfg Config) *Conn {
	t.Helper()
	c, err := Connect(cfg, Options{Name: "test", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	check(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

// runPublisher runs a publisher until the test ends, before its connection does.
func runPublisher(t testing.TB, c *Conn, cfg PublisherConfig) *Publisher {
	t.Helper()
	p := NewPublisher(c, cfg, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return p
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func ensureStreams(t testing.TB, c *Conn) {
	t.Helper()
	_, err := EnsureStreams(testContext(t), c.JetStream(), streamConfig())
	check(t, err)
}

func streamConfig() StreamConfig {
	return StreamConfig{EventsBytes: 64 << 20, EventsAge: time.Hour, AlertsBytes: 64 << 20, AlertsAge: time.Hour}
}

// withStreams returns a connection to a server that has the streams.
func withStreams(t testing.TB) *Conn {
	t.Helper()
	c := connect(t, bustest.Start(t, t.TempDir(), -1).ClientURL())
	ensureStreams(t, c)
	return c
}

// storedData returns the data of all messages of a stream, in order.
func storedData(t testing.TB, c *Conn, stream string) []string {
	t.Helper()
	ctx := testContext(t)
	cons, err := c.JetStream().OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{})
	check(t, err)
	var all []string
	for {
		msg, err := cons.Next(jetstream.FetchMaxWait(500 * time.Millisecond))
		if errors.Is(err, nats.ErrTimeout) {
			return all
		}
		check(t, err)
		all = append(all, string(msg.Data()))
		if meta, err := msg.Metadata(); err == nil && meta.NumPending == 0 {
			return all
		}
	}
}

func TestEnsureStreamsLeavesExistingAlone(t *testing.T) {
	s := bustest.Start(t, t.TempDir(), -1)
	c := connect(t, s.ClientURL())
	ctx := testContext(t)
	if _, err := c.JetStream().CreateStream(ctx, jetstream.StreamConfig{Name: schemas.StreamEvents, Subjects: []string{"nd.batches.r1.>"}, MaxMsgs: 7}); err != nil {
		t.Fatal(err)
	}
	ensureStreams(t, c)
	ensureStreams(t, c)
	stream, err := c.JetStream().Stream(ctx, schemas.StreamEvents)
	check(t, err)
	if got := stream.CachedInfo().Config; got.MaxMsgs != 7 || got.MaxAge != 0 || got.MaxBytes != -1 || !slices.Equal(got.Subjects, []string{"nd.batches.r1.>"}) {
		t.Errorf("it became %+v", got)
	}
	if _, err := c.JetStream().Stream(ctx, schemas.StreamAlerts); err != nil {
		t.Error(err)
	}
}

// A stream of single events, as earlier versions had, keeps them and stores batches from then on. New
// limits are applied only where they are to be.
func TestEnsureStreamsUpdates(t *testing.T) {
	c := connect(t, bustest.Start(t, t.TempDir(), -1).ClientURL())
	ctx, js := testContext(t), c.JetStream()
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: schemas.StreamEvents, Subjects: []string{schemas.SubjectEvents}, MaxAge: time.Minute})
	check(t, err)
	_, err = js.Publish(ctx, "nd.events.r1.eth0.ns", []byte("old"))
	check(t, err)
	for _, change := range []bool{false, true} {
		cfg := streamConfig()
		cfg.ChangeEvents, cfg.EventsAge = change, 10*time.Second
		made, err := EnsureStreams(ctx, js, cfg)
		check(t, err)
		if slices.Contains(made, schemas.StreamEvents) {
			t.Errorf("made %v", made)
		}
		stream, err := js.Stream(ctx, schemas.StreamEvents)
		check(t, err)
		want := time.Minute
		if change {
			want = cfg.EventsAge
		}
		if got := stream.CachedInfo().Config; got.MaxAge != want || got.MaxBytes == cfg.EventsBytes != change || !slices.Equal(got.Subjects, []string{schemas.SubjectBatches}) {
			t.Errorf("with ChangeEvents %t it became %+v", change, got)
		}
	}
	check(t, c.Publish("nd.events.r1.eth0.ns", []byte("live")))
	_, err = js.Publish(ctx, "nd.batches.r1.eth0", []byte("batch"))
	check(t, err)
	if got := storedData(t, c, schemas.StreamEvents); !slices.Equal(got, []string{"old", "batch"}) {
		t.Errorf("stored are %q", got)
	}
}

// Without a stream of events, there is only that of the alerts.
func TestNoStreamOfEvents(t *testing.T) {
	c := connect(t, bustest.Start(t, t.TempDir(), -1).ClientURL())
	cfg := streamConfig()
	cfg.NoEvents = true
	if made, err := EnsureStreams(testContext(t), c.JetStream(), cfg); err != nil || !slices.Equal(made, []string{schemas.StreamAlerts}) {
		t.Errorf("made %v, %v", made, err)
	}
}

// An error that JetStream is not enabled says so, and no other error does.
func TestJetStreamIsNotEnabled(t *testing.T) {
	account := "accounts { A { users: [{user: a, password: b}] } }\n"
	for name, tt := range map[string]struct{ conf, want string }{
		"server":  {account, "make stream ND_EVENTS: JetStream is not enabled on the NATS server at URL (nats-server -js, or jetstream {} in its configuration): "},
		"account": {account + "jetstream { store_dir: " + strconv.Quote(t.TempDir()) + " }\n", "make stream ND_EVENTS: JetStream is not enabled for this account on the NATS server at URL (jetstream: enabled in the account's configuration): "},
		"too little room": {"jetstream { store_dir: " + strconv.Quote(t.TempDir()) + ", max_file_store: 1MB }\n" + strings.Replace(account, "users", "jetstream: enabled, users", 1),
			"make stream ND_EVENTS: nats: API error: "},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "nats.conf")
			check(t, os.WriteFile(file, []byte(tt.conf), 0o600))
			o, err := server.ProcessConfigFile(file)
			check(t, err)
			o.Port = -1
			url := bustest.StartWith(t, o).ClientURL()
			c := connectAs(t, Config{URL: url, User: "a", Password: "b"})
			_, err = EnsureStreams(testContext(t), c.JetStream(), streamConfig())
			if want := strings.Replace(tt.want, "URL", url, 1); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("EnsureStreams: %v, want %s", err, want)
			}
		})
	}
}

// A server that has no room for the silences has the streams all the same.
func TestNoRoomForSilences(t *testing.T) {
	s := bustest.StartWith(t, &server.Options{Port: -1, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxMemory: 1 << 20, JetStreamMaxStore: 20 << 20})
	c := connectAs(t, Config{URL: s.ClientURL()})
	made, err := EnsureStreams(testContext(t), c.JetStream(), StreamConfig{NoEvents: true, AlertsBytes: 18 << 20, AlertsAge: time.Hour})
	if err != nil || !slices.Equal(made, []string{schemas.StreamAlerts}) {
		t.Errorf("made %v, %v", made, err)
	}
	if _, err := c.JetStream().KeyValue(testContext(t), schemas.BucketSilences); err == nil {
		t.Error("there was room for the silences")
	}
}
