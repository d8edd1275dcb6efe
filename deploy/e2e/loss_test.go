package e2e

import (
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

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
