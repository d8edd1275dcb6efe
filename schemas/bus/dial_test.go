package bus

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ndmon/ndmon/schemas/bus/bustest"
)

// A command on the same host uses the noted key, unless it has credentials, and
// connects without it if the key belongs to another server.
func TestDialWithTheNotedKey(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	pair, err := nkeys.CreateUser()
	check(t, err)
	seed, err := pair.Seed()
	check(t, err)
	public, err := pair.PublicKey()
	check(t, err)
	file := filepath.Join(t.TempDir(), "admin.nk")
	check(t, os.WriteFile(file, seed, 0o600))
	serve := func(nkey string) *server.Server {
		o := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true}
		if nkey != "" {
			o.Nkeys = []*server.NkeyUser{{Nkey: nkey}}
		}
		return bustest.StartWith(t, o)
	}
	dial := func(cfg Config) error {
		nc, err := Dial(cfg, "test", func(error) {})
		if err == nil {
			nc.Close()
		}
		return err
	}
	with, without := serve(public), serve("")
	for _, s := range []*server.Server{with, without} {
		if s == with {
			if err := dial(Config{URL: s.ClientURL()}); err == nil {
				t.Error("connected without a key")
			}
		}
		forget, err := NoteLocalKey(s.Addr().(*net.TCPAddr).Port, file)
		check(t, err)
		if err := dial(Config{URL: s.ClientURL()}); err != nil {
			t.Errorf("with the noted key: %v", err)
		}
		forget()
	}
	forget, err := NoteLocalKey(with.Addr().(*net.TCPAddr).Port, file)
	check(t, err)
	if err := dial(Config{URL: with.ClientURL(), User: "a", Password: "b"}); err == nil {
		t.Error("the noted key is used instead of the configured user")
	}
	// The note of a key that was removed is removed by the next ndmon.
	check(t, os.Remove(file))
	if err := dial(Config{URL: with.ClientURL()}); err == nil {
		t.Error("connected with a key that was removed")
	}
	if _, err := NoteLocalKey(1, "/dev/null"); err != nil {
		t.Fatal(err)
	}
	if notes, err := os.ReadDir(os.Getenv("RUNTIME_DIRECTORY")); err != nil || len(notes) != 1 {
		t.Errorf("notes that are left: %v, %v", notes, err)
	}
	forget()
}

func TestConfigValidate(t *testing.T) {
	for want, cfg := range map[string]Config{
		"NATS_URL":      {},
		"only one":      {URL: "nats://x", Creds: "a", User: "b"},
		"NATS_PASSWORD": {URL: "nats://x", Password: "b"},
		"NATS_KEY":      {URL: "nats://x", Cert: "b"},
	} {
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error with %q", cfg, err, want)
		}
	}
	if _, err := Connect(Config{URL: "nats://127.0.0.1:1", NKey: "/does/not/exist"}, Options{Registry: prometheus.NewRegistry()}); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("seed file that is missing: %v", err)
	}
}

// A pipe without a writer, or a device without an end, blocks nothing.
func TestConfigFilesAreRegular(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	check(t, syscall.Mkfifo(pipe, 0o600))
	const url = "nats://127.0.0.1:1"
	for _, path := range []string{pipe, "/dev/zero", t.TempDir()} {
		for setting, cfg := range map[string]Config{
			"NATS_CREDS": {URL: url, Creds: path},
			"NATS_NKEY":  {URL: url, NKey: path},
			"NATS_CA":    {URL: url, CA: path},
			"NATS_CERT":  {URL: url, Cert: path, Key: os.Args[0]},
			"NATS_KEY":   {URL: url, Cert: os.Args[0], Key: path},
		} {
			_, err := Connect(cfg, Options{Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
			if want := setting + ": " + path + " is not a regular file"; err == nil || err.Error() != want {
				t.Errorf("Connect: %v, want %s", err, want)
			}
			if _, err := Dial(cfg, "test", nil); err == nil || !strings.Contains(err.Error(), setting) {
				t.Errorf("Dial: %v, want %s", err, setting)
			}
		}
	}
}
