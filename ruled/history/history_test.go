package history

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/prometheus/client_golang/prometheus"
)

var epoch = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

func binding(n int, last time.Duration) *schemas.Binding {
	return &schemas.Binding{
		Type: schemas.TypeBinding, Address: netip.MustParseAddr(fmt.Sprintf("2001:db8::%x:%x", n>>16, n&0xffff)), Ethernet: schemas.MACOf(2<<40 | uint64(n)),
		Host: fmt.Sprint("r", n%100), Interface: "eth1", First: epoch, Last: epoch.Add(last), Heard: []string{schemas.HeardNS, schemas.HeardDAD},
	}
}

func connect(t testing.TB, s *server.Server) *bus.Conn {
	t.Helper()
	conn, err := bus.Connect(bus.Config{URL: s.ClientURL()}, bus.Options{Name: "test", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	check(t, err)
	t.Cleanup(conn.NATS().Close)
	return conn
}

// start returns a running Writer and its stream.
func start(t testing.TB) (*Writer, jetstream.Stream) {
	t.Helper()
	return startAt(t, bustest.Start(t, t.TempDir(), -1))
}

func startAt(t testing.TB, s *server.Server) (*Writer, jetstream.Stream) {
	t.Helper()
	conn := connect(t, s)
	_, err := bus.EnsureStreams(t.Context(), conn.JetStream(), bus.StreamConfig{
		NoEvents: true, AlertsBytes: 1 << 20, AlertsAge: time.Hour, HistoryBytes: 2 << 30, HistoryAge: 9600 * time.Hour,
	})
	check(t, err)
	w, err := New(conn, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	check(t, err)
	t.Cleanup(w.Start(context.Background()))
	stream, err := conn.JetStream().Stream(t.Context(), schemas.StreamHistory)
	check(t, err)
	return w, stream
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The stream has the newest message of each binding.
func TestWrite(t *testing.T) {
	w, stream := start(t)
	for _, b := range []*schemas.Binding{binding(1, 0), binding(2, 0), binding(1, time.Minute)} {
		if !w.Write(b) {
			t.Fatal("there is no room")
		}
	}
	check(t, w.Flush(t.Context()))
	info, err := stream.Info(t.Context())
	check(t, err)
	m, err := stream.GetLastMsgForSubject(t.Context(), binding(1, 0).Subject())
	check(t, err)
	if diff := cmp.Diff(string(binding(1, time.Minute).AppendJSON(nil)), string(m.Data)); diff != "" || info.State.Msgs != 2 {
		t.Errorf("%d messages (-want +got):\n%s", info.State.Msgs, diff)
	}
}

// BenchmarkWrite stores new bindings.
func BenchmarkWrite(b *testing.B) {
	w, stream := start(b)
	n := 0
	for b.Loop() {
		for n++; !w.Write(binding(n, 0)); {
			check(b, w.Wait(b.Context(), w.Acknowledged()+1))
		}
	}
	check(b, w.Flush(b.Context()))
	info, err := stream.Info(b.Context())
	check(b, err)
	b.ReportMetric(float64(info.State.Bytes)/float64(n), "B/binding")
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "bindings/s")
}

// BenchmarkAlert stores one alert after the other: alone, and while 20,000 bindings are written each second.
func BenchmarkAlert(b *testing.B) {
	for _, rate := range []int{0, 20_000} {
		b.Run(fmt.Sprint(rate, "/s"), func(b *testing.B) {
			s := bustest.Start(b, b.TempDir(), -1)
			w, _ := startAt(b, s)
			conn := connect(b, s)
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for begin, n := time.Now(), 0; ; {
					select {
					case <-ctx.Done():
						return
					case now := <-tick.C:
						for ; n < int(now.Sub(begin).Seconds()*float64(rate)) && w.Write(binding(n, 0)); n++ {
						}
					}
				}
			}()
			for b.Loop() {
				_, err := conn.JetStream().Publish(b.Context(), schemas.SubjectAlerts, []byte("{}"))
				check(b, err)
			}
			cancel()
			<-ended
			b.ReportMetric(float64(w.Acknowledged())/b.Elapsed().Seconds(), "bindings/s")
		})
	}
}
