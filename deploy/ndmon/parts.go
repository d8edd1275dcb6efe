package ndmon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/deploy/reading"
	"github.com/ndmon/ndmon/deploy/uplink"
	"github.com/ndmon/ndmon/ruled"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/presence"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
)

// Deps are the dependencies of Run.
type Deps struct {
	Log      *slog.Logger
	Registry prometheus.Registerer
	// Alerts receives the alerts, in the format Text if Config.Output says so, or the configuration that
	// was learned.
	Alerts io.Writer
	Text   alerts.Text
	// Report, if set, counts what is read of capture files.
	Report *reading.Report
	// Hangup, if set, makes ruled read its rules again.
	Hangup <-chan os.Signal
	// Health, if set, receives the health of the parts.
	Health *process.Health
	// Started, if set, is called once the interfaces are captured.
	Started func()
	// Memory is the number of bytes of memory that the process may use, 0 for no limit.
	Memory int64
}

// lastDrain is the time for the last messages of the connection.
const lastDrain = 200 * time.Millisecond

// parts are the running parts of ndmon.
type parts struct {
	cfg    Config
	deps   Deps
	limits limits
	edge   *uplink.Hub // nil without Config.Hub
	server *natsServer // nil with Config.NATS, and for capture files that are only read
	bus    *listened   // nil if there is no NATS server
	// events and commands pass between the parts without NATS.
	events   direct[schemas.Event]
	commands direct[schemas.Relay]
	command  []byte // memory for relay
	// ended receives the error of the first part that ends.
	ended    chan error
	running  []*part // in the order of their starts
	sensor   *part
	describe func(func(*schemas.DaemonStatus)) // nil without a NATS server
	output   *alerts.Output
	resumed  func()        // ends output.Resume
	learned  ruled.Learned // after ruled has ended
	watching *watching
	keeper   *part // updates the file of watching, nil if there is none
}

// reading reports whether capture files are read instead of interfaces.
func (p *parts) reading() bool { return len(p.cfg.Files) > 0 }

// part is a running part.
type part struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// stop stops the part and waits for its end.
func (p *part) stop() {
	p.cancel()
	<-p.done
}

// run starts a part. It outlives ctx, because the parts are stopped in an order.
func (p *parts) run(ctx context.Context, f func(context.Context) error) *part {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t := &part{cancel, make(chan struct{})}
	p.running = append(p.running, t)
	go func() {
		defer close(t.done)
		err := f(ctx)
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		select {
		case p.ended <- err:
		default:
		}
	}()
	return t
}

// connect makes the connection of all parts to the NATS server, if there is one.
func (p *parts) connect() error {
	var cfg bus.Config
	options := bus.Options{Name: "ndmon", Log: p.deps.Log, Registry: p.deps.Registry, NoEcho: true}
	l := &listened{}
	switch {
	case p.server != nil:
		cfg.URL, cfg.NKey, options.InProcess = "nats://in-process", p.server.seedFile, p.server
		l.account = p.server.account
		if p.edge != nil {
			options.Inboxes = p.edge.Inboxes
		}
	case p.cfg.NATS != "":
		if err := process.Environment("", &cfg); err != nil {
			return err
		}
		cfg.URL = p.cfg.NATS
	default:
		return nil
	}
	var err error
	if l.Conn, err = bus.Connect(cfg, options); err != nil {
		return err
	}
	p.bus = l
	p.deps.Health.Check("NATS", l.Health)
	service, err := presence.Serve(l.Conn, schemas.ServiceNdmon, p.cfg.Host, p.deps.Health)
	if err == nil {
		p.describe = service.Describe
	}
	return err
}

// conn returns the connection, nil if there is no NATS server.
func (p *parts) conn() *bus.Conn {
	if p.bus == nil {
		return nil
	}
	return p.bus.Conn
}

// stop stops all parts, subscribers after publishers.
func (p *parts) stop() {
	for i := len(p.running) - 1; i >= 0; i-- {
		p.running[i].stop()
	}
	if p.resumed != nil {
		p.resumed()
	}
	if p.bus != nil {
		ctx, cancel := context.WithTimeout(context.Background(), lastDrain)
		defer cancel()
		if err := p.bus.Drain(ctx); err != nil {
			p.deps.Log.Debug("ending the connection", "error", err)
		}
	}
	if p.server != nil {
		p.server.stop()
	}
}

// direct passes messages from one part of this process to another, as Go values in the
// sender's goroutine. Over the NATS server, with encoding and decoding, a message takes
// longer than all the rest of its way. The parts share a NATS connection that does not
// receive its own messages, so that none arrives twice.
type direct[T any] struct {
	mu      sync.RWMutex
	receive func(*T)
}

// subscribe calls receive with each message until stop is called, which waits for the last
// call to end. Receive must not keep the message.
func (d *direct[T]) subscribe(receive func(*T)) (stop func()) {
	d.set(receive)
	return func() { d.set(nil) }
}

func (d *direct[T]) set(receive func(*T)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.receive = receive
}

// send passes a message to the subscriber, if there is one.
func (d *direct[T]) send(message *T) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.receive != nil {
		d.receive(message)
	}
}
