// Package sensor captures Neighbor Discovery on a host's interfaces, or reads it from
// capture files, and publishes each frame as an event. The events of an interface are
// published in the order of their times. It needs Linux.
//
// A frame passes through the packages filter (in the kernel), capture or capfile, and
// decode. This package selects the interfaces, follows their changes, and publishes
// events, lost frames and heartbeats; what an event means is for ruled to say.
package sensor

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ndmon/ndmon/sensor/capture"
)

// Run captures until ctx is done, which is no error, or reads the capture files
// to their end. Then it waits until the publisher has stored everything: without
// a limit after files, for at most a second when ctx is done.
//
// It waits for configured interfaces that do not exist, and follows those that appear, disappear
// and change. Without the right to capture the error is a
// process.UsageError that wraps unix.EPERM.
//
// The interfaces are those of the network namespace of the calling thread; a caller in a namespace
// that is not the process's has to lock the thread (runtime.LockOSThread).
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
	if d.Reading == nil {
		d.Reading = new(Reading)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	m, err := newMetrics(d.Registry)
	if err != nil {
		return err
	}
	s := &session{Deps: d, config: c, host: host, metrics: m}
	if d.Status != nil {
		d.Status(s.describe)
	}
	if len(c.ReadFiles) > 0 {
		return s.readFiles(ctx)
	}
	return s.captureInterfaces(ctx)
}

func (s *session) captureInterfaces(ctx context.Context) error {
	if err := capture.CheckRights(); err != nil {
		return rights(err)
	}
	sel, err := s.config.selection()
	if err != nil {
		return err
	}
	f := newFollower(s, sel)
	err = f.follow(ctx)
	f.end()
	if err == nil {
		f.heartbeat.end() // after the last event
	}
	return errors.Join(err, s.flush(ctx))
}
