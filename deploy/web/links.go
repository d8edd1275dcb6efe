package web

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/deploy/web/model"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/schemas"
)

const (
	linksPerPage = 25
	// maxChanges bounds the changes of a link that are shown, maxOffers the options of a router of each kind.
	maxChanges = 10
	maxOffers  = 50
)

// linksPage has the data of the page of the links.
type linksPage struct {
	Host  string // the filter
	Links []linkView
	Pager pager
}

// linkView is a link as it is shown.
type linkView struct {
	model.LinkState
	Routers []routerView
	// Changes are the newest alerts about Router Advertisements on the link.
	Changes []*model.Alert
	Frames  chart
}

// routerView is a router as it is shown.
type routerView struct {
	router.Learned
	Vendor, State string
	Offers        []offer
}

// offer has the prefixes, or other options of a kind, that a router announces, each in words.
type offer struct {
	Name   string
	Values []string
}

func (s *server) links(_ context.Context, r *http.Request) (any, error) {
	s.model.Watch()
	d := linksPage{Host: r.URL.Query().Get("host")}
	all := s.model.Links()
	if d.Host != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(l model.LinkState) bool { return l.Link.Host != d.Host })
	}
	d.Pager = newPager(r.URL, len(all), linksPerPage)
	changes := map[model.Link][]*model.Alert{}
	list, _ := s.model.Alerts()
	for _, a := range slices.Backward(list) {
		if a.Router && len(changes[a.Link]) < maxChanges {
			changes[a.Link] = append(changes[a.Link], a)
		}
	}
	for _, l := range all[d.Pager.from:d.Pager.to] {
		v := linkView{LinkState: l, Changes: changes[l.Link], Frames: s.framesOf(l.Link.Host, l.Link.Interface)}
		for _, learned := range l.Routers {
			rv := routerView{Learned: learned, Vendor: s.vendor(learned.MAC), State: "in force", Offers: offersOf(&learned.Router)}
			switch {
			case learned.Stopped:
				rv.State = "stopped"
			case s.now().After(learned.Until):
				rv.State = "silent"
			case learned.Stub:
				rv.State = "stub router"
			}
			v.Routers = append(v.Routers, rv)
		}
		d.Links = append(d.Links, v)
	}
	return d, nil
}

// lifetime returns a lifetime in words, with a comma before it.
func lifetime[T uint16 | uint32](of string, seconds *T) string {
	switch {
	case seconds == nil:
		return ""
	case uint32(*seconds) == 1<<32-1:
		return ", " + of + " infinity"
	}
	return fmt.Sprintf(", %s %d s", of, *seconds)
}

// offersOf returns what a router announces.
func offersOf(r *router.Router) []offer {
	var list []offer
	add := func(name string, values []string) {
		if n := len(values) - maxOffers; n > 0 {
			values = append(values[:maxOffers:maxOffers], fmt.Sprintf("and %d more", n))
		}
		if len(values) > 0 {
			list = append(list, offer{name, values})
		}
	}
	var parameters []string
	if r.Lifetime != nil {
		parameters = append(parameters, fmt.Sprintf("router lifetime %d s", *r.Lifetime))
	}
	if r.Flags != nil {
		if names := schemas.AllFlags().RA.Names(*r.Flags); len(names) > 0 {
			parameters = append(parameters, "flags "+strings.Join(names, " "))
		}
		parameters = append(parameters, "preference "+schemas.DecodePreference(*r.Flags))
	}
	if r.CurHopLimit != nil {
		parameters = append(parameters, fmt.Sprintf("cur hop limit %d", *r.CurHopLimit))
	}
	if r.MTU != nil && *r.MTU != 0 {
		parameters = append(parameters, fmt.Sprintf("MTU %d", *r.MTU))
	}
	add("Parameters", parameters)
	add("Other addresses", words(r.Addresses, netip.Addr.String))
	add("Prefixes", words(r.Prefixes, func(p router.Prefix) string {
		text := p.Prefix.String()
		if p.Flags != nil {
			text += ", flags " + strings.Join(schemas.AllFlags().PrefixInfo.Names(*p.Flags), "")
		}
		return text + lifetime("valid", p.Valid) + lifetime("preferred", p.Preferred)
	}))
	add("DNS servers", words(r.RDNSS, func(d router.DNS) string { return d.Address.String() + lifetime("lifetime", d.Lifetime) }))
	add("Search domains", words(r.DNSSL, func(d router.Domain) string { return d.Domain + lifetime("lifetime", d.Lifetime) }))
	add("Routes", words(r.Routes, func(o router.Route) string {
		text := o.Prefix.String()
		if o.Flags != nil {
			text += ", preference " + schemas.DecodePreference(*o.Flags)
		}
		return text + lifetime("lifetime", o.Lifetime)
	}))
	add("NAT64 prefixes", words(r.NAT64, func(n router.NAT64) string { return n.Prefix.String() + lifetime("lifetime", n.Lifetime) }))
	add("Other options", words(r.Others, func(o router.Option) string { return fmt.Sprintf("option %d: %s", o.Type, o.Text) }))
	return list
}

// words returns the elements of a list in words.
func words[T any](list []T, of func(T) string) []string {
	var texts []string
	for _, element := range list {
		texts = append(texts, of(element))
	}
	return texts
}
