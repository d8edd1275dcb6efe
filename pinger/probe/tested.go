package probe

import (
	"maps"
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
)

// tested processes duplicate address detection (RFC 4862, section 5.4): a host behind a
// port tests whether it can have a target. decided is false if the target has to be looked
// for behind the other ports, whose answer the host gets.
//
// Without Config.DAD it gets no answer. It may be the target itself, which has moved.
func (p *Prober) tested(target netip.Addr, tester port.Requester, located bool, now time.Time) (v verdict, decided bool) {
	p.deps.Locations.Tested(target, tester, p.cfg.DAD)
	if !p.cfg.DAD {
		return verdict{refused: refuse(duplicateDetection, "duplicate address detection is not answered for others (PINGER_DAD)")}, true
	}
	p.mu.Lock()
	taken := p.tests.taken(target, tester, now)
	p.mu.Unlock()
	if taken {
		// Hosts do not answer for what they test: only this host hears both.
		refused := p.advertise(tester, target, false, now)
		if refused == nil {
			refused = refuse(duplicateDetection, "another host tests target %v too, and was first", target)
		}
		return verdict{refused: refused}, true
	}
	if located {
		return verdict{refused: refuse(duplicateDetection, "the host gets an answer if target %v is still where it was", target)}, true
	}
	return v, false
}

// tests are the addresses that hosts have tested within testFor.
type tests struct {
	by    map[netip.Addr]test
	swept time.Time
}

// test is the last duplicate address detection for an address.
type test struct {
	on   int // index of the port
	mac  schemas.MAC
	time time.Time
}

const (
	// testFor is how long a host does not answer for an address that it tests:
	// RetransTimer and the delay before (RFC 4862, section 5.4.2), and a little.
	testFor = 3 * time.Second
	// maxTests bounds the addresses: any host can test as many as it likes.
	maxTests = 4096
)

// taken notes a test, and reports whether another host behind another port tests the same
// address.
func (t *tests) taken(target netip.Addr, tester port.Requester, now time.Time) bool {
	if now.Sub(t.swept) >= testFor {
		maps.DeleteFunc(t.by, func(_ netip.Addr, old test) bool { return now.Sub(old.time) >= testFor })
		t.swept = now
	}
	old, ok := t.by[target]
	if ok && now.Sub(old.time) < testFor && old.on != tester.On.Index && old.mac != tester.MAC {
		return true
	}
	if t.by == nil {
		t.by = make(map[netip.Addr]test)
	}
	if ok || len(t.by) < maxTests {
		t.by[target] = test{tester.On.Index, tester.MAC, now}
	}
	return false
}
