package ndmon

import (
	"log/slog"
	"testing"

	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/prometheus/client_golang/prometheus"
)

// An event is listened to while a connection subscribes to it, also that of a guest, who is in
// another account of the server.
func TestListened(t *testing.T) {
	s := serving(t, Config{Listen: "127.0.0.1:0", Data: t.TempDir()})
	account, err := s.LookupAccount(keys.Account)
	must(t, err)
	conn, err := bus.Connect(bus.Config{URL: "nats://in-process", NKey: s.seedFile}, bus.Options{
		Name: "test", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), InProcess: s, NoEcho: true,
	})
	must(t, err)
	defer conn.NATS().Close()
	l := &listened{Conn: conn, account: account}
	listened := func(subject string, want bool) {
		t.Helper()
		if got := l.Listened(subject); got != want {
			t.Errorf("%s is listened to: %v, want %v", subject, got, want)
		}
	}
	const events = "nd.events.r1.eth0.ns"
	listened(events, false)
	guest, _ := connectTo(t, s)
	sub, err := guest.SubscribeSync("nd.events.>")
	must(t, err)
	must(t, guest.Flush())
	listened(events, true)
	must(t, sub.Unsubscribe())
	must(t, guest.Flush())
	listened(events, false)
	l.account = nil // another server
	listened(events, true)
}
