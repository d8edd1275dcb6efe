package history

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/ndmon/ndmon/schemas/process"
)

var epoch = time.Date(2026, 11, 17, 8, 0, 0, 0, time.UTC)

// binding is one of host n.
func binding(n int, address, host string, from, to time.Duration) schemas.Binding {
	return schemas.Binding{
		Type: schemas.TypeBinding, Address: netip.MustParseAddr(address), Ethernet: schemas.MACOf(2<<40 | uint64(n)), Host: host, Interface: "eth1",
		First: epoch.Add(from), Last: epoch.Add(to), Heard: []string{schemas.HeardNS, schemas.HeardNA},
	}
}

// serve starts a server that has the bindings in its history.
func serve(t testing.TB, list ...schemas.Binding) {
	t.Helper()
	s := bustest.Start(t, t.TempDir(), -1)
	t.Setenv("NATS_URL", s.ClientURL())
	nc, err := bus.Dial(bus.Config{URL: s.ClientURL()}, "test", func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.EnsureStreams(t.Context(), js, bus.StreamConfig{
		NoEvents: true, AlertsBytes: 1 << 20, AlertsAge: time.Hour, HistoryBytes: 2 << 30, HistoryAge: 9600 * time.Hour,
	}); err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if _, err := js.PublishAsync(list[i].Subject(), list[i].AppendJSON(nil), jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	copied(t, js)
}

// copied waits until the server has copied all bindings to the stream by station.
func copied(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	stream, err := js.Stream(t.Context(), schemas.StreamHistory)
	if err != nil {
		t.Fatal(err)
	}
	stations, err := js.Stream(t.Context(), schemas.StreamStations)
	if err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "the copy by station is complete", func() bool {
		info, err := stream.Info(t.Context())
		copied, errCopied := stations.Info(t.Context())
		return err == nil && errCopied == nil && copied.State.Msgs == info.State.Msgs
	})
}

// run runs the command two hours after epoch.
func run(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = process.Execute(Command(func() time.Time { return epoch.Add(2 * time.Hour) }), args, &out, &err)
	return status, out.String(), err.String()
}

const (
	address = "2001:db8::42"
	hour    = time.Hour
)

func TestHistory(t *testing.T) {
	vlan := uint16(7)
	first, replaced, other := binding(1, address, "r1", 0, hour), binding(1, address, "r1", 0, 30*time.Minute), binding(2, address, "r1", 90*time.Minute, 2*hour)
	other.VLAN, other.Contested, other.Vendor = &vlan, true, "Example\x1b[31m"
	neighbour, far := binding(1, "2001:db8::43", "r2.example", hour, 2*hour), binding(3, "2001:db8:1::1", "r1", 0, hour)
	serve(t, replaced, first, other, neighbour, far)
	for _, test := range []struct {
		args []string
		want []string // the stations' last octets, and the addresses
	}{
		{[]string{address}, []string{"01 42", "02 42"}},
		{[]string{address, "--at", "2026-11-17T08:30:00Z"}, []string{"01 42"}},
		{[]string{address, "--at", "2026-11-17T09:10:00Z"}, []string{"01 42"}}, // the history may be behind
		{[]string{address, "--at", "2026-11-17T09:20:00Z"}, nil},
		{[]string{address, "--since", "40m"}, []string{"02 42"}},
		{[]string{"2001:db8::/64"}, []string{"01 42", "02 42", "01 43"}},
		{[]string{"2001:db8::/47"}, []string{"01 42", "02 42", "01 43", "03 1"}},
		{[]string{"2001:db8::42/127"}, []string{"01 42", "02 42", "01 43"}},
		{[]string{"::/0", "--host", "r2.example"}, []string{"01 43"}},
		{[]string{"02-00-00-00-00-01"}, []string{"01 42", "01 43"}},
		{[]string{"02:00:00:00:00:01", "--host", "r1"}, []string{"01 42"}},
		{[]string{"2001:db8::44"}, nil},
	} {
		status, stdout, stderr := run(append(test.args, "-o", "csv")...)
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(stdout), "\n")[1:] {
			cells := strings.Split(line, ",")
			got = append(got, cells[1][15:]+" "+cells[0][strings.LastIndex(cells[0], ":")+1:])
		}
		if diff := cmp.Diff(test.want, got); diff != "" || (status != 0) != (test.want == nil) {
			t.Errorf("%v: exit status %d %s (-want +got):\n%s", test.args, status, stderr, diff)
		}
	}
	_, stdout, _ := run(address)
	want := `ADDRESS       STATION            VENDOR        WHERE      FIRST                 LAST                  HEARD  STATE
2001:db8::42  02:00:00:00:00:01  -             r1/eth1    2026-11-17T08:00:00Z  2026-11-17T09:00:00Z  ns,na  -
2001:db8::42  02:00:00:00:00:02  Example?[31m  r1/eth1.7  2026-11-17T09:30:00Z  2026-11-17T10:00:00Z  ns,na  contested
`
	if diff := cmp.Diff(want, stdout); diff != "" {
		t.Errorf("the text (-want +got):\n%s", diff)
	}
	_, stdout, _ = run(address, "-o", "json")
	if want := string(first.AppendJSON(nil)) + "\n" + string(other.AppendJSON(nil)) + "\n"; stdout != want {
		t.Errorf("as JSON:\n%s, want\n%s", stdout, want)
	}
}

func TestHistoryUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"192.0.2.1"}, `"192.0.2.1" is not an IPv6 address, a prefix or an Ethernet address, such as`},
		{[]string{"::/129"}, `"::/129" is not an IPv6 address`},
		{[]string{"fe80::1%eth0"}, "is not an IPv6 address"},
		{[]string{address, "--at", "yesterday"}, `--at: "yesterday" is not a time: use`},
		{[]string{address, "--since", "-3h"}, `--since: "-3h" is not a time: use`},
		{[]string{address, "-o", "xml"}, `--output: "xml" is not a format: use text, json, csv`},
	} {
		if status, _, stderr := run(test.args...); status != process.ExitUsage || !strings.Contains(stderr, test.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit status %d, %q", test.args, status, stderr)
		}
	}
	t.Setenv("NATS_URL", bustest.Start(t, t.TempDir(), -1).ClientURL())
	if status, _, stderr := run(address); status != process.ExitFailure || !strings.Contains(stderr, "there is no stream ND_HISTORY") {
		t.Errorf("without a stream: exit status %d, %q", status, stderr)
	}
}

// BenchmarkHistory looks up an address, a station and an address at a time among a million bindings.
func BenchmarkHistory(b *testing.B) {
	var list []schemas.Binding
	for n := range 1_000_000 {
		from := time.Duration(n%400) * 24 * hour
		list = append(list, binding(n/10, fmt.Sprintf("2001:db8:%x:%x::%x:%x", n%7, n%50, n>>16, n&0xffff), fmt.Sprint("r", n%50), from, from+hour))
	}
	serve(b, list...)
	for _, what := range slices.Sorted(slices.Values([]string{list[123_456].Address.String(), list[123_456].Ethernet.String(), "2001:db8:3:17::/64"})) {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				if status, _, stderr := run(what); status != 0 {
					b.Fatal(stderr)
				}
			}
		})
	}
}
