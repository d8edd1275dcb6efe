package e2e

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/lab"
)

// pipeline is sensor, ruled and a broker on one host, each a process.
type pipeline struct {
	r             *lab.Router
	broker        *broker
	sensor, ruled *lab.Process
	nc            *nats.Conn
	// alerts are those that a subscriber to nd.alerts without JetStream gets.
	alerts <-chan *nats.Msg
	flow   *flow
}

func startPipeline(t *testing.T) *pipeline {
	t.Helper()
	p := &pipeline{r: lab.NewRouter(t)}
	p.broker = startBroker(t, p.r.Namespace)
	p.nc = connect(t, p.r.Namespace, localNATS)
	p.alerts = collect(t, p.nc, "nd.alerts")
	p.ruled = startRuled(p.r.Namespace)
	p.sensor = startSensor(p.r)
	p.sensor.Stderr.WaitFor("connected to NATS")
	p.flow = startFlow(t, p.r.Upstream.Wire("eth0"))
	return p
}

// flowing waits until more alerts come through.
func (p *pipeline) flowing(t *testing.T) {
	t.Helper()
	until := len(p.alerts) + 100
	lab.Eventually(t, "alerts come", func() bool { return len(p.alerts) >= until })
}

// end ends the traffic, waits for the last alert and returns how many frames were
// sent. Sensor and ruled have ended then, so that no more can come.
func (p *pipeline) end(t *testing.T) int {
	t.Helper()
	sent := p.flow.end()
	lab.Eventually(t, "every alert is stored", func() bool {
		return stream(t, p.nc, "ND_ALERTS").CachedInfo().State.Msgs >= uint64(sent)
	})
	stop(t, p.sensor, p.ruled)
	return sent
}

// subscribed returns the alerts that the subscriber without JetStream got.
func (p *pipeline) subscribed(t *testing.T) []alert {
	t.Helper()
	must(t, p.nc.FlushTimeout(lab.Patience))
	var list []alert
	for len(p.alerts) > 0 {
		list = append(list, parseAlert(t, (<-p.alerts).Data))
	}
	return list
}

func TestNATSIsStoppedAndStarted(t *testing.T) {
	t.Parallel()
	p := startPipeline(t)
	for range 2 {
		p.flowing(t)
		p.broker.Stop()
		p.flow.wait(500)
		p.broker.start()
	}
	p.flowing(t)
	sent := p.end(t)
	exactlyOnce(t, "stream", sent, storedAlerts(t, p.nc))

	// A server that shuts down still hands to its subscribers what it stores no
	// more, and has not acknowledged: that has to be sent again. Subscribers
	// know it by its id.
	var first []alert
	seen := map[string]bool{}
	for _, a := range p.subscribed(t) {
		if !seen[a.ID] {
			seen[a.ID] = true
			first = append(first, a)
		}
	}
	exactlyOnce(t, "subscriber that knows the ids", sent, first)
}

func TestRuledIsKilled(t *testing.T) {
	t.Parallel()
	p := startPipeline(t)
	for range 3 {
		p.flowing(t)
		p.ruled.Kill()
		p.flow.wait(500)
		p.ruled = startRuled(p.r.Namespace)
	}
	p.flowing(t)
	sent := p.end(t)
	exactlyOnce(t, "stream", sent, storedAlerts(t, p.nc))
	exactlyOnce(t, "subscriber", sent, p.subscribed(t))
}

// A sensor that gets SIGTERM publishes what it has captured before it ends.
func TestSensorIsStoppedAndStarted(t *testing.T) {
	t.Parallel()
	p := startPipeline(t)
	p.flowing(t)
	sent := p.flow.end()
	stop(t, p.sensor)
	p.end(t)
	exactlyOnce(t, "stream", sent, storedAlerts(t, p.nc))
}

// What finds the sensor's buffer full while NATS is away is an alert
// afterwards, and not a silence.
func TestLostFramesAreToldOf(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	sensor := startSensor(r, "SENSOR_BUFFER=1048576", "SENSOR_REPORT=100ms")
	sensor.Stderr.WaitFor("cannot reach NATS")
	const sent = 5000
	wire := r.Upstream.Wire("eth0")
	for n := range sent {
		wire.Send(numbered(n))
	}
	sensor.Stderr.WaitFor("frames were lost", "interface="+lab.Master)

	startBroker(t, r.Namespace)
	startRuled(r.Namespace)
	nc := connect(t, r.Namespace, localNATS)
	var told, seen uint64
	lab.Eventually(t, "every frame is alerted on or told of", func() bool {
		told, seen = 0, 0
		for _, a := range storedAlerts(t, nc) {
			if a.Rule == "events-lost" && a.Event.Lost != nil {
				told += a.Event.Lost.Buffer + a.Event.Lost.Kernel
			} else {
				seen++
			}
		}
		return told+seen >= sent
	})
	if told == 0 || seen == 0 || told+seen != sent {
		t.Errorf("of %d frames %d were alerted on and %d told of as lost", sent, seen, told)
	}
}

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
