package bus

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
)

// An answer that does not end is an error, not a short answer.
func TestDirectIsComplete(t *testing.T) {
	s := bustest.Start(t, t.TempDir(), -1)
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.*"}, AllowDirect: true})
	if err != nil {
		t.Fatal(err)
	}
	read := func(ctx context.Context, js jetstream.JetStream) (n int, err error) {
		for _, err := range GetLast(ctx, js, "S", "s.*") {
			if err != nil {
				return n, err
			}
			n++
		}
		for _, err := range GetBatch(ctx, js, "S", 10) {
			if err != nil {
				return n, err
			}
			n++
			break // as one who needs no more
		}
		return n, nil
	}
	if n, err := read(t.Context(), js); n != 0 || err != nil {
		t.Errorf("an empty stream: %d messages, %v", n, err)
	}
	for _, subject := range []string{"s.1", "s.2"} {
		if _, err := js.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := read(t.Context(), js); n != 3 || err != nil {
		t.Errorf("%d messages, %v", n, err)
	}
	// What answers for another stream sends a message, but no end.
	m, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := nc.Subscribe("hang.DIRECT.GET.S", func(request *nats.Msg) {
		request.RespondMsg(&nats.Msg{Data: []byte("x"), Header: nats.Header{
			"Nats-Stream": {"S"}, "Nats-Subject": {m.Subject}, "Nats-Sequence": {"1"}, "Nats-Time-Stamp": {"2026-11-26T00:00:00Z"}, "Nats-Num-Pending": {"1"},
		}})
	}); err != nil {
		t.Fatal(err)
	}
	other, err := jetstream.NewWithAPIPrefix(nc, "hang")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := read(ctx, other); n != 1 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an answer without an end: %d messages, %v", n, err)
	}
}
