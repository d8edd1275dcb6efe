// Package presence makes a daemon a service on NATS (ADR-32 of NATS), so that nats micro and
// ndmon fleet show that it runs and how it is. What there is to tell comes from the parts of the
// daemon; who asks, and what a missing answer means, is not here.
package presence

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
)

// Service is the service of a daemon.
type Service struct {
	part, host, version string
	started             time.Time
	health              *process.Health

	mu       sync.Mutex
	describe []func(*schemas.DaemonStatus)
}

// Serve answers on NATS with the status of a daemon until the connection is drained or closed. The
// server may be away: nats.go subscribes whenever it reaches the server. An empty host is that of
// the kernel.
func Serve(conn *bus.Conn, part, host string, health *process.Health) (*Service, error) {
	kernel, err := os.Hostname()
	if host = cmp.Or(host, kernel); host == "" {
		return nil, fmt.Errorf("find the machine's hostname: %w", err)
	}
	s := &Service{part: part, host: host, version: process.Version(), started: time.Now().UTC(), health: health}
	config := micro.Config{
		Name: part, Version: strings.TrimPrefix(s.version, "v"), Description: "ndmon on " + host,
		Metadata:     map[string]string{"host": host},
		StatsHandler: func(*micro.Endpoint) any { return s.status() },
	}
	service, err := micro.AddService(conn.NATS(), config)
	if errors.Is(err, micro.ErrConfigValidation) {
		config.Version = "0.0.0" // the build's is not semantic
		service, err = micro.AddService(conn.NATS(), config)
	}
	if err == nil {
		err = service.AddEndpoint("status", micro.HandlerFunc(func(r micro.Request) {
			r.Respond(s.status().AppendJSON(nil)) // the connection reports what it cannot send
		}), micro.WithEndpointSubject(schemas.StatusSubject(part, host)), micro.WithEndpointQueueGroupDisabled())
	}
	if err != nil {
		return nil, fmt.Errorf("make the service %s on NATS: %w", part, err)
	}
	return s, nil
}

// Describe registers a function that adds to each status what a part knows. It must not block, and
// may be called concurrently.
func (s *Service) Describe(describe func(*schemas.DaemonStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.describe = append(s.describe, describe)
}

func (s *Service) status() *schemas.DaemonStatus {
	status := &schemas.DaemonStatus{
		Type: schemas.TypeStatus, ID: rand.Text(), Host: s.host, Part: s.part, Version: s.version,
		Started: s.started, State: "ok", Faults: s.health.Faults(),
	}
	if len(status.Faults) > 0 {
		status.State = "degraded"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, describe := range s.describe {
		describe(status)
	}
	status.Time = time.Now().UTC()
	return status
}
