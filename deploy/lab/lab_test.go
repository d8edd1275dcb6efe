package lab_test

import (
	"bytes"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestKernelSolicitsOnTheMaster(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	upstream, host2 := r.Upstream.Wire("eth0"), r.Host2.Wire("eth0")
	r.Solicit(lab.Host2Address)

	want := lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, lab.Host2Address).Frame()
	lab.Eventually(t, "the solicitation is seen upstream", func() bool {
		for _, f := range upstream.Frames() {
			if !f.Out && bytes.Equal(f.Data, want) {
				return true
			}
		}
		return false
	})
	if state := r.NeighbourState(lab.Master, lab.Host2Address); state != "INCOMPLETE" {
		t.Errorf("the target's entry on the master is %q, want INCOMPLETE", state)
	}
	for _, f := range host2.Frames() {
		if bytes.Contains(f.Data, lab.Host2Address.AsSlice()) {
			t.Errorf("the target was seen behind slave 2: %x", f.Data)
		}
	}
}

func TestWireCarriesFrames(t *testing.T) {
	t.Parallel()
	a, b := lab.New(t, "a"), lab.New(t, "b")
	a.Veth("x", b, "y")
	from, to := a.Wire("x"), b.Wire("y")
	source := netip.MustParseAddr("fe80::1")
	plain := lab.RouterAdvertisement(a.MAC("x"), source, 1800)
	frames := [][]byte{plain.Frame()}
	plain.HopLimit = 1
	frames = append(frames, plain.Frame())
	from.Send(frames...)

	seen := func(frames []lab.Frame, out bool) (data [][]byte) {
		for _, f := range frames {
			if f.Out == out && bytes.Contains(f.Data, source.AsSlice()) {
				data = append(data, f.Data)
			}
		}
		return data
	}
	if diff := cmp.Diff(frames, seen(to.Frames(), false)); diff != "" {
		t.Errorf("frames received (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]byte(nil), seen(to.Frames(), false)); diff != "" {
		t.Errorf("frames received twice (-want +got):\n%s", diff)
	}
}

func TestProcessInNamespace(t *testing.T) {
	t.Parallel()
	n := lab.New(t, "alone")
	p := n.Start(lab.Command{Path: "/bin/sh", Args: []string{"-c", "cat /proc/net/dev; echo $GREETING >&2; read line; echo got $line; exit 3"},
		Env: []string{"GREETING=hello"}, Stdin: strings.NewReader("text\n")})
	if status := p.Wait(); status != 3 {
		t.Errorf("exit status %d, want 3", status)
	}
	if got := p.Stderr.String(); got != "hello\n" {
		t.Errorf("standard error %q, want hello", got)
	}
	p.Stdout.WaitFor("lo:", "got text\n")
	if strings.Contains(p.Stdout.String(), "eth") {
		t.Errorf("interfaces of another namespace: %s", p.Stdout)
	}

	p = lab.Start(t, lab.Command{Path: "/bin/sh", Args: []string{"-c", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done"}})
	p.Stdout.WaitFor("ready")
	if status := p.Stop(); status != 0 {
		t.Errorf("exit status %d after SIGTERM, want 0", status)
	}
	if diff := cmp.Diff([]string{"ready", "bye"}, p.Stdout.Lines()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}

	p = lab.Start(t, lab.Command{Path: "/bin/sleep", Args: []string{"1000"}, UID: 65534})
	p.Signal(syscall.SIGKILL)
	if status := p.Wait(); status != -1 {
		t.Errorf("exit status %d after SIGKILL, want -1", status)
	}
}

func TestRunCleansUpAndReturnsTheError(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	err := lab.Run("bench", &log, func(tb lab.TB) {
		tb.Cleanup(func() { tb.Logf("second") })
		tb.Cleanup(func() { tb.Logf("first") })
		tb.Logf("%s begins", tb.Name())
		tb.Fatalf("no %s", "luck")
		tb.Logf("never")
	})
	if err == nil || err.Error() != "no luck" {
		t.Errorf("error %v, want no luck", err)
	}
	if diff := cmp.Diff("bench begins\nfirst\nsecond\n", log.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if err := lab.Run("bench", &log, func(lab.TB) {}); err != nil {
		t.Errorf("error %v of a run that succeeds", err)
	}
}

// Half of the neighbour table can be reserved, by one or more tests.
func TestReserveNeighbours(t *testing.T) {
	t.Parallel()
	lab.NeedRoot(t)
	var wait sync.WaitGroup
	var reserved atomic.Int32
	for _, entries := range []int32{512, 256, 256, 2000, 1, 64, 200} {
		wait.Go(func() {
			err := lab.Run(t.Name(), t.Output(), func(tb lab.TB) {
				lab.ReserveNeighbours(tb, int(entries))
				some := min(entries, 512)
				defer reserved.Add(-some)
				if all := reserved.Add(some); all > 512 {
					t.Errorf("%d entries are reserved", all)
				}
				runtime.Gosched()
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

func TestTablesOfTheKernel(t *testing.T) {
	t.Parallel()
	n, peer := lab.New(t, "a"), lab.New(t, "b")
	n.Veth("x", peer, "y")
	address := netip.MustParseAddr("2001:db8:77::1")
	index := n.Index("x")
	const protocol = 99
	before := n.NeighbourTable()
	for what, err := range map[string]error{
		"proxy": n.Netlink.NeighAdd(&netlink.Neigh{LinkIndex: index, Family: unix.AF_INET6, Flags: netlink.NTF_PROXY, IP: address.AsSlice()}),
		"route": n.Netlink.RouteAdd(&netlink.Route{LinkIndex: index, Table: 1234, Protocol: protocol,
			Dst: &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(128, 128)}}),
	} {
		if err != nil {
			t.Fatalf("add a %s: %v", what, err)
		}
	}
	rule := netlink.NewRule()
	rule.Family, rule.OifName, rule.Table, rule.Priority, rule.Protocol = unix.AF_INET6, "x", 1234, 500, protocol
	if err := n.Netlink.RuleAdd(rule); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"x 2001:db8:77::1 proto 0"}, n.Proxies()); diff != "" {
		t.Errorf("proxies (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"2001:db8:77::1/128 dev x table 1234 proto 99"}, n.Routes("proto 99")); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`500 oif "x" table 1234 proto 99`}, n.Rules("proto 99")); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if other := append(append(n.Rules("proto 98"), n.Routes("proto 98")...), peer.Proxies()...); len(other) > 0 {
		t.Errorf("of others: %v", other)
	}

	// A host that does not answer fills the table, which is one for all.
	n.Address("x", "2001:db8:78::1/64")
	const asked = 50
	for i := range asked {
		n.Solicit(netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 5: 0x78, 15: byte(i + 10)}))
	}
	after := peer.NeighbourTable()
	if after.Entries < asked || after.Most != before.Most || after.Most < after.Entries || after.Free() <= 0 || after.Free() >= 1 {
		t.Errorf("the table has %+v after %+v and %d more", after, before, asked)
	}
}

func TestPings(t *testing.T) {
	t.Parallel()
	n, peer := lab.New(t, "a"), lab.New(t, "b")
	n.Veth("x", peer, "y")
	n.Address("x", "2001:db8:77::1/64")
	address := netip.MustParseAddr("2001:db8:77::2")
	p := n.Ping(address, time.Millisecond)
	peer.AddressWithDAD("y", "2001:db8:77::2/64")
	p.WaitForReply()
	peer.RemoveAddress("y", "2001:db8:77::2/64")
	gone := time.Now()
	lab.Eventually(t, "requests without a reply", func() bool {
		echoes := p.Echoes()
		return echoes[len(echoes)-1].Sent.After(gone.Add(20 * time.Millisecond))
	})
	for _, e := range p.Stop() {
		if !e.Answered.IsZero() && e.Answered.Before(e.Sent) {
			t.Errorf("echo sent at %v, answered at %v", e.Sent, e.Answered)
		}
	}
	if p.Answered(gone) {
		t.Error("an echo is answered after the address is gone")
	}
}

func TestCapabilitiesWithoutRoot(t *testing.T) {
	t.Parallel()
	n := lab.New(t, "alone")
	p := n.Start(lab.Command{Path: "/bin/sh", Args: []string{"-c", "grep -E 'Uid|CapEff' /proc/self/status"}, UID: 65534, Capabilities: []uintptr{unix.CAP_NET_RAW}})
	p.Wait()
	// CAP_NET_RAW is 13.
	if out := p.Stdout.String(); !strings.Contains(out, "65534") || !strings.Contains(out, "CapEff:\t0000000000002000") {
		t.Errorf("status of the process: %s", out)
	}
}
