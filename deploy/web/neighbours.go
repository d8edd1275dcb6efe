package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/history"
	"github.com/ndmon/ndmon/deploy/web/model"
	"github.com/ndmon/ndmon/ruled/command"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/process"
)

const (
	rowsPerPage = 200
	// maxHistory bounds the bindings of an address or a station that are shown, the newest, maxBars those that are drawn.
	maxHistory = 500
	maxBars    = 60
)

// neighboursPage has the data of the page of the neighbours. The members of the filter are those of the form.
type neighboursPage struct {
	What, Vendor, Host, Interface, Since string
	Rows                                 []*model.Neighbour
	Pager                                pager
}

func (s *server) neighbours(_ context.Context, r *http.Request) (any, error) {
	s.model.Watch()
	q := r.URL.Query()
	d := neighboursPage{What: strings.TrimSpace(q.Get("what")), Vendor: strings.TrimSpace(q.Get("vendor")), Host: q.Get("host"), Interface: q.Get("interface"), Since: strings.TrimSpace(q.Get("since"))}
	wanted := func(model.Neighbour) bool { return true }
	if d.What != "" {
		filter, err := command.ParseFilter(d.What)
		if err != nil {
			return nil, badRequest("%v.", err)
		}
		wanted = filter
	}
	since, err := process.ParseTime(d.Since, s.now())
	if err != nil {
		return nil, badRequest("%v.", err)
	}
	all := s.model.Neighbours()
	rows := make([]*model.Neighbour, 0, len(all))
	made := map[string]bool{"": d.Vendor == ""} // which vendors are wanted: many stations have the same
	for i := range all {
		n := &all[i]
		if d.Host != "" && n.Host != d.Host || d.Interface != "" && n.Interface != d.Interface || n.LastSeen.Before(since) {
			continue
		}
		is, known := made[n.Vendor]
		if !known {
			is = strings.Contains(strings.ToLower(n.Vendor), strings.ToLower(d.Vendor))
			made[n.Vendor] = is
		}
		if is && wanted(*n) {
			rows = append(rows, n)
		}
	}
	d.Pager = newPager(r.URL, len(rows), rowsPerPage)
	d.Rows = rows[d.Pager.from:d.Pager.to]
	return d, nil
}

// historyPage has the data of the history of an address or of a station.
type historyPage struct {
	Of       string
	Address  bool
	Findable bool // pingers can look for it
	// Bindings are the newest, the newest first, and More is how many there are besides.
	Bindings []schemas.Binding
	More     int
	Bars     []bar
	From, To time.Time
	Lacking  string // why there is no history
}

// bar is a binding in the picture: where it begins and how long it is, in thousandths of the whole.
type bar struct {
	X, Width  int
	Text      string
	Contested bool
}

func (s *server) addressHistory(ctx context.Context, r *http.Request) (any, error) {
	addr, err := netip.ParseAddr(r.PathValue("address"))
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return nil, badRequest("%q is not an IPv6 address.", r.PathValue("address"))
	}
	d, err := s.history(ctx, history.Query{Prefix: netip.PrefixFrom(addr, 128)})
	d.Of, d.Address, d.Findable = addr.String(), true, schemas.CheckTarget(addr) == nil
	return d, err
}

func (s *server) stationHistory(ctx context.Context, r *http.Request) (any, error) {
	mac := model.ParseStation(r.PathValue("station"))
	if mac == nil {
		return nil, badRequest("%q is not an Ethernet address.", r.PathValue("station"))
	}
	d, err := s.history(ctx, history.Query{MAC: *mac})
	d.Of = mac.String()
	return d, err
}

// history reads bindings, and draws the newest.
func (s *server) history(ctx context.Context, q history.Query) (historyPage, error) {
	list, _, err := history.Read(ctx, s.Conn.NATS(), q)
	var d historyPage
	if errors.Is(err, history.ErrNone) {
		d.Lacking = err.Error()
		return d, nil
	}
	if err != nil {
		return d, err
	}
	slices.SortStableFunc(list, func(a, b schemas.Binding) int { return cmp.Or(b.Last.Compare(a.Last), b.First.Compare(a.First)) })
	d.More = max(0, len(list)-maxHistory)
	d.Bindings = list[:len(list)-d.More]
	drawn := d.Bindings[:min(len(d.Bindings), maxBars)]
	if len(drawn) == 0 {
		return d, nil
	}
	d.From, d.To = drawn[0].First, s.now()
	for i := range drawn {
		if drawn[i].First.Before(d.From) {
			d.From = drawn[i].First
		}
		if drawn[i].Last.After(d.To) {
			d.To = drawn[i].Last
		}
	}
	whole := max(d.To.Sub(d.From), time.Second)
	for i := range drawn {
		b := &drawn[i]
		what := b.Ethernet.String()
		if !q.Prefix.IsValid() {
			what = b.Address.String()
		}
		d.Bars = append(d.Bars, bar{
			X: int(1000 * b.First.Sub(d.From) / whole), Width: max(3, int(1000*b.Last.Sub(b.First)/whole)),
			Text: what + " on " + history.Where(b), Contested: b.Contested,
		})
	}
	return d, nil
}
