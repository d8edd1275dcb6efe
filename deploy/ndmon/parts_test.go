package ndmon

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A message reaches the subscriber, and none after stop has returned.
func TestDirect(t *testing.T) {
	var d direct[int]
	one := 1
	d.send(&one) // without a subscriber
	for range 3 {
		got, stopped := 0, false
		stop := d.subscribe(func(n *int) {
			if stopped {
				t.Error("received after stop")
			}
			got += *n
		})
		d.send(&one)
		if got != 1 {
			t.Errorf("got %d, want 1", got)
		}
		var sending sync.WaitGroup
		sending.Go(func() {
			for range 10_000 {
				d.send(&one)
			}
		})
		stop()
		stopped = true
		sending.Wait()
	}
}

// What is kept in memory is a share of what there is, and adds up to less than half.
func TestLimits(t *testing.T) {
	none := limitsFor(0)
	if none.buffer != 0 || none.neighbours != 0 || !none.copy {
		t.Errorf("without a limit: %+v", none)
	}
	for _, mib := range []int64{32, 48, 96, 224, 480, 4096} {
		memory := mib << 20
		l := limitsFor(memory)
		if sum := 3*int64(l.buffer) + int64(l.neighbours)*300; sum > memory/2 {
			t.Errorf("of %d MiB, %d bytes are for what is kept", mib, sum)
		}
		if l.copy != (mib >= 400) {
			t.Errorf("of %d MiB: %+v", mib, l)
		}
	}
}

// watchIn returns the parts of an ndmon that watches, with the directory data.
func watchIn(t *testing.T, data string, log *bytes.Buffer) *parts {
	p := &parts{
		cfg: Config{Data: data}, server: new(natsServer), ended: make(chan error, 1),
		deps: Deps{Log: slog.New(slog.NewTextHandler(log, nil))},
	}
	p.watch(t.Context())
	return p
}

// endWatching ends in order.
func (p *parts) endWatching() {
	p.keeper.stop()
	p.watching.end()
}

// kill ends the parts as if ndmon were killed.
func (p *parts) kill() {
	for _, part := range p.running {
		part.stop()
	}
}

func TestWatching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), new(bytes.Buffer)
		next := func(what string, want time.Time) *parts {
			t.Helper()
			p := watchIn(t, dir, log)
			if before := p.watching.before; !before.Equal(want) {
				t.Errorf("after %s, the next knows that it watched until %v, want %v", what, before, want)
			}
			return p
		}
		p := next("nothing", time.Time{})
		passed := false
		p.watching.started(func() { passed = true })()
		killed := time.Now().Add(5 * time.Second)
		time.Sleep(5500 * time.Millisecond)
		synctest.Wait()
		p.kill()
		if !passed {
			t.Error("the start was not passed on")
		}

		time.Sleep(time.Hour)
		p = next("a kill", killed)
		time.Sleep(time.Hour)
		p.kill()
		p = next("a kill before it watched", killed)
		p.endWatching()
		p = next("an end before it watched", killed)
		p.watching.started(nil)()
		p.endWatching()
		p = next("an end in order", time.Time{})
		p.endWatching()
		if log.Len() > 0 {
			t.Error(log)
		}
	})
}

// A disk that fails is a line in the log, and no more.
func TestWatchingOnABadDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "a file")
		must(t, os.WriteFile(dir, nil, 0o600))
		log := new(bytes.Buffer)
		p := watchIn(t, dir, log)
		p.watching.started(nil)()
		time.Sleep(time.Minute)
		p.endWatching()
		if n := strings.Count(log.String(), "may not know when that was"); n != 1 || strings.Count(log.String(), "\n") != 3 {
			t.Errorf("%d warnings:\n%s", n, log)
		}
	})
}

// There is no file where nothing is watched for alerts, or the server is another's.
func TestWatchingNothing(t *testing.T) {
	for name, edit := range map[string]func(*parts){
		"no directory":   func(p *parts) { p.cfg.Data = "" },
		"another server": func(p *parts) { p.server = nil },
		"learning":       func(p *parts) { p.cfg.Learn = time.Hour },
		"files":          func(p *parts) { p.cfg.Files = []string{"a.pcap"} },
	} {
		t.Run(name, func(t *testing.T) {
			p := &parts{cfg: Config{Data: t.TempDir()}, server: new(natsServer), deps: Deps{Log: slog.New(slog.DiscardHandler)}}
			edit(p)
			p.watch(t.Context())
			p.watching.started(nil)()
			if len(p.running) > 0 || p.keeper != nil {
				t.Error("a file is kept")
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
