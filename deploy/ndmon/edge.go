package ndmon

import (
	"context"

	"github.com/ndmon/ndmon/deploy/uplink"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
)

// hub returns the hub of this edge, nil if it has none.
func (p *parts) hub() (*uplink.Hub, error) {
	if p.cfg.Hub == "" {
		return nil, nil
	}
	var files bus.Config
	if err := process.Environment("", &files); err != nil {
		return nil, err
	}
	hub, err := uplink.Open(p.cfg.Hub, p.cfg.Key, files)
	return &hub, err
}

// startUplink starts to forward alerts, and the history of addresses if it is kept, to the hub. It does not wait for
// the hub.
func (p *parts) startUplink(ctx, wait context.Context, history bool) error {
	up, err := uplink.New(wait, uplink.Config{
		Hub: *p.edge, Directory: p.server.dir, Conn: p.conn(), Away: p.server.away,
		Log: p.deps.Log.With("part", "uplink"), Registry: p.deps.Registry,
	})
	if err != nil {
		return err
	}
	p.deps.Health.Note(up.Health)
	p.run(ctx, up.Run)
	if history {
		p.run(ctx, up.RunHistory)
	}
	return nil
}

// judge passes an event on to ruled, and to the hub if it is a heartbeat: there, a sensor that falls
// silent is an edge that is lost.
func (p *parts) judge(e *schemas.Event) {
	if beat := *e; p.edge != nil && (e.Sensor != nil || e.Pinger != nil) {
		if e.Sensor != nil {
			// That frames were not seen before, the edge reports itself.
			beat.Sensor = &schemas.Heartbeat{Interval: e.Sensor.Interval, Stopped: e.Sensor.Stopped}
		}
		p.bus.Publish(schemas.UplinkHeartbeatSubject(e.Host), beat.AppendJSON(nil)) // others follow one that is lost
	}
	p.events.send(e)
}
