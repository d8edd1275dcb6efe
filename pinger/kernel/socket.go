package kernel

import (
	"bytes"
	"fmt"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// socket is an rtnetlink socket for what is requested for every target: the netlink
// library allocates 64 kB for each answer. It is not the library's socket either, so it
// never waits for a dump of that.
type socket struct {
	fd   int
	port uint32 // its address, which notifications of what it has changed carry

	mu       sync.Mutex
	seq      uint32
	received [32 << 10]byte // as much as the kernel puts into one answer (netlink_dump)
}

// openSocket opens a socket in the network namespace of the calling thread.
func openSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening an rtnetlink socket: %w", err)
	}
	s := &socket{fd: fd}
	// Now, not with the first request, it gets an address.
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil {
		var own unix.Sockaddr
		if own, err = unix.Getsockname(fd); err == nil {
			s.port = own.(*unix.SockaddrNetlink).Pid
			return s, nil
		}
	}
	unix.Close(fd)
	return nil, fmt.Errorf("binding an rtnetlink socket: %w", err)
}

func (s *socket) close() error { return unix.Close(s.fd) }

// request sends a request, whose flags have NLM_F_ACK unless it gets something, and
// returns the data of the answers. A dump that changes interrupt may be incomplete.
func (s *socket) request(kind, flags int, data ...nl.NetlinkRequestData) (answers [][]byte, err error) {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Data = data
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	req.Seq = s.seq
	if err := unix.Sendto(s.fd, req.Serialize(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	for {
		// The kernel has answered already, or does so now if it is a dump.
		n, _, err := unix.Recvfrom(s.fd, s.received[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		messages, err := syscall.ParseNetlinkMessage(s.received[:n])
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			switch {
			case m.Header.Seq != req.Seq: // of a request whose answer could not be read
			case m.Header.Type == unix.NLMSG_ERROR, m.Header.Type == unix.NLMSG_DONE:
				if len(m.Data) >= 4 {
					if errno := int32(nl.NativeEndian().Uint32(m.Data)); errno != 0 {
						return nil, unix.Errno(-errno)
					}
				}
				return answers, nil
			default:
				if answers = append(answers, bytes.Clone(m.Data)); m.Header.Flags&unix.NLM_F_MULTI == 0 {
					return answers, nil
				}
			}
		}
	}
}
