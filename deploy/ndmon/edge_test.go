package ndmon

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/deploy/uplink"
	"github.com/ndmon/ndmon/schemas/bus"
)

// hubConfig is the configuration of a hub. Its parameters are a port and the public key of the edge r1.
const hubConfig = `
listen: "127.0.0.1:-1"
leafnodes { listen: "127.0.0.1:%d" }
accounts {
  NDMON {
    users: [ { user: admin, password: admin } ]
    imports: [ { stream: { account: edges, subject: "nd.events.>" } } ]
  }
  edges {
    users: [ { nkey: %s, permissions: {
      publish: [ "nd.events.r1.>" ]
      subscribe: [ "_INBOX.%[2]s.>", "nd.relay", "nd.relay.r1" ]
    } } ]
    exports: [ { stream: "nd.events.>", accounts: [NDMON] } ]
  }
}
`

// An event of an edge is listened to while anyone at the hub subscribes to it.
func TestListenedAtTheHub(t *testing.T) {
	pair, err := nkeys.CreateUser()
	must(t, err)
	seed, err := pair.Seed()
	must(t, err)
	public, err := pair.PublicKey()
	must(t, err)
	file := filepath.Join(t.TempDir(), "edge-r1.nk")
	must(t, os.WriteFile(file, seed, 0o600))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	must(t, free.Close())
	opts := &server.Options{NoSigs: true}
	must(t, opts.ProcessConfigString(fmt.Sprintf(hubConfig, port, public)))
	at, err := server.NewServer(opts)
	must(t, err)
	at.Start()
	t.Cleanup(at.Shutdown)
	if !at.ReadyForConnections(10 * time.Second) {
		t.Fatal("the hub does not start")
	}
	hub, err := uplink.Open(fmt.Sprintf("nats-leaf://127.0.0.1:%d", port), file, bus.Config{})
	must(t, err)
	s, err := startServer(Config{Listen: "127.0.0.1:0", Data: t.TempDir()}, limitsFor(0), &hub, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.Level(-10)})))
	must(t, err)
	t.Cleanup(s.stop)
	l := &listened{account: s.account}
	lab.Eventually(t, "the edge is connected", func() bool { return s.away() == nil })
	const subject = "nd.events.r1.eth0.ns"
	if l.Listened(subject) {
		t.Error("listened to without a subscriber")
	}
	edge, _ := connectTo(t, s, key(t, s))
	nc, err := nats.Connect(at.ClientURL(), nats.UserInfo("admin", "admin"))
	must(t, err)
	t.Cleanup(nc.Close)
	for _, pattern := range []string{subject, "nd.events.r1.>", "nd.events.>", ">"} {
		sub, err := nc.SubscribeSync(pattern)
		must(t, err)
		lab.Eventually(t, "listened to by "+pattern, func() bool { return l.Listened(subject) })
		if l.Listened("nd.alerts") {
			t.Errorf("with %s, alerts are listened to", pattern)
		}
		must(t, edge.Publish(subject, []byte("an event")))
		if _, err := sub.NextMsg(10 * time.Second); err != nil {
			t.Errorf("the subscriber of %s: %v", pattern, err)
		}
		must(t, sub.Unsubscribe())
		lab.Eventually(t, "no longer listened to by "+pattern, func() bool { return !l.Listened(subject) })
	}
}
