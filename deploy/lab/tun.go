package lab

import (
	"os"

	"golang.org/x/sys/unix"
)

// Tun makes a tunnel without Ethernet: a tun interface in each namespace, both up. What
// leaves one comes in on the other.
func (n *Namespace) Tun(name string, peer *Namespace, peerName string) {
	n.t.Helper()
	one, other := n.tun(name), peer.tun(peerName)
	go copyPackets(one, other)
	go copyPackets(other, one)
	n.Up(name)
	peer.Up(peerName)
}

// tun makes a tun interface, which has a carrier until the test ends, and returns its
// other side.
func (n *Namespace) tun(name string) *os.File {
	n.t.Helper()
	fd := -1
	var err error
	n.Do(func() {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return
		}
		var request *unix.Ifreq
		if request, err = unix.NewIfreq(name); err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
	})
	if err != nil && fd >= 0 {
		unix.Close(fd)
	}
	n.must(err, "make tunnel %s", name)
	f := os.NewFile(uintptr(fd), name)
	n.t.Cleanup(func() { f.Close() })
	return f
}

// copyPackets copies packets until from is closed. A packet is lost while an interface
// is down.
func copyPackets(to, from *os.File) {
	packet := make([]byte, 1<<16)
	for {
		size, err := from.Read(packet)
		if err != nil {
			return
		}
		_, _ = to.Write(packet[:size])
	}
}
