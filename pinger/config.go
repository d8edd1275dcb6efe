package pinger

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Config is what a pinger is told, read from the environment with the prefix
// PINGER. The names are made of the fields' (split_words) and not given by an
// envconfig tag, for with such a tag envconfig also takes a variable without
// the prefix, and HOST and TABLE may well be set for other reasons.
type Config struct {
	// Host is the name of this host in subjects and messages; empty stands
	// for the kernel's host name.
	Host string `split_words:"true" desc:"name of this host in subjects and messages (default: the host name)"`
	// Slaves are names, globs, or address prefixes of interfaces.
	Slaves []string `split_words:"true" desc:"slave interfaces, comma separated: names, globs (lan*), or address prefixes (2001:db8::/64: the interface that holds an address in it)"`
	// Rate is from 1 to 10,000.
	Rate int `split_words:"true" default:"100" desc:"most echoes in any second, all slaves together"`
	// HoldDown is from 0 (none) to 1 h. One echo makes the kernel solicit
	// three times, 1 s apart (RFC 4861, section 10: MAX_MULTICAST_SOLICIT and
	// RETRANS_TIMER), just as it does on the master meanwhile: for these 3 s
	// a second echo adds nothing.
	HoldDown time.Duration `split_words:"true" default:"3s" desc:"time in which a target is probed once"`
	// Timeout is from 100 ms to 1 min. A neighbour that answers only the
	// third of the solicitations is found after 2 s; after 3 s the kernel
	// gives up.
	Timeout time.Duration `split_words:"true" default:"3s" desc:"time to wait for the echo reply; the kernel takes up to 3s to find a neighbour"`
	// Table is a multiple of 1000 from 1000 to 2147482000, so that no two
	// pingers have some tables in common; those from it to Table+999 are the
	// pinger's own.
	Table uint32 `split_words:"true" default:"4861000" desc:"first of the 1000 routing tables that the pinger may use, one for each slave; a multiple of 1000"`
}

// Bounds of the settings.
const (
	maxRate     = 10_000
	maxHoldDown = time.Hour
	minTimeout  = 100 * time.Millisecond
	maxTimeout  = time.Minute
	// maxTable leaves room for maxTables where an int has 32 bits.
	maxTable = (math.MaxInt32/maxTables - 1) * maxTables
	// maxTables is the number of routing tables from Config.Table on.
	maxTables = 1000
	// maxWaiting bounds the echoes that wait for a reply: the sequence number
	// of an echo has 16 bits (RFC 4443, section 4.1) and tells them apart.
	maxWaiting = 1 << 16
)

// Validate returns an error of one line for each setting that is out of its
// range.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := parsePatterns(c.Slaves); err != nil {
		errs = append(errs, err)
	}
	if c.Rate < 1 || c.Rate > maxRate {
		bad("PINGER_RATE=%d: takes 1 to %d, the most echoes in any second", c.Rate, maxRate)
	} else if c.Rate < len(c.Slaves) {
		bad("PINGER_RATE=%d: takes at least the number of slaves (%d), for a command sends an echo out of each", c.Rate, len(c.Slaves))
	}
	if c.HoldDown < 0 || c.HoldDown > maxHoldDown {
		bad("PINGER_HOLD_DOWN=%v: takes 0s to %v", c.HoldDown, maxHoldDown)
	}
	if c.Timeout < minTimeout || c.Timeout > maxTimeout {
		bad("PINGER_TIMEOUT=%v: takes %v to %v", c.Timeout, minTimeout, maxTimeout)
	} else if c.mostWaiting() > maxWaiting {
		bad("PINGER_TIMEOUT=%v: too long with PINGER_RATE=%d, no more than %d echoes can wait for a reply", c.Timeout, c.Rate, maxWaiting)
	}
	if c.Table < maxTables || c.Table > maxTable || c.Table%maxTables != 0 {
		bad("PINGER_TABLE=%d: takes a multiple of %d from %d to %d, the first of %d routing tables", c.Table, maxTables, maxTables, maxTable, maxTables)
	}
	return errors.Join(errs...)
}

// mostWaiting is the most echoes that Rate lets out within Timeout.
func (c Config) mostWaiting() int {
	return c.Rate * int((c.Timeout+time.Second-1)/time.Second)
}

// pattern selects interfaces: by name or glob, or, with a valid prefix, by the
// addresses that they hold.
type pattern struct {
	text   string
	prefix netip.Prefix
}

func parsePatterns(slaves []string) ([]pattern, error) {
	const takes = "PINGER_SLAVES takes names, globs or address prefixes of interfaces, comma separated"
	var patterns []pattern
	for _, text := range slaves {
		text = strings.TrimSpace(text)
		p := pattern{text: text}
		switch {
		case text == "":
			return nil, fmt.Errorf("PINGER_SLAVES has an empty entry: %s", takes)
		case strings.Contains(text, "/"): // never part of an interface's name
			prefix, err := netip.ParsePrefix(text)
			if err != nil || !prefix.Addr().Is6() || prefix.Addr().Is4In6() {
				return nil, fmt.Errorf("PINGER_SLAVES: %q is not an IPv6 prefix: %s", text, takes)
			}
			if prefix.Addr().IsLinkLocalUnicast() {
				return nil, fmt.Errorf("PINGER_SLAVES: %q names no interface, for each of them holds a link-local address: %s", text, takes)
			}
			p.prefix = prefix.Masked()
		default:
			if _, err := path.Match(text, ""); err != nil {
				return nil, fmt.Errorf("PINGER_SLAVES: %q is not a glob: %s", text, takes)
			}
			if p.exact() && len(text) >= unix.IFNAMSIZ {
				return nil, fmt.Errorf("PINGER_SLAVES: %q is longer than an interface's name can be: %s", text, takes)
			}
		}
		patterns = append(patterns, p)
	}
	if len(patterns) == 0 {
		return nil, fmt.Errorf("PINGER_SLAVES is not set: %s", takes)
	}
	return patterns, nil
}

// exact reports whether the pattern is the name of one interface.
func (p pattern) exact() bool {
	return !p.prefix.IsValid() && !strings.ContainsAny(p.text, `*?[\`)
}

func (p pattern) matches(l *link) bool {
	switch {
	case p.exact():
		return p.text == l.name
	case l.loopback:
		return false
	case p.prefix.IsValid():
		for _, a := range l.addresses {
			if p.prefix.Contains(a.addr) {
				return true
			}
		}
		return false
	}
	matched, _ := path.Match(p.text, l.name)
	return matched
}
