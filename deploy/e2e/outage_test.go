//go:build linux

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
	p.startRuled()
	p.sensor = p.r.Start(with(program("nd-sensor"), "SENSOR_HOST=r1", "SENSOR_INTERFACES="+lab.Master))
	p.sensor.Stderr.WaitFor("msg=capturing")
	p.sensor.Stderr.WaitFor("connected to NATS")
	p.flow = startFlow(t, p.r.Upstream.Wire("eth0"))
	return p
}

func (p *pipeline) startRuled() {
	p.ruled = p.r.Start(program("nd-ruled"))
	p.ruled.Stderr.WaitFor("reading events")
}

// flowing waits until more alerts come through.
func (p *pipeline) flowing(t *testing.T) {
	t.Helper()
	until := len(p.alerts) + 100
	lab.Eventually(t, "alerts come", func() bool { return len(p.alerts) >= until })
}

// check ends the traffic and checks that every frame has raised one alert.
func (p *pipeline) check(t *testing.T) {
	t.Helper()
	sent := p.flow.end()
	lab.Eventually(t, "every alert is stored", func() bool {
		return stream(t, p.nc, "ND_ALERTS").CachedInfo().State.Msgs >= uint64(sent)
	})
	// Stopping sensor and ruled, no more can come.
	for _, process := range []*lab.Process{p.sensor, p.ruled} {
		if status := process.Stop(); status != 0 {
			t.Errorf("exit status %d", status)
		}
	}
	exactlyOnce(t, "stream", sent, storedAlerts(t, p.nc))
	if err := p.nc.FlushTimeout(lab.Patience); err != nil {
		t.Fatal(err)
	}
	var got []alert
	for len(p.alerts) > 0 {
		got = append(got, parseAlert(t, (<-p.alerts).Data))
	}
	exactlyOnce(t, "subscriber", sent, got)
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
	p.check(t)
}

func TestRuledIsKilled(t *testing.T) {
	t.Parallel()
	p := startPipeline(t)
	for range 3 {
		p.flowing(t)
		p.ruled.Kill()
		p.flow.wait(500)
		p.startRuled()
	}
	p.flowing(t)
	p.check(t)
}
