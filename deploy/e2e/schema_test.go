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

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// messageSchemas returns the JSON Schema of each message by its type.
func messageSchemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	ids := map[string]string{}
	for _, messageType := range []string{schemas.TypeEvent, schemas.TypeAlert, schemas.TypeRelay, schemas.TypeResult} {
		data, err := os.ReadFile("../../schemas/jsonschema/" + messageType + ".json")
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		ids[messageType] = doc.(map[string]any)["$id"].(string)
		must(t, c.AddResource(ids[messageType], doc))
	}
	compiled := map[string]*jsonschema.Schema{}
	for messageType, id := range ids {
		s, err := c.Compile(id)
		if err != nil {
			t.Fatal(err)
		}
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
	if diff := cmp.Diff([]string{"error", "reachable", "suppressed", "unreachable"}, slices.Sorted(maps.Keys(statuses))); diff != "" {
		t.Errorf("statuses of results (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"last", "na", "ns", "other", "ra", "rd", "rs"}, slices.Sorted(maps.Keys(kinds))); diff != "" {
		t.Errorf("kinds of events (-want +got):\n%s", diff)
	}
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
