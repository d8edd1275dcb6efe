package compose

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/vishvananda/netlink"
)

// attacker is the Ethernet source of the attacks.
var attacker = net.HardwareAddr{2, 0, 0, 0, 0x0b, 0xad}

// roguePrefix is the prefix in the attacker's Router Advertisements.
var roguePrefix = netip.MustParsePrefix("2001:db8:bad::/64")

// traffic makes the traffic on the links of the lab: that of any network, and attacks
// from time to time. It skips an attack if its address or prefix is invalid.
type traffic struct {
	log        *slog.Logger
	every      time.Duration
	neighbours []netip.Addr
	rogue      netip.Prefix
	spoof      netip.Addr
	// find is pinged through the router via, which then solicits it.
	find, via netip.Addr
}

// attackRounds is the number of rounds from one attack to the next.
const attackRounds = 6

func (t *traffic) run(ctx context.Context, neighbours []string) error {
	for _, text := range neighbours {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return usageError("traffic: %w", err)
		}
		t.neighbours = append(t.neighbours, addr)
	}
	if t.every < time.Second {
		return usageError("--every: use a time of at least 1s")
	}
	if t.find.IsValid() != t.via.IsValid() {
		return usageError("--find and --via need each other")
	}
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	for round := 0; ; round++ {
		// A neighbour may be down for a while.
		err := t.everyday()
		if round%attackRounds == 1 {
			err = errors.Join(err, t.attack())
		}
		if err != nil {
			t.log.Warn("not all of this round's traffic was sent", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// everyday sends the legitimate traffic of a round.
func (t *traffic) everyday() error {
	var errs []error
	for _, n := range t.neighbours {
		errs = append(errs, talk(n))
	}
	if t.find.IsValid() {
		errs = append(errs, t.ping())
	}
	return errors.Join(errs...)
}

// talk sends a datagram to a neighbour, so that the kernel solicits it.
func talk(to netip.Addr) error {
	const discard = 9
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, discard)))
	if err != nil {
		return fmt.Errorf("talk to %v: %w", to, err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		return fmt.Errorf("talk to %v: %w", to, err)
	}
	return nil
}

// ping sends an echo request (RFC 4443, section 4.1) for a host to the Ethernet
// address of a router. A route through the router would need the right to make it.
func (t *traffic) ping() error {
	port, err := portTo(t.via)
	if err != nil {
		return err
	}
	router, err := port.neighbour(t.via)
	if err != nil {
		return err
	}
	return port.send(lab.Message{
		EthernetSource: port.mac, EthernetDestination: router,
		Source: port.addr, Destination: t.find, HopLimit: 64, Type: 128, Body: make([]byte, 4),
	})
}

func (t *traffic) attack() error {
	var errs []error
	if t.rogue.IsValid() {
		errs = append(errs, t.advertise())
	}
	if t.spoof.IsValid() {
		errs = append(errs, t.impersonate())
	}
	return errors.Join(errs...)
}

// advertise sends a Router Advertisement of the attacker.
func (t *traffic) advertise() error {
	port, err := portTo(t.rogue.Addr())
	if err != nil {
		return err
	}
	const lifetime = 1800
	ra := lab.RouterAdvertisement(attacker, lab.LinkLocal(attacker), lifetime)
	ra.Body = append(ra.Body, append([]byte{1, 1}, attacker...)...)
	ra.Body = append(ra.Body, lab.PrefixInformation(roguePrefix)...)
	t.log.Info("attack: rogue Router Advertisement", "link", t.rogue, "source", ra.Source, "ethernet", attacker.String(), "prefix", roguePrefix)
	return port.send(ra)
}

// impersonate sends a Neighbor Advertisement of the attacker for the address of
// another host.
func (t *traffic) impersonate() error {
	port, err := portTo(t.spoof)
	if err != nil {
		return err
	}
	t.log.Info("attack: spoofed Neighbor Advertisement", "address", t.spoof, "ethernet", attacker.String())
	return port.send(lab.Advertisement(attacker, t.spoof, t.spoof))
}

// port is an interface of this host.
type port struct {
	index int
	name  string
	mac   net.HardwareAddr
	addr  netip.Addr
}

// portTo finds the interface with an address in the same prefix. The names of the
// interfaces of a container depend on the engine.
func portTo(neighbour netip.Addr) (port, error) {
	list, err := net.Interfaces()
	if err != nil {
		return port{}, fmt.Errorf("list the interfaces: %w", err)
	}
	for _, i := range list {
		addrs, err := i.Addrs()
		if err != nil {
			return port{}, fmt.Errorf("list the addresses of %s: %w", i.Name, err)
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Contains(neighbour) {
				return port{i.Index, i.Name, i.HardwareAddr, prefix.Addr()}, nil
			}
		}
	}
	return port{}, fmt.Errorf("no interface holds an address in the prefix of %v", neighbour)
}

// neighbour returns the Ethernet address of a resolved neighbour.
func (p port) neighbour(addr netip.Addr) (net.HardwareAddr, error) {
	list, err := netlink.NeighList(p.index, netlink.FAMILY_V6)
	if err != nil {
		return nil, fmt.Errorf("list the neighbours on %s: %w", p.name, err)
	}
	for _, n := range list {
		if ip, _ := netip.AddrFromSlice(n.IP); ip == addr && len(n.HardwareAddr) > 0 {
			return n.HardwareAddr, nil
		}
	}
	return nil, fmt.Errorf("the neighbour %v on %s is not resolved yet", addr, p.name)
}

func (p port) send(m lab.Message) error {
	s, err := lab.NewSender(p.name)
	if err != nil {
		return err
	}
	_, err = s.Write(m.Frame())
	return errors.Join(err, s.Close())
}

func usageError(format string, args ...any) error {
	return process.UsageError{Err: fmt.Errorf(format, args...)}
}
