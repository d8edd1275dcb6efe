package fleet

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
)

var sent = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// status returns a status whose answer took 20 ms.
func status(part, host string, edit ...func(*schemas.DaemonStatus)) answer {
	a := answer{at: sent.Add(20 * time.Millisecond), DaemonStatus: schemas.DaemonStatus{
		Type: schemas.TypeStatus, ID: "1", Time: sent.Add(10 * time.Millisecond), Host: host, Part: part, Version: "1.2.3", Started: sent.Add(-time.Hour), State: "ok",
	}}
	for _, f := range edit {
		f(&a.DaemonStatus)
	}
	return a
}

func ahead(d time.Duration) func(*schemas.DaemonStatus) {
	return func(s *schemas.DaemonStatus) { s.Time = s.Time.Add(d) }
}

func evaluates(revision uint64, refused string) func(*schemas.DaemonStatus) {
	return func(s *schemas.DaemonStatus) {
		s.Rules = &schemas.RulesStatus{Source: "bucket", Revision: revision, Refused: refused}
		for p := range uint32(schemas.Partitions) {
			s.Partitions = append(s.Partitions, p)
		}
	}
}

func captures(s *schemas.DaemonStatus) {
	s.Interfaces, s.Newest = []string{"eth0", "eth1"}, new(sent.Add(-5*time.Second))
}

func table(t *testing.T, r *Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.writeTable(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTable(t *testing.T) {
	same := func(want string, r *Report, amiss bool) {
		t.Helper()
		if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), table(t, r)); diff != "" {
			t.Error(diff)
		}
		if r.amiss() != amiss {
			t.Errorf("amiss: %v", r.amiss())
		}
	}
	well := []answer{
		status(schemas.ServiceRuled, "c1", evaluates(7, "")),
		status(schemas.ServicePinger, "r1", ahead(-2*time.Second), func(s *schemas.DaemonStatus) { s.Slaves = []string{"eth1", "eth2"} }),
		status(schemas.ServiceSensor, "r1", captures, func(s *schemas.DaemonStatus) { s.Lost, s.LastLost = 3, new(sent.Add(-time.Hour)) }),
		status(schemas.ServiceNdmon, "e1", captures, evaluates(7, ""), func(s *schemas.DaemonStatus) { s.Partitions, s.Slaves = nil, []string{"eth2"} }),
	}
	same(`
HOST  PART       VERSION  RULES  INTERFACES        NEWEST  LOST  CLOCK    STATE
c1    nd-ruled   1.2.3    7      16 partitions     -       0     +0.000s  ok
e1    ndmon      1.2.3    7      eth0,eth1 > eth2  5s      0     +0.000s  ok
r1    nd-pinger  1.2.3    -      eth1,eth2         -       0     -2.000s  ok
r1    nd-sensor  1.2.3    -      eth0,eth1         5s      3     +0.000s  ok
`, newReport(&answers{sent: sent, list: well}), false)

	gone := schemas.SilentPart{Host: "r9", Part: "sensor", Heard: sent.Add(-8 * 24 * time.Hour)}
	same(`
HOST  PART       VERSION  RULES    INTERFACES    NEWEST  LOST  CLOCK    STATE
c1    nd-ruled   1.2.3    7        8 partitions  -       0     +0.000s  rules are refused: revision 8: line 3: no such field
c2    nd-ruled   1.2.4    6        8 partitions  -       0     +0.000s  ok
e1    ndmon      1.2.3    rules.x  -             -       0     +0.000s  ok
r1    nd-pinger  -        -        -             -       -     -        stopped since 2026-11-26T11:58:00Z
r1    nd-sensor  1.2.3    -        -             -       0     -3.011s  its clock is off by -3s
r2    nd-sensor  1.2.3    -        -             -       4     +0.000s  NATS: not connected; frames were lost 9m0s ago
r3    nd-pinger  1.2.3    -        -             -       0     +2.000s  2 daemons answer as the same part of this host
r3    nd-pinger  1.2.3    -        -             -       0     +0.000s  2 daemons answer as the same part of this host
some partitions of the events have no nd-ruled; when one ends, another takes them over within 5 s
there are too many answers: not all are listed
versions differ: 1.2.3 (6), 1.2.4 (1)
rules differ: 6 (1), 7 (1), rules.x (1)
`, newReport(&answers{sent: sent, missed: true, list: []answer{
		status(schemas.ServicePinger, "r3", ahead(2*time.Second)), status(schemas.ServicePinger, "r3"),
		status(schemas.ServiceSensor, "r2", func(s *schemas.DaemonStatus) {
			s.State, s.Faults, s.Lost, s.LastLost = "degraded", []string{"NATS: not connected"}, 4, new(sent.Add(-9*time.Minute))
		}),
		status(schemas.ServiceSensor, "r1", ahead(-3011*time.Millisecond)),
		status(schemas.ServiceNdmon, "e1", func(s *schemas.DaemonStatus) { s.Rules = &schemas.RulesStatus{Source: "rules.x"} }),
		status(schemas.ServiceRuled, "c2", evaluates(6, ""), func(s *schemas.DaemonStatus) {
			s.Version, s.Partitions, s.Silent = "1.2.4", s.Partitions[8:], []schemas.SilentPart{{Host: "r1", Part: "pinger", Heard: sent.Add(-time.Hour)}, {Host: "r2", Part: "sensor", Heard: sent}, gone}
		}),
		status(schemas.ServiceRuled, "c1", evaluates(7, "revision 8: line 3: no such field"), func(s *schemas.DaemonStatus) {
			s.Partitions = append([]uint32{1 << 31}, s.Partitions[:7]...)
			s.Silent = []schemas.SilentPart{{Host: "r1", Part: "pinger", Heard: sent.Add(-2 * time.Minute), Stopped: true}, {Host: "e1", Part: "sensor", Heard: sent.Add(-time.Minute)}}
		}),
	}}), true)
}
