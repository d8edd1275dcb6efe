package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// edge is a router whose ndmon is an edge, and its hub, a NATS server with nd-ruled and the keys of ndmon keys, on a
// network between them.
type edge struct {
	*lab.Router
	t       *testing.T
	hub     *broker
	keys    string // directory
	ca      string
	nc      *nats.Conn // of the hub's admin
	command lab.Command
	out     string // file with the alerts of all runs
}

const hubAddress = "192.0.2.1"

// newEdge makes the networks, the keys and the files. Nothing runs yet.
func newEdge(t *testing.T, args ...string) *edge {
	t.Helper()
	e := &edge{Router: lab.NewRouter(t), t: t, out: file(t), keys: filepath.Join(t.TempDir(), "keys")}
	at := lab.New(t, "hub")
	at.Veth("up", e.Namespace, "uplink")
	at.Address("up", hubAddress+"/30")
	e.Address("uplink", "192.0.2.2/30")
	ca, cert, key := certificates(t)
	e.ca = ca
	succeed(t, program("ndmon", "keys", "init", e.keys, "--edges", "r1", "--data", t.TempDir(), "--tls-cert", cert, "--tls-key", key))
	e.hub = &broker{t: t, at: at, conf: filepath.Join(e.keys, "nats-server.conf")}
	e.command = with(program("ndmon", append([]string{
		"-m", lab.Master, "-s", lab.Slave1 + "," + lab.Slave2, "--data", t.TempDir(), "--metrics", ":9100",
		"--hub", "tls://" + hubAddress, "--key", filepath.Join(e.keys, "edge-r1.nk"),
	}, args...)...), "NATS_CA="+ca)
	return e
}

// as returns a command at the hub with the key of a user.
func (e *edge) as(user string, c lab.Command) lab.Command {
	return with(c, "NATS_NKEY="+filepath.Join(e.keys, user+".nk"), "NATS_CA="+e.ca, "NATS_URL=tls://127.0.0.1")
}

// startHub starts the hub, the first time together with its nd-ruled.
func (e *edge) startHub() {
	e.t.Helper()
	e.hub.start()
	if e.nc != nil {
		return
	}
	e.nc = as(e.t, e.hub.at, filepath.Join(e.keys, "admin.nk"), e.ca, nats.MaxReconnects(-1), nats.ReconnectWait(2*time.Millisecond))
	e.hub.at.Start(e.as("ruled", program("nd-ruled"))).Stderr.WaitFor("reading events")
}

// start starts the ndmon of the edge and waits until it captures.
func (e *edge) start() *lab.Process {
	e.t.Helper()
	p := e.Start(into(e.out, e.command))
	p.Stderr.WaitFor("pinger ready")
	p.Stderr.WaitFor("msg=capturing") // it may come before
	return p
}

// atHub returns the alerts of the edge that the hub has stored.
func (e *edge) atHub() []alert {
	e.t.Helper()
	return slices.DeleteFunc(storedAlerts(e.t, e.nc), func(a alert) bool {
		return a.Rule == "sensor-lost" || a.Rule == "sensor-back" || a.Rule == "pinger-lost" || a.Rule == "pinger-back"
	})
}

// flowed waits until the hub has the alert of the last of so many frames, and checks that it has those that the
// edge has written, each once and in their order.
func (e *edge) flowed(frames int) {
	e.t.Helper()
	last := func(alerts []alert) bool {
		on := numbers(e.t, alerts)
		return len(on) > 0 && on[len(on)-1] == frames-1
	}
	lab.Eventually(e.t, "the edge has written the last alert", func() bool { return last(written(e.t, e.out)) })
	lab.Eventually(e.t, "the hub has the last alert", func() bool { return last(e.atHub()) })
	stored := e.stored()
	equal(e.t, "alerts at the hub and at the edge", ids(stored), ids(e.atHub()))
}

// stored returns the alerts that the edge has stored.
func (e *edge) stored() []alert {
	e.t.Helper()
	return storedAlerts(e.t, connect(e.t, e.Namespace, localNATS))
}

func ids(alerts []alert) (list []string) {
	for _, a := range alerts {
		list = append(list, a.ID)
	}
	return list
}

// health returns the answer of the edge about its health.
func (e *edge) health() string {
	e.t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: e.DialContext, DisableKeepAlives: true}, Timeout: lab.Patience}
	answer, err := client.Get("http://127.0.0.1:9100/health")
	must(e.t, err)
	defer answer.Body.Close()
	body := make([]byte, 4096)
	n, _ := answer.Body.Read(body)
	return fmt.Sprintf("%d %s", answer.StatusCode, body[:n])
}

// relays has the kernel look for a host behind a slave, which ndmon finds.
func (e *edge) relays() {
	e.t.Helper()
	e.Solicit(lab.Host2Address)
	lab.Eventually(e.t, "the host behind slave 2 is reachable", func() bool {
		return e.NeighbourState(lab.Slave2, lab.Host2Address) == "REACHABLE"
	})
}

// While the cable to the hub is pulled, an edge relays and alerts. When it is back, the hub gets each alert
// once and in order, and its subscribers see them.
func TestEdgeWithoutCable(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.startHub()
	live := collect(t, as(t, e.hub.at, filepath.Join(e.keys, "viewer.nk"), e.ca), schemas.SubjectAlerts)
	p := e.start()
	p.Stderr.WaitFor("alerts reach the hub")
	f := startFlow(t, e.Upstream.Wire("eth0"))
	f.wait(200)
	parseAlert(t, next(t, live, "an alert at the hub").Data)
	e.Down("uplink")
	f.wait(2000)
	e.relays()
	p.Stderr.WaitFor("the hub is away")
	if got := e.health(); !strings.HasPrefix(got, "200 healthy, but alerts do not reach the hub: ") {
		t.Errorf("health: %s", got)
	}
	f.wait(200)
	if n := metric(t, e.Namespace, "127.0.0.1:9100", "nd_uplink_waiting"); n < 200 {
		t.Errorf("%v alerts wait", n)
	}
	e.Up("uplink")
	n := p.Stderr.WaitForAfter(0, "the hub is away", "alerts reach the hub")
	f.wait(200)
	e.flowed(f.end())
	exactlyOnce(t, "standard output", f.end(), written(t, e.out))
	if got := e.health(); got != "200 healthy\n" {
		t.Errorf("health: %s", got)
	}
	if more := p.Stderr.String()[n:]; strings.Contains(more, "level=WARN") || strings.Contains(more, "level=ERROR") {
		t.Error(more)
	}
	stop(t, p)
}

// An edge that starts without its hub relays and alerts, and so does the next one after a kill. The hub that
// comes later gets each alert once and in order.
func TestEdgeStartsAlone(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	p := e.start()
	f := startFlow(t, e.Upstream.Wire("eth0"))
	f.wait(300)
	e.relays()
	p.Kill()
	f.wait(100)
	p = e.start()
	f.wait(300)
	frames := f.end()
	e.startHub()
	p.Stderr.WaitFor("alerts reach the hub")
	lab.Eventually(t, "the last alert is stored", func() bool {
		stored := numbers(t, e.stored())
		return stored[len(stored)-1] == frames-1
	})
	e.arrived()
	stop(t, p)
}

// arrived waits until the hub has what the edge has stored.
func (e *edge) arrived() {
	e.t.Helper()
	want := ids(e.stored())
	lab.Eventually(e.t, "the hub has the alerts", func() bool { return len(e.atHub()) >= len(want) })
	equal(e.t, "alerts at the edge and at the hub", want, ids(e.atHub()))
}

// However often edge and hub are killed, the hub gets each alert once and in order.
func TestEdgeAndHubAreKilled(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.startHub()
	p := e.start()
	f := startFlow(t, e.Upstream.Wire("eth0"))
	for i := range 12 {
		f.wait(100 + rand.IntN(900))
		if i%2 == 0 {
			p.Kill()
			f.wait(50)
			p = e.start()
		} else {
			e.hub.Kill()
			f.wait(50)
			e.startHub()
		}
	}
	f.wait(100)
	f.end()
	lab.Eventually(t, "the last alert is stored", func() bool {
		stored, on := numbers(t, e.stored()), numbers(t, written(t, e.out))
		return stored[len(stored)-1] == on[len(on)-1]
	})
	e.arrived()
	stop(t, p)
}

// Events cross while anyone at the hub subscribes to them, and nothing else of the edge crosses by itself. Relay
// commands of the hub reach the pinger of the edge, and their results the hub.
func TestEdgeEventsAndCommands(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "--record", "1h")
	e.startHub()
	all := collect(t, e.nc, schemas.SubjectBatches)
	p := e.start()
	p.Stderr.WaitFor("alerts reach the hub")
	wire := e.Upstream.Wire("eth0")
	wire.Send(numbered(0))
	if b := next(t, all, "a heartbeat"); b.Subject != "nd.batches.r1.=" || parse[event](t, b.Data).Sensor == nil {
		t.Errorf("%s: %s", b.Subject, b.Data)
	}
	events := collect(t, e.nc, schemas.SubjectEvents)
	number := 0
	lab.Eventually(t, "an event crosses", func() bool {
		number++
		wire.Send(numbered(number))
		select {
		case m := <-events:
			return strings.HasPrefix(m.Subject, "nd.events.r1."+lab.Master)
		case <-time.After(100 * time.Millisecond):
			return false
		}
	})
	operator := as(t, e.hub.at, filepath.Join(e.keys, "operator.nk"), e.ca)
	results := collect(t, operator, schemas.SubjectResults)
	publish(t, operator, schemas.RelaySubject("r1"), marshal(command{
		Type: "nd.relay.v1", ID: "e2e", Time: stamp(0), Expires: stamp(time.Minute), Host: "r1", Target: lab.Host1Address.String(), Now: true,
	}))
	for got := map[string]string{}; len(got) < 2; {
		r := parse[result](t, next(t, results, "a result of each slave").Data)
		if r.Relay == "e2e" {
			got[r.Slave] = r.Status
		}
	}
	for len(all) > 0 {
		if m := <-all; m.Subject != "nd.batches.r1.=" {
			t.Errorf("%s crossed: %s", m.Subject, m.Data)
		}
	}
	stop(t, p)
}

// The operator's services and central rules of the hub reach the edge, and a later one that starts alone has these rules.
func TestEdgeFollowsCentralRules(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.command.Env = slices.DeleteFunc(e.command.Env, func(v string) bool { return strings.HasPrefix(v, "RULED_RULES=") })
	e.startHub()
	p := e.start()
	p.Stderr.WaitFor("using the built-in rules", "alerts reach the hub")
	push := e.hub.at.Start(e.as("admin", builtin("ndmon", "rules", "push", filepath.Join(binaries, plainName))))
	exits(t, push, 0)
	p.Stderr.WaitFor("using rules", "revision=1")
	fleet := e.hub.at.Start(e.as("admin", builtin("ndmon", "fleet", "-o", "json")))
	fleet.Wait()
	if !strings.Contains(fleet.Stdout.String(), `"r1"`) {
		t.Errorf("ndmon fleet: %s", fleet.Stdout)
	}
	e.hub.Kill()
	stop(t, p)
	p = e.start()
	p.Stderr.WaitFor("using rules", "revision=1", "msg=capturing")
	stop(t, p)
}

func stamp(in time.Duration) string { return time.Now().Add(in).UTC().Format(time.RFC3339Nano) }

// What is wrong with the options is one line, and exit status 2.
func TestEdgeOptions(t *testing.T) {
	t.Parallel()
	key := write(t, "edge-r1.nk", []byte("no key"))
	for want, args := range map[string][]string{
		"--key: " + key + " is not the key of an edge": {"--hub", "tls://n1", "--key", key},
		"--key: open /none/edge-r1.nk":                 {"--hub", "tls://n1", "--key", "/none/edge-r1.nk"},
		"--hub: \"http://n1\" is not a URL":            {"--hub", "http://n1", "--key", key},
	} {
		p := lab.Start(t, program("ndmon", append(args, "--data", t.TempDir(), "--listen", "127.0.0.1:0")...))
		exits(t, p, 2)
		says(t, p, want)
		if n := strings.Count(p.Stderr.String(), "\n"); n != 1 {
			t.Errorf("%d lines: %s", n, p.Stderr)
		}
	}
}
