package ndmon

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ndmon/ndmon/pinger"
	"github.com/ndmon/ndmon/ruled"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/ndmon/ndmon/sensor"
)

// Bounds of the streams of the embedded server.
const (
	alertsBytes  = 256 << 20
	historyBytes = 256 << 20
	alertsAge    = 30 * 24 * time.Hour
)

// settings returns the configurations of the parts. The variables of the daemons apply
// where there is no option.
func (p *parts) settings() (rules ruled.Config, pings pinger.Config, capture sensor.Config, err error) {
	err = errors.Join(process.Environment("RULED", &rules), process.Environment("PINGER", &pings), process.Environment("SENSOR", &capture))
	if p.cfg.Rules != "" {
		rules.Rules = p.cfg.Rules
	}
	if p.server != nil {
		rules.Consumer = "ndmon"
		rules.StreamConfig = bus.StreamConfig{
			NoEvents: p.cfg.Record == 0, EventsBytes: rules.EventsBytes, EventsAge: max(p.cfg.Record, time.Second), ChangeEvents: true,
			AlertsBytes: alertsBytes, AlertsAge: alertsAge, HistoryBytes: min(rules.HistoryBytes, historyBytes), HistoryAge: rules.HistoryAge, NoExporter: p.cfg.Keys == "",
		}
	} else {
		rules.Consumer = "ndmon-" + schemas.EscapeToken(p.cfg.Host)
	}
	rules.Buffer = process.WithinMemory("RULED_BUFFER", rules.Buffer, p.limits.buffer, 1<<20)
	rules.Neighbours = process.WithinMemory("RULED_NEIGHBOURS", rules.Neighbours, p.limits.neighbours, 1000)
	capture.Buffer = process.WithinMemory("SENSOR_BUFFER", capture.Buffer, p.limits.buffer, 1<<20)
	rules.LearnFor(p.cfg.Learn)
	if p.reading() {
		rules.StateInterval, rules.HistoryBytes = 0, 0 // what is known of a file's links ends with it
		if rules.Learn > 0 {
			rules.Learn = math.MaxInt64 // until the end of the file
		}
	}
	pings.Host, pings.Masters, pings.Slaves = p.cfg.Host, p.cfg.Masters, p.cfg.Slaves
	pings.Route, pings.Proxy, pings.DAD = pings.Route || p.cfg.Route, pings.Proxy || p.cfg.Proxy, pings.DAD || p.cfg.DAD
	capture.Host, capture.ReadFiles = p.cfg.Host, p.cfg.Files
	capture.Interfaces, capture.Masters, capture.Proxies = p.cfg.Interfaces, p.cfg.Masters, nil
	pings.RA = pings.RA || p.cfg.RA
	if pings.Proxy {
		capture.Proxies = slices.Concat(p.cfg.Masters, p.cfg.Slaves)
	}
	if err == nil {
		err = errors.Join(rules.Validate(), capture.Validate())
	}
	if err == nil && len(p.cfg.Slaves) > 0 {
		err = pings.Validate()
	}
	return rules, pings, capture, nameOptions(err)
}

// nameOptions replaces the variables in an error that an option sets by the option.
func nameOptions(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.NewReplacer("SENSOR_HOST", "--host", "PINGER_HOST", "--host", "SENSOR_INTERFACES", "--interfaces", "SENSOR_READ_FILES", "--read",
		"SENSOR_MASTERS", "--master", "PINGER_MASTERS", "--master", "PINGER_SLAVES", "--slaves").Replace(err.Error()))
}
