package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// attacked is a fleet's server with stored messages, and what the admin sees of it.
type attacked struct {
	*testing.T
	s     *server.Server
	dir   string
	users map[string]user
	admin jetstream.JetStream
	// received are the messages in the account of the streams.
	received []*nats.Subscription
}

func attack(t *testing.T) *attacked {
	t.Helper()
	dir, users := fleet(t)
	a := &attacked{T: t, s: start(t, dir), dir: dir, users: users}
	js := ensureStreams(t, connect(t, a.s, dir, users["ruled"]))
	if _, err := js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: schemas.BucketState}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		store(t, js, schemas.SubjectAlerts, someAlert)
	}
	for _, host := range []string{host1, host2} {
		store(t, stream(t, a.as("sensor-"+host)), schemas.BatchSubject(host, "eth0"), "event")
	}
	readAlerts(t, a.as("viewer"), 5)
	admin := a.as("admin")
	a.admin = stream(t, admin)
	for _, subject := range []string{"nd.>", "$O.>", "$KV.>", "$JS.ACK.>", "$SRV.>", "_INBOX." + users["ruled"].key + ".>", "READERS.>", "NDMON.>", "anything"} {
		sub, err := admin.SubscribeSync(subject)
		must(t, err)
		a.received = append(a.received, sub)
	}
	must(t, admin.Flush())
	return a
}

func (a *attacked) as(name string) client {
	a.Helper()
	return connect(a.T, a.s, a.dir, a.users[name])
}

// stored returns the number of messages by stream and subject, without those of a host's
// events, and the positions of the consumers.
func (a *attacked) stored(butEventsOf string) map[string]string {
	a.Helper()
	all := map[string]string{}
	list := a.admin.ListStreams(a.Context())
	for info := range list.Info() {
		s, err := a.admin.Stream(a.Context(), info.Config.Name)
		must(a, err)
		counted, err := s.Info(a.Context(), jetstream.WithSubjectFilter(">"))
		must(a, err)
		config, err := json.Marshal(counted.Config)
		must(a, err)
		all[info.Config.Name] = string(config)
		for subject, n := range counted.State.Subjects {
			if butEventsOf == "" || !strings.HasPrefix(subject, schemas.PrefixBatches+schemas.EscapeToken(butEventsOf)+".") {
				all[info.Config.Name+" "+subject] = fmt.Sprint(n)
			}
		}
		consumers := s.ListConsumers(a.Context())
		for c := range consumers.Info() {
			all[info.Config.Name+" consumer "+c.Name] = fmt.Sprintf("%d acknowledged", c.AckFloor.Stream)
		}
		must(a, consumers.Err())
	}
	must(a, list.Err())
	return all
}

// settled waits until the server has handled all earlier requests: it answers requests to
// JetStream in their order.
func (a *attacked) settled(clients ...client) {
	a.Helper()
	for _, c := range clients {
		must(a, c.FlushTimeout(10*time.Second))
	}
	for range 64 {
		if _, err := a.admin.AccountInfo(a.Context()); err != nil {
			a.Fatal(err)
		}
	}
}

// messages returns the subjects of messages in the account of the streams since the last
// call, without those for the copy of the alerts.
func (a *attacked) messages() []string {
	a.Helper()
	subjects := map[string]bool{}
	for _, sub := range a.received {
		for {
			m, err := sub.NextMsg(20 * time.Millisecond)
			if err != nil {
				break
			}
			if !strings.HasPrefix(m.Reply, "$JS.ACK.ND_ALERTS.JS_MIRROR_") && !strings.HasPrefix(m.Subject, schemas.CopyDeliver+".") {
				subjects[m.Subject] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(subjects))
}

// literal returns a subject that a pattern matches.
func literal(pattern string) string {
	return strings.NewReplacer("*", "x", ">", "x").Replace(pattern)
}

// targets are the subjects to which an attacker would send answers or alerts.
func (a *attacked) targets() []string {
	return []string{
		schemas.SubjectAlerts, "nd.events.r1.eth0.ns", "nd.events." + token2 + ".eth0.ns", "nd.events.r3.x.ra",
		"nd.batches.r1.=", "nd.uplink.alerts", "nd.stored.alerts", "nd.fences.ruled", "$KV.ND_RULED.ruled.members.x",
		"nd.batches.r1.eth0", "nd.batches." + token2 + ".eth0", "nd.batches.r3.x",
		schemas.SubjectRelayAll, "nd.relay.r1", "nd.results.r1", "nd.results." + token2, schemas.StateSubject("ruled"),
		"$JS.API.STREAM.PURGE.ND_ALERTS", "$JS.API.STREAM.DELETE.ND_ALERTS", "$JS.API.STREAM.PURGE.ND_EVENTS", "$JS.API.STREAM.CREATE.X",
		"$JS.API.CONSUMER.DELETE.ND_ALERTS.exporter", "$JS.API.CONSUMER.CREATE.ND_ALERTS",
		"_INBOX." + a.users["sensor-r1"].key + ".x", "_INBOX." + a.users["sensor-"+host2].key + ".x", "READERS.API.STREAM.DELETE.ND_ALERTS", "NDMON.API.CONSUMER.CREATE.ND_ALERTS",
		"$O.ND_STATE.M.x", "$O.ND_STATE.C.x.y", schemas.CopyDeliver + ".x", "_INBOX." + a.users["ruled"].key + ".x",
		"$JS.ACK.ND_ALERTS.exporter.1.5.5.1.0", "$JS.ACK.ND_EVENTS.exporter.1.2.2.1.0", "$JS.FC.ND_ALERTS.x", "anything",
	}
}

// Only ruled and the admin, which share the account of the streams, can write what the role
// forbids: no other role can by publishing, by the reply subject of a request, or by the
// delivery subject of a consumer.
func TestNoWayToWrite(t *testing.T) {
	a := attack(t)
	for name, u := range a.users {
		if u.role.account() == mainAccount || u.role.account() == systemAccount || u.role == Edge {
			continue // an edge is not a client, see TestNoWayToWriteByLeaf
		}
		t.Run(name, func(t *testing.T) {
			a.T = t
			before := a.stored(u.host)
			a.messages()
			c := a.as(name)
			c.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}) // it is refused most
			publish, subscribe := u.permissions()
			for _, subject := range subscribe { // and it answers whatever it is asked
				_, err := c.Subscribe(subject, func(m *nats.Msg) { m.Respond([]byte("{}")) })
				must(t, err)
			}
			allowed := func(subject string) bool {
				if u.role == Viewer { // requests for the status of daemons
					return strings.HasPrefix(subject, "$SRV.")
				}
				return slices.ContainsFunc(publish, func(s string) bool { return server.SubjectsCollide(s, subject) })
			}
			for _, target := range a.targets() {
				must(t, c.Publish(target, []byte("{}")))
				for _, pattern := range publish {
					subject := literal(pattern)
					for _, body := range []string{"", "{}", `{"seq":1}`, `{"last_by_subj":"nd.alerts"}`, `{"batch":3,"expires":1000000}`, `{"batch":3,"no_wait":true}`,
						`{"stream_name":"ND_ALERTS","config":{"name":"x","ack_policy":"none","deliver_subject":"` + target + `"}}`,
						`{"stream_name":"ND_ALERTS","config":{"name":"x","ack_policy":"none","headers_only":true,"idle_heartbeat":100000000,"deliver_subject":"` + target + `"}}`,
						`{"stream_name":"ND_ALERTS","config":{"durable_name":"x","ack_policy":"explicit","deliver_subject":"` + target + `"}}`,
					} {
						must(t, c.PublishRequest(subject, target, []byte(body)))
					}
				}
			}
			a.settled(c)
			for _, subject := range a.messages() {
				if !allowed(subject) {
					t.Errorf("a message on %s", subject)
				}
			}
			after := a.stored(u.host)
			if u.role == Web {
				maps.DeleteFunc(after, func(what, _ string) bool { return strings.HasPrefix(what, "KV_ND_SILENCES $KV.ND_SILENCES.") })
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("what is stored (-before +after):\n%s", diff)
			}
		})
	}
}

// A viewer that makes the server answer on nd.alerts, each answer with the previous one in
// it, changes no alert, deceives no other viewer and does not fill the server.
func TestAmplification(t *testing.T) {
	a := attack(t)
	before := a.stored("")
	a.messages()
	other := a.as("viewer")
	seen, err := other.SubscribeSync(schemas.SubjectAlerts)
	if err != nil || other.Flush() != nil {
		t.Fatal(err)
	}
	c := a.as("viewer")
	for i := range 5000 {
		if i%1000 == 0 {
			a.settled(c) // a server drops all requests when 10,000 wait
		}
		for _, request := range []string{`{"last_by_subj":"nd.alerts"}`, `{"seq":1}`} {
			must(t, c.PublishRequest("$JS.API.STREAM.MSG.GET.ND_ALERTS", schemas.SubjectAlerts, []byte(request)))
		}
	}
	a.settled(c, other)
	if received := a.messages(); len(received) > 0 {
		t.Errorf("messages on %v", received)
	}
	if diff := cmp.Diff(before, a.stored("")); diff != "" {
		t.Errorf("what is stored (-before +after):\n%s", diff)
	}
	if m, err := seen.NextMsg(50 * time.Millisecond); err == nil {
		t.Errorf("another viewer was shown %s", m.Data)
	}
	readAlerts(t, other, 5)
}

// The common commands of nats work with the contexts that Init makes, and fail with an
// error about permissions where the user lacks them.
func TestNATSCommand(t *testing.T) {
	nats := lab.BuildNATS(t)
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := probe.Addr().String()
	must(t, probe.Close())
	dir := filepath.Join(t.TempDir(), "keys")
	must(t, Init(dir, Hosts{Thin: []string{host1}}, plain, Client{URL: "nats://" + address}, false))
	s := startAt(t, dir, address)
	list, err := readUsers(dir)
	must(t, err)
	users := map[string]user{}
	for _, u := range list {
		users[u.name()] = u
	}
	js := ensureStreams(t, connect(t, s, dir, users["ruled"]))
	store(t, js, schemas.SubjectAlerts, someAlert)
	readAlerts(t, connect(t, s, dir, users["viewer"]), 1)

	for _, tc := range []struct {
		user, command string
		says          []string
		status        int
	}{
		{user: "viewer", command: "sub nd.alerts --last --count 1", says: []string{someAlert}},
		{user: "viewer", command: "sub nd.alerts --all --count 1 --raw", says: []string{someAlert}},
		{user: "viewer", command: "stream ls", says: []string{"ND_ALERTS"}},
		{user: "viewer", command: "stream ls --names", says: []string{"ND_ALERTS"}},
		{user: "viewer", command: "stream info ND_ALERTS", says: []string{"Messages: 1"}},
		{user: "viewer", command: "stream get ND_ALERTS 1", says: []string{someAlert}},
		{user: "viewer", command: "stream report", says: []string{"ND_ALERTS"}},
		{user: "viewer", command: "consumer add ND_ALERTS mine --ephemeral --pull --defaults", says: []string{"mine"}},
		{user: "viewer", command: "consumer ls ND_ALERTS", says: []string{"mine"}},
		{user: "viewer", command: "consumer info ND_ALERTS mine", says: []string{"mine"}},
		{user: "viewer", command: "consumer next ND_ALERTS mine", says: []string{someAlert}},
		{user: "viewer", command: "consumer rm ND_ALERTS mine --force"},
		{user: "viewer", command: "account info", says: []string{"viewer"}},
		{user: "viewer", command: "pub nd.relay {}", says: []string{"Permissions Violation"}, status: 1},
		{user: "exporter", command: "consumer info ND_ALERTS exporter", says: []string{"exporter"}},
		{user: "exporter", command: "consumer next ND_ALERTS exporter --ack", says: []string{someAlert}},
		{user: "exporter", command: "stream info ND_EVENTS", says: []string{"nd.batches.>"}},
		{user: "admin", command: "stream ls --all", says: []string{"ND_ALERTS", "ND_EVENTS"}},
		{user: "admin", command: "stream purge ND_ALERTS --force", says: []string{"ND_ALERTS"}},
		{user: "admin", command: "consumer ls ND_EVENTS", says: []string{"exporter"}},
		{user: "system", command: "server report accounts", says: []string{"NDMON", "viewer"}},
		{user: "system", command: "server report jetstream", says: []string{"ndmon"}},
		{user: "system", command: "server ls", says: []string{"1"}},
		{user: "operator", command: "pub nd.relay.r1 {}"},
		{user: "sensor-r1", command: "pub nd.events.r1.eth0.ns {}"},
		{user: "sensor-r1", command: "request nd.batches.r1.eth0 {}", says: []string{"ND_EVENTS"}},
		{user: "exporter", command: "consumer next ND_EVENTS exporter --ack --raw", says: []string{"{}"}},
	} {
		t.Run(tc.user+" "+tc.command, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, nats, append([]string{"--context", users[tc.user].contextFile(dir)}, strings.Fields(tc.command)...)...)
			cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME=", "NATS_URL=", "NATS_CONTEXT=")
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != tc.status {
				t.Errorf("%v\n%s", err, out)
			}
			if tc.status == 0 && bytes.Contains(out, []byte("Permissions Violation")) {
				t.Errorf("something is refused:\n%s", out)
			}
			for _, words := range tc.says {
				if !bytes.Contains(out, []byte(words)) {
					t.Errorf("the output lacks %q:\n%s", words, out)
				}
			}
		})
	}
}
