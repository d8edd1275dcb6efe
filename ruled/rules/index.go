package rules

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/ndmon/ndmon/schemas"
)

// index finds the rules that are filed under a condition on one field.
type index struct {
	slot      int
	present   bucket
	numbers   map[uint64]*bucket
	addresses map[netip.Addr]*bucket
	prefixes  prefixes
	strings   map[string]*bucket
}

// bucket is the rules that are filed under one condition: in a level of their
// own when they are many.
type bucket struct {
	rules []int32
	level *level
}

// add files a rule under a condition.
func (ix *index) add(c *Condition, rule int32) {
	b := &ix.present
	switch c.Field.Type {
	case schemas.NoValue:
	case schemas.IPv6Address:
		if c.Prefix.IsSingleIP() {
			b = under(&ix.addresses, c.Prefix.Addr())
		} else {
			b = ix.prefixes.under(c.Prefix)
		}
	case schemas.String:
		b = under(&ix.strings, c.Str)
	default:
		b = under(&ix.numbers, c.Num)
	}
	b.rules = append(b.rules, rule)
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

// buckets returns all that rules are filed in.
func (ix *index) buckets() []*bucket {
	all := []*bucket{&ix.present}
	all = slices.AppendSeq(all, maps.Values(ix.numbers))
	all = slices.AppendSeq(all, maps.Values(ix.addresses))
	all = slices.AppendSeq(all, maps.Values(ix.strings))
	for _, n := range ix.prefixes.nodes {
		all = append(all, &n.bucket)
	}
	return all
}

// prefixes finds the rules of every prefix that covers an address. The table
// gives the longest one; each knows the next shorter one that covers it.
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
