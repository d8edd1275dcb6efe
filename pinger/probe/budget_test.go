package probe

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var scanner, honest = netip.MustParseAddr("2001:db8::bad"), netip.MustParseAddr("2001:db8::600d")

// Whatever is asked for, no second has more than the rate, wherever it begins.
func TestBudgetInAnySecond(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, rate := range []int{1, 2, 10, 100} {
		b := newBudget(rate)
		now := time.Unix(1000, 0)
		var left []time.Time
		for range 20_000 {
			now = now.Add(time.Duration(r.IntN(int(2*time.Second) / rate / 4)))
			n := 1 + r.IntN(2)
			if b.allow(now, n, numbered(r.IntN(3)), r.IntN(2) == 0) {
				for range n {
					left = append(left, now)
				}
			}
		}
		for i := rate; i < len(left); i++ {
			if left[i].Sub(left[i-rate]) < time.Second {
				t.Fatalf("rate %d: %d within %v", rate, rate+1, left[i].Sub(left[i-rate]))
			}
		}
		if len(left) < rate {
			t.Errorf("rate %d: only %d in all", rate, len(left))
		}
	}
}

func TestBudgetIsShared(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBudget(2000)
	take := func(source netip.Addr, priority bool, most int) (n int) {
		for range most {
			if b.allow(now, 2, source, priority) {
				n += 2
			}
		}
		return n
	}
	// One source alone, which asks for far more.
	if n := take(scanner, false, 5000); n != 1500 {
		t.Errorf("a scanner alone gets %d of 2000, want three quarters", n)
	}
	if n := take(honest, false, 10); n != 20 {
		t.Errorf("another source gets %d of the 20 it asks for", n)
	}
	// Many of which each asks a little.
	for i := range 2000 {
		b.allow(now, 2, numbered(i), false)
	}
	if b.used > 2000-2000/reserved {
		t.Errorf("%d sources take %d of 2000: nothing is left for what has priority", len(b.bySource), b.used)
	}
	if n := take(honest, true, 10); n != 20 {
		t.Errorf("with priority %d of the 20 it asks for", n)
	}
	if n := take(honest, true, 5000); b.used != 2000 {
		t.Errorf("with priority the rest is not to be had: %d more, %d in all", n, b.used)
	}
	if b.allow(now, 1, numbered(7777), true) {
		t.Error("more than the rate")
	}
	// All were sent at once. They become free again during the second after the next.
	if now = now.Add(time.Second); b.idle(now) || b.used != 1999 {
		t.Errorf("after a second %d are used", b.used)
	}
	if now = now.Add(time.Second); !b.idle(now) || len(b.bySource) != 0 || b.used != 0 {
		t.Errorf("after two seconds %d are used by %d sources", b.used, len(b.bySource))
	}
}

// The smallest budget that is allowed lets a command through.
func TestBudgetSmall(t *testing.T) {
	for n := 1; n <= 20; n++ {
		if b := newBudget(n); !b.allow(time.Unix(1000, 0), n, scanner, false) {
			t.Errorf("a rate of %d lets no command with %d slaves through", n, n)
		}
	}
}

func TestTableRoom(t *testing.T) {
	entries, reads, fails := 700, 0, error(nil)
	r := tableRoom{read: func() (int, int, error) { reads++; return entries, 1024, fails }}
	now := time.Unix(1000, 0)
	n := 0
	for range 1000 {
		if r.take(now) == "" {
			n++
		}
	}
	if n != (768-700)/echoEntries {
		t.Errorf("%d echoes, want those that leave a quarter of the table", n)
	}
	if reads != 1 {
		t.Errorf("the table was read %d times at once", reads)
	}
	entries = 767
	now = now.Add(readingAge)
	if got, want := r.take(now), "has 767 entries of at most 1024"; !strings.Contains(got, want) {
		t.Errorf("there is room for one entry only; why is %q, want %q in it", got, want)
	}
	fails = errors.New("xyzzy")
	if now = now.Add(readingAge); r.take(now) != "" {
		t.Error("without a reading of the table nothing may be sent")
	}
}
