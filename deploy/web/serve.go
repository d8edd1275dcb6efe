package web

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/deploy/web/model"
	"github.com/ndmon/ndmon/ruled/central"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// Deps are the dependencies of Run.
type Deps struct {
	Log  *slog.Logger
	Conn *bus.Conn
	// Health receives why alerts cannot be read, or nil.
	Health   func(error)
	Registry prometheus.Registerer

	vendor   func(schemas.MAC) string
	consumer string
}

// Bounds of a request. A page has links and small forms; the largest is a frame in hexadecimal.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10
	maxBody       = 1 << 20
	// requestTimeout is for what a page asks NATS.
	requestTimeout = 10 * time.Second
)

//go:embed page
var files embed.FS

// server has what the handlers work with.
type server struct {
	Deps
	cfg    Config
	secret string
	now    func() time.Time
	model  *model.Model
	pages  map[string]*page
	live   *hub
	finds  *finds

	metrics *Metrics
	wrong   atomic.Int64 // when a wrong token was entered last, in Unix nanoseconds
}

func newServer(cfg Config, secret string, now func() time.Time, d Deps) (*server, error) {
	s := &server{Deps: d, cfg: cfg, secret: secret, now: now, finds: newFinds()}
	s.model = model.New(model.Deps{Log: d.Log, Conn: d.Conn, Now: now, Vendor: d.vendor, Rules: cfg.Rules, Central: cmp.Or(cfg.Central, central.Newest), Consumer: d.consumer, Health: d.Health})
	var err error
	if s.metrics, err = NewMetrics(d.Registry); err != nil {
		return nil, err
	}
	s.live = newHub(s.metrics.watchers)
	s.pages, err = s.makePages()
	return s, err
}

// Metrics are those of the page.
type Metrics struct {
	requests *prometheus.CounterVec
	watchers prometheus.Gauge
}

// NewMetrics returns the metrics, and registers them.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "nd_web_requests_total", Help: "Requests to the page, by status."}, []string{"code"}),
		watchers: prometheus.NewGauge(prometheus.GaugeOpts{Name: "nd_web_watchers", Help: "Pages that are open and updated live."}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.watchers} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of the page: %w", err)
		}
	}
	return m, nil
}

// serve serves the page on a listener until the context ends.
func serve(ctx context.Context, listener net.Listener, cfg Config, secret string, d Deps) error {
	s, err := newServer(cfg, secret, time.Now, d)
	if err != nil {
		listener.Close()
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	srv := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(d.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	group.Go(func() error { return s.model.Run(ctx) })
	group.Go(func() error { return s.follow(ctx) })
	group.Go(func() error {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the page: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return srv.Close()
	})
	d.Log.Info("serving the page", "url", "http://"+listener.Addr().String())
	if cfg.UserHeader != "" && !cfg.loopback() {
		d.Log.Warn("the page trusts this header from whoever reaches it: only the reverse proxy may", "header", cfg.UserHeader, "address", listener.Addr())
	}
	return group.Wait()
}

// handler returns the handler of all requests.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	for path, p := range s.pages {
		if p.data != nil {
			mux.Handle("GET "+path, s.show(p))
		}
	}
	mux.HandleFunc("GET /live", s.events)
	mux.HandleFunc("GET /charts/alerts.svg", s.alertsChart)
	mux.HandleFunc("GET /charts/frames.svg", s.framesChart)
	mux.HandleFunc("POST /silence", s.silence)
	mux.HandleFunc("POST /unsilence", s.unsilence)
	mux.HandleFunc("POST /find", s.ask)
	mux.HandleFunc("POST /why", s.why)
	mux.HandleFunc("GET /style.css", s.file("style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /live.js", s.file("live.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, errNotFound) })
	return s.count(s.guard(mux))
}

// file serves an embedded file.
func (s *server) file(name, kind string) http.HandlerFunc {
	data, err := files.ReadFile("page/" + name)
	return func(w http.ResponseWriter, r *http.Request) {
		if err != nil {
			s.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		w.Write(data)
	}
}
