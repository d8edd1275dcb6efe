package compose

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// The intervals of Router Advertisements: the defaults of RFC 4861, sections 6.2.1
// and 10.
const (
	maxInterval     = 600 * time.Second
	minInterval     = maxInterval * 33 / 100
	initialInterval = 16 * time.Second
	initialCount    = 3
	betweenRAs      = 3 * time.Second
	answerDelay     = 500 * time.Millisecond
	routerLifetime  = 3 * maxInterval
)

// routerAdvertiser advertises this host as the router of a link.
type routerAdvertiser struct {
	log      *slog.Logger
	prefixes []netip.Prefix
	port     port
	source   netip.Addr
	conn     *ipv6.PacketConn
}

// newRouterAdvertiser opens the interface with an address in the first prefix. It
// waits until the link-local address is usable, and needs CAP_NET_RAW.
func newRouterAdvertiser(ctx context.Context, prefixes []netip.Prefix, log *slog.Logger) (*routerAdvertiser, error) {
	p, err := portTo(prefixes[0].Addr())
	if err != nil {
		return nil, fmt.Errorf("advertise %v: %w", prefixes[0], err)
	}
	a := &routerAdvertiser{log: log, prefixes: prefixes, port: p}
	const again = 200 * time.Millisecond
	for a.conn == nil {
		switch err := a.open(); {
		case errors.Is(err, unix.EADDRNOTAVAIL): // it is tentative for a second
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("advertise %v on %s: %w", prefixes[0], p.name, err)
			case <-time.After(again):
			}
		case err != nil:
			return nil, fmt.Errorf("advertise %v on %s: %w", prefixes[0], p.name, err)
		}
	}
	return a, nil
}

// open opens a socket for the ICMPv6 messages of a router.
func (a *routerAdvertiser) open() error {
	link, err := net.InterfaceByIndex(a.port.index)
	if err != nil {
		return err
	}
	if a.source, err = linkLocal(link); err != nil {
		return err
	}
	c, err := net.ListenIP("ip6:ipv6-icmp", &net.IPAddr{IP: a.source.AsSlice(), Zone: strconv.Itoa(link.Index)})
	if err != nil {
		return err
	}
	conn := ipv6.NewPacketConn(c)
	var solicitations ipv6.ICMPFilter
	solicitations.SetAll(true)
	solicitations.Accept(ipv6.ICMPTypeRouterSolicitation)
	const hopLimit = 255
	err = errors.Join(
		conn.SetICMPFilter(&solicitations),
		conn.SetControlMessage(ipv6.FlagHopLimit, true),
		conn.SetMulticastInterface(link),
		conn.SetMulticastHopLimit(hopLimit),
		conn.SetMulticastLoopback(false),
		conn.JoinGroup(link, &net.IPAddr{IP: lab.AllRouters.AsSlice()}),
	)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	a.conn = conn
	return nil
}

// linkLocal returns the link-local address of an interface.
func linkLocal(i *net.Interface) (netip.Addr, error) {
	addrs, err := i.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list the addresses: %w", err)
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().IsLinkLocalUnicast() && prefix.Addr().Is6() {
			return prefix.Addr(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("there is no link-local address: %w", unix.EADDRNOTAVAIL)
}

// run advertises until the context ends.
func (a *routerAdvertiser) run(ctx context.Context) {
	solicited := make(chan struct{}, 1)
	go a.receive(solicited)
	advertise(ctx, solicited, func(lifetime time.Duration) {
		if err := a.send(lifetime); err != nil {
			a.log.Warn("the router is not advertised", "interface", a.port.name, "error", err)
		}
	})
	a.conn.Close()
}

// advertise sends Router Advertisements immediately, periodically, and in reply to
// solicitations. When the context ends, it sends a last one with lifetime 0 (RFC 4861,
// sections 6.2.4 to 6.2.6).
func advertise(ctx context.Context, solicited <-chan struct{}, send func(lifetime time.Duration)) {
	next := time.Now()
	due := time.NewTimer(0)
	defer due.Stop()
	var last time.Time
	for sent := 0; ; {
		select {
		case <-ctx.Done():
			send(0)
			return
		case <-solicited:
			answer := time.Now().Add(max(0, betweenRAs-time.Since(last)) + rand.N(answerDelay))
			if answer.Before(next) {
				next = answer
			}
		case <-due.C:
			send(routerLifetime)
			sent++
			interval := minInterval + rand.N(maxInterval-minInterval)
			if sent < initialCount {
				interval = min(interval, initialInterval)
			}
			last = time.Now()
			next = last.Add(interval)
		}
		due.Reset(time.Until(next))
	}
}

// receive reports Router Solicitations until the socket is closed.
func (a *routerAdvertiser) receive(solicited chan<- struct{}) {
	message := make([]byte, 1500)
	for {
		size, control, _, err := a.conn.ReadFrom(message)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			a.log.Warn("Router Solicitations are no longer answered", "interface", a.port.name, "error", err)
			return
		}
		// RFC 4861, section 6.1.1. The kernel checks the checksum.
		if size < 8 || message[1] != 0 || control == nil || control.HopLimit != 255 {
			continue
		}
		select {
		case solicited <- struct{}{}:
		default: // a reply is due already
		}
	}
}

// send sends a Router Advertisement without the autonomous flag, because the engine
// assigns the addresses of the hosts.
func (a *routerAdvertiser) send(lifetime time.Duration) error {
	const autonomous, flagsAt = 0x40, 3
	ra := lab.RouterAdvertisement(a.port.mac, a.source, uint16(lifetime.Seconds()))
	// The kernel adds the checksum (RFC 3542, section 3.1).
	message := append([]byte{ra.Type, ra.Code, 0, 0}, ra.Body...)
	message = append(append(message, 1, 1), a.port.mac...)
	for _, prefix := range a.prefixes {
		option := lab.PrefixInformation(prefix)
		option[flagsAt] &^= autonomous
		message = append(message, option...)
	}
	_, err := a.conn.WriteTo(message, nil, &net.IPAddr{IP: ra.Destination.AsSlice()})
	return err
}
