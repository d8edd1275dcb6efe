package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ServeNATS runs a nats-server with JetStream until the context ends. The scenarios
// with separate processes run it as a process, as in a fleet.
func ServeNATS(ctx context.Context, address, dir string) error {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("serve NATS: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("serve NATS: port %q is no number", text)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "ndbench", Host: host, Port: port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir,
	})
	if err != nil {
		return fmt.Errorf("serve NATS: %w", err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("serve NATS on " + address + ": it does not start")
	}
	<-ctx.Done()
	return nil
}
