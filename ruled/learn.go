package ruled

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/ndmon/ndmon/ruled/rulefile"
)

// Learned is what Run has learned, if Config.Learn is set.
type Learned struct {
	judge.Lessons
	// Took is how long learning took, or 0 if that does not matter.
	Took time.Duration
}

// WriteRouters writes a configuration that lists the routers, as rulefile.WriteRouters does.
// Without any it writes nothing and returns an error that says why there are none.
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

// nothing returns why there is no router.
func (l Learned) nothing() error {
	const shown = 5
	from := strings.Join(l.Interfaces[:min(shown, len(l.Interfaces))], ", ")
	if more := len(l.Interfaces) - shown; more > 0 {
		from += fmt.Sprintf(" and %d others", more)
	}
	switch {
	case l.Messages == 0:
		return errors.New("no Neighbor Discovery message came")
	case l.Advertisements == 0:
		return fmt.Errorf("%d Neighbor Discovery messages came, from %s, but no Router Advertisement", l.Messages, from)
	}
	return fmt.Errorf("%d Router Advertisements came, from %s, but none that hosts accept (RFC 4861, section 6.1.2)", l.Advertisements, from)
}
