// Package history writes which station used which address, when and where: the stream ND_HISTORY has one message for each
// schemas.Binding, the newest. It does not wait for the server: what there is no room for is told again later.
package history

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// inFlight is large enough that the way to the server does not limit the rate.
	inFlight = 1024
	// buffer is for bindings that wait to be stored, in bytes with overhead: some 30,000.
	buffer = 16 << 20
)

// Writer stores bindings.
type Writer struct {
	*bus.Publisher
	written, postponed prometheus.Counter
}

// New returns a Writer and registers its counters. Its Run has to run for bindings to be stored.
func New(conn *bus.Conn, room func() error, log *slog.Logger, r prometheus.Registerer) (*Writer, error) {
	w := &Writer{
		Publisher: bus.NewPublisher(conn, bus.PublisherConfig{InFlight: inFlight, Buffer: buffer, AckTimeout: bus.DefaultAckTimeout, Ready: room}, log),
		written:   prometheus.NewCounter(prometheus.CounterOpts{Name: "nd_ruled_history_written_total", Help: "Bindings of stations to addresses that were written to the history, new ones and later times of known ones."}),
		postponed: prometheus.NewCounter(prometheus.CounterOpts{Name: "nd_ruled_history_postponed_total", Help: "Times that a binding was not written to the history because too many wait to be stored; it is tried again after at most a minute."}),
	}
	for _, c := range []prometheus.Collector{w.written, w.postponed} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register the counters of the history: %w", err)
		}
	}
	return w, nil
}

// lastStore is how long the last bindings may take to be stored.
const lastStore = time.Second

// Start has bindings stored until stop is called, which waits for the last ones.
func (w *Writer) Start(ctx context.Context) (stop func()) {
	ctx = context.WithoutCancel(ctx) // it outlives the reading of events
	running, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(running) // it ends with the context, or the connection
	}()
	return func() {
		last, done := context.WithTimeout(ctx, lastStore)
		defer done()
		w.Flush(last) // those that are not are told again by the next one, from the state
		cancel()
		<-ended
	}
}

// Write stores a binding, and reports false if there is no room. It does not wait.
func (w *Writer) Write(b *schemas.Binding) bool {
	ok := w.TryPublish(b.Subject(), "", b.AppendJSON(nil))
	if ok {
		w.written.Inc()
	} else {
		w.postponed.Inc()
	}
	return ok
}
