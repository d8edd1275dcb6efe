package bench

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/prometheus/client_golang/prometheus"
)

// thinFleet is a cluster of nats-server with keys, some nd-ruled, and simulated hosts, which are
// connections of this process.
type thinFleet struct {
	*system
	keys    string   // a folder
	configs []string // of the servers
	client  bus.Config
	rules   string
	frames  [][]byte // that each host captures, again and again
	hosts   []*simulated
}

// The names of the processes, and what follows them.
const (
	natsServer = "nats-server"
	ndRuled    = "nd-ruled"
)

func nth(kind string, n int) string { return fmt.Sprint(kind, " ", n+1) }

// address returns the address of process n, as on a machine of its own.
func address(n, port int) string { return fmt.Sprintf("127.0.0.%d:%d", n+1, port) }

const (
	clients, leaves, status = 4222, 7422, 8222 // of nats-server
	metrics                 = 9102             // of nd-ruled
)

// sizes measures with each number of hosts, or with Config.Hosts.
func sizes(measure func(*thinFleet), sizes ...int) func(*run) {
	return func(r *run) {
		if r.Hosts > 0 {
			sizes = []int{r.Hosts}
		}
		for _, hosts := range sizes {
			r.within(func(r *run) {
				r.program.name = figure.Count.Text(float64(hosts)) + " hosts"
				measure(r.fleet(hosts))
			})
		}
	}
}

// fleet starts the servers and nd-ruled. The hosts have keys, and have not joined.
func (r *run) fleet(hosts int) *thinFleet {
	r.Helper()
	f := &thinFleet{system: &system{run: r, at: lab.New(r, "fleet")}, keys: filepath.Join(r.dir, "keys")}
	var names []string
	for n := range hosts {
		f.hosts = append(f.hosts, &simulated{thinFleet: f, name: fmt.Sprint("r", n)})
		names = append(names, f.hosts[n].name)
	}
	server, err := keys.Server{Data: r.dir}, error(nil)
	if f.client.URL = "nats://" + address(0, clients); r.Servers > 1 {
		var urls []string
		for n := range r.Servers {
			server.Cluster = append(server.Cluster, address(n, clients))
			urls = append(urls, "tls://"+address(n, clients))
		}
		f.client = bus.Config{URL: strings.Join(urls, ","), CA: filepath.Join(f.keys, "ca.pem")}
	}
	r.must(keys.Init(f.keys, keys.Hosts{Thin: names, Edges: names}, server, keys.Client{URL: keys.DefaultURL}, false), "make keys")
	f.configs, err = keys.ServerFiles(f.keys)
	r.must(err, "make keys")
	f.frames, err = captured(r.Corpus)
	r.must(err, "--corpus: read the frames of the hosts")
	f.rules = f.file("rules.xml", writeRules(ruleCount))
	for n := range r.Servers {
		f.serve(n)
	}
	var addresses []string
	for n := range r.Ruled {
		f.evaluate(n)
		addresses = append(addresses, address(n, metrics))
	}
	f.counts = func() counts { return f.metrics(addresses...) }
	return f
}

// serve starts server n.
func (f *thinFleet) serve(n int) {
	f.Helper()
	f.launch(nth(natsServer, n), f.Self, []string{serveNATS, f.configs[n]}, nil)
}

// evaluate starts nd-ruled n and waits until it reads events.
func (f *thinFleet) evaluate(n int) {
	f.Helper()
	f.says(f.launch(nth(ndRuled, n), filepath.Join(f.Bin, ndRuled), nil, []string{
		"NATS_URL=" + f.client.URL, "NATS_CA=" + f.client.CA, "NATS_NKEY=" + f.key(keys.Ruled, ""), "RULED_RULES=" + f.rules, "RULED_METRICS=" + address(n, metrics), "RULED_LOG_LEVEL=info",
	}), readsEvents)
}

func (f *thinFleet) key(role keys.Role, of string) string {
	return filepath.Join(f.keys, string(role)+of+".nk")
}

// take returns process n of a kind, which need not run from now on.
func (f *thinFleet) take(kind string, n int) part {
	at := slices.IndexFunc(f.parts, func(p part) bool { return p.name == nth(kind, n) })
	p := f.parts[at]
	f.parts = slices.Delete(f.parts, at, at+1)
	return p
}

// connect returns a connection with a key of the fleet.
func (f *thinFleet) connect(key string) *bus.Conn {
	cfg := f.client
	cfg.NKey = key
	return f.dial(cfg, "")
}

func (f *thinFleet) dial(cfg bus.Config, inboxes string) *bus.Conn {
	f.Helper()
	conn, err := bus.Connect(cfg, bus.Options{Name: "ndbench", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Dialer: f.at, Inboxes: inboxes})
	f.must(err, "connect to NATS")
	f.Cleanup(conn.NATS().Close)
	return conn
}
