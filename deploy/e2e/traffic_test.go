package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/ndmon/ndmon/deploy/lab"
)

// numbered returns a frame that plainRules alert on, a Router
// Advertisement with lifetime 0, whose reachable time is a number for numberOf
// to know it by. All have one source: the kernel keeps each source of such
// frames as a neighbour, in a table of 1024 that all namespaces share.
func numbered(n int) []byte {
	ra := lab.RouterAdvertisement(net.HardwareAddr{2, 0, 0, 0, 0, 7}, netip.MustParseAddr("fe80::7"), 0)
	const reachableTime = 4 // its place in the body
	binary.BigEndian.PutUint32(ra.Body[reachableTime:], uint32(n))
	return ra.Frame()
}

// numberOf returns the number of the frame that an alert is for.
func numberOf(t *testing.T, a alert) int {
	t.Helper()
	if a.Rule != "ra-lifetime-zero" || a.Event.ND == nil || a.Event.ND.RA == nil {
		t.Fatalf("alert %s of rule %s, which the test did not provoke: %s", a.ID, a.Rule, a.Summary)
	}
	return a.Event.ND.RA.ReachableTimer
}

// exactlyOnce checks that there is one alert for each of the first n frames.
func exactlyOnce(t *testing.T, where string, n int, alerts []alert) {
	t.Helper()
	want := make([]int, n)
	for i := range want {
		want[i] = 1
	}
	got := make([]int, n)
	ids := map[string]bool{}
	for _, a := range alerts {
		number := numberOf(t, a)
		if number >= n {
			t.Fatalf("%s: alert for frame %d, which was not sent", where, number)
		}
		got[number]++
		ids[a.ID] = true
	}
	if len(ids) != len(alerts) {
		t.Errorf("%s: %d alerts have %d ids", where, len(alerts), len(ids))
	}
	if !slices.Equal(want, got) {
		t.Errorf("%s: alerts of %d frames (-want +got):\n%s", where, n, cmp.Diff(summary(want), summary(got)))
	}
}

// summary writes counts as runs, such as 0-99: 1.
func summary(counts []int) []string {
	var runs []string
	for from := 0; from < len(counts); {
		to := from
		for to+1 < len(counts) && counts[to+1] == counts[from] {
			to++
		}
		runs = append(runs, fmt.Sprintf("%d-%d: %d", from, to, counts[from]))
		from = to + 1
	}
	return runs
}

// flow is traffic that goes on while a test does something else: numbered
// frames, some 2,000 a second.
type flow struct {
	t     *testing.T
	sent  atomic.Int64
	stop  chan struct{}
	ended chan error
}

func startFlow(t *testing.T, wire *lab.Wire) *flow {
	t.Helper()
	f := &flow{t: t, stop: make(chan struct{}), ended: make(chan error, 1)}
	go func() { f.ended <- f.run(wire) }()
	t.Cleanup(func() { f.end() })
	return f
}

func (f *flow) run(wire *lab.Wire) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%2 == 0 {
			select {
			case <-f.stop:
				return nil
			case <-tick.C:
			}
		}
		if _, err := wire.Write(numbered(n)); err != nil {
			return err
		}
		f.sent.Add(1)
	}
}

// wait waits until n more frames were sent, however slow the machine is: a thousand
// at a time.
func (f *flow) wait(n int) {
	f.t.Helper()
	for ; n > 0; n -= 1000 {
		until := f.sent.Load() + int64(min(n, 1000))
		lab.Eventually(f.t, "more frames are sent", func() bool { return f.sent.Load() >= until })
	}
}

// end ends the traffic and returns how many frames were sent.
func (f *flow) end() int {
	select {
	case <-f.stop:
	default:
		close(f.stop)
		if err := <-f.ended; err != nil {
			f.t.Error(err)
		}
	}
	return int(f.sent.Load())
}

// corpus returns the path of a capture of real traffic.
func corpus(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "sensor", "testdata", "corpus", name+".pcap"))
	must(t, err)
	return path
}

// captured is a frame of a capture file.
type captured struct {
	at   time.Time
	data []byte
}

// readCapture reads a file of the corpus.
func readCapture(t *testing.T, path string) []captured {
	t.Helper()
	file := readFile(t, path)
	r, err := pcapgo.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var list []captured
	source := gopacket.NewPacketSource(r, layers.LayerTypeEthernet)
	source.NoCopy = true
	for p := range source.Packets() {
		list = append(list, captured{p.Metadata().Timestamp.UTC(), p.Data()})
	}
	return list
}

// discovery returns the frames that are Neighbor Discovery.
func discovery(list []captured) []captured {
	var nd []captured
	for _, c := range list {
		if factsOf(c.data) != nil {
			nd = append(nd, c)
		}
	}
	return nd
}

// pcap makes a pcap file of frames.
func pcap(t *testing.T, list ...captured) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	must(t, w.WriteFileHeader(1<<16, layers.LinkTypeEthernet))
	for _, c := range list {
		must(t, w.WritePacket(c.info(0), c.data))
	}
	return b.Bytes()
}

// pcapng makes a pcapng file of frames on an interface.
func pcapng(t *testing.T, iface string, list ...captured) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&b, pcapgo.NgInterface{
		Name: iface, LinkType: layers.LinkTypeEthernet, TimestampResolution: 9,
	}, pcapgo.DefaultNgWriterOptions)
	must(t, err)
	for _, c := range list {
		must(t, w.WritePacket(c.info(0), c.data))
	}
	must(t, w.Flush())
	return b.Bytes()
}

func (c captured) info(iface int) gopacket.CaptureInfo {
	return gopacket.CaptureInfo{Timestamp: c.at, CaptureLength: len(c.data), Length: len(c.data), InterfaceIndex: iface}
}
