package advert

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

const (
	// holdFor is how long a received advertisement waits for the command that approves it.
	holdFor = 10 * time.Second
	// Bounds of what waits. The advertisements of known routers are dropped last, so that a
	// flood of others does not displace them.
	maxHeld      = 64
	maxApprovals = 64
)

// key identifies an advertisement in a command.
type key struct {
	routerKey
	ethernet schemas.MAC
	checksum uint16
}

// held is an advertisement that was received and not approved yet.
type held struct {
	key
	message advertisement
	at      time.Time
	known   bool // it is of a router whose advertisements are relayed
}

// approval is a command whose advertisement was not received yet.
type approval struct {
	key
	relay   string // id of the command
	expires time.Time
}

// meeting is where advertisements and the commands that approve them wait for each other.
// Either may come first.
type meeting struct {
	held      []held
	approvals []approval
}

// received returns the command that approves an advertisement. Without one, it is held;
// dropped reports whether another one was dropped for that.
func (m *meeting) received(h held) (relay string, approved, dropped bool) {
	if i := slices.IndexFunc(m.approvals, func(a approval) bool { return a.key == h.key && h.at.Before(a.expires) }); i >= 0 {
		relay = m.approvals[i].relay
		m.approvals = slices.Delete(m.approvals, i, i+1)
		return relay, true, false
	}
	if i := slices.IndexFunc(m.held, func(o held) bool { return o.key == h.key && bytes.Equal(o.message, h.message) }); i >= 0 {
		m.held[i].at = h.at
		return "", false, false
	}
	if len(m.held) >= maxHeld {
		dropped = true
		i := max(0, slices.IndexFunc(m.held, func(o held) bool { return !o.known }))
		m.held = slices.Delete(m.held, i, i+1)
	}
	h.message = bytes.Clone(h.message)
	m.held = append(m.held, h)
	return "", false, dropped
}

// approve returns the advertisement that a command approves. Without one, the command
// waits; dropped reports whether another one was dropped for that.
func (m *meeting) approve(a approval, now time.Time) (message advertisement, unclear, dropped bool) {
	var found []held
	m.held = slices.DeleteFunc(m.held, func(h held) bool {
		if h.key != a.key || now.Sub(h.at) >= holdFor {
			return false
		}
		found = append(found, h)
		return true
	})
	switch {
	case len(found) > 1:
		return nil, true, false
	case len(found) == 1:
		return found[0].message, false, false
	}
	if len(m.approvals) >= maxApprovals {
		dropped = true
		m.approvals = slices.Delete(m.approvals, 0, 1)
	}
	m.approvals = append(m.approvals, a)
	return nil, false, dropped
}

// expire drops what has waited too long, and returns the commands among it.
func (m *meeting) expire(now time.Time) (late []approval) {
	m.held = slices.DeleteFunc(m.held, func(h held) bool { return now.Sub(h.at) >= holdFor })
	m.approvals = slices.DeleteFunc(m.approvals, func(a approval) bool {
		if now.Before(a.expires) {
			return false
		}
		late = append(late, a)
		return true
	})
	return late
}

func newKey(master string, source netip.Addr, ethernet schemas.MAC, checksum uint16) key {
	return key{routerKey{master, source}, ethernet, checksum}
}
