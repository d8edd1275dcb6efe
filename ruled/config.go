// Package ruled evaluates the central rules: it reads the fleet's events from
// NATS, and publishes alerts and relay commands.
package ruled

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// Config is ruled's configuration, from variables with the prefix RULED.
type Config struct {
	Rules    string        `split_words:"true" desc:"rule file (default: the built-in rules); it is read again when it changes and on SIGHUP"`
	Consumer string        `split_words:"true" default:"ruled" desc:"name of the durable consumer of the events; only one nd-ruled may use it at a time"`
	Events   string        `split_words:"true" default:"nd.events.>" desc:"subject of the events to evaluate, such as nd.events.r1.> for those of one host"`
	RelayTTL time.Duration `split_words:"true" default:"3s" desc:"how long after its event a relay command is worth carrying out"`
	Vendors  string        `split_words:"true" desc:"file that names the makers of Ethernet addresses, such as Wireshark's manuf or the IEEE's oui.txt (default: a built-in table)"`

	Neighbours    int           `split_words:"true" default:"100000" desc:"how many addresses, and how many stations, are remembered; the least important are forgotten"`
	ClaimTimeout  time.Duration `split_words:"true" default:"1h" desc:"how long a station's claim of an address stands after it was last heard, once another claims the address too; likewise what a learned router says"`
	Silence       time.Duration `split_words:"true" default:"720h" desc:"how long a station must have been silent to be reported when it is back"`
	StateInterval time.Duration `split_words:"true" default:"1m" desc:"how often what is known of the links is stored on NATS, for the next start and for nd-ruled neighbors; 0: never"`
	// Learn, if not 0, has routers learned for so long and no rule evaluated; see
	// LearnFor.
	Learn time.Duration `ignored:"true"`

	Buffer int `split_words:"true" default:"16777216" desc:"bytes of alerts that may wait for their acknowledgement; then no more events are read"`
	bus.StreamConfig
}

// LearnFor sets Learn, and a consumer that is not that of who evaluates the same
// events. With 0 nothing is learned.
func (c *Config) LearnFor(d time.Duration) {
	if c.Learn = d; d > 0 {
		c.Consumer += "-learn"
	}
}

// Validate reports the first setting that cannot be.
func (c Config) Validate() error {
	switch {
	case c.Consumer == "":
		return errors.New("RULED_CONSUMER: is empty, takes a name")
	case c.Events != schemas.SubjectEvents && !strings.HasPrefix(c.Events, eventsPrefix):
		return fmt.Errorf("RULED_EVENTS: %q is no subject of events, takes one that begins with %s", c.Events, eventsPrefix)
	case c.RelayTTL <= 0:
		return errors.New("RULED_RELAY_TTL: takes a duration above 0 such as 3s")
	case c.Buffer < 1<<16:
		return errors.New("RULED_BUFFER: takes at least 65536 bytes")
	case c.Neighbours < 1:
		return errors.New("RULED_NEIGHBOURS: takes a number from 1 on")
	case c.ClaimTimeout <= 0 || c.Silence <= 0:
		return errors.New("RULED_CLAIM_TIMEOUT, RULED_SILENCE: take a duration above 0 such as 1h")
	case c.StateInterval < 0 || c.StateInterval > 0 && c.StateInterval < time.Second:
		return errors.New("RULED_STATE_INTERVAL: takes 0 or a duration of at least 1s")
	case c.EventsBytes < 1<<20 || c.AlertsBytes < 1<<20:
		return errors.New("RULED_EVENTS_BYTES, RULED_ALERTS_BYTES: take at least 1048576 bytes")
	case c.EventsAge < time.Second || c.AlertsAge < time.Second:
		return errors.New("RULED_EVENTS_AGE, RULED_ALERTS_AGE: take a duration of at least 1s")
	}
	return nil
}

const eventsPrefix = "nd.events."

// deliver says with which event a consumer begins that is made anew. What is
// learned is learned of today's routers.
func (c Config) deliver() jetstream.DeliverPolicy {
	if c.Learn > 0 {
		return jetstream.DeliverNewPolicy
	}
	return jetstream.DeliverAllPolicy
}

// keepsState reports whether what is known of the links is stored.
func (c Config) keepsState() bool { return c.StateInterval > 0 && c.Learn == 0 }

// wholeStream reports whether the consumer gets every event of the stream, so
// that one that is left out was dropped.
func (c Config) wholeStream() bool { return c.Events == schemas.SubjectEvents }
