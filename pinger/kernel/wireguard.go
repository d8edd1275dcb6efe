package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/schemas/iface"
	"golang.zx2c4.com/wireguard/wgctrl"
)

// readPeers is how often the peers of WireGuard interfaces are read: no one reports their
// changes.
const readPeers = 2 * time.Second

// peers are the addresses that the peers of WireGuard interfaces may have (AllowedIPs of
// wg(8)). wg-quick makes routes to them, systemd-networkd by default does not.
type peers struct {
	// allowed are the prefixes that were read last, by the interface's index.
	allowed atomic.Pointer[map[int][]netip.Prefix]

	mu      sync.Mutex
	client  *wgctrl.Client // nil while there are no tunnels
	tunnels map[int]string // the names of interfaces that may be WireGuard's
}

// FindPeers says in which interfaces FollowPeers looks for peers, among them some that are
// not WireGuard's. It is called in the network namespace of the Kernel.
func (k *Kernel) FindPeers(links []*iface.Link) (err error) {
	p := &k.peers
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tunnels = make(map[int]string)
	for _, l := range links {
		if !l.Ethernet() {
			p.tunnels[l.Index] = l.Name
		}
	}
	p.close() // the kernel's module may have been loaded since it was opened
	if len(p.tunnels) > 0 {
		if p.client, err = wgctrl.New(); err != nil {
			return fmt.Errorf("the peers of WireGuard interfaces: %w", err)
		}
	}
	return nil
}

func (p *peers) close() {
	if p.client != nil {
		p.client.Close()
		p.client = nil
	}
}

// FollowPeers reads the peers every two seconds until ctx ends.
func (k *Kernel) FollowPeers(ctx context.Context) {
	tick := time.NewTicker(readPeers)
	defer tick.Stop()
	for {
		k.peers.read()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// read does not hold the lock while it waits for a WireGuard that is a program.
func (p *peers) read() {
	p.mu.Lock()
	client, tunnels := p.client, p.tunnels
	p.mu.Unlock()
	if client == nil {
		p.allowed.Store(nil)
		return
	}
	allowed := make(map[int][]netip.Prefix)
	for index, name := range tunnels {
		device, err := client.Device(name)
		if err != nil {
			continue // another kind of tunnel, or it has just gone
		}
		for i := range device.Peers {
			for _, n := range device.Peers[i].AllowedIPs {
				bits, of := n.Mask.Size()
				if ip, ok := netip.AddrFromSlice(n.IP); ok && of == 128 {
					allowed[index] = append(allowed[index], netip.PrefixFrom(ip, bits))
				}
			}
		}
	}
	p.allowed.Store(&allowed)
}

// allows returns the length of the longest prefix with which a peer may have the target;
// 0 if none may.
func (p *peers) allows(target netip.Addr, index int) (bits int) {
	if allowed := p.allowed.Load(); allowed != nil {
		for _, a := range (*allowed)[index] {
			if a.Contains(target) {
				bits = max(bits, a.Bits())
			}
		}
	}
	return bits
}
