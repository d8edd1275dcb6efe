package probe

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// Why nothing can be sent is logged once until something was sent, and what the pinger
// itself mends only if it lasts.
func TestWhatCannotBeSentIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{Rate: 1000, Timeout: time.Second}, 2)
		var log bytes.Buffer
		b.troubles.log = slog.New(slog.NewTextHandler(&log, nil))
		lines := func(what string, want ...string) {
			t.Helper()
			var got []string
			for line := range strings.Lines(log.String()) {
				level, message, _ := strings.Cut(line[strings.Index(line, "level=")+len("level="):], " msg=")
				message, _, _ = strings.Cut(message, " slave=")
				got = append(got, level+" "+strings.Trim(message, `"`))
			}
			if log.Reset(); cmp.Diff(want, got) != "" {
				t.Errorf("%s (-want +got):\n%s", what, cmp.Diff(want, got))
			}
		}
		n := 0
		send := func(err error) {
			n++
			b.senders[0].err = err
			b.command(fmt.Sprint("c", n), fmt.Sprintf("2001:db8::%x", n))
			advance(300 * time.Millisecond)
		}
		send(unix.EPERM)
		if !strings.Contains(log.String(), "firewall") || !strings.Contains(log.String(), "remedy=") {
			t.Errorf("log has no cause and remedy: %s", &log)
		}
		send(unix.EPERM)
		lines("a firewall", "WARN no echo request leaves s1")
		send(nil)
		send(unix.EPERM)
		lines("a firewall that was away for a moment", "INFO echo requests leave s1 again")
		advance(warnEvery)
		send(unix.EPERM)
		lines("a firewall that is back", "WARN no echo request leaves s1")
		for range 2 {
			send(unix.ENETUNREACH)
			send(nil)
		}
		lines("a route that was mended")
		for range 5 {
			send(unix.ENETUNREACH)
		}
		lines("a route that is not mended", "WARN no echo request leaves s1")
	})
}
