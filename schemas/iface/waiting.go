package iface

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// maxNamed bounds the interfaces that a warning lists.
const maxNamed = 50

// Waiting logs which patterns select no interface. The zero value has logged nothing.
type Waiting struct {
	// patterns selected no interface at the last Log.
	patterns []Pattern
}

// Log logs once, with the names of the interfaces that exist, which of the patterns select none.
// Those that have waited since the last Log are listed again only together with another one.
func (w *Waiting) Log(log *slog.Logger, level slog.Level, patterns []Pattern, links []Link) {
	var waiting []Pattern
	more := false
	for _, p := range patterns {
		if slices.Contains(waiting, p) || slices.ContainsFunc(links, func(l Link) bool { return p.Matches(&l) }) {
			continue
		}
		waiting = append(waiting, p)
		more = more || !slices.Contains(w.patterns, p)
	}
	w.patterns = waiting
	if !more {
		return
	}
	var wanted []string
	for _, p := range waiting {
		wanted = append(wanted, p.String())
	}
	log.Log(context.Background(), level, "waiting for interfaces", "wanted", strings.Join(wanted, ","), "existing", Names(links))
}

// Names returns the names of interfaces, separated by commas, for the log.
func Names(links []Link) string {
	var names []string
	for i := range links[:min(len(links), maxNamed)] {
		names = append(names, links[i].Name)
	}
	list := strings.Join(names, ",")
	if more := len(links) - maxNamed; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}
