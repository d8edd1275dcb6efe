package keys

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// start runs a nats-server with the configuration in a folder, but for where it
// listens and stores.
func start(t *testing.T, dir string) *server.Server {
	t.Helper()
	return startAt(t, dir, "127.0.0.1:-1")
}

// client is a user's connection.
type client struct {
	*nats.Conn
	t *testing.T
}

func connect(t *testing.T, s *server.Server, dir string, u user) client {
	t.Helper()
	key, err := nats.NkeyOptionFromSeed(u.seedFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(s.ClientURL(), key, nats.CustomInboxPrefix("_INBOX."+u.key))
	if err != nil {
		t.Fatalf("connect as %s: %v", u.seedFile(""), err)
	}
	t.Cleanup(nc.Close)
	return client{nc, t}
}

// refused reports whether the server refuses what was done, by the words of the
// violation. The error that came last stays, so they have to be of this one.
func (c client) refused(words string) bool {
	c.t.Helper()
	if err := c.Flush(); err != nil {
		c.t.Fatal(err)
	}
	err := c.LastError()
	return err != nil && strings.Contains(err.Error(), words)
}

func (c client) mayPublish(subject string) bool {
	c.t.Helper()
	if err := c.Publish(subject, []byte("{}")); err != nil {
		c.t.Fatal(err)
	}
	// What an account imports its own messages are kept from, see writeImports.
	return !c.refused(fmt.Sprintf("Publish to %q", subject)) && !c.refused(fmt.Sprintf("Publish to %q", "own."+subject))
}

func (c client) maySubscribe(subject string) bool {
	c.t.Helper()
	sub, err := c.SubscribeSync(subject)
	if err != nil {
		c.t.Fatal(err)
	}
	defer sub.Unsubscribe()
	return !c.refused(fmt.Sprintf("Subscription to %q", subject))
}

const (
	host1, host2 = "r1", "r2.example.org"
	token2       = "r2=2Eexample=2Eorg"
)

// fleet makes the keys of two hosts.
func fleet(t *testing.T) (dir string, users map[string]user) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "keys")
	if err := Init(dir, []string{host1, host2}, plain, local, false); err != nil {
		t.Fatal(err)
	}
	list, err := readUsers(dir)
	if err != nil {
		t.Fatal(err)
	}
	users = map[string]user{}
	for _, u := range list {
		users[strings.TrimSuffix(u.seedFile(""), seedSuffix)] = u
	}
	return dir, users
}

// Every user tries every subject.
func TestPermissions(t *testing.T) {
	dir, users := fleet(t)
	const sensor1, sensor2, pinger1, pinger2 = "sensor-" + host1, "sensor-" + host2, "pinger-" + host1, "pinger-" + host2
	const ruled, viewer, operator, exporter = "ruled", "viewer", "operator", "exporter"
	type subject struct {
		name string
		// who may, separated by blanks
		publish, subscribe string
	}
	list := []subject{
		{"nd.events." + host1 + ".eth0.ns", sensor1, ruled},
		{"nd.events." + host1 + ".eth0=2E100.other", sensor1, ruled},
		{"nd.events." + host1 + ".eth0", "", ruled},
		{"nd.events." + host1 + ".eth0.ns.more", "", ruled},
		{"nd.events." + token2 + ".eth0.ns", sensor2, ruled},
		{"nd.events.r2.example.org.eth0.ns", "", ruled},
		{"nd.events.r3.eth0.ns", "", ruled},
		{"nd.events", "", ""},
		{schemas.SubjectAlerts, ruled, viewer},
		{"nd.alerts.r1", "", ""},
		{"nd.relay." + host1, ruled + " " + operator, pinger1},
		{"nd.relay." + token2, ruled + " " + operator, pinger2},
		{"nd.relay.r3", ruled + " " + operator, ""},
		{schemas.SubjectRelayAll, ruled + " " + operator, pinger1 + " " + pinger2},
		{"nd.results." + host1, pinger1, operator},
		{"nd.results." + token2, pinger2, operator},
		{"nd.results.r3", "", operator},
		{schemas.StateSubject("ruled"), ruled, ruled},
		{"nd.other", "", ""},
		{"anything", "", ""},
		{"$SYS.REQ.SERVER.PING", "", ""},
		{"$SYS.REQ.USER.INFO", viewer + " " + operator + " " + exporter, ""},
		{"$SYS.REQ.ACCOUNT.NDMON.CONNZ", "", ""},
		{"$JS.EVENT.ADVISORY.API", "", ""},
		{"$JS.EVENT.ADVISORY.STREAM.DELETED.ND_ALERTS", "", ruled},
		{"$KV.bucket.key", "", ""},
		{"$O.ND_STATE.M.x", ruled, ""},
		{"$O.OTHER.M.x", "", ""},
		{"$JS.ACK.ND_EVENTS.ruled.1.1.1.1.0", ruled, ""},
		{"$JS.ACK.ND_EVENTS.exporter.1.1.1.1.0", ruled + " " + exporter, ""},
		{"$JS.ACK.ND_ALERTS.exporter.1.1.1.1.0", viewer + " " + exporter, ""}, // a viewer of its copy
		{"$JS.ACK.ND_ALERTS.x.1.1.1.1.0", viewer, ""},
		{"$JS.FC.ND_ALERTS.x.1", viewer, ""},
		{"READERS.API.STREAM.INFO.ND_ALERTS", ruled, ""},
		{"READERS.API.STREAM.CREATE.ND_ALERTS", ruled, ""},
		{"READERS.API.STREAM.DELETE.ND_ALERTS", ruled, ""},
		{"READERS.API.STREAM.PURGE.ND_ALERTS", "", ""},
		{"NDMON.API.CONSUMER.CREATE.ND_ALERTS", "", ""},
		{"READERS.COPY.x", "", ""},
		{"_INBOX.nobody.x", "", ""},
	}
	for _, all := range []string{">", "*", "nd.>", "READERS.COPY.>", "nd.events.>", "nd.relay.>", "nd.relay.*", "nd.results.>", "nd.state.*", "_INBOX.>", "$JS.>", "$JS.API.>", "$SYS.>", "$O.>"} {
		s := subject{name: all}
		switch all {
		case schemas.SubjectEvents, "nd.state.*":
			s.subscribe = ruled
		case schemas.SubjectResults:
			s.subscribe = operator
		}
		list = append(list, s)
	}
	// Who is alone in an account may take any inbox, for any client to work.
	const alone = " " + viewer + " " + operator + " " + exporter
	for i := range list {
		if strings.HasPrefix(list[i].name, "_INBOX.") {
			list[i].subscribe = alone
		}
	}
	for name, u := range users {
		own := subject{name: "_INBOX." + u.key + ".x", subscribe: name + alone}
		if u.role == Ruled {
			own.publish = name
		}
		list = append(list, own)
	}
	// The requests that a user may make of a stream, of all that there are.
	requests := map[string]string{
		"STREAM.INFO.ND_EVENTS": ruled + " " + exporter, "STREAM.CREATE.ND_EVENTS": ruled, "STREAM.UPDATE.ND_EVENTS": ruled,
		"STREAM.INFO.ND_ALERTS": ruled + " " + viewer + " " + exporter, "STREAM.CREATE.ND_ALERTS": ruled, "STREAM.UPDATE.ND_ALERTS": ruled,
		"STREAM.MSG.GET.ND_ALERTS": viewer, "CONSUMER.CREATE.ND_ALERTS": viewer, "CONSUMER.INFO.ND_ALERTS.x": viewer,
		"CONSUMER.NAMES.ND_ALERTS": viewer, "CONSUMER.LIST.ND_ALERTS": viewer,
		"STREAM.NAMES": viewer + " " + exporter, "STREAM.LIST": viewer, "INFO": ruled + " " + viewer + " " + exporter,
		"CONSUMER.INFO.ND_EVENTS.exporter": exporter, "CONSUMER.MSG.NEXT.ND_EVENTS.exporter": ruled + " " + exporter,
		"CONSUMER.INFO.ND_ALERTS.exporter": viewer + " " + exporter, "CONSUMER.MSG.NEXT.ND_ALERTS.exporter": ruled + " " + viewer + " " + exporter,
		"STREAM.INFO.OBJ_ND_STATE": ruled, "STREAM.CREATE.OBJ_ND_STATE": ruled, "STREAM.UPDATE.OBJ_ND_STATE": ruled, "STREAM.PURGE.OBJ_ND_STATE": ruled,
		"DIRECT.GET.OBJ_ND_STATE.x": ruled,
	}
	for _, stream := range []string{schemas.StreamEvents, schemas.StreamAlerts, "OBJ_ND_STATE"} {
		for _, verb := range []string{"CONSUMER.CREATE", "CONSUMER.DELETE"} {
			requests[verb+"."+stream+".x"] = ruled
			if stream == schemas.StreamAlerts {
				requests[verb+"."+stream+".x"] += " " + viewer
			}
		}
	}
	for _, consumer := range []string{"CONSUMER.MSG.NEXT.ND_EVENTS.x", "CONSUMER.RESET.ND_EVENTS.x", "CONSUMER.CREATE.ND_EVENTS.x.nd.events.r1.>"} {
		requests[consumer] = ruled
	}
	requests["CONSUMER.MSG.NEXT.ND_ALERTS.x"] = ruled + " " + viewer
	for _, verb := range []string{"STREAM.CREATE", "STREAM.UPDATE", "STREAM.INFO", "STREAM.DELETE", "STREAM.PURGE", "STREAM.SNAPSHOT",
		"STREAM.RESTORE", "STREAM.MSG.GET", "STREAM.MSG.DELETE", "STREAM.PEER.REMOVE", "STREAM.LEADER.STEPDOWN", "DIRECT.GET",
		"CONSUMER.CREATE", "CONSUMER.NAMES", "CONSUMER.LIST"} {
		for _, stream := range []string{schemas.StreamEvents, schemas.StreamAlerts, "OBJ_ND_STATE", "OTHER"} {
			list = append(list, subject{name: "$JS.API." + verb + "." + stream, publish: requests[verb+"."+stream]})
			delete(requests, verb+"."+stream)
		}
	}
	for _, verb := range []string{"DIRECT.GET", "CONSUMER.CREATE", "CONSUMER.DURABLE.CREATE", "CONSUMER.INFO", "CONSUMER.DELETE", "CONSUMER.PAUSE",
		"CONSUMER.MSG.NEXT", "CONSUMER.RESET", "CONSUMER.UNPIN", "CONSUMER.LEADER.STEPDOWN"} {
		for _, stream := range []string{schemas.StreamEvents, schemas.StreamAlerts, "OBJ_ND_STATE", "OTHER"} {
			list = append(list, subject{name: "$JS.API." + verb + "." + stream + ".x", publish: requests[verb+"."+stream+".x"]})
			delete(requests, verb+"."+stream+".x")
		}
	}
	for name, who := range requests {
		list = append(list, subject{name: "$JS.API." + name, publish: who})
	}
	for _, request := range []string{"META.LEADER.STEPDOWN", "ACCOUNT.PURGE.NDMON"} {
		list = append(list, subject{name: "$JS.API." + request})
	}

	s := start(t, dir)
	for name, u := range users {
		if u.role == Admin || u.role == System {
			continue // may do everything in its account
		}
		t.Run(name, func(t *testing.T) {
			c := connect(t, s, dir, u)
			for _, subject := range list {
				if !strings.ContainsAny(subject.name, "*>") || strings.Contains(subject.name, ".CREATE.") {
					if got, want := c.mayPublish(subject.name), slices.Contains(strings.Fields(subject.publish), name); got != want {
						t.Errorf("publishing on %s is allowed: %v, want %v", subject.name, got, want)
					}
				}
				if got, want := c.maySubscribe(subject.name), slices.Contains(strings.Fields(subject.subscribe), name); got != want {
					t.Errorf("subscribing to %s is allowed: %v, want %v", subject.name, got, want)
				}
			}
		})
	}
}

// Who has no key, or that of another fleet, is not let in.
func TestStrangers(t *testing.T) {
	dir, _ := fleet(t)
	s := start(t, dir)
	other, users := fleet(t)
	key, err := nats.NkeyOptionFromSeed(users["ruled"].seedFile(other))
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string][]nats.Option{
		"nobody": nil, "another fleet's": {key}, "a password": {nats.UserInfo("ruled", "ruled")}, "a token": {nats.Token("ruled")},
	} {
		nc, err := nats.Connect(s.ClientURL(), opts...)
		if err == nil {
			nc.Close()
			t.Errorf("%s is let in", name)
		}
	}
}

// ensureStreams has ruled make the streams and the copy of the alerts.
func ensureStreams(t *testing.T, ruled client) jetstream.JetStream {
	t.Helper()
	js := stream(t, ruled)
	if _, err := bus.EnsureStreams(t.Context(), js, bus.StreamConfig{EventsBytes: 1 << 20, EventsAge: time.Hour, AlertsBytes: 1 << 20, AlertsAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	return js
}

func stream(t *testing.T, c client) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(c.Conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

const someAlert = `{"type":"nd.alert.v1"}`

// readAlerts reads so many stored alerts, as they come, by a consumer of the
// viewer's own.
func readAlerts(t *testing.T, viewer client, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	consumer, err := stream(t, viewer).OrderedConsumer(ctx, schemas.StreamAlerts, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	for i := range n {
		if m, err := messages.Next(jetstream.NextContext(ctx)); err != nil || string(m.Data()) != someAlert {
			t.Fatalf("stored alert %d: %v, %v", i+1, m, err)
		}
	}
}

// What a viewer asks for it gets, and what others store it reads.
func TestViewerReadsAlerts(t *testing.T) {
	dir, users := fleet(t)
	s := start(t, dir)
	ruled, viewer := connect(t, s, dir, users["ruled"]), connect(t, s, dir, users["viewer"])
	js := ensureStreams(t, ruled)
	sub, err := viewer.SubscribeSync(schemas.SubjectAlerts)
	if err != nil || viewer.Flush() != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), schemas.SubjectAlerts, []byte(someAlert)); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.NextMsg(10 * time.Second); err != nil || string(m.Data) != someAlert {
		t.Errorf("%v, %v", m, err)
	}
	readAlerts(t, viewer, 1)
	// As the client before it did, with a consumer that pushes.
	old, err := viewer.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := old.SubscribeSync(schemas.SubjectAlerts, nats.OrderedConsumer())
	if err != nil {
		t.Fatal(err)
	}
	if m, err := pushed.NextMsg(10 * time.Second); err != nil || string(m.Data) != someAlert {
		t.Errorf("%v, %v", m, err)
	}
	alerts, err := stream(t, viewer).Stream(t.Context(), schemas.StreamAlerts)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := alerts.GetMsg(t.Context(), 1); err != nil || string(m.Data) != someAlert {
		t.Errorf("%v, %v", m, err)
	}
	if err := viewer.LastError(); err != nil {
		t.Error(err)
	}

	// Where ND_ALERTS is made again, so is the copy.
	admin := stream(t, connect(t, s, dir, users["admin"]))
	if err := admin.DeleteStream(t.Context(), schemas.StreamAlerts); err != nil {
		t.Fatal(err)
	}
	ensureStreams(t, ruled)
	if _, err := js.Publish(t.Context(), schemas.SubjectAlerts, []byte(someAlert)); err != nil {
		t.Fatal(err)
	}
	readAlerts(t, viewer, 1)
}

// An exporter reads what is stored in both streams, and goes on where it was.
func TestExporterReadsEverything(t *testing.T) {
	dir, users := fleet(t)
	s := start(t, dir)
	js := ensureStreams(t, connect(t, s, dir, users["ruled"]))
	sensor := stream(t, connect(t, s, dir, users["sensor-"+host1]))
	for range 2 {
		if _, err := js.Publish(t.Context(), schemas.SubjectAlerts, []byte(someAlert)); err != nil {
			t.Fatal(err)
		}
		if _, err := sensor.Publish(t.Context(), schemas.EventSubject(host1, "eth0", schemas.KindNS), []byte("event")); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{schemas.StreamAlerts, schemas.StreamEvents} {
		for i := range 2 {
			exporter := connect(t, s, dir, users["exporter"])
			consumer, err := stream(t, exporter).Consumer(t.Context(), name, schemas.ConsumerExporter)
			if err != nil {
				t.Fatal(err)
			}
			m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
			if err != nil {
				t.Fatal(err)
			}
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Error(err)
			}
			if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream != uint64(i+1) {
				t.Errorf("%s: message %d is %+v, %v", name, i+1, meta, err)
			}
			if err := exporter.LastError(); err != nil {
				t.Error(err)
			}
			exporter.Close()
		}
	}
}

// The state may be large: the server then asks its reader how far it is.
func TestRuledKeepsLargeState(t *testing.T) {
	dir, users := fleet(t)
	s := start(t, dir)
	ruled := connect(t, s, dir, users["ruled"])
	js, err := jetstream.New(ruled.Conn)
	if err != nil {
		t.Fatal(err)
	}
	store, err := js.CreateOrUpdateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: schemas.BucketState})
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range [][]byte{make([]byte, 8<<20), make([]byte, 4<<20)} { // the second in place of the first
		if _, err := store.PutBytes(t.Context(), "ruled", state); err != nil {
			t.Fatal(err)
		}
		if got, err := store.GetBytes(t.Context(), "ruled"); err != nil || len(got) != len(state) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	if err := ruled.LastError(); err != nil {
		t.Error(err)
	}
}
