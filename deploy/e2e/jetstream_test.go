package e2e

import (
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// A NATS server without JetStream is named as such by all that need it, and what
// waits for it goes on once it is enabled.
func TestServerWithoutJetStream(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	b := &broker{t: t, at: r.Namespace, dir: t.TempDir(), conf: write(t, "nats.conf", []byte("listen: \"127.0.0.1:"+brokerPort+"\"\n"))}
	b.start()
	const want = "JetStream is not enabled on the NATS server at " + localNATS + " (nats-server -js, or jetstream {} in its configuration)"

	metrics := "RULED_METRICS=127.0.0.1:9101"
	ruled := r.Start(with(program("nd-ruled"), metrics))
	ruled.Stderr.WaitFor(want)
	p := r.Start(with(program("nd-ruled", "health"), metrics))
	if status := p.Wait(); status != 1 || !strings.HasPrefix(p.Stdout.String(), "events: make stream ND_EVENTS: "+want) {
		t.Errorf("health: exit status %d, %q", status, p.Stdout)
	}
	sensor := startSensor(r)
	wire := r.Upstream.Wire("eth0")
	wire.Send(numbered(1))
	sensor.Stderr.WaitFor("is nd-ruled running, which makes the streams, and is JetStream enabled on the NATS server?")
	for _, args := range [][]string{{"nd-ruled", "neighbors"}, {"ndmon", "-i", lab.Master, "--nats", localNATS}} {
		p := r.Start(program(args[0], args[1:]...))
		if status := p.Wait(); status != 1 || !strings.Contains(p.Stderr.String(), want) {
			t.Errorf("%v: exit status %d, %s", args, status, p.Stderr)
		}
	}
	if got := strings.Count(ruled.Stderr.String(), want); got != 1 {
		t.Errorf("nd-ruled logs it %d times:\n%s", got, ruled.Stderr)
	}

	alerts := collect(t, connect(t, r.Namespace, localNATS), "nd.alerts")
	b.Kill()
	b.conf = ""
	b.start()
	ruled.Stderr.WaitFor("reading events")
	lab.Eventually(t, "an alert", func() bool {
		wire.Send(numbered(2))
		return len(alerts) > 0
	})
}
