//go:build linux

package lab

import "net/netip"

// GatewayAddress is that of Upstream in a Way.
var GatewayAddress = netip.MustParseAddr("2001:db8:5::9")

// Way is a Router whose upstream takes the /64 for its link's, and pings host 2
// behind slave 2. Nothing comes back unless somebody keeps the way.
type Way struct {
	*Router
	// Host is Host2Address with its prefix length, as the host has it.
	Host string
}

// NewWay makes a Way. The /64 is on the hosts' links too, so that they solicit
// the gateway there, or their default route goes to the router.
func NewWay(t TB, onLink bool) *Way {
	t.Helper()
	w := &Way{NewRouter(t), Host2Address.String() + "/64"}
	w.Upstream.Address("eth0", GatewayAddress.String()+"/64")
	w.Host1.RemoveAddress("eth0", Host1Address.String()+"/64")
	if onLink {
		return w
	}
	w.Host2.RemoveAddress("eth0", w.Host)
	w.Host = Host2Address.String() + "/128"
	w.Host2.Address("eth0", w.Host)
	w.Host1.DefaultRoute("eth0", w.LinkLocal(Slave1))
	w.Host2.DefaultRoute("eth0", w.LinkLocal(Slave2))
	return w
}

// Move is a way in which the host's address comes from host 2 to host 1.
type Move struct {
	// Name says how.
	Name string
	Do   func(*Way)
}

// Moves returns all ways to move.
func Moves() []Move {
	return []Move{
		{"unannounced", func(w *Way) {
			w.Host2.RemoveAddress("eth0", w.Host)
			w.Host1.Address("eth0", w.Host)
		}},
		{"carrier lost", func(w *Way) {
			w.Host2.Down("eth0")
			w.Host1.Address("eth0", w.Host)
		}},
		{"duplicate address detection", func(w *Way) {
			w.Host2.RemoveAddress("eth0", w.Host)
			w.Host1.AddressWithDAD("eth0", w.Host)
		}},
	}
}
