package keys

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
)

// subject is a subject with the names of the users that may publish on and subscribe to it,
// separated by blanks.
type subject struct{ name, publish, subscribe string }

const (
	sensor1, sensor2, pinger1, pinger2 = "sensor-" + host1, "sensor-" + host2, "pinger-" + host1, "pinger-" + host2
	ruled, viewer, operator, exporter  = "ruled", "viewer", "operator", "exporter"
	page                               = "web"
	services1                          = sensor1 + " " + sensor2 + " " + pinger1 + " " + pinger2 + " " + ruled
)

// subjects are those of the contract, and others.
func subjects(users map[string]user) []subject {
	list := []subject{
		{"nd.events." + host1 + ".eth0.ns", sensor1, ruled},
		{"nd.events." + host1 + ".eth0=2E100.other", sensor1 + " " + pinger1, ruled},
		{"nd.events." + host1 + ".eth0", "", ruled},
		{"nd.events." + host1 + ".eth0.ns.more", "", ruled},
		{"nd.events." + token2 + ".eth0.ns", sensor2, ruled},
		{"nd.events.r2.example.org.eth0.ns", "", ruled},
		{"nd.events.r3.eth0.ns", "", ruled},
		{"nd.events", "", ""},
		{"nd.batches." + host1 + ".eth0", sensor1 + " " + pinger1, ""},
		{"nd.batches." + host1 + ".=", sensor1 + " " + pinger1, ""},
		{"nd.batches." + host1, "", ""},
		{"nd.batches." + host1 + ".eth0.ns", "", ""},
		{"nd.batches." + token2 + ".eth0=2E100", sensor2 + " " + pinger2, ""},
		{"nd.batches.r2.example.org.eth0", "", ""},
		{"nd.batches.r3.eth0", "", ""},
		{schemas.SubjectAlerts, ruled, viewer},
		{"nd.alerts.r1", "", ""},
		{"nd.relay." + host1, ruled + " " + operator, pinger1},
		{"nd.relay." + token2, ruled + " " + operator, pinger2},
		{"nd.relay.r3", ruled + " " + operator, ""},
		{schemas.SubjectRelayAll, ruled + " " + operator + " " + page, pinger1 + " " + pinger2},
		{"nd.results." + host1, pinger1, operator + " " + page},
		{"nd.results." + token2, pinger2, operator + " " + page},
		{"nd.results.r3", "", operator + " " + page},
		{schemas.StateSubject("ruled"), ruled + " " + page, ruled},
		{"nd.history.2001.0db8.0.0.0.0.0.0042.02:00:00:00:00:01." + host1 + ".eth0.-.1", ruled, ""},
		{"nd.uplink.history.2001.0db8.0.0.0.0.0.0042.02:00:00:00:00:01." + host1 + ".eth0.-.1", "", ""},
		{"nd.other", "", ""},
		{"anything", "", ""},
		{"$SYS.REQ.SERVER.PING", "", ""},
		{"$SYS.REQ.USER.INFO", viewer + " " + operator + " " + page + " " + exporter, ""},
		{"$SYS.REQ.ACCOUNT.NDMON.CONNZ", "", ""},
		{"$JS.EVENT.ADVISORY.API", "", ""},
		{"$JS.EVENT.ADVISORY.STREAM.DELETED.ND_ALERTS", "", ruled},
		{"$KV.bucket.key", "", ""},
		{"$KV.ND_RULES.rules", operator, ruled},
		{"$KV.ND_RULES.other", "", ""},
		{"$KV.ND_SILENCES.rule.r1.eth0.-.-", page, ""},
		{"$KV.ND_RULED.ruled.members.x", ruled, ""},
		{"nd.fences.x", ruled, ""},
		{"nd.stored.alerts", "", ""},
		{"nd.uplink.alerts", "", ""},
		{"nd.uplink.fences.r1", "", ""},
		{"nd.uplink.rules", "", ""},
		{"$SRV.PING", viewer + " " + operator + " " + page, services1},
		{"$SRV.STATS.nd-sensor", viewer + " " + operator + " " + page, sensor1 + " " + sensor2},
		{"$SRV.INFO.nd-pinger.x", viewer + " " + operator + " " + page, pinger1 + " " + pinger2},
		{"$SRV.STATUS.nd-sensor." + token2, viewer + " " + operator + " " + page, sensor2},
		{"$SRV.STATUS.nd-pinger.r1", viewer + " " + operator + " " + page, pinger1},
		{"$SRV.STATUS.nd-ruled.anywhere", viewer + " " + operator + " " + page, ruled},
		{"$SRV.STATUS.nd-sensor.*", "", ""},
		{"_R_.x.y", "", ""},
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
		{"_INBOX.other.x", "", ""},
	}
	for _, all := range []string{">", "*", "nd.>", "READERS.COPY.>", "nd.events.>", "nd.batches.>", "nd.relay.>", "nd.relay.*", "nd.results.>", "nd.state.*", "_INBOX.>", "$JS.>", "$JS.API.>", "$SYS.>", "$O.>", "$KV.>", "$SRV.>", "_R_.>", "nd.uplink.>", "nd.fences.*"} {
		s := subject{name: all}
		switch all {
		case schemas.SubjectEvents, "nd.state.*":
			s.subscribe = ruled
		case schemas.SubjectResults:
			s.subscribe = operator + " " + page
		}
		list = append(list, s)
	}
	// The only user of an account may use any inbox, so that any client works.
	const alone = " " + viewer + " " + operator + " " + page + " " + exporter
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
	return list
}

// allStreams are the streams, and one of someone else.
var allStreams = []string{schemas.StreamEvents, schemas.StreamAlerts, "OBJ_ND_STATE", "KV_ND_RULED", "KV_ND_RULES", "KV_ND_SILENCES", schemas.StreamHistory, schemas.StreamStations, "OTHER"}

// requests are those of the API of JetStream.
func requests() (list []subject) {
	allowed := map[string]string{
		"STREAM.INFO.ND_EVENTS": ruled + " " + exporter, "STREAM.CREATE.ND_EVENTS": ruled, "STREAM.UPDATE.ND_EVENTS": ruled,
		"STREAM.INFO.ND_ALERTS": ruled + " " + viewer + " " + page + " " + exporter, "STREAM.CREATE.ND_ALERTS": ruled, "STREAM.UPDATE.ND_ALERTS": ruled,
		"STREAM.INFO.ND_HISTORY": ruled + " " + viewer + " " + operator + " " + page, "STREAM.CREATE.ND_HISTORY": ruled, "STREAM.UPDATE.ND_HISTORY": ruled,
		"STREAM.INFO.ND_STATIONS": ruled, "STREAM.CREATE.ND_STATIONS": ruled, "STREAM.UPDATE.ND_STATIONS": ruled, "DIRECT.GET.ND_STATIONS": viewer + " " + operator + " " + page,
		"DIRECT.GET.ND_HISTORY":    viewer + " " + operator + " " + page,
		"STREAM.MSG.GET.ND_ALERTS": viewer, "CONSUMER.CREATE.ND_ALERTS": viewer, "CONSUMER.INFO.ND_ALERTS.x": viewer,
		"CONSUMER.NAMES.ND_ALERTS": viewer, "CONSUMER.LIST.ND_ALERTS": viewer,
		"STREAM.NAMES": viewer + " " + exporter, "STREAM.LIST": viewer, "INFO": ruled + " " + viewer + " " + exporter + " " + operator + " " + page,
		"CONSUMER.INFO.ND_EVENTS.x": ruled, "DIRECT.GET.ND_ALERTS": ruled + " " + page, "DIRECT.GET.ND_ALERTS.x": ruled,
		"STREAM.INFO.KV_ND_RULED": ruled, "STREAM.CREATE.KV_ND_RULED": ruled, "STREAM.UPDATE.KV_ND_RULED": ruled,
		"DIRECT.GET.KV_ND_RULED": ruled, "DIRECT.GET.KV_ND_RULED.x": ruled, "CONSUMER.CREATE.KV_ND_RULED.x": ruled, "CONSUMER.DELETE.KV_ND_RULED.x": ruled,
		"STREAM.INFO.KV_ND_RULES": ruled + " " + viewer + " " + operator + " " + page, "STREAM.CREATE.KV_ND_RULES": ruled, "STREAM.UPDATE.KV_ND_RULES": ruled,
		"DIRECT.GET.KV_ND_RULES": ruled + " " + viewer + " " + operator + " " + page, "DIRECT.GET.KV_ND_RULES.x": ruled + " " + viewer + " " + operator + " " + page,
		"CONSUMER.INFO.ND_EVENTS.exporter": ruled + " " + exporter, "CONSUMER.MSG.NEXT.ND_EVENTS.exporter": ruled + " " + exporter,
		"CONSUMER.INFO.ND_ALERTS.exporter": viewer + " " + exporter, "CONSUMER.MSG.NEXT.ND_ALERTS.exporter": ruled + " " + viewer + " " + exporter,
		"STREAM.INFO.OBJ_ND_STATE": ruled + " " + page, "STREAM.CREATE.OBJ_ND_STATE": ruled, "STREAM.UPDATE.OBJ_ND_STATE": ruled, "STREAM.PURGE.OBJ_ND_STATE": ruled,
		"DIRECT.GET.OBJ_ND_STATE": ruled + " " + page, "DIRECT.GET.OBJ_ND_STATE.x": ruled + " " + page,
		"STREAM.INFO.KV_ND_SILENCES": ruled + " " + page, "STREAM.CREATE.KV_ND_SILENCES": ruled, "STREAM.UPDATE.KV_ND_SILENCES": ruled, "DIRECT.GET.KV_ND_SILENCES": page,
	}
	for _, stream := range []string{schemas.StreamEvents, schemas.StreamAlerts, "OBJ_ND_STATE"} {
		for _, verb := range []string{"CONSUMER.CREATE", "CONSUMER.DELETE"} {
			allowed[verb+"."+stream+".x"] = ruled
			if stream == schemas.StreamAlerts {
				allowed[verb+"."+stream+".x"] += " " + viewer
			}
		}
	}
	for _, consumer := range []string{"CONSUMER.MSG.NEXT.ND_EVENTS.x", "CONSUMER.RESET.ND_EVENTS.x", "CONSUMER.CREATE.ND_EVENTS.x.nd.batches.r1.>"} {
		allowed[consumer] = ruled
	}
	allowed["CONSUMER.MSG.NEXT.ND_ALERTS.x"] = ruled + " " + viewer
	for _, verb := range []string{"STREAM.CREATE", "STREAM.UPDATE", "STREAM.INFO", "STREAM.DELETE", "STREAM.PURGE", "STREAM.SNAPSHOT",
		"STREAM.RESTORE", "STREAM.MSG.GET", "STREAM.MSG.DELETE", "STREAM.PEER.REMOVE", "STREAM.LEADER.STEPDOWN", "DIRECT.GET",
		"CONSUMER.CREATE", "CONSUMER.NAMES", "CONSUMER.LIST"} {
		for _, stream := range allStreams {
			list = append(list, subject{name: "$JS.API." + verb + "." + stream, publish: allowed[verb+"."+stream]})
			delete(allowed, verb+"."+stream)
		}
	}
	for _, verb := range []string{"DIRECT.GET", "CONSUMER.CREATE", "CONSUMER.DURABLE.CREATE", "CONSUMER.INFO", "CONSUMER.DELETE", "CONSUMER.PAUSE",
		"CONSUMER.MSG.NEXT", "CONSUMER.RESET", "CONSUMER.UNPIN", "CONSUMER.LEADER.STEPDOWN"} {
		for _, stream := range allStreams {
			list = append(list, subject{name: "$JS.API." + verb + "." + stream + ".x", publish: allowed[verb+"."+stream+".x"]})
			delete(allowed, verb+"."+stream+".x")
		}
	}
	for name, who := range allowed {
		list = append(list, subject{name: "$JS.API." + name, publish: who})
	}
	for _, request := range []string{"META.LEADER.STEPDOWN", "ACCOUNT.PURGE.NDMON"} {
		list = append(list, subject{name: "$JS.API." + request})
	}
	return list
}

// Every user tries every subject.
func TestPermissions(t *testing.T) {
	dir, users := fleet(t)
	list := append(subjects(users), requests()...)
	s := start(t, dir)
	for name, u := range users {
		if u.role == Admin || u.role == System || u.role == Edge {
			continue // has all rights in its account, or cannot connect as a client
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

// A client without a key, or with one of another fleet, cannot connect.
func TestStrangers(t *testing.T) {
	dir, _ := fleet(t)
	s := start(t, dir)
	other, users := fleet(t)
	key, err := nats.NkeyOptionFromSeed(users["ruled"].seedFile(other))
	must(t, err)
	for name, opts := range map[string][]nats.Option{
		"no key": nil, "another fleet's": {key}, "a password": {nats.UserInfo("ruled", "ruled")}, "a token": {nats.Token("ruled")},
	} {
		nc, err := nats.Connect(s.ClientURL(), opts...)
		if err == nil {
			nc.Close()
			t.Errorf("%s can connect", name)
		}
	}
}

// A viewer gets answers to its requests, and reads what others store.
func TestViewerReadsAlerts(t *testing.T) {
	dir, users := fleet(t)
	s := start(t, dir)
	ruled, viewer := connect(t, s, dir, users["ruled"]), connect(t, s, dir, users["viewer"])
	js := ensureStreams(t, ruled)
	sub, err := viewer.SubscribeSync(schemas.SubjectAlerts)
	if err != nil || viewer.Flush() != nil {
		t.Fatal(err)
	}
	store(t, js, schemas.SubjectAlerts, someAlert)
	if m, err := sub.NextMsg(10 * time.Second); err != nil || string(m.Data) != someAlert {
		t.Errorf("%v, %v", m, err)
	}
	readAlerts(t, viewer, 1)
	// As the client before it did, with a consumer that pushes.
	old, err := viewer.JetStream()
	must(t, err)
	pushed, err := old.SubscribeSync(schemas.SubjectAlerts, nats.OrderedConsumer())
	must(t, err)
	if m, err := pushed.NextMsg(10 * time.Second); err != nil || string(m.Data) != someAlert {
		t.Errorf("%v, %v", m, err)
	}
	alerts, err := stream(t, viewer).Stream(t.Context(), schemas.StreamAlerts)
	must(t, err)
	if m, err := alerts.GetMsg(t.Context(), 1); err != nil || string(m.Data) != someAlert {
		t.Errorf("%v, %v", m, err)
	}
	if err := viewer.LastError(); err != nil {
		t.Error(err)
	}

	// Where ND_ALERTS is made again, so is the copy.
	admin := stream(t, connect(t, s, dir, users["admin"]))
	must(t, admin.DeleteStream(t.Context(), schemas.StreamAlerts))
	ensureStreams(t, ruled)
	store(t, js, schemas.SubjectAlerts, someAlert)
	readAlerts(t, viewer, 1)
}

// An exporter reads both streams, and resumes at its position.
func TestExporterReadsEverything(t *testing.T) {
	dir, users := fleet(t)
	s := start(t, dir)
	js := ensureStreams(t, connect(t, s, dir, users["ruled"]))
	sensor := stream(t, connect(t, s, dir, users["sensor-"+host1]))
	for range 2 {
		store(t, js, schemas.SubjectAlerts, someAlert)
		store(t, sensor, schemas.BatchSubject(host1, "eth0"), "event")
	}
	for _, name := range []string{schemas.StreamAlerts, schemas.StreamEvents} {
		for i := range 2 {
			exporter := connect(t, s, dir, users["exporter"])
			consumer, err := stream(t, exporter).Consumer(t.Context(), name, schemas.ConsumerExporter)
			must(t, err)
			m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
			must(t, err)
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

// A pinger's batch is stored without a request, and only one of its own host.
func TestPingerStoresConflicts(t *testing.T) {
	dir, users := fleet(t)
	s := start(t, dir)
	ensureStreams(t, connect(t, s, dir, users["ruled"]))
	pinger := connect(t, s, dir, users[pinger1])
	pinger.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	for _, subject := range []string{"nd.batches." + token2 + ".eth0", schemas.BatchSubject(host1, "eth0")} {
		must(t, pinger.Publish(subject, []byte("event")))
	}
	must(t, pinger.Flush())
	consumer, err := stream(t, connect(t, s, dir, users["exporter"])).Consumer(t.Context(), schemas.StreamEvents, schemas.ConsumerExporter)
	must(t, err)
	m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
	must(t, err)
	if !strings.HasPrefix(m.Subject(), schemas.BatchSubject(host1, "eth0")+".") { // and the partition
		t.Errorf("stored on %s", m.Subject())
	}
}

// For a large state, the server uses flow control.
func TestRuledKeepsLargeState(t *testing.T) {
	dir, users := fleet(t)
	s := start(t, dir)
	ruled := connect(t, s, dir, users["ruled"])
	js, err := jetstream.New(ruled.Conn)
	must(t, err)
	store, err := js.CreateOrUpdateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: schemas.BucketState})
	must(t, err)
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
