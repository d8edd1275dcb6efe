package ruled

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
)

// Each host that the matching rules name gets one command, and all hosts share
// one.
func TestRelayTo(t *testing.T) {
	rule := func(id, condition, relay string) string {
		return fmt.Sprintf(`<rule id=%q><match field="nd.ns"/>%s<relay%s/></rule>`, id, condition, relay)
	}
	const once = `<threshold type="limit" count="1" seconds="60"/>`
	for name, tt := range map[string]struct {
		rules string
		want  []string // subject, host, rule
	}{
		"origin":     {rule("a", "", ""), []string{"nd.relay.r1 r1 a"}},
		"by name":    {rule("a", "", ` to="r2.example r3"`), []string{"nd.relay.r2=2Eexample r2.example a", "nd.relay.r3 r3 a"}},
		"all":        {rule("a", "", ` to="all"`), []string{"nd.relay * a"}},
		"union":      {rule("a", "", ` to="r2 r1"`) + rule("b", "", "") + rule("c", "", ` to="r3 r2"`), []string{"nd.relay.r2 r2 a", "nd.relay.r1 r1 a", "nd.relay.r3 r3 c"}},
		"all covers": {rule("a", "", "") + rule("b", "", ` to="all"`) + rule("c", "", ` to="r2"`), []string{"nd.relay * b"}},
		"one that does not match": {rule("a", `<match field="direction" value="in"/>`, ` to="all"`) + rule("b", "", ""),
			[]string{"nd.relay.r1 r1 b"}},
		"union of those that wait": {rule("a", once, ` to="r2 r3"`) + rule("b", once, ` to="r3 origin"`),
			[]string{"nd.relay.r2 r2 a", "nd.relay.r3 r3 a", "nd.relay.r1 r1 b"}},
		"all of those that wait": {rule("a", once, "") + rule("b", `<no-match field="link.claim.new"/>`, ` to="all"`), []string{"nd.relay * b"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, "<rules>"+tt.rules+"</rules>")
			relays, err := f.conn.NATS().SubscribeSync("nd.relay.>")
			if err != nil {
				t.Fatal(err)
			}
			all, err := f.conn.NATS().SubscribeSync(schemas.SubjectRelayAll)
			if err != nil {
				t.Fatal(err)
			}
			stop := f.run(t)
			f.waitRelaying(t)
			e := solicitation(1)
			f.publish(t, e)
			f.waitAcknowledged(t)
			waitFor(t, "the commands", func() bool { return f.counter(t, "nd_ruled_relays_total") >= float64(len(tt.want)) })
			stop()
			var got []string
			ids := map[string]bool{}
			for len(got) < len(tt.want) {
				sub := relays
				if strings.HasPrefix(tt.want[len(got)], schemas.SubjectRelayAll+" ") {
					sub = all
				}
				msg, err := sub.NextMsgWithContext(testContext(t))
				if err != nil {
					t.Fatalf("after %v: %v", got, err)
				}
				var command schemas.Relay
				if err := command.ParseJSON(msg.Data); err != nil {
					t.Fatalf("%s: %v", msg.Data, err)
				}
				if command.Event != e.ID || command.Target != e.ND.NS.TargetAddress || !command.Expires.Equal(e.Time.Add(f.config.RelayTTL)) ||
					command.Solicitation == nil || command.Solicitation.Host != "r1" || command.Solicitation.Interface != "eth0" || ids[command.ID] {
					t.Errorf("command %s", msg.Data)
				}
				ids[command.ID] = true
				got = append(got, fmt.Sprintf("%s %s %s", msg.Subject, command.Host, command.Rule))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
			if sent := f.counter(t, "nd_ruled_relays_total"); sent != float64(len(tt.want)) {
				t.Errorf("%v commands were sent, want %d", sent, len(tt.want))
			}
		})
	}
}

// What is not relayed is said to those who debug, and why as far as is known.
func TestNotRelayedIsLogged(t *testing.T) {
	f := start(t, `<rules>
  <rule id="relay"><match field="nd.ns"/><match field="master"/><relay/></rule>
  <rule id="late"><match field="nd.ns"/><match field="proxy"/><relay/><threshold type="limit" count="1" seconds="60"/></rule>
</rules>`)
	stop := f.run(t)
	f.waitRelaying(t)
	e := solicitation(1)
	e.Master = false
	f.publish(t, e)
	for n := 2; n <= 3; n++ {
		e = solicitation(n)
		e.Master, e.Proxy = false, true
		f.publish(t, e)
	}
	e = solicitation(4)
	e.Master, e.Proxy, e.Interface, e.Time = false, true, "eth1", e.Time.Add(-time.Hour)
	f.publish(t, e)
	f.publish(t, solicitation(5)) // relayed, after the others
	f.waitAcknowledged(t)
	waitFor(t, "the two commands", func() bool { return f.counter(t, "nd_ruled_relays_total") == 2 })
	stop()
	for _, want := range []string{
		`msg="no rule relays this solicitation at once" host=r1 interface=eth0 direction=out target=2001:db8::42 source=fe80::1 master=false proxy=false event=e1`,
		`msg="no rule relays this solicitation at once" host=r1 interface=eth0 direction=out target=2001:db8::42 source=fe80::1 master=false proxy=true event=e2`,
		`msg=relay rule=late target=2001:db8::42 host=r1 `,
		`msg="not relayed: the rule's threshold holds it back" rule=late event=e3`,
		`msg="not relayed: the event is too old" rule=late `,
		`msg=relay rule=relay target=2001:db8::42 host=r1 `,
	} {
		if n := strings.Count(f.log.String(), want); n != 1 {
			t.Errorf("%d lines with %s, want 1:\n%s", n, want, f.log)
		}
	}
}

// waitRelaying waits until ruled reads solicitations as they come, if one of its
// rules relays them at once.
func (f *fixture) waitRelaying(t *testing.T) {
	t.Helper()
	set, err := rulefile.Parse(f.config.Rules, readFile(t, f.config.Rules))
	if err != nil {
		t.Fatal(err)
	}
	if newRuleset(set).relaying.Len() == 0 {
		return
	}
	waitFor(t, "the subscription to solicitations", func() bool {
		subs, err := f.server.Subsz(&server.SubszOptions{Subscriptions: true})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(subs.Subs, func(s server.SubDetail) bool { return s.Subject == solicitations(f.config.Events) })
	})
}

func readFile(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// countingBus counts what is published.
type countingBus struct {
	published    []string
	unsubscribed bool
}

func (b *countingBus) Subscribe(string, func(string, []byte)) (func() error, error) {
	return func() error { b.unsubscribed = true; return nil }, nil
}

func (b *countingBus) Publish(subject string, _ []byte) error {
	b.published = append(b.published, subject)
	return nil
}

// A solicitation costs no memory on its way to a command but for the command's
// id, and none at all if it is not relayed.
func TestRelayDoesNotAllocate(t *testing.T) {
	for name, tt := range map[string]struct {
		to     string
		master bool
		want   []string
		most   float64
	}{
		"origin":      {"origin", true, []string{"nd.relay.r1"}, 1},
		"two":         {"r1 r2", true, []string{"nd.relay.r1", "nd.relay.r2"}, 2},
		"all":         {"all", true, []string{"nd.relay"}, 1},
		"not relayed": {"all", false, nil, 0},
	} {
		m, err := newMetrics(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		set, err := rulefile.Parse("rules.xml", []byte(`<rules><rule><match field="nd.ns"/><match field="master"/><relay to="`+tt.to+`"/></rule></rules>`))
		if err != nil {
			t.Fatal(err)
		}
		src := &source{}
		src.rules.Store(newRuleset(set))
		var log bytes.Buffer
		bus := &countingBus{published: make([]string, 0, 4096)}
		r := newRelayer(Config{RelayTTL: time.Second}, Deps{Log: slog.New(slog.NewTextHandler(&log, nil)), Bus: bus}, m, src)
		e := solicitation(1)
		e.Master = tt.master
		subject, data := schemas.EventSubject(e.Host, e.Interface, e.Kind()), e.AppendJSON(nil)
		if n := testing.AllocsPerRun(1000, func() { r.handle(subject, data) }); n > tt.most {
			t.Errorf("%s: %v allocations, at most %v", name, n, tt.most)
		}
		if got := bus.published[:min(len(tt.want), len(bus.published))]; !slices.Equal(got, tt.want) || tt.want == nil && len(bus.published) > 0 {
			t.Errorf("%s: published on %v, want %v", name, got, tt.want)
		}
		if log.Len() > 0 {
			t.Errorf("%s: %s", name, &log)
		}
	}
}

// A sensor of the same process hands its solicitations over, and the commands for
// them are handed on before they are published.
func TestRelayWithinTheProcess(t *testing.T) {
	var take func(*schemas.Event)
	stopped := false
	b := &countingBus{}
	var given []string
	d := Deps{
		Log: slog.New(slog.DiscardHandler), Bus: b, Registry: prometheus.NewRegistry(),
		Solicitations: func(f func(*schemas.Event)) func() {
			take = f
			return func() { stopped = true }
		},
		Command: func(c *schemas.Relay) { given = append(given, c.Host+" "+c.Target.String()) },
	}
	m, err := newMetrics(d.Registry)
	if err != nil {
		t.Fatal(err)
	}
	src, err := loadRules("", d, m)
	if err != nil {
		t.Fatal(err)
	}
	r := newRelayer(Config{Events: schemas.SubjectEvents, RelayTTL: time.Second}, d, m, src)
	stop, err := r.subscribe()
	if err != nil {
		t.Fatal(err)
	}
	event := solicitation(1)
	event.Master = true
	take(event)
	want := []string{event.Host + " " + event.ND.NS.TargetAddress.String()}
	if diff := cmp.Diff(want, given); diff != "" {
		t.Errorf("handed on (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{schemas.RelaySubject(event.Host)}, b.published); diff != "" {
		t.Errorf("published on (-want +got):\n%s", diff)
	}
	if err := stop(); err != nil || !stopped || !b.unsubscribed {
		t.Errorf("stop: %v, stopped %v, unsubscribed %v", err, stopped, b.unsubscribed)
	}
}
