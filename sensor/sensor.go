//go:build linux

// Package sensor captures Neighbor Discovery on a host's interfaces, or reads it
// from capture files, and publishes each frame as an event. The events of an
// interface are published in the order of their times.
package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/internal/capture"
)

// Publisher sends messages. The data may be used again when a method returns.
type Publisher interface {
	// TryPublish takes a message to send, or returns false if it has no room.
	TryPublish(subject, msgID string, data []byte) bool
	// Publish takes a message as soon as there is room.
	Publish(ctx context.Context, subject, msgID string, data []byte) error
	// Flush waits until all messages are stored.
	Flush(ctx context.Context) error
}

// Deps are what the sensor works with.
type Deps struct {
	// Log is nil for no log.
	Log *slog.Logger
	// Registry gets the sensor's metrics, nil for none. It serves one Run.
	Registry  prometheus.Registerer
	Publisher Publisher
	// Solicited, if set, is called with each Neighbor Solicitation before it is
	// published. It must not keep the event.
	Solicited func(*schemas.Event)
	// Connected says that the publisher reaches NATS; nil says it always does.
	// Lost frames are told when it does.
	Connected func() bool
	// Before is until when a sensor of this host that ended without notice surely
	// watched before this one; zero where that is not known, or where it ended in
	// order.
	Before time.Time
	// Started, if set, is called once the interfaces that are there are captured.
	Started func()
	// Health, if set, is told whether every configured interface that exists is
	// captured.
	Health func(error)
	// Now is the clock, nil for time.Now. Frames have the kernel's time stamps.
	Now func() time.Time
}

// flushTimeout is how long Run waits at its end for events that NATS has not
// stored yet.
const flushTimeout = time.Second

// RightsError says that the process may not capture.
type RightsError struct {
	// Err is the system's error.
	Err error
}

// Error names the capability that is lacking and how to get it.
func (e *RightsError) Error() string {
	program, err := os.Executable()
	if err != nil {
		program = "PROGRAM"
	}
	return fmt.Sprintf("%v: capturing needs CAP_NET_RAW: run as root, or once: setcap cap_net_raw+ep %s", e.Err, program)
}

// Unwrap returns Err.
func (e *RightsError) Unwrap() error { return e.Err }

// sensor is what a Run shares.
type sensor struct {
	Deps
	config  Config
	host    string
	metrics *metrics
	// own is links.MACs of the host, for the readers of its interfaces.
	own atomic.Pointer[map[schemas.MAC]struct{}]
}

// Run captures until ctx is done, which is no error, or reads the capture files
// to their end, and then waits until the publisher has stored everything: as
// long as it takes for files, for at most a second when ctx is done.
//
// It waits for configured interfaces that do not exist and follows those that
// come, go and change. Without the right to capture the error is a *RightsError.
//
// The interfaces are those of the network namespace of the thread that Run is
// called on; a caller in a namespace that is not the process's has to lock the
// thread (runtime.LockOSThread).
func Run(ctx context.Context, c Config, d Deps) error {
	if err := c.Validate(); err != nil {
		return err
	}
	host, err := c.host()
	if err != nil {
		return err
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Connected == nil {
		d.Connected = func() bool { return true }
	}
	if d.Health == nil {
		d.Health = func(error) {}
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	m, err := newMetrics(d.Registry)
	if err != nil {
		return err
	}
	s := &sensor{Deps: d, config: c, host: host, metrics: m}
	if len(c.ReadFiles) > 0 {
		return s.readFiles(ctx)
	}
	return s.captureInterfaces(ctx)
}

// rights returns an error for lacking the right to capture as *RightsError.
func rights(err error) error {
	if errors.Is(err, unix.EPERM) {
		return &RightsError{Err: err}
	}
	return err
}

// flush ends a Run that captured interfaces.
func (s *sensor) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := s.Publisher.Flush(ctx); err != nil {
		return fmt.Errorf("store the last events: %w", err)
	}
	return nil
}

func (s *sensor) captureInterfaces(ctx context.Context) error {
	if err := capture.CheckRights(); err != nil {
		return rights(err)
	}
	sel, err := newSelection(s.config)
	if err != nil {
		return err
	}
	f := newFollower(s, sel)
	err = f.follow(ctx)
	f.end()
	if err == nil {
		f.heartbeats.end() // behind the last event
	}
	return errors.Join(err, s.flush(ctx))
}
