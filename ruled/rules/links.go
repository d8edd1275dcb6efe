package rules

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/schemas"
)

// routerList is the routers of a file.
type routerList struct {
	links []link.Routers
	// places is where a link stands in links, lines where a router stands in the
	// file.
	places map[linkKey]int
	lines  map[routerKey]int
}

// linkKey names a link; the VLAN is -1 for none.
type linkKey struct {
	probe
	vlan int
}

type routerKey struct {
	linkKey
	mac       schemas.MAC
	linkLocal netip.Addr
}

func newRouterList() routerList {
	return routerList{places: map[linkKey]int{}, lines: map[routerKey]int{}}
}

func keyOf(r *link.Routers) linkKey {
	k := linkKey{probe{r.Host, r.Interface}, -1}
	if r.VLAN != nil {
		k.vlan = int(*r.VLAN)
	}
	return k
}

// sorted returns the links in an order that does not depend on the file.
func (l *routerList) sorted() []link.Routers {
	sortLinks(l.links)
	return l.links
}

func sortLinks(links []link.Routers) {
	slices.SortStableFunc(links, func(a, b link.Routers) int {
		x, y := keyOf(&a), keyOf(&b)
		return cmp.Or(cmp.Compare(x.host, y.host), cmp.Compare(x.iface, y.iface), cmp.Compare(x.vlan, y.vlan))
	})
}

// add adds a router of a link, unless it is there already: then it returns the
// line of that. It does not look whether there is room.
func (l *routerList) add(k linkKey, r link.Router, line int) (first int) {
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

// full says what there is no room for, or "".
func (l *routerList) full(k linkKey) string {
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
func (k linkKey) routers() link.Routers {
	r := link.Routers{Host: k.host, Interface: k.iface}
	if k.vlan >= 0 {
		vlan := uint16(k.vlan)
		r.VLAN = &vlan
	}
	return r
}
