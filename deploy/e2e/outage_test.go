package e2e

import (
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
