package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/vishvananda/netlink"
)

// hold keeps the namespace of a container open until the context ends. An engine
// assigns only addresses of the container's networks, and two networks cannot have the
// same prefix. So hold adds the address that a host behind a relaying router has in
// the upstream prefix. With prefixes to advertise, it acts as a router.
func hold(ctx context.Context, addresses []string, advertised []netip.Prefix, log *slog.Logger) error {
	for _, text := range addresses {
		if err := addAddress(text); err != nil {
			return err
		}
	}
	if len(advertised) > 0 {
		a, err := newRouterAdvertiser(ctx, advertised, log)
		if err != nil {
			return err
		}
		a.run(ctx)
	}
	<-ctx.Done()
	return nil
}

func addAddress(text string) error {
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
		// The kernel adds tunnels, which are down, to every namespace.
		if a := l.Attrs(); a.Flags&net.FlagLoopback == 0 && a.Flags&net.FlagUp != 0 {
			ours = append(ours, l)
		}
	}
	if len(ours) != 1 {
		return fmt.Errorf("add %s to the only interface: %d interfaces are up", text, len(ours))
	}
	if err := netlink.AddrReplace(ours[0], address); err != nil {
		return fmt.Errorf("add %s to %s: %w", text, ours[0].Attrs().Name, err)
	}
	return nil
}

// readyTimeout is less than the timeout of a health check in docker-compose.yml.
const readyTimeout = 5 * time.Second

// ready returns an error for each address and NATS server that is not ready.
func ready(ctx context.Context, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var errs []error
	for _, arg := range args {
		if server, ok := strings.CutPrefix(arg, "nats://"); ok {
			errs = append(errs, greets(ctx, server))
			continue
		}
		addr, err := netip.ParseAddr(arg)
		if err != nil {
			return usageError("ready: %q is neither an address nor a URL such as nats://127.0.0.1:4222", arg)
		}
		// A tentative address cannot be used (RFC 4862, section 2).
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		if err == nil {
			err = conn.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// greets checks that a server is a NATS server by the INFO line that it sends first,
// which needs no credentials.
func greets(ctx context.Context, server string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", server)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	const greeting = "INFO "
	got := make([]byte, len(greeting))
	if _, err := io.ReadFull(conn, got); err != nil {
		return fmt.Errorf("%s does not send a greeting: %w", server, err)
	}
	if string(got) != greeting {
		return fmt.Errorf("%s is no NATS server: it begins with %q", server, got)
	}
	return nil
}

// The folders of the nats-server's data and of the keys in their containers.
const (
	serverData = "/data"
	keysFolder = "/keys"
)

// distributeKeys makes the missing keys of the hosts, for one server or those of a cluster, and
// copies the file of each FILE:UID:FOLDER to the folder, readable only by the user. A service
// mounts one such folder, so it has no other seed than its own.
func distributeKeys(hosts, servers, copies []string) error {
	_, err := os.Stat(filepath.Join(keysFolder, keys.UsersFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = keys.Init(keysFolder, keys.Hosts{Thin: hosts}, keys.Server{Data: serverData, Cluster: servers}, keys.Client{URL: keys.DefaultURL}, false)
	case err == nil:
		hosts = slices.DeleteFunc(slices.Clone(hosts), func(host string) bool { return keys.HasHost(keysFolder, host) })
		if len(hosts) > 0 {
			err = keys.Add(keysFolder, keys.Hosts{Thin: hosts})
		}
	}
	if err != nil {
		return err
	}
	for _, text := range copies {
		if err := distribute(text); err != nil {
			return err
		}
	}
	return nil
}

func distribute(text string) error {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return usageError("keys: %q is not FILE:UID:FOLDER", text)
	}
	uid, err := strconv.Atoi(parts[1])
	if err != nil {
		return usageError("keys: %q: %q is not a user ID", text, parts[1])
	}
	files, err := filepath.Glob(filepath.Join(keysFolder, parts[0]))
	if err == nil && len(files) == 0 && !strings.Contains(parts[0], "*") {
		err = fmt.Errorf("there is no %s in %s", parts[0], keysFolder)
	}
	for _, file := range files {
		err = errors.Join(err, install(file, uid, parts[2]))
	}
	if err != nil {
		return fmt.Errorf("distribute a key: %w", err)
	}
	return nil
}

// install copies a file to a folder, for a user.
func install(file string, uid int, folder string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	// The old file belongs to the service, so a new file replaces it.
	to := filepath.Join(folder, filepath.Base(file))
	part := to + ".new"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(part, data, 0o600); err != nil {
		return err
	}
	if err := os.Chown(part, uid, uid); err != nil {
		return err
	}
	return os.Rename(part, to)
}
