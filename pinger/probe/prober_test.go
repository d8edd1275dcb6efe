package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ndmon/ndmon/pinger/notice"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"
)

func TestProberAnswerAndTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, benchConfig, 2)
		mac := schemas.MAC{2, 0, 0, 0, 0, 0x42}
		b.command("c1", "2001:db8::42")
		advance(1500 * time.Microsecond)
		b.reachable, b.mac = true, &mac
		b.Replied(b.slaves[1], b.senders[1].sent[0])
		b.expect("c1 s2 reachable 1.5ms 02:00:00:00:00:42")
		b.reachable, b.mac = false, nil
		advance(1998 * time.Millisecond)
		b.expect()
		advance(time.Millisecond)
		b.expect("c1 s1 unreachable")
		if b.waiting.armed || len(b.waiting.probes) != 0 {
			t.Error("the timer runs while nothing waits")
		}
		// Too late, and twice.
		b.Replied(b.slaves[0], b.senders[0].sent[0])
		b.Replied(b.slaves[1], b.senders[1].sent[0])
		b.expect()
		if got := testutil.ToFloat64(b.deps.Metrics.strayReplies); got != 2 {
			t.Errorf("%v stray replies, want 2", got)
		}
	})
}

// A target is logged when it is found and when it is lost, and not for each probe.
func TestProberLogsFoundAndLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{Rate: 10, Timeout: 2 * time.Second}, 2)
		var log bytes.Buffer
		at := &somewhere{}
		b.deps.Locations = at
		b.deps.Notices = notice.New(slog.New(slog.NewTextHandler(&log, nil)), time.Now)
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := log.String(); (got == "") != (want == "") || !strings.Contains(got, want) || strings.Count(got, "\n") > 1 {
				t.Errorf("the log is %q, want %q", got, want)
			}
			log.Reset()
		}
		probe := func(answer bool) {
			b.command("c1", "2001:db8::42")
			if s := b.senders[1]; answer {
				b.Replied(b.slaves[1], s.sent[len(s.sent)-1])
			}
			advance(3 * time.Second)
		}
		probe(false)
		expect("")
		probe(true)
		expect(`level=INFO msg="target found" target=2001:db8::42 on=s2`)
		probe(true)
		expect("")
		b.command("c1", "2001:db8::42")
		at.located.Store(true) // it was looked for behind other ports only
		advance(3 * time.Second)
		expect("")
		at.located.Store(false)
		probe(false)
		expect(`level=INFO msg="target lost" target=2001:db8::42 on=s2`)
		probe(false)
		expect("")
	})
}

func TestProberIgnoresForgedReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, benchConfig, 2)
		b.command("c1", "2001:db8::42")
		right := b.senders[0].sent[0]
		forged := []struct {
			slave  int
			change func(*wire.EchoReply)
		}{
			{0, func(r *wire.EchoReply) { r.Cookie++ }},
			{0, func(r *wire.EchoReply) { r.Seq++ }},
			{0, func(r *wire.EchoReply) { r.From = r.From.Next() }},
			{1, func(r *wire.EchoReply) {}}, // on the other slave
		}
		for _, f := range forged {
			r := right
			f.change(&r)
			b.Replied(b.slaves[f.slave], r)
		}
		b.expect()
		if got := testutil.ToFloat64(b.deps.Metrics.strayReplies); got != float64(len(forged)) {
			t.Errorf("%v stray replies, want %d", got, len(forged))
		}
		advance(time.Millisecond)
		b.Replied(b.slaves[0], right)
		b.expect("c1 s1 reachable 1ms")
	})
}

func TestProberHoldDownAndRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, benchConfig, 2)
		b.command("c1", "2001:db8::42")
		b.command("c2", "2001:db8::42")
		b.expect("c2  suppressed held_down")
		advance(3*time.Second - 1)
		b.expect("c1 s1 unreachable", "c1 s2 unreachable")
		b.command("c3", "2001:db8::42")
		b.expect("c3  suppressed held_down")
		advance(1)
		// It was silent: twice as long.
		b.command("c4", "2001:db8::42")
		b.expect("c4  suppressed held_down")
		advance(3 * time.Second)
		b.command("c5", "2001:db8::42")
		b.expect()
		// It answers, and is held down as at first.
		b.Replied(b.slaves[0], b.senders[0].sent[1])
		b.Replied(b.slaves[1], b.senders[1].sent[1])
		b.take()
		advance(3*time.Second - 1)
		b.command("c6", "2001:db8::42")
		b.expect("c6  suppressed held_down")
		// A slave that comes up makes every target worth another probe.
		b.ReleaseAll()
		b.command("c7", "2001:db8::42")
		b.expect()
		// A command with now does not wait for the hold-down.
		advance(3 * time.Second)
		b.expect("c7 s1 unreachable", "c7 s2 unreachable")
		b.commandWith("c8", "2001:db8::42", func(c *schemas.Relay) { c.Now = true })
		b.expect()
		// 2 of the 10 probes of this second are spent, and an eighth is kept.
		for i := range 4 {
			b.command(fmt.Sprintf("d%d", i), fmt.Sprintf("2001:db8::d%d", i))
		}
		b.expect("d2  suppressed over_budget", "d3  suppressed over_budget")
		// A target that was refused and is solicited again takes precedence.
		advance(999 * time.Millisecond)
		b.command("d4", "2001:db8::d3")
		b.expect()
		b.command("d5", "2001:db8::d5")
		b.expect("d5  suppressed over_budget")
	})
}

func TestProberWhyNotSent(t *testing.T) {
	wrapped := func(errno syscall.Errno) error {
		return &net.OpError{Op: "write", Err: fmt.Errorf("sendmmsg: %w", errno)}
	}
	tests := []struct {
		err       error
		tablesWhy string
		want      string
		repairs   int
	}{
		{wrapped(unix.ENETUNREACH), "", "the route through s1 was gone", 1},
		{wrapped(unix.ENETUNREACH), "the pinger lacks CAP_NET_ADMIN", "the pinger lacks CAP_NET_ADMIN", 0},
		{wrapped(unix.EINVAL), "", "gc_thresh3", 0},
		{wrapped(unix.ENOBUFS), "", "gc_thresh3", 0},
		{wrapped(unix.EAGAIN), "", "wmem_max", 0},
		{wrapped(unix.EPERM), "", "firewall", 0},
		{wrapped(unix.ENODEV), "", "s1 has just gone", 0},
		{wrapped(unix.ENETDOWN), "", "s1 has just gone down", 0},
		{net.ErrClosed, "", "s1 is being checked again", 1},
		{errors.New("xyzzy"), "", "xyzzy", 0},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, benchConfig, 2)
			b.deps.NoTables = test.tablesWhy
			b.senders[0].err = test.err
			b.command("c1", "2001:db8::42")
			if len(b.results) != 1 || b.results[0].Slave != "s1" || b.results[0].Status != schemas.Failed || !strings.Contains(b.results[0].Error, test.want) {
				t.Errorf("%v: results are %+v, want one with %q", test.err, b.results, test.want)
			}
			if b.repairs != test.repairs {
				t.Errorf("%v: %d repairs, want %d", test.err, b.repairs, test.repairs)
			}
			if len(b.senders[1].sent) != 1 || len(b.waiting.probes) != 1 {
				t.Errorf("%v: the other slave did not go on", test.err)
			}
		})
	}
}

// What no echo was sent for is not held down, and its results are bounded.
func TestProberAllSlavesOutOfUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, benchConfig, 2)
		b.slaves[0].Why, b.slaves[1].Why = "is down", "does not exist"
		for i := range 100 {
			b.command(fmt.Sprintf("c%d", i), "2001:db8::42")
		}
		failed, suppressed := 0, 0
		for _, r := range b.results {
			switch r.Status {
			case schemas.Failed:
				failed++
			case schemas.Suppressed:
				suppressed++
			}
		}
		// The second one on was refused before, and goes first.
		if failed != 10 || suppressed != 95 {
			t.Errorf("%d failed and %d suppressed, want 10 and 95", failed, suppressed)
		}
		if b.results[0].Error != "s1 is down" || b.results[1].Error != "s2 does not exist" {
			t.Errorf("results are %+v", b.results[:2])
		}
	})
}

func TestProberSlaveFailsWhileAnEchoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, benchConfig, 3)
		b.command("c1", "2001:db8::42")
		down := *b.slaves[0]
		down.Why = "is down"
		again := *b.slaves[1]
		again.Index++
		b.setPorts(&down, &again, b.slaves[2])
		advance(3 * time.Second)
		synctest.Wait()
		if len(b.results) != 3 || b.results[0].Error != "s1 is down while the probe waited for its answer" ||
			b.results[1].Error != "s2 went away while the probe waited for its answer" || b.results[2].Status != schemas.Unreachable {
			t.Errorf("results are %+v", b.results)
		}
	})
}

func TestProberStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, benchConfig, 1)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		b.command("c1", "2001:db8::42")
		b.Run(ctx)
		b.command("c2", "2001:db8::43")
		b.expect("c2  suppressed over_budget")
		if len(b.senders[0].sent) != 1 {
			t.Error("an echo was sent after the stop")
		}
	})
}

// Forged commands that are to be carried out at once, for a target that is there,
// leave room for others.
func TestProberUnderFloodOfNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{Rate: 100, HoldDown: 3 * time.Second, Timeout: 3 * time.Second}, 1)
		for i := range 2000 {
			b.commandWith("f", "2001:db8::42", func(c *schemas.Relay) { c.Now = true })
			for _, sent := range b.senders[0].sent {
				b.Replied(b.slaves[0], sent)
			}
			if i%400 == 399 {
				// A target that was not looked for before.
				before := len(b.senders[0].sent)
				b.commandWith("honest", numbered(i).String(), func(c *schemas.Relay) {
					c.Solicitation = &schemas.Solicitation{Host: "r1", Interface: "m0", Direction: schemas.Out, Source: honest}
				})
				if len(b.senders[0].sent) != before+1 {
					t.Fatalf("after %d forged commands an honest one is refused", i)
				}
			}
			advance(100 * time.Microsecond)
		}
		if n := len(b.senders[0].sent); n > 100 {
			t.Errorf("%d echoes in 200 ms at a rate of 100 a second", n)
		}
	})
}

// Under a stream of forged commands the prober stays within its bounds.
func TestProberUnderFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Rate: 100, HoldDown: 3 * time.Second, Timeout: 3 * time.Second}
		b := newBench(t, cfg, 2)
		for i := range 50_000 {
			b.command("f", numbered(i).String())
			if i%10 == 0 {
				advance(time.Millisecond)
			}
			b.mu.Lock()
			open, known := len(b.waiting.probes), len(b.targets.byAddr)
			b.mu.Unlock()
			if open > 3*cfg.Rate+cfg.Rate || known > maxTargets {
				t.Fatalf("%d wait, %d targets", open, known)
			}
			if i%1000 == 0 {
				b.take()
			}
		}
		if n := len(b.senders[0].sent) + len(b.senders[1].sent); n > 5*cfg.Rate+cfg.Rate {
			t.Errorf("%d echoes in 5 s", n)
		}
		advance(cfg.Timeout)
		synctest.Wait()
		if len(b.waiting.probes) != 0 || b.waiting.armed {
			t.Errorf("%d wait after all", len(b.waiting.probes))
		}
	})
}
