package lab

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Pings are echo requests that a namespace sends to an address until they are
// stopped or the test ends (RFC 4443, section 4).
type Pings struct {
	t    TB
	what string
	stop chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex
	echoes []Echo
}

// Echo is an echo request, sent or refused by the kernel.
type Echo struct {
	Sent time.Time
	// Answered is zero until the reply arrives.
	Answered time.Time
}

// Ping starts sending echo requests at an interval.
func (n *Namespace) Ping(target netip.Addr, every time.Duration) *Pings {
	n.t.Helper()
	var conn net.PacketConn
	var err error
	n.Do(func() { conn, err = net.ListenPacket("ip6:ipv6-icmp", "::") })
	n.must(err, "open a socket for echoes")
	p := &Pings{t: n.t, what: n.name + " pings " + target.String(), stop: make(chan struct{})}
	id := uint16(rand.Uint32())
	p.done.Add(2)
	go func() { defer p.done.Done(); p.receive(conn, target, id) }()
	go func() {
		defer p.done.Done()
		defer conn.Close()
		p.send(conn, target, id, every)
	}()
	n.t.Cleanup(func() { p.Stop() })
	return p
}

const (
	echoRequest = 128
	echoReply   = 129
)

func (p *Pings) send(conn net.PacketConn, target netip.Addr, id uint16, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	to := &net.IPAddr{IP: target.AsSlice()}
	for {
		p.mu.Lock()
		seq := uint16(len(p.echoes))
		p.echoes = append(p.echoes, Echo{Sent: time.Now()})
		p.mu.Unlock()
		// The kernel adds the checksum (RFC 3542, section 3.1).
		request := binary.BigEndian.AppendUint16([]byte{echoRequest, 0, 0, 0}, id)
		conn.WriteTo(binary.BigEndian.AppendUint16(request, seq), to) // one that cannot be sent is lost
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
	}
}

func (p *Pings) receive(conn net.PacketConn, target netip.Addr, id uint16) {
	data := make([]byte, 1500)
	for {
		size, from, err := conn.ReadFrom(data)
		now := time.Now()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Not ICMPv6 errors or replies to other requests.
		if err != nil || size < 8 || data[0] != echoReply || binary.BigEndian.Uint16(data[4:]) != id || !from.(*net.IPAddr).IP.Equal(target.AsSlice()) {
			continue
		}
		p.mu.Lock()
		// The last request with this number of 16 bits.
		seq := int(binary.BigEndian.Uint16(data[6:]))
		if at := seq + (len(p.echoes)-1-seq)>>16<<16; at >= 0 && at < len(p.echoes) && p.echoes[at].Answered.IsZero() {
			p.echoes[at].Answered = now
		}
		p.mu.Unlock()
	}
}

// Echoes returns the requests sent so far.
func (p *Pings) Echoes() []Echo {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Echo(nil), p.echoes...)
}

// Answered reports whether a request that was sent after a time has its reply.
func (p *Pings) Answered(after time.Time) bool {
	_, ok := p.FirstReply(after)
	return ok
}

// FirstReply returns when the first reply to a request that was sent after a time
// arrived.
func (p *Pings) FirstReply(after time.Time) (first time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.echoes) - 1; i >= 0 && p.echoes[i].Sent.After(after); i-- {
		if at := p.echoes[i].Answered; !at.IsZero() && (!ok || at.Before(first)) {
			first, ok = at, true
		}
	}
	return first, ok
}

// WaitForReply waits for the reply to a request sent after the call.
func (p *Pings) WaitForReply() {
	p.t.Helper()
	now := time.Now()
	Eventually(p.t, p.what+": a reply", func() bool { return p.Answered(now) })
}

// Stop stops sending and returns all echoes. The last ones may have no reply
// yet.
func (p *Pings) Stop() []Echo {
	p.mu.Lock()
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.mu.Unlock()
	p.done.Wait()
	return p.Echoes()
}
