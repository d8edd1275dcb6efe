package keys

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// startEdge runs a server with the configuration of an embedded one, as a leaf node of a hub
// with the key of a user, and returns a client of all rights on it.
func startEdge(t *testing.T, hub *server.Server, dir string, u user) (client, *server.Server) {
	t.Helper()
	own := t.TempDir()
	config, seedFile, err := Local{Directory: own}.Config()
	must(t, err)
	path := filepath.Join(own, "edge.conf")
	must(t, os.WriteFile(path, []byte(config), 0o600))
	opts, err := server.ProcessConfigFile(path)
	must(t, err)
	token := schemas.EscapeToken(u.host)
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog = "127.0.0.1", -1, true, true
	opts.JetStream, opts.StoreDir, opts.JetStreamDomain, opts.ServerName = true, own, token, "edge-"+token
	seed, err := os.ReadFile(u.seedFile(dir))
	must(t, err)
	varz, err := hub.Varz(nil)
	must(t, err)
	at, err := url.Parse(fmt.Sprintf("nats-leaf://127.0.0.1:%d", varz.LeafNode.Port))
	must(t, err)
	opts.LeafNode.ReconnectInterval = 50 * time.Millisecond
	opts.LeafNode.Remotes = []*server.RemoteLeafOpts{{LocalAccount: mainAccount, URLs: []*url.URL{at}, Nkey: strings.TrimSpace(string(seed))}}
	s, err := server.NewServer(opts)
	must(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server of the edge does not start")
	}
	key, err := nats.NkeyOptionFromSeed(seedFile)
	must(t, err)
	nc, err := nats.Connect(s.ClientURL(), key, nats.CustomInboxPrefix("_INBOX."+u.key))
	must(t, err)
	t.Cleanup(nc.Close)
	return client{nc, t}, s
}

// batch stores an edge's position and alerts in one batch behind a position that is already stored,
// and returns the error of the server.
func batch(t *testing.T, edge client, host string, after uint64, alerts ...string) error {
	t.Helper()
	id := nats.NewInbox()
	message := func(n int, subject, body string) *nats.Msg {
		m := nats.NewMsg(subject)
		m.Header.Set("Nats-Batch-Id", id)
		m.Header.Set("Nats-Batch-Sequence", fmt.Sprint(n))
		m.Data = []byte(body)
		return m
	}
	first := message(1, schemas.UplinkFenceSubject(host), "position")
	first.Header.Set("Nats-Expected-Last-Subject-Sequence", fmt.Sprint(after))
	must(t, edge.PublishMsg(first))
	for i, a := range alerts[:len(alerts)-1] {
		must(t, edge.PublishMsg(message(i+2, schemas.UplinkAlerts, a)))
	}
	last := message(len(alerts)+1, schemas.UplinkAlerts, alerts[len(alerts)-1])
	last.Header.Set("Nats-Batch-Commit", "1")
	answer, err := edge.RequestMsg(last, 10*time.Second)
	must(t, err)
	var ack struct {
		Error *jetstream.APIError `json:"error"`
		Count int                 `json:"count"`
	}
	must(t, json.Unmarshal(answer.Data, &ack))
	if ack.Error != nil {
		return ack.Error
	}
	if ack.Count != len(alerts)+1 {
		t.Errorf("%d messages are stored: %s", ack.Count, answer.Data)
	}
	return nil
}

// hub is a server with the streams and rules of a fleet, and two edges.
type hub struct {
	*testing.T
	s     *server.Server
	dir   string
	users map[string]user
	ruled jetstream.JetStream
	edge  client
}

func newHub(t *testing.T) *hub {
	t.Helper()
	dir, users := fleet(t)
	h := &hub{T: t, s: start(t, dir), dir: dir, users: users}
	h.prepare(h.as("ruled"))
	h.edge, _ = startEdge(t, h.s, dir, users["edge-"+edge1])
	return h
}

// prepare makes the streams and the bucket of rules, as ruled.
func (h *hub) prepare(ruled client) {
	t := h.T
	t.Helper()
	h.ruled = ensureStreams(t, ruled)
	_, err := h.ruled.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "ND_RULES", History: 64})
	must(t, err)
}

func (h *hub) as(name string) client { return connect(h.T, h.s, h.dir, h.users[name]) }

// subscribe subscribes and returns when the server knows it.
func (h *hub) subscribe(c client, subject string) *nats.Subscription {
	h.Helper()
	sub, err := c.SubscribeSync(subject)
	must(h, err)
	must(h, c.Flush())
	return sub
}

// request requests until there is an answer: the leaf node may not be there yet.
func (h *hub) request(c client, subject string) (answer *nats.Msg) {
	h.Helper()
	lab.Eventually(h, "an answer to "+subject, func() (ok bool) {
		var err error
		answer, err = c.Request(subject, nil, time.Second)
		return err == nil
	})
	return answer
}

func next(t *testing.T, sub *nats.Subscription, want string) {
	t.Helper()
	m, err := sub.NextMsg(10 * time.Second)
	if err != nil || string(m.Data) != want {
		t.Errorf("%s: %v, %v, want %s", sub.Subject, m, err, want)
	}
}

// An edge stores its alerts once and in order, with its position, and finds the position again.
func TestEdgeStoresAlerts(t *testing.T) {
	h := newHub(t)
	live := h.subscribe(h.as("viewer"), schemas.SubjectAlerts)
	if m := h.request(h.edge, schemas.UplinkPositionSubject(edge1)); m.Header.Get("Status") != "404" {
		t.Errorf("a position that was never stored: %v %s", m.Header, m.Data)
	}
	must(t, batch(t, h.edge, edge1, 0, "1", "2"))
	position := h.request(h.edge, schemas.UplinkPositionSubject(edge1))
	if string(position.Data) != "position" || position.Header.Get("Nats-Sequence") != "1" {
		t.Errorf("the position is %q, %v", position.Data, position.Header)
	}
	if err := batch(t, h.edge, edge1, 0, "1", "2"); err == nil || !strings.Contains(err.Error(), "wrong last sequence") {
		t.Errorf("stored again: %v", err)
	}
	must(t, batch(t, h.edge, edge1, 1, "3"))
	for _, alert := range []string{"1", "2", "3"} {
		next(t, live, alert)
	}
	alerts, err := h.ruled.Stream(t.Context(), schemas.StreamAlerts)
	must(t, err)
	for sequence, want := range map[uint64]string{2: "1", 3: "2", 4: "position", 5: "3"} {
		if m, err := alerts.GetMsg(t.Context(), sequence); err != nil || string(m.Data) != want {
			t.Errorf("message %d is %v, want %s: %v", sequence, m, want, err)
		}
	}
}

// An edge reads the central rules, and is told when they change.
func TestEdgeReadsRules(t *testing.T) {
	h := newHub(t)
	changed := h.subscribe(h.edge, schemas.UplinkRulesChanged)
	if m := h.request(h.edge, schemas.UplinkRules); m.Header.Get("Status") != "404" {
		t.Errorf("rules that were never pushed: %v %s", m.Header, m.Data)
	}
	operator := stream(t, h.as("operator"))
	if _, err := operator.Publish(t.Context(), ruleSets, []byte("<rules/>"), jetstream.WithExpectLastSequencePerSubject(0)); err != nil {
		t.Fatal(err)
	}
	next(t, changed, "<rules/>")
	if m := h.request(h.edge, schemas.UplinkRules); string(m.Data) != "<rules/>" || m.Header.Get("Nats-Sequence") != "1" {
		t.Errorf("the rules are %q, %v", m.Data, m.Header)
	}
	for _, name := range []string{"viewer", "operator", "ruled"} {
		rules, err := stream(t, h.as(name)).Stream(t.Context(), "KV_ND_RULES")
		must(t, err)
		last, err := rules.GetLastMsgForSubject(t.Context(), ruleSets)
		if err != nil || string(last.Data) != "<rules/>" {
			t.Errorf("%s reads %v, %v", name, last, err)
		}
		first, err := rules.GetMsg(t.Context(), 1, jetstream.WithGetMsgSubject(ruleSets))
		if err != nil || string(first.Data) != "<rules/>" {
			t.Errorf("%s reads revision 1: %v, %v", name, first, err)
		}
	}
}

// The heartbeats of an edge are stored as its own, its events cross only for a subscriber, relay
// commands go down and results up.
func TestEdgeSubjects(t *testing.T) {
	h := newHub(t)
	pinger := h.subscribe(h.edge, schemas.RelaySubject(edge1))
	all := h.subscribe(h.edge, schemas.SubjectRelayAll)
	h.request(h.edge, schemas.UplinkHeartbeatSubject(edge1))
	events, err := stream(t, h.as("admin")).Stream(t.Context(), schemas.StreamEvents)
	must(t, err)
	m, err := events.GetLastMsgForSubject(t.Context(), schemas.PrefixBatches+edgeToken+".>")
	if err != nil || !strings.HasPrefix(m.Subject, schemas.BatchSubject(edge1, "")) {
		t.Errorf("the heartbeat is stored as %v: %v", m, err)
	}

	received := func() int64 {
		leafs, err := h.s.Leafz(nil)
		must(t, err)
		h.request(h.edge, schemas.UplinkPositionSubject(edge1)) // all before it has crossed
		return leafs.Leafs[0].InMsgs
	}
	subject := schemas.EventSubject(edge1, "eth0", schemas.KindNS)
	before := received()
	for range 100 {
		must(t, h.edge.Publish(subject, []byte("unseen")))
	}
	received()
	if n := received() - before; n > 10 {
		t.Errorf("%d messages crossed without a subscriber", n)
	}
	seen := h.subscribe(h.as("ruled"), schemas.SubjectEvents)
	lab.Eventually(t, "an event crosses", func() bool {
		must(t, h.edge.Publish(subject, []byte("seen")))
		_, err := seen.NextMsg(50 * time.Millisecond)
		return err == nil
	})

	results := h.subscribe(h.as("operator"), schemas.SubjectResults)
	for name, sub := range map[string]*nats.Subscription{"ruled": pinger, "operator": all} {
		must(t, h.as(name).Publish(sub.Subject, []byte(name)))
		next(t, sub, name)
	}
	lab.Eventually(t, "a result crosses", func() bool {
		must(t, h.edge.Publish(schemas.ResultSubject(edge1), []byte("result")))
		_, err := results.NextMsg(50 * time.Millisecond)
		return err == nil
	})
}

// Viewer, operator and admin reach the services of all daemons, each once.
func TestServices(t *testing.T) {
	h := newHub(t)
	second, _ := startEdge(t, h.s, h.dir, h.users["edge-"+edge2])
	for _, d := range []struct {
		client
		name, host string
	}{
		{h.as("sensor-" + host1), "nd-sensor", host1}, {h.as("sensor-" + host2), "nd-sensor", host2}, {h.as("pinger-" + host1), "nd-pinger", host1},
		{h.as("ruled"), "nd-ruled", "center"}, {h.edge, "ndmon", edge1}, {second, "ndmon", edge2},
	} {
		service, err := micro.AddService(d.Conn, micro.Config{Name: d.name, Version: "1.0.0", Metadata: map[string]string{"host": d.host}})
		must(t, err)
		status := "$SRV.STATUS." + d.name + "." + schemas.EscapeToken(d.host)
		must(t, service.AddEndpoint("status", micro.HandlerFunc(func(r micro.Request) { r.Respond([]byte(d.host)) }),
			micro.WithEndpointSubject(status), micro.WithEndpointQueueGroupDisabled()))
		must(t, d.Flush())
		for _, name := range []string{"viewer", "operator", "admin"} {
			if m := h.request(h.as(name), status); string(m.Data) != d.host {
				t.Errorf("the status of %s for %s is %s", d.host, name, m.Data)
			}
		}
		if err := d.LastError(); err != nil {
			t.Errorf("%s of %s: %v", d.name, d.host, err)
		}
	}
	want := []string{"ndmon " + edge1, "ndmon " + edge2, "nd-pinger " + host1, "nd-ruled center", "nd-sensor " + host1, "nd-sensor " + host2}
	slices.Sort(want)
	for _, name := range []string{"viewer", "operator", "admin"} {
		c := h.as(name)
		for _, verb := range []string{"PING", "INFO", "STATS"} {
			inbox := c.NewInbox()
			answers := h.subscribe(c, inbox)
			must(t, c.PublishRequest("$SRV."+verb, inbox, nil))
			var got []string
			for range want {
				m, err := answers.NextMsg(5 * time.Second)
				if err != nil {
					break
				}
				var pong micro.Ping
				must(t, json.Unmarshal(m.Data, &pong))
				got = append(got, pong.Name+" "+pong.Metadata["host"])
			}
			if m, err := answers.NextMsg(50 * time.Millisecond); err == nil {
				got = append(got, string(m.Data))
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s for %s (-want +got):\n%s", verb, name, diff)
			}
		}
	}
}
