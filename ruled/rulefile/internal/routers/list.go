// Package routers reads, sorts, writes and describes the routers that a rule file lists.
package routers

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/schemas"
)

// Probe names a link as NDPMon does: an interface of any host, or of one. The zero Probe
// is every link.
type Probe struct{ Host, Interface string }

// The types of probes in a file.
const (
	LocalProbe  = "interface"
	RemoteProbe = "remote"
)

// Bounds of the routers in a file.
const (
	maxLinks   = 10000
	maxRouters = 1024 // of a link
)

// List is the routers of a file.
type List struct {
	links []router.Link
	// places has the index in links of each link, lines the line of each router in the file.
	places map[linkKey]int
	lines  map[routerKey]int
}

// linkKey names a link; the VLAN is -1 for none.
type linkKey struct {
	Probe
	vlan int
}

type routerKey struct {
	linkKey
	mac       schemas.MAC
	linkLocal netip.Addr
}

// NewList returns an empty list.
func NewList() List {
	return List{places: map[linkKey]int{}, lines: map[routerKey]int{}}
}

func keyOf(r *router.Link) linkKey {
	k := linkKey{Probe{r.Host, r.Interface}, -1}
	if r.VLAN != nil {
		k.vlan = int(*r.VLAN)
	}
	return k
}

// Sorted returns the links in an order that does not depend on the file.
func (l *List) Sorted() []router.Link {
	Sort(l.links)
	return l.links
}

// Sort sorts links by host, interface and VLAN.
func Sort(links []router.Link) {
	slices.SortStableFunc(links, func(a, b router.Link) int {
		x, y := keyOf(&a), keyOf(&b)
		return cmp.Or(cmp.Compare(x.Host, y.Host), cmp.Compare(x.Interface, y.Interface), cmp.Compare(x.vlan, y.vlan))
	})
}

// add adds a router of a link, unless it is there already: then it returns the
// line of that. See full.
func (l *List) add(k linkKey, r router.Router, line int) (first int) {
	place, known := l.places[k]
	if !known {
		place = len(l.links)
		l.places[k] = place
		l.links = append(l.links, k.routers())
	}
	rk := routerKey{k, r.MAC, r.LinkLocal}
	if first := l.lines[rk]; first != 0 {
		return first
	}
	l.lines[rk] = line
	l.links[place].Routers = append(l.links[place].Routers, r)
	return 0
}

// full returns what there are too many of to add another router of a link, or "".
func (l *List) full(k linkKey) string {
	place, known := l.places[k]
	switch {
	case !known && len(l.links) == maxLinks:
		return fmt.Sprintf("routers for more than %d links", maxLinks)
	case known && len(l.links[place].Routers) == maxRouters:
		return fmt.Sprintf("more than %d routers for one link", maxRouters)
	}
	return ""
}

// routers returns the link without any.
func (k linkKey) routers() router.Link {
	r := router.Link{Host: k.Host, Interface: k.Interface}
	if k.vlan >= 0 {
		vlan := uint16(k.vlan)
		r.VLAN = &vlan
	}
	return r
}
