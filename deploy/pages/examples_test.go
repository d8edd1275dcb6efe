package pages

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
)

// wanted has a text that the output of an example contains, by how the example begins.
var wanted = map[string]string{
	"nats stream get ND_EVENTS":       `"2001:db8:1::66"`,
	"nats consumer next ND_EVENTS":    `"lifetime":1800`,
	"nats stream subjects ND_HISTORY": "nd.history.2001.0db8.0001",
	"nats stream get ND_STATIONS":     `"2001:db8:1::42"`,
	"nats sub nd.alerts --raw":        `"rule":"rogue-router"`,
	"nats sub nd.alerts --all":        `{"rule":"address-conflict","count":12}`,
	"nats sub nd.alerts --since":      `"rule":"address-conflict","summary":"NA 2001:db8:1::66`,
	"nats sub 'nd.events":             `{"host":"r1","interface":"eth1","router":"2001:db8:1::66","ethernet":"02:00:00:00:00:02"}`,
	"nats sub 'nd.batches":            `"interface":"eth1","target":"2001:db8:1::66"}`,
	"nats req":                        `{"state":"ok","faults":null,"lost":null,"newest":"2026-11-26T11:59:58.120031Z"}`,
	"nats sub 'nd.results":            `{"target":"2001:db8:1::42","host":"r1","slave":"eth2","rtt":"312µs"}`,
	`jq -nc '{type: "nd.relay.v1"`:    "Published",
	`jq -nc '{type: "nd.silence.v1"`:  "", // it prints nothing
	"nats kv ls":                      "address-conflict.r1.eth1.-.020000000002",
}

// bed is a NATS server with the messages of the page, and others that are made of them.
type bed struct {
	*testing.T
	conn *nats.Conn
	url  string
	// live are the messages that are published again and again, by subject.
	live map[string][]byte
}

func newBed(t *testing.T, page string) *bed {
	t.Helper()
	s := bustest.Start(t, t.TempDir(), -1)
	conn, err := nats.Connect(s.ClientURL())
	must(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	must(t, err)
	_, err = bus.EnsureStreams(t.Context(), js, bus.StreamConfig{HistoryBytes: 1 << 20, HistoryAge: time.Hour})
	must(t, err)
	message := map[string][]byte{}
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(page, -1) {
		var line bytes.Buffer
		must(t, json.Compact(&line, []byte(block[1])))
		var m struct{ Type string }
		must(t, json.Unmarshal(line.Bytes(), &m))
		message[m.Type] = line.Bytes()
	}
	// A server with the keys of ndmon keys has it.
	_, err = js.CreateConsumer(t.Context(), schemas.StreamEvents, jetstream.ConsumerConfig{Durable: schemas.ConsumerExporter, AckPolicy: jetstream.AckExplicitPolicy})
	must(t, err)
	change := func(message []byte, pairs ...string) []byte {
		return []byte(strings.NewReplacer(pairs...).Replace(string(message)))
	}
	event := message[schemas.TypeEvent]
	ra := change(event, `"type":136`, `"type":134`, `"na":{"flag":{"override":true},"targetaddress":"2001:db8:1::66"}`, `"ra":{"lifetime":1800}`)
	alert := change(message[schemas.TypeAlert], `"direction":"in"`, `"direction":"in","ethernet":{"source":"02:00:00:00:00:02"}`)
	var binding schemas.Binding
	must(t, binding.ParseJSON(message[schemas.TypeBinding]))
	for _, m := range []struct {
		subject string
		data    []byte
	}{
		{schemas.BatchSubject("r1", "eth1"), append(append(event, '\n'), ra...)},
		{schemas.SubjectAlerts, alert},
		{schemas.SubjectAlerts, change(alert, `"event":`, `"count":11,"event":`)},
		{binding.Subject(), message[schemas.TypeBinding]},
	} {
		_, err := js.Publish(t.Context(), m.subject, m.data)
		must(t, err)
	}
	lab.Eventually(t, "the binding is in the copy by station", func() bool {
		copied, err := js.Stream(t.Context(), schemas.StreamStations)
		must(t, err)
		return copied.CachedInfo().State.Msgs > 0
	})
	_, err = conn.Subscribe(schemas.StatusSubject(schemas.ServiceSensor, "r1"), func(m *nats.Msg) { m.Respond(message[schemas.TypeStatus]) })
	must(t, err)
	return &bed{T: t, conn: conn, url: s.ClientURL(), live: map[string][]byte{
		schemas.SubjectAlerts:                              change(alert, `"warning"`, `"critical"`, `"rule":"address-conflict"`, `"rule":"rogue-router"`),
		schemas.EventSubject("r1", "eth1", schemas.KindRA): ra,
		schemas.ResultSubject("r1"):                        message[schemas.TypeResult],
	}}
}

// run runs a line in a shell until its output has a text, or until it ends.
func (b *bed) run(line, bin, want string, live bool) {
	b.Helper()
	out := lab.NewOutput(b, line)
	cmd := exec.Command("bash", "-o", "pipefail", "-c", line)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "NATS_URL="+b.url, "HOME="+b.TempDir(), "XDG_CONFIG_HOME=", "NATS_CONTEXT=")
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(b, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		if live {
			<-ended
		}
	}()
	if !live {
		if err := <-ended; err != nil || !strings.Contains(out.String(), want) {
			b.Errorf("%v, want %s in\n%s", err, want, out)
		}
		return
	}
	lab.Eventually(b, "the output has "+want, func() bool {
		for subject, message := range b.live {
			must(b, b.conn.Publish(subject, message))
		}
		return strings.Contains(out.String(), want)
	})
}

// The examples on the page about messages work. Those that do not end by themselves get messages.
func TestExamplesForTheShell(t *testing.T) {
	client := lab.BuildNATS(t)
	if _, err := exec.LookPath("jq"); err != nil {
		unable := t.Skip
		if os.Getenv("CI") == "true" {
			unable = t.Fatal
		}
		unable("this needs jq, of the package jq")
	}
	page, err := os.ReadFile(root + "/docs/messages.md")
	must(t, err)
	b := newBed(t, string(page))
	relayed, err := b.conn.SubscribeSync(schemas.SubjectRelayAll)
	must(t, err)
	lines := regexp.MustCompile(`(?m)^    ((?:nats|jq) .*)$`).FindAllStringSubmatch(string(page), -1)
	for _, found := range lines {
		t.Run(found[1], func(t *testing.T) {
			want, known := "", false
			for begin, text := range wanted {
				if strings.HasPrefix(found[1], begin) {
					want, known = text, true
				}
			}
			if !known {
				t.Fatal("the test does not know what it prints")
			}
			b.T = t
			b.run(found[1], filepath.Dir(client), want, strings.Contains(found[1], "--unbuffered"))
		})
	}
	if len(lines) != len(wanted) {
		t.Errorf("the page has %d examples, the test wants %d", len(lines), len(wanted))
	}
	b.T = t
	var command schemas.Relay
	m, err := relayed.NextMsg(lab.Patience)
	must(t, err)
	must(t, command.ParseJSON(m.Data))
	js, err := jetstream.New(b.conn)
	must(t, err)
	kv, err := js.KeyValue(t.Context(), schemas.BucketSilences)
	must(t, err)
	keys, err := kv.Keys(t.Context())
	must(t, err)
	entry, err := kv.Get(t.Context(), keys[0])
	must(t, err)
	var silence schemas.Silence
	must(t, silence.ParseJSON(entry.Value()))
	if silence.Key() != keys[0] || silence.Check() != nil {
		t.Errorf("silence %s at %s, %v", entry.Value(), keys[0], silence.Check())
	}
}
