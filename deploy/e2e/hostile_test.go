package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// madeEvent is an event as a sensor publishes it, changed by its caller.
func madeEvent(change func(map[string]any)) []byte {
	e := map[string]any{
		"type": "nd.event.v1", "id": "made-1", "time": "2026-01-02T03:04:05Z", "host": "x", "interface": "y", "direction": "in",
		"ethernet": map[string]any{"source": "02:00:00:00:00:01", "destination": "33:33:ff:00:00:42"},
		"inet6":    map[string]any{"source": "fe80::1", "destination": "ff02::1:ff00:42", "payload": 32, "nextheader": 58, "hoplimit": 1},
		"icmp6":    map[string]any{"type": 135, "code": 0},
		"nd":       map[string]any{"ns": map[string]any{"targetaddress": "2001:db8::42"}},
	}
	change(e)
	data := marshal(e)
	return data
}

// Lines of batches that are no events are counted and come never again, and nd-ruled goes on.
func TestGarbageInBatches(t *testing.T) {
	t.Parallel()
	c := startCentral(t)
	const metrics = "127.0.0.1:9101"
	ruled := c.startRuled("RULED_METRICS=" + metrics)
	alerts := collect(t, c.nc, "nd.alerts")

	set := func(name string, value any) []byte {
		return madeEvent(func(e map[string]any) { e[name] = value })
	}
	const subject = "nd.batches.x.y"
	garbage := []struct {
		subject string
		data    []byte
	}{
		{subject, nil},
		{subject, []byte("garbage")},
		{subject, []byte("{")},
		{subject, []byte("{}")},
		{subject, []byte("null")},
		{subject, []byte(`[]`)},
		{subject, []byte{0xff, 0xfe, 0}},
		{subject, bytes.Repeat([]byte("["), 1e5)},
		{subject, bytes.Repeat([]byte(`{"nd":`), 1e5)},
		{subject, bytes.Repeat([]byte("a"), 9e5)},
		{subject, set("type", "nd.event.v2")},
		{subject, set("type", 7)},
		{subject, set("id", "")},
		{subject, set("id", "two\r\nlines: header")},
		{subject, set("id", strings.Repeat("x", 1e4))},
		{subject, set("time", "yesterday")},
		{subject, set("host", "z")},
		{subject, set("interface", "z")},
		{subject, set("direction", "sideways")},
		{subject, set("icmp6", map[string]any{"type": 1e9, "code": 0})},
		{subject, set("ethernet", "02:00:00:00:00:01")},
		{subject, set("inet6", map[string]any{"source": "here", "destination": "there"})},
		{subject, set("nd", map[string]any{"ns": []int{1}})},
		{"nd.batches.x", madeEvent(func(map[string]any) {})},
		{"nd.batches.x.y.ns", madeEvent(func(map[string]any) {})},
		{"nd.batches.x.Y", madeEvent(func(map[string]any) {})},
		{"nd.batches.=58.y", madeEvent(func(map[string]any) {})}, // x is not escaped
	}
	for _, g := range garbage {
		publish(t, c.nc, g.subject, g.data)
	}
	// An event that is one raises its alert after all of them: they are read in
	// their order.
	const more = 3
	const unread = 2 // on subjects that are in no partition
	publish(t, c.nc, subject, bytes.Join([][]byte{[]byte("{}"), nil, madeEvent(func(map[string]any) {}), []byte("[")}, []byte("\n")))
	a := parseAlert(t, next(t, alerts, "the alert behind the garbage").Data)
	if a.Rule != "hop-limit" || a.Host != "x" || a.Event.ID != "made-1" {
		t.Errorf("alert %+v", a)
	}
	if got := metric(t, c.Namespace, metrics, "nd_ruled_invalid_messages_total"); got != float64(len(garbage)-unread+more) {
		t.Errorf("%v lines were counted as garbage, want %d", got, len(garbage)-unread+more)
	}
	lab.Eventually(t, "all messages are done with", func() bool {
		consumer, err := stream(t, c.nc, "ND_EVENTS").Consumer(t.Context(), fmt.Sprint("ruled-", schemas.Partition("x")))
		must(t, err)
		info := consumer.CachedInfo()
		if info.NumRedelivered > 0 {
			t.Fatalf("%d messages came again", info.NumRedelivered)
		}
		return info.NumPending == 0 && info.NumAckPending == 0
	})
	if len(alerts) > 0 {
		t.Errorf("one more alert: %s", (<-alerts).Data)
	}
	stop(t, ruled)
}

// relayCommand is a good command for host r1, changed by its caller.
func relayCommand(t *testing.T, change func(*command)) []byte {
	t.Helper()
	now := time.Now().UTC()
	c := command{Type: "nd.relay.v1", ID: "c1", Time: now.Format(time.RFC3339Nano), Expires: now.Add(time.Minute).Format(time.RFC3339Nano),
		Host: "r1", Target: lab.Host2Address.String(), Rule: "test", Event: "e1"}
	change(&c)
	return marshal(c)
}

// The pinger carries out what is a command for its host, and nothing else.
func TestGarbageOnRelaySubjects(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	startBroker(t, r.Namespace)
	nc := connect(t, r.Namespace, localNATS)
	results := collect(t, nc, "nd.results.>")
	const metrics = "127.0.0.1:9101"
	pinger := r.Start(with(program("nd-pinger"), "PINGER_HOST=r1", "PINGER_SLAVES="+lab.Slave1+","+lab.Slave2, "PINGER_METRICS="+metrics))
	pinger.Stderr.WaitFor("pinger ready")
	lab.Eventually(t, "the pinger is subscribed", func() bool {
		// What is sent before is not seen.
		publish(t, nc, "nd.relay.r1", []byte("?"))
		return metric(t, r.Namespace, metrics, `nd_pinger_commands_total{outcome="malformed"}`) > 0
	})
	before := metric(t, r.Namespace, metrics, `nd_pinger_commands_total{outcome="malformed"}`)
	wire1, wire2 := r.Host1.Wire("eth0"), r.Host2.Wire("eth0")

	relay := func(change func(*command)) []byte { return relayCommand(t, change) }
	malformed := [][]byte{
		[]byte("garbage"), []byte("{}"), []byte("[]"), []byte("null"), {0xff}, bytes.Repeat([]byte("["), 1e5),
		relay(func(c *command) { c.Type = "nd.relay.v9" }),
		relay(func(c *command) { c.ID = "" }),
		relay(func(c *command) { c.Expires = "soon" }),
		relay(func(c *command) { c.Target = "host2" }),
		relay(func(c *command) { c.Rule = strings.Repeat("x", 1e5) }),
	}
	otherHost := [][]byte{relay(func(c *command) { c.Host = "r2" }), relay(func(c *command) { c.Host = "" })}
	refused := []struct {
		outcome string
		data    []byte
	}{
		{"expired", relay(func(c *command) { c.Expires = time.Now().Add(-time.Second).UTC().Format(time.RFC3339Nano) })},
		{"bad_target", relay(func(c *command) { c.Target = "fe80::1" })},
		{"bad_target", relay(func(c *command) { c.Target = "ff02::1" })},
		{"bad_target", relay(func(c *command) { c.Target = "::" })},
		{"bad_target", relay(func(c *command) { c.Target = "::1" })},
		{"bad_target", relay(func(c *command) { c.Target = "192.0.2.1" })},
		{"bad_target", relay(func(c *command) { c.Target = "::ffff:192.0.2.1" })},
		{"own_address", relay(func(c *command) { c.Target = lab.RouterAddress.String() })},
	}
	for _, data := range append(malformed, otherHost...) {
		publish(t, nc, "nd.relay.r1", data)
	}
	// A command for another host is not for this one even if it names it.
	publish(t, nc, "nd.relay.r2", relay(func(*command) {}))
	for _, x := range refused {
		publish(t, nc, "nd.relay.r1", x.data)
	}
	// A refusal that concerns this host is published.
	for range refused {
		r := parse[result](t, next(t, results, "the refusal").Data)
		if r.Status != "error" || r.Error == "" || r.Relay != "c1" || r.Slave != "" {
			t.Errorf("result %+v", r)
		}
	}
	want := map[string]float64{"malformed": before + float64(len(malformed)), "other_host": float64(len(otherHost)), "probed": 0}
	for _, x := range refused {
		want[x.outcome]++
	}
	got := map[string]float64{}
	for outcome := range want {
		got[outcome] = metric(t, r.Namespace, metrics, fmt.Sprintf("nd_pinger_commands_total{outcome=%q}", outcome))
	}
	equal(t, "commands counted", want, got)
	for _, frames := range [][]lab.Frame{wire1.Frames(), wire2.Frames()} {
		if list := append(echoes(frames), slices.DeleteFunc(solicited(frames), linkLocal)...); len(list) > 0 {
			t.Errorf("%v were probed", list)
		}
	}

	publish(t, nc, "nd.relay.r1", relay(func(*command) {}))
	if found := resultsOf(t, results, lab.Host2Address); found[lab.Slave2].Status != "reachable" {
		t.Errorf("results of a good command: %+v", found)
	}
}

// What others publish as an alert does not end ndmon, and cannot write on a
// person's terminal what it likes.
func TestGarbageOnAlerts(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	p := monitor(t, r, "-o", "text")
	nc := connect(t, r.Namespace, localNATS)
	for _, data := range [][]byte{[]byte("garbage"), nil, []byte("[]"), []byte(`{"time":3}`)} {
		publish(t, nc, "nd.alerts", data)
	}
	hostile := "a\x1b[2Jb\rc\nd\u202e"
	data := marshal(map[string]any{"type": "nd.alert.v1", "time": time.Now().UTC(), "severity": "info\x1b[31m",
		"host": hostile, "interface": hostile, "rule": hostile, "summary": hostile, "id": "x", "event": map[string]any{}})
	publish(t, nc, "nd.alerts", data)
	r.Upstream.Wire("eth0").Send(numbered(1))
	p.Stdout.WaitFor("ra-lifetime-zero")
	stop(t, p)
	if out := p.Stdout.String(); strings.ContainsAny(out, "\x1b\r\u202e") {
		t.Errorf("the text has characters that a terminal obeys: %q", out)
	}
	if n := len(p.Stdout.Lines()); n > 2 {
		t.Errorf("%d lines for an alert and one that others wrote:\n%s", n, p.Stdout)
	}
}

// messageSchemas returns the JSON Schema of each message by its type.
func messageSchemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	ids := map[string]string{}
	for _, messageType := range []string{schemas.TypeEvent, schemas.TypeAlert, schemas.TypeRelay, schemas.TypeResult, schemas.TypeBinding} {
		data, err := os.ReadFile("../../schemas/jsonschema/" + messageType + ".json")
		must(t, err)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		must(t, err)
		ids[messageType] = doc.(map[string]any)["$id"].(string)
		must(t, c.AddResource(ids[messageType], doc))
	}
	compiled := map[string]*jsonschema.Schema{}
	for messageType, id := range ids {
		s, err := c.Compile(id)
		must(t, err)
		compiled[messageType] = s
	}
	return compiled
}

// What the processes publish, on real traffic, fits the published schemas.
func TestMessagesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	rules := strings.Replace(everything, "</rules>", `<rule><match field="nd.ns"/><match field="master"/><match field="direction" value="out"/>
		<no-match field="nd.ns.targetaddress" value="fe80::/10"/><relay/></rule></rules>`, 1)
	// The kernel is to learn no neighbours from the frames on this one.
	const watched = "w0"
	r.Veth(watched, r.Upstream, watched)
	r.Sysctl("net.ipv6.conf."+watched+".disable_ipv6", "1")
	p := startRelay(t, r, "-i", watched, "-R", write(t, "rules.xml", []byte(rules)))
	p.Stderr.WaitFor("msg=capturing", "interface="+watched)
	nc := connect(t, r.Namespace, localNATS)
	messages := collect(t, nc, "nd.>")

	// One result of every status: found behind one slave, held down, own.
	out := r.Wire(lab.Master)
	mac := r.MAC(lab.Master)
	out.Send(lab.Solicitation(mac, lab.RouterAddress, lab.Host2Address).Frame())
	out.Send(lab.Solicitation(mac, lab.RouterAddress, lab.Host2Address).Frame())
	out.Send(lab.Solicitation(mac, lab.RouterAddress, lab.RouterAddress).Frame())
	// Events of all kinds, harmless, hostile and broken.
	wire := r.Upstream.Wire(watched)
	for _, name := range []string{
		"linux-rs_boot", "linux-redirect", "linux-dad_ok", "radvd-full", "radvd-homeagent", "radvd-lowpan_abro", "si6-ns6_frag", "si6-ra6_frag",
		"si6-ra6_dns_routes", "si6-ra6_hbh", "thc-fake_router6_D", "thc-flood_router26", "thc-fuzz_ip6_ns", "thc-fuzz_ip6_na", "thc-fuzz_ip6_ra",
	} {
		for _, c := range readCapture(t, corpus(t, name)) {
			if len(c.data) <= 14+1500 {
				wire.Send(c.data)
			}
		}
	}
	last := numbered(1)
	wire.Send(last)

	fits := messageSchemas(t)
	count := map[string]int{}
	statuses, kinds := map[string]bool{}, map[string]bool{}
	done := func() bool { return statuses["reachable"] && statuses["unreachable"] && kinds["last"] }
	for !done() {
		m := next(t, messages, fmt.Sprintf("messages of all kinds; of results there were %v, of events %v", statuses, kinds))
		if m.Subject == schemas.SubjectStored {
			continue // the same alert again, for the accounts of readers
		}
		messageType := parse[struct{ Type string }](t, m.Data).Type
		schema, ok := fits[messageType]
		if !ok {
			t.Fatalf("message of type %q on %s: %s", messageType, m.Subject, m.Data)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.Data))
		if err != nil {
			t.Fatalf("message on %s: %v", m.Subject, err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Fatalf("message on %s: %v\n%s", m.Subject, err, m.Data)
		}
		count[messageType]++
		switch messageType {
		case "nd.event.v1":
			kinds[m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]] = true
			if parse[event](t, m.Data).Sensor != nil {
				count[messageType]-- // no frame
			}
		case "nd.result.v1":
			statuses[parse[result](t, m.Data).Status] = true
		case "nd.alert.v1":
			checkInside(t, m)
			kinds["last"] = kinds["last"] || bytes.Equal(parseAlert(t, m.Data).Event.Frame, last)
		}
	}
	equal(t, "statuses of results", []string{"error", "reachable", "suppressed", "unreachable"}, slices.Sorted(maps.Keys(statuses)))
	equal(t, "kinds of events", []string{"last", "na", "ns", "other", "ra", "rd", "rs"}, slices.Sorted(maps.Keys(kinds)))
	if count["nd.event.v1"] != count["nd.alert.v1"] || count["nd.event.v1"] < 3000 || count["nd.relay.v1"] != 3 {
		t.Errorf("messages: %v", count)
	}
}

// checkInside checks that an alert holds the whole event.
func checkInside(t *testing.T, m *nats.Msg) {
	t.Helper()
	a := parse[struct {
		Host, Interface, Time string
		Event                 json.RawMessage
	}](t, m.Data)
	e := parse[event](t, a.Event)
	if e.Host != a.Host || e.Interface != a.Interface || e.Time != a.Time || len(e.Frame) == 0 {
		t.Errorf("an alert's event is not its own: %s", m.Data)
	}
}
