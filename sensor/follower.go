//go:build linux

package sensor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ndmon/ndmon/sensor/internal/links"
)

// pause is how long a change of the interfaces waits after the one before it.
// It bounds what changes without end, such as addresses made by a flood of
// router advertisements, can cost.
const pause = 10 * time.Millisecond

// follower keeps a tap on every selected interface.
type follower struct {
	*sensor
	selection  selection
	losses     *losses
	heartbeats *heartbeats
	// taps is by the interface's index.
	taps     map[int]*tap
	failures chan failure

	// told is what the last update had to say of a pattern or interface that
	// cannot be captured, so that it is said once; telling is for this update.
	// Its key "/", no name, stands for the list of interfaces itself.
	told, telling map[string]string
	// retry says that something failed that may succeed later without a change
	// of the interfaces.
	retry bool
	// ill is why an interface that exists is not captured.
	ill error
	// warned says that the log tells of a small receive buffer.
	warned bool
}

func newFollower(s *sensor, sel selection) *follower {
	return &follower{
		sensor: s, selection: sel, losses: newLosses(s), heartbeats: newHeartbeats(s),
		taps: map[int]*tap{}, told: map[string]string{}, failures: make(chan failure),
	}
}

// follow captures until ctx is done.
func (f *follower) follow(ctx context.Context) error {
	watcher, err := links.Watch(f.selection.byAddress())
	if err != nil {
		return err
	}
	defer watcher.Close()
	// The first heartbeat comes before the first frame.
	heartbeat, stop := f.heartbeats.start()
	defer stop()
	if err := f.update(); err != nil {
		return err
	}
	if f.Started != nil {
		f.Started()
	}
	report := time.NewTicker(f.config.Report)
	defer report.Stop()
	changes := watcher.C
	resume := time.NewTimer(pause)
	defer resume.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-changes:
			if !ok {
				return watcher.Err()
			}
			err = f.update()
			changes = nil
			resume.Reset(pause)
		case <-resume.C:
			changes = watcher.C
		case fail := <-f.failures:
			f.failed(fail)
		case <-heartbeat:
			f.heartbeats.beat()
		case <-report.C:
			f.report()
			if f.retry {
				err = f.update()
			}
		}
		if err != nil {
			return err
		}
	}
}

// update brings the taps in line with the interfaces. The error is for what does
// not pass.
func (f *follower) update() error {
	list, err := links.List(f.selection.byAddress())
	if err != nil {
		// The list may change too fast to be read, which passes. What is captured
		// stays so meanwhile.
		f.retry, f.telling = true, f.told
		f.ill = err
		f.Health(f.ill)
		f.tell("/", err.Error(), "interfaces cannot be followed now", "error", err)
		return nil
	}
	own := links.MACs(list)
	f.own.Store(&own)
	f.retry, f.telling, f.ill = false, map[string]string{}, nil
	present := make(map[int]*links.Link, len(list))
	for i := range list {
		present[list[i].Index] = &list[i]
	}
	for index, t := range f.taps {
		f.revise(t, present[index])
	}
	for i := range list {
		l := &list[i]
		if _, open := f.taps[l.Index]; open {
			continue
		}
		if selected, m := f.selection.selects(l, false); selected {
			if err := f.open(*l, m); err != nil {
				return err
			}
		}
	}
	for _, p := range f.selection.patterns() {
		if reason := p.unmatched(list); reason != "" {
			f.tell(p.text, reason, "waiting for interface", "wanted", p.text, "reason", reason)
		}
	}
	if f.selection.all() && len(f.taps) == 0 {
		const reason = "no Ethernet interface is up"
		f.tell("/", reason, "waiting for interface", "reason", reason)
	}
	f.told = f.telling
	f.metrics.interfaces.Set(float64(len(f.taps)))
	f.Health(f.ill)
	return nil
}

// revise logs what has changed about a captured interface, now nil if it is
// gone, and closes the tap if it can stay no longer.
func (f *follower) revise(t *tap, now *links.Link) {
	was := t.link
	log := f.Log.With("interface", was.Name)
	if now == nil || !t.handle.Bound() {
		log.Warn("interface is gone")
		f.close(t)
		return
	}
	if now.Name != was.Name {
		log.Info("interface was renamed", "name", now.Name)
		f.close(t)
		return
	}
	selected, m := f.selection.selects(now, true)
	if !selected {
		log.Info("interface is no longer selected")
		f.close(t)
		return
	}
	if m != t.marks {
		log.Info("interface became a master or proxy or ceases to be one", "master", m.master, "proxy", m.proxy)
		f.close(t)
		return
	}
	if now.MAC != was.MAC {
		log.Info("interface changed its Ethernet address", "from", was.MAC, "to", now.MAC)
	}
	if s := state(now); s != state(&was) {
		log.Info("interface is " + s)
	}
	t.link = *now
}

// state says in words whether the interface passes frames.
func state(l *links.Link) string {
	switch {
	case !l.Up:
		return "down"
	case !l.Running:
		return "without carrier"
	default:
		return "up"
	}
}

// open captures an interface. The error is for what no interface can overcome;
// all else is logged.
func (f *follower) open(l links.Link, m marks) error {
	t, err := f.openTap(l, m, f.failures)
	switch {
	case errors.Is(err, unix.EPERM):
		return rights(err)
	case errors.Is(err, unix.ENODEV):
		// It went away meanwhile, which will be told.
		f.retry = true
		return nil
	case err != nil:
		f.retry = true
		f.ill = fmt.Errorf("interface %s cannot be captured: %w", l.Name, err)
		f.tell(l.Name, err.Error(), "interface cannot be captured", "interface", l.Name, "error", err)
		return nil
	}
	f.taps[l.Index] = t
	f.Log.Info("capturing", "interface", l.Name, "state", state(&l), "ethernet", l.MAC,
		"master", m.master, "proxy", m.proxy, "promiscuous", f.config.Promiscuous)
	f.checkBuffer(t)
	return nil
}

// checkBuffer warns once if the kernel gave a smaller receive buffer than it was
// asked for.
func (f *follower) checkBuffer(t *tap) {
	if f.warned {
		return
	}
	size, err := t.handle.ReceiveBuffer()
	if err != nil || size >= f.config.ReceiveBuffer {
		return
	}
	f.warned = true
	f.Log.Warn("the receive buffer is smaller than SENSOR_RECEIVE_BUFFER: raise net.core.rmem_max or give CAP_NET_ADMIN",
		"bytes", size, "wanted", f.config.ReceiveBuffer)
}

// close ends the capture of an interface.
func (f *follower) close(t *tap) {
	kernel, buffer, err := t.close()
	if err != nil {
		f.Log.Error("interface could not be closed properly", "interface", t.link.Name, "error", err)
	}
	f.losses.add(t.link.Name, t.marks, kernel, buffer)
	f.metrics.forget(t.link.Name)
	delete(f.taps, t.link.Index)
}

// failed closes a tap that has failed; it is opened again in the next period.
func (f *follower) failed(fail failure) {
	t, ok := f.taps[fail.index]
	if !ok {
		return
	}
	f.Log.Error("capture failed", "interface", t.link.Name, "error", fail.err)
	f.close(t)
	f.metrics.interfaces.Set(float64(len(f.taps)))
	f.retry = true
	f.Health(fmt.Errorf("interface %s: capture failed: %w", t.link.Name, fail.err))
}

// report ends a period: it counts what was lost in it and tells it if it can.
func (f *follower) report() {
	for _, t := range f.taps {
		kernel, buffer, err := t.lost()
		if err != nil {
			f.Log.Error("lost frames could not be counted", "interface", t.link.Name, "error", err)
		}
		f.losses.add(t.link.Name, t.marks, kernel, buffer)
	}
	f.losses.period()
	if f.Connected() {
		f.losses.tell()
	}
}

// end closes all taps and tells the last losses.
func (f *follower) end() {
	for _, t := range f.taps {
		f.close(t)
	}
	f.metrics.interfaces.Set(0)
	f.losses.tell()
}

// tell warns of something about a subject unless the last update did.
func (f *follower) tell(subject, what, message string, args ...any) {
	f.telling[subject] = what
	if f.told[subject] == what {
		return
	}
	f.Log.Warn(message, args...)
}
