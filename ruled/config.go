package ruled

import (
	"errors"
	"fmt"
	"time"

	"github.com/ndmon/ndmon/ruled/feed"
	"github.com/ndmon/ndmon/ruled/vendors"
	"github.com/ndmon/ndmon/schemas/bus"
)

// Config is ruled's configuration, from variables with the prefix RULED.
type Config struct {
	Rules    string        `split_words:"true" desc:"rule file (default: the central rules of ndmon rules push, without any the built-in rules); it is read again when it changes and on SIGHUP"`
	Consumer string        `split_words:"true" default:"ruled" desc:"name of the durable consumers of the events, one for each partition; all nd-ruled with the same name share the partitions"`
	Events   string        `split_words:"true" default:"nd.events.>" desc:"subject of the events to evaluate, such as nd.events.r1.> for those of one host"`
	RelayTTL time.Duration `split_words:"true" default:"3s" desc:"how long after its event a relay command is worth carrying out"`
	Vendors  string        `split_words:"true" desc:"file that names the makers of Ethernet addresses, such as Wireshark's manuf or the IEEE's oui.txt (default: a built-in table)"`

	Neighbours     int           `split_words:"true" default:"100000" desc:"how many addresses, and how many stations, are remembered for the hosts of a partition of the events; the least important ones are forgotten"`
	ClaimTimeout   time.Duration `split_words:"true" default:"1h" desc:"how long the binding of an address to a station holds after it was last heard, once another station claims the address; likewise what a learned router said"`
	Silence        time.Duration `split_words:"true" default:"720h" desc:"how long a station must have been silent for its return to be reported"`
	StateInterval  time.Duration `split_words:"true" default:"1m" desc:"how often the state of the links is stored on NATS, for the next start and for nd-ruled neighbors; 0: never"`
	StateDirectory string        `split_words:"true" desc:"directory that keeps the newest central rules for a start without NATS (default: they are not kept)"`
	// Learn, if not 0, is how long routers are learned instead of rules evaluated; see LearnFor.
	Learn time.Duration `ignored:"true"`

	Buffer int `split_words:"true" default:"16777216" desc:"bytes of alerts that may wait for their acknowledgement; beyond that no events are read"`
	bus.StreamConfig
}

// LearnFor sets Learn, and a consumer other than that of a ruled that evaluates the same
// events. With 0 nothing is learned.
func (c *Config) LearnFor(d time.Duration) {
	if c.Learn = d; d > 0 {
		c.Consumer += "-learn"
	}
}

// Validate reports the first setting that is out of its range.
func (c Config) Validate() error {
	_, err := feed.Batches(c.Events)
	switch {
	case c.Consumer == "":
		return errors.New("RULED_CONSUMER: is empty, takes a name")
	case err != nil:
		return fmt.Errorf("RULED_EVENTS: %w", err)
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
	case c.HistoryBytes != 0 && c.HistoryBytes < 1<<20:
		return errors.New("RULED_HISTORY_BYTES: takes 0 or at least 1048576 bytes")
	case c.Replicas < 0 || c.Replicas > bus.MaxReplicas:
		return errors.New("RULED_REPLICAS: takes a number from 0 to 3")
	case c.EventsAge < time.Second || c.AlertsAge < time.Second || c.HistoryAge < time.Second:
		return errors.New("RULED_EVENTS_AGE, RULED_ALERTS_AGE, RULED_HISTORY_AGE: take a duration of at least 1s")
	}
	return nil
}

// keepsState reports whether the state is stored.
func (c Config) keepsState() bool { return c.StateInterval > 0 && c.Learn == 0 }

// keepsHistory reports whether the history of addresses is stored.
func (c Config) keepsHistory() bool { return c.HistoryBytes > 0 && c.Learn == 0 }

// VendorTable reads the table of the makers of Ethernet addresses.
func (c Config) VendorTable() (*vendors.Table, error) {
	table, err := vendors.Load(c.Vendors)
	if err != nil {
		return nil, fmt.Errorf("RULED_VENDORS: %w", err)
	}
	return table, nil
}
