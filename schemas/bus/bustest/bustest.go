// Package bustest runs nats-servers for tests.
package bustest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Start runs a nats-server with JetStream on loopback until the test ends. Port -1
// means any free one.
func Start(t testing.TB, dir string, port int) *server.Server {
	t.Helper()
	return StartWith(t, &server.Options{Port: port, JetStream: true, StoreDir: dir})
}

// StartWith is Start with options.
func StartWith(t testing.TB, o *server.Options) *server.Server {
	t.Helper()
	o.Host, o.NoSigs, o.NoLog = "127.0.0.1", true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { Stop(s) })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server does not start")
	}
	return s
}

// Stop stops a server before its test ends.
func Stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}
