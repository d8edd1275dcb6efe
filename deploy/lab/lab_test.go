package lab_test

import (
	"bytes"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
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
