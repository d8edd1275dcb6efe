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

	"github.com/vishvananda/netlink"

	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/ndmon/ndmon/sensor/capture"
)

// Run captures until ctx is done, which is no error, or reads the capture files
// to their end. Then it waits until the publisher has stored everything: without
// a limit after files, for at most a second when ctx is done.
//
// It waits for configured interfaces that do not exist, and follows those that appear, disappear
// and change. Without the right to capture the error wraps unix.EPERM.
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
	if d.Now == nil {
		d.Now = time.Now
	}
	m, err := newMetrics(d.Registry)
	if err != nil {
		return err
	}
	s := &session{Deps: d, config: c, host: host, metrics: m}
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

// Missing returns which of the configured patterns select no interface that can be
// captured, as they are written in the configuration, and the names of the interfaces
// that can be captured. It is for programs that exit instead of waiting, as Run does.
func Missing(c Config) (missing, existing []string, err error) {
	s, err := c.selection()
	if err != nil {
		return nil, nil, err
	}
	list, err := iface.List(&netlink.Handle{}, s.byAddress())
	if err != nil {
		return nil, nil, err
	}
	for _, p := range s.patterns() {
		if unmatched(p, list) != "" {
			missing = append(missing, p.String())
		}
	}
	for i := range list {
		if list[i].Ethernet() {
			existing = append(existing, list[i].Name)
		}
	}
	return missing, existing, nil
}
