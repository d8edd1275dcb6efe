package ndmon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/pinger"
	"github.com/ndmon/ndmon/ruled"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/ndmon/ndmon/sensor"
	"github.com/prometheus/client_golang/prometheus"
)

// Deps is what ndmon works with.
type Deps struct {
	Log      *slog.Logger
	Registry prometheus.Registerer
	// Alerts is where the alerts are written, in colour if Colour is set, or the
	// configuration that was learned.
	Alerts io.Writer
	Colour bool
	// Hangup, if set, has the rules read again.
	Hangup <-chan os.Signal
	// Health, if set, is told how the parts are.
	Health *process.Health
	// Started, if set, is called once the interfaces are captured.
	Started func()
	// Memory is how many bytes of memory the process may take, 0 for any number.
	Memory int64
}

// How long the parts get to finish when ndmon is told to stop: together less
// than two seconds.
const (
	lastEvents = 400 * time.Millisecond
	lastDrain  = 200 * time.Millisecond
	// copyWait is for the copy of the alerts at the start.
	copyWait = time.Second
	// connectWait is for a server given with --nats.
	connectWait = 10 * time.Second
)

// Bounds of the streams of the embedded server: the events are in memory, so
// that a router's flash does not wear, and the stream ends with its only writer.
const (
	eventsAge   = time.Hour
	alertsBytes = 256 << 20
	alertsAge   = 30 * 24 * time.Hour
)

// Run works until the context ends, or until the capture files are read and all
// their alerts are written. A process.UsageError is an error of the command
// line.
func Run(ctx context.Context, cfg Config, d Deps) error {
	if d.Health == nil {
		d.Health = new(process.Health)
	}
	p := &parts{cfg: cfg, deps: d}
	err := p.work(ctx)
	if err == nil && p.watching != nil {
		p.watching.end()
	}
	p.stop()
	if err == nil && cfg.Learn > 0 {
		err = p.writeLearned()
	}
	return err
}

// writeLearned writes the configuration that was learned, or says why there is
// none.
func (p *parts) writeLearned() error {
	from := "listen on all Ethernet interfaces"
	switch {
	case len(p.cfg.Files) > 0:
		from = "read " + strings.Join(p.cfg.Files, ", ")
		p.learned.Took = 0 // that was to read, not to listen
	case len(p.cfg.Interfaces) > 0:
		from = "listen on " + strings.Join(p.cfg.Interfaces, ", ")
	}
	if err := p.learned.WriteRouters(p.deps.Alerts); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return nil
}

func (p *parts) work(ctx context.Context) error {
	cfg, d := p.cfg, p.deps
	reading := len(cfg.Files) > 0
	if !reading {
		if err := checkInterfaces(cfg); err != nil {
			return process.UsageError{Err: err}
		}
	}
	if err := p.start(ctx); ctx.Err() != nil {
		return nil // told to stop while it began
	} else if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		if err := p.finish(context.WithoutCancel(ctx), lastEvents); err != nil {
			d.Log.Warn("stopping before everything has come through", "error", err)
		}
		return nil
	case err := <-p.output.failed:
		return err
	case err := <-p.ended:
		if reading {
			// What could be read of the files has all the time it needs to come
			// through.
			err = errors.Join(err, p.finish(ctx, time.Hour))
		}
		return err
	}
}

// checkInterfaces finds interfaces that do not exist. The daemons wait for them;
// somebody at a terminal has mistyped.
func checkInterfaces(cfg Config) error {
	for _, list := range []struct {
		option string
		names  []string
	}{{"master", cfg.Masters}, {"slaves", cfg.Slaves}, {"interfaces", cfg.Interfaces}} {
		missing, existing, err := sensor.Missing(sensor.Config{Interfaces: list.names})
		if err != nil {
			return fmt.Errorf("--%s: %s", list.option, strings.TrimPrefix(err.Error(), "SENSOR_INTERFACES: "))
		}
		if len(missing) > 0 {
			return fmt.Errorf("--%s: there is no interface %s; there are: %s", list.option, strings.Join(missing, ", "), strings.Join(existing, ", "))
		}
	}
	return nil
}

// parts are the running parts of ndmon.
type parts struct {
	cfg    Config
	deps   Deps
	server *natsServer
	conns  []*bus.Conn
	// ended gets the error of the first part that ends.
	ended    chan error
	running  []*part // in the order in which they were started
	sensor   *part
	noted    func() // ends the output's goOn
	output   *output
	ruled    *bus.Conn
	consumer string // ruled's, which reads the subject events
	events   string
	learned  ruled.Learned // when ruled has ended
	watching *watching
}

// part is one that can be stopped and waited for.
type part struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (p *part) stop() {
	p.cancel()
	<-p.done
}

// run starts a part. It outlives ctx: parts are stopped in their order.
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

func (p *parts) start(ctx context.Context) error {
	p.ended = make(chan error, 1)
	reading := len(p.cfg.Files) > 0
	url := p.cfg.NATS
	var inProcess nats.InProcessConnProvider
	if url == "" {
		var err error
		if p.server, err = startServer(p.cfg, limitsFor(p.deps.Memory), p.deps.Log); err != nil {
			return process.UsageError{Err: err}
		}
		url, inProcess = "nats://in-process", p.server
		if p.cfg.Listen != "" {
			p.deps.Log.Info("serving NATS", "url", p.server.ClientURL(), "directory", p.cfg.Data)
		}
	}
	rules, pings, capture, err := p.settings()
	if err != nil {
		return process.UsageError{Err: err}
	}
	// Ruled first: what reads comes before what writes.
	if p.ruled, err = p.connect("ruled", url, inProcess); err != nil {
		return process.UsageError{Err: err}
	}
	conn, err := p.connect("sensor", url, inProcess)
	if err != nil {
		return process.UsageError{Err: err}
	}
	solicitations, commands := &direct[schemas.Event]{}, &direct[schemas.Relay]{}
	p.consumer, p.events = rules.Consumer, rules.Events
	// What starts later is not well until then either.
	capturing := p.deps.Health.Part("capture")
	begun := make(chan struct{}, 1)
	var unread atomic.Pointer[error] // why events are not read
	events := p.deps.Health.Part("events")
	format := func(alert []byte) ([]byte, error) { return append(alert, '\n'), nil }
	if p.cfg.Output == "text" {
		format = textLine(p.deps.Colour)
	}
	p.output = newOutput(p.deps.Alerts, format, p.deps.Log)
	var room func() error
	if p.server != nil {
		room = p.server.room
	}
	p.run(ctx, func(ctx context.Context) error {
		return ruled.Run(ctx, rules, ruled.Deps{
			Log: p.deps.Log.With("part", "ruled"), Registry: p.deps.Registry, Conn: p.ruled, Bus: conn, Hangup: p.deps.Hangup,
			Solicitations: solicitations.listen,
			Command: func(command *schemas.Relay) {
				if command.Host == p.cfg.Host || command.Host == schemas.EveryHost {
					commands.give(command)
				}
			},
			Learned: func(l ruled.Learned) { p.learned = l },
			Alert:   p.output.write, Lossless: reading, Room: room,
			Check: func(part string, check func() error) {
				p.deps.Health.Check(part, check)
				if p.server != nil {
					reviver := newReviver(p.server, check, p.deps.Log)
					go reviver.run(ctx)
				}
			},
			Health: func(err error) {
				events(err)
				unread.Store(&err)
				if err == nil {
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			},
		})
	})
	wait, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	select {
	case <-begun:
	case err := <-p.ended:
		return err
	case <-wait.Done():
		if err := unread.Load(); err != nil && *err != nil && p.ruled.Connected() {
			return fmt.Errorf("tried to read events at %s for %v: %w", url, connectWait, *err)
		}
		return fmt.Errorf("the NATS server at %s does not answer within %v", url, connectWait)
	}
	if p.cfg.Listen != "" && p.server != nil && limitsFor(p.deps.Memory).copy {
		p.copied(ctx)
	}
	if p.server != nil && !reading {
		if p.noted, err = p.output.goOn(wait, p.ruled.JetStream(), filepath.Join(p.server.dir, "written")); err != nil {
			return err
		}
	}

	if len(p.cfg.Slaves) > 0 {
		health := p.deps.Health.Part("commands")
		p.run(ctx, func(ctx context.Context) error {
			return pinger.Run(ctx, pings, pinger.Deps{
				Log: p.deps.Log.With("part", "pinger"), Registry: p.deps.Registry, Bus: conn, Commands: commands.listen, Health: health,
			})
		})
	}

	publisher := bus.NewPublisher(conn, bus.PublisherConfig{
		InFlight: bus.DefaultInFlight, Buffer: capture.Buffer, AckTimeout: bus.DefaultAckTimeout,
	}, p.deps.Log.With("part", "sensor"))
	p.deps.Health.Check("publishing", publisher.Health)
	p.run(ctx, publisher.Run)
	var to sensor.Publisher = publisher
	if reading {
		to = &paced{Publisher: publisher, caughtUp: p.evaluated, most: int(limitsFor(p.deps.Memory).events / 4)}
	}
	p.watching = p.watch(ctx)
	p.sensor = p.run(ctx, func(ctx context.Context) error {
		return sensor.Run(ctx, capture, sensor.Deps{
			Log: p.deps.Log.With("part", "sensor"), Registry: p.deps.Registry, Publisher: to, Connected: conn.Connected,
			Solicited: solicitations.give, Before: p.watching.before, Health: capturing,
			Started: p.watching.started(p.deps.Started),
		})
	})
	return nil
}

// copied waits until those who read without a key can read what is stored, which takes
// the server a moment after its start.
func (p *parts) copied(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, copyWait)
	defer cancel()
	js := p.ruled.JetStream()
	last := func(js jetstream.JetStream) (uint64, error) {
		stream, err := js.Stream(ctx, schemas.StreamAlerts)
		if err != nil {
			return 0, err
		}
		return stream.CachedInfo().State.LastSeq, nil
	}
	readers, err := jetstream.NewWithAPIPrefix(js.Conn(), schemas.CopyAPI)
	if err == nil {
		err = until(ctx, func() (bool, error) {
			stored, err1 := last(js)
			copied, err2 := last(readers)
			return copied >= stored, errors.Join(err1, err2)
		})
	}
	if err != nil {
		p.deps.Log.Debug("the copy of the alerts for readers is behind", "error", err)
	}
}

// settings returns the parts' configurations. What the command line does not
// say, the daemons' variables may.
func (p *parts) settings() (rules ruled.Config, pings pinger.Config, capture sensor.Config, err error) {
	l := limitsFor(p.deps.Memory)
	err = errors.Join(process.Environment("RULED", &rules), process.Environment("PINGER", &pings), process.Environment("SENSOR", &capture))
	if p.cfg.Rules != "" {
		rules.Rules = p.cfg.Rules
	}
	if p.server != nil {
		rules.Consumer, rules.Events = "ndmon", schemas.SubjectEvents
		rules.StreamConfig = bus.StreamConfig{
			EventsInMemory: true, EventsBytes: l.events, EventsAge: eventsAge,
			AlertsBytes: alertsBytes, AlertsAge: alertsAge, NoExporter: p.cfg.Keys == "",
		}
	} else {
		// Other hosts' events are for who runs that server.
		host := schemas.EscapeToken(p.cfg.Host)
		rules.Consumer, rules.Events = "ndmon-"+host, "nd.events."+host+".>"
	}
	rules.Buffer = process.WithinMemory("RULED_BUFFER", rules.Buffer, l.buffer, 1<<20)
	rules.Neighbours = process.WithinMemory("RULED_NEIGHBOURS", rules.Neighbours, l.neighbours, 1000)
	capture.Buffer = process.WithinMemory("SENSOR_BUFFER", capture.Buffer, l.buffer, 1<<20)
	rules.LearnFor(p.cfg.Learn)
	if len(p.cfg.Files) > 0 {
		rules.StateInterval = 0 // what is known of a file's links ends with it
		if rules.Learn > 0 {
			rules.Learn = math.MaxInt64 // until its end
		}
	}
	pings.Host, pings.Masters, pings.Slaves = p.cfg.Host, p.cfg.Masters, p.cfg.Slaves
	pings.Route, pings.Proxy = pings.Route || p.cfg.Route, pings.Proxy || p.cfg.Proxy
	capture.Host, capture.ReadFiles = p.cfg.Host, p.cfg.Files
	capture.Interfaces, capture.Masters, capture.Proxies = p.cfg.Interfaces, p.cfg.Masters, nil
	if pings.Proxy {
		capture.Proxies = slices.Concat(p.cfg.Masters, p.cfg.Slaves)
	}
	return rules, pings, capture, err
}

// connect makes a connection for a part. The sensor's serves all that is not
// stored, and does not hear itself.
func (p *parts) connect(name, url string, inProcess nats.InProcessConnProvider) (*bus.Conn, error) {
	var cfg bus.Config
	if p.server != nil {
		cfg.NKey = p.server.seedFile
	} else if err := process.Environment("", &cfg); err != nil {
		return nil, err
	}
	cfg.URL = url
	conn, err := bus.Connect(cfg, bus.Options{
		Name: name, Log: p.deps.Log.With("part", name), Registry: p.deps.Registry, InProcess: inProcess, NoEcho: name == "sensor",
	})
	if err != nil {
		return nil, err
	}
	p.conns = append(p.conns, conn)
	p.deps.Health.Check("NATS ("+name+")", conn.Health)
	return conn, nil
}

// finish stops the sensor and lets what it has seen come through to the alerts.
func (p *parts) finish(ctx context.Context, events time.Duration) error {
	if len(p.running) == 0 || p.sensor == nil || !p.ruled.Connected() {
		return nil
	}
	p.sensor.stop()
	wait, cancel := context.WithTimeout(ctx, events)
	defer cancel()
	if err := p.evaluated(wait); err != nil {
		return fmt.Errorf("wait for the evaluation of the last events: %w", err)
	}
	return nil
}

// evaluated waits until ruled has evaluated all events that are stored now, and
// their alerts are stored. It asks for the last event itself: a server counts what
// is pending for a consumer a moment after it has acknowledged an event to its
// publisher.
func (p *parts) evaluated(ctx context.Context) error {
	stream, err := p.ruled.JetStream().Stream(ctx, schemas.StreamEvents)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", schemas.StreamEvents, err)
	}
	last, err := stream.GetLastMsgForSubject(ctx, p.events)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the last event: %w", err)
	}
	consumer, err := stream.Consumer(ctx, p.consumer)
	if err != nil {
		return fmt.Errorf("look up consumer %s: %w", p.consumer, err)
	}
	return until(ctx, func() (bool, error) {
		info, err := consumer.Info(ctx)
		if err != nil {
			return false, fmt.Errorf("look up consumer %s: %w", p.consumer, err)
		}
		return info.AckFloor.Stream >= last.Sequence, nil
	})
}

// stop stops everything, what reads after what writes.
func (p *parts) stop() {
	for i := len(p.running) - 1; i >= 0; i-- {
		p.running[i].stop()
	}
	if p.noted != nil {
		p.noted()
	}
	for _, conn := range p.conns {
		ctx, cancel := context.WithTimeout(context.Background(), lastDrain)
		if err := conn.Drain(ctx); err != nil {
			p.deps.Log.Debug("ending a connection", "error", err)
		}
		cancel()
	}
	if p.server != nil {
		p.server.stop()
	}
}
