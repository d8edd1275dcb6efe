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
	connect := func(name string) *bus.Conn {
		conn, err := bus.Connect(bus.Config{URL: "nats://in-process", NKey: s.seedFile}, bus.Options{
			Name: name, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), InProcess: s, NoEcho: true,
		})
		must(t, err)
		t.Cleanup(conn.NATS().Close)
		return conn
	}
	conn := connect("parts")
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
	const commands = "nd.relay.r1"
	_, err = l.Subscribe(commands, func(string, []byte) {})
	must(t, err)
	must(t, conn.NATS().Flush())
	listened(commands, false) // by this connection alone
	other := connect("other").NATS()
	for _, subject := range []string{commands, "nd.relay.*", "nd.>", ">"} {
		sub, err = other.SubscribeSync(subject)
		must(t, err)
		must(t, other.Flush())
		listened(commands, true)
		must(t, sub.Unsubscribe())
		must(t, other.Flush())
		listened(commands, false)
	}
	l.account = nil // another server
	listened(events, true)
}
