package bench

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/wire"
	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/ndmon/ndmon/deploy/uplink"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/prometheus/client_golang/prometheus"
)

// edgeServer is the number of the server of all edges among the servers. It is not measured.
const edgeServer = 100

// joinAsEdges makes the hosts edges. A server has an account with JetStream for each, in place
// of their own servers, and a leaf node of the fleet's servers for each account.
func (f *thinFleet) joinAsEdges() {
	f.Helper()
	var accounts, remotes []string
	hubs := strings.NewReplacer(fmt.Sprint(":", clients), fmt.Sprint(":", leaves), "nats://", "nats-leaf://").Replace(f.client.URL)
	authority := ""
	if f.client.CA != "" {
		authority = fmt.Sprintf(", tls { ca_file: %q }", f.client.CA)
	}
	for _, h := range f.hosts {
		seed, err := os.ReadFile(f.key(keys.Edge, "-"+h.name))
		f.must(err, "read a key")
		accounts = append(accounts, fmt.Sprintf("%s { jetstream: enabled, users: [{ user: %[1]s, password: %[1]s }] }", h.name))
		remotes = append(remotes, fmt.Sprintf("{ urls: [%s], nkey: %q, account: %s%s }", hubs, strings.TrimSpace(string(seed)), h.name, authority))
	}
	config := fmt.Sprintf("server_name: edges\nlisten: %q\njetstream { store_dir: %q, domain: edges }\naccounts {\n%s\n}\nleafnodes { remotes: [\n%s\n] }\n",
		address(edgeServer, clients), filepath.Join(f.dir, "edges"), strings.Join(accounts, "\n"), strings.Join(remotes, "\n"))
	f.launch(nth(natsServer, edgeServer), f.Self, []string{serveNATS, f.file("edges.conf", config)}, nil)
	f.take(natsServer, edgeServer)
	for _, h := range f.hosts {
		hub, err := uplink.Open(hubs, f.key(keys.Edge, "-"+h.name), bus.Config{CA: f.client.CA})
		f.must(err, "find the hub")
		conn := f.dial(bus.Config{URL: "nats://" + address(edgeServer, clients), User: h.name, Password: h.name}, hub.Inboxes)
		f.eventually("there is a stream for the alerts of an edge", func() bool {
			// The server reserves AlertsBytes for each.
			_, err := bus.EnsureStreams(f.ctx, conn.JetStream(), bus.StreamConfig{NoEvents: true, NoExporter: true, Replicas: 1, AlertsBytes: 8 << 20, AlertsAge: time.Hour})
			return err == nil
		})
		h.publish(conn)
		dir := filepath.Join(f.dir, h.name)
		f.must(os.Mkdir(dir, 0o700), "make a folder")
		up, err := uplink.New(f.ctx, uplink.Config{
			Hub: hub, Directory: dir, Conn: conn, Away: func() error { return nil }, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		})
		f.must(err, "make an uplink")
		f.background(up.Run)
	}
}

// raise publishes the alert of a frame, with the next number, as an edge does.
func (h *simulated) raise() {
	frame := wire.NewRequest()
	frame.Set(alertTargets, uint32(h.numbered.Load()))
	h.take(frame[:])
	id := fmt.Sprint(h.name, "-", h.id)
	h.publisher.TryPublish(schemas.SubjectAlerts, id, (&schemas.Alert{
		Type: schemas.TypeAlert, Time: time.Now().UTC(), Severity: schemas.Warning, Host: h.name, Interface: capturing, Rule: alertRule, ID: id, Event: h.batch,
	}).AppendJSON(nil))
	h.batch = h.batch[:0]
	h.numbered.Add(1)
}

// fleetEdges measures what the alerts of edges cost their hub, and how long they are missing
// after faults of its servers.
func fleetEdges(f *thinFleet) {
	w := f.watch()
	f.joinAsEdges()
	f.turns(f.ctx, len(f.hosts), time.Second, (*simulated).raise)
	f.eventually("the first alert of each edge is stored", w.next(0))
	before := f.usage()
	alerts := f.turns(f.ctx, f.rate, f.Duration, (*simulated).raise)
	f.eventually("all alerts are stored", w.next(0))
	f.addCost("processor time an alert", before, f.usage(), float64(alerts.Frames), nil)
	f.add(figure.Figure{Name: "alerts sent a second", Value: alerts.Rate(), Unit: figure.PerSecond, Target: figure.AtLeast(onPace * float64(f.rate))})
	f.addMemory("", nil)
	w.takeovers((*simulated).raise, fault{natsServer, syscall.SIGTERM}, fault{natsServer, syscall.SIGKILL})
}
