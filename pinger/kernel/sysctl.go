package kernel

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// ProxySysctl enables the kernel's answers for its proxy neighbour entries, which it
// gives only on interfaces with net.ipv6.conf.<interface>.proxy_ndp=1. The zero value
// is ready for use.
type ProxySysctl struct {
	enabled map[string]bool // by interface: true if Enable has set it, false if it could not
}

func proxyPath(name string) string {
	return filepath.Join("/proc/sys/net/ipv6/conf", name, "proxy_ndp")
}

// Enable sets it on an interface, in the network namespace of the calling thread. An
// interface that exists no more is forgotten: a new one of the name starts without it.
func (p *ProxySysctl) Enable(name string, exists bool, log *slog.Logger) {
	if p.enabled == nil {
		p.enabled = make(map[string]bool)
	}
	if !exists {
		delete(p.enabled, name)
		return
	}
	value, err := os.ReadFile(proxyPath(name))
	if err == nil && strings.TrimSpace(string(value)) == "1" {
		return
	}
	if err == nil {
		err = os.WriteFile(proxyPath(name), []byte("1"), 0)
	}
	_, tried := p.enabled[name]
	if p.enabled[name] = err == nil; err != nil && !tried {
		log.Warn("the kernel does not answer for its proxy neighbour entries, only the pinger does",
			"master", name, "error", err, "remedy", "sysctl net.ipv6.conf."+name+".proxy_ndp=1")
	}
}

// Restore unsets it where Enable has set it.
func (p *ProxySysctl) Restore(log *slog.Logger) {
	for name, ours := range p.enabled {
		if !ours {
			continue
		}
		if err := os.WriteFile(proxyPath(name), []byte("0"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			log.Warn("proxy_ndp stays set", "master", name, "error", err)
		}
	}
}

// WarnNotForwarding logs a warning if the host is not a router.
func WarnNotForwarding(log *slog.Logger) {
	value, err := os.ReadFile("/proc/sys/net/ipv6/conf/all/forwarding")
	if err == nil && strings.TrimSpace(string(value)) == "0" {
		log.Warn("this host does not forward: no packet from a master reaches a host behind a slave", "remedy", "sysctl net.ipv6.conf.all.forwarding=1")
	}
}
