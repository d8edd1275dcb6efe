package bench

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/wire"
	"github.com/ndmon/ndmon/schemas"
)

// arrivals records when the alerts of frames arrived. The frames are numbered from 0.
type arrivals struct {
	end func()

	mu      sync.Mutex
	left    []time.Time // right before the frame was sent
	arrived []time.Time // zero: not yet
	missing int
	again   int
}

// expect subscribes to the alerts of a number of frames.
func (s *system) expect(frames int) *arrivals {
	s.Helper()
	a := &arrivals{left: make([]time.Time, frames), arrived: make([]time.Time, frames), missing: frames}
	a.end = s.alerts(a.arrives)
	return a
}

// leaves records that a frame is being sent.
func (a *arrivals) leaves(number int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left[number] = time.Now()
}

func (a *arrivals) arrives(data []byte) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	n, ok := alerted(data)
	switch {
	case !ok || int(n) >= len(a.left) || a.left[n].IsZero():
	case !a.arrived[n].IsZero():
		a.again++
	default:
		a.arrived[n] = now
		a.missing--
	}
}

// outcome returns the numbers of missing alerts and of repeated alerts.
func (a *arrivals) outcome() (missing, again int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.missing, a.again
}

// took returns the times from frames to their alerts.
func (a *arrivals) took() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var took []time.Duration
	for n, at := range a.arrived {
		if !at.IsZero() {
			took = append(took, at.Sub(a.left[n]))
		}
	}
	return took
}

// addArrivals adds the numbers of missing and repeated alerts.
func (r *run) addArrivals(a *arrivals) {
	missing, again := a.outcome()
	r.add(figure.Figure{Name: "frames that alert", Value: float64(len(a.left)), Unit: figure.Count})
	r.add(figure.Figure{Name: "alerts that never came", Value: float64(missing), Unit: figure.Count, Target: figure.Exactly(0)})
	r.add(figure.Figure{Name: "alerts that came again", Value: float64(again), Unit: figure.Count, Target: figure.Exactly(0)})
}

// The targets of frames that match no rule, and of those that alert.
var (
	quietTargets = netip.MustParsePrefix("2001:db8:5:0:1::/96")
	alertTargets = netip.MustParsePrefix("2001:db8:5:0:2::/96")
)

// writeRules returns a rule file with count rules that match no frame of ndbench,
// and one that alerts on alertTargets. Each rule tests the kind of message, and an
// address, a prefix or a number.
func writeRules(count int) string {
	var b strings.Builder
	b.WriteString("<rules>\n")
	rule := func(field, value string) {
		b.WriteString(`<rule><match field="nd.ns"/><match field="` + field + `" value="` + value + "\"/></rule>\n")
	}
	for i := range uint32(count) {
		switch i % 3 {
		case 0:
			rule("nd.ns.targetaddress", wire.Numbered(netip.MustParsePrefix("2001:db8:6::/96"), i).String())
		case 1:
			rule("inet6.source", netip.PrefixFrom(wire.Numbered(netip.MustParsePrefix("2001:db8:7::/96"), i<<8), 120).String())
		case 2:
			// RFC 8200, section 3: beyond what an Ethernet frame holds.
			rule("inet6.payload", strconv.Itoa(2000+int(i%60000)))
		}
	}
	b.WriteString(`<rule id="` + alertRule + `"><match field="nd.ns.targetaddress" value="` + alertTargets.String() + "\"/></rule>\n")
	b.WriteString("</rules>\n")
	return b.String()
}

const alertRule = "ndbench"

// alerted returns the number of the frame that an alert, or a line of tcpdump, is about.
func alerted(data []byte) (uint32, bool) {
	if _, after, ok := bytes.Cut(data, []byte("who has ")); ok {
		target, _, _ := bytes.Cut(after, []byte(","))
		address, err := netip.ParseAddr(string(target))
		n, ok := wire.Number(alertTargets, address)
		return n, ok && err == nil
	}
	var alert schemas.Alert
	var event schemas.Event
	if json.Unmarshal(data, &alert) != nil || alert.Rule != alertRule || event.ParseJSON(alert.Event) != nil || event.ND == nil || event.ND.NS == nil {
		return 0, false
	}
	return wire.Number(alertTargets, event.ND.NS.TargetAddress)
}
