package web

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/web/model"
	"github.com/ndmon/ndmon/schemas"
)

// silence acknowledges or silences a group.
func (s *server) silence(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, badRequest("The form cannot be read: %v.", err))
		return
	}
	of := group{Rule: r.PostForm.Get("rule"), Link: linkOf(r.PostForm), Station: r.PostForm.Get("station")}
	last, err := time.ParseDuration(r.PostForm.Get("for"))
	if err != nil || last <= 0 {
		s.fail(w, r, badRequest("%q is no time such as 8h.", r.PostForm.Get("for")))
		return
	}
	now := s.now().UTC()
	list, _ := s.model.Alerts()
	for _, a := range list {
		if of.has(a) && a.Time.After(now) {
			now = a.Time.UTC() // the clock of its host is ahead: it is acknowledged too
		}
	}
	silence := schemas.Silence{
		Type: schemas.TypeSilence, Kind: r.PostForm.Get("kind"), Time: now, Until: now.Add(last),
		Rule: of.Rule, Host: of.Link.Host, Interface: of.Link.Interface, Ethernet: model.ParseStation(of.Station),
		Reason: strings.TrimSpace(r.PostForm.Get("reason")), Who: cmp.Or(strings.TrimSpace(r.PostForm.Get("who")), "a user without a name"),
	}
	silence.VLAN, silence.InnerVLAN = of.Link.Tags()
	if name, _ := s.user(r); name != "" {
		silence.Who = name
	}
	switch {
	case of.Station != "" && silence.Ethernet == nil:
		err = badRequest("%q is no Ethernet address.", of.Station)
	case silence.Kind != schemas.Acknowledged && silence.Kind != schemas.Silenced:
		err = badRequest("%q is neither %s nor %s.", silence.Kind, schemas.Acknowledged, schemas.Silenced)
	case silence.Reason == "":
		err = badRequest("Enter a reason: others see it.")
	default:
		if err = silence.Check(); err != nil {
			err = badRequest("It is not stored: %v.", err)
		}
	}
	if err == nil {
		err = s.write(r, func(ctx context.Context) error { return s.model.Silence(ctx, silence) })
	}
	s.done(w, r, of.URL(), err)
}

// unsilence ends a silence.
func (s *server) unsilence(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, badRequest("The form cannot be read: %v.", err))
		return
	}
	of := group{Rule: r.PostForm.Get("rule"), Link: linkOf(r.PostForm), Station: r.PostForm.Get("station")}
	err := s.write(r, func(ctx context.Context) error { return s.model.EndSilence(ctx, r.PostForm.Get("key")) })
	s.done(w, r, of.URL(), err)
}

// write stores something, if the key of the page allows it.
func (s *server) write(r *http.Request, store func(context.Context) error) error {
	if !s.model.Rights().Silence {
		return httpError{http.StatusForbidden, "The key of this page may only read."}
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	return store(ctx)
}

// done answers a form: with the page that shows what it did, or an error.
func (s *server) done(w http.ResponseWriter, r *http.Request, to string, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
