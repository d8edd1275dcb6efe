package rules

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/ndmon/ndmon/schemas"
)

// MaxThresholdKeys is how many keys Thresholds are usually given room for;
// they take some 10 MB.
const MaxThresholdKeys = 65536

// Thresholds keep count of the matches of the rules that have a Threshold. They
// serve one goroutine.
//
// A rule counts separately for each key: the values of the fields that it
// tracks. Whatever is sent, there are at most as many keys as there is room for;
// the one that was matched longest ago makes way for a new one.
type Thresholds struct {
	max int
	// keys has, for each key, its place in counters.
	keys     map[thresholdKey]int32
	counters []counter
	// The counters are in a ring by their last match: next of newest is the one
	// before it.
	newest  int32
	dropped uint64

	values []schemas.Value
	text   []byte
}

// thresholdKey is a hash, the same in every run, of a rule's id and the tracked
// values. Senders choose the values, so it is one for which nobody can make up
// two keys that are alike.
type thresholdKey [16]byte

// counter is what is known of a key.
type counter struct {
	key  thresholdKey
	rule string
	window
	seconds uint32 // length of the window
	// matches counts those since the last that acted.
	matches    uint64
	next, prev int32
}

// NewThresholds returns Thresholds with room for a number of keys, at least 1.
func NewThresholds(maxKeys int) *Thresholds {
	return &Thresholds{max: max(maxKeys, 1), keys: map[thresholdKey]int32{}}
}

// Pass counts a match of a rule by an event, at the event's time, and reports
// whether the rule's threshold lets it act. An alert then stands for count
// matches: those of its key since the last one that acted, itself included. It
// is 1 for a rule without a threshold, and 0 when the match is held back.
func (t *Thresholds) Pass(rule *Rule, e *schemas.Event) (count uint64, ok bool) {
	if rule.Threshold == nil {
		return 1, true
	}
	now := e.Time.UnixMicro()
	c := t.counter(t.key(rule, e), now)
	c.rule, c.seconds = rule.ID, rule.Threshold.Seconds
	c.matches++
	if !rule.Threshold.pass(&c.window, now) {
		return 0, false
	}
	count, c.matches = c.matches, 0
	return count, true
}

// Dropped returns how many keys had to make way before their window was over:
// their matches are counted anew.
func (t *Thresholds) Dropped() uint64 { return t.dropped }

// maxThresholdText is how much room is kept for the values of an event, in bytes.
const maxThresholdText = 4096

func (t *Thresholds) key(rule *Rule, e *schemas.Event) thresholdKey {
	if cap(t.values) > maxScratch || cap(t.text) > maxThresholdText {
		t.values, t.text = nil, nil
	}
	b := appendText(t.text[:0], rule.ID)
	for _, f := range rule.Threshold.Track {
		t.values = f.AppendValues(t.values[:0], e)
		b = binary.AppendUvarint(b, uint64(len(t.values)))
		for i := range t.values {
			b = appendValue(b, f.Type, &t.values[i])
		}
	}
	t.text = b
	sum := sha256.Sum256(b)
	return thresholdKey(sum[:])
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

// counter returns the counter of a key, made the newest.
func (t *Thresholds) counter(key thresholdKey, now int64) *counter {
	i, known := t.keys[key]
	switch {
	case known && i == t.newest:
	case known:
		t.unlink(i)
		t.link(i)
	case len(t.counters) < t.max:
		i = int32(len(t.counters))
		t.counters = append(t.counters, counter{key: key})
		t.keys[key] = i
		t.link(i)
	default:
		i = t.counters[t.newest].prev // the oldest, for it is a ring
		c := &t.counters[i]
		if c.open(now, c.seconds) {
			t.dropped++
		}
		delete(t.keys, c.key)
		*c = counter{key: key, next: c.next, prev: c.prev}
		t.keys[key] = i
		t.newest = i
	}
	return &t.counters[i]
}

// unlink takes a counter that is not the newest out of the ring.
func (t *Thresholds) unlink(i int32) {
	c := &t.counters[i]
	t.counters[c.prev].next, t.counters[c.next].prev = c.next, c.prev
}

// link puts a counter before the newest, which makes it the newest.
func (t *Thresholds) link(i int32) {
	c := &t.counters[i]
	if len(t.counters) == 1 {
		c.next, c.prev = i, i
	} else {
		c.next, c.prev = t.newest, t.counters[t.newest].prev
		t.counters[c.prev].next, t.counters[c.next].prev = i, i
	}
	t.newest = i
}

// ThresholdState is what is known of one key, to be kept over a restart.
type ThresholdState struct {
	Rule string `json:"rule"`
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

// State returns what is known of all keys, the one matched longest ago first.
func (t *Thresholds) State() []ThresholdState {
	if len(t.counters) == 0 {
		return nil
	}
	state := make([]ThresholdState, 0, len(t.counters))
	for i := t.counters[t.newest].prev; ; i = t.counters[i].prev {
		c := &t.counters[i]
		state = append(state, ThresholdState{c.rule, hex.EncodeToString(c.key[:]), c.start, c.seconds, c.window.count, c.matches})
		if i == t.newest {
			return state
		}
	}
}

// Restore forgets all keys and takes over what State returned, of which the last
// are kept when it is more than there is room for. What is no state is passed
// over.
func (t *Thresholds) Restore(state []ThresholdState) {
	*t = *NewThresholds(t.max)
	for _, s := range state[max(0, len(state)-t.max):] {
		key, err := hex.DecodeString(s.Key)
		if err != nil || len(key) != len(thresholdKey{}) || len(s.Rule) > maxID {
			continue
		}
		c := t.counter(thresholdKey(key), s.Start)
		c.rule, c.seconds, c.matches = s.Rule, min(s.Seconds, MaxThresholdSeconds), s.Matches
		c.window = window{s.Start, s.Count}
	}
}
