package sensor

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// lostOn matches the events of lost frames on an interface.
func lostOn(iface string) func(message) bool {
	return func(m message) bool { return m.event.Lost != nil && m.event.Interface == iface }
}

// nsFrame captures an NS of the host for the target and spoils its checksum, so
// that the kernel never sends the same.
func nsFrame(t *testing.T, r *running, host *lab.Namespace, target string) []byte {
	t.Helper()
	frame := bytes.Clone(r.solicited(t, host, "eth0", target).event.Frame)
	frame[len(frame)-1] ^= 1
	return frame
}

// copies counts the events of exactly that frame.
func (r *running) copies(frame []byte) int {
	return len(r.events(func(m message) bool { return string(m.event.Frame) == string(frame) }))
}

// Frames that find the queue full are counted and logged and, once there is space and a
// connection again, published as lost in one event for the whole gap.
func TestLostInBuffer(t *testing.T) {
	router, host := pair(t)
	var connected atomic.Bool
	var periods atomic.Int64
	began := time.Now()
	var describe func(*schemas.DaemonStatus)
	r := start(t, router, config("eth0"), func(d *Deps) {
		d.Connected = func() bool { periods.Add(1); return connected.Load() }
		d.Status = func(f func(*schemas.DaemonStatus)) { describe = f }
	})
	r.capturing(t, "eth0", 1)
	frame := nsFrame(t, r, host, "2001:db8::50")

	dropped := func() float64 { return r.metric(t, "nd_sensor_dropped_total", "reason", "buffer") }
	r.setFull(true)
	for _, n := range []int{5, 3} { // in two periods
		before := r.log.count("frames were lost", "interface=eth0")
		host.Send("eth0", slices.Repeat([][]byte{frame}, n)...)
		r.logs(t, before+1, "frames were lost", "interface=eth0")
	}
	lab.Eventually(t, "all are dropped", func() bool { return dropped() >= 8 })
	r.setFull(false)
	asked := periods.Load()
	lab.Eventually(t, "two more periods are over", func() bool { return periods.Load() >= asked+3 })
	if early := r.events(lostOn("eth0")); len(early) > 0 {
		t.Errorf("published while there was no connection: %+v", early)
	}
	connected.Store(true)
	m := r.sees(t, "the lost frames", lostOn("eth0"))
	var status schemas.DaemonStatus
	describe(&status)
	if !slices.Equal(status.Interfaces, []string{"eth0"}) || float64(status.Lost) != dropped() || status.LastLost.Before(began) || status.Newest.Before(began) {
		t.Errorf("status: %+v", status)
	}
	r.stop(t)

	e := m.event
	if m.subject != "nd.batches.r1.eth0" || e.Direction != schemas.In || e.Frame != nil || e.ND != nil {
		t.Errorf("%s %+v", m.subject, e)
	}
	// The kernel's own solicitations may be among the lost.
	if float64(e.Lost.Buffer) != dropped() || e.Lost.Buffer < 8 || e.Lost.Kernel != 0 {
		t.Errorf("published %d and %d lost frames, counted %v", e.Lost.Buffer, e.Lost.Kernel, dropped())
	}
	if e.Lost.Since.Before(began) || !e.Lost.Since.Before(e.Lost.Until) || !e.Time.Equal(e.Lost.Until) {
		t.Errorf("lost from %v until %v, published at %v", e.Lost.Since, e.Lost.Until, e.Time)
	}
	if n := r.copies(frame); n != 0 {
		t.Errorf("%d of the lost frames were published", n)
	}
	if n := len(r.events(lostOn("eth0"))); n != 1 {
		t.Errorf("published %d times", n)
	}
}

// Frames that the kernel drops because the sensor does not read are not lost silently:
// each frame is published or counted.
func TestLostInKernel(t *testing.T) {
	c := config("eth0")
	c.ReceiveBuffer = 16 << 10
	r, _, host := startPair(t, c)
	frame := nsFrame(t, r, host, "2001:db8::51")

	const sent = 500
	r.mu.Lock() // the reader waits in TryPublish
	host.Send("eth0", slices.Repeat([][]byte{frame}, sent)...)
	r.mu.Unlock()
	m := r.sees(t, "the lost frames", lostOn("eth0"))
	lab.Eventually(t, "every frame is published or counted", func() bool {
		return float64(r.copies(frame))+r.metric(t, "nd_sensor_dropped_total", "reason", "kernel") >= sent
	})
	r.stop(t)
	if m.event.Lost.Kernel == 0 || m.event.Lost.Buffer != 0 {
		t.Errorf("lost %+v", m.event.Lost)
	}
	sum := uint64(0)
	for _, m := range r.events(lostOn("eth0")) {
		sum += m.event.Lost.Kernel
	}
	if n := r.metric(t, "nd_sensor_dropped_total", "reason", "kernel"); n != float64(sum) {
		t.Errorf("published %d lost frames, counted %v", sum, n)
	}
	if r.log.count("frames were lost", "interface=eth0") == 0 {
		t.Error("nothing in the log")
	}
}

// Losses are published even if the interface is gone by then, or the sensor ends.
func TestLostAtEnd(t *testing.T) {
	for _, end := range []string{"interface", "sensor"} {
		t.Run(end, func(t *testing.T) {
			c := config("eth0")
			c.Report = 1000 * minReport // never
			r, router, host := startPair(t, c)
			frame := nsFrame(t, r, host, "2001:db8::52")
			r.setFull(true)
			host.Send("eth0", slices.Repeat([][]byte{frame}, 4)...)
			lab.Eventually(t, "the frames are dropped", func() bool { return r.metric(t, "nd_sensor_dropped_total") >= 4 })
			if end == "interface" {
				router.Delete("eth0")
				r.logs(t, 1, "interface is gone")
			}
			r.setFull(false)
			r.stop(t)
			if lost := r.events(lostOn("eth0")); len(lost) != 1 || lost[0].event.Lost.Buffer < 4 {
				t.Errorf("published %+v", lost)
			}
		})
	}
}

func TestWithoutRights(t *testing.T) {
	n := lab.New(t, "router")
	var err error
	n.Without(unix.CAP_NET_RAW, func() {
		err = Run(context.Background(), config("eth0"), Deps{Publisher: &recorder{}})
	})
	if !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("Run: %v", err)
	}
	for _, want := range []string{"operation not permitted", "CAP_NET_RAW", "root", "setcap cap_net_raw+ep /"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// Without CAP_NET_ADMIN the receive buffer may be smaller, which is logged once.
func TestSmallReceiveBuffer(t *testing.T) {
	n := lab.New(t, "router")
	n.Bridge("br0")
	n.Bridge("br1")
	c := config("br0", "br1")
	c.ReceiveBuffer = maxReceiveBuffer
	log := &logBook{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go n.Without(unix.CAP_NET_ADMIN, func() {
		done <- Run(ctx, c, Deps{Publisher: &recorder{}, Log: slog.New(slog.NewTextHandler(log, nil))})
	})
	lab.Eventually(t, "both are captured", func() bool { return log.count("msg=capturing") == 2 })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if n := log.count("receive buffer", "net.core.rmem_max", "wanted=1073741823"); n != 1 {
		t.Errorf("%d warnings of the receive buffer in\n%s", n, log)
	}
}
