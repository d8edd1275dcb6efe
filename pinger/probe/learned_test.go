package probe

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
)

// It is logged once that the kernel does not learn a target which answers twice.
func TestKernelThatDoesNotLearn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, benchConfig, 1)
		var log bytes.Buffer
		answers := true // to the second solicitation
		var l *learned
		l = newLearned(b, func(list []wire.Solicitation) {
			for _, s := range list {
				if answers {
					go l.heard(s.Target, s.On)
				}
			}
		}, slog.New(slog.NewTextHandler(&log, nil)))
		mac := &schemas.MAC{2}
		for _, step := range []struct {
			what    string
			mac     *schemas.MAC // what the kernel has
			answers bool
			want    string
		}{
			{"a kernel that hears", mac, true, ""},
			{"a target that has gone", nil, false, ""},
			{"a deaf kernel", nil, true, "level=WARN"},
			{"a kernel that is still deaf", nil, true, ""},
			{"a kernel that hears again", mac, true, "level=INFO"},
			{"a kernel that is deaf again", nil, true, "level=WARN"},
		} {
			b.mac, answers = step.mac, step.answers
			for range 100 { // one is enough
				l.expect(netip.MustParseAddr("2001:db8::1"), &port.Port{Name: "s1", Index: 10}, time.Now())
			}
			if len(l.samples) != 1 {
				t.Errorf("%s: %d samples", step.what, len(l.samples))
			}
			for len(l.samples) > 0 {
				<-l.timer.C
				l.check(time.Now())
			}
			if got := log.String(); (step.want == "") != (got == "") || !strings.Contains(got, step.want) {
				t.Errorf("%s: log is %q", step.what, got)
			}
			log.Reset()
			advance(sampleEvery)
		}
	})
}
