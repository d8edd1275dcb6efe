package bus

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

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
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
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
