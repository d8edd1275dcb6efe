package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/prometheus/client_golang/prometheus"
)

const host = "r1"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// key makes the key of the edge and returns its file and its public key.
func key(t *testing.T) (file, user string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	must(t, err)
	seed, err := pair.Seed()
	must(t, err)
	user, err = pair.PublicKey()
	must(t, err)
	file = filepath.Join(t.TempDir(), "edge-"+host+".nk")
	must(t, os.WriteFile(file, append(seed, '\n'), 0o600))
	return file, user
}

// hubConfig is the part of a fleet's configuration that concerns an edge.
const hubConfig = `
server_name: hub
listen: "127.0.0.1:%d"
jetstream { store_dir: %q }
leafnodes { listen: "127.0.0.1:%d" }
accounts {
  NDMON {
    jetstream: enabled
    users: [ { user: admin, password: admin } ]
    exports: [
      { service: "nd.alerts", accounts: [edges] }
      { service: "nd.fences.*", accounts: [edges] }
      { service: "nd.batches.*.*", accounts: [edges] }
      { service: "$JS.API.DIRECT.GET.ND_ALERTS.nd.fences.*", accounts: [edges] }
    ]
  }
  edges {
    users: [ { nkey: %s, permissions: {
      publish: [ "nd.uplink.alerts", "nd.uplink.fences.r1", "nd.uplink.position.r1", "nd.uplink.heartbeats.r1" ]
      subscribe: [ "_INBOX.%[4]s.>" ]
    } } ]
    imports: [
      { service: { account: NDMON, subject: "nd.alerts" }, to: "nd.uplink.alerts" }
      { service: { account: NDMON, subject: "nd.fences.*" }, to: "nd.uplink.fences.*" }
      { service: { account: NDMON, subject: "$JS.API.DIRECT.GET.ND_ALERTS.nd.fences.*" }, to: "nd.uplink.position.*" }
    ]
  }
}
`

// node is a NATS server that can be started again where it was.
type node struct {
	*server.Server
	t       *testing.T
	options func() *server.Options
	used    *server.Options
	login   nats.Option
	nc      *nats.Conn
	js      jetstream.JetStream
}

func (n *node) start() {
	n.t.Helper()
	n.used = n.options()
	n.used.NoSigs = true
	s, err := server.NewServer(n.used)
	must(n.t, err)
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		n.t.Fatal("the server does not start")
	}
	n.Server = s
	n.nc, err = nats.Connect(s.ClientURL(), n.login)
	must(n.t, err)
	n.js, err = jetstream.New(n.nc)
	must(n.t, err)
}

func (n *node) stop() {
	n.nc.Close()
	n.Shutdown()
	n.WaitForShutdown()
}

// stream makes the stream of alerts.
func (n *node) stream() {
	n.t.Helper()
	_, err := n.js.CreateOrUpdateStream(n.t.Context(), jetstream.StreamConfig{
		Name: schemas.StreamAlerts, Subjects: []string{schemas.SubjectAlerts, "nd.fences.*"},
		AllowMsgTTL: true, AllowDirect: true, AllowAtomicPublish: true, Duplicates: 100 * time.Millisecond,
	})
	must(n.t, err)
}

// alerts returns the numbers of the alerts in the stream.
func (n *node) alerts() (numbers []int) {
	n.t.Helper()
	stream, err := n.js.Stream(n.t.Context(), schemas.StreamAlerts)
	must(n.t, err)
	must(n.t, bus.ReadStored(n.t.Context(), stream, 1, false, func(m jetstream.Msg, _ uint64) {
		if m.Subject() != schemas.SubjectAlerts {
			return
		}
		number, err := strconv.Atoi(string(m.Data()))
		must(n.t, err)
		if id := m.Headers().Get(nats.MsgIdHdr); id != "alert-"+string(m.Data()) {
			n.t.Errorf("alert %d has the id %q", number, id)
		}
		numbers = append(numbers, number)
	}))
	return numbers
}

// count returns how many alerts the stream has.
func (n *node) count() uint64 {
	n.t.Helper()
	stream, err := n.js.Stream(n.t.Context(), schemas.StreamAlerts)
	must(n.t, err)
	info, err := stream.Info(n.t.Context(), jetstream.WithSubjectFilter(schemas.SubjectAlerts))
	must(n.t, err)
	return info.State.Subjects[schemas.SubjectAlerts]
}

// pair is an edge and its hub.
type pair struct {
	t         *testing.T
	hub, edge *node
	seed      string // file of the key of all rights at the edge
	to        Hub
	directory string
	log       *lab.Output
	sent      int // alerts
}

// newPair starts an edge. Its hub is not started.
func newPair(t *testing.T, config string) *pair {
	t.Helper()
	file, user := key(t)
	p := &pair{t: t, directory: t.TempDir(), log: lab.NewOutput(t, "the uplink's log")}
	ports := [2]int{freePort(t), freePort(t)}
	data := t.TempDir()
	p.hub = &node{t: t, login: nats.UserInfo("admin", "admin"), options: func() *server.Options {
		o := &server.Options{}
		must(t, o.ProcessConfigString(fmt.Sprintf(config, ports[0], data, ports[1], user)))
		return o
	}}
	var err error
	p.to, err = Open(fmt.Sprintf("nats-leaf://127.0.0.1:%d", ports[1]), file, bus.Config{})
	must(t, err)
	var accounts string
	accounts, p.seed, err = keys.Local{Directory: p.directory}.Config()
	must(t, err)
	login, err := nats.NkeyOptionFromSeed(p.seed)
	must(t, err)
	store := t.TempDir()
	p.edge = &node{t: t, login: login, options: func() *server.Options {
		o := &server.Options{}
		must(t, o.ProcessConfigString(accounts))
		o.Host, o.Port, o.JetStream, o.StoreDir = "127.0.0.1", -1, true, store
		o.LeafNode.ReconnectInterval = 20 * time.Millisecond
		p.to.Join(o)
		return o
	}}
	p.edge.start()
	t.Cleanup(func() { p.edge.stop() })
	p.edge.stream()
	return p
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// startHub starts the hub, until the test ends unless it is stopped.
func (p *pair) startHub() {
	p.t.Helper()
	p.hub.start()
	p.t.Cleanup(p.hub.stop)
	p.hub.stream()
}

// process is an Uplink that runs.
type process struct {
	*Uplink
	conn  *bus.Conn
	end   context.CancelFunc
	ended chan struct{}
}

// uplink starts an Uplink.
func (p *pair) uplink() *process {
	p.t.Helper()
	log := slog.New(slog.NewTextHandler(p.log, nil))
	conn, err := bus.Connect(bus.Config{URL: "nats://in-process", NKey: p.seed}, bus.Options{
		Name: "edge", Log: log, Registry: prometheus.NewRegistry(), InProcess: p.edge.Server, NoEcho: true, Inboxes: p.to.Inboxes,
	})
	must(p.t, err)
	up, err := New(p.t.Context(), Config{Hub: p.to, Directory: p.directory, Conn: conn, Log: log, Registry: prometheus.NewRegistry(), Away: func() error {
		if p.edge.NumLeafNodes() == 0 {
			return errors.New("no connection to the hub")
		}
		return nil
	}})
	must(p.t, err)
	ctx, cancel := context.WithCancel(p.t.Context())
	u := &process{up, conn, cancel, make(chan struct{})}
	go func() {
		defer close(u.ended)
		up.Run(ctx)
	}()
	p.t.Cleanup(u.stop)
	return u
}

func (u *process) stop() {
	u.end()
	<-u.ended
	u.conn.NATS().Close()
}

// kill ends it without notice.
func (u *process) kill() {
	u.conn.NATS().Close()
	u.stop()
}

// raise stores more alerts at the edge.
func (p *pair) raise(n int) {
	p.t.Helper()
	for range n {
		m := nats.NewMsg(schemas.SubjectAlerts)
		m.Data = []byte(strconv.Itoa(p.sent))
		m.Header.Set(nats.MsgIdHdr, "alert-"+strconv.Itoa(p.sent))
		_, err := p.edge.js.PublishMsgAsync(m)
		must(p.t, err)
		p.sent++
	}
	select {
	case <-p.edge.js.PublishAsyncComplete():
	case <-time.After(30 * time.Second):
		p.t.Fatal("the edge does not store")
	}
}

// arrived waits until the hub has all alerts, and checks that it has each once and in order.
func (p *pair) arrived() {
	p.t.Helper()
	lab.Eventually(p.t, fmt.Sprintf("the hub has all of %d alerts, it has %d", p.sent, p.hub.count()), func() bool { return p.hub.count() >= uint64(p.sent) })
	want := make([]int, p.sent)
	for i := range want {
		want[i] = i
	}
	if diff := cmp.Diff(want, p.hub.alerts()); diff != "" {
		p.t.Fatalf("alerts at the hub (-want +got):\n%s", diff)
	}
}
