package bench

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// How lan measures.
const (
	// lanLimit is the figure where there is no reply at all.
	lanLimit = 15 * time.Second
	// lanRound is the part of Config.Duration for which the host moves once around.
	lanRound = 5 * time.Second
	// slower is how much longer than with odhcpd it may take: by an interval of the
	// pings, and radvd waits up to 0.5 s before it answers (RFC 4861, section 6.2.6).
	slower = 1.25
)

// lan measures how long a host waits for its address and for replies once its link is
// up: two hosts that come one after the other, and the moves of one of them.
func lan(r *run) {
	network := lab.NewLAN(r, "")
	s := r.start(r, network.Namespace, job{master: lab.Master, slaves: bothSlaves, arriving: true, advertised: true})
	s.pause(opened)
	plugs := plugs{r, network, nil, map[string][]time.Duration{}}
	host := plugs.host("host1")
	plugs.plug("first host", host, lab.Slave1)
	plugs.plug("second host", plugs.host("host2"), lab.Slave2)
	for range max(1, int(r.Duration/lanRound)) {
		plugs.plug("slave to slave", host, lab.Slave2)
		plugs.plug("slave to master", host, lab.Master)
		plugs.plug("master to slave", host, lab.Slave1)
	}
	plugs.report()
	s.stop()
}

// plugs plugs hosts in and collects how long each thing takes.
type plugs struct {
	*run
	*lab.LAN
	names []string
	took  map[string][]time.Duration
}

// station is a host with the pings that it sends upstream, and those that it gets.
type station struct {
	*lab.Namespace
	out, in *lab.Pings
}

func (p *plugs) host(name string) station {
	p.run.Helper()
	h := p.Host(name)
	every := time.Second / time.Duration(p.rate)
	return station{h, h.Ping(lab.GatewayAddress, every), p.Upstream.Ping(h.Autoconfigured(), every)}
}

func (p *plugs) plug(name string, h station, link string) {
	p.run.Helper()
	p.Plug(h.Namespace, link)
	up := time.Now()
	var advertised, usable time.Time
	p.until(lanLimit, func() bool {
		if usable.IsZero() {
			addrs, err := h.Netlink.AddrList(h.Link("eth0"), netlink.FAMILY_V6)
			p.must(err, "list the addresses of a host")
			for _, a := range addrs {
				addr, _ := netip.AddrFromSlice(a.IP)
				note(&advertised, addr == h.Autoconfigured())
				note(&usable, addr == h.Autoconfigured() && a.Flags&unix.IFA_F_TENTATIVE == 0)
			}
		}
		return !usable.IsZero() && h.out.Answered(up) && h.in.Answered(up)
	})
	p.add("link up to Router Advertisement, "+name, advertised.Sub(up))
	p.add("link up to usable address, "+name, usable.Sub(up))
	replied, _ := h.out.FirstReply(up)
	p.add("link up to a reply from upstream, "+name, replied.Sub(up))
	reached, _ := h.in.FirstReply(up)
	p.add("link up to a reply to upstream, "+name, reached.Sub(up))
}

// note sets a time that is not set yet if something is so now.
func note(at *time.Time, so bool) {
	if so && at.IsZero() {
		*at = time.Now()
	}
}

// add collects a duration, which is negative where there was no end to it.
func (p *plugs) add(what string, took time.Duration) {
	if took < 0 {
		took = lanLimit
	}
	if p.took[what] == nil {
		p.names = append(p.names, what)
	}
	p.took[what] = append(p.took[what], took)
}

func (p *plugs) report() {
	for _, name := range p.names {
		took := slices.Sorted(slices.Values(p.took[name]))
		p.compare(figure.Figure{Name: name, Value: took[len(took)/2].Seconds(), Unit: figure.Seconds, Target: p.own(figure.Times(slower, odhcpd))})
		if last := took[len(took)-1]; len(took) > 1 {
			p.run.add(figure.Figure{Name: name + ", maximum", Value: last.Seconds(), Unit: figure.Seconds})
		}
	}
}

// How lanSoak measures.
const (
	// eventful has radvd advertise often. Neighbours are verified after 5 s.
	eventful = "MinRtrAdvInterval 3;\nMaxRtrAdvInterval 4;\nAdvReachableTime 5000;\n"
	// Hosts make another temporary address a few seconds before one is 20 s old, and
	// give one up when it is 40 s old.
	preferredFor, validFor = "20", "40"
)

// lanSoak counts the pings that are lost while advertisements, reachability and
// temporary addresses change.
func lanSoak(r *run) {
	network := lab.NewLAN(r, eventful)
	s := r.start(r, network.Namespace, job{master: lab.Master, slaves: bothSlaves, arriving: true, advertised: true})
	s.pause(opened)
	plugs := plugs{r, network, nil, map[string][]time.Duration{}}
	hosts := []station{plugs.host("host1"), plugs.host("host2")}
	for i, h := range hosts {
		for name, value := range map[string]string{"temp_prefered_lft": preferredFor, "temp_valid_lft": validFor, "max_desync_factor": "0"} {
			h.Sysctl("net.ipv6.conf.eth0."+name, value)
		}
		plugs.plug("", h, []string{lab.Slave1, lab.Slave2}[i])
	}
	s.pause(time.Second) // until all neighbours are known
	start := time.Now()
	addresses := map[netip.Addr]bool{}
	for time.Since(start) < r.Duration {
		for _, h := range hosts {
			addrs, err := h.Netlink.AddrList(h.Link("eth0"), netlink.FAMILY_V6)
			r.must(err, "list the addresses of a host")
			for _, a := range addrs {
				if addr, _ := netip.AddrFromSlice(a.IP); lab.Prefix.Contains(addr) {
					addresses[addr] = true
				}
			}
		}
		s.pause(100 * time.Millisecond)
	}
	end := time.Now()
	s.pause(time.Second) // until the last replies are there
	sent, lost, gap := 0, 0, time.Duration(0)
	for _, h := range hosts {
		for _, pings := range []*lab.Pings{h.in, h.out} {
			answered := start
			for _, e := range pings.Stop() {
				if e.Sent.Before(start) || e.Sent.After(end) {
					continue
				}
				if sent++; e.Answered.IsZero() {
					lost++
					gap = max(gap, e.Sent.Sub(answered))
				} else {
					answered = e.Sent
				}
			}
		}
	}
	r.add(figure.Figure{Name: "addresses of the hosts", Value: float64(len(addresses)), Unit: figure.Count})
	r.add(figure.Figure{Name: "pings", Value: float64(sent), Unit: figure.Count})
	r.add(figure.Figure{Name: "pings lost", Value: float64(lost), Unit: figure.Count, Target: r.own(figure.Exactly(0))})
	r.add(figure.Figure{Name: "longest time without a reply", Value: gap.Seconds(), Unit: figure.Seconds})
	s.stop()
}
