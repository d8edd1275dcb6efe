package bench

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/wire"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// relayed are addresses of a host behind slave 2. No host has those in warming.
var (
	relayed = netip.MustParsePrefix("2001:db8:5:0:3::/96")
	warming = netip.MustParsePrefix("2001:db8:5:0:4::/96")
)

// kept is how long the entries of a target stay in the kernel's neighbour table,
// which by default holds 1,024 entries of all namespaces together. It is less than
// 1 s, after which the kernel solicits again (RFC 4861, section 10, RETRANS_TIMER).
const kept = 400 * time.Millisecond

// relaying is a router whose kernel solicits on the master.
type relaying struct {
	*system
	router                 *lab.Router
	master, slave1, slave2 *wire.Tap
	socket                 *net.UDPConn
	links                  []int
	asked                  []asked // whose entries are in the neighbour table
}

type asked struct {
	target netip.Addr
	at     time.Time
}

func relay(r *run)      { r.relayLatency((*run).together, figure.Below(100e-6), figure.Below(500e-6)) }
func relayApart(r *run) { r.relayLatency((*run).apart, nil, nil) }

func (r *run) relayLatency(start func(*run, *lab.Namespace, job) *system, median, p99 *figure.Target) {
	r.Helper()
	count := int(float64(r.rate) * r.Duration.Seconds())
	if count < 1 {
		r.Fatalf("less than one solicitation to send: the rate or the duration is too small")
	}
	router := lab.NewRouter(r)
	for n := range uint32(count) {
		router.Host2.Address("eth0", wire.Numbered(relayed, n).String()+"/128")
	}
	l := &relaying{router: router, master: wire.NewTap(r, router.Namespace, lab.Master),
		slave1: wire.NewTap(r, router.Namespace, lab.Slave1), slave2: wire.NewTap(r, router.Namespace, lab.Slave2)}
	for _, name := range []string{lab.Master, lab.Slave1, lab.Slave2} {
		l.links = append(l.links, router.Link(name).Attrs().Index)
	}
	l.system = start(r, router.Namespace, job{master: lab.Master, slaves: lab.Slave1 + "," + lab.Slave2,
		// A target is solicited three times on the slave that it is not behind, and
		// one requester may cause half of all probes.
		env: []string{"PINGER_RATE=" + strconv.Itoa(min(max(2000, 16*r.rate), 10_000))}})
	var err error
	router.Do(func() { l.socket, err = net.ListenUDP("udp6", nil) })
	r.must(err, "open a socket")
	r.Cleanup(func() { l.socket.Close() })

	l.warm()
	begin := r.usage()
	l.solicit(count)
	cpu := r.usage().cpu - begin.cpu
	l.figures(count, cpu, median, p99)
	begin.addOthers()
	l.stop()
}

// warm waits until solicitations are relayed.
func (l *relaying) warm() {
	l.Helper()
	n := uint32(0)
	l.eventually("a solicitation on the master leads to one on the slaves", func() bool {
		l.ask(wire.Numbered(warming, n))
		n++
		l.pause(20 * time.Millisecond)
		l.tidy()
		return len(l.slave1.First) > 0 && len(l.slave2.First) > 0
	})
	l.pause(time.Second) // until the pinger's budget, which is per second, is full
	l.tidy()
}

// solicit has the kernel solicit for targets 0 to count at the run's rate.
func (l *relaying) solicit(count int) {
	l.Helper()
	begin := time.Now()
	for n := range count {
		due := begin.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
		time.Sleep(time.Until(due))
		l.ask(wire.Numbered(relayed, uint32(n)))
		// In the middle between two solicitations nothing is measured.
		time.Sleep(time.Until(due.Add(time.Second / time.Duration(2*l.rate))))
		l.tidy()
		l.alive()
	}
	for len(l.asked) > 0 {
		l.pause(wire.Tick)
		l.tidy()
	}
}

// ask makes the kernel solicit a target by sending to it. It waits while the
// neighbour table, which other programs use too, is full.
func (l *relaying) ask(target netip.Addr) {
	l.Helper()
	const discard = 9
	l.eventually("the kernel's neighbour table has a free entry (net.ipv6.neigh.default.gc_thresh3, for all namespaces together)", func() bool {
		_, err := l.socket.WriteToUDPAddrPort([]byte("?"), netip.AddrPortFrom(target, discard))
		full := errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOBUFS)
		if !full {
			l.must(err, "send to "+target.String())
		}
		return !full
	})
	l.asked = append(l.asked, asked{target, time.Now()})
}

// tidy reads the taps, and deletes old entries from the neighbour table.
func (l *relaying) tidy() {
	l.Helper()
	for len(l.asked) > 0 && time.Since(l.asked[0].at) > kept {
		for _, link := range l.links {
			// It may be gone.
			l.router.Netlink.NeighDel(&netlink.Neigh{LinkIndex: link, Family: unix.AF_INET6, IP: l.asked[0].target.AsSlice()})
		}
		l.asked = l.asked[1:]
	}
	for _, t := range []*wire.Tap{l.master, l.slave1, l.slave2} {
		l.must(t.Read(), "see the solicitations")
	}
}

func (l *relaying) figures(count int, cpu time.Duration, median, p99 *figure.Target) {
	l.Helper()
	var first, both []time.Duration
	solicited := 0
	for n := range uint32(count) {
		target := wire.Numbered(relayed, n)
		in, ok := l.master.First[target]
		if !ok {
			continue
		}
		solicited++
		out1, ok1 := l.slave1.First[target]
		out2, ok2 := l.slave2.First[target]
		if !ok1 || !ok2 {
			continue
		}
		if out2.Before(out1) {
			out1, out2 = out2, out1
		}
		first, both = append(first, out1.Sub(in)), append(both, out2.Sub(in))
	}
	l.add(figure.Figure{Name: "solicitations on the master", Value: float64(solicited), Unit: figure.Count, Target: figure.Exactly(float64(count))})
	l.add(figure.Figure{Name: "not relayed to both slaves", Value: float64(solicited - len(both)), Unit: figure.Count, Target: figure.Exactly(0)})
	l.spread("master to first slave", first, median, p99)
	l.spread("master to both slaves", both, nil, nil)
	l.add(figure.Figure{Name: fmt.Sprintf("processor time a solicitation at %d/s", l.rate), Value: cpu.Seconds() / float64(count), Unit: figure.Seconds})
}
