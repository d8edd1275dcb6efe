package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// fakeSender records echoes, or refuses them.
type fakeSender struct {
	err  error
	sent []wire.EchoReply // what a reply would be
}

func (f *fakeSender) send(target netip.Addr, seq uint16, cookie uint64) error {
	if f.err == nil {
		f.sent = append(f.sent, wire.EchoReply{From: target, Seq: seq, Cookie: cookie})
	}
	return f.err
}

// bench is a prober without a kernel, in a synctest bubble.
type bench struct {
	*Prober
	t         *testing.T
	senders   []*fakeSender
	slaves    []*port.Port
	ports     atomic.Pointer[port.Set]
	resultsMu sync.Mutex
	results   []schemas.Result
	reachable bool // and mac is what the kernel has for every neighbour
	mac       *schemas.MAC
	repairs   int
}

func (b *bench) Neighbour(netip.Addr, int) (bool, *schemas.MAC, error) {
	return b.reachable, b.mac, nil
}
func (b *bench) TableSize() (entries, most int, err error) { return 10, 1024, nil }
func (b *bench) PrecedingRules() string                    { return "none" }

func (b *bench) publish(_ string, data []byte) error {
	var r schemas.Result
	if err := json.Unmarshal(data, &r); err != nil {
		b.t.Error(err)
	}
	b.resultsMu.Lock()
	defer b.resultsMu.Unlock()
	b.results = append(b.results, r)
	return nil
}

// nowhere records no locations.
type nowhere struct{ Locations }

func (nowhere) Locate(netip.Addr) (at port.Location, ok bool)                      { return at, false }
func (nowhere) Found(netip.Addr, port.Location, []port.Requester, func(bool)) bool { return false }
func (nowhere) Confirm(netip.Addr, port.Location, bool)                            {}
func (nowhere) Tunnelled(netip.Addr, *port.Port) bool                              { return false }
func (nowhere) Silent(netip.Addr)                                                  {}

// somewhere has a location of every target while located is set.
type somewhere struct {
	nowhere
	located atomic.Bool
}

func (s *somewhere) Locate(netip.Addr) (at port.Location, ok bool) { return at, s.located.Load() }

// newBench makes a prober with slaves s1 to sN.
func newBench(t *testing.T, cfg Config, n int) *bench {
	t.Helper()
	b := &bench{t: t}
	var names []string
	var links []iface.Link
	for i := range n {
		names = append(names, fmt.Sprintf("s%d", i+1))
		links = append(links, iface.Link{Name: names[i], Index: i + 10, Flags: unix.IFF_UP | unix.IFF_RUNNING,
			Addresses: []iface.Address{{Prefix: netip.MustParsePrefix("fe80::1/64")}}})
	}
	patterns, err := iface.ParsePatterns(names)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	b.setPorts(port.NewSet(patterns, nil, links, port.NewMetrics(registry)).Slaves...)
	for _, p := range b.slaves {
		f := &fakeSender{}
		p.Echo, b.senders = f.send, append(b.senders, f)
	}
	cfg.Host = "r1"
	b.Prober = New(cfg, Deps{Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(registry), Ports: &b.ports, Kernel: b, Locations: nowhere{}, Publish: b.publish,
		Repair: func() { b.repairs++ }})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); b.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return b
}

func (b *bench) setPorts(slaves ...*port.Port) {
	b.slaves = slaves
	b.ports.Store(&port.Set{Slaves: slaves})
}

// relayCommand makes a command for host r1.
func relayCommand(id, target string) schemas.Relay {
	now := time.Now().UTC()
	return schemas.Relay{
		Type: schemas.TypeRelay, ID: id, Time: now, Expires: now.Add(5 * time.Second), Host: "r1",
		Target: netip.MustParseAddr(target), Rule: "relay", Event: "e1",
	}
}

func (b *bench) command(id, target string) { b.commandWith(id, target, func(*schemas.Relay) {}) }

func (b *bench) commandWith(id, target string, change func(*schemas.Relay)) {
	cmd := relayCommand(id, target)
	change(&cmd)
	data, err := json.Marshal(cmd)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Handle(data)
}

// advance puts the bubble's clock forward.
func advance(d time.Duration) { <-time.After(d) }

// take returns the results since the last call, as short strings.
func (b *bench) take() []string {
	synctest.Wait()
	b.resultsMu.Lock()
	defer b.resultsMu.Unlock()
	var got []string
	for _, r := range b.results {
		s := fmt.Sprintf("%s %s %s", r.Relay, r.Slave, r.Status)
		if r.RTT != "" {
			s += " " + r.RTT
		}
		if r.Ethernet != nil {
			s += " " + r.Ethernet.String()
		}
		if r.Proxied {
			s += " proxied"
		}
		if r.Reason != "" {
			s += " " + string(r.Reason)
		}
		got = append(got, s)
	}
	b.results = nil
	return got
}

func (b *bench) expect(want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.take()); diff != "" {
		b.t.Errorf("results (-want +got):\n%s", diff)
	}
}

var benchConfig = Config{Rate: 10, HoldDown: 3 * time.Second, Timeout: 2 * time.Second}
