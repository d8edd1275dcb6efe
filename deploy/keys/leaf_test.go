package keys

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/ndmon/ndmon/schemas"
)

// rawLeaf is a leaf node that keeps to no permissions: nats-server, as a leaf node, would not send
// what the hub does not permit.
type rawLeaf struct {
	conn net.Conn

	mu sync.Mutex
	// received are the lines with subjects of messages.
	received []string
	pongs    chan struct{}
	closed   chan struct{}
}

func connectLeaf(t *testing.T, hub *server.Server, dir string, u user) *rawLeaf {
	t.Helper()
	l, err := tryLeaf(t, hub, dir, u)
	must(t, err)
	return l
}

// tryLeaf returns the error of a hub that refuses the leaf node.
func tryLeaf(t *testing.T, hub *server.Server, dir string, u user) (*rawLeaf, error) {
	t.Helper()
	varz, err := hub.Varz(nil)
	must(t, err)
	l := &rawLeaf{pongs: make(chan struct{}, 100), closed: make(chan struct{})}
	l.conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", varz.LeafNode.Port))
	must(t, err)
	t.Cleanup(func() { l.conn.Close(); <-l.closed })
	lines := bufio.NewReader(l.conn)
	line, err := lines.ReadString('\n')
	must(t, err)
	var info struct {
		Nonce string `json:"nonce"`
	}
	must(t, json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info))
	seed, err := os.ReadFile(u.seedFile(dir))
	must(t, err)
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	must(t, err)
	signature, err := pair.Sign([]byte(info.Nonce))
	must(t, err)
	l.send(fmt.Sprintf(`CONNECT {"nkey":%q,"sig":%q,"name":"attacker","headers":true,"protocol":1}`, u.key, base64.RawURLEncoding.EncodeToString(signature)))
	go func() {
		defer close(l.closed)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			switch {
			case strings.HasPrefix(line, "PONG"):
				l.pongs <- struct{}{}
			case strings.HasPrefix(line, "PING"):
				l.send("PONG")
			case strings.HasPrefix(line, "LMSG"), strings.HasPrefix(line, "HMSG"):
				l.mu.Lock()
				l.received = append(l.received, strings.TrimSpace(line))
				l.mu.Unlock()
			}
		}
	}()
	return l, l.FlushTimeout(10 * time.Second)
}

// send sends a line. If the connection is closed, FlushTimeout reports it.
func (l *rawLeaf) send(line string) { l.conn.Write([]byte(line + "\r\n")) }

func (l *rawLeaf) PublishRequest(subject, reply string, data []byte) error {
	l.send(strings.TrimSpace(fmt.Sprintf("LMSG %s %s", subject, reply)) + fmt.Sprintf(" %d\r\n%s", len(data), data))
	return nil
}

func (l *rawLeaf) FlushTimeout(d time.Duration) error {
	l.send("PING")
	select {
	case <-l.pongs:
		return nil
	case <-l.closed:
		return net.ErrClosed
	case <-time.After(d):
		return os.ErrDeadlineExceeded
	}
}

// A leaf node with an edge's key writes nothing but alerts, its own position, history, heartbeats, events and
// results, whatever it sends. What nats-server does not prevent: the answer to a request of a leaf node
// may go to a subject for acknowledgements of the account of the streams, $JS.ACK.>, as that of a client may not.
func TestNoWayToWriteByLeaf(t *testing.T) {
	a := attack(t)
	u := a.users["edge-"+edge1]
	unwritten := func() map[string]string {
		stored := a.stored(edge1)
		delete(stored, "ND_ALERTS nd.alerts")
		delete(stored, "ND_ALERTS nd.fences."+edgeToken)
		return stored
	}
	before := unwritten()
	a.messages()
	l := connectLeaf(t, a.s, a.dir, u)
	l.send("LS+ >")
	publish, subscribe := u.permissions()
	targets := append(a.targets(), schemas.UplinkFenceSubject(edge2), schemas.UplinkPositionSubject(edge2), schemas.UplinkHeartbeatSubject(edge2),
		literal(schemas.UplinkHistory+hostHistory+edge2+".>"), "$KV.ND_RULES.rules", "nd.fences."+edge2, "nd.results.e2", "nd.uplink.rules.changed", "_INBOX."+a.users["edge-"+edge2].key+".x", "_R_.x.y")
	for _, pattern := range publish {
		for _, target := range targets {
			must(t, l.PublishRequest(literal(pattern), target, []byte("{}")))
		}
	}
	must(t, l.FlushTimeout(10*time.Second))
	for _, pattern := range append(targets, subscribe...) {
		// The hub ends the connection of a leaf node that publishes what it may not.
		l := connectLeaf(t, a.s, a.dir, u)
		must(t, l.PublishRequest(literal(pattern), "nd.batches.r1.eth0", []byte("{}")))
		l.FlushTimeout(10 * time.Second)
	}
	a.settled()
	own := []string{schemas.SubjectAlerts, schemas.SubjectStored, "nd.fences." + edgeToken, "nd.batches." + edgeToken + ".=", "nd.events." + edgeToken + ".x", "nd.results." + edgeToken,
		literal(schemas.PrefixHistory + hostHistory + edgeToken + ".>")}
	for _, subject := range a.messages() {
		if !slices.Contains(own, subject) && !strings.HasPrefix(subject, "$JS.ACK.") {
			t.Errorf("a message on %s", subject)
		}
	}
	if diff := cmp.Diff(before, unwritten()); diff != "" {
		t.Errorf("what is stored (-before +after):\n%s", diff)
	}
}

// A leaf node with an edge's key receives nothing that is for another edge: no answers, no
// relay commands, no requests for its status.
func TestNoWayToReadByLeaf(t *testing.T) {
	h := newHub(t)
	second, _ := startEdge(t, h.s, h.dir, h.users["edge-"+edge2])
	l := connectLeaf(t, h.s, h.dir, h.users["edge-"+edge1])
	for _, subject := range []string{">", "_INBOX.>", "nd.>", "nd.relay.>", "$SRV.>", "nd.uplink.>", "_R_.>", "nd.events.>", "$JS.>", "$KV.>"} {
		l.send("LS+ " + subject)
	}
	must(t, l.FlushTimeout(10*time.Second))
	for _, subject := range []string{"nd.relay.e2", "$SRV.STATUS.ndmon.e2", "nd.alerts", "_INBOX." + h.users["edge-"+edge2].key + ".x"} {
		// The hub ends the connection of a leaf node that subscribes to what it may not.
		l := connectLeaf(t, h.s, h.dir, h.users["edge-"+edge1])
		l.send("LS+ " + subject)
		if err := l.FlushTimeout(10 * time.Second); !errors.Is(err, net.ErrClosed) {
			t.Errorf("subscribes to %s: %v", subject, err)
		}
	}
	h.request(second, schemas.UplinkPositionSubject(edge2))
	must(t, second.Publish("nd.events.e2.eth0.ns", nil))
	must(t, batch(t, second, edge2, 0, "alert"))
	operator := h.as("operator")
	must(t, operator.Publish("nd.relay.e2", nil))
	if _, err := operator.Request("$SRV.STATUS.ndmon.e2", nil, 50*time.Millisecond); err == nil {
		t.Error("someone answers for e2")
	}
	must(t, operator.Publish("nd.relay", []byte("for all")))
	must(t, operator.Flush())
	must(t, l.FlushTimeout(10*time.Second))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.received {
		if subject := strings.Fields(line)[1]; subject != "nd.relay" {
			t.Errorf("received on %s", subject)
		}
	}
	if len(l.received) == 0 {
		t.Error("it has not received nd.relay either")
	}
}

// The key of an edge is for leaf nodes, and that of no other user is.
func TestConnectionsOfKeys(t *testing.T) {
	dir, users := fleet(t)
	s := start(t, dir)
	for name, u := range users {
		if u.role == Admin || u.role == System {
			continue
		}
		key, err := nats.NkeyOptionFromSeed(u.seedFile(dir))
		must(t, err)
		nc, err := nats.Connect(s.ClientURL(), key)
		if err == nil {
			nc.Close()
		}
		if (err == nil) != (u.role != Edge) {
			t.Errorf("%s as a client: %v", name, err)
		}
		if _, err := tryLeaf(t, s, dir, u); (err == nil) != (u.role == Edge) {
			t.Errorf("%s as a leaf node: %v", name, err)
		}
	}
}
