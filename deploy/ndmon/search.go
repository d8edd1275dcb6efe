package ndmon

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/schemas"
)

// search is what is known of where a target is, and of who has looked for it.
type search struct {
	target netip.Addr
	found  bool
	tries  map[place]try
	// told are the lines that were written of answers.
	told map[string]bool
}

// place is where a target is looked for. Without a slave, it is the host as a
// whole.
type place struct{ host, slave string }

// try is what came of looking in a place.
type try struct {
	looked bool
	// held says that it was not looked there because it was looked already, why
	// what else kept the host from it.
	held bool
	why  string
}

// maxSearch bounds the places and lines that are remembered, for results may be
// forged, maxWhy the characters of what a host says.
const (
	maxSearch = 10_000
	maxWhy    = 200
)

func newSearch(target netip.Addr) *search {
	return &search{target: target, tries: map[place]try{}, told: map[string]bool{}}
}

// add takes a result and returns the line that tells of it, if it is an answer
// that was not told of before.
func (s *search) add(r schemas.Result) []byte {
	at := place{r.Host, r.Slave}
	was, known := s.tries[at]
	if !known && len(s.tries) == maxSearch {
		return nil
	}
	switch {
	case r.Status == schemas.Reachable:
		s.found = true
		s.tries[at] = try{looked: true}
		return s.tell(answer(r))
	case r.Status == schemas.Unreachable:
		s.tries[at] = try{looked: true}
	case r.Reason == schemas.HeldDown && !known:
		s.tries[at] = try{held: true, why: whyNot(r)}
	case r.Reason != schemas.HeldDown && !was.looked:
		s.tries[at] = try{why: whyNot(r)}
	}
	return nil
}

// tell returns a line unless it was told before.
func (s *search) tell(line string) []byte {
	if s.told[line] || len(s.told) == maxSearch {
		return nil
	}
	s.told[line] = true
	return []byte(line)
}

// answer is the line of a result that says where the target is.
func answer(r schemas.Result) string {
	ethernet := "-"
	if r.Ethernet != nil {
		ethernet = r.Ethernet.String()
	}
	proxied := ""
	if r.Proxied {
		proxied = "  (answered by another router for it)"
	}
	return fmt.Sprintf("%s  %s  %s  %s%s\n", words(r.Host), words(r.Slave), ethernet, words(cmp.Or(r.RTT, "-")), proxied)
}

// whyNot says what kept a host from looking.
func whyNot(r schemas.Result) string {
	reason := strings.ReplaceAll(string(r.Reason), "_", " ")
	if reason != "" && r.Error != "" {
		reason += ": "
	}
	return words(cmp.Or(reason+r.Error, string(r.Status)))
}

// words makes what a host says fit for a terminal.
func words(s string) string {
	if r := []rune(s); len(r) > maxWhy {
		s = string(r[:maxWhy]) + "…"
	}
	return printable(s)
}

// summary writes who has looked for a target that nobody has, and what kept the
// others from it.
func (s *search) summary(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "nobody has %v\n", s.target)
	places := slices.SortedFunc(maps.Keys(s.tries), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.slave, b.slave))
	})
	for len(places) > 0 {
		host := places[0].host
		n := slices.IndexFunc(places, func(p place) bool { return p.host != host })
		if n < 0 {
			n = len(places)
		}
		s.summarize(out, places[:n])
		places = places[n:]
	}
	return out.Flush()
}

// summarize writes what came of the places of one host.
func (s *search) summarize(w io.Writer, places []place) {
	host := words(places[0].host)
	var looked []string
	for _, at := range places {
		if s.tries[at].looked {
			looked = append(looked, words(at.slave))
		}
	}
	if len(looked) > 0 {
		fmt.Fprintf(w, "  %s looked behind %s\n", host, strings.Join(looked, ", "))
	}
	for _, at := range places {
		switch t := s.tries[at]; {
		case t.looked:
		case t.held && len(looked) > 0: // by the command that it was held down for
		case at.slave == "":
			fmt.Fprintf(w, "  %s did not look: %s\n", host, t.why)
		default:
			fmt.Fprintf(w, "  %s did not look behind %s: %s\n", host, words(at.slave), t.why)
		}
	}
}
