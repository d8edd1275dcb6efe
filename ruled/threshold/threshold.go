// Package threshold limits how often rules act: it counts the matches of each rule by the
// values that the rule tracks, in bounded memory, and decides which of them act.
package threshold

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/ruled/internal/pool"
	"github.com/ndmon/ndmon/schemas"
)

// MaxSeconds is the longest window of a threshold, 30 days.
const MaxSeconds = 30 * 24 * 60 * 60

// Type is which matches act, in Suricata's terms.
type Type string

// The types of thresholds.
const (
	// TypeLimit lets the first Count matches of a window act.
	TypeLimit Type = "limit"
	// TypeThreshold lets match number Count of a window act, and ends the window.
	TypeThreshold Type = "threshold"
	// TypeBoth lets only match number Count of a window act.
	TypeBoth Type = "both"
)

// Threshold lets only some matches of a rule act: it counts the matches that have the same values in the
// tracked fields, in windows of time that begin with a match.
type Threshold struct {
	Type Type
	// Track are the fields, each once; at least one.
	Track []*schemas.Field
	// Count is at least 1.
	Count uint32
	// Seconds is from 1 to MaxSeconds.
	Seconds uint32
	// Cap, if not 0, is how many matches may act in a window of Seconds for each host, interface and value of
	// link.flood, whatever the tracked values are: senders may make those up. Beyond that, matches whose
	// number is Cap times a power of two act. Matches about a settled address do not count there: each such
	// address has a cap, and all of an interface together have one ten times as large.
	Cap uint32
}

// String describes the threshold, for a person.
func (t *Threshold) String() string {
	names := make([]string, len(t.Track))
	for i, f := range t.Track {
		names[i] = f.Name
	}
	per := strings.Join(names, ", ")
	if t.Cap > 0 {
		per += fmt.Sprintf("; at most %d, and then ever fewer, for each host, interface, link.flood", t.Cap)
	}
	switch t.Type {
	case TypeLimit:
		return fmt.Sprintf("limit: at most %d in %d s for each %s", t.Count, t.Seconds, per)
	case TypeBoth:
		return fmt.Sprintf("both: one in %d s, at match %d, for each %s", t.Seconds, t.Count, per)
	}
	return fmt.Sprintf("threshold: one for every %d matches within %d s for each %s", t.Count, t.Seconds, per)
}

// window counts the matches since a time.
type window struct {
	start int64 // microseconds since 1970
	count uint64
}

const second = 1_000_000 // microseconds

// open reports whether the matches of the window still count. Those from before the clock of
// events was set back do not.
func (w *window) open(now int64, seconds uint32) bool {
	length := int64(seconds) * second
	return w.count > 0 && now-w.start < length && w.start-now <= length
}

// add counts a match, in a new window if this one is over.
func (w *window) add(now int64, seconds uint32) {
	if !w.open(now, seconds) {
		*w = window{start: now}
	}
	w.count++
}

// pass counts a match and reports whether it acts.
func (t *Threshold) pass(w *window, now int64) bool {
	w.add(now, t.Seconds)
	switch t.Type {
	case TypeLimit:
		return w.count <= uint64(t.Count)
	case TypeBoth:
		return w.count == uint64(t.Count)
	}
	if w.count < uint64(t.Count) {
		return false
	}
	w.count = 0
	return true
}

// passCap counts a match and reports whether a cap of most lets it act.
func (t *Threshold) passCap(w *window, most uint64, now int64) bool {
	w.add(now, t.Seconds)
	return w.count <= most || w.count%most == 0 && bits.OnesCount64(w.count/most) == 1
}

const (
	// MaxKeys is how many keys Counters usually have room for. They take some 10 MB.
	MaxKeys = 65536
	// MaxRule is the longest id of a rule, in bytes.
	MaxRule = 128
)

// Counters keep count of the matches of the rules that have a Threshold. They serve one goroutine.
//
// A rule counts separately for each key: the values of the fields that it tracks. Whatever is
// sent, the number of keys is bounded. For a new key, the one that was matched longest ago is
// dropped: of the host that has the most keys, there of the interface that has the most, and
// there of the rule. So made-up values on a link only push out keys of the same rule there.
type Counters struct {
	max int
	// keys has the index in the pool of each key.
	keys    map[key]int32
	pool    *pool.Pool[key, counter]
	rings   map[ring]*part
	turn    uint64 // counts the matches
	now     int64  // time of the match that is counted
	dropped uint64

	values []schemas.Value
	text   []byte
}

// ring is a rule on an interface.
type ring struct{ host, iface, rule string }

// part is the partition of the pool for a ring.
type part struct {
	*pool.Partition[key, counter]
	ring
}

// capped replaces the rule's id for the counters of an interface's caps, so that those of a rule do not push them out.
const capped = ""

// key is a hash, the same in every run, of a rule's id and the tracked
// values. Senders choose the values, so collisions must be infeasible.
type key [16]byte

// counter records the matches of a key.
type counter struct {
	of   *part
	turn uint64 // of the last match
	rule string
	window
	seconds uint32 // length of the window
	// matches counts those since the last that acted.
	matches uint64
}

// New returns Counters for a number of keys, at least 1.
func New(maxKeys int) *Counters {
	k := &Counters{max: max(maxKeys, 1), keys: map[key]int32{}, rings: map[ring]*part{}}
	k.pool = pool.New[key](maxKeys, 1, func(c *counter) int64 { return c.start })
	k.pool.Forgotten = k.forgotten
	return k
}

// Pass counts a match of a rule by an event, at the event's time, and reports whether the rule's threshold,
// which may be nil, lets it act. An alert then stands for count matches: those of its key since the last one
// that acted, itself included. Count is 1 for a rule without a threshold, and 0 if the match does not act.
//
// If the threshold has a cap, a match that may act by its key is counted for the cap too. Then count has the
// matches of all keys that the cap held back since it last let one act, and those of this match. So each
// match is in the count of one alert, or still waits in its key or in the cap. A match about a settled
// address has that address's cap and then the one of all settled addresses.
func (k *Counters) Pass(rule string, t *Threshold, e *schemas.Event) (count uint64, ok bool) {
	if t == nil {
		return 1, true
	}
	now := e.Time.UnixMicro()
	c := k.counter(k.key(rule, t, e), rule, e.Host, e.Interface, false, now)
	c.seconds = t.Seconds
	c.matches++
	if !t.pass(&c.window, now) {
		return 0, false
	}
	count, c.matches = c.matches, 0
	if t.Cap == 0 {
		return count, true
	}
	most := uint64(t.Cap)
	switch {
	case settled(e):
		if count, ok = k.passCap(rule, t, e, ofAddress, most, count, now); !ok {
			return 0, false
		}
		return k.passCap(rule, t, e, ofAddresses, manyCaps*most, count, now)
	case e.Link != nil && e.Link.Flood:
		return k.passCap(rule, t, e, ofFlood, most, count, now)
	}
	return k.passCap(rule, t, e, ofOthers, most, count, now)
}

// The kinds of caps that a rule has on an interface.
const (
	// ofOthers is for matches that are neither a flood's nor about a settled address.
	ofOthers = iota
	// ofFlood is for what was first seen in a flood that goes on.
	ofFlood
	// ofAddress is for one settled address that others claim, so that made-up addresses do
	// not use up its cap. ofAddresses is for all settled addresses, manyCaps times as large.
	ofAddress
	ofAddresses

	manyCaps = 10
)

// settled reports whether the event is about an address that is not made up.
func settled(e *schemas.Event) bool {
	return e.Link != nil && slices.ContainsFunc(e.Link.Claim, func(c schemas.LinkClaim) bool { return c.Settled })
}

// passCap counts a match, which stands for count, for a cap of the rule.
func (k *Counters) passCap(rule string, t *Threshold, e *schemas.Event, of byte, most, count uint64, now int64) (uint64, bool) {
	c := k.counter(k.capKey(rule, e, of), rule, e.Host, e.Interface, true, now)
	c.seconds = t.Seconds
	c.matches += count
	if !t.passCap(&c.window, most, now) {
		return 0, false
	}
	count, c.matches = c.matches, 0
	return count, true
}

// Dropped returns how many keys were dropped before their window was over. Their matches are counted from 0 again.
func (k *Counters) Dropped() uint64 { return k.dropped }

// How much memory is kept for the values of an event: their number, and their text in bytes.
const (
	maxScratch = 4096
	maxText    = 4096
)

func (k *Counters) key(rule string, t *Threshold, e *schemas.Event) key {
	if cap(k.values) > maxScratch || cap(k.text) > maxText {
		k.values, k.text = nil, nil
	}
	b := appendText(k.text[:0], rule)
	for _, f := range t.Track {
		k.values = f.AppendValues(k.values[:0], e)
		b = binary.AppendUvarint(b, uint64(len(k.values)))
		for i := range k.values {
			b = appendValue(b, f.Type, &k.values[i])
		}
	}
	k.text = b
	sum := sha256.Sum256(b)
	return key(sum[:])
}

// capKey is the key of a cap of a rule for the event's link. No other begins like it, for no rule's id is empty.
func (k *Counters) capKey(rule string, e *schemas.Event, of byte) key {
	b := append(appendText(appendText(appendText(appendText(k.text[:0], ""), rule), e.Host), e.Interface), of)
	if of == ofAddress {
		for i := range e.Link.Claim {
			if c := &e.Link.Claim[i]; c.Settled {
				addr := c.Address.As16()
				b = append(b, addr[:]...)
			}
		}
	}
	k.text = b
	sum := sha256.Sum256(k.text)
	return key(sum[:])
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendValue(b []byte, t schemas.FieldType, v *schemas.Value) []byte {
	switch t {
	case schemas.NoValue:
		return b
	case schemas.IPv6Address:
		addr := v.Addr.As16()
		return append(b, addr[:]...)
	case schemas.String:
		return appendText(b, v.Str)
	}
	return binary.AppendUvarint(b, v.Num)
}

// counter returns the counter of a key, made the newest of its ring.
func (k *Counters) counter(key key, rule, host, iface string, isCap bool, now int64) *counter {
	k.turn++
	k.now = now
	if i, known := k.keys[key]; known {
		c := k.pool.At(i)
		c.turn = k.turn
		c.of.Renew(i)
		return c
	}
	at := ring{host, iface, rule}
	if isCap {
		at.rule = capped
	}
	of := k.rings[at]
	if of == nil {
		of = &part{k.pool.Partition(host, iface, at.rule), at}
		k.rings[at] = of
	}
	i := of.Insert(key, pool.Once)
	k.keys[key] = i
	c := of.At(i)
	*c = counter{of: of, turn: k.turn, rule: rule}
	return c
}

// forgotten notes that a counter was dropped for another.
func (k *Counters) forgotten(key key, c counter) {
	if c.open(k.now, c.seconds) {
		k.dropped++
	}
	delete(k.keys, key)
	if c.of.Len() == 0 {
		c.of.Close()
		delete(k.rings, c.of.ring)
	}
}

// State is the counter of one key, as it is stored.
type State struct {
	Rule string `json:"rule"`
	// Host and Interface are where its first match was, Cap is true for a cap's.
	Host      string `json:"host,omitempty"`
	Interface string `json:"interface,omitempty"`
	Cap       bool   `json:"cap,omitempty"`
	// Key is a hash of the rule's id and the tracked values, 32 hexadecimal digits.
	Key string `json:"key"`
	// Start is when the window began, in microseconds since 1970, Seconds how
	// long it is and Count how many matches it has.
	Start   int64  `json:"start"`
	Seconds uint32 `json:"seconds"`
	Count   uint64 `json:"count"`
	// Matches counts those since the last that acted.
	Matches uint64 `json:"matches"`
}

// State returns the counters of all keys, the one matched longest ago first.
func (k *Counters) State() []State {
	type keyed struct {
		*counter
		key key
	}
	var counters []keyed
	for _, of := range k.rings {
		of.Each(func(key key, c *counter, _ int32) { counters = append(counters, keyed{c, key}) })
	}
	slices.SortFunc(counters, func(a, b keyed) int { return cmp.Compare(a.turn, b.turn) })
	var state []State
	for _, c := range counters {
		state = append(state, State{c.rule, c.of.host, c.of.iface, c.of.ring.rule == capped, hex.EncodeToString(c.key[:]), c.start, c.seconds, c.window.count, c.matches})
	}
	return state
}

// Restore replaces all counters by those that State returned. If there are too many, the last
// ones are kept. It ignores what is no state.
func (k *Counters) Restore(state []State) {
	*k = *New(k.max)
	k.pool.Forgotten = k.forgotten
	for _, s := range state[max(0, len(state)-k.max):] {
		hash, err := hex.DecodeString(s.Key)
		if err != nil || len(hash) != len(key{}) || len(s.Rule) > MaxRule {
			continue
		}
		c := k.counter(key(hash), s.Rule, s.Host, s.Interface, s.Cap, s.Start)
		c.seconds, c.matches = min(s.Seconds, MaxSeconds), s.Matches
		c.window = window{s.Start, s.Count}
	}
}
