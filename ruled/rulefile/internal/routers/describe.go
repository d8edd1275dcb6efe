package routers

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/ruled/link/router"
)

// Describe writes the routers of a link, for a person.
func Describe(w io.Writer, l *router.Link) {
	where := "every link"
	switch {
	case l.Host != "":
		where = l.Interface + " of " + l.Host
	case l.Interface != "":
		where = l.Interface + " of any host"
	}
	if l.VLAN != nil {
		where += fmt.Sprintf(", VLAN %d", *l.VLAN)
	}
	fmt.Fprintf(w, "routers of %s: %d\n", where, len(l.Routers))
	for i := range l.Routers {
		describeRouter(w, &l.Routers[i])
	}
}

func describeRouter(w io.Writer, r *router.Router) {
	volatile := ""
	if r.Volatile {
		volatile = ", whose parameters are not compared"
	}
	fmt.Fprintf(w, "  %s %s%s\n", r.MAC, r.LinkLocal, volatile)
	line := func(parts ...string) {
		if parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" }); len(parts) > 0 {
			fmt.Fprintf(w, "    %s\n", strings.Join(parts, ", "))
		}
	}
	line(known("lifetime", r.Lifetime, "s"), known("cur hop limit", r.CurHopLimit, ""), known("flags", r.Flags, ""),
		known("reachable", r.ReachableTimer, "ms"), known("retransmit", r.RetransTimer, "ms"), known("MTU", r.MTU, ""))
	for _, a := range r.Addresses {
		line("address " + a.String())
	}
	for _, p := range r.Prefixes {
		line("prefix "+p.Prefix.String(), known("flags", p.Flags, ""), known("valid", p.Valid, "s"), known("preferred", p.Preferred, "s"))
	}
	for _, d := range r.RDNSS {
		line("DNS "+d.Address.String(), known("lifetime", d.Lifetime, "s"))
	}
	for _, d := range r.DNSSL {
		line("search "+d.Domain, known("lifetime", d.Lifetime, "s"))
	}
	for _, route := range r.Routes {
		line("route "+route.Prefix.String(), known("flags", route.Flags, ""), known("lifetime", route.Lifetime, "s"))
	}
}

// known returns a parameter as text, or "" if it is not known.
func known[T uint8 | uint16 | uint32](name string, v *T, unit string) string {
	if v == nil {
		return ""
	}
	return strings.TrimSuffix(name+" "+decimal(v)+" "+unit, " ")
}
