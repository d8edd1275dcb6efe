package sensor

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ndmon/ndmon/schemas/iface"
)

// Config is the sensor's configuration, from variables with the prefix SENSOR.
type Config struct {
	// Host is the name of the host in events and subjects, at most 255 bytes.
	Host string `split_words:"true" desc:"name of this host in events and subjects; default: the machine's hostname"`

	// Interfaces, Masters and Proxies select the interfaces to capture on. An element is an
	// iface.Pattern: a name, a glob, or an address prefix, which selects the interfaces that hold
	// an address in it. The events of Masters and of Proxies are marked so. If all are empty, every
	// Ethernet interface that is up is captured.
	Interfaces []string `split_words:"true" desc:"comma-separated interfaces to capture on: names, globs (eth*), or prefixes (2001:db8::/64) that select the interfaces with an address in them; default: the masters and proxies, or without these every Ethernet interface that is up"`
	Masters    []string `split_words:"true" desc:"comma-separated interfaces, written in the same way, to capture on; their events are marked as a master's, whose solicitations are relayed"`
	Proxies    []string `split_words:"true" desc:"comma-separated interfaces, written in the same way, to capture on; their events are marked as a proxy's, on which this host answers for hosts behind its other interfaces"`

	// Promiscuous captures frames that are addressed to other hosts too.
	Promiscuous bool `split_words:"true" default:"true" desc:"capture frames that are addressed to other hosts too"`

	// ReadFiles are capture files to read instead of interfaces; "-" is standard input.
	ReadFiles []string `split_words:"true" desc:"comma-separated pcap or pcapng files to read instead of interfaces (- is standard input); the sensor ends after the last"`

	// Live publishes each event on its own subject too. The caller that makes Deps.Live uses
	// it; Run does not.
	Live bool `split_words:"true" default:"true" desc:"publish each event on nd.events.<host>.<interface>.<kind> too, for programs that listen, such as nats sub; the stored batches do not depend on it"`

	// Buffer is the size in bytes of the publisher's queue. The caller that makes the
	// publisher uses it; Run does not.
	Buffer int `split_words:"true" default:"67108864" desc:"bytes of events to keep while NATS is away, at least 1048576; events that do not fit are dropped and counted"`

	// Report is how often lost frames are logged and published.
	Report time.Duration `split_words:"true" default:"10s" desc:"how often lost frames are logged and published, at least 100ms"`

	// Heartbeat is how often the sensor publishes that it captures, 0 for never.
	Heartbeat time.Duration `split_words:"true" default:"10s" desc:"how often the sensor publishes that it captures, 1s to 1h, so that ruled raises an alert when it falls silent; 0: never"`

	// ReceiveBuffer is the size in bytes of the kernel's queue for each interface
	// and direction, as SO_RCVBUF counts it; 0 leaves the system's default.
	ReceiveBuffer int `split_words:"true" default:"33554432" desc:"bytes of the kernel's queue of captured frames for each interface and direction, in use only while frames wait, at most 1073741823; 0 for the system's default"`
}

// Bounds of Config.
const (
	minBuffer = 1 << 20
	minReport = 100 * time.Millisecond

	minHeartbeat = time.Second
	maxHeartbeat = time.Hour
	// maxReceiveBuffer is half of INT_MAX: the kernel doubles it.
	maxReceiveBuffer = 1<<30 - 1
	maxHostLength    = 255
)

// Validate returns what is wrong with the configuration, as one line that names the
// environment variable.
func (c Config) Validate() error {
	if c.Host != "" && !plainName(c.Host, maxHostLength) {
		return fmt.Errorf("SENSOR_HOST: %q is not a name of printable characters with at most %d bytes", c.Host, maxHostLength)
	}
	sel, err := c.selection()
	if err != nil {
		return err
	}
	if len(c.ReadFiles) > 0 && !sel.all() {
		return fmt.Errorf("SENSOR_READ_FILES: files are read instead of interfaces; leave SENSOR_INTERFACES, SENSOR_MASTERS and SENSOR_PROXIES empty")
	}
	for _, f := range c.ReadFiles {
		if f == "" {
			return fmt.Errorf("SENSOR_READ_FILES: has an empty entry; give file names separated by commas")
		}
	}
	switch {
	case c.Buffer < minBuffer:
		return fmt.Errorf("SENSOR_BUFFER: %d is too small; give a number of bytes, at least %d", c.Buffer, minBuffer)
	case c.Report < minReport:
		return fmt.Errorf("SENSOR_REPORT: %v is too short; give a duration such as 10s, at least %v", c.Report, minReport)
	case c.Heartbeat != 0 && (c.Heartbeat < minHeartbeat || c.Heartbeat > maxHeartbeat):
		return fmt.Errorf("SENSOR_HEARTBEAT: %v is out of range; give a duration such as 10s from %v to %v, or 0 for none", c.Heartbeat, minHeartbeat, maxHeartbeat)
	case c.ReceiveBuffer < 0 || c.ReceiveBuffer > maxReceiveBuffer:
		return fmt.Errorf("SENSOR_RECEIVE_BUFFER: %d is out of range; give a number of bytes from 0 to %d", c.ReceiveBuffer, maxReceiveBuffer)
	}
	return nil
}

func (c Config) selection() (s selection, err error) {
	for _, list := range []struct {
		variable string
		texts    []string
		patterns *[]iface.Pattern
	}{
		{"SENSOR_INTERFACES", c.Interfaces, &s.interfaces},
		{"SENSOR_MASTERS", c.Masters, &s.masters},
		{"SENSOR_PROXIES", c.Proxies, &s.proxies},
	} {
		if *list.patterns, err = iface.ParsePatterns(list.texts); err != nil {
			return selection{}, fmt.Errorf("%s: %w", list.variable, err)
		}
	}
	return s, nil
}

// host returns the configured name of the host, or the machine's.
func (c Config) host() (string, error) {
	if c.Host != "" {
		return c.Host, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("find the machine's hostname (SENSOR_HOST sets another): %w", err)
	}
	return name, nil
}

// plainName reports whether a name can be used in events and, escaped, in subjects.
func plainName(name string, maxLength int) bool {
	if name == "" || len(name) > maxLength || !utf8.ValidString(name) {
		return false
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

type selection struct {
	interfaces, masters, proxies []iface.Pattern
}

// marks are members that the configuration sets in all events of an interface.
type marks struct{ master, proxy bool }

// all reports whether every Ethernet interface that is up is captured.
func (s selection) all() bool {
	return len(s.interfaces) == 0 && len(s.masters) == 0 && len(s.proxies) == 0
}

func (s selection) patterns() []iface.Pattern {
	list := slices.Concat(s.masters, s.proxies, s.interfaces)
	slices.SortFunc(list, func(a, b iface.Pattern) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(list)
}

// byAddress reports whether the selection depends on the interfaces' addresses.
func (s selection) byAddress() bool {
	return slices.ContainsFunc(s.patterns(), func(p iface.Pattern) bool { return p.Prefix().IsValid() })
}

// selects reports whether the interface is to be captured, and its marks. captured says that it is
// captured already: without a configuration, an interface stays captured when it goes down.
func (s selection) selects(l *iface.Link, captured bool) (selected bool, m marks) {
	if !l.Ethernet() {
		return false, m
	}
	if s.all() {
		return l.Up() || captured, m
	}
	matches := func(p iface.Pattern) bool { return p.Matches(l) }
	m.master, m.proxy = slices.ContainsFunc(s.masters, matches), slices.ContainsFunc(s.proxies, matches)
	return m != marks{} || slices.ContainsFunc(s.interfaces, matches), m
}

// matches reports whether a pattern names the interface, which cannot be captured without Ethernet.
func (s selection) matches(l *iface.Link) bool {
	return slices.ContainsFunc(s.patterns(), func(p iface.Pattern) bool { return p.Matches(l) })
}
