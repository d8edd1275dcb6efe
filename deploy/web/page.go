package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/deploy/history"
	"github.com/ndmon/ndmon/deploy/web/model"
	"github.com/ndmon/ndmon/schemas"
)

// page is a page of the server.
type page struct {
	path, title string
	// parts are the templates that are rendered again when what they show has changed.
	parts []string
	// data returns what the page shows.
	data     func(ctx context.Context, r *http.Request) (any, error)
	template *template.Template
}

// view has the values for the templates.
type view struct {
	Title, Path string
	// Events is the address of the live parts of the page, empty if it has none.
	Events string
	User   string
	Login  bool // the page needs a token
	Faults []string
	Rights model.Rights
	Now    time.Time
	Data   any
}

var errNotFound error = httpError{http.StatusNotFound, "There is no such page."}

func (s *server) makePages() (map[string]*page, error) {
	base, err := template.New("layout.html").Funcs(s.functions()).ParseFS(files, "page/layout.html")
	if err != nil {
		return nil, fmt.Errorf("read the templates: %w", err)
	}
	pages := map[string]*page{}
	for _, p := range []struct {
		file string
		page page
	}{
		{"alerts", page{path: "/{$}", title: "What is wrong now", parts: []string{"now"}, data: s.groups}},
		{"group", page{path: "/group", title: "Alerts of a group", data: s.group}},
		{"alert", page{path: "/alerts/{sequence}", title: "Alert", data: s.alert}},
		{"links", page{path: "/links", title: "Links", parts: []string{"links"}, data: s.links}},
		{"neighbours", page{path: "/neighbours", title: "Neighbours", parts: []string{"neighbours"}, data: s.neighbours}},
		{"history", page{path: "/addresses/{address}", title: "History of an address", data: s.addressHistory}},
		{"history", page{path: "/stations/{station}", title: "History of a station", data: s.stationHistory}},
		{"find", page{path: "/find", title: "Find an address", parts: []string{"found"}, data: s.find}},
		{"rules", page{path: "/rules", title: "Rules", parts: []string{"rules"}, data: s.rules}},
		{"why", page{path: "/why", title: "Why a rule matches", data: s.whyForm}},
		{"fleet", page{path: "/fleet", title: "Fleet", parts: []string{"fleet"}, data: s.fleet}},
		{"login", page{path: loginPath, title: "Log in"}},
		{"error", page{path: "error", title: "Error"}},
	} {
		clone, err := base.Clone()
		if err == nil {
			p.page.template, err = clone.ParseFS(files, "page/"+p.file+".html")
		}
		if err != nil {
			return nil, fmt.Errorf("read the template %s: %w", p.file, err)
		}
		if len(p.page.parts) > 0 {
			p.page.parts = append(p.page.parts, "faults")
		}
		pages[p.page.path] = &p.page
	}
	return pages, nil
}

// functions are those of the templates.
func (s *server) functions() template.FuncMap {
	return template.FuncMap{
		"p": alerts.Printable,
		"time": func(t time.Time) template.HTML {
			if t.IsZero() {
				return "–"
			}
			t = t.In(s.now().Location())
			return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `">` + t.Format("2006-01-02 15:04:05") + `</time>`) // digits and signs only
		},
		"where": func(b schemas.Binding) string { return history.Where(&b) },
		"on": func(n *model.Neighbour) string {
			return model.LinkOf(n.Host, n.Interface, n.VLAN, n.InnerVLAN).String()
		},
		"pages": func() []*page {
			return []*page{s.pages["/{$}"], s.pages["/links"], s.pages["/neighbours"], s.pages["/find"], s.pages["/rules"], s.pages["/why"], s.pages["/fleet"]}
		},
	}
}

// Title and Path are for templates.
func (p *page) Title() string { return p.title }

// Path returns the path without a pattern.
func (p *page) Path() string {
	if p.path == "/{$}" {
		return "/"
	}
	return p.path
}

// show answers with a page.
func (s *server) show(p *page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		data, err := p.data(ctx, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.render(w, r, p, http.StatusOK, data)
	}
}

// view returns what the templates of a page get.
func (s *server) view(p *page, u *url.URL, data any) view {
	v := view{Title: p.title, Path: p.Path(), Faults: s.model.Faults(), Rights: s.model.Rights(), Now: s.now(), Data: data}
	if len(p.parts) > 0 {
		v.Events = "/live?page=" + url.QueryEscape(p.Path()+"?"+u.Query().Encode())
	}
	return v
}

// render writes a page.
func (s *server) render(w http.ResponseWriter, r *http.Request, p *page, status int, data any) {
	v := s.view(p, r.URL, data)
	v.User, _ = s.user(r)
	var b bytes.Buffer
	if err := p.template.ExecuteTemplate(&b, "layout.html", v); err != nil {
		s.Log.Error("a page cannot be rendered", "page", p.path, "error", err)
		http.Error(w, "The page cannot be rendered, see the log.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(visible(b.Bytes()))
}

// fail answers with an error.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var known httpError
	if !errors.As(err, &known) {
		known = httpError{http.StatusBadGateway, err.Error()}
		if errors.Is(err, model.ErrNoAlert) {
			known.status = http.StatusNotFound
		}
	}
	if r.URL.Path == "/live" {
		http.Error(w, known.text, known.status)
		return
	}
	s.render(w, r, s.pages["error"], known.status, known.text)
}

// visible replaces the characters of a page that are not printable, apart from line feeds: names come from the wire, and could
// change the direction of the text. Templates show most of them by alerts.Printable; this is for what they miss.
func visible(html []byte) []byte {
	for i := 0; i < len(html); {
		if c := html[i]; c >= ' ' && c < 0x7f || c == '\n' || c == '\t' {
			i++
			continue
		}
		r, size := utf8.DecodeRune(html[i:])
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			for at := range size {
				html[i+at] = '?'
			}
		}
		i += size
	}
	return html
}
