package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"golang.org/x/sys/unix"
)

// fault is a signal to one of the processes of a kind.
type fault struct {
	kind   string
	signal syscall.Signal
}

func (x fault) String() string { return unix.SignalName(x.signal) + " of " + x.kind }

// happen sends the signal to process n. Restore continues it, or starts it again.
func (f *thinFleet) happen(x fault, n int) (restore func()) {
	f.Helper()
	p := f.take(x.kind, n)
	p.Signal(x.signal)
	return func() {
		switch {
		case x.signal == syscall.SIGSTOP:
			p.Signal(syscall.SIGCONT)
			f.parts = append(f.parts, p)
		case x.kind == ndRuled:
			p.Wait()
			f.evaluate(n)
		default:
			p.Wait()
			f.serve(n)
		}
	}
}

// What an nd-ruled logs when its share changes.
const (
	readsEvents = "reading events"
	members     = " members="
)

// settled waits until the servers have all replicas, and nd-ruled their shares.
func (f *thinFleet) settled() {
	f.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: f.at.DialContext, DisableKeepAlives: true}}
	for n := range f.Servers {
		f.eventually("nats-server is healthy", func() bool {
			answer, err := client.Get("http://" + address(n, status) + "/healthz")
			if err == nil {
				answer.Body.Close()
			}
			return err == nil && answer.StatusCode == http.StatusOK
		})
	}
	for n := range f.Ruled {
		p := f.take(ndRuled, n)
		f.parts = append(f.parts, p)
		f.eventually("nd-ruled has its share", func() bool {
			log := p.Stderr.String()
			last := log[strings.LastIndex(log, readsEvents):]
			return !strings.Contains(last, members) || strings.Contains(last, fmt.Sprint(members, f.Ruled, "\n"))
		})
	}
}

// watch has the newest number of an alert of each host that came.
type watch struct {
	*thinFleet
	js     jetstream.JetStream
	mu     sync.Mutex
	newest map[string]int64
}

func (f *thinFleet) watch() *watch {
	f.Helper()
	w := &watch{thinFleet: f, newest: map[string]int64{}, js: f.connect(f.key(keys.Admin, "")).JetStream()}
	_, err := f.connect(f.key(keys.Viewer, "")).Subscribe(schemas.SubjectAlerts, func(_ string, data []byte) {
		if host, n, ok := numberOf(data); ok {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.newest[host] = max(n, w.newest[host])
		}
	})
	f.must(err, "subscribe to the alerts")
	return w
}

// numberOf returns which host an alert is about, and which of its frames, counted from 1.
func numberOf(data []byte) (host string, n int64, ok bool) {
	var alert struct{ Host string }
	number, ok := alerted(data)
	ok = ok && json.Unmarshal(data, &alert) == nil
	return alert.Host, int64(number) + 1, ok
}

// next returns a function that reports whether an alert of each host has come that is more
// than so many frames newer than its last one now.
func (w *watch) next(more int64) func() bool {
	var numbers []int64
	for _, h := range w.hosts {
		numbers = append(numbers, h.numbered.Load()+more)
	}
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, h := range w.hosts {
			if w.newest[h.name] < numbers[i] {
				return false
			}
		}
		return true
	}
}

// fleetTakeover measures how long alerts are missing after faults, in some rounds of each.
func fleetTakeover(f *thinFleet) {
	f.join(len(f.hosts), len(f.hosts))
	f.watch().takeovers((*simulated).number, fault{ndRuled, syscall.SIGKILL}, fault{ndRuled, syscall.SIGSTOP}, fault{natsServer, syscall.SIGTERM}, fault{natsServer, syscall.SIGKILL})
}

func (w *watch) takeovers(send func(*simulated), faults ...fault) {
	f := w.thinFleet
	f.Helper()
	end := f.during(f.rate, send)
	for _, x := range faults {
		processes := map[string]int{ndRuled: f.Ruled, natsServer: f.Servers}[x.kind]
		var took []time.Duration
		for round := range max(1, int(2*f.Duration.Seconds())) {
			f.settled()
			f.eventually("alerts of each host come", w.next(1))
			start := time.Now()
			restore := f.happen(x, round%processes)
			again := w.next(1)
			if processes == 1 {
				restore()
			}
			f.eventually("alerts of each host come after "+x.String(), again)
			took = append(took, time.Since(start))
			if processes > 1 {
				restore()
			}
		}
		f.spread("alerts of each host again after "+x.String(), took, nil, figure.Below(5))
	}
	f.settled()
	end()
	f.until(patience, w.next(0))
	f.addNumbers(w.js)
	f.stop()
}

// addNumbers reports whether ND_ALERTS has each alert of each host once, in order.
func (f *thinFleet) addNumbers(js jetstream.JetStream) {
	f.Helper()
	var again, late, sent int64
	var seen map[string]bool
	f.eventually("the alerts are read", func() bool {
		stream, err := js.Stream(f.ctx, schemas.StreamAlerts)
		if err != nil {
			return false
		}
		again, late, seen = 0, 0, map[string]bool{}
		newest := map[string]int64{}
		return bus.ReadStored(f.ctx, stream, 1, false, func(m jetstream.Msg, _ uint64) {
			host, n, ok := numberOf(m.Data())
			switch key := fmt.Sprint(host, " ", n); {
			case !ok:
				return
			case seen[key]:
				again++
			case n < newest[host]:
				late++
				fallthrough
			default:
				seen[key], newest[host] = true, n
			}
		}) == nil
	})
	for _, h := range f.hosts {
		sent += h.numbered.Load()
	}
	f.add(figure.Figure{Name: "alerts sent", Value: float64(sent), Unit: figure.Count})
	f.add(figure.Figure{Name: "alerts missing", Value: float64(sent - int64(len(seen))), Unit: figure.Count, Target: figure.Exactly(0)})
	f.add(figure.Figure{Name: "alerts stored again", Value: float64(again), Unit: figure.Count, Target: figure.Exactly(0)})
	f.add(figure.Figure{Name: "alerts out of order", Value: float64(late), Unit: figure.Count, Target: figure.Exactly(0)})
}
