package find

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/schemas"
)

// search collects the results for a target.
type search struct {
	target  netip.Addr
	found   bool
	probes  map[port]probe
	written map[place]bool
}

// port is an interface behind which a target is looked for. Without a slave, it stands for
// the host.
type port struct{ host, slave string }

// place is where the target was found.
type place struct {
	port
	ethernet string
}

// probe is the outcome of looking behind a port.
type probe struct {
	looked bool
	// held means that the host did not look because an earlier command had it look, why
	// is any other reason.
	held bool
	why  string
}

const (
	// maxResults bounds the ports and places in memory, because results may be forged.
	maxResults = 10_000
	// maxText bounds a text of a host, in characters.
	maxText = 200
)

func newSearch(target netip.Addr) *search {
	return &search{target: target, probes: map[port]probe{}, written: map[place]bool{}}
}

// add adds a result. If it says where the target is, add returns its line, unless a line
// for that place was written before.
func (s *search) add(r schemas.Result) []byte {
	at := port{r.Host, r.Slave}
	before, seen := s.probes[at]
	if !seen && len(s.probes) == maxResults {
		return nil
	}
	switch {
	case r.Status == schemas.Reachable:
		s.found = true
		s.probes[at] = probe{looked: true}
		return s.answer(at, r)
	case r.Status == schemas.Unreachable:
		s.probes[at] = probe{looked: true}
	case r.Reason == schemas.HeldDown && !seen:
		s.probes[at] = probe{held: true, why: whyNot(r)}
	case r.Reason != schemas.HeldDown && !before.looked:
		s.probes[at] = probe{why: whyNot(r)}
	}
	return nil
}

// answer returns the line of a result that says where the target is, once for each place.
func (s *search) answer(on port, r schemas.Result) []byte {
	ethernet := "-"
	if r.Ethernet != nil {
		ethernet = r.Ethernet.String()
	}
	at := place{on, ethernet}
	if s.written[at] || len(s.written) == maxResults {
		return nil
	}
	s.written[at] = true
	proxied := ""
	if r.Proxied {
		proxied = "  (answered by another router for it)"
	}
	return fmt.Appendf(nil, "%s  %s  %s  %s%s\n", printable(r.Host), printable(r.Slave), ethernet, printable(cmp.Or(r.RTT, "-")), proxied)
}

// whyNot returns why a host did not look.
func whyNot(r schemas.Result) string {
	reason := strings.ReplaceAll(string(r.Reason), "_", " ")
	if reason != "" && r.Error != "" {
		reason += ": "
	}
	return printable(cmp.Or(reason+r.Error, string(r.Status)))
}

// printable makes a text of a host fit for a terminal.
func printable(s string) string {
	if r := []rune(s); len(r) > maxText {
		s = string(r[:maxText]) + "…"
	}
	return alerts.Printable(s)
}

// summary writes which hosts looked for a target that was not found, and why the others
// did not.
func (s *search) summary(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "no host has %v\n", s.target)
	ports := slices.SortedFunc(maps.Keys(s.probes), func(a, b port) int {
		return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.slave, b.slave))
	})
	for len(ports) > 0 {
		host := ports[0].host
		n := slices.IndexFunc(ports, func(p port) bool { return p.host != host })
		if n < 0 {
			n = len(ports)
		}
		s.summarize(out, ports[:n])
		ports = ports[n:]
	}
	return out.Flush()
}

// summarize writes the outcome of the ports of one host.
func (s *search) summarize(w io.Writer, ports []port) {
	host := printable(ports[0].host)
	var looked []string
	for _, at := range ports {
		if s.probes[at].looked {
			looked = append(looked, printable(at.slave))
		}
	}
	if len(looked) > 0 {
		fmt.Fprintf(w, "  %s looked behind %s\n", host, strings.Join(looked, ", "))
	}
	for _, at := range ports {
		switch t := s.probes[at]; {
		case t.looked:
		case t.held && len(looked) > 0: // for the earlier command
		case at.slave == "":
			fmt.Fprintf(w, "  %s did not look: %s\n", host, t.why)
		default:
			fmt.Fprintf(w, "  %s did not look behind %s: %s\n", host, printable(at.slave), t.why)
		}
	}
}
