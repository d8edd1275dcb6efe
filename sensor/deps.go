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
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/ndmon/ndmon/sensor/capfile"
)

// Publisher stores messages. The data may be reused when a method returns.
type Publisher interface {
	// TryPublish queues a message, or returns false if the queue is full.
	TryPublish(subject, msgID string, data []byte) bool
	// Publish queues a message as soon as the queue has space.
	Publish(ctx context.Context, subject, msgID string, data []byte) error
	// Flush waits until all messages are stored.
	Flush(ctx context.Context) error
}

// Live publishes events for those who listen now.
type Live interface {
	// Listened reports whether a message on the subject may reach a subscriber.
	Listened(subject string) bool
	// Publish sends a message once, without waiting. It keeps no reference to data.
	Publish(subject string, data []byte) error
}

// Deps are the dependencies of Run. Events go to Judge, Live and Publisher, as far as these are set.
type Deps struct {
	// Log is nil for no log.
	Log *slog.Logger
	// Registry gets the sensor's metrics, nil for none. It serves one Run.
	Registry prometheus.Registerer
	// Judge is called with each event, in the order of the interface. Several interfaces
	// call it concurrently. It must not keep the event.
	Judge func(*schemas.Event)
	// Live gets each event on a subject of its own.
	Live Live
	// Publisher stores the events of an interface in batches: those that were waiting to be read
	// when the sensor read the first, one event a message if no other was.
	Publisher Publisher
	// Connected reports whether the publisher is connected to NATS; nil stands for
	// always. Lost frames are published while it is.
	Connected func() bool
	// Before is the last time at which an earlier sensor of this host is known to have
	// captured, if that sensor ended without notice; otherwise zero.
	Before time.Time
	// Started, if set, is called once the selected interfaces that exist are captured.
	Started func()
	// Health, if set, is called with nil while every selected interface that exists is
	// captured, and otherwise with the reason why one is not.
	Health func(error)
	// Status, if set, gets a function that says in a status what is captured.
	Status func(describe func(*schemas.DaemonStatus))
	// PortsReported says that the pinger of this process reports masters and proxies that do not
	// exist; the sensor logs them at level debug then.
	PortsReported bool
	// Reading, if set, gets the progress of reading capture files, and what could not be read.
	Reading *Reading
	// Now is the clock, nil for time.Now. Frames have the kernel's time stamps.
	Now func() time.Time
}

// Reading is how far capture files are read. The counters may be read at any time.
type Reading struct {
	// Bytes are those of the files, which may be compressed. Packets are those in them, and Frames those that are Neighbor Discovery.
	Bytes, Packets, Frames atomic.Int64
	// Skipped is complete when Run has returned, and must not be read before.
	Skipped []SkippedIn
}

// SkippedIn counts packets of a file that cannot be read.
type SkippedIn struct {
	File string
	capfile.Skipped
}

// rights makes an error of a missing capability a process.UsageError that says how to get it.
func rights(err error) error {
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	program, unknown := os.Executable()
	if unknown != nil {
		program = "PROGRAM"
	}
	return process.UsageError{Err: fmt.Errorf("%w: capturing needs CAP_NET_RAW: run as root, or once: setcap cap_net_raw+ep %s", err, program)}
}

// session is shared by the parts of one Run.
type session struct {
	Deps
	config  Config
	host    string
	metrics *metrics
	// own are the Ethernet addresses of the host, for the goroutines that read its interfaces.
	own atomic.Pointer[map[schemas.MAC]struct{}]
	state
}

// state has the values of a sensor for the status of the process.
type state struct {
	captured atomic.Pointer[[]capturedInterface]
	newest   atomic.Int64 // time of the newest event, in nanoseconds since 1970, 0 before the first
	lost     atomic.Uint64
	lastLost atomic.Pointer[time.Time]
}

// capturedInterface is an interface that is captured, and the counter of its frames.
type capturedInterface struct {
	name   string
	frames *atomic.Uint64
}

func (s *state) describe(to *schemas.DaemonStatus) {
	if captured := s.captured.Load(); captured != nil {
		for _, c := range *captured {
			to.Interfaces = append(to.Interfaces, c.name)
			to.Frames = append(to.Frames, schemas.InterfaceFrames{Interface: c.name, Frames: c.frames.Load()})
		}
	}
	if newest := s.newest.Load(); newest != 0 {
		to.Newest = new(time.Unix(0, newest).UTC())
	}
	to.Lost, to.LastLost = s.lost.Load(), s.lastLost.Load()
}

// flushTimeout is how long Run waits at its end for NATS to store the last events.
const flushTimeout = time.Second

// flush ends a Run that ctx has ended.
func (s *session) flush(ctx context.Context) error {
	if s.Publisher == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := s.Publisher.Flush(ctx); err != nil {
		return fmt.Errorf("store the last events: %w", err)
	}
	return nil
}
