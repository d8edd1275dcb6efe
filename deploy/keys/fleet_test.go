package keys

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// start runs a nats-server with the configuration in a directory, except where it listens
// and stores.
func start(t *testing.T, dir string) *server.Server {
	t.Helper()
	return startAt(t, dir, "127.0.0.1:-1")
}

// client is a user's connection.
type client struct {
	*nats.Conn
	t *testing.T
}

func connect(t *testing.T, s *server.Server, dir string, u user) client {
	t.Helper()
	key, err := nats.NkeyOptionFromSeed(u.seedFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(s.ClientURL(), key, nats.CustomInboxPrefix("_INBOX."+u.key))
	if err != nil {
		t.Fatalf("connect as %s: %v", u.seedFile(""), err)
	}
	t.Cleanup(nc.Close)
	return client{nc, t}
}

// refused reports whether the last error of the server is a violation with these words. An
// earlier error stays, so the words must name the subject.
func (c client) refused(words string) bool {
	c.t.Helper()
	if err := c.Flush(); err != nil {
		c.t.Fatal(err)
	}
	err := c.LastError()
	return err != nil && strings.Contains(err.Error(), words)
}

func (c client) mayPublish(subject string) bool {
	c.t.Helper()
	if err := c.Publish(subject, []byte("{}")); err != nil {
		c.t.Fatal(err)
	}
	// An account's own messages on an imported subject go elsewhere, see writeImports.
	return !c.refused(fmt.Sprintf("Publish to %q", subject)) && !c.refused(fmt.Sprintf("Publish to %q", "own."+subject))
}

func (c client) maySubscribe(subject string) bool {
	c.t.Helper()
	sub, err := c.SubscribeSync(subject)
	if err != nil {
		c.t.Fatal(err)
	}
	defer sub.Unsubscribe()
	return !c.refused(fmt.Sprintf("Subscription to %q", subject))
}

const (
	host1, host2 = "r1", "r2.example.org"
	token2       = "r2=2Eexample=2Eorg"
)

// fleet makes the keys of two hosts.
func fleet(t *testing.T) (dir string, users map[string]user) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "keys")
	if err := Init(dir, []string{host1, host2}, plain, local, false); err != nil {
		t.Fatal(err)
	}
	list, err := readUsers(dir)
	if err != nil {
		t.Fatal(err)
	}
	users = map[string]user{}
	for _, u := range list {
		users[strings.TrimSuffix(u.seedFile(""), seedSuffix)] = u
	}
	return dir, users
}

// ensureStreams makes the streams and the copy of the alerts, as ruled.
func ensureStreams(t *testing.T, ruled client) jetstream.JetStream {
	t.Helper()
	js := stream(t, ruled)
	if _, err := bus.EnsureStreams(t.Context(), js, bus.StreamConfig{EventsBytes: 1 << 20, EventsAge: time.Hour, AlertsBytes: 1 << 20, AlertsAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	return js
}

func stream(t *testing.T, c client) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(c.Conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

const someAlert = `{"type":"nd.alert.v1"}`

// readAlerts reads n stored alerts with a consumer of the viewer.
func readAlerts(t *testing.T, viewer client, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	consumer, err := stream(t, viewer).OrderedConsumer(ctx, schemas.StreamAlerts, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	for i := range n {
		if m, err := messages.Next(jetstream.NextContext(ctx)); err != nil || string(m.Data()) != someAlert {
			t.Fatalf("stored alert %d: %v, %v", i+1, m, err)
		}
	}
}

// startAt does what start does, and listens on an address.
func startAt(t *testing.T, dir, address string) *server.Server {
	t.Helper()
	path := filepath.Join(dir, ServerFile)
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for was, is := range map[string]string{`"[::]:4222"`: fmt.Sprintf("%q", address), quote(DefaultData): quote(t.TempDir())} {
		if !bytes.Contains(config, []byte(was)) {
			t.Fatalf("the server's configuration does not say %s", was)
		}
		config = bytes.Replace(config, []byte(was), []byte(is), 1)
	}
	if err := os.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server does not start")
	}
	return s
}
