package threshold

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/ndmon/ndmon/ruled/internal/share"
	"github.com/ndmon/ndmon/schemas"
)

const (
	// MaxKeys is how many keys Counters usually have room for. They take some 10 MB.
	MaxKeys = 65536
	// MaxRule is the longest id of a rule, in bytes.
	MaxRule = 128
)

// Counters keep count of the matches of the rules that have a Threshold. They
// serve one goroutine.
//
// A rule counts separately for each key: the values of the fields that it tracks. Whatever is
// sent, the number of keys is bounded. For a new key, the one that was matched longest ago is
// dropped: of the host that has the most keys, there of the interface that has the most, and
// there of the rule. So made-up values on a link only push out keys of the same rule there.
type Counters struct {
	max int
	// keys has the index in counters of each key.
	keys     map[key]int32
	counters []counter
	// all has the hosts, these their interfaces, and these their rules.
	all *share.Node[ring]
	// iface is the interface of the last new key.
	iface   *share.Node[ring]
	turn    uint64 // counts the matches
	dropped uint64

	values []schemas.Value
	text   []byte
}

// ring is the counters of a rule on an interface, by their last match: next of
// newest is the one before it.
type ring struct{ newest int32 }

// capped replaces the rule's id for the counters of an interface's caps, so that those of a
// rule do not push them out.
const capped = ""

// key is a hash, the same in every run, of a rule's id and the tracked
// values. Senders choose the values, so collisions must be infeasible.
type key [16]byte

// counter records the matches of a key.
type counter struct {
	key  key
	of   *share.Node[ring]
	turn uint64 // of the last match
	rule string
	window
	seconds uint32 // length of the window
	// matches counts those since the last that acted.
	matches    uint64
	next, prev int32
}

// New returns Counters with room for a number of keys, at least 1.
func New(maxKeys int) *Counters {
	return &Counters{max: max(maxKeys, 1), keys: map[key]int32{}, all: &share.Node[ring]{}}
}

// Pass counts a match of a rule by an event, at the event's time, and reports whether the
// rule's threshold, which may be nil, lets it act. An alert then stands for count matches:
// those of its key since the last one that acted, itself included. Count is 1 for a rule
// without a threshold, and 0 if the match does not act.
//
// If the threshold has a cap, a match that may act by its key is counted for the cap too. Then
// count has the matches of all keys that the cap held back since it last let one act, and
// those of this match. So each match is in the count of one alert, or still waits in its key
// or in the cap. A match about a settled address has that address's cap and then the one of
// all settled addresses.
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

// Dropped returns how many keys were dropped before their window was over. Their matches are
// counted from 0 again.
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

// capKey is the key of a cap of a rule for the event's link. No other begins like
// it, for no rule's id is empty.
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

// counter returns the counter of a key, made the newest of its rule on the
// interface.
func (k *Counters) counter(key key, rule, host, iface string, isCap bool, now int64) *counter {
	k.turn++
	i, known := k.keys[key]
	if known {
		c := &k.counters[i]
		c.turn = k.turn
		if of := &c.of.Value; of.newest != i {
			k.unlink(i)
			k.link(i)
		}
		return c
	}
	if at := k.iface; at == nil || at.Name() != iface || at.Parent().Name() != host {
		k.iface = k.all.Child(host).Child(iface)
	}
	name := rule
	if isCap {
		name = capped
	}
	of := k.iface.Child(name)
	if len(k.counters) < k.max {
		i = int32(len(k.counters))
		k.counters = append(k.counters, counter{})
		of.Add(0)
	} else {
		i = k.forget(of, now)
	}
	k.counters[i] = counter{key: key, of: of, turn: k.turn, rule: rule}
	k.keys[key] = i
	k.link(i)
	return &k.counters[i]
}

// forget drops a counter to make one of the wanted ring, counts it there, and returns its
// index.
func (k *Counters) forget(wanted *share.Node[ring], now int64) int32 {
	of := wanted.Most(0)
	i := k.counters[of.Value.newest].prev // the oldest, for it is a ring
	c := &k.counters[i]
	if c.open(now, c.seconds) {
		k.dropped++
	}
	delete(k.keys, c.key)
	k.unlink(i)
	if of != wanted {
		of.Remove(0)
		if of.Count(0) == 0 {
			of.Drop() // and perhaps its interface, which is not that of the one wanted
		}
		wanted.Add(0)
	}
	return i
}

// unlink removes a counter from its ring.
func (k *Counters) unlink(i int32) {
	c := &k.counters[i]
	k.counters[c.prev].next, k.counters[c.next].prev = c.next, c.prev
	if of := &c.of.Value; of.newest == i {
		of.newest = c.next
	}
}

// link puts a counter before the newest of its ring, which makes it the newest.
func (k *Counters) link(i int32) {
	c := &k.counters[i]
	of := &c.of.Value
	if c.of.Count(0) == 1 { // itself
		c.next, c.prev = i, i
	} else {
		c.next, c.prev = of.newest, k.counters[of.newest].prev
		k.counters[c.prev].next, k.counters[c.next].prev = i, i
	}
	of.newest = i
}

// State is the counter of one key, as it is stored.
type State struct {
	Rule string `json:"rule"`
	// Host and Interface are where its first match was, Cap is true for a cap's.
	Host      string `json:"host,omitempty"`
	Interface string `json:"interface,omitempty"`
	Cap       bool   `json:"cap,omitempty"`
	// Key is a hash of the rule's id and the tracked values, 32 hexadecimal
	// digits.
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
	if len(k.counters) == 0 {
		return nil
	}
	counters := slices.Clone(k.counters)
	slices.SortFunc(counters, func(a, b counter) int { return cmp.Compare(a.turn, b.turn) })
	state := make([]State, len(counters))
	for i := range counters {
		c := &counters[i]
		iface := c.of.Parent()
		state[i] = State{c.rule, iface.Parent().Name(), iface.Name(), c.of.Name() == capped, hex.EncodeToString(c.key[:]), c.start, c.seconds, c.window.count, c.matches}
	}
	return state
}

// Restore replaces all counters by those that State returned. If there are too many, the last
// ones are kept. It ignores what is no state.
func (k *Counters) Restore(state []State) {
	*k = *New(k.max)
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
