package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
)

func TestPublisherLosesNothingWhenServerRestarts(t *testing.T) {
	dir := t.TempDir()
	s := bustest.Start(t, dir, -1)
	port := s.Addr().(*net.TCPAddr).Port
	c := connect(t, s.ClientURL())
	ensureStreams(t, c)
	p := runPublisher(t, c, PublisherConfig{InFlight: 64, Buffer: 1 << 20, AckTimeout: time.Second})

	ctx := testContext(t)
	const n = 4000
	for i := range n {
		if i == n/4 || i == n/2 {
			bustest.Stop(s)
			s = bustest.Start(t, dir, port)
		}
		check(t, p.Publish(ctx, "nd.batches.r1.eth0", "", []byte(strconv.Itoa(i))))
	}
	check(t, p.Flush(ctx))
	// A message may be stored twice, but the first copies are complete and in order.
	want := 0
	for _, data := range storedData(t, c, schemas.StreamEvents) {
		if got, _ := strconv.Atoi(data); got == want {
			want++
		} else if got > want {
			t.Fatalf("message %d is stored before %d", got, want)
		}
	}
	if want != n {
		t.Errorf("%d messages are stored, want %d", want, n)
	}
	if got := p.Acknowledged(); got != n {
		t.Errorf("Acknowledged = %d, want %d", got, n)
	}
}

// A subscriber without JetStream receives every publication, so a message that is
// stored must not be published again.
func TestPublisherAsksWhatIsStored(t *testing.T) {
	c := withStreams(t)
	asked := make(chan struct{}, 16)
	p := runPublisher(t, c, PublisherConfig{InFlight: 8, Buffer: 1 << 20, AckTimeout: time.Minute,
		Stored: func(context.Context) (func(string) bool, error) {
			asked <- struct{}{}
			return func(id string) bool { return id == "a" }, nil
		}})
	sub, err := c.NATS().SubscribeSync(schemas.SubjectAlerts)
	check(t, err)
	ctx := testContext(t)
	check(t, p.Publish(ctx, schemas.SubjectAlerts, "warm", []byte("warm")))
	check(t, p.Flush(ctx))
	// Two messages that were sent, and whose acknowledgement is lost.
	p.mu.Lock()
	p.paused = true
	p.push(schemas.SubjectAlerts, "a", []byte("a"))
	p.push(schemas.SubjectAlerts, "b", []byte("b"))
	p.next = p.tail
	p.mu.Unlock()
	p.again()
	<-asked
	check(t, p.Flush(ctx))
	for _, want := range []string{"warm", "b"} {
		m, err := sub.NextMsgWithContext(ctx)
		check(t, err)
		if string(m.Data) != want {
			t.Errorf("subscriber got %q, want %q", m.Data, want)
		}
	}
}

func TestPublisherWaitsForStream(t *testing.T) {
	s := bustest.Start(t, t.TempDir(), -1)
	c := connect(t, s.ClientURL())
	p := runPublisher(t, c, PublisherConfig{InFlight: 8, Buffer: 1 << 20, AckTimeout: time.Second})
	for i := range 100 {
		if !p.TryPublish("nd.batches.r1.eth0", "", []byte(strconv.Itoa(i))) {
			t.Fatal("dropped")
		}
	}
	ensureStreams(t, c)
	check(t, p.Flush(testContext(t)))
	if got := len(storedData(t, c, schemas.StreamEvents)); got != 100 {
		t.Errorf("%d messages stored, want 100", got)
	}
}

func TestPublisherIsBounded(t *testing.T) {
	// There is no server.
	c := connect(t, "nats://127.0.0.1:1")
	p := runPublisher(t, c, PublisherConfig{InFlight: 8, Buffer: 10_000, AckTimeout: time.Second})
	data := make([]byte, 1000-overhead)
	taken := 0
	for p.TryPublish("nd.batches.r1.eth0", "", data) {
		taken++
	}
	if taken != 10 {
		t.Errorf("%d messages of 1000 bytes went into a buffer of 10,000", taken)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Publish(ctx, "nd.batches.r1.eth0", "", data); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish on a full buffer: %v", err)
	}
	if err := p.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Flush without a server: %v", err)
	}
}

// A message that is refused permanently must not block the others.
func TestPublisherRejectsOversized(t *testing.T) {
	s := bustest.Start(t, t.TempDir(), -1)
	c := connect(t, s.ClientURL())
	ctx := testContext(t)
	if _, err := c.JetStream().CreateStream(ctx, jetstream.StreamConfig{Name: "SMALL", Subjects: []string{"small"}, MaxMsgSize: 100}); err != nil {
		t.Fatal(err)
	}
	p := runPublisher(t, c, PublisherConfig{InFlight: 8, Buffer: 8 << 20, AckTimeout: time.Second})
	for _, size := range []int{10, 200, 2 << 20, 20} { // 2 MiB is over the server's payload limit
		check(t, p.Publish(ctx, "small", "", make([]byte, size)))
	}
	check(t, p.Flush(ctx))
	if p.mu.Lock(); p.rejected != 2 {
		t.Errorf("%d messages rejected, want 2", p.rejected)
	}
	p.mu.Unlock()
	if got := len(storedData(t, c, "SMALL")); got != 2 {
		t.Errorf("%d messages stored, want 2", got)
	}
}

// A publisher sends nothing while Ready returns an error, becomes unhealthy, and
// recovers by itself.
func TestPublisherWaitsForRoom(t *testing.T) {
	c := withStreams(t)
	full := errors.New("the disk is full")
	var room atomic.Bool
	var stored []uint64
	p := runPublisher(t, c, PublisherConfig{InFlight: 8, Buffer: 1 << 20, AckTimeout: 10 * time.Millisecond,
		Ready: func() error {
			if room.Load() {
				return nil
			}
			return full
		},
		OnStored: func(seq uint64) { stored = append(stored, seq) },
	})
	for n := range 20 {
		if !p.TryPublish(schemas.SubjectAlerts, fmt.Sprint(n), []byte("x")) {
			t.Fatal("no room in the buffer")
		}
	}
	for p.Health() == nil {
		runtime.Gosched()
	}
	if err := p.Health(); !errors.Is(err, full) || !strings.Contains(err.Error(), "20 messages wait") {
		t.Errorf("health: %v", err)
	}
	if got := storedData(t, c, schemas.StreamAlerts); len(got) > 0 {
		t.Errorf("%d messages are stored", len(got))
	}
	room.Store(true)
	check(t, p.Flush(testContext(t)))
	if err := p.Health(); err != nil {
		t.Errorf("health with room: %v", err)
	}
	var want []uint64
	for n := range uint64(20) {
		want = append(want, n+1)
	}
	if !slices.Equal(stored, want) {
		t.Errorf("stored as %v", stored)
	}
}

func BenchmarkPublisher(b *testing.B) {
	c := withStreams(b)
	p := runPublisher(b, c, PublisherConfig{InFlight: DefaultInFlight, Buffer: 64 << 20, AckTimeout: DefaultAckTimeout})
	data := make([]byte, 500)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Publish(context.Background(), "nd.batches.r1.eth0", "", data); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
}
