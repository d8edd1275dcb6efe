package web

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tmaxmax/go-sse"
)

const (
	// renderEach is the time between two renderings of what watchers see, and renderLatest when it is rendered without a change:
	// silences end by themselves.
	renderEach   = 500 * time.Millisecond
	renderLatest = 10 * time.Second
	// renderWait is the time for what a page asks NATS.
	renderWait = time.Second
	// maxWatchers bounds the open pages, maxTopics how many different ones, such as with other filters, are rendered.
	maxWatchers = 1000
	maxTopics   = 100
	// eventWait is how long a watcher may take to receive an event, aliveEach how often it receives one at least.
	eventWait = 10 * time.Second
	aliveEach = 20 * time.Second
)

// hub has the watchers of live pages. Each page is rendered once for all of its watchers. A watcher that is slow misses
// what is out of date: it gets the newest rendering of each part.
type hub struct {
	mu      sync.Mutex
	topics  map[string]*topic
	watched int
	gauge   prometheus.Gauge
}

// topic is a page with a query.
type topic struct {
	page     *page
	url      *url.URL
	rendered map[string][]byte
	messages map[string]*sse.Message
	watchers map[*watcher]bool
	version  uint64
	at       time.Time
}

// watcher is an open page. Wake receives when it has pending messages, by the names of the parts.
type watcher struct {
	wake    chan struct{}
	pending map[string]*sse.Message // hub.mu guards it
}

func newHub(gauge prometheus.Gauge) *hub { return &hub{topics: map[string]*topic{}, gauge: gauge} }

// join adds a watcher of a page. It returns nil if there are too many.
func (h *hub) join(p *page, u *url.URL) (w *watcher, leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := u.String()
	t := h.topics[key]
	if h.watched == maxWatchers || t == nil && len(h.topics) == maxTopics {
		return nil, nil
	}
	if t == nil {
		t = &topic{page: p, url: u, rendered: map[string][]byte{}, messages: map[string]*sse.Message{}, watchers: map[*watcher]bool{}}
		h.topics[key] = t
	}
	w = &watcher{wake: make(chan struct{}, 1), pending: maps.Clone(t.messages)}
	w.wake <- struct{}{}
	t.watchers[w] = true
	h.watched++
	h.gauge.Inc()
	return w, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.watched--
		h.gauge.Dec()
		if delete(t.watchers, w); len(t.watchers) == 0 {
			delete(h.topics, key)
		}
	}
}

// take returns the pending messages of a watcher, in the order of the names of their parts.
func (h *hub) take(w *watcher) []*sse.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []*sse.Message
	for _, part := range slices.Sorted(maps.Keys(w.pending)) {
		list = append(list, w.pending[part])
	}
	clear(w.pending)
	return list
}

// publish gives a message to all watchers of a topic.
func (h *hub) publish(t *topic, part string, html []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if bytes.Equal(t.rendered[part], html) {
		return
	}
	m := &sse.Message{Type: sse.Type(part)}
	m.AppendData(string(html))
	t.rendered[part], t.messages[part] = html, m
	for w := range t.watchers {
		w.pending[part] = m
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// follow renders what watchers see when it has changed, until the context ends.
func (s *server) follow(ctx context.Context) error {
	ticker := time.NewTicker(renderEach)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		version := s.model.Version()
		s.live.mu.Lock()
		topics := slices.Collect(maps.Values(s.live.topics))
		s.live.mu.Unlock()
		for _, t := range topics {
			if t.version != version || s.now().Sub(t.at) >= renderLatest {
				t.version, t.at = version, s.now()
				s.renderTopic(ctx, t)
			}
		}
	}
}

// renderTopic renders the parts of a page.
func (s *server) renderTopic(ctx context.Context, t *topic) {
	ctx, cancel := context.WithTimeout(ctx, renderWait) // the others wait for it
	defer cancel()
	r := (&http.Request{Method: http.MethodGet, URL: t.url}).WithContext(ctx)
	data, err := t.page.data(ctx, r)
	if err != nil {
		return // it is on the page when that is loaded again
	}
	v := s.view(t.page, t.url, data)
	for _, part := range t.page.parts {
		var b bytes.Buffer
		if err := t.page.template.ExecuteTemplate(&b, part, v); err != nil {
			s.Log.Error("a part of the page cannot be rendered", "page", t.page.path, "part", part, "error", err)
			return
		}
		s.live.publish(t, part, visible(b.Bytes()))
	}
}

// topicOf returns the page and its address in the query of a request for events.
func (s *server) topicOf(r *http.Request) (*page, *url.URL, error) {
	u, err := url.Parse(r.URL.Query().Get("page"))
	if err != nil {
		return nil, nil, badRequest("That is no address of a page.")
	}
	p := s.pages[u.Path]
	if u.Path == "/" {
		p = s.pages["/{$}"]
	}
	if p == nil || len(p.parts) == 0 {
		return nil, nil, errNotFound
	}
	return p, &url.URL{Path: u.Path, RawQuery: u.Query().Encode()}, nil
}

// events sends the parts of a page as server-sent events, when they change.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	p, u, err := s.topicOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	watcher, leave := s.live.join(p, u)
	if watcher == nil {
		s.fail(w, r, httpError{http.StatusServiceUnavailable, "Too many pages are open."})
		return
	}
	defer leave()
	session, err := sse.Upgrade(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
	alive := &sse.Message{}
	alive.AppendComment("alive")
	deadline := http.NewResponseController(w)
	deadline.SetReadDeadline(time.Time{}) // it has no body; without this the server ends the request
	ticker := time.NewTicker(aliveEach)
	defer ticker.Stop()
	for list := []*sse.Message{alive}; ; {
		deadline.SetWriteDeadline(time.Now().Add(eventWait))
		for _, m := range list {
			if session.Send(m) != nil {
				return
			}
		}
		if session.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-watcher.wake:
			list = s.live.take(watcher)
		case <-ticker.C:
			list = []*sse.Message{alive}
		}
	}
}
