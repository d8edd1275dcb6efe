package web

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ndmon/ndmon/deploy/find"
	"github.com/ndmon/ndmon/deploy/history"
)

const (
	// maxFinds bounds the answers that are kept, findsFor for how long, and maxAsking how many are asked for at the same time.
	maxFinds  = 100
	findsFor  = 10 * time.Minute
	maxAsking = 4
	// maxFound bounds the answer of the pingers, in bytes.
	maxFound = 64 << 10
)

// finds has what the pingers answered lately.
type finds struct {
	mu     sync.Mutex
	list   map[netip.Addr]*found
	asking int
}

// found has the answers of the pingers about an address.
type found struct {
	asked time.Time
	text  bytes.Buffer
	done  bool
	fault string
}

func newFinds() *finds { return &finds{list: map[netip.Addr]*found{}} }

// findPage has the data of the page.
type findPage struct {
	Address string
	Fault   string // why the address cannot be looked for
	Known   historyPage
	// Asked is when the pingers were asked, zero if they were not. Lines are their answers.
	Asked   time.Time
	Lines   []string
	Asking  bool
	Trouble string
}

func (s *server) find(ctx context.Context, r *http.Request) (any, error) {
	d := findPage{Address: strings.TrimSpace(r.URL.Query().Get("address"))}
	if d.Address == "" {
		return d, nil
	}
	addr, err := find.ParseTarget(d.Address)
	if err != nil {
		d.Fault = err.Error()
	}
	if !addr.Is6() || addr.Zone() != "" {
		return d, nil
	}
	d.Address = addr.String()
	if d.Known, err = s.history(ctx, history.Query{Prefix: netip.PrefixFrom(addr, 128)}); err != nil {
		d.Known.Lacking = err.Error()
	}
	s.finds.mu.Lock()
	defer s.finds.mu.Unlock()
	if f := s.finds.list[addr]; f != nil {
		d.Asked, d.Asking, d.Trouble = f.asked, !f.done, f.fault
		d.Lines = strings.Split(strings.TrimSuffix(f.text.String(), "\n"), "\n")
	}
	return d, nil
}

// ask has the pingers look for an address, and shows the page on which their answers appear.
func (s *server) ask(w http.ResponseWriter, r *http.Request) {
	addr, err := find.ParseTarget(strings.TrimSpace(r.PostFormValue("address")))
	switch {
	case err != nil:
		err = badRequest("%v.", err)
	case !s.model.Rights().Find:
		err = httpError{http.StatusForbidden, "The key of this page may not ask the pingers."}
	case !s.start(addr):
		err = httpError{http.StatusTooManyRequests, "Other addresses are being looked for: try again in some seconds."}
	}
	s.done(w, r, "/find?address="+url.QueryEscape(addr.String()), err)
}

// start asks the pingers for an address, unless that is under way. It returns false if too many are asked for.
func (s *server) start(addr netip.Addr) bool {
	f := &found{asked: s.now()}
	s.finds.mu.Lock()
	defer s.finds.mu.Unlock()
	if before := s.finds.list[addr]; before != nil && !before.done {
		return true
	}
	for other, f := range s.finds.list {
		if f.done && (s.now().Sub(f.asked) > findsFor || len(s.finds.list) >= maxFinds) {
			delete(s.finds.list, other)
		}
	}
	if s.finds.asking == maxAsking {
		return false
	}
	s.finds.asking++
	s.finds.list[addr] = f
	go func() {
		// It outlives the request, and ends by itself.
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
		defer cancel()
		_, err := find.Ask(ctx, s.Conn.NATS(), addr, &foundWriter{s.finds, f, s.model.Changed})
		s.finds.mu.Lock()
		defer s.finds.mu.Unlock()
		s.finds.asking--
		if f.done = true; err != nil {
			f.fault = err.Error()
		}
		s.model.Changed()
	}()
	return true
}

// foundWriter adds to what was found, and calls changed.
type foundWriter struct {
	of      *finds
	to      *found
	changed func()
}

// Write is io.Writer's. It drops what there is no room for.
func (w *foundWriter) Write(p []byte) (int, error) {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	if w.to.text.Len()+len(p) <= maxFound {
		w.to.text.Write(p)
	}
	w.changed()
	return len(p), nil
}
