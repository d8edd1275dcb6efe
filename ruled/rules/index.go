package rules

import (
	"encoding/binary"
	"maps"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/glob"
)

// index finds the rules that are filed under a condition on one field.
type index struct {
	slot      int
	flag      *schemas.Field // the field, if it IsFlag
	present   bucket
	numbers   map[uint64]*bucket
	addresses map[netip.Addr]*bucket
	// prefixes are those of addresses or, for ranges of numbers, of numbers in the guise of addresses (numberAddr).
	prefixes prefixes
	ranges   bool
	strings  map[string]*bucket
	// heads are what the texts that match a pattern start with, and lengths all their lengths in bytes.
	heads   map[string]*bucket
	lengths []int
}

// bucket is the rules that are filed under one condition: in a level of their own when they are many.
type bucket struct {
	rules []int32
	level *level
}

func (b *bucket) add(rule int32) { b.rules = append(b.rules, rule) }

func (ix *index) add(c *Condition, rule int32) {
	if len(c.Values) == 0 {
		ix.present.add(rule)
	}
	for i := range c.Values {
		v := &c.Values[i]
		switch c.Field.Type {
		case schemas.IPv6Address:
			ix.address(v.Prefix).add(rule)
		case schemas.String:
			ix.text(v).add(rule)
		default:
			ix.number(v, rule)
		}
	}
}

func (ix *index) address(p netip.Prefix) *bucket {
	if p.IsSingleIP() {
		return under(&ix.addresses, p.Addr())
	}
	return ix.prefixes.under(p)
}

func (ix *index) text(v *Value) *bucket {
	if !v.Glob {
		return under(&ix.strings, v.Str)
	}
	head := glob.LiteralPrefix(v.Str)
	if head == "" {
		return &ix.present
	}
	if !slices.Contains(ix.lengths, len(head)) {
		ix.lengths = append(ix.lengths, len(head))
	}
	return under(&ix.heads, head)
}

func (ix *index) number(v *Value, rule int32) {
	if v.Min == v.Max {
		under(&ix.numbers, v.Min).add(rule)
		return
	}
	ix.ranges = true
	for lo := v.Min; lo <= v.Max; {
		// The largest block that starts here, is aligned and is in the range.
		size := min(bits.TrailingZeros64(lo|1<<32), bits.Len64(v.Max-lo+1)-1)
		ix.prefixes.under(netip.PrefixFrom(numberAddr(lo), 32-size)).add(rule)
		lo += 1 << size
	}
}

// numberAddr returns an address for a number of at most 32 bits, so that a range of numbers is a few prefixes.
func numberAddr(n uint64) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(n))
	return netip.AddrFrom4(a)
}

func under[K comparable](m *map[K]*bucket, k K) *bucket {
	if *m == nil {
		*m = map[K]*bucket{}
	}
	b, ok := (*m)[k]
	if !ok {
		b = &bucket{}
		(*m)[k] = b
	}
	return b
}

func (ix *index) buckets() []*bucket {
	all := []*bucket{&ix.present}
	all = slices.AppendSeq(all, maps.Values(ix.numbers))
	all = slices.AppendSeq(all, maps.Values(ix.addresses))
	all = slices.AppendSeq(all, maps.Values(ix.strings))
	all = slices.AppendSeq(all, maps.Values(ix.heads))
	for _, n := range ix.prefixes.nodes {
		all = append(all, &n.bucket)
	}
	return all
}

// prefixes finds the rules of every prefix that covers an address. The table finds the longest
// one; each links to the next shorter one that covers it.
type prefixes struct {
	table *bart.Fast[*node]
	nodes []*node
}

type node struct {
	prefix netip.Prefix
	parent *node
	bucket bucket
}

func (p *prefixes) under(prefix netip.Prefix) *bucket {
	if p.table == nil {
		p.table = &bart.Fast[*node]{}
	}
	n, ok := p.table.Get(prefix)
	if !ok {
		n = &node{prefix: prefix}
		p.nodes = append(p.nodes, n)
		p.table.Insert(prefix, n)
	}
	return &n.bucket
}

// link finds the parents.
func (p *prefixes) link() {
	for _, n := range p.nodes {
		if n.prefix.Bits() == 0 {
			continue
		}
		wider := netip.PrefixFrom(n.prefix.Addr(), n.prefix.Bits()-1).Masked()
		if _, parent, ok := p.table.LookupPrefixLPM(wider); ok {
			n.parent = parent
		}
	}
}

// level is where rules are filed: all of them, or those under one condition.
type level struct {
	number int
	// groups are the indexes, by the gates of their fields.
	groups []group
	// unfiled are the rules that have no condition to be filed under.
	unfiled []int32
}

// group has the indexes of fields with the same gate: for most groups, most events have none of the fields.
type group struct {
	gate    int // its number, noGate for fields that are always there
	indexes []*index
}
