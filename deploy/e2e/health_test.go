package e2e

import (
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// Each program reports its health: why it is not well without NATS, and that
// it is when it does its work.
func TestHealth(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	daemons := []struct{ name, variable, address, part string }{
		{"nd-sensor", "SENSOR_METRICS", "127.0.0.1:9101", ""},
		{"nd-ruled", "RULED_METRICS", "127.0.0.1:9102", "events: "},
		{"nd-pinger", "PINGER_METRICS", "127.0.0.1:9103", ""},
	}
	// health waits for an exit status and returns the answer that came with it.
	health := func(ask lab.Command, status int) string {
		var said string
		lab.Eventually(t, ask.Path+" health exits with the status", func() bool {
			p := r.Start(ask)
			got := p.Wait()
			said = p.Stdout.String() + p.Stderr.String()
			return got == status
		})
		return said
	}
	for _, d := range daemons {
		r.Start(with(program(d.name), d.variable+"="+d.address, "SENSOR_INTERFACES="+lab.Master+",nosuch0", "PINGER_SLAVES="+lab.Slave1)).
			Stderr.WaitFor("cannot reach NATS")
		if said := health(with(program(d.name, "health"), d.variable+"="+d.address), 1); !strings.HasPrefix(said, "NATS: not connected") ||
			!strings.Contains(said, d.part) || strings.Count(said, "\n") != 1 {
			t.Errorf("%s without NATS: %q", d.name, said)
		}
		if said := health(program(d.name, "health"), 2); !strings.Contains(said, d.variable+" is not set") {
			t.Errorf("%s without an address: %q", d.name, said)
		}
	}
	b := startBroker(t, r.Namespace)
	for _, d := range daemons {
		if said := health(with(program(d.name, "health"), d.variable+"="+d.address), 0); said != "healthy\n" {
			t.Errorf("%s: %q", d.name, said)
		}
	}
	// A sensor is well while it waits for an interface; a pinger without any slave
	// is not.
	r.Delete(lab.Slave1)
	pinger := daemons[2]
	if said := health(with(program(pinger.name, "health"), pinger.variable+"="+pinger.address), 1); said != "commands: no slave is usable: "+lab.Slave1+" does not exist\n" {
		t.Errorf("%s without a slave: %q", pinger.name, said)
	}
	r.Veth(lab.Slave1, r.Host1, "eth0")
	r.LinkLocal(lab.Slave1)
	if said := health(with(program(pinger.name, "health"), pinger.variable+"="+pinger.address), 0); said != "healthy\n" {
		t.Errorf("%s with its slave: %q", pinger.name, said)
	}

	b.Kill()
	for _, d := range daemons {
		if said := health(with(program(d.name, "health"), d.variable+"="+d.address), 1); !strings.HasPrefix(said, "NATS: not connected") {
			t.Errorf("%s when NATS is lost: %q", d.name, said)
		}
	}

	r.Start(with(program("ndmon", "-m", lab.Master, "-s", lab.Slave1, "--listen", "127.0.0.1:0", "--data", t.TempDir(),
		"--metrics", "127.0.0.1:9104"), "PINGER_TABLE=5000000"))
	if said := health(program("ndmon", "health", "--metrics", "127.0.0.1:9104"), 0); said != "healthy\n" {
		t.Errorf("ndmon: %q", said)
	}
	r.Down(lab.Slave1)
	if said := health(program("ndmon", "health", "--metrics", "127.0.0.1:9104"), 1); said != "commands: no slave is usable: "+lab.Slave1+" is down\n" {
		t.Errorf("ndmon without a slave: %q", said)
	}
	if said := health(program("ndmon", "health"), 2); !strings.Contains(said, "--metrics is not set") {
		t.Errorf("ndmon without an address: %q", said)
	}
	if said := health(program("ndmon", "health", "--metrics", "127.0.0.1:9199"), 1); !strings.Contains(said, "connection refused") {
		t.Errorf("ndmon that does not run: %q", said)
	}
}
