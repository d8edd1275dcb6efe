package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
)

// A slave that cannot send does not keep the others from it, and is back by
// itself.
func TestRelayWithASlaveThatIsDown(t *testing.T) {
	t.Parallel()
	third := netip.MustParseAddr("2001:db8:5::43")
	for _, tc := range []struct {
		name     string
		down, up func(*lab.Router)
	}{
		{"down", func(r *lab.Router) { r.Down(lab.Slave1) }, func(r *lab.Router) { r.Up(lab.Slave1) }},
		{"no carrier", func(r *lab.Router) { r.Host1.Down("eth0") }, func(r *lab.Router) { r.Host1.Up("eth0") }},
		{"deleted", func(r *lab.Router) { r.Delete(lab.Slave1) }, func(r *lab.Router) {
			r.Veth(lab.Slave1, r.Host1, "eth0")
			r.LinkLocal(lab.Slave1)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := lab.NewRouter(t)
			p := startRelay(t, r)
			results := collect(t, connect(t, r.Namespace, localNATS), "nd.results.r1")
			out := r.Wire(lab.Master)
			ns := lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, lab.Host2Address).Frame()

			tc.down(r)
			lab.Eventually(t, "a warning says so", func() bool { return lineWith(p, "level=WARN", "slave="+lab.Slave1) })
			out.Send(ns)
			found := resultsOf(t, results, lab.Host2Address)
			if got := found[lab.Slave2]; got.Status != "reachable" {
				t.Errorf("result of the other slave: %+v", got)
			}
			if got := found[lab.Slave1]; got.Status != "error" || got.Reason != "slave_down" || !strings.Contains(got.Error, lab.Slave1) {
				t.Errorf("result of the slave: %+v", got)
			}

			tc.up(r)
			r.Host1.LinkLocal("eth0")
			r.Host1.Address("eth0", third.String()+"/64")
			lab.Eventually(t, "a host behind the slave is found", func() bool {
				out.Send(lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, third).Frame())
				for len(results) > 0 {
					if got := parse[result](t, (<-results).Data); got.Slave == lab.Slave1 && got.Status == "reachable" && got.Target == third.String() {
						return true
					}
				}
				return false
			})
		})
	}
}

// NS-Monitor compares Ethernet addresses, and is deaf when the master's changes.
func TestRelayWhenTheMastersAddressChanges(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	p := startRelay(t, r)
	must(t, r.Netlink.LinkSetHardwareAddr(r.Link(lab.Master), macOf("02:00:00:00:77:01")))
	p.Stderr.WaitFor("interface changed its Ethernet address")
	r.Solicit(lab.Host2Address)
	lab.Eventually(t, "the host is reachable behind slave 2", func() bool {
		return r.NeighbourState(lab.Slave2, lab.Host2Address) == "REACHABLE"
	})
}

// Duplicate address detection is relayed only where a rule asks for it.
func TestRelayOfDuplicateAddressDetection(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	rules := write(t, "rules.xml", []byte(`<rules><rule id="dad"><match field="nd.ns"/><match field="direction" value="out"/>
		<match field="inet6.source" value="::/128"/><relay/></rule></rules>`))
	startRelay(t, r, "-R", rules)
	nc := connect(t, r.Namespace, localNATS)
	results, commands := collect(t, nc, "nd.results.r1"), collect(t, nc, "nd.relay.r1")
	out := r.Wire(lab.Master)
	out.Send(lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, lab.Host1Address).Frame(),
		lab.Solicitation(r.MAC(lab.Master), netip.IPv6Unspecified(), lab.Host2Address).Frame())
	if found := resultsOf(t, results, lab.Host2Address); found[lab.Slave2].Status != "reachable" {
		t.Errorf("results: %+v", found)
	}
	got := parse[command](t, next(t, commands, "the command").Data).Solicitation
	want := &solicitation{Host: "r1", Interface: lab.Master, Direction: "out", Source: "::", Ethernet: r.MAC(lab.Master).String()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("solicitation of the command (-want +got):\n%s", diff)
	}
}
