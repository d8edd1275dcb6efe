package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/lab"
	"golang.org/x/sys/unix"
)

// With only CAP_NET_RAW ndmon makes no routing tables. It still solicits targets, and
// pings them where the slave has a route.
func TestRelayWithCapNetRawAlone(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	// Slave 2 has a route to the hosts behind it, slave 1 has none.
	r.Address(lab.Slave2, "2001:db8:6::1/64")
	const routedAddress = "2001:db8:6::42"
	r.Host2.Address("eth0", routedAddress+"/64")
	data := public(t)
	c := builtin("ndmon", "-m", lab.Master, "-s", lab.Slave1+","+lab.Slave2, "-l", "debug", "--host", "r1", "--data", data+"/ndmon")
	c.UID, c.Capabilities = nobody, []uintptr{unix.CAP_NET_RAW}
	p := r.Start(c)
	p.Stderr.WaitFor("msg=capturing", "interface="+lab.Master)
	p.Stderr.WaitFor("pinger ready")
	// At the start ndmon logs what it cannot do, and why.
	for _, word := range []string{"CAP_NET_ADMIN", lab.Slave1} {
		if !lineWith(p, word, "level=WARN") {
			t.Errorf("no warning at the start has %s:\n%s", word, p.Stderr)
		}
	}
	// Without a folder of the run time, it cannot note where its key is.
	key, err := nats.NkeyOptionFromSeed(data + "/ndmon/admin.nk")
	if err != nil {
		t.Fatal(err)
	}
	results := collect(t, connectWith(t, r.Namespace, localNATS, key), "nd.results.r1")
	wire1, wire2, out := r.Host1.Wire("eth0"), r.Host2.Wire("eth0"), r.Wire(lab.Master)
	out.Send(lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, lab.Host1Address).Frame())
	if found := resultsOf(t, results, lab.Host1Address); found[lab.Slave1].Status != "reachable" ||
		found[lab.Slave1].Ethernet != r.Host1.MAC("eth0").String() || found[lab.Slave2].Status != "unreachable" {
		t.Errorf("results: %+v", found)
	}
	if n := len(solicited(wire1.Frames())); n == 0 {
		t.Error("the host behind slave 1 was not solicited")
	}

	// Where the slave has a route, the echo follows and the kernel learns.
	routed := netip.MustParseAddr(routedAddress)
	out.Send(lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, routed).Frame())
	if found := resultsOf(t, results, routed); found[lab.Slave2].Status != "reachable" {
		t.Errorf("results: %+v", found)
	}
	lab.Eventually(t, "the host is reachable behind slave 2", func() bool {
		return r.NeighbourState(lab.Slave2, routed) == "REACHABLE"
	})
	lab.Eventually(t, "an echo request came", func() bool { return len(echoes(wire2.Frames())) > 0 })
	stop(t, p)
	clean(t, r)
}

// lineWith reports whether a line of the log has all the texts.
func lineWith(p *lab.Process, texts ...string) bool {
lines:
	for _, line := range p.Stderr.Lines() {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue lines
			}
		}
		return true
	}
	return false
}
