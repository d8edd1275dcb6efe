package ndmon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/prometheus/client_golang/prometheus"
)

func startQuietly(cfg Config) (*natsServer, error) {
	return startServer(cfg, limitsFor(0), nil, slog.New(slog.DiscardHandler))
}

// serving starts a server that runs until the test ends.
func serving(t *testing.T, cfg Config) *natsServer {
	t.Helper()
	s, err := startQuietly(cfg)
	must(t, err)
	t.Cleanup(s.stop)
	return s
}

func TestServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "directory")
	s := serving(t, Config{Listen: "127.0.0.1:0", Data: dir})
	conn, err := bus.Connect(bus.Config{URL: s.ClientURL()}, bus.Options{Name: "test", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	must(t, err)
	if !conn.Connected() {
		t.Error("cannot connect over TCP")
	}
	if err := conn.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := startQuietly(Config{Listen: "127.0.0.1:0", Data: dir}); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("a second server in the directory: %v", err)
	}
}

func TestServerPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, err = startQuietly(Config{Listen: l.Addr().String(), Data: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "--listen") || !strings.Contains(err.Error(), "--nats") {
		t.Errorf("error %v", err)
	}
	if _, err = startQuietly(Config{Listen: "192.0.2.1:1", Data: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("an address of another host: %v", err)
	}
}

func TestServerInProcessIsTemporary(t *testing.T) {
	s, err := startQuietly(Config{})
	must(t, err)
	dir := s.StoreDir()
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	s.stop()
	if _, err := os.Stat(filepath.Dir(dir)); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", filepath.Dir(dir), err)
	}
}

// No other user may change the directory, because it has a key.
func TestDataOfOthers(t *testing.T) {
	open := t.TempDir()
	must(t, os.Chmod(open, 0o777))
	if _, err := startQuietly(Config{Data: open}); err == nil || !strings.Contains(err.Error(), "mode 0777") {
		t.Errorf("a directory that all may change: %v", err)
	}
	if os.Geteuid() != 0 {
		unable := t.Skip
		if os.Getenv("CI") == "true" {
			unable = t.Fatal
		}
		unable("this needs root, to make a directory of another user")
	}
	other := t.TempDir()
	must(t, os.Chown(other, 4711, 4711))
	if _, err := startQuietly(Config{Data: other}); err == nil || !strings.Contains(err.Error(), "4711") {
		t.Errorf("a directory of another user: %v", err)
	}
}

// connectTo connects to a server, as a guest or with the options of another user.
func connectTo(t *testing.T, s *natsServer, opts ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), append(opts, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	must(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(t, err)
	return nc, js
}

// key returns the option for all rights at a server.
func key(t *testing.T, s *natsServer) nats.Option {
	t.Helper()
	option, err := nats.NkeyOptionFromSeed(s.seedFile)
	must(t, err)
	return option
}

// A client without a key reads alerts and events, and stores nothing. A client with the key
// in the directory has all rights.
func TestServerRights(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := serving(t, Config{Listen: "127.0.0.1:0", Data: dir})
	if info, err := os.Stat(s.seedFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	nc, admin := connectTo(t, s, key(t, s))
	if _, err := bus.EnsureStreams(t.Context(), admin, bus.StreamConfig{NoEvents: true, AlertsBytes: 1 << 20, AlertsAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	guest, reader := connectTo(t, s)
	received := map[string]*nats.Subscription{}
	for _, subject := range []string{schemas.SubjectAlerts, schemas.SubjectEvents} {
		sub, err := guest.SubscribeSync(subject)
		must(t, err)
		received[subject] = sub
	}
	must(t, guest.Flush())
	must(t, nc.Publish("nd.events.r1.eth0.ns", []byte("good")))
	if _, err := admin.Publish(t.Context(), schemas.SubjectAlerts, []byte("good")); err != nil {
		t.Fatal(err)
	}
	for subject, sub := range received {
		if m, err := sub.NextMsg(10 * time.Second); err != nil || string(m.Data) != "good" {
			t.Errorf("%s: %v, %v", subject, m, err)
		}
	}
	consumer, err := reader.OrderedConsumer(t.Context(), schemas.StreamAlerts, jetstream.OrderedConsumerConfig{})
	must(t, err)
	if m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second)); err != nil || string(m.Data()) != "good" {
		t.Errorf("the stored alert: %v, %v", m, err)
	}
	guestIsRefused(t, guest)
	stream, err := admin.Stream(t.Context(), schemas.StreamAlerts)
	if err != nil || stream.CachedInfo().State.Msgs != 1 {
		t.Errorf("alerts that are stored: %+v, %v", stream, err)
	}
}

func guestIsRefused(t *testing.T, guest *nats.Conn) {
	t.Helper()
	for _, subject := range []string{schemas.SubjectAlerts, "nd.events.r1.eth0.ns", schemas.SubjectRelayAll, "nd.relay.r1", schemas.StateSubject("ndmon"),
		"$JS.API.STREAM.PURGE.ND_ALERTS", "$JS.API.STREAM.DELETE.ND_ALERTS", "$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.MSG.DELETE.ND_ALERTS"} {
		must(t, guest.PublishRequest(subject, schemas.SubjectAlerts, nil))
		must(t, guest.Flush())
		if err := guest.LastError(); err == nil || !strings.Contains(err.Error(), subject) {
			t.Errorf("publishing on %s: %v", subject, err)
		}
	}
	for _, subject := range []string{"nd.relay.>", "nd.state.*", ">", "$SYS.>"} {
		if _, err := guest.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		must(t, guest.Flush())
		if err := guest.LastError(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("Subscription to %q", subject)) {
			t.Errorf("subscribing to %s: %v", subject, err)
		}
	}
}

// With the keys of a fleet, a client without a key cannot connect.
func TestServerWithKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	must(t, keys.Init(dir, keys.Hosts{Thin: []string{"r1"}}, keys.Server{Data: keys.DefaultData}, keys.Client{URL: keys.DefaultURL}, false))
	s := serving(t, Config{Listen: "127.0.0.1:0", Data: filepath.Join(t.TempDir(), "data"), Keys: dir})
	if nc, err := nats.Connect(s.ClientURL()); err == nil {
		nc.Close()
		t.Error("a client without a key can connect")
	}
	for _, seed := range []string{s.seedFile, filepath.Join(dir, "sensor-r1.nk"), filepath.Join(dir, "viewer.nk")} {
		key, err := nats.NkeyOptionFromSeed(seed)
		must(t, err)
		nc, err := nats.Connect(s.ClientURL(), key)
		if err != nil {
			t.Errorf("%s: %v", seed, err)
			continue
		}
		nc.Close()
	}
	empty := t.TempDir()
	must(t, os.Chmod(empty, 0o700))
	if _, err := startQuietly(Config{Data: t.TempDir(), Keys: empty}); err == nil || !strings.Contains(err.Error(), "ndmon keys init") {
		t.Errorf("a directory without keys: %v", err)
	}
}

// Clients cannot fill the log.
func TestServerLogIsBounded(t *testing.T) {
	var out strings.Builder
	l := &serverLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	for range 10 * logLines {
		l.Errorf("client %d may not", 7)
	}
	if n := strings.Count(out.String(), "client 7 may not"); n != logLines {
		t.Errorf("%d lines are logged", n)
	}
	if ok, left := l.pass(time.Now().Add(logPeriod)); !ok || left != 9*logLines {
		t.Errorf("in the next period: %v, %d were left out", ok, left)
	}
}

// JetStream that has stopped, or no longer stores, is restarted with the messages on the
// disk.
func TestReviver(t *testing.T) {
	s := serving(t, Config{Data: t.TempDir()})
	_, js := connectTo(t, s, key(t, s), nats.InProcessServer(s))
	// One stream is on the disk, and one in memory, which a restart loses.
	kept, lost := jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}}, jetstream.StreamConfig{Name: "LOST", Storage: jetstream.MemoryStorage}
	for _, c := range []jetstream.StreamConfig{kept, lost} {
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	started := func() bool {
		t.Helper()
		_, err := js.Stream(t.Context(), lost.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			_, err = js.CreateStream(t.Context(), lost)
			if err == nil {
				return true
			}
		}
		must(t, err)
		return false
	}
	health := error(nil)
	var log strings.Builder
	r := newReviver(s, func() error { return health }, slog.New(slog.NewTextHandler(&log, nil)))
	check := func(want bool) {
		t.Helper()
		must(t, r.check())
		if got := started(); got != want {
			t.Errorf("JetStream was restarted: %v, want %v", got, want)
		}
		if _, err := js.Publish(t.Context(), "kept", nil); err != nil {
			t.Error(err)
		}
	}
	check(false)
	health = errors.New("the disk is full") // which passes
	for range 2 * maxUnanswered {
		check(false)
	}
	health = fmt.Errorf("stuck: %w", bus.ErrNoAnswer)
	for range maxUnanswered - 1 {
		check(false)
	}
	check(true)
	check(false)
	health = nil
	must(t, s.DisableJetStream())
	check(true)
	stream, err := js.Stream(t.Context(), kept.Name)
	must(t, err)
	if n := stream.CachedInfo().State.Msgs; n != 2*maxUnanswered+maxUnanswered+3 {
		t.Errorf("%d messages are kept", n)
	}
	if n := strings.Count(log.String(), "restarted JetStream"); n != 2 {
		t.Errorf("log: %s", log.String())
	}
}
