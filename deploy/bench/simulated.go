package bench

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/wire"
	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/sensor/capfile"
	"github.com/ndmon/ndmon/sensor/decode"
)

// simulated is a host whose sensor captures the frames of the corpus.
type simulated struct {
	*thinFleet
	name          string
	publisher     *bus.Publisher
	decoder       decode.Decoder
	begun, beaten time.Time
	batch         []byte
	id            int
	// events counts those that were published but for heartbeats, numbered those that alert.
	events, numbered atomic.Int64
}

const (
	// burst is the number of frames that a sensor finds waiting, and stores as one batch.
	burst = 4
	// joining is the rate of bursts at which hosts join.
	joining   = 1000
	heartbeat = 10 * time.Second
	capturing = "eth0"
)

// captured returns the first frames of the captures of Linux hosts and radvd in a folder.
func captured(folder string) (frames [][]byte, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "[lr]*.pcap"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s has no captures", folder)
	}
	var d decode.Decoder
	for _, file := range files {
		for p, err := range capfile.ReadFile(file) {
			if err != nil {
				return nil, err
			}
			if _, ok := d.Decode(p.Data, p.Length); ok && len(p.Data) == p.Length {
				frames = append(frames, slices.Clone(p.Data))
				break
			}
		}
	}
	return frames, err
}

// join connects the hosts that are not, up to a number, each with the key of its sensor, and has
// these send a number of bursts together.
func (f *thinFleet) join(hosts, bursts int) {
	f.Helper()
	for _, h := range f.hosts[:hosts] {
		if h.publisher == nil {
			h.begun = time.Now().UTC()
			h.publish(f.connect(f.key(keys.Sensor, "-"+h.name)))
		}
	}
	joined := *f
	joined.hosts = f.hosts[:hosts]
	before, sent := f.counts(), f.sent()
	joined.turns(f.ctx, joining, time.Duration(bursts)*time.Second/joining, (*simulated).capture)
	f.eventually("the first events are evaluated", func() bool { return f.counts().minus(before).evaluated >= float64(f.sent()-sent) })
}

// publish gives the host a publisher like that of a sensor.
func (h *simulated) publish(conn *bus.Conn) {
	cfg := bus.PublisherConfig{InFlight: bus.DefaultInFlight, Buffer: 64 << 20, AckTimeout: bus.DefaultAckTimeout}
	h.publisher = bus.NewPublisher(conn, cfg, slog.New(slog.DiscardHandler))
	h.background(h.publisher.Run)
}

// background runs what a host does until the scenario ends.
func (f *thinFleet) background(run func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	f.Cleanup(stop)
	go run(ctx) // it ends with the context
}

// turns has the hosts send in turn, at a rate of all together, until the time is over or the
// context ends.
func (f *thinFleet) turns(ctx context.Context, rate int, d time.Duration, send func(*simulated)) (flood wire.Flood) {
	flood.Begin = time.Now()
	ticker := time.NewTicker(wire.Tick)
	defer ticker.Stop()
	for total := int(float64(rate) * d.Seconds()); flood.Frames < total && ctx.Err() == nil; <-ticker.C {
		for due := min(total, int(time.Since(flood.Begin).Seconds()*float64(rate))+1); flood.Frames < due; flood.Frames++ {
			h := f.hosts[flood.Frames%len(f.hosts)]
			send(h)
		}
	}
	flood.End = time.Now()
	return flood
}

// during is turns in the background until end is called.
func (f *thinFleet) during(rate int, send func(*simulated)) (end func()) {
	ctx, cancel := context.WithCancel(f.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.turns(ctx, rate, 24*time.Hour, send)
	}()
	end = func() {
		cancel()
		<-done
	}
	f.Cleanup(end)
	return end
}

// sent returns how many events the hosts have published.
func (f *thinFleet) sent() (events int64) {
	for _, h := range f.hosts {
		events += h.events.Load()
	}
	return events
}

// beat publishes a heartbeat if it is due.
func (h *simulated) beat() {
	if now := time.Now(); now.Sub(h.beaten) >= heartbeat {
		h.beaten = now
		h.add(&schemas.Event{Sensor: &schemas.Heartbeat{Started: h.begun, Interval: uint32(heartbeat.Seconds())}}, "")
		h.store("")
	}
}

// capture publishes the next frames.
func (h *simulated) capture() {
	h.beat()
	for range burst {
		h.take(h.frames[int(h.events.Load())%len(h.frames)])
	}
	h.store(capturing)
}

// number publishes a frame that alerts, with the next number.
func (h *simulated) number() {
	h.beat()
	frame := wire.NewRequest()
	frame.Set(alertTargets, uint32(h.numbered.Load()))
	h.take(frame[:])
	h.store(capturing)
	h.numbered.Add(1)
}

func (h *simulated) take(frame []byte) {
	if e, ok := h.decoder.Decode(frame, len(frame)); ok {
		h.add(e, capturing)
		h.events.Add(1)
	}
}

// add adds an event to the batch.
func (h *simulated) add(e *schemas.Event, iface string) {
	h.id++
	e.Type, e.ID, e.Time = schemas.TypeEvent, fmt.Sprint(h.name, "-", h.id), time.Now().UTC()
	e.Host, e.Interface, e.Direction = h.name, iface, schemas.In
	if len(h.batch) > 0 {
		h.batch = append(h.batch, '\n')
	}
	h.batch = e.AppendJSON(h.batch)
}

// store publishes the batch. Its events are lost if the buffer is full.
func (h *simulated) store(iface string) {
	h.publisher.TryPublish(schemas.BatchSubject(h.name, iface), "", h.batch)
	h.batch = h.batch[:0]
}
