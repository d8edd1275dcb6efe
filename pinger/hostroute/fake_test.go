package hostroute

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/pinger/notice"
	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/probe"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// world has a prober and a keeper, in a synctest bubble, and is the rest: the kernel,
// the hosts behind the ports, and the subscriber of the results.
type world struct {
	t       *testing.T
	prober  *probe.Prober
	keeper  *Keeper
	s1, s2  *port.Port // slaves
	m0      *port.Port // the master
	ports   atomic.Pointer[port.Set]
	mu      sync.Mutex
	hosts   map[string]schemas.MAC // by "target port"
	stale   bool                   // answers come without Override, as another relay's
	deaf    bool                   // multicast reaches no host
	prefix  netip.Prefix           // on-link at the masters
	routes  map[netip.Addr]int
	heard   map[string]*schemas.MAC // what the kernel has, by "target index"
	broken  error                   // of SetRoute
	sent    []string
	results []string
	// conflicts that were reported.
	conflicts []string
	waits     bool         // packets wait for any target
	resent    []string     // targets whose packets are routed again
	peers     netip.Prefix // of the tunnel tun0 (12), if it is valid
	quick     bool         // hosts answer Verify before the keeper goes on
	unrouted  bool         // no route leads to the peers, as with systemd-networkd
}

// LinkOf returns m0 for the prefix, unless there is a host route.
func (w *world) LinkOf(target netip.Addr) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.routes[target]; ok || !w.prefix.Contains(target) {
		return 0, nil
	}
	return 50, nil
}

func (w *world) OnLink(target netip.Addr, index int) (bool, error) {
	return index >= 50 && w.prefix.Contains(target), nil
}

func (w *world) Leads(target netip.Addr, tunnel, onLink int) (peer, routed bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	peer = tunnel == 12 && onLink >= 50 && w.prefix.Contains(target) && w.peers.Contains(target)
	return peer, peer && !w.unrouted, nil
}

func (w *world) SetRoute(target netip.Addr, index int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		w.routes[target] = index
	}
	return w.broken
}

func (w *world) RemoveRoute(target netip.Addr, index int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.routes[target] == index {
		delete(w.routes, target)
	}
	return nil
}

func (w *world) Resend(target netip.Addr, master int, from []*iface.Link) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resent = append(w.resent, fmt.Sprintf("%v on %d from %d, route via %d", target, master, len(from), w.routes[target]))
	return w.waits, nil
}

func (w *world) Neighbour(target netip.Addr, index int) (reachable bool, mac *schemas.MAC, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return false, w.heard[fmt.Sprint(target, " ", index)], nil
}

func (w *world) TableSize() (entries, most int, err error) { return 10, 1024, nil }

func (w *world) PrecedingRules() string { return "none" }

func (w *world) Solicit(list []wire.Solicitation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range list {
		w.solicit(s.On, s.Target, s.At)
	}
}

// solicit has the host answer, if it is there, and at the Ethernet address.
func (w *world) solicit(on *port.Port, target netip.Addr, at *schemas.MAC) {
	w.sent = append(w.sent, fmt.Sprintf("%s? %v", on.Name, target))
	mac, ok := w.hosts[fmt.Sprint(target, " ", on.Name)]
	if !ok || at != nil && *at != mac || at == nil && w.deaf {
		return
	}
	a := wire.Advertisement{Target: target, Solicited: true, Override: at == nil && !w.stale, MAC: &mac, Ethernet: mac}
	if at != nil {
		a.MAC = nil // as Linux does
	}
	go w.prober.Advertised(on, a)
}

func (w *world) Advertise(to port.Requester, target netip.Addr, override bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if override {
		w.sent = append(w.sent, fmt.Sprintf("%s! %v to all", to.On.Name, target))
	} else {
		w.sent = append(w.sent, fmt.Sprintf("%s! %v to %v %v", to.On.Name, target, to.Addr, to.MAC))
	}
	return nil
}

func (w *world) conflict(target netip.Addr, at, other port.Location, tested bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := fmt.Sprintf("%v on %s %v and %s %v", target, at.On.Name, at.MAC, other.On.Name, other.MAC)
	if tested {
		s += " tested"
	}
	w.conflicts = append(w.conflicts, s)
}

func (w *world) publish(_ string, data []byte) error {
	var r schemas.Result
	if err := json.Unmarshal(data, &r); err != nil {
		w.t.Error(err)
	}
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
	w.mu.Lock()
	defer w.mu.Unlock()
	w.results = append(w.results, s)
	return nil
}

// place puts a host behind a port.
func (w *world) place(target, on string, last byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[target+" "+on] = schemas.MAC{2, 0, 0, 0, 0, last}
}

func (w *world) leave(target, on string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.hosts, target+" "+on)
}

// kept returns what the kernel has, as short strings.
func (w *world) kept() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for target, index := range w.routes {
		list = append(list, fmt.Sprintf("%v via %d", target, index))
	}
	slices.Sort(list)
	return list
}

// take returns what a list has got since the last call.
func (w *world) take(list *[]string) []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { *list = nil }()
	return *list
}

func (w *world) expect(what string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.kept()); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (w *world) expectSent(what string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.take(&w.sent)); diff != "" {
		w.t.Errorf("sent %s (-want +got):\n%s", what, diff)
	}
}

func (w *world) expectResults(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.take(&w.results)); diff != "" {
		w.t.Errorf("results (-want +got):\n%s", diff)
	}
}

// newWorld makes a prober with slaves s1 and s2 (10, 11) and a master m0 (50), and a
// keeper of host routes.
func newWorld(t *testing.T) *world { return newWorldWith(t, false) }

func newWorldWith(t *testing.T, dad bool) *world {
	w := &world{t: t, hosts: map[string]schemas.MAC{}, prefix: netip.MustParsePrefix("2001:db8::/64"),
		routes: map[netip.Addr]int{}, heard: map[string]*schemas.MAC{}}
	var links []iface.Link
	for name, index := range map[string]int{"s1": 10, "s2": 11, "m0": 50} {
		links = append(links, iface.Link{Name: name, Index: index, Type: "ether", MAC: schemas.MAC{2, 1, 0, 0, 0, byte(index)},
			Flags: unix.IFF_UP | unix.IFF_RUNNING, Addresses: []iface.Address{{Prefix: netip.MustParsePrefix("fe80::1/64")}}})
	}
	slaves, err := iface.ParsePatterns([]string{"s1", "s2"})
	if err != nil {
		t.Fatal(err)
	}
	masters, err := iface.ParsePatterns([]string{"m0"})
	if err != nil {
		t.Fatal(err)
	}
	registry, log := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	ports := port.NewSet(slaves, masters, links, port.NewMetrics(registry))
	w.s1, w.s2, w.m0 = ports.Named("s1"), ports.Named("s2"), ports.Named("m0")
	for _, p := range ports.All() {
		p.Echo = func(netip.Addr, uint16, uint64) error { return nil }
	}
	w.ports.Store(ports)
	w.keeper = New(Config{Route: true, Proxy: true, Verify: time.Second, Conflict: w.conflict}, w, &w.ports, NewMetrics(registry), notice.New(log, time.Now), log)
	w.prober = probe.New(probe.Config{Host: "r1", Rate: 1000, HoldDown: 3 * time.Second, Timeout: 3 * time.Second, Proxy: true, DAD: dad},
		probe.Deps{Log: log, Metrics: probe.NewMetrics(registry), Ports: &w.ports, ND: w, Kernel: w, Locations: w.keeper, Publish: w.publish})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { w.prober.Run(ctx); ended <- nil }()
	go func() { ended <- w.keeper.Run(ctx, quick{w.prober, w}) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if left := w.kept(); left != nil {
			t.Errorf("left behind: %v", left)
		}
	})
	return w
}

// quick is a prober that has hosts answer before the keeper goes on, if the world is quick.
type quick struct {
	*probe.Prober
	world *world
}

func (q quick) Verify(target netip.Addr, at port.Location) {
	q.Prober.Verify(target, at)
	if q.world.quick {
		time.Sleep(time.Nanosecond) // of the bubble's clock: it passes when all others wait
	}
}

// advance puts the bubble's clock forward.
func advance(d time.Duration) { <-time.After(d) }

const (
	roamer = "2001:db8::42"
	source = "2001:db8::ff"
	// linkLocal is a requester that has no host route.
	linkLocal = "fe80::1234"
)

// numbered makes an address of a number.
func numbered(i int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x:%x", i>>16, i&0xffff))
}

func (w *world) command(id, target string, change func(*schemas.Relay)) {
	now := time.Now().UTC()
	cmd := schemas.Relay{Type: schemas.TypeRelay, ID: id, Time: now, Expires: now.Add(5 * time.Second), Host: "r1", Target: netip.MustParseAddr(target)}
	change(&cmd)
	w.prober.Relay(&cmd)
}

func (w *world) commandNow(id, target string) {
	w.command(id, target, func(c *schemas.Relay) { c.Now = true })
}

// solicited is a command for a solicitation that came in.
func (w *world) solicited(id, target, on, from string) {
	w.command(id, target, func(c *schemas.Relay) {
		c.Solicitation = &schemas.Solicitation{Host: "r1", Interface: on, Direction: schemas.In,
			Source: netip.MustParseAddr(from), Ethernet: schemas.MAC{2, 0, 0, 0, 0, 0xff}}
	})
}

func (w *world) hint(target string, on *port.Port) { w.keeper.Hint(netip.MustParseAddr(target), on) }

var (
	behind1 = []string{roamer + " via 10"}
	behind2 = []string{roamer + " via 11"}
)
