package ruled

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/rulefile"
)

// Learned is what Run has learned where Config.Learn says so.
type Learned struct {
	// Links are the routers of each link that has any.
	Links []router.Link
	// Took is how long it listened, 0 where that says nothing.
	Took time.Duration

	lessons
	interfaces []string // that messages came from, as HOST/INTERFACE
}

// lessons counts what there was to learn from.
type lessons struct{ messages, advertisements uint64 }

// learned returns what was learned since a time.
func (e *evaluation) learned(since time.Time) Learned {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := Learned{Links: e.links.Learned(), Took: time.Since(since), lessons: e.lessons}
	for _, s := range e.links.State() {
		l.interfaces = append(l.interfaces, s.Host+"/"+s.Interface)
	}
	slices.Sort(l.interfaces)
	l.interfaces = slices.Compact(l.interfaces)
	return l
}

// WriteRouters writes a configuration that lists the routers, as
// rulefile.WriteRouters does. Without any it writes nothing and returns an error
// that says why there are none.
func (l Learned) WriteRouters(w io.Writer) error {
	if len(l.Links) == 0 {
		in := ""
		if l.Took > 0 {
			in = fmt.Sprintf(" in %v", l.Took.Round(100*time.Millisecond))
		}
		return fmt.Errorf("no router was learned%s: %w", in, l.nothing())
	}
	return rulefile.WriteRouters(w, l.Links)
}

// nothing says why there is no router.
func (l Learned) nothing() error {
	const shown = 5
	from := strings.Join(l.interfaces[:min(shown, len(l.interfaces))], ", ")
	if more := len(l.interfaces) - shown; more > 0 {
		from += fmt.Sprintf(" and %d others", more)
	}
	switch {
	case l.messages == 0:
		return errors.New("no Neighbor Discovery message came")
	case l.advertisements == 0:
		return fmt.Errorf("%d Neighbor Discovery messages came, from %s, but no Router Advertisement", l.messages, from)
	}
	return fmt.Errorf("%d Router Advertisements came, from %s, but none that hosts accept (RFC 4861, section 6.1.2)", l.advertisements, from)
}
