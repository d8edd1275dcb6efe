package process

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// Only an interface that is up and not loopback counts, a failed listing counts as one,
// and each of them restarts the time.
func TestWaitNoInterfaces(t *testing.T) {
	up := []net.Interface{{Name: "lo", Flags: net.FlagUp | net.FlagLoopback}, {Name: "eth0", Flags: net.FlagUp}}
	down := []net.Interface{{Name: "lo", Flags: net.FlagUp | net.FlagLoopback}, {Name: "sit0"}}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		interfaces := func() ([]net.Interface, error) {
			switch now := time.Since(start); {
			case now < time.Minute, now >= 65*time.Second && now < 66*time.Second:
				return up, nil
			case now >= 70*time.Second && now < 71*time.Second:
				return nil, errors.New("cannot list")
			}
			return down, nil
		}
		if err := waitNoInterfaces(t.Context(), 10*time.Second, interfaces); err != errNoInterfaces {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took != 81*time.Second {
			t.Errorf("after %v, want 10s after it was left for good at 71s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := waitNoInterfaces(ctx, 10*time.Second, func() ([]net.Interface, error) { return up, nil }); err != nil {
			t.Errorf("error %v with an interface up", err)
		}
	})
}

// The process fails, so that its supervisor restarts it.
func TestMainNoInterfaces(t *testing.T) {
	t.Setenv("TEST_ALONE", "500ms")
	if status, _, stderr, _ := run(t, nil, succeed); status != ExitUsage || stderr != "nd-test: TEST_ALONE: must be 0s or at least 1s\n" {
		t.Errorf("status %d, %q", status, stderr)
	}
	t.Setenv("TEST_ALONE", "1h")
	if status, _, stderr, _ := run(t, nil, succeed); status != ExitOK {
		t.Errorf("status %d, %s", status, stderr)
	}
}
