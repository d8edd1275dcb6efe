package bench

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/wire"
	"github.com/ndmon/ndmon/deploy/lab"
	"golang.org/x/sys/unix"
)

// The targets of relayKnown are knownHosts addresses behind slave 2.
var known = netip.MustParsePrefix("2001:db8:5:0:5::/96")

const knownHosts = 64

// counted is the interval at which the metrics are read.
const counted = 50 * time.Millisecond

// relayKnown floods the master with solicitations for known targets.
func relayKnown(arriving bool) func(*run) {
	return func(r *run) {
		lab.ReserveNeighbours(r, 4*knownHosts)
		router := lab.NewRouter(r)
		targets, addresses := make([]netip.Addr, knownHosts), make([]string, knownHosts)
		for n := range targets {
			targets[n] = wire.Numbered(known, uint32(n))
			addresses[n] = targets[n].String() + "/128"
		}
		router.Host2.Address("eth0", addresses...)
		sender, _ := fromMaster(r, router, arriving)
		tap := wire.NewTap(r, router.Namespace, lab.Master, wire.Advertisements)
		s := r.relayOn(router, arriving, bothSlaves)
		fill := func(f *wire.Frame, n int) { f.Set(known, uint32(n%knownHosts)) }
		s.eventually("the targets are known", func() bool {
			_, err := sender.Flood(r.ctx, knownHosts, time.Second+wire.Tick, fill)
			r.must(err, "send solicitations")
			r.must(tap.Read(), "see the advertisements")
			found := 0
			for _, n := range router.Neighbours() {
				if n.Interface == lab.Slave2 && n.State == "REACHABLE" && known.Contains(n.Address) {
					found++
				}
			}
			return max(found, len(tap.First)) == len(targets)
		})
		s.pause(time.Second) // the budget is per second, and solicitations may be due

		answered := func() float64 { return float64(router.Link(lab.Master).Attrs().Statistics.TxPackets) }
		// The pinger's budget leaves some solicitations without an answer.
		done := answered
		if s.counts != nil {
			done = func() float64 { return s.counts().commands }
		}
		before, answers, begin := done(), answered(), r.usage()
		flood, err := sender.Flood(r.ctx, r.rate, r.Duration, fill)
		r.must(err, "flood the master")
		sent, got, moved := float64(flood.Frames), 0.0, time.Now()
		// Rarely, because reading the metrics takes processor time of ndmon.
		for got < sent && time.Since(moved) < still {
			s.pause(counted)
			if now := done() - before; now != got {
				got, moved = now, time.Now()
			}
		}
		end := r.usage()
		r.add(figure.Figure{Name: "solicitations sent a second", Value: flood.Rate(), Unit: figure.PerSecond, Target: figure.AtLeast(onPace * float64(r.rate))})
		r.add(figure.Figure{Name: "solicitations sent", Value: sent, Unit: figure.Count})
		r.add(figure.Figure{Name: "solicitations lost", Value: max(0, sent-got), Unit: figure.Count, Target: figure.Exactly(0)})
		if arriving {
			r.add(figure.Figure{Name: "frames sent on the master for them", Value: answered() - answers, Unit: figure.Count})
		}
		r.add(figure.Figure{Name: "the last counted after the last frame", Value: max(0, moved.Sub(flood.End).Seconds()), Unit: figure.Seconds})
		r.addCost("processor time a solicitation", begin, end, sent, r.own(figure.Times(1, ndppd)))
		begin.addOthers()
		s.stop()
	}
}

// The addresses of a scan, the addresses to which another program on the router
// sends, and hosts behind slave 2 that are solicited during the scan.
var (
	scanned  = netip.MustParsePrefix("2001:db8:5:0:6::/96")
	otherOne = netip.MustParsePrefix("2001:db8:5:0:7::/96")
	honest   = netip.MustParsePrefix("2001:db8:5:0:8::/96")
)

// How a scan is measured.
const (
	// A scan lasts scanTimes as long as Config.Duration: 30 s by default.
	scanTimes = 3
	// each is the time between solicitations of two hosts. The kernel and ndmon
	// look for a host for at most 3 s.
	each = 2 * time.Second
	// another is the interval at which the other program sends to a new neighbour,
	// which needs two entries of the neighbour table for a minute.
	another = 500 * time.Millisecond
)

func (r *run) scan(arriving bool) {
	r.Helper()
	d := scanTimes * r.Duration
	hosts := max(1, int(d/each))
	step := d / time.Duration(hosts)
	router := lab.NewRouter(r)
	addresses := make([]string, hosts)
	for n := range addresses {
		addresses[n] = wire.Numbered(honest, uint32(n)).String() + "/128"
	}
	router.Host2.Address("eth0", addresses...)
	var socket *net.UDPConn
	var err error
	router.Do(func() { socket, err = net.ListenUDP("udp6", nil) })
	r.must(err, "open a socket")
	r.Cleanup(func() { socket.Close() })
	s := r.relayOn(router, arriving, bothSlaves)
	sender, _ := fromMaster(r, router, arriving)
	before := router.NeighbourTable()

	begin := r.usage()
	scan := make(chan error, 1)
	var flood wire.Flood
	go func() {
		var err error
		flood, err = sender.Flood(r.ctx, r.rate, d, func(f *wire.Frame, n int) { f.Set(scanned, uint32(n)) })
		scan <- err
	}()
	fullest := before
	refused, sends, asked := 0, 0, []time.Time{}
	took := make([]time.Duration, hosts)
	start, over := time.Now(), time.Time{}
	r.until(d+patience, func() bool {
		if table := router.NeighbourTable(); table.Free() < fullest.Free() {
			fullest = table
		}
		for ; time.Duration(sends)*another < min(time.Since(start), d); sends++ {
			_, err := socket.WriteToUDPAddrPort([]byte("?"), netip.AddrPortFrom(wire.Numbered(otherOne, uint32(sends)), 9))
			if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOBUFS) {
				refused++
			}
		}
		if n := len(asked); n < hosts && time.Since(start) > step/2+time.Duration(n)*step {
			asked = append(asked, time.Now())
			if _, err := socket.WriteToUDPAddrPort([]byte("?"), netip.AddrPortFrom(wire.Numbered(honest, uint32(n)), 9)); err != nil {
				refused++
			}
		}
		for _, entry := range router.Neighbours() {
			if n, ok := wire.Number(honest, entry.Address); ok && entry.Interface == lab.Slave2 && entry.State == "REACHABLE" && took[n] == 0 {
				took[n] = time.Since(asked[n])
			}
		}
		if over.IsZero() {
			select {
			case err := <-scan:
				r.must(err, "scan")
				over = time.Now()
			default:
			}
		}
		return !over.IsZero() && len(asked) == hosts && (!slices.Contains(took, 0) || time.Since(over) > each)
	})
	cpu := r.usage().cpu - begin.cpu
	missing := len(took)
	took = slices.DeleteFunc(took, func(d time.Duration) bool { return d == 0 })
	missing -= len(took)
	r.add(figure.Figure{Name: "solicitations sent a second", Value: flood.Rate(), Unit: figure.PerSecond, Target: figure.AtLeast(onPace * float64(r.rate))})
	r.add(figure.Figure{Name: "room in the neighbour table before, of all", Value: 100 * before.Free(), Unit: figure.Percent})
	r.add(figure.Figure{Name: "room in the neighbour table, least, of all", Value: 100 * fullest.Free(), Unit: figure.Percent, Target: figure.AtLeast(25)})
	r.add(figure.Figure{Name: "sends of another program", Value: float64(sends + hosts), Unit: figure.Count})
	r.add(figure.Figure{Name: "sends of another program that failed", Value: float64(refused), Unit: figure.Count, Target: figure.Exactly(0)})
	r.add(figure.Figure{Name: "hosts asked for meanwhile", Value: float64(hosts), Unit: figure.Count})
	r.add(figure.Figure{Name: "hosts asked for meanwhile and not found", Value: float64(missing), Unit: figure.Count, Target: figure.Exactly(0)})
	if slices.Sort(took); len(took) > 0 {
		r.add(figure.Figure{Name: "host found after, median", Value: took[len(took)/2].Seconds(), Unit: figure.Seconds})
		r.add(figure.Figure{Name: "host found after, maximum", Value: took[len(took)-1].Seconds(), Unit: figure.Seconds, Target: figure.Below(2)})
	}
	r.add(figure.Figure{Name: "processor time a solicitation", Value: cpu.Seconds() / float64(max(1, flood.Frames)), Unit: figure.Seconds})
	begin.addOthers()
	s.stop()
}

// relayMove measures how long ndmon takes to make a host route, and to change it when
// the host moves. Each kind of move has a network of its own.
func relayMove(r *run) {
	for i, move := range lab.Moves() {
		if i%2 == 0 {
			r.within(func(r *run) { r.movingHost(move.Name+", prefix on the link", true, move) })
		} else {
			r.within(func(r *run) { r.movingHost(move.Name+", default route", false, move) })
		}
	}
}

func (r *run) movingHost(name string, onLink bool, move lab.Move) {
	r.Helper()
	every := time.Second / time.Duration(r.rate)
	w := lab.NewProxyRouter(r, onLink)
	s := r.relayOn(w.Router, true, bothSlaves)
	start := time.Now()
	pings := w.Upstream.Ping(lab.Host2Address, every)
	s.eventually("the first reply", func() bool { return pings.Answered(start) })
	s.pause(r.Duration / 5)
	moved := time.Now()
	move.Do(w)
	there := time.Now()
	s.eventually("a reply after the move", func() bool { return pings.Answered(there) })
	s.pause(r.Duration / 5)
	end := time.Now()
	// Replies on the wire have time to arrive.
	s.eventually("the last reply", func() bool { return pings.Answered(end) })
	echoes := slices.DeleteFunc(pings.Stop(), func(e lab.Echo) bool { return e.Sent.After(end) })

	first, _ := pings.FirstReply(start)
	again, _ := pings.FirstReply(there)
	// An echo that leaves while the host moves is part of the move.
	before, after, gap, last := 0, 0, time.Duration(0), start
	for _, e := range echoes {
		switch lost := e.Answered.IsZero(); {
		case lost && e.Sent.After(first) && e.Sent.Before(moved.Add(-every)):
			before++
		case lost && e.Sent.After(again):
			after++
		case !lost:
			if e.Sent.After(moved) {
				gap = max(gap, e.Sent.Sub(last))
			}
			last = e.Sent
		}
	}
	r.add(figure.Figure{Name: "first reply, " + name, Value: first.Sub(start).Seconds(), Unit: figure.Seconds, Target: figure.Below(2)})
	r.add(figure.Figure{Name: "lost after the first reply, " + name, Value: float64(before), Unit: figure.Count, Target: figure.Exactly(0)})
	r.add(figure.Figure{Name: "longest gap at the move, " + name, Value: gap.Seconds(), Unit: figure.Seconds, Target: figure.Below(3)})
	r.add(figure.Figure{Name: "lost after the move, " + name, Value: float64(after), Unit: figure.Count, Target: figure.Exactly(0)})
	s.stop()
}
