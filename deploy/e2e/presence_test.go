package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// Who runs is a list, and a pinger that is killed is an alert.
func TestWhoIsThere(t *testing.T) {
	t.Parallel()
	c := startCentral(t)
	c.startRuled()
	r := lab.NewRouter(t)
	c.Veth("up1", r.Namespace, "uplink")
	c.Address("up1", "192.0.2.2/30")
	r.Address("uplink", "192.0.2.1/30")
	const url = "NATS_URL=nats://192.0.2.2:4222"
	sensor := r.Start(with(program("nd-sensor"), url, "SENSOR_HOST=r1", "SENSOR_HEARTBEAT=1s", "SENSOR_MASTERS="+lab.Master))
	startPinger := func() *lab.Process {
		p := r.Start(with(program("nd-pinger"), url, "PINGER_HOST=r1", "PINGER_HEARTBEAT=1s", "PINGER_SLAVES="+lab.Slave1+","+lab.Slave2))
		p.Stderr.WaitFor("connected to NATS")
		p.Stderr.WaitFor("pinger ready")
		return p
	}
	pinger := startPinger()
	sensor.Stderr.WaitFor("msg=capturing", "interface="+lab.Master)
	alerts, beats := collect(t, c.nc, "nd.alerts"), collect(t, c.nc, "nd.events.r1.=.other")
	heard := func() {
		t.Helper()
		for !strings.Contains(string(next(t, beats, "a heartbeat of the pinger").Data), `"pinger":`) {
		}
	}
	list := func(want int, lines ...string) {
		t.Helper()
		p := c.Start(with(program("ndmon", "fleet", "--wait", "3s"), "NATS_URL="+localNATS))
		status := p.Wait()
		for _, line := range lines {
			if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(p.Stdout.String()) {
				t.Errorf("no line %s: %s%s", line, p.Stdout, p.Stderr)
			}
		}
		if status != want {
			t.Errorf("exit status %d, want %d: %s%s", status, want, p.Stdout, p.Stderr)
		}
	}
	heard()
	ruled, sensing := `\S+ +nd-ruled .* 16 partitions .* ok`, `r1 +nd-sensor +\S+ +- +`+lab.Master+` .* ok`
	pinging := `r1 +nd-pinger +\S+ +- +` + lab.Slave1 + `,` + lab.Slave2 + ` .* ok`
	list(0, ruled, sensing, pinging)

	pinger.Kill()
	lost := parse[struct{ Rule, Host, Severity string }](t, next(t, alerts, "the alert that the pinger is silent").Data)
	equal(t, "the alert", struct{ Rule, Host, Severity string }{"pinger-lost", "r1", "warning"}, lost)
	list(1, ruled, sensing, `r1 +nd-pinger +- .* silent since \S+Z`)

	pinger = startPinger()
	if back := parseAlert(t, next(t, alerts, "the alert that the pinger is back").Data); back.Rule != "pinger-back" {
		t.Errorf("alert %s", back.Rule)
	}
	list(0, ruled, sensing, pinging)
	r.Down(lab.Slave1)
	r.Down(lab.Slave2)
	pinger.Stderr.WaitFor("out of use: " + lab.Slave2)
	list(1, `r1 +nd-pinger +\S+ +- +- .* commands: no slave is usable: .*`)
	stop(t, sensor, pinger)
	if m := next(t, alerts, "an alert of one that has stopped"); !strings.Contains(string(m.Data), "was stopped at ") {
		t.Errorf("%s", m.Data)
	}
	list(1, `r1 +nd-pinger +- .* stopped since \S+Z`, `r1 +nd-sensor +- .* stopped since \S+Z`)
}

// In one process there is one service.
func TestWhoIsThereInOneProcess(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	startRelay(t, r)
	p := r.Start(program("ndmon", "fleet", "--wait", "3s"))
	if status := p.Wait(); status != 0 || !regexp.MustCompile(`^HOST .*\nr1 +ndmon +\S+ .* `+lab.Master+` > `+lab.Slave1+`,`+lab.Slave2+` .* ok\n$`).MatchString(p.Stdout.String()) {
		t.Errorf("exit status %d, %s%s", status, p.Stdout, p.Stderr)
	}
}
