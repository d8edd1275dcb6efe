package bench

import (
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/wire"
	"github.com/ndmon/ndmon/deploy/lab"
)

// relayed are addresses of a host behind slave 2. Nothing has those in warming.
var (
	relayed = netip.MustParsePrefix("2001:db8:5:0:3::/96")
	warming = netip.MustParsePrefix("2001:db8:5:0:4::/96")
)

// relay measures solicitations for new targets. A run has several rounds, each in a
// network of its own, because the kernel's neighbour table, which odhcpd relies on, holds
// only 1,024 entries of all namespaces together: some for each target.
type relay struct {
	// count is the number of targets in a round.
	count    int
	arriving bool
	slaves   string
	// The targets of the latency.
	median, p99 *figure.Target
}

func (l relay) measure(r *run) {
	rounds := max(1, min(int(float64(r.rate)*r.Duration.Seconds())/l.count, int(r.Duration/(2*time.Second))))
	var all round
	for range rounds {
		r.within(func(r *run) { all.add(l.round(r)) })
	}
	r.add(figure.Figure{Name: "solicitations", Value: float64(all.sent), Unit: figure.Count})
	r.add(figure.Figure{Name: "not relayed", Value: float64(all.sent - len(all.relayed)), Unit: figure.Count, Target: figure.Exactly(0)})
	r.spread("solicitation to solicitation", all.relayed, r.own(l.median), r.own(l.p99))
	if len(all.answered) > 0 {
		r.spread("solicitation to advertisement", all.answered, nil, nil)
	}
	r.compare(figure.Figure{Name: "processor time a solicitation", Value: all.cpu.Seconds() / float64(all.sent), Unit: figure.Seconds, Target: r.own(figure.Times(1, ndppd))})
}

// round is the result of a round.
type round struct {
	sent              int
	relayed, answered []time.Duration
	cpu               time.Duration
}

func (a *round) add(b round) {
	a.sent, a.cpu = a.sent+b.sent, a.cpu+b.cpu
	a.relayed, a.answered = append(a.relayed, b.relayed...), append(a.answered, b.answered...)
}

// settled is the time from the last solicitation to the end of a round. It includes the
// first retransmission on the slave that the target is not behind (RFC 4861, section
// 10, RETRANS_TIMER).
const settled = 1200 * time.Millisecond

func (l relay) round(r *run) (res round) {
	lab.ReserveNeighbours(r, 4*l.count) // on both slaves, with the group in which the kernel solicits
	router := lab.NewRouter(r)
	addresses := make([]string, l.count)
	for n := range addresses {
		addresses[n] = wire.Numbered(relayed, uint32(n)).String() + "/128"
	}
	router.Host2.Address("eth0", addresses...)
	sender, in := fromMaster(r, router, l.arriving)
	out := wire.NewTap(r, router.Namespace, lab.Slave2, wire.Solicitations)
	answers := wire.NewTap(r, router.Namespace, lab.Master, wire.Advertisements)
	s := r.relayOn(router, l.arriving, l.slaves)
	warmed := uint32(0)
	s.eventually("solicitations are relayed", func() bool {
		_, err := sender.Flood(r.ctx, 1000, wire.Tick, func(f *wire.Frame, _ int) { f.Set(warming, warmed) })
		r.must(err, "send a solicitation")
		warmed++
		s.pause(20 * time.Millisecond)
		r.must(out.Read(), "see the solicitations")
		return len(out.First) > 0
	})
	s.pause(time.Second) // until the pinger's budget, which is per second, is full

	begin := r.usage()
	d := time.Duration(l.count)*time.Second/time.Duration(r.rate) + time.Microsecond
	flood, err := sender.Flood(r.ctx, r.rate, d, func(f *wire.Frame, n int) { f.Set(relayed, uint32(n)) })
	r.must(err, "send solicitations")
	s.pause(settled)
	res.sent, res.cpu = flood.Frames, r.usage().cpu-begin.cpu
	for _, tap := range []*wire.Tap{in, out, answers} {
		r.must(tap.Read(), "see what passes")
	}
	for n := range uint32(l.count) {
		target := wire.Numbered(relayed, n)
		if at, ok := out.First[target]; ok {
			res.relayed = append(res.relayed, at.Sub(in.First[target]))
		}
		if at, ok := answers.First[target]; ok {
			res.answered = append(res.answered, at.Sub(in.First[target]))
		}
	}
	s.stop()
	return res
}

// fromMaster returns what sends solicitations that leave the master or arrive there, and
// sees them.
func fromMaster(t lab.TB, r *lab.Router, arriving bool) (*wire.Sender, *wire.Tap) {
	at, name := r.Namespace, lab.Master
	if arriving {
		at, name = r.Upstream, "eth0"
		at.Address(name, wire.Requester+"/64") // for a kernel that solicits it
	}
	return wire.NewSender(t, at, name), wire.NewTap(t, at, name, wire.Solicitations)
}

const bothSlaves = lab.Slave1 + "," + lab.Slave2

func (r *run) relayOn(router *lab.Router, arriving bool, slaves string) *system {
	r.Helper()
	return r.start(r, router.Namespace, job{master: lab.Master, slaves: slaves, arriving: arriving, counted: true})
}
