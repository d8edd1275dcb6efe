package revisions

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/deploy/fleet"
	"github.com/ndmon/ndmon/ruled/central"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/process"
)

const (
	// asks is how often the daemons are asked whether they have new rules in force, and askWait how long each time.
	asks    = 5
	askWait = time.Second
	// shown is how many daemons are named of those that have nothing to report.
	shown = 10
)

// outcome has the names of the daemons by what they did with a revision.
type outcome struct{ taken, pending, own, refused []string }

// taken waits until no daemon is about to use a revision, and says what they have made of it.
func (k *call) taken(r *central.Revision) error {
	var o outcome
	for range asks {
		daemons, err := fleet.Statuses(k.server, askWait)
		if err != nil {
			o = outcome{}
			break // such as without any daemon
		}
		if o = newOutcome(r, daemons); len(o.pending) == 0 || k.ctx.Err() != nil {
			break
		}
	}
	out := k.OutOrStdout()
	if len(o.taken)+len(o.pending)+len(o.own)+len(o.refused) == 0 {
		fmt.Fprintln(out, "no nd-ruled or edge answers: the rules are in force when one is there")
	}
	for _, group := range []struct {
		what  string
		names []string
	}{{"in force at", o.taken}, {"not yet in force at", o.pending}, {"not used, because of a rule file, at", o.own}} {
		if n := len(group.names); n > shown {
			group.names = append(group.names[:shown:shown], fmt.Sprintf("%d more", n-shown))
		}
		if len(group.names) > 0 {
			fmt.Fprintf(out, "%s %s\n", group.what, strings.Join(group.names, ", "))
		}
	}
	for _, refusal := range o.refused {
		fmt.Fprintln(out, refusal)
	}
	if len(o.refused) > 0 {
		return process.Status(process.ExitFailure)
	}
	return nil
}

func newOutcome(r *central.Revision, daemons []schemas.DaemonStatus) (o outcome) {
	for i := range daemons {
		d := &daemons[i]
		name := alerts.Printable(d.Part + " of " + d.Host)
		switch {
		case d.Rules == nil:
		case d.Rules.Revision == r.Revision:
			o.taken = append(o.taken, name)
		case strings.HasPrefix(d.Rules.Refused, r.Name()+":"):
			faults := strings.Split(d.Rules.Refused, "\n")
			for i := range faults {
				faults[i] = "\n  " + alerts.Printable(faults[i])
			}
			o.refused = append(o.refused, "refused by "+name+":"+strings.Join(faults, ""))
		case d.Rules.Source == "bucket" || d.Rules.Source == "built-in":
			o.pending = append(o.pending, name)
		default:
			o.own = append(o.own, name)
		}
	}
	for _, names := range [][]string{o.taken, o.pending, o.own, o.refused} {
		slices.Sort(names)
	}
	return o
}
