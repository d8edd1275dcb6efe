package advert

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"
)

// bench is a Relayer without a kernel, with masters m0 and m1 and slaves s1 and s2.
type bench struct {
	*Relayer
	t       *testing.T
	log     strings.Builder
	now     time.Time
	ports   atomic.Pointer[port.Set]
	err     error
	sent    []string
	results []string
	frames  []advertisement
	count   int
}

// The routers on the masters' links.
var routerA, routerB = netip.MustParseAddr("fe80::a"), netip.MustParseAddr("fe80::b")

func newBench(t *testing.T) *bench {
	b := &bench{t: t, now: time.Unix(1e9, 0)}
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{})
	newPort := func(i int, name string) *port.Port {
		return &port.Port{Name: name, Index: i, ND: true, Master: name[0] == 'm', MAC: schemas.MAC{2, 0, 0, 0, 0, byte(i)},
			Source: netip.MustParseAddr(fmt.Sprintf("fe80::%d", i)), Counters: &port.Counters{RouterSolicitations: counter, RouterAdvertisements: counter}}
	}
	set := &port.Set{Masters: []*port.Port{newPort(1, "m0"), newPort(2, "m1")}, Slaves: []*port.Port{newPort(3, "s1"), newPort(4, "s2")}}
	b.ports.Store(set)
	b.Relayer = New(Deps{
		Host: "r1", Log: slog.New(slog.NewTextHandler(&b.log, nil)), Metrics: NewMetrics(registry), Ports: &b.ports, Now: func() time.Time { return b.now },
		Send: func(on *port.Port, to netip.Addr, toMAC schemas.MAC, message []byte) error {
			if b.err != nil {
				return b.err
			}
			what := "RS"
			if message[0] == 134 {
				a := advertisement(message)
				what = fmt.Sprint(uint32(a.lifetime() / time.Second))
				if !a.proxied() || string(a[len(a)-6:]) != string(on.MAC[:]) {
					t.Errorf("sent % x", a)
				}
				b.frames = append(b.frames, a)
			}
			b.sent = append(b.sent, fmt.Sprintf("%s %s %v %v", on.Name, what, to, toMAC))
			return nil
		},
		Report: func(r schemas.Result) {
			b.results = append(b.results, fmt.Sprint(r.Slave, " ", r.Status, " ", r.Reason))
		},
	})
	b.Changed(nil)
	return b
}

// message makes an advertisement with a prefix and a checksum.
func message(lifetime uint16, flags byte, checksum uint16) advertisement {
	a := make(advertisement, headLen, headLen+40)
	a[0], a[flagsAt] = 134, flags
	binary.BigEndian.PutUint16(a[2:], checksum)
	binary.BigEndian.PutUint16(a[lifetimeAt:], lifetime)
	a = append(a, 3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x07, 0x08, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8)
	a = append(a, make([]byte, 12)...)
	return append(a, 1, 1, 2, 0, 0, 0, 0, 0xaa)
}

// hear has an advertisement come in on a port.
func (b *bench) hear(on string, source netip.Addr, m advertisement) {
	b.Received(b.ports.Load().Named(on), wire.RouterAdvertisement{Source: source, Ethernet: schemas.MAC{2, 0, 0, 0, 0, 0xaa}, Message: m})
}

// approve gives the command for an advertisement.
func (b *bench) approve(on string, source netip.Addr, checksum uint16) {
	b.command(schemas.RouterMessage{Host: "r1", Interface: on, Message: schemas.RouterAdvertisement, Source: source, Ethernet: schemas.MAC{2, 0, 0, 0, 0, 0xaa}, Checksum: checksum})
}

func (b *bench) command(m schemas.RouterMessage) {
	b.count++
	b.Relay(&schemas.Relay{ID: fmt.Sprint(b.count), Expires: b.now.Add(3 * time.Second), Target: m.Group(), Router: &m})
}

// relays hears and approves an advertisement.
func (b *bench) relays(on string, source netip.Addr, lifetime uint16) {
	b.hear(on, source, message(lifetime, 0, lifetime))
	b.approve(on, source, lifetime)
}

// solicits has a host behind slave 1 solicit.
func (b *bench) solicits(source string) {
	b.command(schemas.RouterMessage{Host: "r1", Interface: "s1", Message: schemas.RouterSolicitation, Source: netip.MustParseAddr(source), Ethernet: schemas.MAC{2, 9}})
}

// advance puts the clock forward, second by second.
func (b *bench) advance(d time.Duration) {
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(time.Second)
		b.tick()
	}
}

// expect checks what was sent since the last call, and the results.
func (b *bench) expect(sent []string, results ...string) {
	b.t.Helper()
	if diff := cmp.Diff(sent, b.sent); diff != "" {
		b.t.Errorf("sent (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(results, b.results); diff != "" {
		b.t.Errorf("results (-want +got):\n%s", diff)
	}
	b.sent, b.results, b.frames = nil, nil, nil
}

// all returns what goes to all hosts of both slaves.
func all(lifetime int) []string {
	return []string{fmt.Sprintf("s1 %d ff02::1 33:33:00:00:00:01", lifetime), fmt.Sprintf("s2 %d ff02::1 33:33:00:00:00:01", lifetime)}
}

const both1, both2 = "s1 relayed ", "s2 relayed "

func TestMessageAndCommandMeetInEitherOrder(t *testing.T) {
	b := newBench(t)
	b.hear("m0", routerA, message(1800, 0, 7))
	b.expect(nil)
	b.approve("m0", routerA, 7)
	b.expect(all(1800), both1, both2)
	b.approve("m1", routerB, 8)
	b.expect(nil)
	b.hear("m0", routerB, message(900, 0, 8)) // not the same master
	b.hear("m1", routerA, message(900, 0, 8)) // nor router
	b.expect(nil)
	b.hear("m1", routerB, message(900, 0, 8))
	b.expect(all(1800), both1, both2) // the longest lifetime

	// What is not received is not relayed, and what is not approved either.
	b.approve("m0", routerA, 9)
	b.advance(4 * time.Second)
	b.hear("m0", routerA, message(1800, 0, 9))
	b.advance(11 * time.Second)
	b.expect(nil, " error expired")
	b.approve("m0", routerA, 9)
	b.advance(4 * time.Second)
	b.expect(nil, " error expired")

	// A forged message with the checksum of the genuine one.
	b.hear("m0", routerA, message(1800, 0, 10))
	b.hear("m0", routerA, message(1799, 0, 10))
	b.approve("m0", routerA, 10)
	b.expect(nil, " error refused")

	// Commands that do not fit.
	for _, m := range []schemas.RouterMessage{
		{Host: "r2", Interface: "m0", Message: schemas.RouterAdvertisement, Source: routerA},
		{Host: "r1", Interface: "s1", Message: schemas.RouterAdvertisement, Source: routerA},
		{Host: "r1", Interface: "m0", Message: schemas.RouterSolicitation, Source: routerA},
		{Host: "r1", Interface: "s9", Message: schemas.RouterSolicitation, Source: routerA},
	} {
		b.command(m)
		b.expect(nil, " error refused")
	}
}

func TestSolicitationIsAnsweredAndPassedOn(t *testing.T) {
	b := newBench(t)
	masters := []string{"m0 RS ff02::2 33:33:00:00:00:02", "m1 RS ff02::2 33:33:00:00:00:02"}
	b.solicits("fe80::9")
	b.expect(masters, both1)
	b.solicits("fe80::9")
	b.expect(nil, both1) // once a second
	b.relays("m0", routerA, 1800)
	b.expect(all(1800), both1, both2)
	b.advance(100 * time.Second)
	b.sent = nil // m1, where no router has answered, is solicited again
	b.solicits("fe80::9")
	if got, want := lifetimes(b.frames[0]), [][]uint32{{1700}, {3, 3500, 1700}}; !cmp.Equal(got, want) {
		t.Errorf("lifetimes are %v, want %v", got, want)
	}
	b.expect(append([]string{"s1 1700 fe80::9 02:09:00:00:00:00"}, masters...), both1)
	b.solicits("::")
	b.expect([]string{"s1 1700 ff02::1 02:09:00:00:00:00"}, both1)
	b.solicits("ff02::1")
	b.expect(nil, "s1 error refused")
	for range perSecond {
		b.solicits("fe80::9")
	}
	if last := b.results[len(b.results)-1]; last != "s1 suppressed over_budget" {
		t.Errorf("a flood ends with %q", last)
	}
}

func TestMulticastRate(t *testing.T) {
	b := newBench(t)
	b.relays("m0", routerA, 1800)
	b.expect(all(1800), both1, both2)
	b.now = b.now.Add(time.Second)
	b.relays("m0", routerA, 1800)
	b.expect(nil, "s1 suppressed held_down", "s2 suppressed held_down")
	b.relays("m0", routerA, 1801) // other content
	b.expect(all(1801), both1, both2)
	b.now = b.now.Add(minDelay)
	b.relays("m0", routerA, 1801)
	b.expect(all(1801), both1, both2)
	// A flood is bounded, and what it ended with is sent when it may be.
	for i := range perSecond {
		b.relays("m0", routerA, uint16(2000+i))
	}
	b.sent, b.results = nil, nil
	b.advance(time.Second)
	b.expect(all(2000 + perSecond - 1 - 1)) // a second older
}

func TestRoutersAreOneForTheHosts(t *testing.T) {
	b := newBench(t)
	b.relays("m0", routerA, 1800)
	b.relays("m1", routerB, 600)
	b.expect(append(all(1800), all(1800)...), both1, both2, both1, both2)
	b.advance(100 * time.Second)
	b.relays("m0", routerA, 0)
	b.expect(all(500), both1, both2) // what the other one has left
	b.relays("m1", routerB, 0)
	b.expect(all(0), both1, both2)
}

func TestMasterGone(t *testing.T) {
	b := newBench(t)
	b.relays("m0", routerA, 1800)
	b.relays("m1", routerB, 600)
	b.sent, b.results = nil, nil
	use := func(i int, why string) {
		set := *b.ports.Load()
		m := *set.Masters[i]
		m.Why = why
		set.Masters = append([]*port.Port(nil), set.Masters...)
		set.Masters[i] = &m
		b.ports.Store(&set)
		if why == "" {
			b.Changed([]*port.Port{&m})
		} else {
			b.Changed(nil)
		}
	}
	use(0, "is down")
	b.advance(gone - time.Second)
	use(0, "")
	b.expect([]string{"m0 RS ff02::2 33:33:00:00:00:02"})
	b.advance(gone)
	b.expect(nil)
	use(0, "is down")
	b.advance(gone)
	b.expect(all(600 - 14))
	use(1, "is down")
	b.advance(gone)
	b.expect(all(0))
}

func TestStopAndPortsThatComeUp(t *testing.T) {
	b := newBench(t)
	set := b.ports.Load()
	b.Changed(set.Masters[:1])
	b.advance(20 * time.Second)
	rs := "m0 RS ff02::2 33:33:00:00:00:02"
	b.expect([]string{rs, rs, rs, rs}) // RFC 4861, section 6.3.7
	b.relays("m0", routerA, 1800)
	b.sent, b.results = nil, nil
	b.Changed(set.Slaves[1:])
	b.expect(all(1800)[1:])
	b.stop()
	b.expect(all(0))
	b.stop()
	b.expect(nil)
}

func TestLoops(t *testing.T) {
	b := newBench(t)
	b.relays("m0", routerA, 1800)
	b.sent, b.results = nil, nil
	// Another proxy behind slave 2: nothing more goes there for an hour.
	b.hear("s2", routerB, message(1800, flagProxy, 5))
	b.relays("m0", routerA, 1801)
	b.expect(all(1801)[:1], both1, "s2 error refused")
	b.now = b.now.Add(loopTime / 2)
	b.hear("s2", routerB, message(1800, flagProxy, 5))
	b.now = b.now.Add(loopTime - time.Second)
	b.relays("m0", routerA, 1802)
	b.expect(all(1802)[:1], both1, "s2 error refused")
	b.now = b.now.Add(time.Second)
	b.relays("m0", routerA, 1803)
	b.expect(all(1803), both1, both2)

	// A proxy next to the router upstream, and one alone: a chain.
	b.hear("m0", routerB, message(1800, flagProxy, 6))
	b.approve("m0", routerB, 6)
	b.expect(nil, " error refused")
	b.hear("m1", routerB, message(900, flagProxy, 6))
	b.approve("m1", routerB, 6)
	b.expect(all(1803), both1, both2)
	b.relays("m1", routerA, 700)
	b.expect(all(1803), both1, both2)
	if _, ok := b.routers[routerKey{"m1", routerB}]; ok {
		t.Error("the proxy is still relayed next to a router")
	}

	// Own frames that come back, and another router, which is logged once.
	b.hear("s2", netip.MustParseAddr("fe80::1:1"), message(1800, 0, 5))
	b.hear("s2", netip.MustParseAddr("fe80::1:1"), message(1800, 0, 5))
	b.Received(b.ports.Load().Named("s1"), wire.RouterAdvertisement{Source: routerA, Ethernet: schemas.MAC{2, 0, 0, 0, 0, 4}, Message: message(9, flagProxy, 1)})
	b.now = b.now.Add(minDelay)
	b.relays("m0", routerA, 1803)
	b.expect(all(1803), both1, both2)
	if n := strings.Count(b.log.String(), "another router advertises itself"); n != 1 {
		t.Errorf("another router is logged %d times", n)
	}
}

func TestWhatCannotBeSent(t *testing.T) {
	b := newBench(t)
	b.err = unix.EMSGSIZE
	b.ports.Load().Slaves[1].Why = "is down"
	b.relays("m0", routerA, 1800)
	b.expect(nil, "s1 error not_sent", "s2 error slave_down")
	b.err = nil
	b.ports.Load().Slaves[0].Source = netip.MustParseAddr("2001:db8::1")
	b.relays("m0", routerA, 1800)
	b.expect(nil, "s1 error refused", "s2 error slave_down")
}

// A flood of advertisements of others displaces none of a known router.
func TestFloodIsBounded(t *testing.T) {
	b := newBench(t)
	b.relays("m0", routerA, 1800)
	b.hear("m0", routerA, message(1900, 0, 1900))
	for i := range 10 * maxHeld {
		b.hear("m0", netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(i >> 8), 15: byte(i)}), message(1, 0, 1))
		b.approve("m0", routerB, uint16(i))
	}
	if h, a := len(b.meeting.held), len(b.meeting.approvals); h > maxHeld || a > maxApprovals || testutil.ToFloat64(b.Metrics.dropped) == 0 {
		t.Errorf("%d advertisements and %d commands wait", h, a)
	}
	b.sent, b.results = nil, nil
	b.approve("m0", routerA, 1900)
	b.expect(all(1900), both1, both2)
	for i := range 2 * maxRouters {
		b.relays("m0", netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: byte(i)}), uint16(100+i))
	}
	if n := len(b.routers); n > maxRouters {
		t.Errorf("%d routers are kept", n)
	}
}
