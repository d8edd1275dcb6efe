package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/iface"
)

// pause is how long a change of the interfaces waits after the one before it. It bounds the cost of
// changes without end, such as addresses that the kernel makes in a flood of router advertisements.
const pause = 10 * time.Millisecond

// listSubject is the key of warnings about the list of interfaces; it is no name of an interface.
const listSubject = "/"

// follower keeps a tap on every selected interface.
type follower struct {
	*session
	selection selection
	losses    *losses
	heartbeat *heartbeat
	// taps is by the interface's index.
	taps     map[int]*tap
	failures chan failure

	// warned are the warnings of the last update by pattern or interface, so that each
	// is logged once; warning are those of this update.
	warned, warning map[string]string
	// waiting and waitingPorts log which patterns select no interface, the second those of masters
	// and proxies that the pinger of this process reports.
	waiting, waitingPorts iface.Waiting
	// withoutND are the selected interfaces that have no Ethernet frames, by index, as logged.
	withoutND map[int]bool
	// retry says that something failed that may succeed later without a change of the interfaces.
	retry bool
	// uncaptured is why an interface that exists is not captured.
	uncaptured error
	// bufferWarned says that a small receive buffer was logged.
	bufferWarned bool
}

func newFollower(s *session, sel selection) *follower {
	return &follower{
		session: s, selection: sel, losses: newLosses(s), heartbeat: newHeartbeat(s),
		taps: map[int]*tap{}, warned: map[string]string{}, failures: make(chan failure),
	}
}

func (f *follower) follow(ctx context.Context) error {
	notifications, stopWatch, err := iface.Watch(f.selection.byAddress(), f.Log)
	if err != nil {
		return err
	}
	defer stopWatch()
	// The first heartbeat precedes the first frame.
	due, stop := f.heartbeat.start()
	defer stop()
	if err := f.update(); err != nil {
		return err
	}
	if f.Started != nil {
		f.Started()
	}
	report := time.NewTicker(f.config.Report)
	defer report.Stop()
	changes := notifications
	resume := time.NewTimer(pause)
	defer resume.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changes:
			err = f.update()
			changes = nil
			resume.Reset(pause)
		case <-resume.C:
			changes = notifications
		case fail := <-f.failures:
			f.failed(fail)
		case <-due:
			f.heartbeat.beat()
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

// update opens and closes taps until they agree with the interfaces. It returns errors
// that do not pass; all others are logged.
func (f *follower) update() error {
	list, err := iface.List(&netlink.Handle{}, f.selection.byAddress())
	if err != nil {
		// The list may change too fast to be read, which passes. Meanwhile the taps stay
		// as they are.
		f.retry, f.warning = true, f.warned
		f.uncaptured = err
		f.Health(f.uncaptured)
		f.warn(listSubject, err.Error(), "interfaces cannot be followed now", "error", err)
		return nil
	}
	own, present := map[schemas.MAC]struct{}{}, map[int]*iface.Link{}
	for i := range list {
		l := &list[i]
		present[l.Index] = l
		if l.Ethernet() {
			own[l.MAC] = struct{}{}
		}
	}
	f.own.Store(&own)
	f.retry, f.warning, f.uncaptured = false, map[string]string{}, nil
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
	f.logUncaptured(list)
	f.warned = f.warning
	f.count()
	f.Health(f.uncaptured)
	return nil
}

// count notes which interfaces are captured.
func (f *follower) count() {
	f.metrics.interfaces.Set(float64(len(f.taps)))
	captured := []capturedInterface{}
	for _, t := range f.taps {
		captured = append(captured, capturedInterface{t.link.Name, &t.frames})
	}
	slices.SortFunc(captured, func(a, b capturedInterface) int { return strings.Compare(a.name, b.name) })
	f.captured.Store(&captured)
}

// logUncaptured logs which interfaces are waited for, and which will not be captured.
func (f *follower) logUncaptured(list []iface.Link) {
	ports, rest := slices.Concat(f.selection.masters, f.selection.proxies), f.selection.interfaces
	if f.PortsReported {
		f.waitingPorts.Log(f.Log, slog.LevelDebug, ports, list)
	} else {
		rest = slices.Concat(ports, rest)
	}
	f.waiting.Log(f.Log, slog.LevelWarn, rest, list)
	if f.selection.all() && len(f.taps) == 0 {
		const reason = "no Ethernet interface is up"
		f.warn(listSubject, reason, "waiting for interfaces", "reason", reason, "existing", iface.Names(list))
	}
	before := f.withoutND
	f.withoutND = map[int]bool{}
	for i := range list {
		if l := &list[i]; !l.Ethernet() && f.selection.matches(l) {
			f.withoutND[l.Index] = true
			if !before[l.Index] {
				f.Log.Info("interface has no Neighbor Discovery frames to capture", "interface", l.Name, "type", l.Type)
			}
		}
	}
}

// revise logs what has changed about a captured interface, and closes its tap if it can
// no longer be used. now is nil if the interface is gone.
func (f *follower) revise(t *tap, now *iface.Link) {
	was := t.link
	log := f.Log.With("interface", was.Name)
	if now == nil || !t.handle.Bound() {
		log.Info("interface is gone")
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
	if s := linkState(now); s != linkState(&was) {
		log.Info("interface is " + s)
	}
	t.link = *now
}

func linkState(l *iface.Link) string {
	switch {
	case !l.Up():
		return "down"
	case !l.Running():
		return "without carrier"
	default:
		return "up"
	}
}

// open captures an interface. It returns an error that prevents the capture of any
// interface; all others are logged.
func (f *follower) open(l iface.Link, m marks) error {
	t, err := f.openTap(l, m, f.failures)
	switch {
	case errors.Is(err, unix.EPERM):
		return rights(err)
	case errors.Is(err, unix.ENODEV):
		// It went away meanwhile, which will be notified.
		f.retry = true
		return nil
	case err != nil:
		f.retry = true
		f.uncaptured = fmt.Errorf("interface %s cannot be captured: %w", l.Name, err)
		f.warn(l.Name, err.Error(), "interface cannot be captured", "interface", l.Name, "error", err)
		return nil
	}
	f.taps[l.Index] = t
	f.Log.Info("capturing", "interface", l.Name, "state", linkState(&l), "ethernet", l.MAC,
		"master", m.master, "proxy", m.proxy, "promiscuous", f.config.Promiscuous)
	f.checkBuffer(t)
	return nil
}

// checkBuffer warns once if the kernel's receive buffer is smaller than the configured one.
func (f *follower) checkBuffer(t *tap) {
	if f.bufferWarned {
		return
	}
	size, err := t.handle.ReceiveBuffer()
	if err != nil || size >= f.config.ReceiveBuffer {
		return
	}
	f.bufferWarned = true
	f.Log.Warn("the receive buffer is smaller than SENSOR_RECEIVE_BUFFER: raise net.core.rmem_max or give CAP_NET_ADMIN",
		"bytes", size, "wanted", f.config.ReceiveBuffer)
}

func (f *follower) close(t *tap) {
	kernel, buffer, err := t.close()
	if err != nil {
		f.Log.Error("interface could not be closed properly", "interface", t.link.Name, "error", err)
	}
	f.losses.add(t.link.Name, t.marks, kernel, buffer)
	f.metrics.forget(t.link.Name)
	delete(f.taps, t.link.Index)
}

// failed closes a tap that has failed; it is opened again after the current period.
func (f *follower) failed(fail failure) {
	t, ok := f.taps[fail.index]
	if !ok {
		return
	}
	f.Log.Error("capture failed", "interface", t.link.Name, "error", fail.err)
	f.close(t)
	f.count()
	f.retry = true
	f.Health(fmt.Errorf("interface %s: capture failed: %w", t.link.Name, fail.err))
}

// report ends a period: it counts the frames that were lost in it, and publishes losses
// if NATS is connected.
func (f *follower) report() {
	for _, t := range f.taps {
		kernel, buffer, err := t.lost()
		if err != nil {
			f.Log.Error("lost frames could not be counted", "interface", t.link.Name, "error", err)
		}
		f.losses.add(t.link.Name, t.marks, kernel, buffer)
	}
	f.losses.since = f.Now().UTC()
	if f.Connected() {
		f.losses.publish()
	}
}

func (f *follower) end() {
	for _, t := range f.taps {
		f.close(t)
	}
	f.metrics.interfaces.Set(0)
	f.losses.publish()
}

// warn logs a warning about a subject unless the last update logged the same.
func (f *follower) warn(subject, what, message string, args ...any) {
	f.warning[subject] = what
	if f.warned[subject] == what {
		return
	}
	f.Log.Warn(message, args...)
}
