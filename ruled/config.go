// Package ruled evaluates the central rules: it reads the fleet's events from
// NATS, and publishes alerts and relay commands.
package ruled

import (
	"errors"
	"time"

	"github.com/ndmon/ndmon/schemas/bus"
)

// Config is ruled's configuration, from variables with the prefix RULED.
type Config struct {
	Rules    string        `envconfig:"RULES" desc:"rule file (default: the built-in rules); it is read again when it changes and on SIGHUP"`
	Consumer string        `envconfig:"CONSUMER" default:"ruled" desc:"name of the durable consumer of the events"`
	RelayTTL time.Duration `envconfig:"RELAY_TTL" default:"3s" desc:"how long after its event a relay command is worth carrying out"`
	Buffer   int           `envconfig:"BUFFER" default:"16777216" desc:"bytes of alerts that may wait for their acknowledgement; then no more events are read"`
	bus.StreamConfig
}

// Validate reports the first setting that cannot be.
func (c Config) Validate() error {
	switch {
	case c.Consumer == "":
		return errors.New("RULED_CONSUMER: is empty, takes a name")
	case c.RelayTTL <= 0:
		return errors.New("RULED_RELAY_TTL: takes a duration above 0 such as 3s")
	case c.Buffer < 1<<16:
		return errors.New("RULED_BUFFER: takes at least 65536 bytes")
	case c.EventsBytes < 1<<20 || c.AlertsBytes < 1<<20:
		return errors.New("RULED_EVENTS_BYTES, RULED_ALERTS_BYTES: take at least 1048576 bytes")
	case c.EventsAge < time.Second || c.AlertsAge < time.Second:
		return errors.New("RULED_EVENTS_AGE, RULED_ALERTS_AGE: take a duration of at least 1s")
	}
	return nil
}
