package compose

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RFC 4861, sections 6.2.4 to 6.2.6.
func TestWhenARouterAdvertises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		solicited := make(chan struct{})
		var sent []time.Time
		var last time.Duration
		ended := make(chan struct{})
		began := time.Now()
		go func() {
			defer close(ended)
			advertise(ctx, solicited, func(lifetime time.Duration) { sent, last = append(sent, time.Now()), lifetime })
		}()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := len(sent); n < 24*6 || !sent[0].Equal(began) {
			t.Fatalf("%d in a day, the first after %v", n, sent[0].Sub(began))
		}
		for i, at := range sent[1:] {
			interval, least, most := at.Sub(sent[i]), 198*time.Second, 600*time.Second
			if i < 2 {
				least, most = 0, 16*time.Second
			}
			if interval < least || interval > most {
				t.Errorf("%v between %d and the next", interval, i)
			}
		}

		time.Sleep(3*time.Second - time.Since(sent[len(sent)-1]))
		synctest.Wait()
		for range 50 {
			before, earliest := len(sent), time.Now()
			if again := sent[before-1].Add(3 * time.Second); again.After(earliest) {
				earliest = again
			}
			for range 3 {
				solicited <- struct{}{}
			}
			time.Sleep(time.Until(earliest) + 500*time.Millisecond)
			synctest.Wait()
			if len(sent) != before+1 || sent[before].Before(earliest) {
				t.Fatalf("answers at %v, want one within 0.5s of %v", sent[before:], earliest)
			}
		}

		if last != 30*time.Minute {
			t.Errorf("lifetime %v", last)
		}
		before := len(sent)
		stop()
		<-ended
		if len(sent) != before+1 || last != 0 {
			t.Errorf("%d at the end, lifetime %v", len(sent)-before, last)
		}
	})
}

// The kernel of a host takes the router for its own, and no address from it.
func TestHostsTakeTheRouter(t *testing.T) {
	t.Parallel()
	r, host := lab.New(t, "router"), lab.New(t, "host")
	r.Sysctl("net.ipv6.conf.all.forwarding", "1")
	r.Veth("wan", lab.New(t, "wan"), "eth0")
	r.Address("wan", "2001:db8:a::1/64")
	r.Veth("lan", host, "eth0")
	r.Address("lan", "2001:db8:1::1/64")
	host.Sysctl("net.ipv6.conf.eth0.accept_ra", "1")
	wire := host.Wire("eth0")
	advertised := func() (n int) {
		for _, f := range wire.Frames() {
			if !f.Out && len(f.Data) > 54 && f.Data[54] == 134 {
				n++
			}
		}
		return n
	}

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	r.Go(func() {
		ended <- Command(ctx, []string{"hold", "--advertise=2001:db8:1::/64,2001:db8:a::/64"}, t.Output(), slog.New(slog.DiscardHandler))
	})
	router := r.LinkLocal("lan")
	fromRouter := func() (gateway netip.Addr, onLink []string) {
		routes, err := host.Netlink.RouteListFiltered(unix.AF_INET6, &netlink.Route{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, route := range routes {
			switch {
			case route.Gw != nil:
				gateway, _ = netip.AddrFromSlice(route.Gw)
			case !route.Dst.IP.IsLinkLocalUnicast() && !route.Dst.IP.IsMulticast():
				onLink = append(onLink, route.Dst.String())
			}
		}
		slices.Sort(onLink)
		return gateway, onLink
	}
	lab.Eventually(t, "the host has the router and its prefixes", func() bool {
		gateway, onLink := fromRouter()
		return gateway == router && slices.Equal(onLink, []string{"2001:db8:1::/64", "2001:db8:a::/64"})
	})
	addrs, err := host.Netlink.AddrList(host.Link("eth0"), netlink.FAMILY_V6)
	if err != nil || len(addrs) != 1 {
		t.Errorf("addresses of the host: %v, %v", addrs, err)
	}
	if n := advertised(); n != 1 {
		t.Errorf("%d advertisements at the start", n)
	}

	wire.Send(lab.RouterSolicitation(host.MAC("eth0"), host.LinkLocal("eth0")).Frame())
	lab.Eventually(t, "an answer", func() bool { return advertised() == 1 })

	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	lab.Eventually(t, "the host has no router", func() bool { gateway, _ := fromRouter(); return !gateway.IsValid() })
}
