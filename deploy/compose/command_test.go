package compose_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/compose"
	"github.com/ndmon/ndmon/schemas/process"
)

func ndlab(t *testing.T, args ...string) error {
	t.Helper()
	return compose.Command(t.Context(), args, io.Discard, slog.New(slog.DiscardHandler))
}

func TestBadArguments(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"", "use hold, ready, keys or traffic"},
		{"sleep", "use hold, ready, keys or traffic"},
		{"ready", "use hold, ready, keys or traffic"},
		{"hold a b", "use hold, ready, keys or traffic"},
		{"hold --advertise 2001:db8::1", "--advertise"},
		{"hold 2001:db8::1", `"2001:db8::1" is not an address such as 2001:db8::1/64`},
		{"ready host1", `"host1" is neither an address nor a URL`},
		{"traffic 2001:db8::1/64", "2001:db8::1/64"},
		{"traffic --every 1ms 2001:db8::1", "--every: use a time of at least 1s"},
		{"traffic --find 2001:db8::1 2001:db8::1", "--find and --via need each other"},
		{"traffic --spoof me 2001:db8::1", "--spoof"},
	} {
		err := ndlab(t, strings.Fields(tc.args)...)
		if usage := (process.UsageError{}); !errors.As(err, &usage) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("ndlab %s: %v, want %s", tc.args, err, tc.want)
		}
	}
}

func TestReady(t *testing.T) {
	serve := func(greeting string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				io.WriteString(conn, greeting)
				conn.Close()
			}
		}()
		return "nats://" + l.Addr().String()
	}
	if err := ndlab(t, "ready", "127.0.0.1", serve("INFO {}\r\n")); err != nil {
		t.Error(err)
	}
	for target, want := range map[string]string{
		"192.0.2.77":           "cannot assign requested address",
		serve("SSH-2.0-x\r\n"): "is no NATS server",
		serve(""):              "does not send a greeting",
		"nats://127.0.0.1:1":   "connection refused",
	} {
		if err := ndlab(t, "ready", "127.0.0.1", target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", target, err, want)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
