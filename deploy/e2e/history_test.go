package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// held waits until ndmon history, run by a command, has a line with the words.
func held(t *testing.T, at *lab.Namespace, c lab.Command, words ...string) {
	t.Helper()
	lab.Eventually(t, "the history has "+strings.Join(words, " "), func() bool {
		p := at.Start(c)
		p.Wait()
		for _, line := range p.Stdout.Lines() {
			if !strings.HasPrefix(line, "ADDRESS") && !missing(line, words) {
				return true
			}
		}
		return false
	})
}

func missing(line string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(line, word) {
			return true
		}
	}
	return false
}

// Any user of the router learns who has an address, also after ndmon was killed, and where no one pings.
func TestHistory(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	dir := t.TempDir()
	start := func() *lab.Process {
		p := r.Start(program("ndmon", "-i", lab.Master, "--host", "r1", "--data", dir))
		p.Stderr.WaitFor("msg=capturing")
		return p
	}
	p := start()
	station, wire := newStation(9), r.Upstream.Wire("eth0")
	station.address = netip.MustParseAddr("2001:db8:5::99")
	address := station.address.String()
	wire.Send(station.asks())
	asUser := func(args ...string) lab.Command {
		c := program("ndmon", args...)
		c.UID = nobody
		return c
	}
	held(t, r.Namespace, asUser("history", address), station.mac.String(), "r1/"+lab.Master, " ns ")
	held(t, r.Namespace, asUser("history", station.mac.String(), "--since", "1h"), address)
	held(t, r.Namespace, asUser("history", "2001:db8:5::/64", "--host", "r1", "--at", "0s"), address)
	other := newStation(10)
	wire.Send(lab.Solicitation(other.mac, station.address, lab.UnusedAddress).Frame())
	held(t, r.Namespace, asUser("history", address), other.mac.String(), "contested")
	p.Kill()
	p = start()
	held(t, r.Namespace, asUser("history", address), station.mac.String(), "r1/"+lab.Master)
	find := r.Start(program("ndmon", "find", address))
	if status := find.Wait(); status != 0 || !strings.Contains(find.Stdout.String(), " ago on r1/"+lab.Master+" from "+station.mac.String()) {
		t.Errorf("find: exit status %d, %s%s", status, find.Stdout, find.Stderr)
	}
	stop(t, p)
}

// The hub has the history of an edge, also of the time while the cable was pulled.
func TestHistoryOfAnEdge(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.startHub()
	p := e.start()
	p.Stderr.WaitFor("alerts reach the hub")
	send := func(n byte) string {
		s := newStation(n)
		e.Upstream.Send("eth0", s.asks())
		return s.address.String()
	}
	history := func(address string) lab.Command { return e.as("viewer", program("ndmon", "history", address)) }
	first := send(9)
	held(t, e.hub.at, history(first), "r1/"+lab.Master)
	e.Down("uplink")
	second := send(10)
	held(t, e.Namespace, program("ndmon", "history", second), "r1/"+lab.Master)
	e.Up("uplink")
	held(t, e.hub.at, history(second), "r1/"+lab.Master)
	stop(t, p)
}
