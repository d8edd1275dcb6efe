package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
)

// alertsFrom sends frame after frame, with the numbers from first on, until an
// alert for one of them is printed: what is sent before the interface is
// captured again is not seen. It returns the next number.
func alertsFrom(t *testing.T, p *lab.Process, wire *lab.Wire, first int) int {
	t.Helper()
	number := first
	lab.Eventually(t, "alerts are printed", func() bool {
		wire.Send(numbered(number))
		number++
		list := printed(t, p)
		return len(list) > 0 && numberOf(t, list[len(list)-1]) >= first
	})
	return number
}

func TestInterfaceIsDeletedAndMadeAgain(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	p := monitor(t, r)
	number := alertsFrom(t, p, r.Upstream.Wire("eth0"), 0)

	r.Delete(lab.Master)
	at := p.Stderr.WaitForAfter(0, "interface is gone", "interface="+lab.Master)
	r.Veth(lab.Master, r.Upstream, "eth0")
	at = p.Stderr.WaitForAfter(at, "msg=capturing", "interface="+lab.Master)
	// What changes within milliseconds is seen as one change: let it see the
	// interface up before it goes down.
	lab.Eventually(t, "the interface is seen up", func() bool {
		log := p.Stderr.String()[at:]
		return strings.Contains(log, "state=up") || strings.Contains(log, "interface is up")
	})
	number = alertsFrom(t, p, r.Upstream.Wire("eth0"), number)

	r.Down(lab.Master)
	at = p.Stderr.WaitForAfter(at, "interface is down", "interface="+lab.Master)
	r.Up(lab.Master)
	at = p.Stderr.WaitForAfter(at, "interface is up", "interface="+lab.Master)
	number = alertsFrom(t, p, r.Upstream.Wire("eth0"), number)

	must(t, r.Netlink.LinkSetHardwareAddr(r.Link(lab.Master), macOf("02:00:00:00:77:01")))
	p.Stderr.WaitForAfter(at, "interface changed its Ethernet address", "interface="+lab.Master, "to=02:00:00:00:77:01")
	alertsFrom(t, p, r.Upstream.Wire("eth0"), number)
	stop(t, p)
	// One line for each change, and no other warning.
	for _, line := range strings.Split(p.Stderr.String(), "\n") {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "level=WARN") && !strings.Contains(line, "is gone") && !strings.Contains(line, "waiting for interface") {
			t.Errorf("the log has %s", line)
		}
	}
}

// A master and a slave that are made again are relayed from and to as before.
func TestRelayAfterInterfacesAreMadeAgain(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	p := startRelay(t, r)
	r.Delete(lab.Master)
	at := p.Stderr.WaitForAfter(0, "interface is gone", "interface="+lab.Master)
	r.Delete(lab.Slave2)
	r.Veth(lab.Master, r.Upstream, "eth0")
	r.Veth(lab.Slave2, r.Host2, "eth0")
	r.Address(lab.Master, lab.RouterAddress.String()+"/64")
	r.Host2.Address("eth0", lab.Host2Address.String()+"/64")
	r.LinkLocal(lab.Slave2)
	p.Stderr.WaitForAfter(at, "msg=capturing", "interface="+lab.Master, "master=true")
	results := collect(t, connect(t, r.Namespace, localNATS), "nd.results.*")
	lab.Eventually(t, "the host behind the new slave is reachable", func() bool {
		// A new entry makes the kernel solicit again.
		for _, entry := range r.Neighbours() {
			if entry.Interface == lab.Master && entry.Address == lab.Host2Address {
				neighbour := netlink.Neigh{LinkIndex: r.Link(lab.Master).Attrs().Index, IP: lab.Host2Address.AsSlice(), Family: netlink.FAMILY_V6}
				if err := r.Netlink.NeighDel(&neighbour); err != nil {
					t.Logf("delete the neighbour: %v", err)
				}
			}
		}
		r.Solicit(lab.Host2Address)
		return r.NeighbourState(lab.Slave2, lab.Host2Address) == "REACHABLE"
	})
	lab.Eventually(t, "a result says so", func() bool {
		r := parse[result](t, next(t, results, "a result").Data)
		return r.Slave == lab.Slave2 && r.Status == "reachable"
	})
}

// The daemons wait for interfaces that appear later, and log that.
func TestDaemonsWaitForInterfaces(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	startBroker(t, r.Namespace)
	nc := connect(t, r.Namespace, localNATS)
	startRuled(r.Namespace)
	sensor := r.Start(with(program("nd-sensor"), "SENSOR_HOST=r1", "SENSOR_MASTERS=later0"))
	pinger := r.Start(with(program("nd-pinger"), "PINGER_HOST=r1", "PINGER_SLAVES="+lab.Slave1+",later1"))
	sensor.Stderr.WaitFor("waiting for interface", "later0")
	pinger.Stderr.WaitFor("later1")
	results := collect(t, nc, "nd.results.r1")

	r.Veth("later0", lab.New(t, "later upstream"), "eth0")
	later := lab.New(t, "later host")
	r.Veth("later1", later, "eth0")
	address := netip.MustParseAddr("2001:db8:5::43")
	later.Address("eth0", address.String()+"/64")
	r.LinkLocal("later1")
	sensor.Stderr.WaitFor("msg=capturing", "interface=later0")
	wire := r.Wire("later0")
	lab.Eventually(t, "the host behind the new slave is found", func() bool {
		wire.Send(lab.Solicitation(r.MAC("later0"), lab.RouterAddress, address).Frame())
		for len(results) > 0 {
			if r := parse[result](t, (<-results).Data); r.Slave == "later1" && r.Status == "reachable" && r.Target == address.String() {
				return true
			}
		}
		return false
	})
}
