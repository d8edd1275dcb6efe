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
	"github.com/ndmon/ndmon/ruled/source"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/ndmon/ndmon/sensor"
)

// connectWait is the time for the NATS server to answer.
const connectWait = 10 * time.Second

// start starts the parts, receivers before senders: the NATS server, ruled, the pinger and
// the sensor.
func (p *parts) start(ctx context.Context) error {
	p.ended = make(chan error, 1)
	p.limits = limitsFor(p.deps.Memory)
	if p.cfg.NATS == "" && (!p.reading() || p.cfg.Listen != "") {
		var err error
		if p.edge, err = p.hub(); err != nil {
			return process.UsageError{Err: err}
		}
		if p.server, err = startServer(p.cfg, p.limits, p.edge, p.deps.Log); err != nil {
			return process.ListenError(err)
		}
		if p.cfg.Listen != "" {
			p.deps.Log.Info("serving NATS", "url", p.server.ClientURL(), "directory", p.cfg.Data)
		}
	}
	rules, pings, capture, err := p.settings()
	if err != nil {
		return process.UsageError{Err: err}
	}
	if err := p.connect(); err != nil {
		return process.UsageError{Err: err}
	}
	// Until the sensor starts, it is not healthy.
	capturing := p.deps.Health.Part("capture")
	wait, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	if p.edge != nil {
		if err := p.startUplink(ctx, wait, rules.HistoryBytes > 0); err != nil {
			return err
		}
	}
	if len(p.cfg.AlertTo) > 0 {
		if err := p.startNotify(ctx, wait); err != nil {
			return err
		}
	}
	if err := p.startRuled(ctx, wait, rules); err != nil {
		return err
	}
	if p.cfg.Listen != "" && p.server != nil && p.limits.copy {
		p.copied(ctx)
	}
	if p.server != nil && !p.reading() {
		if p.resumed, err = p.output.Resume(wait, p.bus.JetStream(), filepath.Join(p.server.dir, "written")); err != nil {
			return err
		}
	}
	deps := p.sensorDeps(ctx, capture, capturing)
	if len(p.cfg.Slaves) > 0 {
		health := p.deps.Health.Part("commands")
		p.run(ctx, func(ctx context.Context) error {
			return pinger.Run(ctx, pings, pinger.Deps{
				Log: p.deps.Log.With("part", "pinger"), Registry: p.deps.Registry, Bus: p.bus, Listened: p.bus.Listened, Commands: p.commands.subscribe,
				Events: func(e *schemas.Event) { deps.Pass(e) }, Health: health, Status: p.describe,
			})
		})
	}
	p.startSensor(ctx, capture, deps)
	if p.cfg.Web != "" {
		return p.startWeb(ctx, rules.Rules)
	}
	return nil
}

// startRuled starts ruled and waits until it evaluates events, or the context wait ends.
func (p *parts) startRuled(ctx, wait context.Context, rules ruled.Config) error {
	format := alerts.Format(func(alert []byte) ([]byte, error) { return append(alert, '\n'), nil })
	if p.cfg.Output == "text" {
		format = p.deps.Text.Format()
	}
	p.output = alerts.NewOutput(p.deps.Alerts, p.cfg.Filter.Only(format), p.deps.Log)
	begun := make(chan struct{}, 1)
	var fault atomic.Pointer[error] // why ruled does not evaluate events
	events := p.deps.Health.Part("events")
	deps := ruled.Deps{
		Log: p.deps.Log.With("part", "ruled"), Registry: p.deps.Registry, Conn: p.conn(), Hangup: p.deps.Hangup,
		Events: p.events.subscribe, Relay: p.relay,
		Learned: func(l ruled.Learned) { p.learned = l },
		Alert:   p.write, Lossless: p.reading(),
		Status: p.describe,
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
	if p.edge != nil {
		deps.Central = source.Central{Newest: schemas.UplinkRules, Changed: schemas.UplinkRulesChanged}
		rules.StateDirectory = p.server.dir
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
	if err := fault.Load(); err != nil && *err != nil && p.bus.Connected() {
		return fmt.Errorf("tried for %v to use the NATS server%s: %w", connectWait, p.at(), *err)
	}
	return fmt.Errorf("the NATS server%s does not answer within %v", p.at(), connectWait)
}

// write writes an alert, and counts it among those of capture files.
func (p *parts) write(alert []byte, id string, after uint64) {
	if p.deps.Report != nil {
		p.deps.Report.Count(alert, id)
	}
	p.output.Write(alert, id, after)
}

// at says where another NATS server is.
func (p *parts) at() string {
	if p.cfg.NATS == "" {
		return ""
	}
	return " at " + p.cfg.NATS
}

// relay hands a relay command over to the pinger of this process, and publishes it for whoever else listens.
// ruled calls it for one command after another.
func (p *parts) relay(subject string, command *schemas.Relay) (err error) {
	here := command.Host == p.cfg.Host || command.Host == schemas.EveryHost
	if here {
		p.commands.send(command)
	}
	if p.bus != nil && p.bus.Listened(subject) {
		p.command = command.AppendJSON(p.command[:0])
		err = p.bus.Publish(subject, p.command)
	}
	if here {
		return nil // whoever else misses it
	}
	return err
}

// sensorDeps returns where the events of this process go, and starts a publisher if they are stored.
func (p *parts) sensorDeps(ctx context.Context, capture sensor.Config, health func(error)) sensor.Deps {
	deps := sensor.Deps{Log: p.deps.Log.With("part", "sensor"), Registry: p.deps.Registry, Judge: p.judge, Health: health, Status: p.describe, PortsReported: len(p.cfg.Slaves) > 0}
	if p.deps.Report != nil {
		deps.Reading = &p.deps.Report.Reading
	}
	if p.bus != nil && p.cfg.Learn == 0 {
		deps.Live = p.bus
	}
	if p.storesEvents() {
		publisher := bus.NewPublisher(p.bus.Conn, bus.PublisherConfig{
			InFlight: bus.DefaultInFlight, Buffer: capture.Buffer, AckTimeout: bus.DefaultAckTimeout,
		}, p.deps.Log.With("part", "sensor"))
		p.deps.Health.Check("publishing", publisher.Health)
		p.run(ctx, publisher.Run)
		deps.Publisher, deps.Connected = publisher, p.bus.Connected
	}
	return deps
}

// startSensor starts the sensor.
func (p *parts) startSensor(ctx context.Context, capture sensor.Config, deps sensor.Deps) {
	p.watch(ctx)
	deps.Before, deps.Started = p.watching.before, p.watching.started(p.deps.Started)
	p.sensor = p.run(ctx, func(ctx context.Context) error { return sensor.Run(ctx, capture, deps) })
}

// storesEvents reports whether events are stored: on another server for those who read them there, or to be recorded.
func (p *parts) storesEvents() bool { return p.cfg.NATS != "" || p.cfg.Record > 0 && p.server != nil }

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
