package ndmon

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/pinger"
	"github.com/ndmon/ndmon/ruled"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/ndmon/ndmon/sensor"
)

// connectWait is the time for the NATS server to answer.
const connectWait = 10 * time.Second

// start starts the parts, subscribers before publishers: the NATS server, ruled, the
// pinger and the sensor.
func (p *parts) start(ctx context.Context) error {
	p.ended = make(chan error, 1)
	p.limits = limitsFor(p.deps.Memory)
	p.url = p.cfg.NATS
	if p.url == "" {
		var err error
		if p.server, err = startServer(p.cfg, p.limits, p.deps.Log); err != nil {
			return process.UsageError{Err: err}
		}
		p.url = "nats://in-process"
		if p.cfg.Listen != "" {
			p.deps.Log.Info("serving NATS", "url", p.server.ClientURL(), "directory", p.cfg.Data)
		}
	}
	rules, pings, capture, err := p.settings()
	if err != nil {
		return process.UsageError{Err: err}
	}
	if p.ruled, err = p.connect("ruled", false); err != nil {
		return process.UsageError{Err: err}
	}
	if p.shared, err = p.connect("sensor", true); err != nil {
		return process.UsageError{Err: err}
	}
	// Until the sensor starts, it is not healthy.
	capturing := p.deps.Health.Part("capture")
	wait, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	if err := p.startRuled(ctx, wait, rules); err != nil {
		return err
	}
	if p.cfg.Listen != "" && p.server != nil && p.limits.copy {
		p.copied(ctx)
	}
	if p.server != nil && !p.reading() {
		if p.resumed, err = p.output.Resume(wait, p.ruled.JetStream(), filepath.Join(p.server.dir, "written")); err != nil {
			return err
		}
	}
	if len(p.cfg.Slaves) > 0 {
		health := p.deps.Health.Part("commands")
		p.run(ctx, func(ctx context.Context) error {
			return pinger.Run(ctx, pings, pinger.Deps{
				Log: p.deps.Log.With("part", "pinger"), Registry: p.deps.Registry, Bus: p.shared, Commands: p.commands.subscribe, Health: health,
			})
		})
	}
	p.startSensor(ctx, capture, capturing)
	return nil
}

// startRuled starts ruled and waits until it reads events, or the context wait ends.
func (p *parts) startRuled(ctx, wait context.Context, rules ruled.Config) error {
	p.consumer, p.events = rules.Consumer, rules.Events
	format := func(alert []byte) ([]byte, error) { return append(alert, '\n'), nil }
	if p.cfg.Output == "text" {
		format = alerts.TextLine(p.deps.Colour)
	}
	p.output = alerts.NewOutput(p.deps.Alerts, format, p.deps.Log)
	begun := make(chan struct{}, 1)
	var fault atomic.Pointer[error] // why ruled does not read events
	events := p.deps.Health.Part("events")
	deps := ruled.Deps{
		Log: p.deps.Log.With("part", "ruled"), Registry: p.deps.Registry, Conn: p.ruled, Bus: p.shared, Hangup: p.deps.Hangup,
		Solicitations: p.solicitations.subscribe,
		Command: func(command *schemas.Relay) {
			if command.Host == p.cfg.Host || command.Host == schemas.EveryHost {
				p.commands.send(command)
			}
		},
		Learned: func(l ruled.Learned) { p.learned = l },
		Alert:   p.output.Write, Lossless: p.reading(),
		Health: func(err error) {
			events(err)
			fault.Store(&err)
			if err == nil {
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		},
	}
	if p.server != nil {
		deps.Room = p.server.room
	}
	p.run(ctx, func(ctx context.Context) error {
		deps.Check = func(part string, check func() error) {
			p.deps.Health.Check(part, check)
			if p.server != nil {
				go newReviver(p.server, check, p.deps.Log).run(ctx)
			}
		}
		return ruled.Run(ctx, rules, deps)
	})
	select {
	case <-begun:
		return nil
	case err := <-p.ended:
		return err
	case <-wait.Done():
	}
	if err := fault.Load(); err != nil && *err != nil && p.ruled.Connected() {
		return fmt.Errorf("tried to read events at %s for %v: %w", p.url, connectWait, *err)
	}
	return fmt.Errorf("the NATS server at %s does not answer within %v", p.url, connectWait)
}

// startSensor starts the sensor and its publisher.
func (p *parts) startSensor(ctx context.Context, capture sensor.Config, health func(error)) {
	publisher := bus.NewPublisher(p.shared, bus.PublisherConfig{
		InFlight: bus.DefaultInFlight, Buffer: capture.Buffer, AckTimeout: bus.DefaultAckTimeout,
	}, p.deps.Log.With("part", "sensor"))
	p.deps.Health.Check("publishing", publisher.Health)
	p.run(ctx, publisher.Run)
	var to sensor.Publisher = publisher
	if p.reading() {
		to = &paced{Publisher: publisher, evaluated: p.evaluated, most: int(p.limits.events / 4)}
	}
	p.watch(ctx)
	p.sensor = p.run(ctx, func(ctx context.Context) error {
		return sensor.Run(ctx, capture, sensor.Deps{
			Log: p.deps.Log.With("part", "sensor"), Registry: p.deps.Registry, Publisher: to, Connected: p.shared.Connected,
			Solicited: p.solicitations.send, Before: p.watching.before, Health: health,
			Started: p.watching.started(p.deps.Started),
		})
	})
}

// watch starts to update the file that says until when ndmon has watched. There is none
// without a directory of its own, and when nothing is watched for alerts.
func (p *parts) watch(ctx context.Context) {
	dir := p.cfg.Data
	if p.server == nil || p.cfg.Learn > 0 || p.reading() {
		dir = ""
	}
	p.watching = newWatching(dir, p.deps.Log)
	if dir != "" {
		p.keeper = p.run(ctx, p.watching.keep)
	}
}
