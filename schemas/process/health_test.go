package process

import (
	"context"
	"errors"
	"net"
	"testing"
)

func TestHealth(t *testing.T) {
	var h Health
	expect := func(want string) {
		t.Helper()
		got := "healthy"
		if err := h.Err(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	expect("starting")
	events := h.Part("events")
	expect("events: starting")
	away := errors.New("not\nconnected")
	h.Check("NATS", func() error { return away })
	expect("NATS: not connected; events: starting")
	events(nil)
	away = nil
	expect("healthy")
	events(errors.New("lost"))
	expect("events: lost")
}

// The program checks the health of its running process with the same environment.
func TestCheckHealth(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:", "[::1]:", ":", "0.0.0.0:", "[::]:", "localhost:"} {
		t.Run(listen, func(t *testing.T) {
			addr := listen + freePort(t, listen+"0")
			t.Setenv("TEST_METRICS", addr)
			t.Setenv("http_proxy", "http://192.0.2.1:1") // is not for us
			ask := func(status int, stdout string) {
				t.Helper()
				if s, out, stderr, _ := run(t, []string{"health"}, nil); s != status || out != stdout || stderr != "" {
					t.Errorf("status %d, %q, %q, want %d, %q", s, out, stderr, status, stdout)
				}
			}
			if status, _, stderr, _ := run(t, nil, func(_ context.Context, env Env) error {
				ask(ExitFailure, "starting\n")
				set := env.Health.Part("test")
				ask(ExitFailure, "test: starting\n")
				set(nil)
				ask(ExitOK, "healthy\n")
				return nil
			}); status != ExitOK {
				t.Errorf("status %d, %s", status, stderr)
			}
		})
	}
}

func TestCheckHealthWithoutAnswer(t *testing.T) {
	if status, out, stderr, _ := run(t, []string{"health"}, nil); status != ExitUsage || out != "" ||
		stderr != "nd-test health: TEST_METRICS is not set: it is the address on which the running nd-test serves its metrics\n" {
		t.Errorf("status %d, %q, %q", status, out, stderr)
	}
	addr := "127.0.0.1:" + freePort(t, "127.0.0.1:0")
	t.Setenv("TEST_METRICS", addr)
	want := "nd-test on " + addr + " does not answer: dial tcp " + addr + ": connect: connection refused\n"
	if status, out, _, _ := run(t, []string{"health"}, nil); status != ExitFailure || out != want {
		t.Errorf("status %d, %q, want %q", status, out, want)
	}
	if status, _, stderr, _ := run(t, []string{"health", "now"}, nil); status != ExitUsage || stderr == "" {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// freePort returns a port that no process listens on.
func freePort(t *testing.T, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
