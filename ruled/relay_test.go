package ruled

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
)

// Each host that the matching rules name gets one command, and all hosts share one.
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
		"union of those with a threshold": {rule("a", once, ` to="r2 r3"`) + rule("b", once, ` to="r3 origin"`),
			[]string{"nd.relay.r2 r2 a", "nd.relay.r3 r3 a", "nd.relay.r1 r1 b"}},
		"all of those that remember": {rule("a", once, "") + rule("b", `<no-match field="link.claim.new"/>`, ` to="all"`), []string{"nd.relay * b"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, "<rules>"+tt.rules+"</rules>")
			relays := f.subscribe(t, "nd.relay.>")
			all := f.subscribe(t, schemas.SubjectRelayAll)
			stop := f.run(t)
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
	e := solicitation(1)
	e.Master = false
	f.publish(t, e)
	for n := 2; n <= 3; n++ {
		e = solicitation(n)
		e.Master, e.Proxy = false, true
		f.publish(t, e)
	}
	f.publish(t, solicitation(5)) // relayed, after the others
	f.waitAcknowledged(t)
	waitFor(t, "the two commands", func() bool { return f.counter(t, "nd_ruled_relays_total") == 2 })
	stop()
	for _, want := range []string{
		`msg="no rule relays this solicitation" host=r1 interface=eth0 direction=out target=2001:db8::42 source=fe80::1 master=false proxy=false event=e1`,
		`msg=relay rule=late target=2001:db8::42 host=r1 `,
		`msg="not relayed: the rule's threshold holds it back" rule=late event=e3`,
		`msg=relay rule=relay target=2001:db8::42 host=r1 `,
	} {
		if n := strings.Count(f.log.String(), want); n != 1 {
			t.Errorf("%d lines with %s, want 1:\n%s", n, want, f.log)
		}
	}
}
