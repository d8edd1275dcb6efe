package revisions

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/ruled/central"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/ndmon/ndmon/schemas/presence"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
)

// A push says what each daemon has made of it.
func TestTaken(t *testing.T) {
	url := bustest.Start(t, t.TempDir(), -1).ClientURL()
	t.Setenv("NATS_URL", url)
	serve := func(part, host string, rules *schemas.RulesStatus) {
		t.Helper()
		conn, err := bus.Connect(bus.Config{URL: url}, bus.Options{Name: host, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.NATS().Close)
		s, err := presence.Serve(conn, part, host, new(process.Health))
		if err != nil {
			t.Fatal(err)
		}
		s.Describe(func(d *schemas.DaemonStatus) { d.Rules = rules })
	}
	serve(schemas.ServiceRuled, "h1", &schemas.RulesStatus{Source: "bucket", Revision: 1})
	serve(schemas.ServiceNdmon, "e1", &schemas.RulesStatus{Source: "bucket", Revision: 1})
	serve(schemas.ServiceNdmon, "e2", &schemas.RulesStatus{Source: "/etc/rules.xml"})
	serve(schemas.ServiceSensor, "r1", nil)
	file := write(t, first)
	expect(t, process.ExitOK, "revision 1: 1 rules\nin force at nd-ruled of h1, ndmon of e1\nnot used, because of a rule file, at ndmon of e2\n", "push", file)

	serve(schemas.ServiceNdmon, "e3", &schemas.RulesStatus{Source: "built-in", Refused: "revision 2:4: no \x1b such\nrevision 2:5: field"})
	expect(t, process.ExitFailure, "revision 2: 1 rules\nnot yet in force at nd-ruled of h1, ndmon of e1\nnot used, because of a rule file, at ndmon of e2\n"+
		"refused by ndmon of e3:\n  revision 2:4: no ? such\n  revision 2:5: field\n", "push", file)
}

func TestManyDaemons(t *testing.T) {
	daemons := make([]schemas.DaemonStatus, 12)
	for i := range daemons {
		daemons[i] = schemas.DaemonStatus{Part: "ndmon", Host: string(rune('a' + i)), Rules: &schemas.RulesStatus{Source: "bucket", Revision: 21, Refused: "revision 20:1: x"}}
	}
	daemons[3].Rules.Revision = 2
	daemons[3].Rules.Refused = "revision 210:1: x" // not of revision 21
	o := newOutcome(&central.Revision{Revision: 21}, daemons)
	if len(o.taken) != 11 || strings.Join(o.pending, "") != "ndmon of d" || len(o.refused)+len(o.own) != 0 {
		t.Errorf("%+v", o)
	}
}
