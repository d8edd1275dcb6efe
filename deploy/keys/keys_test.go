package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
)

// plain is a server without TLS.
var plain = Server{Data: DefaultData}

// local is its clients.
var local = Client{URL: DefaultURL}

// snapshot returns the files of a directory.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	files := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		info, err := e.Info()
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", e.Name(), info.Mode().Perm())
		}
		files[e.Name()] = string(data)
	}
	return files
}

// changed returns which files of before are other ones now, or none.
func changed(before, now map[string]string) (names []string) {
	for name, data := range before {
		if now[name] != data {
			names = append(names, name)
		}
	}
	return names
}

func TestInitAddRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "keys")
	must(t, Init(dir, Hosts{Thin: []string{host2, host1, host1}}, plain, local, false))
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	first := snapshot(t, dir)
	want := []string{ServerFile, UsersFile}
	for _, name := range []string{"ruled", "viewer", "operator", "web", "exporter", "admin", "system",
		"sensor-r1", "pinger-r1", "sensor-" + host2, "pinger-" + host2} {
		want = append(want, name+".nk", name+".json")
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(maps.Keys(first))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}

	// Nothing is overwritten.
	if err := Init(dir, Hosts{Thin: []string{"r3"}}, plain, local, false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("replaced: %v", err)
	}
	if err := Add(dir, Hosts{Thin: []string{"r3", host1}}); err == nil || !strings.Contains(err.Error(), "sensor-r1.nk") {
		t.Errorf("a host twice: %v", err)
	}
	if now := snapshot(t, dir); len(changed(first, now)) > 0 || len(now) != len(first) {
		t.Errorf("changed: %v", changed(first, now))
	}

	must(t, Add(dir, Hosts{Thin: []string{"r3"}}))
	second := snapshot(t, dir)
	if names := changed(first, second); len(names) != 1 || names[0] != UsersFile {
		t.Errorf("changed: %v", names)
	}
	if len(second) != len(first)+4 || !strings.Contains(second[UsersFile], `"nd.events.r3.*.*"`) || !strings.Contains(second[UsersFile], `"nd.batches.r3.*"`) {
		t.Errorf("r3 is not among the users:\n%s", second[UsersFile])
	}
	must(t, Remove(dir, Hosts{Thin: []string{"r3"}}))
	if now := snapshot(t, dir); len(changed(first, now)) > 0 || len(now) != len(first) {
		t.Errorf("changed: %v", changed(first, now))
	}
	if err := Remove(dir, Hosts{Thin: []string{"r3"}}); err == nil || !strings.Contains(err.Error(), "sensor-r3.nk") {
		t.Errorf("removed twice: %v", err)
	}

	must(t, Init(dir, Hosts{Thin: []string{host1}}, plain, local, true))
	replaced := snapshot(t, dir)
	if len(replaced) != len(first)-4 || replaced["ruled.nk"] == first["ruled.nk"] || replaced["sensor-r1.nk"] == first["sensor-r1.nk"] {
		t.Errorf("not replaced: %d files", len(replaced))
	}
}

// A user whose seed is elsewhere stays a user.
func TestSeedThatIsElsewhere(t *testing.T) {
	dir, users := fleet(t)
	must(t, os.Remove(users["sensor-"+host1].seedFile(dir)))
	before := snapshot(t, dir)
	for name, err := range map[string]error{"add": Add(dir, Hosts{Thin: []string{"r3"}}), "remove": Remove(dir, Hosts{Thin: []string{host2}})} {
		if err == nil || !strings.Contains(err.Error(), users["sensor-"+host1].key) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if now := snapshot(t, dir); len(changed(before, now)) > 0 || len(now) != len(before) {
		t.Errorf("changed: %v", changed(before, now))
	}
}

func TestRefuses(t *testing.T) {
	good, none := Hosts{Thin: []string{"r1"}}, t.TempDir()
	open := t.TempDir()
	must(t, os.WriteFile(filepath.Join(open, "other"), nil, 0o600))
	must(t, os.Chmod(open, 0o755))
	spoilt, _ := fleet(t)
	must(t, os.WriteFile(filepath.Join(spoilt, "sensor-x.nk"), []byte("SX\n"), 0o600))
	for _, tc := range []struct {
		err   error
		usage bool
		want  string
	}{
		{Init(none, Hosts{}, plain, local, false), true, "--hosts"},
		{Init(none, Hosts{Thin: []string{""}}, plain, local, false), true, `--hosts: ""`},
		{Init(none, Hosts{Thin: []string{"r1", "../r2"}}, plain, local, false), true, `"../r2"`},
		{Init(none, Hosts{Thin: []string{"a\nb"}}, plain, local, false), true, `"a\nb"`},
		{Init(none, Hosts{Thin: []string{strings.Repeat("x", 201)}}, plain, local, false), true, "200 bytes"},
		{Init(none, good, Server{Data: "d", Cert: "c"}, local, false), true, "--tls-cert, --tls-key"},
		{Init(none, good, Server{Data: "d", Key: "k"}, local, false), true, "--tls-cert, --tls-key"},
		{Init(none, good, Server{Data: "d", CA: "a"}, local, false), true, "--tls-ca"},
		{Init(none, good, Server{Data: "d", Cert: "c\n", Key: "k"}, local, false), true, `"c\n"`},
		{Init(none, good, Server{}, local, false), true, "--data"},
		{Init(none, good, Server{Data: "d", Cluster: []string{"n1", "n2"}}, local, false), true, "--servers: n1,n2"},
		{Init(none, good, Server{Data: "d", Cluster: []string{"n1", "n2", "n1"}}, local, false), true, "--servers: n1,n2,n1"},
		{Init(none, good, Server{Data: "d", Cluster: []string{"n1", "n2", "../n3"}}, local, false), true, `--servers: "../n3"`},
		{Init(none, good, Server{Data: "d", Cluster: []string{"n1", "n2", "n3:65000"}}, local, false), true, `--servers: "n3:65000"`},
		{Init(none, Hosts{Edges: []string{"/"}}, plain, local, false), true, `--edges: "/"`},
		{Init(open, good, plain, local, false), false, "open to others (mode 0755)"},
		{Init("/dev/null", good, plain, local, false), false, "not a directory"},
		{Init("/dev/null/keys", good, plain, local, false), false, "not a directory"},
		{Add(none, good), false, "no keys yet"},
		{Add(none, Hosts{}), true, "--hosts"},
		{Remove(none, good), false, "no keys yet"},
		{Remove(none, Hosts{Thin: []string{"/"}}), true, `"/"`},
		{Add(spoilt, good), false, "sensor-x.nk is not the seed"},
	} {
		var usage process.UsageError
		if tc.err == nil || !strings.Contains(tc.err.Error(), tc.want) || errors.As(tc.err, &usage) != tc.usage {
			t.Errorf("%v, want %q, of usage: %v", tc.err, tc.want, tc.usage)
		}
	}
	if entries, err := os.ReadDir(none); err != nil || len(entries) > 0 {
		t.Errorf("something was made: %v, %v", entries, err)
	}
}

// The paths of certificates reach the server as they are.
func TestTLSConfiguration(t *testing.T) {
	tls := Server{Data: "/a $b", Cert: `/etc/a "b" \c.pem`, Key: "k.pem", CA: "$ca.pem"}
	config := serverConfig(tls, "")
	for _, want := range []string{`cert_file: "/etc/a \"b\" \\c.pem"`, `key_file: "k.pem"`, `ca_file: "$ca.pem"`, "verify: true", `store_dir: "/a $b"`} {
		if !bytes.Contains(config, []byte(want)) {
			t.Errorf("there is no %s in\n%s", want, config)
		}
	}
	dir := filepath.Join(t.TempDir(), "keys")
	must(t, Init(dir, Hosts{Thin: []string{host1}}, tls, local, false))
	// It does not find them, and says where it looked.
	if _, err := server.ProcessConfigFile(filepath.Join(dir, ServerFile)); err == nil || !strings.Contains(err.Error(), tls.Cert) {
		t.Errorf("the server looks elsewhere than at %s: %v", tls.Cert, err)
	}
}

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
	must(t, err)
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

	edge1, edge2 = "e1.example.org", "e2"
	edgeToken    = "e1=2Eexample=2Eorg"
)

// fleet makes the keys of two hosts.
func fleet(t *testing.T) (dir string, users map[string]user) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "keys")
	must(t, Init(dir, Hosts{Thin: []string{host1, host2}, Edges: []string{edge1, edge2}}, plain, local, false))
	return dir, usersIn(t, dir)
}

// usersIn returns the users in a directory by their names.
func usersIn(t *testing.T, dir string) map[string]user {
	t.Helper()
	list, err := readUsers(dir)
	must(t, err)
	users := map[string]user{}
	for _, u := range list {
		users[u.name()] = u
	}
	return users
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
	must(t, err)
	return js
}

const someAlert = `{"type":"nd.alert.v1"}`

// readAlerts reads n stored alerts with a consumer of the viewer.
func readAlerts(t *testing.T, viewer client, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	consumer, err := stream(t, viewer).OrderedConsumer(ctx, schemas.StreamAlerts, jetstream.OrderedConsumerConfig{})
	must(t, err)
	messages, err := consumer.Messages()
	must(t, err)
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
	must(t, err)
	for was, is := range map[string]string{`"[::]:4222"`: fmt.Sprintf("%q", address), `"[::]:7422"`: `"127.0.0.1:-1"`, quote(DefaultData): quote(t.TempDir())} {
		if !bytes.Contains(config, []byte(was)) {
			t.Fatalf("the server's configuration does not say %s", was)
		}
		config = bytes.Replace(config, []byte(was), []byte(is), 1)
	}
	must(t, os.WriteFile(path, config, 0o600))
	opts, err := server.ProcessConfigFile(path)
	must(t, err)
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(opts)
	must(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server does not start")
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// store stores a message in a stream.
func store(t testing.TB, js jetstream.JetStream, subject, message string) {
	t.Helper()
	_, err := js.Publish(t.Context(), subject, []byte(message))
	must(t, err)
}

// A directory of an earlier version gets the keys of the roles that it lacks.
func TestAddMakesNewRoles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	must(t, Init(dir, Hosts{Thin: []string{host1}}, plain, local, false))
	page := user{role: Web}
	must(t, os.Remove(page.seedFile(dir)))
	must(t, os.Remove(page.contextFile(dir)))
	must(t, writeUsers(dir))
	must(t, Add(dir, Hosts{Thin: []string{host2}}))
	if _, err := os.Stat(page.seedFile(dir)); err != nil {
		t.Error(err)
	}
}
