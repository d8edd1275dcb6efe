//go:build linux

package compose

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
)

// hold does nothing until the context ends: the namespace of a container lives
// as long as its process. An engine gives a container addresses of its networks
// alone, and no two networks can have the same prefix: so a host behind a router
// that relays takes its address in the prefix upstream itself.
func hold(ctx context.Context, addresses []string) error {
	for _, text := range addresses {
		if err := giveAddress(text); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func giveAddress(text string) error {
	address, err := netlink.ParseAddr(text)
	if err != nil {
		return usageError("hold: %q is not an address such as 2001:db8::1/64", text)
	}
	list, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	var ours []netlink.Link
	for _, l := range list {
		// Tunnels that the kernel puts into every namespace are down.
		if a := l.Attrs(); a.Flags&net.FlagLoopback == 0 && a.Flags&net.FlagUp != 0 {
			ours = append(ours, l)
		}
	}
	if len(ours) != 1 {
		return fmt.Errorf("give %s to the only interface: %d are up", text, len(ours))
	}
	if err := netlink.AddrReplace(ours[0], address); err != nil {
		return fmt.Errorf("give %s to %s: %w", text, ours[0].Attrs().Name, err)
	}
	return nil
}

// readyTimeout is less than the time that container engines give a check.
const readyTimeout = 5 * time.Second

// ready returns why not all addresses and URLs are ready.
func ready(ctx context.Context, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var errs []error
	for _, arg := range args {
		if strings.HasPrefix(arg, "http://") {
			errs = append(errs, answers(ctx, arg))
			continue
		}
		addr, err := netip.ParseAddr(arg)
		if err != nil {
			return usageError("ready: %q is neither an address nor a URL that begins with http://", arg)
		}
		// Nobody can use an address as long as it is tentative (RFC 4862, section
		// 2).
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		if err == nil {
			err = conn.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func answers(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usageError("ready: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
