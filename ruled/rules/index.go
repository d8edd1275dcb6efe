package rules

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"github.com/ndmon/ndmon/schemas"
)

// index finds the rules that are filed under a condition on one field.
type index struct {
	slot      int
	present   []int32
	numbers   map[uint64][]int32
	addresses map[netip.Addr][]int32
	prefixes  prefixes
	strings   map[string][]int32
}

// add files a rule under a condition.
func (ix *index) add(c *Condition, rule int32) {
	switch c.Field.Type {
	case schemas.NoValue:
		ix.present = append(ix.present, rule)
	case schemas.IPv6Address:
		if !c.Prefix.IsSingleIP() {
			ix.prefixes.add(c.Prefix, rule)
			return
		}
		put(&ix.addresses, c.Prefix.Addr(), rule)
	case schemas.String:
		put(&ix.strings, c.Str, rule)
	default:
		put(&ix.numbers, c.Num, rule)
	}
}

func put[K comparable](m *map[K][]int32, k K, rule int32) {
	if *m == nil {
		*m = map[K][]int32{}
	}
	(*m)[k] = append((*m)[k], rule)
}

// prefixes finds the rules of every prefix that covers an address. The table
// gives the longest one; each prefix knows the next shorter one that covers it.
type prefixes struct {
	table *bart.Fast[int32] // prefix to its place in nodes
	nodes []node
}

type node struct {
	prefix netip.Prefix
	parent int32 // -1 for none
	rules  []int32
}

func (p *prefixes) add(prefix netip.Prefix, rule int32) {
	if p.table == nil {
		p.table = &bart.Fast[int32]{}
	}
	n, ok := p.table.Get(prefix)
	if !ok {
		n = int32(len(p.nodes))
		p.nodes = append(p.nodes, node{prefix: prefix, parent: -1})
		p.table.Insert(prefix, n)
	}
	p.nodes[n].rules = append(p.nodes[n].rules, rule)
}

// link finds the parents, once all prefixes are in.
func (p *prefixes) link() {
	for i := range p.nodes {
		n := &p.nodes[i]
		if n.prefix.Bits() == 0 {
			continue
		}
		wider := netip.PrefixFrom(n.prefix.Addr(), n.prefix.Bits()-1).Masked()
		if _, parent, ok := p.table.LookupPrefixLPM(wider); ok {
			n.parent = parent
		}
	}
}
